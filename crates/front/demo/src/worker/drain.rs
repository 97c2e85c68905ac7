use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::http::Response;

/// How long a worker waits for its front and its callers before it ends all the same.
const DRAIN_MS_MAX: u64 = 5_000;
/// How long the last answers may take from this process to their callers.
const LAST_ANSWER_MS: u64 = 5;

/// The shutdown of a worker: it is not ready any more, gets no more requests, and has answered all.
pub(crate) struct Drain {
    fronted: bool,
    begun: AtomicBool,
    /// An earlier answer said "not ready" to the front.
    told: AtomicBool,
    /// The front has noticed, and none of its requests is unanswered here.
    left: AtomicBool,
    busy: AtomicU64,
    changed: Notify,
}

/// A request that is being worked on.
pub(crate) struct Busy<'a>(&'a Drain);

impl Drain {
    /// `fronted`: a front gives it requests, and must notice before it ends.
    pub(crate) fn new(fronted: bool) -> Self {
        Self {
            fronted,
            begun: AtomicBool::new(false),
            told: AtomicBool::new(false),
            left: AtomicBool::new(false),
            busy: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self)
    }

    /// Answers `/ready`. `in_flight` is the front's count of unanswered requests. The front stops sending requests when
    /// it reads a 503, so its next question with a count of zero proves that no request is on the way.
    pub(crate) fn ready(&self, in_flight: Option<u64>) -> Response {
        if !self.has_begun() {
            return Response::json(200, &serde_json::json!({ "ready": true }));
        }
        if let Some(in_flight) = in_flight
            && self.told.swap(true, Ordering::SeqCst)
            && in_flight == 0
        {
            self.left.store(true, Ordering::SeqCst);
            self.changed.notify_one();
        }
        Response::error(503, "draining")
    }

    /// Drains: returns when the process can end without losing a request, or when that took too long.
    pub(crate) async fn run(&self) {
        self.begun.store(true, Ordering::SeqCst);
        let drained = async {
            while self.busy.load(Ordering::SeqCst) > 0 || (self.fronted && !self.left.load(Ordering::SeqCst))
            {
                self.changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), drained).await;
        tokio::time::sleep(Duration::from_millis(LAST_ANSWER_MS)).await;
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_only_after_the_front_knows_and_the_last_answer() {
        let drain = Drain::new(true);
        assert_eq!(drain.ready(Some(3)).status, 200);
        let busy = drain.busy();
        let (ended, ()) = tokio::join!(
            async {
                drain.run().await;
                drain.left.load(Ordering::SeqCst) && drain.busy.load(Ordering::SeqCst) == 0
            },
            async {
                while !drain.has_begun() {
                    tokio::task::yield_now().await;
                }
                assert_eq!(drain.ready(Some(0)).status, 503);
                assert!(
                    !drain.left.load(Ordering::SeqCst),
                    "the front has not read the first 503 when it asks"
                );
                drain.ready(Some(1));
                assert!(!drain.left.load(Ordering::SeqCst));
                drain.ready(Some(0));
                drop(busy);
            }
        );
        assert!(ended);
    }
}
