use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::object::id::ObjectId;

/// The most skipped items that are listed; the rest is counted.
pub const SKIPPED_MAX: usize = 1000;

/// What was not scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkippedItem {
    /// An object.
    Object(ObjectId),
    /// An object at a known location.
    Entry {
        /// Its id.
        id: ObjectId,
        /// The file of the pack.
        pack: PathBuf,
        /// The offset in the pack, bytes.
        offset: u64,
    },
    /// A file or folder of the repository.
    File(PathBuf),
    /// A path in HEAD's tree or in the index.
    Path(Vec<u8>),
    /// A part of the whole history.
    History,
}

/// Why an item was not scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// Malformed content.
    Corrupt(&'static str),
    /// It is larger than the limit.
    Large {
        /// Its declared size, bytes.
        bytes: u64,
        /// The limit, bytes.
        bytes_max: u64,
    },
    /// It is a delta against an object that could not be read.
    NoBase,
    /// Something refers to it, but it does not exist.
    Missing,
    /// The system did not let it be read.
    Unreadable(io::ErrorKind),
    /// A shallow clone: older commits were never fetched.
    Shallow {
        /// The number of oldest commits that exist.
        commits: usize,
    },
    /// A partial clone: some objects are fetched only on demand; keyroll fetches nothing.
    Partial,
    /// Another repository, which needs a scan of its own.
    Submodule,
    /// The references are in a reftable, which keyroll does not read.
    Reftable,
    /// The limit of inflated bytes is reached.
    Spent {
        /// The limit, bytes.
        bytes_max: u64,
    },
    /// There are more than the limit.
    TooMany {
        /// The limit.
        max: u64,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::Corrupt(what) => write!(out, "it is damaged: {what}"),
            SkipReason::Large { bytes, bytes_max } => {
                write!(out, "it has {bytes} bytes, more than the limit of {bytes_max}")
            }
            SkipReason::NoBase => write!(out, "its delta base could not be read"),
            SkipReason::Missing => write!(out, "it does not exist"),
            SkipReason::Unreadable(kind) => write!(out, "it cannot be read: {kind}"),
            SkipReason::Shallow { commits } => {
                let commits =
                    if *commits == 1 { "1 commit".to_owned() } else { format!("{commits} commits") };
                write!(
                    out,
                    "a shallow clone: the history before {commits} is missing; git fetch --unshallow fetches it"
                )
            }
            SkipReason::Partial => {
                write!(out, "a partial clone: objects that were never fetched are missing")
            }
            SkipReason::Submodule => write!(out, "a submodule: scan it as a repository of its own"),
            SkipReason::Reftable => {
                write!(out, "its references are in a reftable, which keyroll does not read")
            }
            SkipReason::Spent { bytes_max } => {
                write!(out, "the limit of {bytes_max} inflated bytes was reached; the rest was not scanned")
            }
            SkipReason::TooMany { max } => write!(out, "there are more than {max}"),
        }
    }
}

impl From<io::Error> for SkipReason {
    fn from(error: io::Error) -> SkipReason {
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound { SkipReason::Missing } else { SkipReason::Unreadable(kind) }
    }
}

impl fmt::Display for SkippedItem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkippedItem::Object(id) => write!(out, "object {id}"),
            SkippedItem::Entry { id, pack, offset } => {
                write!(out, "object {id} at {offset} in {}", pack.display())
            }
            SkippedItem::File(path) => write!(out, "{}", path.display()),
            SkippedItem::Path(path) => write!(out, "{}", path.escape_ascii()),
            SkippedItem::History => write!(out, "the history"),
        }
    }
}

/// One skipped item with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The item.
    pub what: SkippedItem,
    /// The reason.
    pub why: SkipReason,
}

/// Skipped items: [`SKIPPED_MAX`] are listed, the others counted.
#[derive(Debug, Clone, Default)]
pub struct SkipList {
    /// In no order.
    pub named: Vec<Skipped>,
    /// The number of others.
    pub more: u64,
}

impl SkipList {
    pub(crate) fn add(&mut self, what: SkippedItem, why: SkipReason) {
        let one = Skipped { what, why };
        if self.named.len() >= SKIPPED_MAX {
            self.more = self.more.saturating_add(1);
        } else if !self.named.contains(&one) {
            self.named.push(one);
        }
    }

    /// Adds the items of another list, each once.
    pub fn join(&mut self, others: SkipList) {
        for one in others.named {
            self.add(one.what, one.why);
        }
        self.more = self.more.saturating_add(others.more);
    }

    /// Whether nothing was skipped.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_counted() {
        let mut skips = SkipList::default();
        for number in 0..SKIPPED_MAX + 7 {
            skips.add(SkippedItem::Path(number.to_string().into_bytes()), SkipReason::Missing);
        }
        assert_eq!((skips.named.len(), skips.more), (SKIPPED_MAX, 7));
    }
}
