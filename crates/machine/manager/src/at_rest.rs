use std::sync::Arc;

use keyroll_observe::{Listing, Process};
use keyroll_port::Failure;

use crate::declaration::{Key, KeyForm, Manager};
use crate::facts::Notice::Job;
use crate::facts::nightly;
use crate::systemd::declared_unit;
use crate::{
    Applied, AppliedBy, Attempt, Comparison, InstanceProcess, ManagerFact, ServiceIdentity, Unit, Workload,
};

/// A consumer without a running process; its next start takes the value from its copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtRest {
    /// The systemd timer that starts it, if any.
    pub timer: Option<Unit>,
}

/// A job that a systemd timer starts.
pub(crate) static TIMER: Manager = Manager {
    keys: &[Key::new(
        "timer",
        KeyForm::Text,
        "The systemd timer that starts the job: `backup.timer`. Between two runs there is no process.",
    )],
    with: &["user"],
    only: "`timer` goes with `user` only",
    example: "{ timer = \"job.timer\" }",
    facts: &[ManagerFact {
        manager: "`timer`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        downtime: "none",
        evidence: "its `check`; keyroll waits for a job that runs right now",
        test: "credentials_a_users_manager_and_a_timer",
        services: &[nightly("timer", Job)],
    }],
    survey: None,
    read: |of| Ok(Arc::new(AtRest { timer: Some(declared_unit(of, "timer", "timer")?) })),
};

/// Nothing runs now.
pub(crate) static AT_REST: Manager = Manager {
    keys: &[Key::new(
        "at_rest",
        KeyForm::Flag,
        "`true`: the consumer has no process now, for example a cron or CI job, or a stopped service.",
    )],
    with: &[],
    only: "`at_rest` stands alone",
    example: "{ at_rest = true }",
    facts: &[ManagerFact {
        manager: "`at_rest`",
        source: "a file that the job reads",
        verb: "nothing: the next run reads it",
        wrong: "-",
        downtime: "none",
        evidence: "its `check`, which must fail on a wrong copy",
        test: "two_secrets_in_one_file",
        services: &[nightly("at-rest", Job)],
    }],
    survey: None,
    read: |_| Ok(Arc::new(AtRest::default())),
};

impl Workload for AtRest {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Ok(Applied::without_output("nothing to do: it is at rest and starts from its copies"))
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Nothing("its next run takes it")
    }

    /// A job that its timer has just started runs until it ends: it started from what its copies held then.
    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        match &self.timer {
            Some(timer) => timer.started_by_timer()?.instances(),
            None => Ok(Vec::new()),
        }
    }

    fn needs_reload(&self) -> bool {
        false
    }

    fn is_job(&self) -> bool {
        true
    }

    fn is_handed_on_by(&self, process: &Process) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.has_as_manager(process))
    }

    fn comparison(&self) -> Comparison {
        Comparison::NotRestarted
    }

    fn systemd_user(&self) -> Option<&str> {
        self.timer.as_ref()?.user.as_deref()
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        self.timer.iter().flat_map(Workload::identities).collect()
    }

    fn is_known_by_copies(&self) -> bool {
        self.timer.is_none()
    }
}
