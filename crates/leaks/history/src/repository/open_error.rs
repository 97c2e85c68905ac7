use std::io;
use std::path::PathBuf;

/// Why a repository, or its index, cannot be read at all. Nothing was changed; retrying is safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Neither this folder nor one above it is a repository.
    #[error("{} is not in a git repository", path.display())]
    NoRepository {
        /// Where the search began.
        path: PathBuf,
    },
    /// A necessary file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its format is unknown.
    #[error("{} {what}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is unknown, as the end of the sentence.
        what: &'static str,
    },
}
