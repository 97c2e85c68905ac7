use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use keyroll_manager::shell_word as word;
use keyroll_manager::{ServiceDeclaration, SurveyedAgent, Variables};
use keyroll_observe::ProcessId;
use keyroll_secret::SecretBytes;

use crate::{Basis, Made, ManagedBy, Place, Record};

/// A source's entry for one name.
pub(crate) struct Assignment {
    /// The value; or why it is unknown.
    pub(crate) value: Result<SecretBytes, &'static str>,
    /// Its line in the file, from 1 on, if it is in a file.
    pub(crate) line: u64,
    /// It is a secret, whatever its form and name: a credential, a mounted secret.
    pub(crate) secret: bool,
}

impl Assignment {
    /// Copies the entry; values are never copied implicitly.
    pub(crate) fn duplicate(&self) -> Self {
        let value = self.value.as_ref().map(SecretBytes::duplicate).map_err(|why| *why);
        Self { value, line: self.line, secret: self.secret }
    }

    pub(crate) fn at(line: u64, value: SecretBytes) -> Self {
        Self { value: Ok(value), line, secret: false }
    }

    pub(crate) fn not_told(line: u64, why: &'static str) -> Self {
        Self { value: Err(why), line, secret: false }
    }
}

/// The location of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a file.
    File(PathBuf),
    /// In the environment that a process was started with.
    Start(ProcessId),
    /// In a manager's record.
    Kept(Record, String),
    /// In a row of a database.
    At(Place),
    /// It has no place on this machine.
    Nowhere,
}

/// Whether the next start reads a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// It does.
    Start,
    /// It does, but a source with another name always wins.
    Loses,
    /// It does not: another step must come first, or nothing reads the source any more.
    Not,
    /// That is unknown; why.
    Perhaps(&'static str),
}

/// One source that a start may take variables from.
pub(crate) struct Source {
    pub(crate) what: String,
    pub(crate) origin: Origin,
    pub(crate) entries: BTreeMap<String, Assignment>,
    /// It is an optional file, and it is missing.
    pub(crate) missing: bool,
    /// It may have any name in it, but is not readable; why.
    pub(crate) closed: Option<&'static str>,
    pub(crate) read: Read,
    /// What shows that it is a source.
    pub(crate) basis: Basis,
    /// Each start reads it again.
    pub(crate) each_start: bool,
    /// Every start after this time used its present content, milliseconds since 1970.
    pub(crate) since_unix_ms: Option<u64>,
    /// The program reads it after its start.
    pub(crate) read_later: bool,
    pub(crate) applies: Option<String>,
    pub(crate) seems: Option<String>,
}

impl Source {
    pub(crate) fn new(what: impl Into<String>, origin: Origin) -> Self {
        Self {
            what: what.into(),
            origin,
            entries: BTreeMap::new(),
            missing: false,
            closed: None,
            read: Read::Start,
            basis: Basis::Seen,
            each_start: false,
            since_unix_ms: None,
            read_later: false,
            applies: None,
            seems: None,
        }
    }

    pub(crate) fn of_file(what: impl Into<String>, path: &Path) -> Self {
        Self::new(what, Origin::File(path.to_owned()))
    }

    pub(crate) fn applied_by(mut self, applies: impl Into<String>) -> Self {
        self.applies = Some(applies.into());
        self
    }

    pub(crate) fn not_by(mut self, seems: impl Into<String>) -> Self {
        self.seems = Some(seems.into());
        self
    }

    pub(crate) fn read(mut self, read: Read) -> Self {
        self.read = read;
        self
    }

    pub(crate) fn closed(mut self, why: &'static str) -> Self {
        self.closed = Some(why);
        self
    }

    pub(crate) fn with(mut self, name: impl Into<String>, entry: Assignment) -> Self {
        self.entries.insert(name.into(), entry);
        self
    }

    pub(crate) fn holding(mut self, variables: Variables) -> Self {
        self.entries.extend(variables.into_iter().map(|(name, value)| (name, Assignment::at(1, value))));
        self
    }

    /// Moves the entries with these names into a source of their own, which the next start does not read.
    pub(crate) fn set_aside(&mut self, mine: impl Fn(&str, &Assignment) -> bool) -> Self {
        let (apart, left) =
            std::mem::take(&mut self.entries).into_iter().partition(|(name, entry)| mine(name, entry));
        self.entries = left;
        self.part(apart).read(Read::Not)
    }

    /// The same place with other entries.
    pub(crate) fn part(&self, entries: BTreeMap<String, Assignment>) -> Self {
        Self {
            entries,
            what: self.what.clone(),
            origin: self.origin.clone(),
            applies: self.applies.clone(),
            seems: self.seems.clone(),
            ..*self
        }
    }

    /// The same source for another service.
    pub(crate) fn duplicate(&self) -> Self {
        self.part(self.entries.iter().map(|(name, entry)| (name.clone(), entry.duplicate())).collect())
    }

    /// The value of a name, where it is known.
    pub(crate) fn value(&self, name: &str) -> Option<&SecretBytes> {
        self.entries.get(name)?.value.as_ref().ok()
    }

    /// Whether another source is the same file under the same name.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        let same = match (&self.origin, &other.origin) {
            (Origin::File(own), Origin::File(other)) => own == other,
            _ => false,
        };
        same && self.entries.keys().eq(other.entries.keys())
    }

    pub(crate) fn says_nothing(&self) -> bool {
        self.entries.is_empty() && self.closed.is_none() && !self.missing
    }
}

/// A service with its sources, before their values have ids.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) managed_by: ManagedBy,
    pub(crate) name: String,
    pub(crate) declaration: Option<ServiceDeclaration>,
    pub(crate) agent: Option<Arc<dyn SurveyedAgent>>,
    /// If each of its restarts uses the environment that it was made with.
    pub(crate) made: Option<Made>,
    pub(crate) processes: Vec<ProcessId>,
    /// The process of its program, from which the others descend.
    pub(crate) main: Option<ProcessId>,
    pub(crate) project: Option<PathBuf>,
    /// The strongest first.
    pub(crate) sources: Vec<Source>,
}

impl Kept {
    /// A service about which only the processes are known.
    pub(crate) fn untold(managed_by: ManagedBy, name: String, processes: Vec<ProcessId>) -> Self {
        Self { managed_by, name, processes, ..Self::default() }
    }

    /// A service that its manager declares.
    pub(crate) fn of(declaration: ServiceDeclaration, name: String, processes: Vec<ProcessId>) -> Self {
        let untold = Self::untold(ManagedBy::Manager(declaration.manager), name, processes);
        Self { declaration: Some(declaration), ..untold }
    }
}
