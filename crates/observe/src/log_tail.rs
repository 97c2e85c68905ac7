use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use keyroll_port::{Class, Failure};
use regex::bytes::{Regex, RegexBuilder};

/// The most that one look reads, bytes; the next look goes on behind it.
const LOOK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much of a line is matched, bytes; the rest of a longer one is passed over.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// How many entries of the log's folder are tried to find a log that was renamed.
const FOLDER_ENTRIES_MAX: usize = 1_000;

/// How large a compiled pattern may become, bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// How far a log has been read: which file, and up to where. Kept between two runs of keyroll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The file system.
    pub device: u64,
    /// The file on it.
    pub inode: u64,
    /// When that file was made, nanoseconds since the Unix epoch; 0 where the file system does not say. The number
    /// of a removed file is given to the next one, so the number alone would take a new log for the old.
    pub born_unix_ns: u64,
    /// The byte behind the last line that was counted.
    pub offset: u64,
}

impl LogPosition {
    fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode, self.born_unix_ns) == (other.device, other.inode, other.born_unix_ns)
    }

    fn of(data: &Metadata, offset_max: u64) -> Self {
        let born = data.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let born_unix_ns = born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0);
        Self { device: data.dev(), inode: data.ino(), born_unix_ns, offset: data.len().min(offset_max) }
    }
}

/// What the lines since the last look say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Lines that match the success pattern and not the failure pattern.
    pub successes: u64,
    /// Lines that match the failure pattern.
    pub failures: u64,
    /// Lines in all.
    pub lines: u64,
    /// Lines may be missing: the log was cut off, or rotated away and not found any more. No failure is proven then.
    pub gap: bool,
    /// There is more to read: call again.
    pub more: bool,
}

/// A consumer's log, followed from a remembered place on. Lines are matched and counted, and never kept.
pub struct LogTail {
    path: PathBuf,
    success: Regex,
    failure: Regex,
    /// `None` = the log does not exist yet; it is read from its beginning when it comes.
    position: Option<LogPosition>,
}

impl LogTail {
    /// Follows a log from its present end on.
    ///
    /// # Errors
    /// `K0501` a pattern is wrong; `K0502` the log is no regular file or cannot be opened. A log that does not exist
    /// yet is no error.
    pub fn at_end(path: &Path, success: &str, failure: &str) -> Result<Self, Failure> {
        let mut tail = Self::at(path, success, failure, None)?;
        tail.position = match open(path)? {
            Some(file) => Some(position_of(path, &file, u64::MAX)?),
            None => None,
        };
        Ok(tail)
    }

    /// Follows a log from a place that was remembered.
    ///
    /// # Errors
    /// `K0501` a pattern is wrong.
    pub fn at(path: &Path, success: &str, failure: &str, from: Option<LogPosition>) -> Result<Self, Failure> {
        let [success, failure] = [pattern(success)?, pattern(failure)?];
        Ok(Self { path: path.to_owned(), success, failure, position: from })
    }

    /// The place to remember.
    pub fn position(&self) -> Option<LogPosition> {
        self.position
    }

    /// Counts what was written since. A last line without its end is left for the next look. A log that was renamed
    /// (rotated) is first read to its end under its new name in the same folder; one that was cut off is read from
    /// its beginning, and [`LogCounts::gap`] tells.
    ///
    /// # Errors
    /// `K0502` the log cannot be read or is no regular file.
    pub fn look(&mut self) -> Result<LogCounts, Failure> {
        let mut counts = LogCounts::default();
        let mut budget = LOOK_BYTES_MAX;
        let Some(file) = open(&self.path)? else {
            counts.gap = self.position.is_some();
            return Ok(counts);
        };
        let fresh = position_of(&self.path, &file, 0)?;
        match self.position.filter(|known| !known.same_file(&fresh)) {
            Some(old) => match renamed(&self.path, old) {
                Some(rotated) => {
                    let behind = self.count(rotated, old.offset, &mut budget, &mut counts)?;
                    if counts.more {
                        self.position = Some(LogPosition { offset: behind, ..old });
                        return Ok(counts);
                    }
                    self.position = Some(fresh);
                }
                None => {
                    counts.gap = true;
                    self.position = Some(fresh);
                }
            },
            None => self.position = Some(self.position.unwrap_or(fresh)),
        }
        let mut known = self.position.unwrap_or(fresh);
        if position_of(&self.path, &file, u64::MAX)?.offset < known.offset {
            known.offset = 0;
            counts.gap = true;
        }
        known.offset = self.count(file, known.offset, &mut budget, &mut counts)?;
        self.position = Some(known);
        Ok(counts)
    }

    /// Counts whole lines from an offset on and returns the offset behind the last one.
    fn count(
        &self,
        mut file: File,
        from: u64,
        budget: &mut u64,
        counts: &mut LogCounts,
    ) -> Result<u64, Failure> {
        let failed = |error| unreadable(&self.path, Class::Retryable).because(error);
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
                // Longer than a line may be, so that the rest is passed over; or its end is still to be written.
                let (skipped, ended) = skip_line(&mut reader).map_err(failed)?;
                if !ended {
                    return Ok(behind);
                }
                length += skipped;
            }
            behind += length;
            *budget = budget.saturating_sub(length);
            counts.lines += 1;
            if self.failure.is_match(&line) {
                counts.failures += 1;
            } else if self.success.is_match(&line) {
                counts.successes += 1;
            }
        }
    }
}

/// Passes over the rest of a line: how many bytes, and whether its end was there.
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

fn pattern(text: &str) -> Result<Regex, Failure> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| {
        Failure::new(Class::Permanent, "K0501", format!("use `{text}` as a log pattern"))
            .because(error)
            .help("correct the pattern under `log` in the configuration")
    })
}

fn unreadable(path: &Path, class: Class) -> Failure {
    Failure::new(class, "K0502", format!("read the log {}", path.display()))
        .help("name a regular file that this user may read under `log` in the configuration")
}

fn open(path: &Path) -> Result<Option<File>, Failure> {
    // A FIFO under this name must not block the opening.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, Class::Permanent).because(error)),
    };
    let kind = file.metadata().map_err(|error| unreadable(path, Class::Permanent).because(error))?;
    if !kind.is_file() {
        return Err(unreadable(path, Class::Permanent).because("it is not a regular file"));
    }
    Ok(Some(file))
}

fn position_of(path: &Path, file: &File, offset_max: u64) -> Result<LogPosition, Failure> {
    let data = file.metadata().map_err(|error| unreadable(path, Class::Permanent).because(error))?;
    Ok(LogPosition::of(&data, offset_max))
}

/// The log that was renamed: the file of the remembered number in the same folder.
fn renamed(path: &Path, old: LogPosition) -> Option<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::read_dir(folder).ok()?.take(FOLDER_ENTRIES_MAX).flatten().find_map(|entry| {
        let data = entry.metadata().ok()?;
        let same = data.is_file() && LogPosition::of(&data, 0).same_file(&old);
        if same { open(&entry.path()).ok().flatten() } else { None }
    })
}
