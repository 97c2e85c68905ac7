//! The closing account: compares the calls that the workers counted with those that the issuer logged.

use std::collections::BTreeMap;
use std::fs;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use serde::Deserialize;

use crate::admin::Admin;
use crate::folder::Folder;
use crate::issuer::Counted;
use crate::worker::Tally;

/// The most tallies that are read: one for each worker process that ever ran.
const TALLIES_MAX: usize = 1_000;

/// A key's dates, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dates {
    pub(crate) id: String,
    pub(crate) minted_unix_ms: u64,
    pub(crate) deleted_unix_ms: Option<u64>,
    pub(crate) dead_unix_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Account {
    calls: Vec<Counted>,
    keys: Vec<Dates>,
}

/// The counts of both sides.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Calls that the workers counted themselves, in all processes that ended normally.
    pub worker_calls: u64,
    /// How many of them did not get the expected answer.
    pub worker_failed: u64,
    /// Calls of the same processes that the issuer logged.
    pub issuer_calls: u64,
    /// How many of them the issuer refused.
    pub issuer_refused: u64,
    /// Calls of the worker that calls by itself: no front gives it requests.
    pub own_calls: u64,
    /// How many of them failed.
    pub own_failed: u64,
    /// Processes whose own count and the issuer's differ.
    pub disagreeing: Vec<String>,
    keys: Vec<Dates>,
    calls: Vec<Counted>,
}

impl Books {
    /// Reads both sides. Call it after the workers have ended and while the issuer still runs.
    pub async fn read(folder: &std::path::Path) -> Result<Self, Failure> {
        let folder = Folder::new(folder);
        let response = Admin::open(&folder)?.call("GET", "/v1/calls", b"").await?;
        let account: Account = serde_json::from_slice(&response.body).map_err(|error| {
            Failure::new(Class::Permanent, Code::DemoFailed, "read the issuer's log of calls").because(error)
        })?;
        let mut logged: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for counted in &account.calls {
            let (calls, refused) = logged.entry(&counted.kind.caller).or_default();
            *calls += counted.count.calls;
            *refused += if counted.kind.status == 200 { 0 } else { counted.count.calls };
        }
        let mut books = Self { keys: account.keys, ..Self::default() };
        for tally in tallies(&folder)? {
            let (calls, refused) = logged.remove(tally.caller.as_str()).unwrap_or_default();
            books.worker_calls += tally.sent;
            books.worker_failed += tally.failed;
            books.issuer_calls += calls;
            books.issuer_refused += refused;
            if tally.caller.starts_with("forgotten.") {
                books.own_calls += tally.sent;
                books.own_failed += tally.failed;
            }
            if (tally.sent, tally.failed) != (calls, refused) {
                books.disagreeing.push(tally.caller);
            }
        }
        // The remaining calls came from outside the demo (`-`), from the nightly job's check, or from a worker process
        // without a tally.
        let lost = logged.into_keys().filter(|caller| is_worker(caller));
        books.disagreeing.extend(lost.map(str::to_owned));
        books.calls = account.calls;
        Ok(books)
    }

    /// Seconds from the mint of key `new` to the last call that a worker made with key `old`.
    pub fn mint_to_last_moved_s(&self, old: &str, new: &str) -> Option<f64> {
        let minted = self.dates(new)?.minted_unix_ms;
        let by_worker = |counted: &&Counted| counted.kind.key == old && is_worker(&counted.kind.caller);
        let last = self.calls.iter().filter(by_worker).map(|counted| counted.count.last_unix_ms).max()?;
        Some(seconds(minted, last))
    }

    /// Seconds from the deletion of a key to the moment from which the issuer refuses it.
    pub(crate) fn deletion_to_death_s(&self, key: &str) -> Option<f64> {
        let dates = self.dates(key)?;
        Some(seconds(dates.deleted_unix_ms?, dates.dead_unix_ms?))
    }

    /// Whether both sides were read and agree about every worker.
    pub fn agree(&self) -> bool {
        self.worker_calls > 0 && self.disagreeing.is_empty()
    }

    /// The key that workers used after `old`: the last one that any of them was accepted with.
    pub fn replaced_by(&self, old: &str) -> Option<&str> {
        let used = |id: &str| {
            let by_worker = |counted: &&Counted| counted.kind.key == id && is_worker(&counted.kind.caller);
            self.calls.iter().filter(by_worker).any(|counted| counted.kind.status == 200)
        };
        let later = self.keys.iter().skip_while(|dates| dates.id != old).skip(1);
        later.map(|dates| dates.id.as_str()).filter(|id| used(id)).last()
    }

    fn dates(&self, key: &str) -> Option<&Dates> {
        self.keys.iter().find(|dates| dates.id == key)
    }
}

/// Not keyroll or the demo (`-`), and not the check of the job at rest.
fn is_worker(caller: &str) -> bool {
    caller != "-" && !caller.starts_with("nightly.")
}

fn seconds(from_ms: u64, to_ms: u64) -> f64 {
    std::time::Duration::from_millis(to_ms.saturating_sub(from_ms)).as_secs_f64()
}

fn tallies(folder: &Folder) -> Result<Vec<Tally>, Failure> {
    let path = folder.join("tally");
    let failed = || Failure::new(Class::Permanent, Code::DemoFailed, format!("read {}", path.display()));
    let mut tallies = Vec::new();
    for entry in fs::read_dir(&path).map_err(|error| failed().because(error))?.take(TALLIES_MAX) {
        let entry = entry.map_err(|error| failed().because(error))?;
        let bytes = fs::read(entry.path()).map_err(|error| failed().because(error))?;
        tallies.push(serde_json::from_slice(&bytes).map_err(|error| failed().because(error))?);
    }
    Ok(tallies)
}
