//! A small stateful issuer on loopback, which misbehaves on request. The test moves its clock.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a part that fails is a test that fails"
)]

pub mod described;
mod dialect;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use dialect::Dialect;

/// The fake's behaviour from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Fair,
    /// Takes connections and never answers.
    Silent,
    /// The next change happens, and its answer is lost.
    LoseNext,
    /// Everything happens, and each answer has this key twice, at the root: the first one with another text.
    RepeatsKey(&'static str),
    /// Every answer is this, and nothing changes.
    Odd(Odd),
}

/// Answers that prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    Status(u16),
    HtmlWith(u16),
    Redirect(SocketAddr),
    Huge,
    NoHttp,
    BrokenJson,
    HalfBody,
    DeepJson,
}

/// One key.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub value: String,
    pub enabled: bool,
    pub deleted: bool,
    pub born: u64,
    /// The time from which verify shows its last switch (off, on, deleted).
    pub settled: u64,
    pub last_used: Option<u64>,
}

/// One refused use of a known key.
#[derive(Debug, Clone)]
pub struct Refused {
    pub id: String,
    pub key: String,
    pub at: u64,
    pub client: SocketAddr,
    pub agent: Option<String>,
}

/// One live connection.
pub struct Live {
    pub key: String,
    pub client: SocketAddr,
    pub calls: u64,
    pub busy: bool,
    pub end: Arc<Notify>,
}

/// A request as it came: for looking at what was sent.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub struct World {
    pub now: u64,
    pub birth: u64,
    pub death: u64,
    pub mood: Behaviour,
    pub keys: Vec<Key>,
    pub admin: String,
    /// The access tokens that were given for it.
    pub tokens: Vec<String>,
    pub made: u64,
    pub page: usize,
    pub live: BTreeMap<u64, Live>,
    pub seen: Vec<RecordedRequest>,
    pub connections: u64,
    /// Answers to verify that come first, whatever the key: (status, media type, body).
    /// The record of refused uses.
    pub refused: Vec<Refused>,
    /// Whether answers tell the time.
    pub dated: bool,
    /// Replaces the record's body.
    pub refused_body: Option<String>,
    pub scripted: Vec<(u16, &'static str, String)>,
    /// Replaces the list's body.
    pub list_body: Option<String>,
    /// After this many requests, this becomes the mood.
    pub fail_after: Option<(u64, Odd)>,
    /// The next list's `Link` header.
    pub link_once: Option<String>,
}

pub struct Fake {
    pub address: SocketAddr,
    pub dialect: Dialect,
    world: Arc<Mutex<World>>,
    accepting: Option<JoinHandle<()>>,
}

impl Fake {
    pub async fn start(dialect: Dialect) -> Self {
        let world = World {
            now: 1_000_000,
            birth: 2_000,
            death: 3_000,
            mood: Behaviour::Fair,
            keys: Vec::new(),
            admin: match dialect {
                Dialect::Shipped(name) => described::admin(name),
                Dialect::Acme | Dialect::OpenRouter | Dialect::SendGrid => random("admin_", 24),
            },
            tokens: Vec::new(),
            made: 0,
            page: 2,
            live: BTreeMap::new(),
            seen: Vec::new(),
            connections: 0,
            refused: Vec::new(),
            dated: true,
            refused_body: None,
            scripted: Vec::new(),
            list_body: None,
            fail_after: None,
            link_once: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut fake = Self { address, dialect, world: Arc::new(Mutex::new(world)), accepting: None };
        fake.accept(listener);
        fake
    }

    fn accept(&mut self, listener: TcpListener) {
        let (world, dialect) = (Arc::clone(&self.world), self.dialect);
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                lock(&world).connections += 1;
                tokio::spawn(wire::serve(stream, peer, Arc::clone(&world), dialect));
            }
        }));
    }

    /// Stops listening: connections are refused.
    pub async fn leave(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again at the same place.
    pub async fn come_back(&mut self) {
        if self.accepting.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            self.accept(listener);
        }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

pub fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// The mood for one request.
    pub fn turn(&mut self) -> Behaviour {
        match self.fail_after {
            Some((0, odd)) => {
                self.mood = Behaviour::Odd(odd);
                self.fail_after = None;
            }
            Some((left, odd)) => self.fail_after = Some((left - 1, odd)),
            None => {}
        }
        self.mood
    }

    /// A key that works already.
    pub fn plant(&mut self, dialect: Dialect, name: &str) -> Key {
        let key = self.make(dialect, name, None);
        let at = self.keys.len() - 1;
        self.keys[at].born = 0;
        self.keys[at].settled = 0;
        key
    }

    pub fn make(&mut self, dialect: Dialect, name: &str, value: Option<String>) -> Key {
        self.made += 1;
        let tail = match dialect {
            Dialect::Shipped(name) => described::id_tail(name),
            Dialect::Acme | Dialect::OpenRouter | Dialect::SendGrid => "/",
        };
        let key = Key {
            id: format!("key {}{}{}", self.made, tail, random("", 8)),
            name: name.to_owned(),
            value: value.unwrap_or_else(|| dialect.value()),
            enabled: true,
            deleted: false,
            born: self.now + self.birth,
            settled: self.now + self.birth,
            last_used: None,
        };
        let key = match dialect {
            Dialect::Shipped(name) => Key { id: described::id_in(name, &key), ..key },
            Dialect::Acme | Dialect::OpenRouter | Dialect::SendGrid => key,
        };
        self.keys.push(key.clone());
        key
    }

    /// Whether verify accepts this value now: new and revoked keys take effect late.
    pub fn accepts(&mut self, value: &str) -> Option<String> {
        let now = self.now;
        let key = self.keys.iter_mut().find(|key| key.value == value)?;
        let on = key.enabled && !key.deleted;
        // Until a switch has taken effect, verify shows the state before it.
        let shown = if now < key.settled { !on } else { on };
        if now < key.born || !shown {
            return None;
        }
        key.last_used = Some(now);
        Some(key.id.clone())
    }

    /// Writes down that a known key was refused.
    pub fn refuse(&mut self, value: &str, client: SocketAddr, agent: Option<String>) {
        if let Some(key) = self.keys.iter().find(|key| key.value == value) {
            let id = format!("r{}", self.refused.len() + 1);
            let key = key.id.clone();
            self.refused.push(Refused { id, key, at: self.now, client, agent });
        }
    }

    /// The fake's time as a `Date` header.
    pub fn date(&self) -> String {
        let seconds = self.now / 1_000;
        format!("Thu, 01 Jan 1970 {:02}:{:02}:{:02} GMT", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }

    pub fn switch(&mut self, id: &str, on: bool) -> Option<bool> {
        let (now, death) = (self.now, self.death);
        let key = self.keys.iter_mut().find(|key| key.id == id && !key.deleted)?;
        let changed = key.enabled != on;
        if changed {
            key.enabled = on;
            key.settled = now + death;
        }
        Some(changed)
    }

    pub fn delete(&mut self, id: &str) -> bool {
        let (now, death) = (self.now, self.death);
        let Some(key) = self.keys.iter_mut().find(|key| key.id == id && !key.deleted) else { return false };
        if key.enabled {
            key.settled = now + death;
        }
        key.deleted = true;
        true
    }
}

/// A value of letters and digits, new each time.
pub fn random(prefix: &str, length: usize) -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut text = prefix.to_owned();
    while text.len() < prefix.len() + length {
        let bits = std::collections::hash_map::RandomState::new().build_hasher().finish();
        text.push_str(&format!("{bits:016x}"));
    }
    text.truncate(prefix.len() + length);
    text
}
