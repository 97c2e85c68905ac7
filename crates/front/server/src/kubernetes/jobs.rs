//! Work that takes long: an import or a plan, each in a process of its own. A look at all objects begins it, and reads what
//! came of it at a later look, so that one object holds up no other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How many run at a time.
const AT_ONCE: usize = 2;

/// What came of a piece of work.
pub(super) type Result = std::result::Result<String, String>;

/// The work that was begun in this life of the server, by what it is about.
pub(super) struct Jobs {
    all: Arc<Mutex<BTreeMap<String, Job>>>,
    free: Arc<Semaphore>,
}

struct Job {
    /// What it goes by: other circumstances are other work.
    by: String,
    /// None: it runs, or waits until another one has ended.
    done: Option<(Result, Instant)>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { all: Arc::default(), free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Jobs {
    /// Whether such work runs, or waits until another one has ended.
    pub(super) fn runs(&self, name: &str) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).is_some_and(|job| job.done.is_none())
    }

    /// What came of the work; none: it is not known yet. It is begun if it was not, and again once it failed `again` ago.
    pub(super) fn ask<F: Future<Output = Result> + Send + 'static>(
        &self,
        name: &str,
        by: &str,
        again: Option<Duration>,
        begin: impl FnOnce() -> F,
    ) -> Option<Result> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = all.get(name).filter(|job| job.by == by) {
            match &job.done {
                None => return None,
                Some((result, at)) => {
                    let is_old = result.is_err() && again.is_some_and(|again| at.elapsed() >= again);
                    if !is_old {
                        return Some(result.clone());
                    }
                }
            }
        }
        all.insert(name.to_owned(), Job { by: by.to_owned(), done: None });
        let (work, all, free) = (begin(), self.all.clone(), self.free.clone());
        let (name, by) = (name.to_owned(), by.to_owned());
        tokio::spawn(async move {
            let _place = free.acquire_owned().await;
            let result = work.await;
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            // What has other circumstances by now is begun anew.
            if let Some(job) = all.get_mut(&name).filter(|job| job.by == by) {
                job.done = Some((result, Instant::now()));
            }
        });
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_is_begun_once_for_its_circumstances_and_again_after_a_failure() {
        let jobs = Jobs::default();
        let begun = Arc::new(AtomicUsize::new(0));
        let ask = |by: &str, again: Option<Duration>, result: Result| {
            let begun = begun.clone();
            jobs.ask("plan shop.acme", by, again, || async move {
                begun.fetch_add(1, Ordering::SeqCst);
                result
            })
        };
        let (good, bad) = (|| Ok("01a2".to_owned()), || Err("the issuer is away".to_owned()));
        assert_eq!(ask("1", None, bad()), None);
        let mut seen = None;
        while seen.is_none() {
            tokio::task::yield_now().await;
            seen = ask("1", None, good());
        }
        assert_eq!((seen, begun.load(Ordering::SeqCst)), (Some(bad()), 1), "it is not begun twice");
        assert_eq!(ask("1", Some(Duration::ZERO), good()), None, "it failed, and is tried again");
        while ask("1", Some(Duration::ZERO), bad()).is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask("1", Some(Duration::ZERO), bad()), Some(good()), "what succeeded stands");
        assert_eq!(ask("2", None, good()), None, "another text is other work");
    }
}
