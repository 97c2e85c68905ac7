use std::io::{self, Write};
use std::os::fd::AsFd;

use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Where a command writes that passes somebody else's bytes on, without what is secret; events and messages do not go here.
///
/// Where nobody takes the bytes it waits: whoever gave the descriptor may have made it one that does not.
pub(crate) struct Raw<S>(S);

pub(crate) fn out() -> Raw<io::Stdout> {
    Raw(io::stdout())
}

/// The same for what a program writes beside its output.
pub(crate) fn err() -> Raw<io::Stderr> {
    Raw(io::stderr())
}

impl<S: AsFd> Write for Raw<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Err(Errno::AGAIN) => wait(&self.0)?,
                Err(Errno::INTR) => {}
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until the reader takes bytes or is gone.
fn wait(to: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(to, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What was asked for could not be written.
pub(crate) fn not_written(error: &io::Error) -> Problem {
    Problem::new(Code::OutputNotWritten, "write the output")
        .because_of(error)
        .help("free space where stdout goes, then run the same command again")
}
