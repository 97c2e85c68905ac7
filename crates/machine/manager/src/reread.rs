use std::sync::Arc;

use keyroll_observe::Listing;
use keyroll_port::Failure;

use crate::declaration::{Key, KeyForm, Manager};
use crate::facts::Notice::NoneFails;
use crate::facts::daily;
use crate::process::declared_find;
use crate::{Applied, AppliedBy, Attempt, Comparison, Find, InstanceProcess, ManagerFact, Workload};

/// Why its other files are not compared.
pub(crate) const READS_ITSELF: Comparison = Comparison::NotVisible(REREADS_FILE);

/// Why nothing is done so that it takes a value.
pub(crate) const REREADS_FILE: &str = "it reads its file again by itself";

/// A process that reads its file again by itself, on every use or when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// The instances' names; empty for a single one.
    pub instances: Vec<String>,
    /// How its processes are found.
    pub find: Find,
}

/// It reads its file again by itself.
pub(crate) static REREADS: Manager = Manager {
    keys: &[Key::new(
        "rereads",
        KeyForm::Flag,
        "`true`: the process reads the copy again by itself, without a restart or a signal.",
    )],
    with: &["instances", "ports", "pid_file", "process", "arg", "ready", "drain"],
    only: "a plain process is found by `pid_file` or `process`",
    example: "{ rereads = true, pid_file = \"…\" }",
    facts: &[ManagerFact {
        manager: "`rereads`",
        source: "a file that is read again when it changes",
        verb: "nothing: writing the file is enough",
        wrong: "writing in place, if the process watches the inode",
        downtime: "none",
        evidence: "memory and connections; the environment shows only the value at the start",
        test: "what_needs_nothing_does_nothing",
        services: &[daily("rereads", NoneFails)],
    }],
    survey: None,
    read: |of| {
        let find = declared_find(of, false)?;
        Ok(Arc::new(Reread { instances: Vec::new(), find }))
    },
};

impl Workload for Reread {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Ok(Applied::without_output("nothing to do: it reads its file again by itself"))
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Nothing(REREADS_FILE)
    }

    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.find.instances_in(listing, &self.instances)
    }

    fn needs_listing(&self) -> bool {
        true
    }

    fn needs_reload(&self) -> bool {
        false
    }

    fn starts_new_process(&self) -> bool {
        false
    }

    fn comparison(&self) -> Comparison {
        READS_ITSELF
    }

    fn find(&self) -> Option<&Find> {
        Some(&self.find)
    }
}
