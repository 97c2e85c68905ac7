//! Pending changes: edits, made while the old process ran, that go live with the restart besides the value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_secret::SecretBytes;

/// Variables with their values: the environment that a container or an image was made with.
pub type Variables = BTreeMap<String, SecretBytes>;

/// One setting that differs from what runs.
pub struct Edit {
    /// `environment`, `image`, `service`, or `project` where compose cannot read it any more.
    pub kind: &'static str,
    /// The variable, the image or the service.
    pub name: String,
    /// What differs, as a clause; never a value.
    pub what: String,
    /// Distinguishes it from another edit of the same setting. It may hold other services' values.
    pub mark: SecretBytes,
}

/// The pending changes of a manager's configuration.
#[derive(Default)]
pub struct Drift {
    /// Settings that differ from what runs.
    pub edits: Vec<Edit>,
    /// Files that certainly differ from what is running.
    pub changed_files: Vec<ChangedFile>,
    /// Files that the next start reads, each with its kind: a change since the last start is pending.
    pub read_at_start: Vec<(&'static str, PathBuf)>,
    /// What was not compared, as `what: why`.
    pub not_visible: Vec<String>,
}

/// A file that differs from what runs.
pub struct ChangedFile {
    /// The manager's name, as difference names begin with it.
    pub kind: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What differs, as a clause; never a value.
    pub what: String,
}

/// A consumer's own copies. Where they differ from what is running, that is the new value and not a pending change.
pub struct OwnCopies<'a> {
    /// The consumer's name.
    pub consumer: &'a str,
    /// keyroll wrote them in this rotation.
    pub delivered: bool,
    /// Each file, with the variables in it that hold the value.
    pub variables: Vec<(&'a Path, Vec<&'a str>)>,
    /// The keys that lead to each copy within a compose file.
    pub compose_entries: Vec<&'a [String]>,
    /// The first of the files that contains these bytes.
    pub containing: &'a dyn Fn(&[u8]) -> Option<PathBuf>,
}

impl OwnCopies<'_> {
    /// Whether one of them is this file, whatever links lead to it.
    pub fn is_own(&self, path: &Path) -> bool {
        let real = path.canonicalize().ok();
        self.variables.iter().any(|(own, _)| own.canonicalize().ok() == real)
    }
}
