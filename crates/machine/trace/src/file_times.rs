use std::fs::{Metadata, metadata, symlink_metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_observe::After;

/// How far apart two clock readings must be to count as before and after, milliseconds: a start time has a precision of
/// 10 ms, and a file's time of one tick of the kernel.
const CLOCK_MS: u64 = 20;

/// When the content under a name was changed, milliseconds since 1970. Anyone can set the time of the content (`cp -p`),
/// but the time of the last change of any kind only to the present.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileTimes {
    /// Before this, another content stood there.
    first: u64,
    /// Since then, nothing was changed.
    last: u64,
    /// When the content was written, as the file says.
    written: u64,
}

impl FileTimes {
    fn of(data: &Metadata) -> Option<Self> {
        let written = unix_ms(data.mtime(), data.mtime_nsec())?;
        let changed = unix_ms(data.ctime(), data.ctime_nsec())?;
        Some(Self { first: written.min(changed), last: written.max(changed), written })
    }

    /// Of a name. A link may have been changed, and also the file that it leads to.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let own = symlink_metadata(path).ok()?;
        let times = Self::of(&own)?;
        if !own.is_symlink() {
            return Some(times);
        }
        let file = Self::of(&metadata(path).ok()?)?;
        Some(times.or_later(file))
    }

    /// The later of two changes.
    fn or_later(self, other: Self) -> Self {
        Self {
            first: self.first.max(other.first),
            last: self.last.max(other.last),
            written: self.written.max(other.written),
        }
    }

    /// Whether the content was surely written after the start; a new name, or new rights, are no new content.
    pub(crate) fn written_since(self, started_unix_ms: u64) -> bool {
        started_unix_ms.saturating_add(CLOCK_MS) < self.written
    }

    /// The last time that the content was written or the file got its name.
    pub(crate) fn last(self) -> u64 {
        self.last
    }

    /// Compares a start with these times. Between the two the order is unknown.
    pub(crate) fn started_after(self, started_unix_ms: u64) -> After {
        if started_unix_ms > self.last.saturating_add(CLOCK_MS) {
            After::Yes
        } else if started_unix_ms.saturating_add(CLOCK_MS) < self.first {
            After::No
        } else {
            After::Unknown
        }
    }

    /// Whether the file was surely changed in some way, or got its name, after the start.
    pub(crate) fn changed_since(self, started_unix_ms: u64) -> bool {
        started_unix_ms.saturating_add(CLOCK_MS) < self.last
    }
}

/// A time of a file, milliseconds since 1970; `None` = before that.
pub(crate) fn unix_ms(seconds: i64, nanoseconds: i64) -> Option<u64> {
    let whole = u64::try_from(seconds).ok()?.saturating_mul(1_000);
    Some(whole.saturating_add(u64::try_from(nanoseconds).ok()? / 1_000_000))
}
