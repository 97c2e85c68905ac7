use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::{Call, Connection};

/// Callers per entrance.
const CALLERS: u64 = 10;
/// The most reasons of failed requests that are kept.
const REASONS_MAX: usize = 20;

/// Callers that send requests to the services all the time: one attempt for each, never a second one.
pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU64,
    failed: AtomicU64,
    reasons: Mutex<Vec<String>>,
}

/// The results of the callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests whose outcome is known.
    pub requests: u64,
    /// Requests without the expected answer: refused, broken off, late or wrong.
    pub failed: u64,
    /// Why the first failed requests failed.
    pub reasons: Vec<String>,
}

#[derive(Deserialize)]
struct WorkResponse {
    square: u64,
}

impl Load {
    /// Starts callers at each entrance; together they make this many requests a second. Needs a tokio runtime.
    pub fn start(entrances: &[(&'static str, SocketAddr)], per_second: impl Fn(&str) -> u64) -> Self {
        let shared = Arc::new(Shared::default());
        let mut callers = JoinSet::new();
        for (name, address) in entrances {
            let period = Duration::from_micros(1_000_000 * CALLERS / per_second(name).max(1));
            for number in 0..CALLERS {
                callers.spawn(call(Arc::clone(&shared), name, *address, period, number * 1_000_000));
            }
        }
        Self { shared, callers }
    }

    /// The results so far.
    pub fn sent(&self) -> Sent {
        Sent {
            requests: self.shared.requests.load(Ordering::SeqCst),
            failed: self.shared.failed.load(Ordering::SeqCst),
            reasons: self.shared.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Lets every caller finish its request, and returns the results.
    pub async fn stop(mut self) -> Sent {
        self.shared.stop.store(true, Ordering::SeqCst);
        while self.callers.join_next().await.is_some() {}
        self.sent()
    }
}

/// One caller: sends one request after another on its own connection, at a fixed rate.
async fn call(shared: Arc<Shared>, name: &'static str, address: SocketAddr, period: Duration, first: u64) {
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = None;
    let mut n = first;
    while !shared.stop.load(Ordering::SeqCst) {
        pace.tick().await;
        n += 1;
        let outcome = ask(&mut kept, address, n).await;
        shared.requests.fetch_add(1, Ordering::SeqCst);
        if let Err(reason) = outcome {
            shared.failed.fetch_add(1, Ordering::SeqCst);
            let mut reasons = shared.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            if reasons.len() < REASONS_MAX {
                reasons.push(format!("{name}: {reason}"));
            }
        }
    }
}

/// One request; only the expected answer is a success.
async fn ask(kept: &mut Option<Connection>, address: SocketAddr, n: u64) -> Result<(), String> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(address).await.map_err(|error| error.to_string())?,
    };
    let target = format!("/work?n={n}");
    let response = connection.call(&Call::get(&target)).await.map_err(|error| error.to_string())?;
    *kept = Some(connection);
    let answer = serde_json::from_slice::<WorkResponse>(&response.body).ok();
    match (response.status, answer) {
        (200, Some(WorkResponse { square })) if square == n * n => Ok(()),
        (200, _) => Err("a wrong answer".to_owned()),
        (status, _) => Err(format!("status {status}")),
    }
}
