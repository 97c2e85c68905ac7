//! A program that prints a log, read line by line within a limit of bytes and of time.

use std::io::{PipeReader, Read as _};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::detach;

/// How long one look at a log may take, milliseconds.
const LOOK_MS_MAX: u64 = 60_000;
/// The most that one look reads, bytes.
const LOOK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How much of a line is kept, bytes; the rest of a longer line is skipped.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How much of its standard error is kept, bytes.
const COMPLAINT_BYTES_MAX: usize = 4096;
/// How much is read at once, bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// The variables by which these programs find their servers, settings and messages.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"];

/// Which of its outputs are lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// Standard output; standard error has the program's own messages.
    Output,
    /// Both: the log has two streams.
    Both,
}

/// How a program ended.
pub(crate) struct Ran {
    /// It ended with success, or was ended because enough was read.
    pub(crate) good: bool,
    /// There is more.
    pub(crate) more: bool,
    /// The beginning of its standard error, where that was apart.
    pub(crate) complaint: String,
}

pub(crate) fn not_read(what: &str) -> Failure {
    Failure::new(Class::Retryable, Code::LogUnreadable, format!("read {what}"))
        .help("run keyroll as a user who may read it, or name another `log` in the configuration")
}

/// Runs a program and gives each of its lines to `each`.
#[expect(clippy::disallowed_methods, reason = "journalctl and docker are followed beside what they serve")]
pub(crate) fn run(
    what: &str,
    words: &[&str],
    take: Take,
    mut each: impl FnMut(&[u8]),
) -> Result<Ran, Failure> {
    let failed = |error: std::io::Error| not_read(what).because(error);
    let Some((program, arguments)) = words.split_first() else { return Err(not_read(what)) };
    let (mut reader, writer) = std::io::pipe().map_err(failed)?;
    let (mut complaints, complaint) = std::io::pipe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env_clear().env("LC_ALL", "C");
    command.envs(PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    match take {
        Take::Output => command.stdout(writer).stderr(complaint),
        Take::Both => command.stdout(writer.try_clone().map_err(failed)?).stderr(writer),
    };
    let mut child = Ended(detach(&mut command).spawn().map_err(failed)?);
    // From here on the child alone holds its ends of the pipes.
    drop(command);
    let end = Instant::now() + Duration::from_millis(LOOK_MS_MAX);
    let more = lines(&mut reader, end, &mut each).map_err(failed)?;
    if more {
        return Ok(Ran { good: true, more, complaint: String::new() });
    }
    // Only the error output is left to be read, which is short and fits into the pipe. A process that keeps one of the
    // two open, or goes on without output, is not awaited beyond the end of the look.
    let mut said = Vec::new();
    if take == Take::Output {
        let mut part = [0; COMPLAINT_BYTES_MAX];
        while said.len() < COMPLAINT_BYTES_MAX && readable(&complaints, end).map_err(failed)? {
            match complaints.read(&mut part).map_err(failed)? {
                0 => break,
                read => said.extend_from_slice(part.get(..read).unwrap_or_default()),
            }
        }
    }
    let status = child.status(end).map_err(failed)?;
    Ok(Ran { good: status.success(), more, complaint: String::from_utf8_lossy(&said).trim().to_owned() })
}

/// A child that is killed and awaited when the look ends.
struct Ended(Child);

impl Ended {
    /// How it ended, if it did by then.
    fn status(&mut self, end: Instant) -> std::io::Result<ExitStatus> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
        // The number is the child's own until it is waited for.
        if !readable(&pidfd_open(pid, PidfdFlags::empty())?, end)? {
            return Err(late());
        }
        self.0.wait()
    }
}

fn late() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "it did not end in time")
}

/// Whether there is data or the end by then.
fn readable(of: &impl AsFd, end: Instant) -> std::io::Result<bool> {
    let left = Timespec::try_from(end.saturating_duration_since(Instant::now()))
        .map_err(|_| std::io::ErrorKind::TimedOut)?;
    let mut waiting = [PollFd::new(of, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut waiting, Some(&left)))? > 0)
}

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Splits the input into lines. `true` = there is more than one look reads.
fn lines(reader: &mut PipeReader, end: Instant, each: &mut impl FnMut(&[u8])) -> std::io::Result<bool> {
    let (mut chunk, mut line, mut budget) = (vec![0; CHUNK_BYTES], Vec::new(), LOOK_BYTES_MAX);
    loop {
        if !readable(reader, end)? {
            return Err(late());
        }
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            if !line.is_empty() {
                each(&line);
            }
            return Ok(false);
        }
        for piece in chunk.get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            let kept = piece.len().min(LINE_BYTES_MAX.saturating_sub(line.len()));
            line.extend_from_slice(piece.get(..kept).unwrap_or_default());
            if piece.ends_with(b"\n") {
                each(line.strip_suffix(b"\n").unwrap_or(&line));
                line.clear();
            }
        }
        budget = budget.saturating_sub(read);
        if budget == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_closes_its_output_and_goes_on_is_not_waited_for_without_an_end() {
        let mut command = Command::new("sleep");
        let mut child = Ended(command.arg("1000").spawn().unwrap());
        let ended = child.status(Instant::now() + Duration::from_millis(50));
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        let mut child = Ended(Command::new("true").spawn().unwrap());
        assert!(child.status(Instant::now() + Duration::from_secs(60)).unwrap().success());
    }

    #[test]
    fn what_was_left_open_here_is_not_open_there() {
        let (reader, writer) = std::io::pipe().unwrap();
        rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let mut said = String::new();
        let words = ["sh", "-c", &format!("test -e /proc/self/fd/{number} && echo open || echo closed")];
        let ran =
            run("a test", &words, Take::Output, |line| said = String::from_utf8_lossy(line).into_owned());
        assert!(ran.unwrap().good && said == "closed", "{said}");
        drop((reader, writer));
    }
}
