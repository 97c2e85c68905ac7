//! What stands, read once for all who ask for it within a moment.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_app::reports::upkeep::{Upkeep, Watch};

/// How old it may be. Whoever asks more often is told the same.
const FRESH: Duration = Duration::from_secs(2);

/// A look, which may wait.
pub(crate) type Look = Box<dyn FnOnce(&Installation) -> Result<Upkeep, Problem> + Send>;

/// What was read last, and what reads it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    watch: Arc<std::sync::Mutex<Watch>>,
    last: tokio::sync::Mutex<Option<(Instant, Arc<Upkeep>)>>,
}

impl Kept {
    /// What stands now; `blocking` carries a look out.
    ///
    /// # Errors
    /// The configuration, the journal, the store or an incident cannot be read.
    pub(crate) async fn now<F: Future<Output = Result<Upkeep, Problem>>>(
        &self,
        blocking: impl FnOnce(Look) -> F,
    ) -> Result<Arc<Upkeep>, Problem> {
        // Whoever comes meanwhile waits for this look, and takes its result.
        let mut last = self.last.lock().await;
        if let Some((_, seen)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(seen.clone());
        }
        let watch = self.watch.clone();
        let look = move |installation: &Installation| {
            watch.lock().unwrap_or_else(PoisonError::into_inner).look(installation)
        };
        let seen = Arc::new(blocking(Box::new(look)).await?);
        *last = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }
}
