use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_leak::Rules;
use keyroll_manager::{Variables, user_names};
use keyroll_observe::{Listing, NotVisible, Process, ProcessId, Rights, Start, shown};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use super::build::within;
use crate::Unseen;

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

    /// Reads what stands in a home with its owner's rights; of one that is not there nothing.
    pub(crate) fn in_home<T: Default + Send>(
        &mut self,
        home: &Path,
        read: impl FnOnce(&Rights) -> T + Send,
    ) -> T {
        let owner = Rights::of_owner(home);
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
