//! The numbers of the files of a secret's consumers: the same in a plan and in the setup of a host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{Consumer, Secret};
use keyroll_port::{Class, Failure};
use keyroll_rotation::{FileId, HostId};
use keyroll_secret::Fields;

use crate::served::served_path;

/// The own values of the consumers of a shared key, by consumer name; consumers with the same key have the same `Arc`.
pub type Own = BTreeMap<String, Arc<Fields>>;

/// A file with a number.
pub(crate) struct NumberedFile<'a> {
    /// Its host.
    pub(crate) host: HostId,
    /// Its path there, as configured.
    pub(crate) path: PathBuf,
    /// The key of its consumers, if they have one of their own. A file with different keys of two consumers has a number for
    /// each of them.
    pub(crate) own: Option<&'a Arc<Fields>>,
}

/// The files of a secret's consumers by number, in the order in which the consumers first name them.
pub(crate) struct Numbering<'a> {
    /// The secret.
    secret: &'a Secret,
    /// The folder of keyroll's own records on the machine that keyroll runs on.
    state: &'a Path,
    /// The keys of consumers that have one of their own.
    own: Option<&'a Own>,
    /// The files.
    files: Vec<NumberedFile<'a>>,
}

impl<'a> Numbering<'a> {
    /// One without files yet.
    pub(crate) fn new(secret: &'a Secret, state: &'a Path, own: Option<&'a Own>) -> Self {
        Self { secret, state, own, files: Vec::new() }
    }

    /// The number of the file of each copy that a consumer reads, in the order of the copies; for a consumer that is served,
    /// the number of the file that says which version it is given. Files without a number yet get the next ones.
    pub(crate) fn of(&mut self, host: HostId, consumer: &Consumer) -> Result<Vec<FileId>, Failure> {
        if consumer.serves.is_some() {
            let path = served_path(self.secret, consumer, self.state);
            return Ok(vec![self.add(NumberedFile { host, path, own: None })?]);
        }
        let own = self.own.and_then(|own| own.get(consumer.name.as_str()));
        consumer.reads.iter().map(|copy| self.number(host, copy.place.path(), own)).collect()
    }

    /// The files.
    pub(crate) fn into_files(self) -> Vec<NumberedFile<'a>> {
        self.files
    }

    fn number(&mut self, host: HostId, path: &Path, own: Option<&'a Arc<Fields>>) -> Result<FileId, Failure> {
        let same = |file: &NumberedFile<'_>| {
            (file.host, file.path.as_path()) == (host, path)
                && file.own.map(Arc::as_ptr) == own.map(Arc::as_ptr)
        };
        match self.files.iter().position(same) {
            Some(at) => Ok(FileId(number(at)?)),
            None => self.add(NumberedFile { host, path: path.to_owned(), own }),
        }
    }

    fn add(&mut self, file: NumberedFile<'a>) -> Result<FileId, Failure> {
        let id = FileId(number(self.files.len())?);
        self.files.push(file);
        Ok(id)
    }
}

/// Each of these numbers once, in the order in which they first occur.
pub(crate) fn distinct(all: &[FileId]) -> Vec<FileId> {
    let mut once = Vec::new();
    for id in all {
        if !once.contains(id) {
            once.push(*id);
        }
    }
    once
}

/// A position as a number of the protocol.
pub(crate) fn number(count: usize) -> Result<u16, Failure> {
    u16::try_from(count).map_err(|_| too_many("files or consumers"))
}

pub(crate) fn too_many(what: &str) -> Failure {
    Failure::new(Class::Permanent, Code::NotPlannable, "count the files and consumers of the configuration")
        .because(format!("there are too many {what}"))
}
