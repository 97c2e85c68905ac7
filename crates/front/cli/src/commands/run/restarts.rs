//! Ends the program when a value changes, so that it is started again with the new one, and says at the socket what came of it.
//!
//! The word `loaded` is said when the program has run for a while with the new version, and nothing was left of the one
//! with the version before when it was started.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_secret::SecretBytes;
use keyroll_served::Request;
use rustix::process::{Pid, Signal};

use super::below::{Below, EXEC_FAILED, NOT_FOUND, reap};
use super::given::{Source, Values, Versions};
use crate::relay::Relay;
use crate::ui::{Look, aside};

/// How long a program must have run before its new version counts as loaded.
const SETTLES: Duration = Duration::from_secs(3);
/// How long one request for a newer version waits.
const WATCH: Duration = Duration::from_secs(600);
/// The pause after the server was not there: the first, and the longest.
const AWAY: Duration = Duration::from_secs(1);
const AWAY_MAX: Duration = Duration::from_secs(30);
/// How long other secrets may change before one restart takes them all.
const COLLECTS: Duration = Duration::from_millis(200);
/// How often it is looked whether an adopted process has ended.
const REAPS: Duration = Duration::from_secs(10);
/// How many sentences may wait for their reader; others are dropped.
const SENTENCES_MAX: usize = 64;
/// The exit codes of what could not be executed: no key is to blame.
const NOT_EXECUTED: [u8; 2] = [EXEC_FAILED, NOT_FOUND];
/// The pause between two starts of a program that fails with a new version: the first, and the longest.
const FAILS: Duration = Duration::from_secs(1);
const FAILS_MAX: Duration = Duration::from_secs(60);

/// What the program does.
enum Event {
    /// Another version is there.
    New,
    /// It runs with these.
    Started(Pid, Versions),
    /// It ended.
    Ended,
    /// It failed at once with these versions.
    Failed(Versions),
}

/// What the threads know.
struct Shared {
    source: Source,
    newest: Mutex<Values>,
    /// Something that has an earlier version could not be ended.
    left: AtomicBool,
    sentences: SyncSender<String>,
}

/// How the program is replaced.
pub(super) struct Restarts {
    shared: Arc<Shared>,
    events: Sender<Event>,
    /// The last versions with which the program ran for a while.
    good: Versions,
    failures: u32,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those of these versions that are others than before.
fn changed(now: Versions, before: &Versions) -> Versions {
    now.into_iter().filter(|(secret, version)| before.get(secret) != Some(version)).collect()
}

/// `anthropic v4, db v2`.
fn named(versions: &Versions) -> String {
    let all: Vec<String> = versions.iter().map(|(secret, version)| format!("{secret} v{version}")).collect();
    all.join(", ")
}

impl Shared {
    /// Says a sentence on stderr. Nobody waits for its reader, who may have gone to sleep.
    fn say(&self, text: &str) {
        let _ = self.sentences.try_send(format!("keyroll: {text}"));
    }

    /// The secrets of which there is another version.
    fn newer(&self, than: &Versions) -> Versions {
        changed(lock(&self.newest).versions(), than)
    }

    /// Says a word at the socket.
    fn tell(&self, secret: &str, word: &Request) -> bool {
        self.source.socket.ask(secret, word, Duration::ZERO).is_ok()
    }
}

impl Restarts {
    /// Watches the secrets from now on.
    pub(super) fn begin(
        source: Source,
        values: Values,
        relay: &Arc<Relay>,
        (grace, splay): (Duration, Duration),
        look: Look,
    ) -> std::io::Result<Self> {
        let (sentences, told) = sync_channel::<String>(SENTENCES_MAX);
        let tell = move || told.into_iter().for_each(|sentence| aside(look, &sentence));
        thread::Builder::new().name("sentences".into()).spawn(tell)?;
        let good = values.versions();
        let (events, heard) = channel();
        let (newest, left) = (Mutex::new(values), AtomicBool::new(false));
        let shared = Arc::new(Shared { source, newest, left, sentences });
        for secret in good.keys() {
            let (shared, events, secret) = (Arc::clone(&shared), events.clone(), secret.clone());
            thread::Builder::new().name("versions".into()).spawn(move || watch(&shared, &secret, &events))?;
        }
        let manager = Manager {
            shared: Arc::clone(&shared),
            relay: Arc::clone(relay),
            grace,
            splay,
            heard,
            program: None,
            runs: None,
            ends: None,
            kills: None,
            says: None,
            refused: Versions::new(),
        };
        thread::Builder::new().name("restarts".into()).spawn(move || manager.run())?;
        Ok(Self { shared, events, good, failures: 0 })
    }

    /// Sets the variables of the next program, and says what of them must not be shown.
    pub(super) fn set(&self, command: &mut std::process::Command) -> (Versions, Vec<(String, SecretBytes)>) {
        let newest = lock(&self.shared.newest);
        self.shared.source.set(&newest, command);
        (newest.versions(), self.shared.source.hidden(&newest))
    }

    pub(super) fn say(&self, text: &str) {
        self.shared.say(text);
    }

    pub(super) fn started(&self, program: &Child, versions: &Versions) {
        let _ = self.events.send(Event::Started(Pid::from_child(program), versions.clone()));
    }

    /// The program has ended: what it left behind is ended too.
    pub(super) fn ended(&self, below: &Below) {
        // Before anything is waited for.
        let _ = self.events.send(Event::Ended);
        let alone = below.end();
        self.shared.left.store(!alone, Ordering::Release);
        if !alone {
            self.say(&format!(
                "{} of the program that ended could not be ended, and may have its values. The old version counts as used \
                 until it has ended, and keyroll with it",
                below.named()
            ));
        }
    }

    /// Whether the program failed with versions that are new to it.
    pub(super) fn fails(&self, versions: &Versions, lived: Duration, code: u8) -> bool {
        lived < SETTLES && code != 0 && *versions != self.good
    }

    /// Says that it did. How long to wait before it is started again.
    pub(super) fn failed(&mut self, versions: &Versions, lived: Duration, code: u8) -> Duration {
        let changed = changed(versions.clone(), &self.good);
        let wait = self.backoff();
        self.shared.say(&format!(
            "the program ended with {code}, {:.1} s after it was started with {}. It is started again in {} s, or with \
             the next version",
            lived.as_secs_f64(),
            named(&changed),
            wait.as_secs()
        ));
        if !NOT_EXECUTED.contains(&code) {
            let _ = self.events.send(Event::Failed(changed));
        }
        wait
    }

    /// How long to wait before it is started again.
    pub(super) fn backoff(&mut self) -> Duration {
        let wait = FAILS.saturating_mul(1 << self.failures.min(6)).min(FAILS_MAX);
        self.failures += 1;
        wait
    }

    /// The program has been replaced, so its versions were good if it ran for a while.
    pub(super) fn replaced(&mut self, versions: Versions, lived: Duration) {
        if lived >= SETTLES {
            self.good = versions;
            self.failures = 0;
        }
    }

    pub(super) fn is_newer(&self, than: &Versions) -> bool {
        !self.shared.newer(than).is_empty()
    }
}

/// Waits for each newer version of a secret.
fn watch(shared: &Shared, secret: &str, events: &Sender<Event>) {
    let mut away = AWAY;
    let mut told = false;
    loop {
        let have = lock(&shared.newest).0.get(secret).map(|given| given.version);
        match shared.source.get(secret, have, WATCH) {
            Ok(given) => {
                if std::mem::take(&mut told) {
                    shared.say(&format!("the socket answers again for {secret}"));
                }
                away = AWAY;
                let Some(given) = given else { continue };
                lock(&shared.newest).0.insert(secret.to_owned(), given);
                if events.send(Event::New).is_err() {
                    return;
                }
            }
            Err(problem) => {
                if !std::mem::replace(&mut told, true) {
                    let why = problem.causes.first().cloned().unwrap_or_default();
                    shared.say(&format!(
                        "no newer {secret} can be got, and the program keeps its version: {why}"
                    ));
                }
                thread::sleep(away.mul_f64(0.5 + share() / 2.0));
                away = (away * 2).min(AWAY_MAX);
            }
        }
    }
}

/// A random number from 0 to 1.
fn share() -> f64 {
    let mut bytes = [0; 4];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

/// The thread that decides when the program is ended, and what is said.
struct Manager {
    shared: Arc<Shared>,
    relay: Arc<Relay>,
    grace: Duration,
    splay: Duration,
    heard: Receiver<Event>,
    /// The last program, and what it has while it runs.
    program: Option<Pid>,
    runs: Option<Versions>,
    /// When the program is asked to end, is killed, and counts as settled.
    ends: Option<Instant>,
    kills: Option<Instant>,
    says: Option<Instant>,
    /// What the socket has not been told yet.
    refused: Versions,
}

impl Manager {
    fn run(mut self) {
        loop {
            let next = [self.ends, self.kills, self.says].into_iter().flatten().min();
            let wait = next.map_or(REAPS, |at| at.saturating_duration_since(Instant::now()));
            match self.heard.recv_timeout(wait.min(REAPS)) {
                Ok(event) => self.hear(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.act();
            self.program.into_iter().for_each(reap);
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::New => {}
            Event::Started(program, versions) => {
                (self.program, self.runs) = (Some(program), Some(versions));
                (self.ends, self.kills) = (None, None);
                self.says = Some(Instant::now() + SETTLES);
            }
            Event::Ended => (self.runs, self.ends, self.kills, self.says) = (None, None, None, None),
            Event::Failed(versions) => {
                self.refused = versions;
                self.says = Some(Instant::now());
            }
        }
        let Some(runs) = &self.runs else { return };
        let newer = !self.shared.newer(runs).is_empty();
        if newer && self.ends.is_none() && self.kills.is_none() {
            self.ends = Some(Instant::now() + COLLECTS + self.splay.mul_f64(share()));
        }
        if !newer && self.kills.is_none() {
            // keyroll was given another version, and then this one again: the word is about what was given last.
            self.ends = None;
            self.says = self.says.or(Some(Instant::now()));
        }
    }

    fn act(&mut self) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        if is_due(self.ends) {
            self.ends = None;
            let newer = self.runs.as_ref().map(|runs| self.shared.newer(runs)).unwrap_or_default();
            if self.signal(Signal::TERM) {
                self.kills = Some(Instant::now() + self.grace);
                self.says = None;
                self.shared.say(&format!("{} is there: the program is restarted", named(&newer)));
            }
        }
        if is_due(self.kills) {
            self.kills = None;
            if self.signal(Signal::KILL) {
                let grace = self.grace.as_secs();
                self.shared.say(&format!("the program did not end within {grace} s, and is killed"));
            }
        }
        if is_due(self.says) {
            let done = self.say();
            self.says = (!done).then(|| Instant::now() + AWAY);
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        self.program.is_some_and(|program| self.relay.end_for_another(program, signal))
    }

    /// Says what the program uses; `false` if it must be said again.
    fn say(&mut self) -> bool {
        let refused = std::mem::take(&mut self.refused);
        for (secret, version) in &refused {
            let word = Request::Used { secret: secret.clone(), version: *version, ok: false, path: None };
            if !self.shared.tell(secret, &word) {
                self.refused = refused;
                return false;
            }
        }
        let Some(runs) = &self.runs else { return true };
        if self.shared.left.load(Ordering::Acquire) {
            return true;
        }
        runs.iter().all(|(secret, version)| {
            let word = Request::Loaded { secret: secret.clone(), version: *version };
            self.shared.tell(secret, &word)
        })
    }
}
