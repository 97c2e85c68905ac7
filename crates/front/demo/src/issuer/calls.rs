use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use serde::{Deserialize, Serialize};

use super::clients::Client;
use super::clock::unix_ms;

/// Every call: logged as one line, and counted.
pub(crate) struct Calls {
    log: BufWriter<File>,
    counts: BTreeMap<CallKind, Count>,
}

/// Calls with equal kinds are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct CallKind {
    /// The key's id, `admin`, or `unknown`.
    pub(crate) key: String,
    /// The worker that called, by its own statement, or `-`.
    pub(crate) caller: String,
    pub(crate) path: String,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) calls: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) first_unix_ms: u64,
    pub(crate) last_unix_ms: u64,
}

/// One kind of call with its count.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Counted {
    #[serde(flatten)]
    pub(crate) kind: CallKind,
    #[serde(flatten)]
    pub(crate) count: Count,
}

/// The most kinds that are counted separately, so that the counts fit one message; further kinds are counted together.
const KINDS_MAX: usize = 150;

impl Calls {
    pub(crate) fn new(log: File) -> Self {
        Self { log: BufWriter::new(log), counts: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, client: Client, method: &str, mut kind: CallKind) {
        let now = unix_ms();
        let CallKind { key, caller, path, status } = &kind;
        // A full disk must not fail the calls of the demo; the counts below do not depend on the file.
        let _ =
            writeln!(self.log, "{now} {method} {path} key={key} client={client} caller={caller} {status}");
        if kind.key == "admin" {
            kind.path = "/v1/keys".to_owned();
        }
        if self.counts.len() >= KINDS_MAX && !self.counts.contains_key(&kind) {
            kind = CallKind {
                key: "-".to_owned(),
                caller: "-".to_owned(),
                path: "-".to_owned(),
                status: kind.status,
            };
        }
        let count =
            self.counts.entry(kind).or_insert(Count { calls: 0, first_unix_ms: now, last_unix_ms: now });
        count.calls += 1;
        count.last_unix_ms = now;
    }

    pub(crate) fn counted(&self) -> Vec<Counted> {
        self.counts.iter().map(|(kind, count)| Counted { kind: kind.clone(), count: *count }).collect()
    }

    pub(crate) fn flush(&mut self) {
        let _ = self.log.flush();
    }
}
