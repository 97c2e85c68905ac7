use std::collections::BTreeMap;
use std::time::Duration;

use keyroll_leak::Rules;
use keyroll_manager::{Docker, Variables, user_names};
use keyroll_observe::{Listing, Process, ProcessId, Start, starts};
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use super::build::within;
use crate::Unseen;

/// What is around a service: the processes, the managers, the users.
pub(crate) struct Around<'a> {
    pub(crate) listing: &'a Listing,
    pub(crate) docker: &'a Docker,
    pub(crate) users: BTreeMap<u32, String>,
    pub(crate) unseen: Vec<Unseen>,
    rules: &'static Rules,
    wait: Duration,
}

impl<'a> Around<'a> {
    pub(crate) fn new(
        listing: &'a Listing,
        docker: &'a Docker,
        rules: &'static Rules,
        wait: Duration,
    ) -> Self {
        Self { listing, docker, users: user_names(), unseen: Vec::new(), rules, wait }
    }

    /// The process of this number.
    pub(crate) fn process(&self, pid: u32) -> Option<&'a Process> {
        self.listing.seen.iter().find(|one| one.id.pid == pid)
    }

    /// What processes were started with, each by its number; one that is closed, has ended or wrote over its environment
    /// is not among them.
    pub(crate) fn starts(&self, processes: &[ProcessId]) -> BTreeMap<ProcessId, Variables> {
        let mut all = BTreeMap::new();
        starts(processes, self.wait, &mut |process, answer| {
            if let Some(start) = answer.ok().filter(|start| !start.overwritten()) {
                all.insert(*process, variables(&start));
            }
        });
        all
    }

    /// Whether a variable is a secret by its form or its name.
    pub(crate) fn is_secret(&self, name: &str, value: &SecretBytes) -> bool {
        within(name, value.expose(), self.rules).is_some()
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

/// Of several entries of one name the first, as getenv(3) reads it.
fn variables(start: &Start) -> Variables {
    let mut all = Variables::new();
    for (_, entry) in start.entries() {
        let Some(at) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = entry.split_at(at);
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if !all.contains_key(name) {
            all.insert(name.to_owned(), SecretBytes::new(value.get(1..).unwrap_or_default().to_vec()));
        }
    }
    all
}
