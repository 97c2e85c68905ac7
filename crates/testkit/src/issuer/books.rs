//! What the issuer knows: its keys, who is connected, and what was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::model::ModelCall;
use super::proof::Proof;
use super::{Ask, ResponseFault};
use crate::alphanumeric;

/// One key, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What it is addressed by.
    pub id: String,
    /// What it was called when it was made.
    pub label: String,
    /// It is switched off.
    pub disabled: bool,
    /// It was ended.
    pub deleted: bool,
    /// How a list shows its value; empty where the issuer never saw it whole.
    pub(super) hint: String,
    /// Of its value, and of what a service sends in place of one of several lines.
    pub(super) digests: [u64; 2],
    /// It works from here on.
    born: Option<Instant>,
    /// It works until here all the same.
    dies: Option<Instant>,
}

impl Key {
    /// Whether its birth or its end is still spreading.
    pub(super) fn spreads(&self) -> bool {
        let now = Instant::now();
        self.born.is_some_and(|born| now < born) || self.dies.is_some_and(|dies| now < dies)
    }

    /// Whether a call with it is accepted now.
    pub(super) fn works(&self) -> bool {
        let now = Instant::now();
        let alive = !self.disabled && !self.deleted;
        self.born.is_none_or(|born| born <= now) && (alive || self.dies.is_some_and(|dies| now < dies))
    }
}

/// A connection: the key of its last accepted call, and how many were accepted with that key.
#[derive(Default)]
pub(super) struct Session {
    pub(super) key: String,
    pub(super) calls: u64,
    pub(super) stream: Option<TcpStream>,
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) keys: Vec<Key>,
    /// What is kept of keys that only compute, by their ids.
    pub(super) proofs: BTreeMap<String, Proof>,
    pub(super) sessions: BTreeMap<String, Session>,
    /// When each key was last accepted, milliseconds since the Unix epoch.
    pub(super) used: BTreeMap<String, u64>,
    /// Per worker the key of its last call, and whether that was accepted.
    pub(super) last: BTreeMap<String, (String, bool)>,
    /// What goes wrong, and how many times still.
    pub(super) moods: Vec<(Ask, ResponseFault, u32)>,
    /// What was asked, in its order; calls of workers apart.
    pub(super) asked: Vec<(Ask, String)>,
    /// Every refused use of a switched-off key: the key, the client's end, and which worker it was.
    pub(super) record: Vec<(String, String, Option<String>)>,
    /// Keys that were presented by other than workers while they were switched off.
    pub(super) refused_off: Vec<String>,
    /// Calls of workers that were refused.
    pub(super) refused_workers: Vec<String>,
    /// Accepted calls of workers, each with the id of its key, in their order; `None`: not kept.
    pub(super) accepted_calls: Option<Vec<(String, String)>>,
    /// Whether nothing is left to spend on models.
    pub(super) spent: bool,
    /// Calls of models, in their order.
    pub(super) model_calls: Vec<ModelCall>,
    /// A key, and how long a call of a model with it takes.
    pub(super) slow: Option<(String, Duration)>,
    /// What minted values end with, instead of letters.
    pub(super) tail: &'static str,
    /// A new key ends all others, so much later.
    pub(super) replaces: Option<Duration>,
    /// Until a key works, and until it does not any more.
    pub(super) delays: (Duration, Duration),
    /// While a change spreads, every other answer is of the other state; counts the answers.
    pub(super) flaps: Option<u64>,
    /// Every value that was made or presented, masked; `None`: not kept.
    pub(super) kept: Option<BTreeSet<Vec<u8>>>,
}

impl Books {
    /// A new key; its id.
    pub(super) fn make(
        &mut self,
        (label, hint): (&str, String),
        digests: [u64; 2],
        masked: impl FnOnce() -> Vec<u8>,
    ) -> String {
        if let Some(kept) = &mut self.kept {
            kept.insert(masked());
        }
        let id = format!("key_{}_{}", self.keys.len() + 1, alphanumeric(6));
        let born = (!self.delays.0.is_zero()).then(|| Instant::now() + self.delays.0);
        if let Some(grace) = self.replaces {
            for key in self.keys.iter_mut().filter(|key| !key.deleted) {
                key.deleted = true;
                key.dies = Some(Instant::now() + grace);
            }
        }
        let (label, disabled, deleted, dies) = (label.to_owned(), false, false, None);
        self.keys.push(Key { id: id.clone(), label, hint, disabled, deleted, digests, born, dies });
        id
    }

    /// Whether a call with a key is accepted now.
    pub(super) fn accepts(&mut self, key: &Key, of_worker: bool) -> bool {
        match &mut self.flaps {
            Some(answers) if key.spreads() && !of_worker => {
                *answers += 1;
                *answers % 2 == 0
            }
            Some(_) | None => key.works(),
        }
    }

    /// Changes a key that is there; what it is then.
    pub(super) fn change(&mut self, id: &str, with: impl FnOnce(&mut Key)) -> Option<&Key> {
        let death = self.delays.1;
        let key = self.keys.iter_mut().find(|key| key.id == id && !key.deleted)?;
        with(key);
        key.dies = (!death.is_zero()).then(|| Instant::now() + death);
        Some(key)
    }

    pub(super) fn connected(&mut self, client: &str, stream: &TcpStream) {
        let session = self.sessions.entry(client.to_owned()).or_default();
        if session.stream.is_none() {
            session.stream = stream.try_clone().ok();
        }
    }

    /// A call with a key that works.
    pub(super) fn used(&mut self, id: &str, client: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.used.insert(id.to_owned(), u64::try_from(now).unwrap_or(u64::MAX));
        let session = self.sessions.entry(client.to_owned()).or_default();
        if session.key != id {
            (session.key, session.calls) = (id.to_owned(), 0);
        }
        session.calls += 1;
    }
}
