use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::credentials::{Credential, credentials};
use crate::proc::ProcFolder;
use crate::worker::read_each;
use crate::{NotVisible, ProcessId, Program, Search};

/// The longest environment that is read, bytes. The kernel allows 6 MiB for arguments and environment together
/// (`_STK_LIM / 4 * 3` in fs/exec.c).
pub(crate) const ENVIRONMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long one environment may take, milliseconds.
pub(crate) const ENVIRONMENT_STEP_MS_MAX: u64 = 1_000;

/// How often an environment that seems empty during an exec is read again, and the time between, milliseconds.
const EXEC_LOOKS_MAX: u32 = 200;
const EXEC_STEP_MS: u64 = 2;

/// What is read of one process, or that it did not answer in time.
fn of<T: Send + 'static>(
    process: &ProcessId,
    read: fn(&ProcessId) -> Result<T, NotVisible>,
) -> Result<T, NotVisible> {
    let step = Duration::from_millis(ENVIRONMENT_STEP_MS_MAX);
    let mut found = Err(NotVisible::Stuck);
    read_each(&[*process], step, Instant::now() + step, read, &mut |_, answer| found = answer);
    found
}

/// Which of the values stand in the environment that the process was started with.
///
/// This shows the start and nothing later: the program may have read a file since. For a process that was forked and
/// did not execute a program ([`crate::forked_without_exec`]) it is the parent's environment.
///
/// # Errors
/// The environment is not visible, and why.
pub fn environment_holds(process: &ProcessId, needles: &dyn Search) -> Result<BTreeSet<u32>, NotVisible> {
    of(process, read_start)?.holds(needles)
}

/// The names of the variables that hold this value in the environment that the process was started with, in its
/// order, each once.
///
/// # Errors
/// The environment is not visible, and why.
pub fn variables_holding(
    process: &ProcessId,
    needles: &dyn Search,
    wanted: u32,
) -> Result<Vec<String>, NotVisible> {
    Ok(of(process, read_start)?.names(needles, wanted))
}

/// A process's start environment and the credentials that systemd gave it. It is full of secrets:
/// it cannot be printed, and is overwritten on drop.
pub struct Start {
    environment: Zeroizing<Vec<u8>>,
    credentials: Result<Vec<Credential>, NotVisible>,
    program: Program,
}

impl Start {
    /// The program run that it belongs to.
    pub fn program(&self) -> Program {
        self.program
    }

    /// The entries of its environment, each with its variable's name; an entry without a name may
    /// be a value. For matching only.
    pub fn entries(&self) -> impl Iterator<Item = (Option<String>, &[u8])> {
        let entries = self.environment.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        entries.map(|entry| (variable(entry), entry))
    }

    /// Its credentials, by name.
    ///
    /// # Errors
    /// It is not visible, and why.
    pub fn credentials(&self) -> Result<impl Iterator<Item = (&str, &[u8])>, NotVisible> {
        let all = self.credentials.as_ref().map_err(Clone::clone)?;
        Ok(all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
    }

    /// Whether the process overwrote its environment, as `setproctitle` does: then its start environment is not
    /// visible.
    pub fn overwritten(&self) -> bool {
        let entry = |entry: &[u8]| {
            let name = entry.iter().position(|byte| *byte == b'=').and_then(|end| entry.get(..end));
            name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
        };
        let first = self.environment.split(|byte| *byte == 0).next();
        !self.environment.is_empty() && !first.is_some_and(entry)
    }

    /// Its size in memory, bytes.
    pub fn bytes(&self) -> usize {
        let credentials = self.credentials.iter().flatten().map(|(_, bytes)| bytes.len());
        self.environment.len() + credentials.sum::<usize>()
    }

    /// A value that is found counts even if the rest is not visible; "none" is an answer only if everything is visible.
    pub(crate) fn holds(&self, needles: &dyn Search) -> Result<BTreeSet<u32>, NotVisible> {
        let mut found = ids_in(&self.environment, needles);
        match &self.credentials {
            Ok(all) => found.extend(all.iter().flat_map(|(_, bytes)| ids_in(bytes, needles))),
            Err(reason) if found.is_empty() => return Err(reason.clone()),
            Err(_) => {}
        }
        Ok(found)
    }

    fn names(&self, needles: &dyn Search, wanted: u32) -> Vec<String> {
        let holds = |bytes: &[u8]| ids_in(bytes, needles).contains(&wanted);
        let mut names = Vec::new();
        for entry in self.environment.split(|byte| *byte == 0) {
            // Only names are returned: an entry without one may be a value.
            if let Some(name) = variable(entry)
                && holds(entry)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        let given = self.credentials.iter().flatten().filter(|(_, bytes)| holds(bytes));
        names.extend(given.map(|(name, _)| format!("credential:{}", name.escape_debug())));
        names
    }
}

/// A variable in the environment of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// It has this value.
    Same,
    /// It has another value.
    Other,
    /// No variable has this name.
    Absent,
}

/// Compares each name and value with the environment that the process was started with. Of several entries with one
/// name the first counts, as for getenv(3). A process that overwrites its environment (`setproctitle`) shows nothing of
/// it: then every variable is absent.
///
/// # Errors
/// The environment is not visible, and why.
pub fn environment_has(
    process: &ProcessId,
    variables: &[(&str, &SecretBytes)],
) -> Result<Vec<Variable>, NotVisible> {
    let bytes = of(process, read_environment)?;
    Ok(variables.iter().map(|(name, value)| has(&bytes, name, value)).collect())
}

/// Whether the credential of this name that a process was given has this value.
///
/// # Errors
/// Its credentials are not visible, and why.
pub fn credential_has(process: &ProcessId, name: &str, value: &SecretBytes) -> Result<Variable, NotVisible> {
    let all = of(process, |process: &ProcessId| {
        let folder = ProcFolder::open_exact(process)?;
        let environment = folder.read("environ", ENVIRONMENT_BYTES_MAX)?;
        credentials(process, &folder, &environment)
    })?;
    Ok(match all.iter().find(|(known, _)| known == name) {
        None => Variable::Absent,
        // Compared in constant time, as every value is.
        Some((_, bytes)) if SecretBytes::new(bytes.to_vec()) == *value => Variable::Same,
        Some(_) => Variable::Other,
    })
}

/// The names in the environment that the process was started with; a value is never part of the answer.
///
/// # Errors
/// The environment is not visible, and why.
pub fn environment_names(process: &ProcessId) -> Result<BTreeSet<String>, NotVisible> {
    Ok(of(process, read_environment)?.split(|byte| *byte == 0).filter_map(variable).collect())
}

/// Reads the start environment and the credentials of each process.
pub fn starts(
    processes: &[ProcessId],
    wait: Duration,
    take: &mut dyn FnMut(&ProcessId, Result<Start, NotVisible>),
) {
    let step = Duration::from_millis(ENVIRONMENT_STEP_MS_MAX);
    read_each(processes, step, Instant::now() + wait, read_start, take);
}

/// The name of a variable that a shell could have set; text with which a process overwrote its environment has none.
fn variable(entry: &[u8]) -> Option<String> {
    let name = entry.get(..entry.iter().position(|byte| *byte == b'=')?)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let good = !name.is_empty() && name.iter().all(plain) && !name.first().is_some_and(u8::is_ascii_digit);
    good.then(|| String::from_utf8_lossy(name).into_owned())
}

fn has(environment: &[u8], name: &str, value: &SecretBytes) -> Variable {
    let entries = environment.split(|byte| *byte == 0);
    let mut values = entries.filter_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    match values.next() {
        // Compared in constant time, as every value is.
        Some(there) if SecretBytes::new(there.to_vec()) == *value => Variable::Same,
        Some(_) => Variable::Other,
        None => Variable::Absent,
    }
}

pub(crate) fn ids_in(bytes: &[u8], needles: &dyn Search) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    needles.find(bytes, &mut |id, _| {
        ids.insert(id);
    });
    ids
}

/// Credentials count as part of the environment that a service was started with.
pub(crate) fn read_start(process: &ProcessId) -> Result<Start, NotVisible> {
    for _ in 0..EXEC_LOOKS_MAX {
        let folder = ProcFolder::open_exact(process)?;
        let environment = environment_of(&folder)?;
        let credentials = credentials(process, &folder, &environment);
        let program = Program(folder.stat.image);
        let after = ProcFolder::open_exact(process)?.stat;
        // A process that executes another program during the read shows a mixture of both.
        let same = folder.stat.has_no_code() == after.has_no_code();
        if same && !program.differs(Program(after.image)) {
            return Ok(Start { environment, credentials, program });
        }
        std::thread::sleep(Duration::from_millis(EXEC_STEP_MS));
    }
    Err(NotVisible::Stuck)
}

fn read_environment(process: &ProcessId) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
    environment_of(&ProcFolder::open_exact(process)?)
}

/// A process whose program is still being replaced after all looks is not visible: an empty environment would say that it was
/// given nothing.
fn environment_of(folder: &ProcFolder) -> Result<Zeroizing<Vec<u8>>, NotVisible> {
    let mut settled = false;
    for _ in 0..EXEC_LOOKS_MAX {
        let bytes = folder.read("environ", ENVIRONMENT_BYTES_MAX)?;
        // A process that was replacing its program at the first read has finished now.
        if !bytes.is_empty() || settled {
            return Ok(bytes);
        }
        settled = !executing(folder)?;
        if !settled {
            std::thread::sleep(Duration::from_millis(EXEC_STEP_MS));
        }
    }
    Err(NotVisible::Stuck)
}

/// Whether the kernel is replacing the program of a process: the environment and the command line do not exist yet, and
/// a process that holds a value would seem to have none. The kernel notes where the code begins after both (`load_elf_binary`);
/// a process that was started without either has it.
fn executing(folder: &ProcFolder) -> Result<bool, NotVisible> {
    let says_nothing = || folder.read("cmdline", ENVIRONMENT_BYTES_MAX).is_ok_and(|words| words.is_empty());
    Ok(folder.stat_now()?.has_no_code() && says_nothing() && folder.link("exe").is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_that_was_written_over_is_told_from_one() {
        let start = |bytes: &[u8]| Start {
            environment: Zeroizing::new(bytes.to_vec()),
            credentials: Ok(Vec::new()),
            program: Program::default(),
        };
        for whole in [&b"A=b\0C=\0"[..], b"", b"BASH_FUNC_x%%=() { :\n}\0"] {
            assert!(!start(whole).overwritten(), "{}", String::from_utf8_lossy(whole));
        }
        for over in [&b"\0\0\0\0"[..], b"orker 3 (x=1)\0\0", b"a title\0A=b\0", b"\0A=b\0"] {
            assert!(start(over).overwritten(), "{}", String::from_utf8_lossy(over));
        }
    }
}
