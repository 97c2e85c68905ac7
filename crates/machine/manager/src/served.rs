use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId};
use keyroll_port::{Class, Failure};
use keyroll_served::{Consumers, Known, Life};

use crate::{Applied, AppliedBy, Attempt, Comparison, InstanceProcess, SharedWorkload, Workload};

/// Programs that ask keyroll's socket for the value: their processes are those that asked, what these forked since, and
/// what is below a `keyroll run` that asked for it.
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

impl Workload for Served {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Ok(Applied::without_output("nothing to do: it asks keyroll's socket for the value"))
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Nothing("it asks keyroll's socket for the value")
    }

    fn instances_in(&self, listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        let known = self.known()?;
        let asked = known.asked(listing);
        let below = known.below(listing, &asked);
        let seen: BTreeSet<ProcessId> = listing.seen.iter().map(|process| process.id).collect();
        // One that the listing could not read in time is not one that has ended.
        let unseen = known.lives.keys().filter(|life| !seen.contains(&life.process()) && life.goes_on());
        let mains = asked.into_iter().chain(unseen.map(Life::process)).map(|process| (process, true));
        let all = mains.chain(below.into_keys().map(|process| (process, false)));
        Ok(all.map(|(process, main)| InstanceProcess { process, instance: None, main }).collect())
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
