//! What was not looked at, and why.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::id::ObjectId;

/// The most that is named one by one; the rest is counted.
pub const SKIPPED_MAX: usize = 1000;

/// What was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An object.
    Object(ObjectId),
    /// An object, and where it stands.
    Entry {
        /// Its name.
        id: ObjectId,
        /// In which pack.
        pack: PathBuf,
        /// Where in the pack, bytes.
        offset: u64,
    },
    /// A file or folder of the repository.
    File(PathBuf),
    /// What stands under this path in the tree of HEAD or in the index.
    Path(Vec<u8>),
    /// Parts of the history as a whole.
    History,
}

/// Why something was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Its bytes are not what they must be.
    Corrupt(&'static str),
    /// It has more bytes than are looked at.
    Large {
        /// What it says that it has, bytes.
        bytes: u64,
        /// The most that is looked at, bytes.
        bytes_max: u64,
    },
    /// It is told as a difference from an object that could not be read.
    NoBase,
    /// It is named and is not there.
    Missing,
    /// The system did not give it.
    Unreadable(io::ErrorKind),
    /// Only the newest commits are there; the older ones were never fetched.
    Shallow {
        /// How many commits are the last that are there.
        commits: usize,
    },
    /// Some objects are fetched only when they are asked for, and nothing is asked for here.
    Partial,
    /// It is another repository; it is looked at on its own.
    Submodule,
    /// The references are in a table that is not read here.
    Reftable,
    /// So many bytes were inflated that no more was.
    Spent {
        /// The most that is inflated, bytes.
        bytes_max: u64,
    },
    /// There is more of it than is read.
    TooMany {
        /// The most that is read.
        max: u64,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Corrupt(what) => write!(out, "it is damaged: {what}"),
            Why::Large { bytes, bytes_max } => {
                write!(out, "it has {bytes} bytes, at most {bytes_max} are looked at")
            }
            Why::NoBase => write!(out, "the object that it differs from could not be read"),
            Why::Missing => write!(out, "it is not there"),
            Why::Unreadable(kind) => write!(out, "it cannot be read: {kind}"),
            Why::Shallow { commits } => {
                let commits =
                    if *commits == 1 { "1 commit".to_owned() } else { format!("{commits} commits") };
                write!(
                    out,
                    "a shallow clone: what came before {commits} is not here; git fetch --unshallow brings it"
                )
            }
            Why::Partial => write!(out, "a partial clone: objects that were never asked for are not there"),
            Why::Submodule => write!(out, "a submodule: it is a repository of its own"),
            Why::Reftable => write!(out, "its references are in a reftable, which is not read"),
            Why::Spent { bytes_max } => {
                write!(out, "{bytes_max} bytes were inflated; the rest was not looked at")
            }
            Why::TooMany { max } => write!(out, "there are more than {max}"),
        }
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Why {
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound { Why::Missing } else { Why::Unreadable(kind) }
    }
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Object(id) => write!(out, "object {id}"),
            What::Entry { id, pack, offset } => write!(out, "object {id} at {offset} in {}", pack.display()),
            What::File(path) => write!(out, "{}", path.display()),
            What::Path(path) => write!(out, "{}", path.escape_ascii()),
            What::History => write!(out, "the history"),
        }
    }
}

/// One thing that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// What.
    pub what: What,
    /// Why.
    pub why: Why,
}

/// What was not looked at: [`SKIPPED_MAX`] by name, the others counted.
#[derive(Debug, Clone, Default)]
pub struct Skips {
    /// By name, in no order.
    pub named: Vec<Skipped>,
    /// How many more there are.
    pub more: u64,
}

impl Skips {
    pub(crate) fn add(&mut self, what: What, why: Why) {
        let one = Skipped { what, why };
        if self.named.len() >= SKIPPED_MAX {
            self.more = self.more.saturating_add(1);
        } else if !self.named.contains(&one) {
            self.named.push(one);
        }
    }

    /// Adds those of another walk, each once.
    pub fn join(&mut self, others: Skips) {
        for one in others.named {
            self.add(one.what, one.why);
        }
        self.more = self.more.saturating_add(others.more);
    }

    /// Whether everything was looked at.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_counted() {
        let mut skips = Skips::default();
        for number in 0..SKIPPED_MAX + 7 {
            skips.add(What::Path(number.to_string().into_bytes()), Why::Missing);
        }
        assert_eq!((skips.named.len(), skips.more), (SKIPPED_MAX, 7));
    }
}
