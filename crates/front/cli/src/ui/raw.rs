use std::io::{self, Write};
use std::os::fd::AsFd;

use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Stdout for a command that copies other programs' output after redaction. Events and messages are not written here.
///
/// Waits until the bytes are taken, even if the descriptor was inherited in non-blocking mode.
pub(crate) struct Raw<S>(S);

pub(crate) fn out() -> Raw<io::Stdout> {
    Raw(io::stdout())
}

/// The same for stderr.
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

/// The problem that the requested output could not be written.
pub(crate) fn not_written(error: &io::Error) -> Problem {
    Problem::new(Code::OutputNotWritten, "write the output")
        .because_of(error)
        .help("free space where stdout goes, then run the same command again")
}
