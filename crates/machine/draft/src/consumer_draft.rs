//! A consumer as `init` would write it, and what it is derived from.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use keyroll_config::{FoundConsumer, Said};
use keyroll_manager::SurveyedAgent;
use keyroll_observe::{ProcessId, Sockets};
use keyroll_trace::{Names, Place, Survey};

/// How the comment begins that suggests a readiness check of one process.
pub(crate) const LISTENS: &str = "it listens at";

/// What every draft is derived from.
pub(crate) struct Context<'s> {
    pub survey: &'s Survey,
    pub names: &'s Names,
    /// The folder that relative paths of a consumer begin in.
    pub folder: &'s Path,
    pub sockets: Option<&'s Sockets>,
}

/// A consumer of the configuration, drafted from a user of a secret.
pub struct ConsumerDraft {
    /// As it is written.
    pub consumer: FoundConsumer,
    /// The same with the copies of a login, user and password, if its secret is one.
    pub of_login: Option<FoundConsumer>,
    /// What the operator has to fill in.
    pub open: Vec<String>,
    /// The copies that it reads.
    pub reads: BTreeSet<Place>,
    /// Its running processes.
    pub processes: Vec<ProcessId>,
    /// The addresses that they listen on.
    pub listens: Vec<SocketAddr>,
    /// The agent that it is, if the configuration has keys of its own for it; this draft may not use them.
    pub agent: Option<Arc<dyn SurveyedAgent>>,
}

/// Why a user of a secret cannot be written as a consumer.
pub(crate) type NotDrafted = String;

/// How a consumer is run and checked.
pub(crate) struct RunDraft {
    pub runs: Vec<(&'static str, Said)>,
    pub notes: Vec<String>,
    pub open: Vec<String>,
    pub at_rest: bool,
    /// The lines of its own check; empty = the default check.
    pub check: Vec<String>,
}
