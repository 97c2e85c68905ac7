use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_database::{DatabaseError, cause_of, is_damage};
use keyroll_port::{Class, Failure};

use crate::LockError;

/// Why a journal was not opened. Nothing was changed at any issuer, host or file of a consumer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused an operation on a file or folder.
    #[error("could not {action} {path}")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused an operation for another reason than damage.
    #[error("could not open the journal {path}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The folder is on a file system on which locks and fsync cannot be trusted.
    #[error("the state folder {path} is on {kind}, where locks and fsync cannot be trusted")]
    Network {
        /// The folder.
        path: PathBuf,
        /// The file system's name.
        kind: &'static str,
    },
    /// A newer version of keyroll made the journal.
    #[error("the journal {path} has schema {found}; this version of keyroll reads up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that this version reads.
        known: i64,
    },
    /// The stored data is not what was written.
    #[error("the journal {path} is damaged: {what}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong, in short.
        what: String,
    },
    /// The journal lacks an entry that the witness saw: it was restored from a backup, or exchanged.
    #[error("the journal {path} was restored or exchanged: {what}")]
    Restored {
        /// The database.
        path: PathBuf,
        /// The entry that the witness saw.
        witnessed: u64,
        /// The last entry of this journal.
        last: u64,
        /// The disagreement, in short.
        what: String,
    },
    /// The journal has entries, and no witness shows whether they are complete.
    #[error("the journal {path} has {last} entries, but its witness {witness} is missing")]
    NoWitness {
        /// The database.
        path: PathBuf,
        /// Where the witness should be.
        witness: PathBuf,
        /// The last entry of this journal.
        last: u64,
    },
    /// A file is in the witness's place, and it is not a witness.
    #[error("the witness {witness} cannot be read: {what}")]
    WitnessDamaged {
        /// The witness.
        witness: PathBuf,
        /// What is wrong, in short.
        what: String,
    },
    /// Another process did not finish writing the witness: it is stopped, or its disk does not answer.
    #[error("the witness {witness} is being written by {holder}, which does not finish")]
    WitnessHeld {
        /// The witness.
        witness: PathBuf,
        /// Who writes it.
        holder: LockHolder,
    },
    /// The journal was copied or restored to another machine.
    #[error("the journal {path} belongs to another machine")]
    OtherMachine {
        /// The database.
        path: PathBuf,
    },
    /// The witness is inside the state folder: a backup would restore both together.
    #[error("the witness {witness} is inside the state folder {folder}, so one backup would restore both")]
    WitnessInside {
        /// Where the witness should be.
        witness: PathBuf,
        /// The state folder.
        folder: PathBuf,
    },
    /// The caller's lock is for another folder, or could not be taken.
    #[error("could not lock the state folder")]
    Lock(#[source] LockError),
}

/// The process that holds a lock, if the system names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockHolder(pub Option<u32>);

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

impl OpenError {
    /// The error for a database that could not be opened at this path.
    pub(crate) fn of(path: &Path, error: DatabaseError) -> Self {
        let path = path.to_owned();
        match error {
            DatabaseError::Io { action, path, source } => Self::Io { action, path, source },
            DatabaseError::Network { path, kind } => Self::Network { path, kind },
            DatabaseError::Newer { found, known } => Self::Newer { path, found, known },
            DatabaseError::Damaged(what) => Self::Damaged { path, what },
            DatabaseError::Sqlite(source) if is_damage(&source) => {
                Self::Damaged { path, what: source.to_string() }
            }
            DatabaseError::Sqlite(error) => Self::Sqlite { path, source: cause_of(error) },
            // The enum may get more variants; their text is passed on.
            other => Self::Damaged { path, what: other.to_string() },
        }
    }

    /// The code of its page under docs/errors.
    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } | Self::Sqlite { .. } | Self::WitnessHeld { .. } => Code::StateUnusable,
            Self::Network { .. } => Code::FolderUnsuitable,
            Self::Damaged { .. } => Code::StateDamaged,
            Self::Restored { .. } => Code::JournalRestored,
            Self::NoWitness { .. } | Self::WitnessDamaged { .. } => Code::JournalRestored,
            Self::Newer { .. } => Code::NewerKeyroll,
            Self::Lock(_) => Code::OtherDriver,
            Self::WitnessInside { .. } => Code::FolderUnsuitable,
            Self::OtherMachine { .. } => Code::OtherMachine,
        }
    }

    /// The next step for the operator.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Sqlite { .. } => {
                "check the folder's owner, mode and free space with `keyroll doctor`, then try again"
            }
            Self::Network { .. } => "name a folder on a local disk with `--state DIR`",
            Self::Damaged { .. } => {
                "nothing was revoked; copy the state folder aside, restore journal.db from a backup, then run \
                 `keyroll doctor`"
            }
            Self::Restored { .. } => {
                "nothing was revoked by this command; put the newer journal back, or check at the issuer which keys \
                 of the open rotations are alive, then run `keyroll doctor --accept-journal`"
            }
            Self::NoWitness { .. } | Self::WitnessDamaged { .. } => {
                "nothing was revoked; put the witness back, or, if this journal is surely the newest, run \
                 `keyroll doctor --accept-journal`"
            }
            Self::WitnessHeld { .. } => {
                "nothing was changed; if that process is stopped, continue it (`kill -CONT`) or end it, then try \
                 again"
            }
            Self::Newer { .. } => "run the newer version of keyroll that made it",
            Self::Lock(_) => "wait for the other keyroll process, or look at it with `keyroll status`",
            Self::OtherMachine { .. } => {
                "nothing was revoked; run keyroll where this state comes from, or, if nothing uses it there any \
                 more, run `keyroll doctor --moved-here`"
            }
            Self::WitnessInside { .. } => "keep state and configuration in separate folders",
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let class = match error {
            OpenError::Lock(_) | OpenError::WitnessHeld { .. } => Class::Retryable,
            OpenError::Io { .. }
            | OpenError::Sqlite { .. }
            | OpenError::Network { .. }
            | OpenError::Newer { .. }
            | OpenError::Damaged { .. }
            | OpenError::Restored { .. }
            | OpenError::NoWitness { .. }
            | OpenError::WitnessDamaged { .. }
            | OpenError::OtherMachine { .. }
            | OpenError::WitnessInside { .. } => Class::Permanent,
        };
        Self::new(class, error.code(), "open the journal").help(error.help()).because(error)
    }
}
