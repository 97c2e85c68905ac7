use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_leak::Rules;
use keyroll_manager::{Variables, user_names};
use keyroll_observe::{Listing, NotVisible, Process, ProcessId, Rights, Start, shown};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use super::build::within;
use crate::Unseen;

/// How long a home may take to answer: its server may be gone, and then nothing ever does.
const HOME_WAIT: Duration = Duration::from_secs(5);

/// What is around a service: the processes, what managers say, the users.
pub(crate) struct Around<'a> {
    pub(crate) listing: &'a Listing,
    pub(crate) users: BTreeMap<u32, String>,
    pub(crate) unseen: Vec<Unseen>,
    /// Where files of services stand: folders of projects, what is mounted into containers, volumes too.
    pub(crate) folders: BTreeSet<PathBuf>,
    starts: &'a BTreeMap<ProcessId, Start>,
    of_pid: BTreeMap<u32, &'a Process>,
    children: BTreeMap<u32, Vec<&'a Process>>,
    rules: &'static Rules,
}

impl<'a> Around<'a> {
    pub(crate) fn new(
        listing: &'a Listing,
        starts: &'a BTreeMap<ProcessId, Start>,
        rules: &'static Rules,
    ) -> Self {
        let of_pid = listing.seen.iter().map(|one| (one.id.pid, one)).collect();
        let mut children: BTreeMap<u32, Vec<&Process>> = BTreeMap::new();
        for one in &listing.seen {
            children.entry(one.ppid).or_default().push(one);
        }
        let (users, unseen, folders) = (user_names(), Vec::new(), BTreeSet::new());
        Self { listing, users, unseen, folders, starts, of_pid, children, rules }
    }

    /// The process of this number.
    pub(crate) fn process(&self, pid: u32) -> Option<&'a Process> {
        self.of_pid.get(&pid).copied()
    }

    /// What it has started itself.
    pub(crate) fn children(&self, pid: u32) -> &[&'a Process] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// A process, and all that came of it.
    pub(crate) fn tree(&self, root: ProcessId) -> Vec<ProcessId> {
        let (mut all, mut at) = (vec![root], 0);
        while let Some(parent) = all.get(at).copied() {
            all.extend(self.children(parent.pid).iter().map(|one| one.id));
            at += 1;
        }
        all
    }

    /// What a process was started with; none where it is closed, has ended, or was written over.
    pub(crate) fn start(&self, process: &ProcessId) -> Option<Variables> {
        let start = self.starts.get(process).filter(|start| !start.overwritten())?;
        let mut all = Variables::new();
        for (name, entry) in start.entries() {
            let Some(name) = name else { continue };
            let value = entry.get(name.len() + 1..).unwrap_or_default();
            // Of several entries of one name the first, as getenv(3) reads it.
            all.entry(name).or_insert_with(|| SecretBytes::new(value.to_vec()));
        }
        Some(all)
    }

    /// Whether a variable is a secret by its form or its name.
    pub(crate) fn is_secret(&self, name: &str, value: &SecretBytes) -> bool {
        within(name, value.expose(), self.rules).is_some()
    }

    /// Reads what stands in a home with its owner's rights; of one that is not there nothing. One that does not answer is
    /// left behind before anything of it is read.
    pub(crate) fn in_home<T: Default + Send>(
        &mut self,
        home: &Path,
        read: impl FnOnce(&Rights) -> T + Send,
    ) -> T {
        let folder = home.to_owned();
        let owner = in_time(HOME_WAIT, move || listed(&folder));
        match owner.and_then(|rights| rights.reading(|| read(&rights))) {
            Ok(read) => read,
            Err(NotVisible::Vanished) => T::default(),
            Err(why) => {
                self.not_seen(format!("what programs keep in {}", shown(home)), why.to_string());
                T::default()
            }
        }
    }

    /// Something of a manager was not told.
    pub(crate) fn not_told(&mut self, what: impl Into<String>, failure: &Failure) {
        let source = failure.source.as_ref().map(|source| source.to_string());
        let source = source.unwrap_or_else(|| failure.attempted.clone());
        self.not_seen(what, source);
    }

    pub(crate) fn not_seen(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.unseen.push(Unseen { what: what.into(), reason: reason.into(), uid: None });
    }
}

/// What must answer before this survey goes on with it.
fn in_time<T: Send + 'static>(
    wait: Duration,
    look: impl FnOnce() -> Result<T, NotVisible> + Send + 'static,
) -> Result<T, NotVisible> {
    keyroll_observe::within(wait, look)?
}

/// The rights of a home's owner, with which its first entry was asked for: its attributes may be remembered here, and tell
/// nothing of its server.
fn listed(home: &Path) -> Result<Rights, NotVisible> {
    let rights = Rights::of_owner(home)?;
    // That it may not be listed is an answer too.
    rights.reading(|| drop(std::fs::read_dir(home).map(|mut entries| entries.next().is_some())))?;
    Ok(rights)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_home_that_never_answers_holds_no_survey_up() {
        let (end, ended) = channel::<()>();
        // As long as this test, like a mount whose server is gone.
        let dead = move || {
            let _ = ended.recv();
            Ok(())
        };
        assert_eq!(in_time(Duration::from_millis(20), dead), Err(NotVisible::Stuck));
        drop(end);
        let home = tempfile::tempdir().unwrap();
        let (there, gone) = (home.path().to_owned(), home.path().join("gone"));
        let wait = Duration::from_secs(100);
        assert_eq!(in_time(wait, move || listed(&there)), Rights::of_owner(home.path()));
        assert_eq!(in_time(wait, move || listed(&gone)), Err(NotVisible::Vanished));
    }
}
