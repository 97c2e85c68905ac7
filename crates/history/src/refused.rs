//! Why a repository cannot be read at all.

use std::io;
use std::path::PathBuf;

/// Why a repository, or its index, cannot be read at all. Nothing is ever changed, so each may be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Neither here nor above is a repository.
    #[error("{} is in no git repository", path.display())]
    NoRepository {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// A file that everything depends on cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is written in a form that is not known here.
    #[error("{} {what}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is not known, as the sentence's end.
        what: &'static str,
    },
}
