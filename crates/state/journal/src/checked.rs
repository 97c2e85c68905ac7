//! What was checked whole is not checked again while its file stays as it is.
//!
//! A journal of years has millions of entries, and each command would read all of them first. So a small file beside the
//! witness says which file was checked, up to which entry. It holds for one boot and one day, and only if the kernel's
//! time of the file's last change is the same: a write changes that, also one that sets the file's own time back. What it
//! does not show is a disk that returns other bytes than were written: the next complete check does.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use keyroll_database::rusqlite::{self, Connection};
use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::OpenError;
use crate::chain;
use crate::read::{self, Head};
use crate::verify;
use crate::witness::Witness;

/// For how long a check holds, by the time since the boot.
const HOLDS: Duration = Duration::from_secs(24 * 60 * 60);

/// A kernel before 6.13 gives two changes within one tick (at most 10 ms) the same time. A file that is older than this
/// gets another time by its next change.
const YOUNG: Duration = Duration::from_millis(20);

const VERSION: u32 = 1;

/// The mark is one short line.
const MARK_BYTES_MAX: u64 = 4 * 1024;

/// A file and its last change, as the kernel knows them. Any write changes it, also one that sets the file's own time
/// back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl FileStamp {
    /// What there is at this path now, which is not opened.
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::symlink_metadata(path).ok()?;
        let changed = (file.ctime(), file.ctime_nsec());
        Some(Self { device: file.dev(), inode: file.ino(), bytes: file.len(), changed })
    }

    /// Which file it is.
    fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    v: u32,
    entry: u64,
    chain: String,
    file: FileStamp,
    boot: String,
    /// When the journal was last read whole, milliseconds since the boot.
    boot_ms: u64,
}

/// The place of the mark of one journal.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    path: PathBuf,
    database: PathBuf,
    /// Device and inode of the database before it was opened. Another file that is put in its place meanwhile is not the
    /// one that is checked.
    opened: Option<(u64, u64)>,
}

/// A journal that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// When it was last read whole, milliseconds since the boot.
    boot_ms: u64,
    /// What its file was when it was checked. `None`: nothing is to be remembered.
    file: Option<FileStamp>,
    /// SQLite's number of the commits by other connections.
    others: i64,
}

impl Mark {
    /// Before the database is opened.
    pub(crate) fn beside(witness: &Witness, database: &Path) -> Self {
        let opened = FileStamp::of(database).map(|stamp| stamp.identity());
        Self { path: of(witness.path()), database: database.to_owned(), opened }
    }

    /// Reads the journal whole, unless that was done and its file is still the same. What was read is durable.
    pub(crate) fn check(&self, connection: &Connection) -> Result<Checked, OpenError> {
        let wrap = |source: rusqlite::Error| OpenError::of(&self.database, source.into());
        let others = others(connection).map_err(wrap)?;
        let mut file = None;
        if let Ok(head) = read::head(connection)
            && head.entry >= verify::LONG_ENTRIES_MIN
            && keyroll_database::settle(connection).map_err(wrap)?
        {
            if let Some(mark) = self.read()
                && Some(mark.file) == self.stamp()
                && mark.is_of(&head, boot_ms())
            {
                return Ok(Checked { boot_ms: mark.boot_ms, file: Some(mark.file), others });
            }
            file = self.grown();
        }
        let boot_ms = boot_ms();
        verify::whole(connection, &self.database)?;
        keyroll_database::settle(connection).map_err(wrap)?;
        Ok(Checked { boot_ms, file, others })
    }

    /// Remembers what was checked, and what this process wrote since. Nothing is remembered if anybody else wrote.
    ///
    /// Every failure means only that the next process reads all of it.
    pub(crate) fn keep(&self, connection: &Connection, checked: &mut Checked) {
        checked.file = self.kept(connection, checked);
    }

    fn kept(&self, connection: &Connection, checked: &Checked) -> Option<FileStamp> {
        let is_alone = || others(connection).is_ok_and(|others| others == checked.others);
        let head = read::head(connection).ok().filter(|head| head.entry >= verify::LONG_ENTRIES_MIN)?;
        let is_same = checked.file.is_some() && checked.file == self.stamp() && is_alone();
        if !is_same || !keyroll_database::move_log(connection).ok()? {
            return None;
        }
        let now = self.stamp()?;
        if self.read().is_some_and(|mark| mark.file == now && mark.is_of(&head, boot_ms())) {
            return Some(now);
        }
        let file = self.grown()?;
        if self.stamp() != Some(file) || !is_alone() {
            return None;
        }
        let (entry, chain) = (head.entry, chain::to_hex(&head.chain));
        let form = Form { v: VERSION, entry, chain, file, boot: boot()?, boot_ms: checked.boot_ms };
        self.write(&form).ok().map(|()| file)
    }

    /// What the opened file is now. A file system that counts whole seconds, or less, does not show each change.
    fn stamp(&self) -> Option<FileStamp> {
        let is_exact = |stamp: &FileStamp| stamp.changed.1 != 0;
        FileStamp::of(&self.database).filter(is_exact).filter(|stamp| self.opened == Some(stamp.identity()))
    }

    /// What the file is once a later change would have another time.
    fn grown(&self) -> Option<FileStamp> {
        let stamp = self.stamp()?;
        let changed = Duration::new(stamp.changed.0.try_into().ok()?, stamp.changed.1.try_into().ok()?);
        thread::sleep(YOUNG.saturating_sub(now(ClockId::Realtime).checked_sub(changed)?));
        self.stamp().filter(|now| *now == stamp)
    }

    fn read(&self) -> Option<Form> {
        let file = self.open(OpenOptions::new().read(true))?;
        let mut text = Vec::new();
        file.take(MARK_BYTES_MAX).read_to_end(&mut text).ok()?;
        let form: Form = serde_json::from_slice(&text).ok()?;
        (form.v == VERSION && Some(&form.boot) == boot().as_ref()).then_some(form)
    }

    /// In one write and without a sync: half a line says nothing, and after a crash it is of an earlier boot.
    fn write(&self, form: &Form) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(form)?;
        line.push(b'\n');
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).to_owned();
        self.open(&options).ok_or(std::io::ErrorKind::InvalidInput)?.write_all(&line)
    }

    /// A regular file: a FIFO in its place would block without O_NONBLOCK.
    fn open(&self, options: &OpenOptions) -> Option<File> {
        let flags = OFlags::NONBLOCK.union(OFlags::NOFOLLOW).bits().cast_signed();
        let file = options.to_owned().custom_flags(flags).open(&self.path).ok()?;
        file.metadata().ok()?.is_file().then_some(file)
    }
}

impl Form {
    /// Whether a check that is not too old ended with this entry.
    fn is_of(&self, head: &Head, boot_ms: u64) -> bool {
        let age = boot_ms.checked_sub(self.boot_ms);
        age.is_some_and(|age| Duration::from_millis(age) < HOLDS)
            && self.entry == head.entry
            && chain::from_hex(&self.chain) == Some(head.chain)
    }
}

/// The mark of the journal with this witness.
fn of(witness: &Path) -> PathBuf {
    let mut name = witness.as_os_str().to_owned();
    name.push(".checked");
    name.into()
}

/// The next process reads the journal whole.
pub(crate) fn forget(witness: &Path) {
    drop(fs::remove_file(of(witness)));
}

fn others(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

fn boot_ms() -> u64 {
    u64::try_from(now(ClockId::Boottime).as_millis()).unwrap_or(u64::MAX)
}

fn now(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_holds_for_a_day() {
        let chain = [7; 32];
        let file = FileStamp { device: 1, inode: 2, bytes: 3, changed: (4, 5) };
        let form = Form {
            v: VERSION,
            entry: 9,
            chain: chain::to_hex(&chain),
            file,
            boot: String::new(),
            boot_ms: 50,
        };
        let head = Head { entry: 9, chain, epoch: 1 };
        let day = 24 * 60 * 60 * 1_000;
        let holds = [49, 50, 49 + day, 50 + day].map(|boot_ms| form.is_of(&head, boot_ms));
        assert_eq!(holds, [false, true, true, false]);
    }
}
