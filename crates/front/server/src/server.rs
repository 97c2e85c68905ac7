//! What the handlers share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_app::installation::Installation;
use keyroll_app::places::Locations;
use keyroll_app::problem::Problem;
use keyroll_app::redact;
use keyroll_codes::Code;

use crate::drives::Drives;
use crate::guesses::Limit;
use crate::log::Log;
use crate::tokens::Tokens;

/// How many drivers are started for one secret within a minute.
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
    pub(crate) guesses: Limit,
    pub(crate) begun: Mutex<BTreeMap<String, Limit>>,
}

impl Server {
    pub(crate) fn log(&self, line: &str) {
        (self.log)(&redact::pass(line));
    }

    /// Counts a driver that is started for this secret; or the time after which another one may be.
    pub(crate) fn begun(&self, secret: &str) -> Result<(), Duration> {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = all.entry(secret.to_owned()).or_insert_with(|| Limit::new(BEGUN_MAX, MINUTE));
        limit.count(Instant::now())
    }

    /// The name of a valid token. The file is read each time, so that a token counts, or does not, at once; it is small
    /// and local, and reading it does not wait behind those who wait for the journal.
    pub(crate) fn caller(&self, given: &[u8]) -> Result<Option<String>, Problem> {
        Ok(Tokens::read(&self.tokens)?.check(given).map(str::to_owned))
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
