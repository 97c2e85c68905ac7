//! The file in which the server writes down what it gives out, before it does.

#![expect(clippy::disallowed_methods, reason = "a file of keyroll's own, not one of a consumer")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::known::{Consumers, Life, Line, Of, What, Words, ledger_file};

/// More lines than this are written anew without the lives that have ended.
const LINES_MAX: usize = 20_000;

/// What ends a line whose write failed, so that it is no line even if all of it but its end was written.
const TORN: &[u8] = b"\0\n";

/// The ledger, as the one process has it that writes it.
///
/// A line is written with one call and not synced: after a power failure no process lives that was given anything.
pub struct Ledger {
    folder: PathBuf,
    file: File,
    known: Consumers,
    /// How many lines the file has, and with how many it is written anew.
    lines: usize,
    lines_max: usize,
    /// The last write failed, perhaps in the middle of a line.
    torn: bool,
    /// Who writes it.
    own: Option<Life>,
}

impl Ledger {
    /// Opens the ledger in this folder, which is made where it is missing, and drops the lives that have ended.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut known = Consumers::read(folder)?;
        known.forget_ended();
        let (file, lines) = write_anew(folder, &known)?;
        let lines_max = LINES_MAX.max(lines * 2);
        let own = keyroll_observe::process(std::process::id()).ok().map(|own| Life::of(&own.id));
        Ok(Self { folder: folder.to_owned(), file, known, lines, lines_max, torn: false, own })
    }

    /// What it says of a life of a consumer.
    pub(crate) fn words(&self, of: &Of, life: Life) -> Option<&Words> {
        self.known.words(of, life)
    }

    /// Writes down what a consumer is given from here on.
    ///
    /// # Errors
    /// It was not written.
    pub(crate) fn serves(&mut self, of: &Of, print: &str) -> io::Result<()> {
        let what = What::Serves(print.to_owned());
        self.write(&Line { of: of.clone(), life: self.own, what })
    }

    /// Writes down what a life is given or says, if that is new. Returns whether it was new.
    ///
    /// # Errors
    /// It was not written.
    pub(crate) fn note(&mut self, of: &Of, life: Life, what: What) -> io::Result<bool> {
        if self.words(of, life).is_some_and(|words| !words.differs(&what)) {
            return Ok(false);
        }
        self.write(&Line { of: of.clone(), life: Some(life), what })?;
        Ok(true)
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = if self.torn { TORN.to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
        if !self.is_there() {
            // Somebody removed it, or put another one there.
            let (file, lines) = write_anew(&self.folder, &self.known)?;
            (self.file, self.lines, self.torn) = (file, lines, false);
        }
        self.torn = true;
        self.file.write_all(&text)?;
        self.torn = false;
        self.known.hear(line);
        self.lines += 1;
        if self.lines > self.lines_max {
            self.shorten();
        }
        Ok(())
    }

    /// Whether the file that is open is the one that others read.
    fn is_there(&self) -> bool {
        let named = fs::metadata(ledger_file(&self.folder));
        named.is_ok_and(|named| {
            self.file.metadata().is_ok_and(|own| own.ino() == named.ino() && own.dev() == named.dev())
        })
    }

    /// The longer file says the same: if a shorter one cannot be written, it is tried again later.
    fn shorten(&mut self) {
        let mut known = self.known.clone();
        known.forget_ended();
        self.lines_max = self.lines + LINES_MAX;
        if let Ok((file, lines)) = write_anew(&self.folder, &known) {
            (self.file, self.known, self.lines) = (file, known, lines);
            self.lines_max = LINES_MAX.max(lines * 2);
        }
    }

    /// From now on each write fails, as on a full disk.
    #[cfg(test)]
    pub(crate) fn break_file(&mut self) {
        self.file = File::open(ledger_file(&self.folder)).expect("the file, to be read only");
    }

    /// How many lives it has.
    #[cfg(test)]
    fn lives(&self) -> usize {
        self.known.lives()
    }
}

/// Whoever reads the file meanwhile has the old one or the new one.
fn write_anew(folder: &Path, known: &Consumers) -> io::Result<(File, usize)> {
    let beside = folder.join(".ledger-new");
    let mut text = Vec::new();
    let mut lines = 0;
    for line in known.lines() {
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
        lines += 1;
    }
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    fs::rename(&beside, ledger_file(folder))?;
    Ok((file, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of() -> Of {
        Of { secret: "one".to_owned(), consumer: "agent".to_owned() }
    }

    fn given(version: u32) -> What {
        What::Given { version, print: format!("print-{version}"), until: None, runs: false }
    }

    fn own() -> Life {
        Life::of(&keyroll_observe::process(std::process::id()).expect("this process").id)
    }

    fn words(folder: &Path, life: Life) -> Option<Words> {
        Consumers::read(folder).expect("read").of("one", "agent")?.lives.get(&life).cloned()
    }

    #[test]
    fn what_was_written_is_read_and_survives_the_next_start_while_the_process_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = own();
        let ended = Life { pid: 1, start: u64::MAX, program: here.program ^ 2, ..here };
        // It has ended too, and a process has its program: that one was forked from it, or may have been.
        let parent = Life { pid: 1, start: u64::MAX, ..here };
        let mut ledger = Ledger::open(folder.path()).expect("opened");
        assert!(ledger.note(&of(), here, given(1)).expect("written"));
        assert!(!ledger.note(&of(), here, given(1)).expect("known"), "the same again is not written");
        assert!(ledger.note(&of(), ended, given(1)).expect("written"));
        assert!(ledger.note(&of(), parent, given(1)).expect("written"));
        ledger.serves(&of(), "print-1").expect("written");
        assert!(words(folder.path(), here).is_some() && words(folder.path(), ended).is_some());
        drop(ledger);
        let ledger = Ledger::open(folder.path()).expect("opened again");
        assert_eq!(ledger.lives(), 2);
        assert!(words(folder.path(), parent).is_some());
        assert!(words(folder.path(), here).is_some_and(|words| words.was_given("print-1")));
        assert!(words(folder.path(), ended).is_none());
        let known = Consumers::read(folder.path()).expect("read");
        assert_eq!(known.of("one", "agent").and_then(|it| it.serves.as_deref()), Some("print-1"));
    }

    #[test]
    fn a_line_that_was_torn_is_nobodys_and_spoils_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ledger = Ledger::open(folder.path()).expect("opened");
        ledger.note(&of(), own(), given(1)).expect("written");
        let line = Line { of: of(), life: Some(own()), what: given(3) };
        let whole = serde_json::to_vec(&line).expect("a line");
        for torn in [b"{\"secret\":\"one\",\"cons".as_slice(), &whole] {
            ledger.file.write_all(torn).expect("a line without its end");
            ledger.torn = true;
            let now = words(folder.path(), own()).expect("known");
            assert!(!now.was_given("print-3"), "its write has not ended");
            ledger.note(&of(), own(), What::Has).expect("written");
            ledger.known = Consumers::read(folder.path()).expect("read");
        }
        ledger.note(&of(), own(), given(2)).expect("written");
        assert!(!words(folder.path(), own()).expect("known").was_given("print-3"), "its write failed");
        let words = words(folder.path(), own()).expect("known");
        assert_eq!(words.holds().map(String::as_str), Some("print-2"));
    }

    #[test]
    fn a_ledger_that_was_removed_is_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ledger = Ledger::open(folder.path()).expect("opened");
        ledger.note(&of(), own(), given(1)).expect("written");
        fs::remove_file(ledger_file(folder.path())).expect("removed");
        ledger.note(&of(), own(), given(2)).expect("written");
        assert!(
            words(folder.path(), own()).is_some_and(|it| it.was_given("print-1") && it.was_given("print-2"))
        );
    }

    #[test]
    fn a_long_ledger_is_written_anew_without_those_that_have_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ledger = Ledger::open(folder.path()).expect("opened");
        ledger.lines_max = 50;
        ledger.note(&of(), own(), given(1)).expect("written");
        for program in 0..50 {
            let program = own().program ^ (program + 1);
            let life = Life { pid: 1, start: u64::MAX, program, ..own() };
            ledger.note(&of(), life, given(1)).expect("written");
        }
        assert_eq!((ledger.lives(), ledger.lines), (1, 1));
        ledger.note(&of(), own(), given(2)).expect("written");
        assert_eq!(
            words(folder.path(), own()).and_then(|it| it.holds().cloned()).as_deref(),
            Some("print-2")
        );
    }
}
