//! What the handlers share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_app::installation::Installation;
use keyroll_app::places::Locations;
use keyroll_app::problem::Problem;
use keyroll_app::redact;
use keyroll_app::reports::upkeep::Upkeep;
use keyroll_codes::Code;

use crate::counters::Counters;
use crate::drives::Drives;
use crate::guesses::Limit;
use crate::log::{Log, News};
use crate::role::Role;
use crate::tokens::Caller;
use crate::tokens::Tokens;
use crate::upkeep::Kept;

/// How many drivers are started for one secret within a minute, by emergencies and by operators each.
const BEGUN_MAX: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// What the handlers share.
pub(crate) struct Server {
    pub(crate) locations: Locations,
    pub(crate) tokens: PathBuf,
    pub(crate) log: Log,
    pub(crate) drives: Arc<Drives>,
    /// Held by the request that decides.
    pub(crate) deciding: tokio::sync::Mutex<()>,
    /// Held while a signed alert is read.
    pub(crate) messages: tokio::sync::Mutex<()>,
    /// Held while the report of a scanner is read.
    pub(crate) reports: tokio::sync::Mutex<()>,
    /// Held while a plan is made, until its process has ended.
    pub(crate) planning: Arc<tokio::sync::Mutex<()>>,
    pub(crate) guesses: Limit,
    /// Requests of known callers without the role.
    pub(crate) denials: Limit,
    /// The drivers of emergencies, by secret.
    pub(crate) begun: Mutex<BTreeMap<String, Limit>>,
    /// The drivers that operators asked for, by secret: they use up nothing that an emergency needs.
    pub(crate) asked: Mutex<BTreeMap<String, Limit>>,
    pub(crate) counters: Counters,
    /// Why the last scrape was incomplete.
    pub(crate) unreadable: Mutex<News>,
    /// What stands, as it was read last.
    pub(crate) kept: Kept,
    /// The role that a command which only reads needs; or why the server does not run it.
    pub(crate) readable: fn(&[String]) -> Result<Role, String>,
    /// Taken by each command that runs for a caller, until its process has ended.
    pub(crate) readers: Arc<tokio::sync::Semaphore>,
}

impl Server {
    pub(crate) fn log(&self, line: &str) {
        (self.log)(&redact::pass(line));
    }

    /// Counts a driver that is started for this secret; or the time after which another one may be.
    pub(crate) fn begun(&self, secret: &str) -> Result<(), Duration> {
        counted(&self.begun, secret)
    }

    /// The same of a driver that an operator asks for.
    pub(crate) fn asked(&self, secret: &str) -> Result<(), Duration> {
        counted(&self.asked, secret)
    }

    /// Whose a valid token is. The file is read each time, so that a token counts, or does not, at once; it is small and
    /// local, and reading it does not wait behind those who wait for the journal.
    pub(crate) fn caller(&self, given: &[u8]) -> Result<Option<Caller>, Problem> {
        let tokens = Tokens::read(&self.tokens)?;
        Ok(tokens.check(given).map(|(name, role, id)| Caller { name: name.to_owned(), role, id }))
    }

    /// What stands now.
    ///
    /// # Errors
    /// The configuration, the journal, the store or an incident cannot be read.
    pub(crate) async fn upkeep(&self) -> Result<Arc<Upkeep>, Problem> {
        self.kept.now(|look| self.blocking(look)).await
    }

    /// Reads the installation as it is now, on a thread that may wait.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Installation) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let locations = self.locations.clone();
        let done = tokio::task::spawn_blocking(move || work(&Installation::new(locations))).await;
        done.unwrap_or_else(|error| {
            Err(Problem::new(Code::Stopped, "read the installation").because_of(&error))
        })
    }
}

fn counted(all: &Mutex<BTreeMap<String, Limit>>, secret: &str) -> Result<(), Duration> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = all.entry(secret.to_owned()).or_insert_with(|| Limit::new(BEGUN_MAX, MINUTE));
    limit.count(Instant::now())
}
