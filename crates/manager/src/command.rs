use std::ffi::OsString;
use std::io::{PipeWriter, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use keyroll_observe::{ProcessId, detach, is_interpreter};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::instance::filled;
use crate::output::{Drain, beginning_of, list_in, memory_file, small_memory_file, written_to};
use crate::user::User;

/// The variables that a started command gets, as far as keyroll has them.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The search path where keyroll has none.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a command that was asked to end may take before it is killed, milliseconds.
const END_GRACE_MS_MAX: u64 = 1_000;

/// A command with its arguments; no shell reads it unless it names one. `{instance}` stands for the instance's name.
/// It must not hold a value: arguments are visible to everybody on the machine.
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

    /// The script that the command runs, where its program is one or is told one by its first argument; relative
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

/// What becomes of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The beginning is kept; the command may leave a service running that goes on writing.
    Drain,
    /// The beginning is kept; the command leaves nothing behind.
    Keep,
    /// The same, with what it complains about on standard error.
    Both,
    /// Its standard output is kept whole, if it is not much; the command leaves nothing behind.
    Whole,
    /// Its standard output is kept whole, and may be long: a list. The command leaves nothing behind.
    List,
    /// What it complains about on standard error is kept whole, if it is not much; the command leaves nothing behind.
    Complaint,
    /// The beginning of the answer is kept, and the complaint apart from it; the command leaves nothing behind.
    Answer,
}

impl Output {
    /// Whether the command begins only once it was written down: so do all that may change something.
    fn is_gated(self) -> bool {
        match self {
            Self::Drain | Self::Both | Self::Whole => true,
            Self::Keep | Self::List | Self::Complaint | Self::Answer => false,
        }
    }
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: Option<SecretBytes>,
    /// What it complained about, where that was kept apart from the answer.
    pub(crate) complaint: Option<SecretBytes>,
}

/// Holds a command back until it was written down: a driver that is killed before that leaves nothing running that
/// nobody knows of. The process stays the same when it becomes the command.
const GATE: &str = "read -r _ || exit 125; exec \"$@\" </dev/null";

/// The same for a command that is asked something: behind the word comes what it reads. A shell takes no byte more from
/// a pipe than the line. Source: POSIX, `read`.
const GATE_WITH_INPUT: &str = "read -r _ || exit 125; exec \"$@\"";

/// The most that is handed over through a gate, bytes: it must fit into the pipe, which nobody may read.
const GATED_INPUT_BYTES_MAX: usize = 4096;

/// What a command is run with besides its line.
pub(crate) struct With<'a> {
    pub(crate) user: Option<&'a User>,
    pub(crate) output: Output,
    /// Variables for a tool of the system that needs them; never for a command of the configuration.
    pub(crate) variables: &'a [(&'a str, OsString)],
    /// What it reads on standard input; it is handed over in memory and stands in no file.
    pub(crate) input: Option<&'a SecretBytes>,
}

impl With<'_> {
    pub(crate) fn output(output: Output) -> Self {
        Self { user: None, output, variables: &[], input: None }
    }
}

/// Clears the environment but for PATH, HOME and LANG: keyroll's own may hold a value.
pub(crate) fn with_plain_environment(command: &mut Command, user: Option<&User>) {
    command.env_clear().env("PATH", PATH_DEFAULT);
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(user) = user {
        command.env("HOME", &user.home).uid(user.uid).gid(user.gid);
    }
}

/// Runs a command in its own session until it ends, or ends it by process group at the deadline.
///
/// # Errors
/// Not started (`K0404`, nothing done); killed at the deadline (`K0403`, unknown). An exit status is no error here.
pub(crate) fn run(
    line: &CommandLine,
    with: &With<'_>,
    deadline: Instant,
    started: &mut dyn FnMut(ProcessId),
) -> Result<Ended, Failure> {
    let not_started = |error: std::io::Error| {
        // Too many processes or too little memory may pass; a missing program does not.
        let passes = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::OutOfMemory);
        let class = if passes { Class::Retryable } else { Class::Permanent };
        Failure::new(class, "K0404", format!("start `{}`", line.name()))
            .because(error)
            .help("run the command by hand as keyroll's user, then `keyroll resume`")
    };
    if deadline <= Instant::now() {
        return Err(Failure::new(Class::Retryable, "K0403", format!("start `{}`", line.name()))
            .because("its deadline was over before it was started"));
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
    // A command that has ended already has no use for the word.
    if let Some(mut gate) = gate {
        let input = with.input.map(SecretBytes::expose).unwrap_or_default();
        drop(gate.write_all(b"\n").and_then(|()| gate.write_all(input)));
    }
    let in_time = ended_by(&child, deadline);
    if !in_time.as_ref().is_ok_and(|ended| *ended) {
        end_group(&mut child);
        let failure = Failure::new(Class::Unknown, "K0403", format!("finish `{}` in time", line.name()))
            .help("see what the command did, then `keyroll resume`");
        return Err(match in_time {
            Ok(_) => failure.because("it was ended with its process group at its deadline"),
            Err(error) => failure.because(error),
        });
    }
    let status = child.wait().map_err(|error| {
        Failure::new(Class::Unknown, "K0403", format!("await `{}`", line.name())).because(error)
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

fn plain(line: &CommandLine) -> Command {
    let mut command = Command::new(&line.program);
    command.args(&line.arguments).stdin(Stdio::null());
    command
}

/// The command behind its gate, and what opens that: a line. Closed without one, the command never begins.
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

/// The program of that name in keyroll's search path, or the path itself; `None` where nothing can be run there.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| runs(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| runs(path))
}

fn runs(path: &Path) -> bool {
    let meta = std::fs::metadata(path);
    meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether there is such a program, as the system would look for it.
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
            Output::Answer => {
                let (answer, complaint) = (memory_file()?, small_memory_file()?);
                command.stdout(answer.try_clone()?).stderr(complaint.try_clone()?);
                Ok(Self::Apart(answer, complaint))
            }
        }
    }

    /// The answer, and the complaint where it was kept apart.
    fn kept(self) -> (Option<SecretBytes>, Option<SecretBytes>) {
        match self {
            Self::Drained(drain) => (Some(drain.kept()), None),
            Self::Memory(mut file) => (Some(beginning_of(&mut file)), None),
            Self::Small(mut file) => (written_to(&mut file), None),
            Self::Long(mut file) => (list_in(&mut file), None),
            Self::Apart(mut answer, mut complaint) => {
                (Some(beginning_of(&mut answer)), written_to(&mut complaint))
            }
        }
    }
}

/// Waits until a child that was not yet waited for has ended, or until the deadline: whether it ended.
pub(crate) fn ended_by(child: &Child, deadline: Instant) -> std::io::Result<bool> {
    let pid =
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidInput)?;
    // The number is the child's own until it is waited for, so nobody else can be meant.
    pidfd_ended(&pidfd_open(pid, PidfdFlags::empty())?, deadline)
}

/// Waits until the process behind a descriptor has ended, or until the deadline.
pub(crate) fn pidfd_ended(descriptor: &std::os::fd::OwnedFd, deadline: Instant) -> std::io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends a child and everything of its process group: politely, then by force. The child is still ours to wait for,
/// so its number, which is also the group's, cannot belong to anyone else.
fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(group) = group else { return };
    let _ = kill_process_group(group, Signal::TERM);
    drop(ended_by(child, Instant::now() + Duration::from_millis(END_GRACE_MS_MAX)));
    // Members that ignored the request are killed while the leader still holds the number.
    let _ = kill_process_group(group, Signal::KILL);
    drop(child.wait());
}

#[cfg(test)]
mod tests {
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
