use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use zeroize::Zeroizing;

use crate::outside::{Extent, extent};
use crate::proc::{ProcFolder, numbers_in};
use crate::worker::read_each;
use crate::{NotVisible, ProcessId, Program, boot};

/// How many processes a listing holds at most.
const PROCESSES_MAX: usize = 65_536;

/// The longest command line that is read, bytes; the rest of a longer one is not matched.
const ARGUMENTS_BYTES_MAX: usize = 256 * 1024;

/// The longest other file of /proc/PID that a listing reads, bytes.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// How long one process may take to answer, milliseconds.
const PROCESS_STEP_MS_MAX: u64 = 1_000;

/// How long the ids are that docker, podman, containerd and CRI-O give.
const CONTAINER_ID_LETTERS: usize = 64;

/// How long a parent chain may be.
const PARENTS_MAX: usize = 256;

/// A command line, for matching only: it may hold a secret, so it cannot be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Arguments(Zeroizing<Vec<u8>>);

impl Arguments {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.0.strip_suffix(b"\0").unwrap_or(&self.0).split(|&byte| byte == 0)
    }

    /// Whether one argument, the program's own name included, is exactly this.
    pub fn holds(&self, argument: &OsStr) -> bool {
        self.each().any(|one| one == argument.as_bytes())
    }

    /// Whether a shell that ran this line became this process: compares its words, up to the redirection of its output.
    /// Several shells replace themselves with a single command. A line with quotes or variables is not understood.
    pub fn is_line(&self, line: &str) -> bool {
        let mut words = line.split_ascii_whitespace();
        let sends = |word: &str| word.trim_start_matches(['0', '1', '2', '&']).starts_with(['>', '<']);
        self.each().all(|one| words.next().is_some_and(|word| word.as_bytes() == one))
            && words.next().is_none_or(sends)
    }

    /// The name that the program was started under; it is the caller's choice and proves nothing.
    pub fn program(&self) -> Option<&Path> {
        let first = self.each().next().filter(|name| !name.is_empty())?;
        Some(Path::new(OsStr::from_bytes(first)))
    }

    /// Whether one argument after the program's name satisfies the predicate, which must keep none of them.
    pub fn any(&self, predicate: impl FnMut(&[u8]) -> bool) -> bool {
        self.each().skip(1).any(predicate)
    }

    /// Whether the process overwrote its command line with a title, as far as can be seen: a title has spaces instead
    /// of the program's name, or is longer than the command line was. Source: proc_pid_cmdline(5).
    pub fn overwritten(&self) -> bool {
        let name = self.each().next().unwrap_or_default();
        !self.0.is_empty() && (self.0.last() != Some(&0) || name.contains(&b' '))
    }

    /// The title.
    pub fn title(&self) -> Option<&[u8]> {
        self.each().next().filter(|_| self.overwritten())
    }

    /// The words, the program's name included, in a copy that is overwritten on drop: to build a command from them that
    /// starts the program again. `None` = one of them is no text.
    pub fn words(&self) -> Option<Vec<Zeroizing<String>>> {
        let text = |one: &[u8]| Some(Zeroizing::new(std::str::from_utf8(one).ok()?.to_owned()));
        self.each().map(text).collect()
    }

    /// How many arguments there are behind the program's name.
    pub fn count(&self) -> usize {
        self.each().count().saturating_sub(1)
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} arguments", self.count())
    }
}

/// One process that runs now. Kernel threads and ended processes are omitted.
#[derive(Debug, Clone)]
pub struct Process {
    /// Which process.
    pub id: ProcessId,
    /// The parent's process id; 0 = the parent is outside this PID namespace.
    pub ppid: u32,
    /// The effective user; `None` where it could not be read.
    pub uid: Option<u32>,
    /// The short name (15 bytes at most, chosen by the process itself), made printable.
    pub name: String,
    /// The executable, without " (deleted)", which sets `exe_deleted`. `None` = not visible to this user.
    pub exe: Option<PathBuf>,
    /// The executable's file was replaced or removed after the start.
    pub exe_deleted: bool,
    /// The command line.
    pub args: Arguments,
    /// The control group, such as `/system.slice/app.service`: the unified one, else systemd's own.
    pub cgroup: Option<String>,
    /// Forked, and no exec since: it holds what its parent had loaded.
    pub forked: bool,
    /// The program whose command line this is.
    pub program: Program,
}

impl Process {
    /// The systemd unit that the process belongs to, by its control group: the innermost part that ends in
    /// `.service` or `.scope`.
    pub fn unit(&self) -> Option<&str> {
        let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
        self.cgroup.as_deref()?.rsplit('/').find(is_unit)
    }

    /// The container that the process runs in, by its control group: the id that its engine gave it.
    pub fn container(&self) -> Option<&str> {
        self.cgroup.as_deref()?.rsplit('/').find_map(|part| {
            let id = part.strip_suffix(".scope").unwrap_or(part);
            let id = id.rsplit('-').next().unwrap_or(id);
            let whole = id.len() == CONTAINER_ID_LETTERS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            whole.then_some(id)
        })
    }

    /// Whether the process runs this executable: by path, or by file name where `exe` has no folder.
    pub fn runs(&self, exe: &Path) -> bool {
        let Some(own) = &self.exe else { return false };
        if exe.components().count() == 1 { own.file_name() == exe.file_name() } else { own == exe }
    }
}

/// Something that was not visible to a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Which process; `None` = an unknown number of them.
    pub pid: Option<u32>,
    /// Why.
    pub reason: String,
}

/// The processes of this machine, as far as this user sees them.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// What runs.
    pub seen: Vec<Process>,
    /// What certainly or possibly runs and was not visible. Processes outside keyroll's own PID namespace are not
    /// counted: the kernel does not even show that they exist; see [`crate::extent`].
    pub hidden: Vec<Hidden>,
}

/// All processes, within `wait`. A process that does not answer is listed as hidden and does not hold up the rest.
///
/// # Errors
/// /proc itself cannot be read.
pub fn processes(wait: Duration) -> Result<Listing, NotVisible> {
    let deadline = Instant::now() + wait;
    // Without the boot id no process can be identified, and every process would seem to have ended.
    boot()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, "/proc", flags, Mode::empty()).map_err(NotVisible::of)?;
    let pids = numbers_in(&folder, PROCESSES_MAX)?;
    let mut listing = Listing::default();
    if pid_hiding() {
        let reason = "/proc is mounted with hidepid: other users' processes are not listed".to_owned();
        listing.hidden.push(Hidden { pid: None, reason });
    }
    if extent() == Extent::Part {
        let reason = "only this container or PID namespace is visible: processes outside it are not listed";
        listing.hidden.push(Hidden { pid: None, reason: reason.to_owned() });
    }
    let step = Duration::from_millis(PROCESS_STEP_MS_MAX);
    read_each(&pids, step, deadline, read_process, &mut |pid, answer| match answer {
        Ok(Some(process)) => listing.seen.push(process),
        Ok(None) | Err(NotVisible::Vanished) => {}
        Err(reason) => listing.hidden.push(Hidden { pid: Some(*pid), reason: reason.to_string() }),
    });
    Ok(listing)
}

/// The process that has this id now.
///
/// # Errors
/// There is none, or it does not answer.
pub fn process(pid: u32) -> Result<Process, NotVisible> {
    let mut found = Err(NotVisible::Vanished);
    let step = Duration::from_millis(PROCESS_STEP_MS_MAX);
    read_each(&[pid], step, Instant::now() + step, read_process, &mut |_, answer| {
        found = answer.and_then(|process| process.ok_or(NotVisible::Vanished));
    });
    found
}

/// The parents of a process, nearest first.
pub fn parents<'a>(listing: &'a Listing, process: &Process) -> Vec<&'a Process> {
    let by_pid: BTreeMap<u32, &Process> = listing.seen.iter().map(|one| (one.id.pid, one)).collect();
    let mut chain: Vec<&Process> = Vec::new();
    let mut next = process.ppid;
    while let Some(parent) = by_pid.get(&next) {
        // A listing takes time, so process ids that were reused in the meantime could form a ring.
        if chain.len() == PARENTS_MAX || chain.iter().any(|seen| seen.id == parent.id) {
            break;
        }
        chain.push(parent);
        next = parent.ppid;
    }
    chain
}

/// The children of a process, their children, and so on, without the process itself.
pub fn descendants(listing: &Listing, process: ProcessId) -> Vec<&Process> {
    let mut inside = BTreeSet::from([process.pid]);
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for one in &listing.seen {
            if inside.contains(&one.ppid) && inside.insert(one.id.pid) {
                found.push(one);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn read_process(pid: &u32) -> Result<Option<Process>, NotVisible> {
    let folder = ProcFolder::open(*pid)?;
    if folder.stat.kernel_thread() {
        return Ok(None);
    }
    let (exe, exe_deleted) = match folder.link("exe") {
        Ok(path) => undeleted(path),
        Err(_) => (None, false),
    };
    let args = folder.read("cmdline", ARGUMENTS_BYTES_MAX).unwrap_or_default();
    let status = folder.read_plain("status", SMALL_BYTES_MAX).unwrap_or_default();
    Ok(Some(Process {
        id: ProcessId { boot: boot()?, pid: *pid, start_ticks: folder.stat.start_ticks },
        ppid: folder.stat.ppid,
        uid: effective_user(&status),
        name: String::from_utf8_lossy(&folder.name).escape_debug().to_string(),
        exe,
        exe_deleted,
        args: Arguments(args),
        cgroup: folder.read_plain("cgroup", SMALL_BYTES_MAX).ok().and_then(|text| control_group(&text)),
        forked: folder.stat.forked_no_exec(),
        program: Program(folder.stat.image),
    }))
}

pub(crate) fn undeleted(path: PathBuf) -> (Option<PathBuf>, bool) {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) => (Some(PathBuf::from(std::ffi::OsString::from_vec(before.to_vec()))), true),
        None => (Some(path), false),
    }
}

/// `Uid:` holds the real, effective, saved and file system user. Source: proc_pid_status(5).
fn effective_user(status: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(status);
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Lines are `id:controllers:path`; version 2 is `0::path`, and where it is unused (a machine on version 1) systemd
/// keeps its tree under `name=systemd`. Source: cgroups(7).
fn control_group(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let path_of = |start: &str| {
        let part = |line: &str| Some(line.split_once(':')?.1.strip_prefix(start)?.to_owned());
        text.lines().find_map(part).filter(|path| path != "/")
    };
    path_of(":").or_else(|| path_of("name=systemd:"))
}

/// Whether this process may inspect every other one (`CAP_SYS_PTRACE`, bit 19): nothing is hidden from it.
fn sees_all() -> bool {
    const PTRACE: u64 = 1 << 19;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok()).is_some_and(|held| held & PTRACE != 0)
}

/// Whether /proc hides other users' processes from this listing. It hides them from everybody except processes that may
/// trace any other. With `hidepid=invisible` it also excepts the members of one group, root's own if none is named.
/// Source: proc(5), `hidepid` and `gid`.
fn pid_hiding() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let groups = || {
        let own = rustix::process::getgroups().unwrap_or_default().into_iter();
        own.chain([rustix::process::getegid()]).map(rustix::process::Gid::as_raw)
    };
    let hides = |line: &str| {
        let options: Vec<&str> = line.split([',', ' ']).collect();
        let any = |names: [&str; 2]| names.iter().any(|name| options.contains(name));
        let named = options.iter().find_map(|option| option.strip_prefix("gid=")?.parse().ok());
        let member = || groups().any(|group| group == named.unwrap_or(0));
        any(["hidepid=4", "hidepid=ptraceable"]) || (any(["hidepid=2", "hidepid=invisible"]) && !member())
    };
    let of_proc = |line: &&str| line.split_ascii_whitespace().nth(4) == Some("/proc");
    !sees_all() && mounts.lines().filter(of_proc).any(hides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_comes_from_either_kind_of_control_group() {
        let v2 = b"0::/system.slice/app.service\n";
        let v1 = b"4:memory:/x\n1:name=systemd:/system.slice/app.service/worker\n0::/\n";
        for text in [&v2[..], &v1[..]] {
            let process = Process { cgroup: control_group(text), ..sample() };
            assert_eq!(process.unit(), Some("app.service"));
        }
        assert_eq!(control_group(b"0::/\n"), None);
        assert_eq!(control_group(b"nonsense"), None);
    }

    #[test]
    fn the_container_comes_from_the_control_group() {
        let id = "0123456789abcdef".repeat(4);
        for group in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
            format!("/kubepods/burstable/pod1-2/cri-containerd-{id}.scope"),
        ] {
            let process = Process { cgroup: Some(group.clone()), ..sample() };
            assert_eq!(process.container(), Some(id.as_str()), "{group}");
        }
        for group in ["/system.slice/app.service", "/docker", &format!("/docker/{}x", &id[1..])] {
            assert_eq!(Process { cgroup: Some(group.into()), ..sample() }.container(), None, "{group}");
        }
    }

    #[test]
    fn arguments_are_matched_whole_and_never_printed() {
        let args = Arguments(Zeroizing::new(b"python3\0worker.py\0--key=abc\0\0".to_vec()));
        assert!(args.holds(OsStr::new("worker.py")));
        assert!(!args.holds(OsStr::new("worker")));
        assert_eq!(args.count(), 3);
        assert_eq!(format!("{args:?}"), "3 arguments");
    }

    #[test]
    fn a_title_is_told_from_a_command_line() {
        let over = |line: &[u8]| Arguments(Zeroizing::new(line.to_vec())).overwritten();
        for line in [&b"python3\0worker.py\0--key=a b\0\0"[..], b"sh\0-c\0echo a b\0", b"sleep\0", b""] {
            assert!(!over(line), "{}", String::from_utf8_lossy(line));
        }
        for line in [&b"nginx: worker process\0\0\0"[..], b"php-fpm: pool www\0", b"title", b"a\0longer"] {
            assert!(over(line), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn an_executable_matches_by_path_or_by_name() {
        let process = Process { exe: Some("/usr/bin/python3.11".into()), ..sample() };
        assert!(process.runs(Path::new("python3.11")));
        assert!(process.runs(Path::new("/usr/bin/python3.11")));
        assert!(!process.runs(Path::new("/opt/python3.11")));
        assert!(!Process { exe: None, ..sample() }.runs(Path::new("x")));
    }

    fn sample() -> Process {
        Process {
            id: ProcessId { boot: 1, pid: 2, start_ticks: 3 },
            ppid: 1,
            uid: Some(0),
            name: "x".into(),
            exe: None,
            exe_deleted: false,
            args: Arguments::default(),
            cgroup: None,
            forked: false,
            program: Program::default(),
        }
    }
}
