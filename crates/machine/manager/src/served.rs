use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId, parents};
use keyroll_port::{Class, Failure};
use keyroll_served::{Consumers, Known, Life};

use crate::{Applied, Attempt, Comparison, InstanceProcess, SharedWorkload, Workload};

/// Programs that ask keyroll's socket for the value: their processes are those that asked, and what these forked since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    secret: String,
    consumer: String,
    /// The folder with the ledger; `None` as long as no state folder is known.
    folder: Option<PathBuf>,
    /// The secret's other consumers.
    others: Vec<String>,
}

impl Served {
    /// The programs of a consumer of a secret.
    pub fn new(secret: &str, consumer: &str) -> Self {
        Self { secret: secret.to_owned(), consumer: consumer.to_owned(), folder: None, others: Vec::new() }
    }

    fn known(&self) -> Result<Known, Failure> {
        let failed = |why: String| {
            Failure::new(Class::Retryable, Code::ProcessesHidden, "read which processes asked for the value")
                .because(why)
        };
        let folder =
            self.folder.as_ref().ok_or_else(|| failed("no state folder is known here".to_owned()))?;
        let consumers = Consumers::read(folder)
            .map_err(|error| failed(format!("{}: {error}", keyroll_served::ledger_file(folder).display())))?;
        Ok(consumers.of_all_but(&self.secret, &self.consumer, &self.others))
    }
}

/// Whether the process asked, or is the fork of one that did: a fork has what its parent had.
fn has_asked(known: &Known, lives: &BTreeMap<u32, &Life>, listing: &Listing, process: &Process) -> bool {
    let own = Life {
        boot: process.id.boot,
        pid: process.id.pid,
        start: process.id.start_ticks,
        program: process.program.number(),
    };
    let same = |life: &Life, own: &Life| life.program == own.program || life.program == 0 || own.program == 0;
    if lives.get(&own.pid).is_some_and(|life| life.process() == own.process() && same(life, &own)) {
        return true;
    }
    if !process.forked {
        return false;
    }
    // The addresses of a program are drawn at random, and a fork keeps them, also when its parent has ended.
    let forked_from =
        |life: &&Life| own.program != 0 && life.program == own.program && life.start <= own.start;
    let is_parent = |parent: &&Process| {
        lives.get(&parent.id.pid).is_some_and(|life| life.process() == parent.id && same(life, &own))
    };
    known.lives.keys().any(|life| forked_from(&life))
        || (own.program == 0 && parents(listing, process).iter().any(is_parent))
}

impl Workload for Served {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Ok(Applied::without_output("nothing to do: it asks keyroll's socket for the value"))
    }

    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        let known = self.known()?;
        let lives: BTreeMap<u32, &Life> = known.lives.keys().map(|life| (life.pid, life)).collect();
        let its = listing.seen.iter().filter(|process| has_asked(&known, &lives, listing, process));
        let seen: BTreeSet<ProcessId> = listing.seen.iter().map(|process| process.id).collect();
        // One that the listing could not read in time is not one that has ended.
        let unseen = known.lives.keys().filter(|life| !seen.contains(&life.process()) && life.goes_on());
        let all = its.map(|one| one.id).chain(unseen.map(Life::process));
        Ok(all.map(|process| InstanceProcess { process, instance: None, main: true }).collect())
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
        Comparison::NotRestarted
    }

    /// The server has the values that it gives out.
    fn is_handed_on_by(&self, process: &Process) -> bool {
        self.known().is_ok_and(|known| known.server.is_some_and(|server| server.process() == process.id))
    }

    fn in_state_folder(&self, state: &Path, others: &[String]) -> Option<SharedWorkload> {
        let (folder, others) = (Some(state.join("served")), others.to_vec());
        Some(Arc::new(Self { folder, others, ..self.clone() }))
    }
}
