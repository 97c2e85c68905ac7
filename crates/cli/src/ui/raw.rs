use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::problem::Problem;

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

/// Until it takes bytes, or has a reason to take none.
fn wait(to: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(to, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What was asked for could not be written.
pub(crate) fn not_written(error: &io::Error) -> Problem {
    Problem::new("K0886", "write down what was asked for")
        .because_of(error)
        .help("make room where stdout goes, then run the same command again")
}
