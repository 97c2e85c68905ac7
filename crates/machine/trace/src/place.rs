use std::fmt;
use std::path::{Path, PathBuf};

use keyroll_copy::Slot;
use keyroll_needle::Encoding;
use keyroll_observe::{ProcessId, shown};

use crate::ValueId;

/// A location of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: u64,
    },
    /// In a row of a database.
    Row {
        /// Its file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The number of the row in its table.
        row: i64,
    },
    /// In the file of a database or in its log, and in no row: overwritten, deleted, or rolled back.
    Remains {
        /// The file.
        path: PathBuf,
    },
    /// In the environment that a process was started with.
    Environment {
        /// The process.
        process: ProcessId,
        /// The name of the variable.
        variable: String,
    },
    /// In a credential that systemd gave a process at its start.
    Credential {
        /// The process.
        process: ProcessId,
        /// The credential's name.
        name: String,
    },
    /// In a process's command line, which every user of the machine can read.
    Arguments {
        /// The process.
        process: ProcessId,
    },
    /// In a process's memory.
    Memory {
        /// The process.
        process: ProcessId,
    },
    /// In a manager's record: a container's configuration, an image, the memory of a daemon.
    Record {
        /// The kind of the record.
        record: Record,
        /// The name of the container, image or unit.
        of: String,
        /// The name of the variable.
        variable: String,
    },
}

/// The kind of a manager's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// The settings that a container was created with.
    Container,
    /// An image: everyone who has it has the value.
    Image,
    /// The memory of a manager: systemd's, pm2's, supervisord's.
    Manager,
}

impl Place {
    /// The process, if the place is in one.
    pub fn process(&self) -> Option<&ProcessId> {
        match self {
            Self::Environment { process, .. }
            | Self::Credential { process, .. }
            | Self::Arguments { process }
            | Self::Memory { process } => Some(process),
            Self::File { .. } | Self::Row { .. } | Self::Remains { .. } | Self::Record { .. } => None,
        }
    }

    /// The file, if the place is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Row { path, .. } | Self::Remains { path } => Some(path),
            Self::Environment { .. }
            | Self::Credential { .. }
            | Self::Arguments { .. }
            | Self::Memory { .. }
            | Self::Record { .. } => None,
        }
    }
}

/// For display: control characters in names of files and variables are escaped.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", shown(path)),
            Self::Row { path, table, column, row } => {
                write!(f, "{} table {} column {} row {row}", shown(path), harmless(table), harmless(column))
            }
            Self::Remains { path } => write!(f, "what is left of deleted rows in {}", shown(path)),
            Self::Environment { process, variable } => {
                write!(f, "{} in the environment of {process}", harmless(variable))
            }
            Self::Credential { process, name } => write!(f, "credential {} of {process}", harmless(name)),
            Self::Arguments { process } => write!(f, "the command line of {process}"),
            Self::Memory { process } => write!(f, "the memory of {process}"),
            Self::Record { record, of, variable } => {
                let (variable, of) = (harmless(variable), harmless(of));
                match record {
                    Record::Container => write!(f, "{variable} of container {of}"),
                    Record::Image => write!(f, "{variable} in image {of}"),
                    Record::Manager => write!(f, "{variable} kept by {of}"),
                }
            }
        }
    }
}

/// An untrusted name, without control characters.
pub(crate) fn harmless(name: &str) -> String {
    shown(Path::new(name))
}

/// One value at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// The value.
    pub value: ValueId,
    /// The place.
    pub place: Place,
    /// The name that it has there: a variable, a key of a document.
    pub name: Option<String>,
    /// Its slot, if the file's format has one for it.
    pub slot: Option<Slot>,
    /// The form in which it occurs.
    pub encoding: Encoding,
}

/// Something that was not visible.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unseen {
    /// Its path or process.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Its user, if that is the reason.
    pub uid: Option<u32>,
}
