//! Reads a terminal, without echo for a value, until a request to stop.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::PoisonError;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use zeroize::{Zeroize as _, Zeroizing};

use crate::signals;
use crate::ui::silent::{SILENT, put_terminal_back};

/// The largest accepted value, in bytes (the limit of a rotation).
pub(super) const VALUE_BYTES_MAX: usize = 65_536;

/// How long a terminal must be quiet until a paste is complete, nanoseconds: a paste comes in pieces.
const PENDING_LOOK_NS: i64 = 150_000_000;

/// The most input that is dropped after a line, in bytes, so that endless input is not awaited.
const THROWN_AWAY_BYTES_MAX: usize = 64 * VALUE_BYTES_MAX;

/// How a terminal marks what is pasted, if a program before keyroll asked it to and did not take that back.
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// The result of waiting for input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Input,
    /// A stop was requested, or the question was withdrawn.
    Stopped,
    /// Nothing came in time.
    Quiet,
}

/// Waits for input, until one of `others` is readable or closed, or the time is over.
pub(super) fn ready(
    from: BorrowedFd<'_>,
    others: &[BorrowedFd<'_>],
    time: Option<&Timespec>,
) -> io::Result<Ready> {
    let mut all: Vec<PollFd<'_>> = std::iter::once(&from)
        .chain(others)
        .map(|one| PollFd::from_borrowed_fd(*one, PollFlags::IN))
        .collect();
    while let Err(error) = poll(&mut all, time) {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    let mut heard = all.iter().map(|one| !one.revents().is_empty());
    let input = heard.next().unwrap_or(false);
    Ok(match (heard.any(|heard| heard), input) {
        (true, _) => Ready::Stopped,
        (false, true) => Ready::Input,
        (false, false) => Ready::Quiet,
    })
}

/// A stream that is not awaited after a request to stop.
pub(super) struct Heeding<F>(pub(super) F);

impl<F: AsFd + Read> Read for Heeding<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let wake = signals::wake();
            if ready(self.0.as_fd(), wake.as_slice(), None)? == Ready::Stopped {
                return Err(io::Error::other("it was asked to stop"));
            }
            match self.0.read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

/// A line of a terminal, as it was typed.
pub(super) enum Line {
    Typed(Zeroizing<Vec<u8>>),
    Cancelled,
    TooLong,
}

/// The terminal without echo; restored on drop.
pub(super) struct Silent {
    terminal: File,
}

impl Silent {
    #[expect(clippy::disallowed_methods, reason = "opens the terminal")]
    pub(super) fn open() -> io::Result<Self> {
        signals::hear();
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        // Ctrl-C arrives as a byte, and Ctrl-Z does not leave a silent terminal to the shell.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        let kept = terminal.try_clone()?;
        *SILENT.lock().unwrap_or_else(PoisonError::into_inner) = Some((kept, before));
        let opened = Self { terminal };
        tcsetattr(&opened.terminal, OptionalActions::Flush, &silent)?;
        Ok(opened)
    }

    pub(super) fn show(&mut self, text: &str) {
        let _ = self.terminal.write_all(text.as_bytes());
    }

    /// Reads a line and drops any input after it, which would otherwise be the shell's next command. Returns whether
    /// the dropped input was more than white space.
    pub(super) fn line(&mut self) -> io::Result<(Line, bool)> {
        let line = self.typed();
        let more = self.thrown_away()?;
        Ok((line?, more))
    }

    fn typed(&mut self) -> io::Result<Line> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX + 1));
        loop {
            let wake = signals::wake();
            if ready(self.terminal.as_fd(), wake.as_slice(), None)? == Ready::Stopped {
                return Ok(Line::Cancelled);
            }
            let Some(typed) = self.byte()? else { break };
            match typed {
                // A paste may begin with a line end.
                b'\n' | b'\r' if is_blank(&bytes) && self.is_pending()? => {}
                b'\n' | b'\r' => break,
                // Ctrl-C, Ctrl-D, Ctrl-Z, Ctrl-\.
                3 | 4 | 26 | 28 => {
                    signals::ask();
                    return Ok(Line::Cancelled);
                }
                8 | 127 => rubbed_out(&mut bytes),
                21 => bytes.clear(),
                _ if bytes.len() >= VALUE_BYTES_MAX => return Ok(Line::TooLong),
                typed => bytes.push(typed),
            }
        }
        unmark(&mut bytes);
        Ok(Line::Typed(bytes))
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0_u8; 1];
        let read = self.terminal.read(&mut byte)?;
        let [typed] = byte;
        byte.zeroize();
        Ok((read > 0).then_some(typed))
    }

    fn is_pending(&self) -> io::Result<bool> {
        let look = Timespec { tv_sec: 0, tv_nsec: PENDING_LOOK_NS };
        Ok(ready(self.terminal.as_fd(), &[], Some(&look))? == Ready::Input)
    }

    fn thrown_away(&mut self) -> io::Result<bool> {
        let mut left = THROWN_AWAY_BYTES_MAX;
        // Enough bytes to distinguish a paste mark from text.
        let mut begin: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(PASTE_ENDS.len() + 1));
        let mut buffer = Zeroizing::new([0_u8; 4096]);
        while left > 0 && self.is_pending()? {
            let read = self.terminal.read(buffer.as_mut_slice())?;
            if read == 0 {
                break;
            }
            let text = buffer.iter().take(read).filter(|byte| !byte.is_ascii_whitespace());
            let room = (PASTE_ENDS.len() + 1).saturating_sub(begin.len());
            begin.extend(text.take(room));
            left = left.saturating_sub(read);
        }
        Ok(!begin.is_empty() && begin.as_slice() != PASTE_ENDS)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        put_terminal_back();
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(PASTE_BEGINS).unwrap_or(bytes);
    text.iter().all(u8::is_ascii_whitespace)
}

/// The last character, which may have several bytes.
fn rubbed_out(bytes: &mut Vec<u8>) {
    while bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

/// Without the marks of a paste.
fn unmark(bytes: &mut Zeroizing<Vec<u8>>) {
    if let Some(length) = bytes.strip_suffix(PASTE_ENDS).map(<[u8]>::len) {
        bytes.truncate(length);
    }
    if bytes.starts_with(PASTE_BEGINS) {
        bytes.drain(..PASTE_BEGINS.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_a_paste_are_no_part_of_it() {
        for (typed, taken) in
            [("\x1b[200~v w\x1b[201~", "v w"), ("\x1b[200~v", "v"), ("v", "v"), ("\x1b[201~", "")]
        {
            let mut bytes = Zeroizing::new(typed.as_bytes().to_vec());
            unmark(&mut bytes);
            assert_eq!(bytes.as_slice(), taken.as_bytes());
        }
    }

    #[test]
    fn a_character_is_rubbed_out_whole() {
        let mut bytes = "aé".as_bytes().to_vec();
        rubbed_out(&mut bytes);
        assert_eq!(bytes, b"a");
        rubbed_out(&mut bytes);
        rubbed_out(&mut bytes);
        assert_eq!(bytes, b"");
    }
}
