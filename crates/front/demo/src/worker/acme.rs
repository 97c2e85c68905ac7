use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use keyroll_secret::SecretBytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::http::{Call, Connection};

/// Connections that a worker keeps to the issuer; they are used in turn, so that none stays idle under load.
const CONNECTIONS: usize = 2;

/// The issuer as a worker sees it: kept connections, one attempt per call, every call counted.
pub(crate) struct Acme {
    issuer: SocketAddr,
    caller: String,
    connections: [Mutex<Option<Connection>>; CONNECTIONS],
    next: AtomicUsize,
    sent: AtomicU64,
    failed: AtomicU64,
    accepted: AtomicBool,
}

/// A worker's own count of its calls to the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Its name in `x-caller`.
    pub(crate) caller: String,
    pub(crate) sent: u64,
    /// Calls without the expected answer.
    pub(crate) failed: u64,
}

#[derive(Serialize)]
struct Question {
    n: u64,
}

#[derive(Deserialize)]
struct InferResponse {
    n: u64,
    square: u64,
}

impl Acme {
    pub(crate) fn new(issuer: SocketAddr, caller: String) -> Self {
        Self {
            issuer,
            caller,
            connections: std::array::from_fn(|_| Mutex::new(None)),
            next: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            accepted: AtomicBool::new(false),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            caller: self.caller.clone(),
            sent: self.sent.load(Ordering::SeqCst),
            failed: self.failed.load(Ordering::SeqCst),
        }
    }

    /// Closes the kept connections: after a new key, the client must open new ones.
    pub(crate) async fn forget_connections(&self) {
        for connection in &self.connections {
            *connection.lock().await = None;
        }
    }

    /// One call; `None` if the answer was not the expected one. Nothing is sent twice.
    pub(crate) async fn ask(&self, path: &str, key: &SecretBytes, n: u64) -> Option<u64> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let answer = self.exchange(path, key, n).await;
        if answer.is_none() {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
        answer
    }

    /// Writes a line to the worker's log at the first acceptance of its key and at every refusal.
    fn note(&self, status: u16) {
        // A log that cannot be written must not fail the call.
        match status {
            200 if self.accepted.swap(true, Ordering::SeqCst) => {}
            200 => drop(writeln!(std::io::stderr(), "{}: the issuer accepted the key", self.caller)),
            401 => drop(writeln!(std::io::stderr(), "{}: the issuer refused the key (401)", self.caller)),
            _ => {}
        }
    }

    async fn exchange(&self, path: &str, key: &SecretBytes, n: u64) -> Option<u64> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut kept = self.connections.get(place)?.lock().await;
        let mut connection = match kept.take().filter(|connection| !connection.is_over()) {
            Some(connection) => connection,
            None => Connection::open(self.issuer).await.ok()?,
        };
        let body = serde_json::to_vec(&Question { n }).ok()?;
        let headers = [("x-caller", self.caller.as_str())];
        let call = Call { method: "POST", target: path, bearer: Some(key), headers: &headers, body: &body };
        let response = connection.call(&call).await.ok()?;
        *kept = Some(connection);
        self.note(response.status);
        let answer: InferResponse = serde_json::from_slice(&response.body).ok()?;
        (response.status == 200 && answer.n == n).then_some(answer.square)
    }
}
