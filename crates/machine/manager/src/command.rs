use std::ffi::OsString;
use std::io::{PipeWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use keyroll_codes::Code;
use keyroll_observe::{ProcessId, detach, is_interpreter};
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::SecretBytes;

use crate::environment::{found, runs, with_plain_environment};
use crate::instance::filled;
use crate::output::{
    Drain, answer_in, answer_memory_file, beginning_of, list_in, memory_file, small_memory_file, written_to,
};
use crate::user::User;
use crate::wait::{end_group, end_rest, ended_by};

/// A command with its arguments; no shell reads it unless it names one. `{instance}` stands for the instance's name.
/// It must not hold a value: every user of the machine sees arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program, by path or looked up in PATH.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The folder that it runs in; keyroll's own where none is given.
    pub folder: Option<PathBuf>,
}

impl CommandLine {
    /// A command that `/bin/sh` reads, as one line of the configuration gives it.
    pub fn shell(line: impl Into<String>) -> Self {
        Self { program: "/bin/sh".into(), arguments: vec!["-c".into(), line.into()], folder: None }
    }

    /// A program with arguments.
    pub fn program(
        program: impl Into<String>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            folder: None,
        }
    }

    /// The script that the command runs: its program, or the interpreter's first argument; relative
    /// paths are taken from the command's folder. A program that is no script does not name any.
    pub fn script(&self) -> Option<PathBuf> {
        let folder = self.folder.as_deref().unwrap_or(Path::new("."));
        let named = |word: &str| Some(folder.join(word));
        if is_interpreter(Path::new(&self.program)) {
            let first = self.arguments.first().filter(|word| !word.is_empty() && !word.starts_with('-'));
            return named(first?);
        }
        if self.program.contains('/') { named(&self.program) } else { None }
    }

    /// The program and its arguments, in order.
    pub fn words(&self) -> Vec<String> {
        std::iter::once(&self.program).chain(&self.arguments).cloned().collect()
    }

    /// The command for one instance.
    pub(crate) fn filled(&self, instance: Option<&str>) -> Result<Self, Failure> {
        let arguments: Result<Vec<String>, Failure> =
            self.arguments.iter().map(|argument| filled(argument, instance)).collect();
        Ok(Self {
            program: filled(&self.program, instance)?,
            arguments: arguments?,
            folder: self.folder.clone(),
        })
    }

    /// How the command is named to a person: a shell line as it was written.
    pub(crate) fn name(&self) -> String {
        match (self.program.as_str(), self.arguments.as_slice()) {
            ("/bin/sh", [flag, line]) if flag == "-c" => line.clone(),
            (program, arguments) => std::iter::once(program)
                .chain(arguments.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// What keyroll keeps of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The beginning; the command may leave a service running that goes on writing.
    Drain,
    /// The beginning; the command leaves no process behind.
    Keep,
    /// The beginning of standard output and standard error together.
    Both,
    /// All of a short standard output; the command leaves no process behind.
    Whole,
    /// All of a standard output that may be long, such as a list; the command leaves no process behind.
    List,
    /// All of a short standard error; the command leaves no process behind.
    Complaint,
    /// The beginning of standard output, and standard error apart from it; the command leaves no process behind.
    Answer,
    /// All of a standard output that may hold a long value, and no standard error. It goes with an input that is too long
    /// for a gate.
    Reply,
}

impl Output {
    /// Whether the command begins only after it was recorded, as every command that may change something must.
    fn is_gated(self) -> bool {
        match self {
            Self::Drain | Self::Both | Self::Whole => true,
            Self::Keep | Self::List | Self::Complaint | Self::Answer | Self::Reply => false,
        }
    }
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: Option<SecretBytes>,
    /// Its standard error, where that was kept apart.
    pub(crate) complaint: Option<SecretBytes>,
}

/// Holds a command back until it was recorded: a driver that is killed before that leaves no process running that
/// the journal does not know. The shell becomes the command by exec, in the same process.
const GATE: &str = "read -r _ || exit 125; exec \"$@\" </dev/null";

/// The same for a command that reads its standard input: the input follows the first line. A shell takes no byte more
/// from a pipe than the line. Source: POSIX, `read`.
const GATE_WITH_INPUT: &str = "read -r _ || exit 125; exec \"$@\"";

/// The longest input through a gate, bytes: it must fit into the pipe, since the command may never read it.
const GATED_INPUT_BYTES_MAX: usize = 4096;

/// How a command is run.
pub(crate) struct With<'a> {
    pub(crate) user: Option<&'a User>,
    pub(crate) output: Output,
    /// Variables for a tool of the system that needs them; never for a command of the configuration.
    pub(crate) variables: &'a [(&'a str, OsString)],
    /// Its standard input; it is passed in memory and is in no file.
    pub(crate) input: Option<&'a SecretBytes>,
}

impl With<'_> {
    pub(crate) fn output(output: Output) -> Self {
        Self { user: None, output, variables: &[], input: None }
    }
}

/// Runs a command in its own session until it ends, or ends it by process group at the deadline.
///
/// # Errors
/// Not started (`K0404`, nothing done); killed at the deadline (`K0402`, unknown). An exit status is no error here.
pub(crate) fn run(
    line: &CommandLine,
    with: &With<'_>,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Ended, Failure> {
    let not_started = |error: std::io::Error| {
        // Too many processes or too little memory may be temporary; a missing program is not.
        let passes = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::OutOfMemory);
        let class = if passes { Class::Retryable } else { Class::Permanent };
        Failure::new(class, Code::ProgramNotStarted, format!("start `{}`", line.name()))
            .kind(FailureKind::ProgramNotStarted)
            .because(error)
            .help("run the command by hand as keyroll's user")
    };
    if deadline <= Instant::now() {
        return Err(Failure::new(Class::Retryable, Code::RestartFailed, format!("start `{}`", line.name()))
            .because("its deadline had passed before it was started"));
    }
    let (mut command, gate) =
        if with.output.is_gated() { held_back(line, with.input) } else { Ok((plain(line), None)) }
            .map_err(not_started)?;
    line.folder.iter().for_each(|folder| {
        command.current_dir(folder);
    });
    with_plain_environment(&mut command, with.user);
    command.envs(with.variables.iter().map(|(name, value)| (name, value)));
    if let (Some(input), None) = (with.input, &gate) {
        command.stdin(in_memory(input).map_err(not_started)?);
    }
    let capture = Capture::open(with.output, &mut command).map_err(not_started)?;
    let spawned = detach(&mut command).spawn();
    // The command's own copies of the output are closed, so that its end can be seen.
    drop(command);
    let mut child = spawned.map_err(not_started)?;
    if let Ok(process) = keyroll_observe::process(child.id()) {
        started(process.id);
    }
    // A command that has ended already does not read the line.
    if let Some(mut gate) = gate {
        let input = with.input.map(SecretBytes::expose).unwrap_or_default();
        drop(gate.write_all(b"\n").and_then(|()| gate.write_all(input)));
    }
    let in_time = ended_by(&child, deadline);
    if !in_time.as_ref().is_ok_and(|ended| *ended) {
        end_group(&mut child);
        let failure =
            Failure::new(Class::Unknown, Code::RestartFailed, format!("finish `{}` in time", line.name()))
                .help("see what the command did");
        return Err(match in_time {
            Ok(_) => failure.because("keyroll ended it with its process group at its deadline"),
            Err(error) => failure.because(error),
        });
    }
    // It is given a value: nothing that it started may go on with it. The number is still that of the ended leader.
    if with.output == Output::Reply {
        end_rest(&child);
    }
    let status = child.wait().map_err(|error| {
        Failure::new(Class::Unknown, Code::RestartFailed, format!("await `{}`", line.name())).because(error)
    })?;
    let (output, complaint) = capture.kept();
    Ok(Ended { status, output, complaint })
}

fn in_memory(input: &SecretBytes) -> std::io::Result<std::fs::File> {
    let mut file = memory_file()?;
    file.write_all(input.expose())?;
    file.rewind()?;
    Ok(file)
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts the commands of a configuration")]
fn plain(line: &CommandLine) -> Command {
    let mut command = Command::new(&line.program);
    command.args(&line.arguments).stdin(Stdio::null());
    command
}

/// The command behind its gate. A line opens the gate; if the pipe is closed without one, the command never begins.
#[expect(clippy::disallowed_methods, reason = "the one place that starts the commands of a configuration")]
fn held_back(
    line: &CommandLine,
    input: Option<&SecretBytes>,
) -> std::io::Result<(Command, Option<PipeWriter>)> {
    executable(line)?;
    if input.is_some_and(|input| input.len() > GATED_INPUT_BYTES_MAX) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new("/bin/sh");
    let gate = if input.is_some() { GATE_WITH_INPUT } else { GATE };
    command.args(["-c", gate, "sh", &line.program]).args(&line.arguments).stdin(reader);
    Ok((command, Some(writer)))
}

/// Fails where the program does not exist, looked up as the system does.
fn executable(line: &CommandLine) -> std::io::Result<()> {
    let found = if line.program.contains('/') {
        let folder = line.folder.as_deref().unwrap_or(Path::new("."));
        runs(&folder.join(&line.program))
    } else {
        found(&line.program).is_some()
    };
    if found { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
}

/// Where the output goes while the command runs.
enum Capture {
    Drained(Drain),
    Memory(std::fs::File),
    Small(std::fs::File),
    Long(std::fs::File),
    Reply(std::fs::File),
    Apart(std::fs::File, std::fs::File),
}

impl Capture {
    fn open(output: Output, command: &mut Command) -> std::io::Result<Self> {
        match output {
            Output::Drain => {
                let (drain, writer) = Drain::open()?;
                command.stderr(writer.try_clone()?).stdout(writer);
                Ok(Self::Drained(drain))
            }
            Output::Keep => {
                let file = memory_file()?;
                command.stdout(file.try_clone()?).stderr(Stdio::null());
                Ok(Self::Memory(file))
            }
            Output::Both => {
                let file = memory_file()?;
                command.stdout(file.try_clone()?).stderr(file.try_clone()?);
                Ok(Self::Memory(file))
            }
            Output::Whole => {
                let file = small_memory_file()?;
                command.stdout(file.try_clone()?).stderr(Stdio::null());
                Ok(Self::Small(file))
            }
            Output::List => {
                let file = memory_file()?;
                command.stdout(file.try_clone()?).stderr(Stdio::null());
                Ok(Self::Long(file))
            }
            Output::Complaint => {
                let file = small_memory_file()?;
                command.stdout(Stdio::null()).stderr(file.try_clone()?);
                Ok(Self::Small(file))
            }
            Output::Reply => {
                let file = answer_memory_file()?;
                command.stdout(file.try_clone()?).stderr(Stdio::null());
                Ok(Self::Reply(file))
            }
            Output::Answer => {
                let (answer, complaint) = (memory_file()?, small_memory_file()?);
                command.stdout(answer.try_clone()?).stderr(complaint.try_clone()?);
                Ok(Self::Apart(answer, complaint))
            }
        }
    }

    /// Standard output, and standard error where it was kept apart.
    fn kept(self) -> (Option<SecretBytes>, Option<SecretBytes>) {
        match self {
            Self::Drained(drain) => (Some(drain.kept()), None),
            Self::Memory(mut file) => (Some(beginning_of(&mut file)), None),
            Self::Small(mut file) => (written_to(&mut file), None),
            Self::Long(mut file) => (list_in(&mut file), None),
            Self::Reply(mut file) => (answer_in(&mut file), None),
            Self::Apart(mut answer, mut complaint) => {
                (Some(beginning_of(&mut answer)), written_to(&mut complaint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_command_begins_only_after_it_was_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let line = CommandLine::program("touch", [made.to_str().unwrap()]);
        let ran = |word: &[u8]| {
            let (mut command, gate) = held_back(&line, None).unwrap();
            let mut child = command.spawn().unwrap();
            drop(command);
            let mut gate = gate.unwrap();
            gate.write_all(word).unwrap();
            drop(gate);
            child.wait().unwrap().code()
        };
        // Its driver ended before the record was there.
        assert_eq!(ran(b""), Some(125));
        assert!(!made.exists());
        assert_eq!(ran(b"\n"), Some(0));
        assert!(made.exists());
    }

    #[test]
    fn a_command_that_may_change_something_is_written_down_before_it_begins_and_reads_what_it_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let line = CommandLine::shell(format!("touch {}; cat", made.display()));
        let input = SecretBytes::new(b"one\ntwo\n".to_vec());
        for (output, input) in [(Output::Both, None), (Output::Whole, Some(&input)), (Output::Drain, None)] {
            let with = With { input, ..With::output(output) };
            let deadline = Instant::now() + Duration::from_secs(60);
            let (mut waits, mut early) = (false, true);
            let ended = run(&line, &with, deadline, &mut |process| {
                let words = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap();
                waits = String::from_utf8_lossy(&words).contains("read -r _");
                early = made.exists();
            });
            let said = ended.unwrap().output.unwrap();
            assert!(waits && !early, "{output:?}: it began before it was written down");
            let wanted = input.map(SecretBytes::expose).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(said.expose()), String::from_utf8_lossy(wanted), "{output:?}");
            std::fs::remove_file(&made).unwrap();
        }
    }
}
