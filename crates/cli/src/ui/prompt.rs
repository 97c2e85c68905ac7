use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use keyroll_secret::SecretBytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::{Zeroize as _, Zeroizing};

use crate::exit::Exit;
use crate::problem::Problem;
use crate::redact;
use crate::ui::Ui;

/// The largest value that is taken in, in bytes (the limit of what a rotation carries).
pub(crate) const VALUE_BYTES_MAX: usize = 65_536;

/// How long a terminal must be quiet for a paste to be over, nanoseconds: one comes in pieces.
const PENDING_LOOK_NS: i64 = 150_000_000;

/// How often the name is asked for before nothing is ended: coming as far again takes a whole round.
const NAME_ASKED_MAX: u32 = 3;

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// Nobody can be asked.
    Nobody,
}

impl Ui {
    /// Reads a value without showing it: from the terminal, or all of stdin if that is not one.
    pub(crate) fn hidden(&mut self, what: &str) -> Result<SecretBytes, Problem> {
        self.settle();
        let value = match io::stdin().is_terminal() {
            true if self.look.input => from_terminal(what)?,
            true => {
                return Err(taking(what)
                    .because("nobody may be asked (--no-input)")
                    .help("give the value on stdin: keyroll secret add NAME < FILE")
                    .exits(Exit::NeedsPerson));
            }
            false => from_reader(what, io::stdin().lock())?,
        };
        if value.is_empty() {
            return Err(taking(what).because("it is empty"));
        }
        redact::remember(&value);
        Ok(value)
    }

    /// Reads a value from a file that only its owner can read, or from a pipe.
    #[allow(clippy::unused_self, reason = "everything that is taken in is taken in here")]
    pub(crate) fn value_of_file(&mut self, what: &str, path: &Path) -> Result<SecretBytes, Problem> {
        let attempted = || taking(&format!("{what} from {}", path.display()));
        let file = File::open(path).map_err(|error| attempted().because_of(&error))?;
        let meta = file.metadata().map_err(|error| attempted().because_of(&error))?;
        if meta.is_file() && meta.mode() & 0o077 != 0 {
            let why = format!("others may read it (mode {:04o})", meta.mode() & 0o7777);
            return Err(attempted().because(why).help(format!("chmod 600 {}", path.display())));
        }
        if !meta.is_file() && !meta.file_type().is_fifo() {
            return Err(attempted().because("it is neither a file nor a pipe"));
        }
        let value = from_reader(what, file)?;
        if value.is_empty() {
            return Err(attempted().because("it is empty"));
        }
        redact::remember(&value);
        Ok(value)
    }

    /// Whether somebody can be asked for a value.
    pub(crate) fn may_ask(&self) -> bool {
        self.look.input && !self.look.json && io::stdin().is_terminal()
    }

    /// Whether values are typed rather than read from a stream.
    pub(crate) fn is_terminal_input(&self) -> bool {
        io::stdin().is_terminal()
    }

    /// Asks for a name to be typed, for what cannot be undone.
    pub(crate) fn ask_name(&mut self, question: &str, name: &str) -> Answer {
        match self.put(&format!("{question} Type `{name}` to go on: ")) {
            true => typed_name(name),
            false => Answer::Nobody,
        }
    }

    /// The same without waiting for the answer, which comes on a thread of its own. Returns whether somebody is asked.
    pub(crate) fn begin_ask_name(
        &mut self,
        question: &str,
        name: &str,
        answered: impl FnOnce(Answer) + Send + 'static,
    ) -> bool {
        if !self.put(&format!("{question} Type `{name}` to go on: ")) {
            return false;
        }
        let name = name.to_owned();
        // A read of a terminal cannot be called off: where nobody answers, the thread ends with the process.
        std::thread::spawn(move || {
            answered(typed_name(&name));
        });
        true
    }

    /// Shows a question, if there is somebody to read it.
    fn put(&mut self, question: &str) -> bool {
        let somebody = self.look.input && !self.look.json && io::stdin().is_terminal();
        if somebody {
            self.settle();
            let _ = io::stderr().write_all(question.as_bytes());
        }
        somebody
    }
}

/// The answer of whoever was asked for a name; one that is mistyped may be typed again.
fn typed_name(name: &str) -> Answer {
    for left in (0..NAME_ASKED_MAX).rev() {
        let again = match typed().as_deref().map(str::trim) {
            None => return Answer::Nobody,
            Some(line) if line == name => return Answer::Yes,
            Some("") => false,
            Some(_) => left > 0,
        };
        // What was typed is not repeated: it may have been a value.
        let said = match again {
            true => format!("that was not `{name}`. Type it again, or nothing for no: "),
            false => format!("that was not `{name}`: nothing is ended\n"),
        };
        let _ = io::stderr().write_all(said.as_bytes());
        if !again {
            break;
        }
    }
    Answer::No
}

/// A line that somebody typed.
fn typed() -> Option<String> {
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line).ok()?;
    (read > 0).then_some(line)
}

fn taking(what: &str) -> Problem {
    Problem::new("K0806", format!("take in {what}"))
        .help("run it again: at a terminal the value is asked for, not echoed; elsewhere give it on stdin")
}

/// All of a stream, without one line end at its end.
fn from_reader(what: &str, reader: impl Read) -> Result<SecretBytes, Problem> {
    // Room for all of it at once: a buffer that grows would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX + 2));
    let limit = VALUE_BYTES_MAX as u64 + 2;
    reader.take(limit).read_to_end(&mut bytes).map_err(|error| taking(what).because_of(&error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(taking(what).because(format!("it is larger than {VALUE_BYTES_MAX} bytes")));
    }
    Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
}

/// The terminal without echo; put back as it was when this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn open() -> io::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        // Ctrl-C comes as a byte, so that the terminal can be put back first.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Silent {
    /// Reads what is pending behind the line that was taken, which would be the shell's next command. Returns whether
    /// it was more than white space.
    fn thrown_away(&mut self) -> io::Result<bool> {
        let look = Timespec { tv_sec: 0, tv_nsec: PENDING_LOOK_NS };
        let mut more = false;
        // Bounded: whoever types on for ever is not waited for.
        for _ in 0..=VALUE_BYTES_MAX {
            let mut pending = [PollFd::new(&self.terminal, PollFlags::IN)];
            let ready = poll(&mut pending, Some(&look))?;
            if ready == 0 || !pending.iter().any(|one| one.revents().contains(PollFlags::IN)) {
                break;
            }
            let mut byte = [0_u8; 1];
            let read = self.terminal.read(&mut byte)?;
            more |= read > 0 && !byte[0].is_ascii_whitespace();
            byte.zeroize();
            if read == 0 {
                break;
            }
        }
        Ok(more)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // What is pending is not the shell's.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
        let _ = self.terminal.write_all(b"\n");
    }
}

/// Reads a value at the terminal without showing it, whatever stdin is.
pub(crate) fn typed_hidden(what: &str) -> Result<SecretBytes, Problem> {
    let value = from_terminal(what)?;
    redact::remember(&value);
    Ok(value)
}

fn from_terminal(what: &str) -> Result<SecretBytes, Problem> {
    let mut silent = Silent::open().map_err(|error| taking(what).because_of(&error))?;
    let _ = silent.terminal.write_all(format!("{what} (not shown): ").as_bytes());
    let mut bytes = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX + 1));
    loop {
        let mut byte = [0_u8; 1];
        let read = silent.terminal.read(&mut byte).map_err(|error| taking(what).because_of(&error))?;
        let [typed] = byte;
        byte.zeroize();
        match typed {
            _ if read == 0 => break,
            b'\n' | b'\r' => break,
            3 | 4 => return Err(taking(what).because("it was cancelled").exits(Exit::Interrupted)),
            8 | 127 => {
                bytes.pop();
            }
            21 => bytes.clear(),
            _ if bytes.len() >= VALUE_BYTES_MAX => {
                return Err(taking(what).because(format!("it is larger than {VALUE_BYTES_MAX} bytes")));
            }
            typed => bytes.push(typed),
        }
    }
    match silent.thrown_away() {
        Ok(false) => Ok(SecretBytes::new(std::mem::take(&mut *bytes))),
        Ok(true) => Err(taking(what)
            .because("what was pasted has a line break in it")
            .because("the rest of what was pasted was thrown away, and nothing was taken in")
            .help("paste it as one line, by the same command")
            .exits(Exit::NeedsPerson)),
        Err(error) => Err(taking(what).because_of(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_taken_off() {
        for (given, taken) in [("v\n", "v"), ("v\r\n", "v"), ("v", "v"), ("v\n\n", "v\n"), ("a b\t", "a b\t")]
        {
            let value = from_reader("a value", given.as_bytes()).unwrap();
            assert_eq!(value.expose(), taken.as_bytes());
        }
    }

    #[test]
    fn a_value_without_end_is_refused() {
        let problem = from_reader("a value", io::repeat(b'x')).err().unwrap();
        assert_eq!(problem.causes, ["it is larger than 65536 bytes"]);
        let most = vec![b'x'; VALUE_BYTES_MAX];
        assert_eq!(from_reader("a value", most.as_slice()).unwrap().len(), VALUE_BYTES_MAX);
    }
}
