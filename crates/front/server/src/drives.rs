//! The processes that drive: each rotation has one, the command `keyroll emergency` or, for one that is due,
//! `keyroll due --apply`.
//!
//! One of them runs at a time, because the state folder has one lock. An emergency that has waited for its turn asks the
//! one that drives to pause, and that one goes on afterwards; one that is due makes way at once, and asks nobody. A driver
//! that an operator paused is left alone. Which secrets are meant is written down before their process starts, so that
//! the next server goes on with them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use keyroll_app::atomic_file;
use keyroll_codes::Code;
use keyroll_secret::SecretBytes;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};

use crate::log::Log;
use crate::seen::{Seen, read_lines};
use crate::stop::stopped;

/// How long one drives undisturbed; then it is asked to pause if a new emergency waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it drives undisturbed if one waits that was paused before; each time twice as long.
const PATIENCE_PAUSED: Duration = Duration::from_secs(30);
const PATIENCE_MAX: Duration = Duration::from_secs(900);
/// The pause before a driver that found the state folder in use by another process is started again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often that is done: for an hour.
const AGAIN_MAX: u32 = 1_800;
/// How long the plan of what is due may go on once it is asked to stop.
const PLAN_MAX: Duration = Duration::from_secs(2);
/// How often a driver that was killed is started again.
const DIED_MAX: u32 = 3;
/// How often it is looked whether all drivers have ended, and how long the one that drives has done so.
const LOOK: Duration = Duration::from_millis(200);

/// A secret that is being driven, or waits for its turn.
pub(crate) struct Drive {
    pub(crate) seen: watch::Receiver<Seen>,
    /// The value that it was begun with.
    value: Option<hmac::Tag>,
    /// The incident that it contains.
    incident: Option<String>,
    /// It was begun because the secret is due.
    pub(crate) scheduled: bool,
}

impl Drive {
    /// It was begun with a key that somebody brought.
    pub(crate) fn has_value(&self) -> bool {
        self.value.is_some()
    }
}

/// What a driver is started for.
pub(crate) enum Errand {
    /// To begin an emergency, with a value that somebody brought.
    Begin(Option<SecretBytes>),
    /// To go on with an open rotation, as an emergency.
    Resume(String),
    /// To contain this incident of the secret.
    Contain(String),
    /// To begin what is due, or to go on with this rotation of it.
    Due(Option<String>),
}

/// What the next server goes on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Left {
    /// A rotation that was begun because its secret is due, once its id was known.
    Scheduled { scheduled: Option<String> },
    /// An emergency, with its rotation, once that was known.
    Emergency(Option<String>),
}

/// The processes that drive, by secret.
pub(crate) struct Drives {
    program: PathBuf,
    /// The words of every command, which name the installation.
    words: Vec<OsString>,
    /// The secrets that the next server goes on with.
    list: PathBuf,
    noting: Mutex<()>,
    log: Log,
    key: hmac::Key,
    all: Mutex<BTreeMap<String, Arc<Drive>>>,
    /// Held by the driver that runs.
    turn: tokio::sync::Mutex<()>,
    /// Since when it runs.
    since: Mutex<Instant>,
    /// It drives what is due, and makes way at once.
    makes_way: AtomicBool,
    /// Another emergency needs the turn.
    yields: Notify,
    /// Told once, when the server stops.
    stop: watch::Sender<bool>,
}

impl Drives {
    pub(crate) fn new(
        program: PathBuf,
        words: Vec<OsString>,
        list: PathBuf,
        log: Log,
    ) -> Result<Self, io::Error> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new());
        let key = key.map_err(|_| io::Error::other("the system has no random numbers"))?;
        let (stop, _) = watch::channel(false);
        let (turn, yields) = (tokio::sync::Mutex::new(()), Notify::new());
        let since = Mutex::new(Instant::now());
        let (noting, all) = (Mutex::default(), Mutex::default());
        let makes_way = AtomicBool::new(false);
        Ok(Self { program, words, list, noting, log, key, all, turn, since, makes_way, yields, stop })
    }

    /// The driver of this secret's emergency, if one runs or waits.
    pub(crate) fn of(&self, secret: &str) -> Option<Arc<Drive>> {
        self.lock().get(secret).filter(|drive| !drive.scheduled).cloned()
    }

    /// Whether a driver of the secret runs, or waits for its turn.
    pub(crate) fn is_driven(&self, secret: &str) -> bool {
        self.lock().contains_key(secret)
    }

    /// Whether a driver of what is due runs, or waits for its turn.
    pub(crate) fn has_scheduled(&self) -> bool {
        self.lock().values().any(|drive| drive.scheduled)
    }

    /// How many drivers run, or wait for their turn.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether the driver was begun with this value.
    pub(crate) fn is_with(&self, drive: &Drive, value: Option<&SecretBytes>) -> bool {
        match (value, &drive.value) {
            (Some(value), Some(tag)) => hmac::verify(&self.key, value.expose(), tag.as_ref()).is_ok(),
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// The secrets of which an earlier server had a driver.
    pub(crate) fn left(&self) -> BTreeMap<String, Left> {
        read_list(&self.list)
    }

    /// The secret is not gone on with.
    pub(crate) fn forget(&self, secret: &str) {
        if let Err(error) = self.note(|list| list.remove(secret).is_some()) {
            (self.log)(&format!("{secret}: could not write {}: {error}", self.list.display()));
        }
    }

    /// Starts a driver as soon as it is its turn. An emergency replaces a driver of what is due.
    pub(crate) fn begin(self: &Arc<Self>, secret: &str, errand: Errand) -> Result<Arc<Drive>, io::Error> {
        let scheduled = matches!(errand, Errand::Due(_));
        let (value, rotation, incident) = match errand {
            Errand::Begin(value) => (value, None, None),
            Errand::Resume(id) => (None, Some(id), None),
            Errand::Contain(id) => (None, None, Some(id)),
            Errand::Due(id) => (None, id, None),
        };
        let tag = value.as_ref().map(|value| hmac::sign(&self.key, value.expose()));
        self.go_on_later(secret, rotation.clone(), scheduled)?;
        let (tell, seen) = watch::channel(Seen { rotation, sealed: value.is_none(), ..Seen::default() });
        let drive = Arc::new(Drive { seen, value: tag, incident, scheduled });
        self.lock().insert(secret.to_owned(), drive.clone());
        tokio::spawn(self.clone().follow(secret.to_owned(), value, tell, drive.clone()));
        Ok(drive)
    }

    /// Asks every driver to pause, and waits until all have.
    pub(crate) async fn stop(&self) {
        let _ = self.stop.send_replace(true);
        while !self.lock().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Drive>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Follows one rotation until its driver has ended and is not started again.
    async fn follow(
        self: Arc<Self>,
        secret: String,
        value: Option<SecretBytes>,
        tell: watch::Sender<Seen>,
        own: Arc<Drive>,
    ) {
        let (mut again, mut died) = (0, 0);
        // What is due asks nobody to make way.
        let mut patience = if own.scheduled { None } else { Some(PATIENCE) };
        while let Some(turn) = self.turn(patience).await {
            if !self.is_own(&secret, &own) {
                break;
            }
            tell.send_modify(|seen| (seen.problem, seen.result) = (None, None));
            self.makes_way.store(own.scheduled, Ordering::Relaxed);
            let ended = self.drive(&secret, value.as_ref(), &own, &tell).await;
            let is_begun = || !own.scheduled || tell.borrow().rotation.is_some();
            self.makes_way.store(false, Ordering::Relaxed);
            drop(turn);
            match ended {
                // The one that asked is next. Two that take long pause each other ever later, so that both arrive.
                Ended::Yielded if !self.is_stopping() => {
                    (self.log)(&format!("{secret}: paused; it goes on after the other emergency"));
                    let longer = |patience: Duration| {
                        patience.max(PATIENCE_PAUSED / 2).saturating_mul(2).min(PATIENCE_MAX)
                    };
                    patience = patience.map(longer);
                }
                // What is due and has not begun is found again by the schedule.
                Ended::Busy if is_begun() && again < AGAIN_MAX && !self.is_stopping() => {
                    again += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                Ended::Died if died < DIED_MAX && !self.is_stopping() => {
                    died += 1;
                    (self.log)(&format!("{secret}: the driver was killed; another one goes on"));
                    tokio::time::sleep(AGAIN).await;
                }
                Ended::Yielded | Ended::Busy | Ended::Died | Ended::Finished => break,
            }
        }
        let kept_from = self.is_stopping() || !self.is_own(&secret, &own);
        if !kept_from {
            self.forget(&secret);
        }
        self.lock().retain(|_, drive| !Arc::ptr_eq(drive, &own));
        tell.send_modify(|seen| (seen.ended, seen.kept_from) = (true, kept_from));
        let seen = tell.borrow().clone();
        (self.log)(&ended(&secret, &seen));
    }

    /// No emergency of the secret has replaced it.
    fn is_own(&self, secret: &str, own: &Arc<Drive>) -> bool {
        self.lock().get(secret).is_some_and(|drive| Arc::ptr_eq(drive, own))
    }

    /// Waits for the turn; none once the server stops. Without patience it waits as long as it takes.
    async fn turn(&self, patience: Option<Duration>) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let mut stop = self.stop.subscribe();
        let since = || self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let patient = async {
            let turn = self.turn.lock();
            tokio::pin!(turn);
            loop {
                tokio::select! {
                    turn = &mut turn => return turn,
                    () = tokio::time::sleep(LOOK) => {
                        let waited = |patience| {
                            self.makes_way.load(Ordering::Relaxed) || since().elapsed() >= patience
                        };
                        if patience.is_some_and(waited) {
                            self.yields.notify_waiters();
                        }
                    }
                }
            }
        };
        tokio::select! {
            turn = patient => {
                *since() = Instant::now();
                (!self.is_stopping()).then_some(turn)
            }
            () = stopped(&mut stop) => None,
        }
    }

    /// Runs one driver to its end.
    async fn drive(
        &self,
        secret: &str,
        value: Option<&SecretBytes>,
        own: &Drive,
        tell: &watch::Sender<Seen>,
    ) -> Ended {
        let seen = tell.borrow().clone();
        let given = value.filter(|_| !seen.sealed);
        let mut words = vec!["emergency".to_owned(), secret.to_owned()];
        match (&seen.rotation, given, own.incident.as_deref()) {
            (Some(id), _, _) if own.scheduled => words = ["resume", id].map(str::to_owned).to_vec(),
            (None, _, _) if own.scheduled => words = ["due", "--apply", secret].map(str::to_owned).to_vec(),
            (_, Some(_), _) => words.push("--value-stdin".to_owned()),
            (Some(id), None, _) => words.push(format!("--rotation={id}")),
            (None, None, Some(id)) => {
                words = ["incident", "contain", id, "--roll-first", "--by-alert"].map(str::to_owned).to_vec();
            }
            (None, None, None) => {}
        }
        let mut child = match self.start(&words) {
            Ok(child) => child,
            Err(error) => {
                (self.log)(&format!("{secret}: could not start the driver: {error}"));
                tell.send_modify(|seen| seen.failed = true);
                return Ended::Finished;
            }
        };
        let yielded = self.attend(secret, &mut child, given, own.scheduled, tell).await;
        let code = child.wait().await.ok().and_then(|status| status.code());
        tell.send_modify(|seen| seen.failed = code != Some(0));
        let busy = tell.borrow().problem.as_ref().is_some_and(|told| told.is(Code::OtherDriver));
        match code {
            // Also one that was asking the issuer, and ended with what it knew.
            _ if yielded && !tell.borrow().over => Ended::Yielded,
            None => Ended::Died,
            Some(_) if busy => Ended::Busy,
            Some(_) => Ended::Finished,
        }
    }

    fn start(&self, words: &[String]) -> Result<Child, io::Error> {
        self.command().args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    }

    /// A command of keyroll on the same installation, which tells its events.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // A signal of the terminal reaches the server alone, which asks its driver to pause.
        command.args(&self.words).args(["--json", "--no-input"]).process_group(0);
        command
    }

    /// Feeds a driver and reads what it says, until it closes its output. Returns whether another emergency asked it to
    /// pause.
    async fn attend(
        &self,
        secret: &str,
        child: &mut Child,
        value: Option<&SecretBytes>,
        scheduled: bool,
        tell: &watch::Sender<Seen>,
    ) -> bool {
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let pid = child.id();
        let feed = async {
            if let (Some(mut stdin), Some(value)) = (stdin, value) {
                // A driver that refuses before it reads closes the pipe, and says why.
                let _ = stdin.write_all(value.expose()).await;
                let _ = stdin.shutdown().await;
            }
        };
        let read = async {
            if let Some(stdout) = stdout {
                read_lines(stdout, tell, |id| {
                    // A list without the id still names the secret.
                    let _ = self.go_on_later(secret, Some(id.to_owned()), scheduled);
                })
                .await;
            }
        };
        let work = async { tokio::join!(feed, read) };
        tokio::pin!(work);
        let mut stop = self.stop.subscribe();
        let yielded = tokio::select! {
            _ = &mut work => return false,
            () = stopped(&mut stop) => false,
            () = self.yields.notified() => true,
        };
        if yielded {
            (self.log)(&format!("{secret}: asked to pause for another emergency"));
        }
        // The child is not waited for yet, so the id is its own.
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let send = |signal| pid.map(|pid| rustix::process::kill_process(pid, signal));
        let _ = send(rustix::process::Signal::TERM);
        // A plan only reads, and no emergency waits for it: one that opens its rotation at that moment is gone on with.
        if scheduled && tell.borrow().rotation.is_none() {
            tokio::select! {
                _ = &mut work => return yielded,
                () = tokio::time::sleep(PLAN_MAX) => {}
            }
            if tell.borrow().rotation.is_none() {
                let _ = send(rustix::process::Signal::KILL);
            }
        }
        let _ = work.await;
        yielded
    }

    /// The next server goes on with the secret, and with this rotation of it where it is known.
    fn go_on_later(&self, secret: &str, rotation: Option<String>, scheduled: bool) -> Result<(), io::Error> {
        let left = match scheduled {
            true => Left::Scheduled { scheduled: rotation },
            false => Left::Emergency(rotation),
        };
        self.note(|list| match list.get(secret) {
            // The emergency that replaces a driver of what is due goes on, and not that one.
            Some(Left::Emergency(_)) if scheduled => false,
            Some(known) if *known == left => false,
            Some(_) | None => {
                list.insert(secret.to_owned(), left);
                true
            }
        })
    }

    /// Changes the list of the secrets that the next server goes on with.
    fn note(&self, change: impl FnOnce(&mut BTreeMap<String, Left>) -> bool) -> Result<(), io::Error> {
        let _one = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = read_list(&self.list);
        if change(&mut list) {
            let text = serde_json::to_vec(&list).map_err(io::Error::other)?;
            atomic_file::replace_private(&self.list, &text)?;
        }
        Ok(())
    }
}

/// How a driver ended.
enum Ended {
    /// By itself, or because an operator has the rotation now.
    Finished,
    /// It paused for another emergency of this server.
    Yielded,
    /// Another process has the state folder.
    Busy,
    /// A signal ended it.
    Died,
}

/// A list that cannot be read is empty: it names work that is open in the journal, and a person sees it there.
fn read_list(path: &Path) -> BTreeMap<String, Left> {
    std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn ended(secret: &str, seen: &Seen) -> String {
    let rotation =
        seen.rotation.as_deref().map_or("nothing was begun".to_owned(), |id| format!("rotation {id}"));
    let why = match (&seen.problem, &seen.result) {
        (Some(told), _) => {
            format!("could not {} ({}): {}", told.attempted, told.code, told.causes.join(": "))
        }
        (None, Some(result)) => result.clone(),
        (None, None) => "its driver has ended".to_owned(),
    };
    format!("{secret}: {rotation}: {why}")
}
