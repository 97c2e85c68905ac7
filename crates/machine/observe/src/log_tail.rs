use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use keyroll_port::{Class, Failure};

use crate::LogPosition;
use crate::log_files::{between, open, renamed, unreadable};
use crate::log_patterns::{LogCounts, Patterns};

/// The most that one look reads, bytes; the next look continues there.
const LOOK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much of a line is matched, bytes; the rest of a longer line is skipped.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The most files of one log that are followed at a time; then the oldest is closed.
const FILES_MAX: usize = 32;

/// One file of a log, held open: it can be read to its end under any name, even after its last name was removed.
struct Followed {
    file: File,
    at: LogPosition,
}

impl Followed {
    fn new(path: &Path, file: File, offset: u64) -> Result<Self, Failure> {
        let at = LogPosition::at(&file, offset).map_err(|error| failed(path, error))?;
        Ok(Self { file, at })
    }
}

/// A consumer's log, followed from a remembered place on, through its rotations. Lines are matched and counted, and
/// never kept.
pub struct LogTail {
    path: PathBuf,
    patterns: Patterns,
    /// The position that another run of keyroll stored, until its file is found.
    remembered: Option<LogPosition>,
    /// The log's files, oldest first. Files that were rotated away are read on, because a writer may keep one open for
    /// a while. Empty = the log does not exist yet; it is read from its beginning when it appears.
    files: Vec<Followed>,
}

impl LogTail {
    /// Follows a log from its present end on.
    ///
    /// # Errors
    /// `K0004` a pattern is wrong; `K0502` the log is no regular file or cannot be opened. A log that does not exist
    /// yet is no error.
    pub fn at_end(path: &Path, success: &str, failure: &str) -> Result<Self, Failure> {
        let mut tail = Self::at(path, success, failure, None)?;
        if let Some(file) = open(path)? {
            let end = file.metadata().map_err(|error| failed(path, error))?.len();
            tail.files.push(Followed::new(path, file, end)?);
        }
        Ok(tail)
    }

    /// Follows a log from a place that was remembered; `None` = it did not exist then.
    ///
    /// # Errors
    /// `K0004` a pattern is wrong.
    pub fn at(path: &Path, success: &str, failure: &str, from: Option<LogPosition>) -> Result<Self, Failure> {
        let patterns = Patterns::new(success, failure)?;
        Ok(Self { path: path.to_owned(), patterns, remembered: from, files: Vec::new() })
    }

    /// The place to remember; `None` = the log does not exist.
    pub fn position(&self) -> Option<LogPosition> {
        self.files.last().map(|last| last.at).or(self.remembered)
    }

    /// Counts the lines written since. A last line without its end is left for the next look. A log that was renamed
    /// (rotated) is read to its end under its new name in the same folder, and so are files that had the log's name
    /// between two looks. A truncated log is read from its beginning, and [`LogCounts::gap`] reports that.
    ///
    /// # Errors
    /// `K0502` the log cannot be read or is no regular file.
    pub fn look(&mut self) -> Result<LogCounts, Failure> {
        let mut counts = LogCounts::default();
        self.find(&mut counts)?;
        let mut budget = LOOK_BYTES_MAX;
        for at in 0..self.files.len() {
            let Some(one) = self.files.get(at) else { break };
            let holds = one.at.holds_in(&one.file).map_err(|error| failed(&self.path, error))?;
            counts.gap |= !holds;
            let from = if holds { one.at.offset } else { 0 };
            let behind = self.count(&one.file, from, &mut budget, &mut counts)?;
            let place = LogPosition::at(&one.file, behind).map_err(|error| failed(&self.path, error))?;
            if let Some(one) = self.files.get_mut(at) {
                one.at = place;
            }
        }
        Ok(counts)
    }

    /// Extends the list of files up to the one that has the log's name now.
    fn find(&mut self, counts: &mut LogCounts) -> Result<(), Failure> {
        let current = open(&self.path)?;
        let is = |at: &LogPosition, file: &File| file.metadata().is_ok_and(|data| at.is_of(&data));
        if let Some(from) = self.remembered.take() {
            let known = current.as_ref().filter(|file| is(&from, file)).map(File::try_clone);
            let known = known.transpose().map_err(|error| failed(&self.path, error))?;
            match known.or_else(|| renamed(&self.path, &from)) {
                Some(file) => self.files.push(Followed { file, at: from }),
                None => counts.gap = true,
            }
        }
        let Some(current) = current else {
            counts.absent = counts.gap || !self.files.is_empty();
            return Ok(());
        };
        if self.files.iter().any(|one| is(&one.at, &current)) {
            return Ok(());
        }
        if let Some(last) = self.files.last() {
            let (files, whole) = between(&self.path, &last.file, &current);
            counts.gap |= !whole;
            for file in files {
                let followed = self.files.iter().any(|one| is(&one.at, &file));
                if !followed {
                    self.files.push(Followed::new(&self.path, file, 0)?);
                }
            }
        }
        self.files.push(Followed::new(&self.path, current, 0)?);
        let many = self.files.len().saturating_sub(FILES_MAX);
        // Each of them was read to its end by every look so far.
        self.files.drain(..many);
        Ok(())
    }

    /// Counts whole lines from an offset on and returns the offset behind the last one.
    fn count(
        &self,
        mut file: &File,
        from: u64,
        budget: &mut u64,
        counts: &mut LogCounts,
    ) -> Result<u64, Failure> {
        let failed = |error| failed(&self.path, error);
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut reader = BufReader::new(file);
        let (mut behind, mut line) = (from, Vec::new());
        loop {
            if *budget == 0 {
                counts.more = true;
                return Ok(behind);
            }
            line.clear();
            let read =
                reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? as u64;
            let mut length = read;
            if line.last() != Some(&b'\n') {
                // The line is longer than the limit, so its rest is skipped; or its end is not written yet.
                let (skipped, ended) = skip_line(&mut reader).map_err(failed)?;
                if !ended {
                    return Ok(behind);
                }
                length += skipped;
            }
            behind += length;
            *budget = budget.saturating_sub(length);
            self.patterns.count(&line, counts);
        }
    }
}

fn failed(path: &Path, error: std::io::Error) -> Failure {
    unreadable(path, Class::Retryable).because(error)
}

/// Skips the rest of a line: how many bytes, and whether the line end was there.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<(u64, bool)> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok((skipped, false));
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        reader.consume(used);
        skipped += used as u64;
        if end.is_some() {
            return Ok((skipped, true));
        }
    }
}
