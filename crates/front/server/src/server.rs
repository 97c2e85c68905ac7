//! What the handlers share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_app::handles::KeptJournal;
use keyroll_app::installation::Installation;
use keyroll_app::places::{Asker, Locations};
use keyroll_app::problem::Problem;
use keyroll_app::records::acts;
use keyroll_app::records::acts::Act;
use keyroll_app::redact;
use keyroll_app::reports::upkeep::Upkeep;
use keyroll_codes::Code;

use crate::counters::Counters;
use crate::drives::Drives;
use crate::guesses::Limit;
use crate::log::{Log, News};
use crate::role::Role;
use crate::streams::Streams;
use crate::tokens::Caller;
use crate::tokens::Tokens;
use crate::upkeep::Kept;

/// How many drivers are started for one secret within a minute, by emergencies and by operators each.
const BEGUN_MAX: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// How many refusals of one asker are recorded in the journal within an hour.
const RECORDED_MAX: usize = 6;
const HOUR: Duration = Duration::from_secs(3_600);

/// What the handlers share.
pub(crate) struct Server {
    pub(crate) locations: Locations,
    /// The journal that the looks share.
    pub(crate) journal: Arc<KeptJournal>,
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
    /// By who was refused: how many refusals may still be recorded, and how many were not since the last one that was.
    pub(crate) unrecorded: Mutex<BTreeMap<String, (Limit, u64)>>,
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
    /// Who is shown what happens, as it happens.
    pub(crate) streams: Arc<Streams>,
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

    /// Records an act in the journal, before it is done.
    ///
    /// # Errors
    /// It could not be recorded, and must not be done.
    pub(crate) async fn record(&self, act: Act) -> Result<(), Problem> {
        let done = self.blocking(move |installation| acts::record(&act, &installation.places()?)).await;
        if done.is_err() {
            // After a failed write the journal that is open writes nothing any more.
            let journal = self.journal.clone();
            tokio::task::spawn_blocking(move || journal.forget());
        }
        done
    }

    /// Records something that was refused, of each asker six times an hour at most: whoever is refused must not fill the
    /// disk.
    pub(crate) fn record_refused(self: &Arc<Self>, asker: Asker, what: &str, why: String) {
        let earlier = {
            let mut all = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
            let its = all.entry(asker.by.clone()).or_insert_with(|| (Limit::new(RECORDED_MAX, HOUR), 0));
            if its.0.count(Instant::now()).is_err() {
                its.1 = its.1.saturating_add(1);
                return;
            }
            std::mem::take(&mut its.1)
        };
        let detail = (earlier > 0).then(|| format!("and {earlier} before it that were not recorded"));
        let act = Act { detail, refused: Some(why), ..asker.asks(what) };
        let server = self.clone();
        tokio::spawn(async move {
            if let Err(problem) = server.record(act).await {
                server.log(&format!("a refused request could not be recorded: {}", problem.sentence()));
            }
        });
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
        let journal = self.journal.clone();
        let work = move || Installation::with_kept(locations, &journal, work);
        let done = tokio::task::spawn_blocking(work).await;
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
