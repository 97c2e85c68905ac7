use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, PipeReader, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Instant;

use keyroll_app::exit::Exit;
use keyroll_app::operator::{Confirmation, OpenQuestion};
use keyroll_app::problem::Problem;
use keyroll_app::redact;
use keyroll_codes::Code;
use keyroll_secret::SecretBytes;
use rustix::event::Timespec;
use rustix::fs::OFlags;
use rustix::termios::{QueueSelector, tcflush};
use zeroize::Zeroizing;

use crate::signals;
use crate::ui::Ui;
use crate::ui::terminal::{Heeding, Line, Ready, Silent, VALUE_BYTES_MAX, ready};

/// The longest line that a terminal gives at once, in bytes (termios(3)).
const LINE_BYTES_MAX: usize = 4096;

/// How often a mistyped name may be typed again: starting over would take a whole round.
const NAME_ASKED_MAX: u32 = 3;

impl Ui {
    /// Reads a value without showing it: from the terminal, or all of stdin if that is not one.
    pub(crate) fn hidden(&mut self, what: &str) -> Result<SecretBytes, Problem> {
        self.settle();
        let value = match io::stdin().is_terminal() {
            true if self.look.input => self.typed(what)?,
            true => {
                return Err(taking(what)
                    .because("prompts are disabled (--no-input)")
                    .help("pass the value on stdin: keyroll secret add NAME < FILE")
                    .exits(Exit::NeedsPerson));
            }
            false => from_stdin(what)?,
        };
        if value.is_empty() {
            return Err(taking(what).because("it is empty"));
        }
        redact::remember(&value);
        Ok(value)
    }

    fn typed(&mut self, what: &str) -> Result<SecretBytes, Problem> {
        let (mut bytes, blanks) = trimmed(from_terminal(what)?);
        if bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(taking(what)
                .because("there is a control character in it: an arrow, Esc, or Ctrl with a letter")
                .help("paste it again with the same command")
                .exits(Exit::NeedsPerson));
        }
        if blanks && !bytes.is_empty() {
            self.note("removed the white space around the value; if it is part of the value, pass the value on stdin");
        }
        Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
    }

    /// Reads a value from a file that only its owner can read, or from a pipe.
    #[allow(clippy::unused_self, reason = "the one place that reads values")]
    #[expect(clippy::disallowed_methods, reason = "opens for reading, and does not wait for a FIFO")]
    pub(crate) fn value_of_file(&mut self, what: &str, path: &Path) -> Result<SecretBytes, Problem> {
        let attempted = || taking(&format!("{what} from {}", path.display()));
        // Opening does not wait for a writer of a FIFO, because no signal would interrupt it.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| attempted().because_of(&error))?;
        let meta = file.metadata().map_err(|error| attempted().because_of(&error))?;
        if meta.is_file() && meta.mode() & 0o077 != 0 {
            let why = format!("other users can read it (mode {:04o})", meta.mode() & 0o7777);
            return Err(attempted().because(why).help(format!("chmod 600 {}", path.display())));
        }
        if !meta.is_file() && !meta.file_type().is_fifo() {
            return Err(attempted().because("it is neither a file nor a pipe"));
        }
        let value = from_reader(what, Heeding(file))?;
        if value.is_empty() {
            return Err(attempted().because("it is empty"));
        }
        redact::remember(&value);
        Ok(value)
    }

    /// True if the operator can be asked for a value.
    pub(crate) fn may_ask(&self) -> bool {
        self.look.input && !self.look.json && io::stdin().is_terminal()
    }

    /// True if values are typed and not read from a stream.
    pub(crate) fn is_terminal_input(&self) -> bool {
        io::stdin().is_terminal()
    }

    /// Asks the operator to type a name before an irreversible step.
    pub(crate) fn ask_name(&mut self, question: &str, name: &str) -> Confirmation {
        match self.put(&format!("{question} Type `{name}` to continue: ")) {
            true => typed_name(name, None, None),
            false => Confirmation::Nobody,
        }
    }

    /// Asks the same without waiting: another thread gives the answer, unless the question is withdrawn. No answer until
    /// the deadline is a no. None if nobody can be asked.
    pub(crate) fn begin_ask_name(
        &mut self,
        question: &str,
        name: &str,
        until: Option<Instant>,
        answered: Box<dyn FnOnce(Confirmation) + Send>,
    ) -> Option<OpenQuestion> {
        // Two readers of one terminal would take each other's answers.
        let (off, asking) = io::pipe().ok()?;
        if !self.put(&format!("{question} Type `{name}` to continue: ")) {
            return None;
        }
        let name = name.to_owned();
        std::thread::spawn(move || match typed_name(&name, Some(&off), until) {
            Confirmation::Stopped => {}
            answer @ (Confirmation::Yes | Confirmation::No | Confirmation::Nobody) => answered(answer),
        });
        Some(OpenQuestion::new(asking))
    }

    /// Shows a question, if the operator can be asked.
    fn put(&mut self, question: &str) -> bool {
        let somebody = self.look.input && !self.look.json && io::stdin().is_terminal();
        if somebody {
            self.settle();
            // What was typed before the question was shown does not answer it.
            let _ = tcflush(io::stdin(), QueueSelector::IFlush);
            let _ = io::stderr().write_all(question.as_bytes());
        }
        somebody
    }
}

/// The operator's answer to a question for a name; a mistyped name may be typed again.
fn typed_name(name: &str, off: Option<&PipeReader>, until: Option<Instant>) -> Confirmation {
    for left in (0..NAME_ASKED_MAX).rev() {
        let line = match typed(off, until) {
            Ok(Typed::Line(line)) => line,
            Ok(Typed::Stopped) => return Confirmation::Stopped,
            Ok(Typed::Late) => {
                let _ = io::stderr().write_all(b"\nno answer in time: nothing is revoked\n");
                return Confirmation::No;
            }
            Err(_) => return Confirmation::Nobody,
        };
        let answer = answer(&line, name, left);
        // The typed text is not repeated: it may be a value.
        let said = match answer {
            Some(Confirmation::Yes) => return Confirmation::Yes,
            Some(_) => format!("that was not `{name}`: nothing is revoked\n"),
            None => format!("that was not `{name}`. Type it again, or nothing for no: "),
        };
        let _ = io::stderr().write_all(said.as_bytes());
        if answer.is_some() {
            break;
        }
    }
    Confirmation::No
}

/// What a typed line answers; none if the name is mistyped, and may be typed again `left` times.
fn answer(line: &[u8], name: &str, left: u32) -> Option<Confirmation> {
    let line = std::str::from_utf8(line).map(str::trim).ok();
    let no = |line: &str| ["", "n", "no"].iter().any(|no| line.eq_ignore_ascii_case(no));
    match line {
        Some(line) if line == name => Some(Confirmation::Yes),
        Some(line) if no(line) => Some(Confirmation::No),
        Some(_) | None => (left == 0).then_some(Confirmation::No),
    }
}

/// What came of the wait for a line.
enum Typed {
    Line(Zeroizing<Vec<u8>>),
    /// A stop was requested, or the question was withdrawn.
    Stopped,
    /// The time is over.
    Late,
}

/// A typed line.
fn typed(off: Option<&PipeReader>, until: Option<Instant>) -> io::Result<Typed> {
    let stdin = io::stdin();
    let others: Vec<_> = signals::wake().into_iter().chain(off.map(PipeReader::as_fd)).collect();
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    // A wait that is too long for the system's form is one without an end.
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match ready(stdin.as_fd(), &others, left.as_ref())? {
        Ready::Input => {}
        Ready::Stopped => return Ok(Typed::Stopped),
        Ready::Quiet => return Ok(Typed::Late),
    }
    // A terminal returns at most one line, and nothing of the next is buffered.
    let mut line = Zeroizing::new(vec![0; LINE_BYTES_MAX]);
    match rustix::io::read(&stdin, line.as_mut_slice())? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => {
            line.truncate(length);
            Ok(Typed::Line(line))
        }
    }
}

fn taking(what: &str) -> Problem {
    Problem::new(Code::ValueRefused, format!("read {what}")).help(
        "run it again at a terminal, which prompts for the value without echo, or pass the value on stdin",
    )
}

fn from_stdin(what: &str) -> Result<SecretBytes, Problem> {
    // Not through stdin's buffer, which would keep a copy.
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(|error| taking(what).because_of(&error))?;
    from_reader(what, Heeding(File::from(stdin)))
}

/// The whole stream, without one final line end.
fn from_reader(what: &str, reader: impl Read) -> Result<SecretBytes, Problem> {
    // Allocated once: a growing buffer would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX + 2));
    let limit = VALUE_BYTES_MAX as u64 + 2;
    reader.take(limit).read_to_end(&mut bytes).map_err(|error| match keyroll_app::interrupt::is_asked() {
        true => taking(what).because("it was cancelled").exits(Exit::Interrupted),
        false => taking(what).because_of(&error),
    })?;
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

/// Reads a value at the terminal without showing it, whatever stdin is.
pub(crate) fn typed_hidden(what: &str) -> Result<SecretBytes, Problem> {
    let mut bytes = from_terminal(what)?;
    let value = SecretBytes::new(std::mem::take(&mut *bytes));
    redact::remember(&value);
    Ok(value)
}

/// A line of the terminal, without showing it.
fn from_terminal(what: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let failed = |error: io::Error| taking(what).because_of(&error);
    let mut silent = Silent::open().map_err(failed)?;
    silent.show(&format!("{what} (not shown): "));
    let (line, more) = silent.line().map_err(failed)?;
    drop(silent);
    let thrown = "the rest of the pasted text was discarded, and nothing was stored";
    match (line, more) {
        (Line::Cancelled, _) => Err(taking(what).because("it was cancelled").exits(Exit::Interrupted)),
        (Line::TooLong, _) => {
            Err(taking(what).because(format!("it is larger than {VALUE_BYTES_MAX} bytes")).because(thrown))
        }
        (Line::Typed(_), true) => Err(taking(what)
            .because("the pasted text has a line break")
            .because(thrown)
            .help("paste it as one line with the same command")
            .exits(Exit::NeedsPerson)),
        (Line::Typed(bytes), false) => Ok(bytes),
    }
}

/// The pasted key without the white space around it. Returns whether there was any.
fn trimmed(mut bytes: Zeroizing<Vec<u8>>) -> (Zeroizing<Vec<u8>>, bool) {
    let Ok(text) = std::str::from_utf8(&bytes) else { return (bytes, false) };
    // Browsers copy invisible characters.
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}');
    let end = text.trim_end_matches(around).len();
    let begin = end.saturating_sub(text.get(..end).unwrap_or_default().trim_start_matches(around).len());
    let blanks = begin > 0 || end < bytes.len();
    bytes.truncate(end);
    bytes.drain(..begin);
    (bytes, blanks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_no_is_not_a_mistyped_name() {
        for no in ["", "n", "N", " no\r", "NO"] {
            assert_eq!(answer(no.as_bytes(), "acme", 2), Some(Confirmation::No), "{no}");
        }
        for mistyped in ["acmee", "y", "yes", "nope"] {
            assert_eq!(answer(mistyped.as_bytes(), "acme", 1), None, "{mistyped}");
            assert_eq!(answer(mistyped.as_bytes(), "acme", 0), Some(Confirmation::No), "{mistyped}");
        }
        assert_eq!(answer(b"\xff", "acme", 1), None);
        assert_eq!(answer(b"acme\n", "acme", 0), Some(Confirmation::Yes));
        assert_eq!(answer(b"no\n", "no", 2), Some(Confirmation::Yes), "the name itself");
    }

    #[test]
    fn one_line_end_is_taken_off() {
        for (given, taken) in [("v\n", "v"), ("v\r\n", "v"), ("v", "v"), ("v\n\n", "v\n"), ("a b\t", "a b\t")]
        {
            let value = from_reader("a value", given.as_bytes()).unwrap();
            assert_eq!(value.expose(), taken.as_bytes());
        }
    }

    #[test]
    fn what_nobody_sees_around_a_key_is_taken_off() {
        for (typed, taken, blanks) in
            [("v", "v", false), (" v w\t ", "v w", true), ("\u{feff}v\u{a0}", "v", true), ("  ", "", true)]
        {
            let (bytes, had) = trimmed(Zeroizing::new(typed.as_bytes().to_vec()));
            assert_eq!((bytes.as_slice(), had), (taken.as_bytes(), blanks));
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
