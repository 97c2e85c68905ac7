use std::path::{Path, PathBuf};

use keyroll_port::Failure;

use crate::log_docker::DockerTail;
use crate::log_journal::{JournalTail, JournalUnit};
use crate::log_patterns::Patterns;
use crate::{DockerPosition, LogCounts, LogPosition, LogTail};

/// Where the lines of a service are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// A file, through its rotations.
    File(PathBuf),
    /// The journal of systemd, by the unit.
    Journal(JournalUnit),
    /// The output of a container, by its name.
    Docker(String),
}

/// How far a log has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// `None` = the file did not exist.
    File(Option<LogPosition>),
    /// The journal's cursor; `None` = it was empty.
    Journal(Option<String>),
    /// The container and the moment.
    Docker(DockerPosition),
}

/// A log that is followed from a place on. Lines are matched and counted, and never kept.
pub struct LogFollower(Tail);

enum Tail {
    File(Box<LogTail>),
    Journal(JournalTail),
    Docker(DockerTail),
}

impl LogFollower {
    /// Follows a log from its present end on.
    ///
    /// # Errors
    /// `K0004` a pattern is wrong; `K0502` the file, the journal or the container's output cannot be read, or the unit
    /// writes to a journal of its own.
    pub fn at_end(source: &LogSource, success: &str, failure: &str) -> Result<Self, Failure> {
        Ok(Self(match source {
            LogSource::File(path) => Tail::File(Box::new(LogTail::at_end(path, success, failure)?)),
            LogSource::Journal(unit) => {
                Tail::Journal(JournalTail::at_end(unit, Patterns::new(success, failure)?)?)
            }
            LogSource::Docker(name) => {
                Tail::Docker(DockerTail::at_end(name, Patterns::new(success, failure)?)?)
            }
        }))
    }

    /// Follows a log from a place that was remembered; `None` if the place is of another kind of log.
    ///
    /// # Errors
    /// `K0004` a pattern is wrong.
    pub fn at(
        source: &LogSource,
        success: &str,
        failure: &str,
        place: &LogPlace,
    ) -> Result<Option<Self>, Failure> {
        let patterns = Patterns::new(success, failure)?;
        Ok(match (source, place) {
            (LogSource::File(path), LogPlace::File(at)) => {
                Some(Self(Tail::File(Box::new(LogTail::at(path, success, failure, *at)?))))
            }
            (LogSource::Journal(unit), LogPlace::Journal(cursor)) => {
                Some(Self(Tail::Journal(JournalTail::at(unit, patterns, cursor.clone())?)))
            }
            (LogSource::Docker(name), LogPlace::Docker(at)) => {
                Some(Self(Tail::Docker(DockerTail::at(name, patterns, at.clone()))))
            }
            (LogSource::File(_) | LogSource::Journal(_) | LogSource::Docker(_), _) => None,
        })
    }

    /// The place to remember.
    pub fn place(&self) -> LogPlace {
        match &self.0 {
            Tail::File(tail) => LogPlace::File(tail.position()),
            Tail::Journal(tail) => LogPlace::Journal(tail.cursor().map(str::to_owned)),
            Tail::Docker(tail) => LogPlace::Docker(tail.position().clone()),
        }
    }

    /// Counts the lines written since.
    ///
    /// # Errors
    /// As for [`LogFollower::at_end`].
    pub fn look(&mut self) -> Result<LogCounts, Failure> {
        match &mut self.0 {
            Tail::File(tail) => tail.look(),
            Tail::Journal(tail) => tail.look(),
            Tail::Docker(tail) => tail.look(),
        }
    }
}

impl LogSource {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Journal(_) | Self::Docker(_) => None,
        }
    }
}

/// `/srv/app.log`, `the journal of app.service`, `the output of the container app`.
impl std::fmt::Display for LogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Journal(unit) => write!(f, "the journal of {unit}"),
            Self::Docker(name) => write!(f, "the output of the container {name}"),
        }
    }
}
