use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::http;

/// How many requests may be under way at once. On a machine that is too busy for the rate, callers wait for answers
/// instead of adding to a queue: a long queue is answered when its callers have given up, and nothing else is.
const UNDER_WAY_MAX: u32 = 32;

/// What callers counted. A request fails if its caller did not get the expected answer; nothing is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests sent.
    pub sent: u64,
    /// Requests that did not get the expected answer.
    pub failed: u64,
    /// Answers by their text; for `/q`, the login and the role that answered.
    pub answers: BTreeMap<String, u64>,
    /// How long the callers called.
    pub elapsed: Duration,
    /// The longest time from a request that failed to the next one that was answered.
    pub away: Duration,
    /// Since when nothing was answered, where that is so.
    down: Option<Instant>,
}

impl Tally {
    /// What became of a request that was sent then.
    fn count(&mut self, sent: Instant, answered: bool) {
        self.sent += 1;
        if !answered {
            self.failed += 1;
            self.down.get_or_insert(sent);
        } else if let Some(down) = self.down.filter(|down| *down < sent) {
            self.away = self.away.max(down.elapsed());
            self.down = None;
        }
    }
}

/// Callers that send requests at a steady rate, as far as they are answered, until they are stopped.
pub struct Callers {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    calling: JoinHandle<Tally>,
}

impl Callers {
    /// Sends `rate` requests a second (at least 1) for `/q` to this port.
    pub fn start(port: u16, rate: u32) -> Self {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Tally>>::default());
        let calling = tokio::spawn(call(port, rate, Arc::clone(&stop), Arc::clone(&tally)));
        Self { stop, tally, calling }
    }

    /// Requests that were answered or failed so far.
    pub fn sent(&self) -> u64 {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).sent
    }

    /// Stops sending, waits for the requests under way, and tells the count.
    ///
    /// # Panics
    /// If the callers themselves broke.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        match self.calling.await {
            Ok(tally) => tally,
            Err(error) => panic!("the callers broke: {error}"),
        }
    }
}

async fn call(port: u16, rate: u32, stop: Arc<AtomicBool>, tally: Arc<Mutex<Tally>>) -> Tally {
    let begun = Instant::now();
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX as usize));
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    // What was missed while the machine was too busy would only keep it so.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let Ok(place) = Arc::clone(&under_way).acquire_owned().await else { break };
        let tally = Arc::clone(&tally);
        tokio::spawn(async move {
            let sent = Instant::now();
            let answer = http::get(port, "/q").await;
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.count(sent, answer.as_ref().is_ok_and(|answer| answer.status == 200));
            let text = match answer {
                Ok(answer) if answer.status == 200 => answer.body,
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => error.to_string(),
            };
            *tally.answers.entry(text).or_default() += 1;
            drop(place);
        });
    }
    // All places free again: no request is under way.
    let _all = under_way.acquire_many(UNDER_WAY_MAX).await;
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
    tally.elapsed = begun.elapsed();
    tally
}
