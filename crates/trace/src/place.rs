use std::fmt;
use std::path::{Path, PathBuf};

use keyroll_needle::Encoding;
use keyroll_observe::{ProcessId, shown};

use crate::ValueId;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// In which line, from 1 on.
        line: u64,
    },
    /// In the environment that a process was started with.
    Environment {
        /// Which process.
        process: ProcessId,
        /// Under which name.
        variable: String,
    },
    /// In a process's command line, which every user of the machine can read.
    Arguments {
        /// Which process.
        process: ProcessId,
    },
    /// In a process's memory.
    Memory {
        /// Which process.
        process: ProcessId,
    },
}

impl Place {
    /// The process, where it is in one.
    pub fn process(&self) -> Option<&ProcessId> {
        match self {
            Self::Environment { process, .. } | Self::Arguments { process } | Self::Memory { process } => {
                Some(process)
            }
            Self::File { .. } => None,
        }
    }

    /// The file, where it is in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Environment { .. } | Self::Arguments { .. } | Self::Memory { .. } => None,
        }
    }
}

/// For people; whoever names files and variables cannot write to a terminal with it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", shown(path)),
            Self::Environment { process, variable } => {
                write!(f, "{} in the environment of {process}", shown(Path::new(variable)))
            }
            Self::Arguments { process } => write!(f, "the command line of {process}"),
            Self::Memory { process } => write!(f, "the memory of {process}"),
        }
    }
}

/// One value in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Which value.
    pub value: ValueId,
    /// Where.
    pub place: Place,
    /// The name that it has there: a variable, a key of a document.
    pub name: Option<String>,
    /// In which form.
    pub encoding: Encoding,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unseen {
    /// What: a path, a process.
    pub what: String,
    /// Why.
    pub reason: String,
    /// The user whose it is, where that is the reason.
    pub uid: Option<u32>,
}
