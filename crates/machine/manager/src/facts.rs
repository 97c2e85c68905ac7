//! What each manager can do with a value, as data: the rows of docs/reference/managers.md.

/// One row: a manager, and a source of the value.
#[derive(Debug, Clone, Copy)]
pub struct ManagerFact {
    /// The manager, as `runs` names it.
    pub manager: &'static str,
    /// Where the value stands.
    pub source: &'static str,
    /// What applies a new value.
    pub verb: &'static str,
    /// What looks as if it applied the value, and does not.
    pub wrong: &'static str,
    /// How long the service is down.
    pub downtime: &'static str,
    /// What shows that the value is in use.
    pub evidence: &'static str,
    /// The test that shows what applies the value, and what does not.
    pub test: &'static str,
    /// The services of this row that the tests rotate.
    pub services: &'static [ServiceFact],
}

/// A service that the tests rotate under load: forward, forward and back, and with keyroll killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceFact {
    /// Its name in the tests.
    pub name: &'static str,
    /// What its callers may notice.
    pub notice: Notice,
    /// The tests of every change rotate it forward; `cargo xtask test --full` does the rest.
    pub daily: bool,
}

/// What callers may notice of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// No request fails at the service's address.
    NoneFails,
    /// The only instance is down for a while: the plan announces it, and keyroll measures it.
    Away,
    /// It is a job that nobody calls: none of its runs fails.
    Job,
}

pub(crate) const fn daily(name: &'static str, notice: Notice) -> ServiceFact {
    ServiceFact { name, notice, daily: true }
}

pub(crate) const fn nightly(name: &'static str, notice: Notice) -> ServiceFact {
    ServiceFact { name, notice, daily: false }
}

pub(crate) const OF_PROCESS: &str = "each process's own environment, memory and connections";
