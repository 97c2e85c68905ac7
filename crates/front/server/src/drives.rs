//! The processes that drive: each rotation has one, the command `keyroll emergency`.
//!
//! One of them runs at a time, because the state folder has one lock. An emergency that has waited for its turn asks the
//! one that drives to pause, and that one goes on afterwards. A driver that an operator paused is left alone. Which
//! secrets are meant is written down before their process starts, so that the next server goes on with them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use keyroll_app::{atomic_file, problem};
use keyroll_codes::Code;
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Notify, watch};

use crate::log::Log;
use crate::stop::stopped;

/// The longest line of a driver's output that is read, bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// How long one drives undisturbed; then it is asked to pause if a new emergency waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it drives undisturbed if one waits that was paused before; each time twice as long.
const PATIENCE_PAUSED: Duration = Duration::from_secs(30);
const PATIENCE_MAX: Duration = Duration::from_secs(900);
/// The pause before a driver that found the state folder in use by another process is started again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often that is done: for an hour.
const AGAIN_MAX: u32 = 1_800;
/// How often a driver that was killed is started again.
const DIED_MAX: u32 = 3;
/// How often it is looked whether all drivers have ended, and how long the one that drives has done so.
const LOOK: Duration = Duration::from_millis(200);

/// What is seen of a driver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The rotation that it drives.
    pub(crate) rotation: Option<String>,
    /// Nothing is lost any more if the server ends: the key is sealed for the rotation, or nobody brought one.
    pub(crate) sealed: bool,
    /// How the rotation ended, or what it waits for.
    pub(crate) result: Option<String>,
    /// The rotation has ended.
    pub(crate) over: bool,
    /// The problem that it ended with.
    pub(crate) problem: Option<Told>,
    /// It has ended, and is not started again.
    pub(crate) ended: bool,
}

impl Seen {
    /// No driver runs.
    pub(crate) fn ended() -> Self {
        Self { ended: true, sealed: true, ..Self::default() }
    }
}

/// A problem, as a driver told it; its texts passed the driver's redactor.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Told {
    pub(crate) attempted: String,
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) causes: Vec<String>,
    pub(crate) help: Option<String>,
    pub(crate) exit: u8,
}

impl Told {
    /// What was attempted and why it failed, on one line.
    pub(crate) fn sentence(&self) -> String {
        problem::sentence(&self.attempted, &self.causes)
    }

    /// Whether it has this code.
    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code.as_str()
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Rotation {
        id: String,
    },
    Sealed {},
    Done {
        outcome: String,
    },
    Paused {
        reason: String,
    },
    Error(Told),
    #[serde(other)]
    Other,
}

/// A secret that is being driven, or waits for its turn.
pub(crate) struct Drive {
    pub(crate) seen: watch::Receiver<Seen>,
    /// The value that it was begun with.
    value: Option<hmac::Tag>,
    /// The incident that it contains.
    incident: Option<String>,
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
        Ok(Self { program, words, list, noting, log, key, all, turn, since, yields, stop })
    }

    /// The driver of this secret, if one runs or waits.
    pub(crate) fn of(&self, secret: &str) -> Option<Arc<Drive>> {
        self.lock().get(secret).cloned()
    }

    /// Whether the driver was begun with this value.
    pub(crate) fn is_with(&self, drive: &Drive, value: Option<&SecretBytes>) -> bool {
        match (value, &drive.value) {
            (Some(value), Some(tag)) => hmac::verify(&self.key, value.expose(), tag.as_ref()).is_ok(),
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// The secrets of which an earlier server had a driver, each with its rotation, once that was known.
    pub(crate) fn left(&self) -> BTreeMap<String, Option<String>> {
        read_list(&self.list)
    }

    /// The secret is not gone on with.
    pub(crate) fn forget(&self, secret: &str) {
        if let Err(error) = self.note(|list| list.remove(secret).is_some()) {
            (self.log)(&format!("{secret}: could not write {}: {error}", self.list.display()));
        }
    }

    /// Starts a driver as soon as it is its turn.
    pub(crate) fn begin(self: &Arc<Self>, secret: &str, errand: Errand) -> Result<Arc<Drive>, io::Error> {
        let (value, rotation, incident) = match errand {
            Errand::Begin(value) => (value, None, None),
            Errand::Resume(id) => (None, Some(id), None),
            Errand::Contain(id) => (None, None, Some(id)),
        };
        let tag = value.as_ref().map(|value| hmac::sign(&self.key, value.expose()));
        self.go_on_later(secret, rotation.clone())?;
        let (tell, seen) = watch::channel(Seen { rotation, sealed: value.is_none(), ..Seen::default() });
        let drive = Arc::new(Drive { seen, value: tag, incident });
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
        let mut patience = PATIENCE;
        while let Some(turn) = self.turn(patience).await {
            tell.send_modify(|seen| (seen.problem, seen.result) = (None, None));
            let ended = self.drive(&secret, value.as_ref(), own.incident.as_deref(), &tell).await;
            drop(turn);
            match ended {
                // The one that asked is next. Two that take long pause each other ever later, so that both arrive.
                Ended::Yielded if !self.is_stopping() => {
                    (self.log)(&format!("{secret}: paused; it goes on after the other emergency"));
                    patience = patience.max(PATIENCE_PAUSED / 2).saturating_mul(2).min(PATIENCE_MAX);
                }
                Ended::Busy if again < AGAIN_MAX && !self.is_stopping() => {
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
        if !self.is_stopping() {
            self.forget(&secret);
        }
        self.lock().retain(|_, drive| !Arc::ptr_eq(drive, &own));
        tell.send_modify(|seen| seen.ended = true);
        let seen = tell.borrow().clone();
        (self.log)(&ended(&secret, &seen));
    }

    /// Waits for the turn; none once the server stops.
    async fn turn(&self, patience: Duration) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let mut stop = self.stop.subscribe();
        let since = || self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let patient = async {
            let turn = self.turn.lock();
            tokio::pin!(turn);
            loop {
                tokio::select! {
                    turn = &mut turn => return turn,
                    () = tokio::time::sleep(LOOK) => {
                        if since().elapsed() >= patience {
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
        incident: Option<&str>,
        tell: &watch::Sender<Seen>,
    ) -> Ended {
        let seen = tell.borrow().clone();
        let given = value.filter(|_| !seen.sealed);
        let mut words = vec!["emergency".to_owned(), secret.to_owned()];
        match (&seen.rotation, given, incident) {
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
                return Ended::Finished;
            }
        };
        let yielded = self.attend(secret, &mut child, given, tell).await;
        let code = child.wait().await.ok().and_then(|status| status.code());
        let busy = tell.borrow().problem.as_ref().is_some_and(|told| told.is(Code::OtherDriver));
        match code {
            // Also one that was asking the issuer, and ended with what it knew.
            Some(_) if yielded && !tell.borrow().over => Ended::Yielded,
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
                    let _ = self.go_on_later(secret, Some(id.to_owned()));
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
        let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        let _ = work.await;
        yielded
    }

    /// The next server goes on with the secret, and with this rotation of it where it is known.
    fn go_on_later(&self, secret: &str, rotation: Option<String>) -> Result<(), io::Error> {
        self.note(|list| list.insert(secret.to_owned(), rotation.clone()) != Some(rotation))
    }

    /// Changes the list of the secrets that the next server goes on with.
    fn note(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Option<String>>) -> bool,
    ) -> Result<(), io::Error> {
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
fn read_list(path: &Path) -> BTreeMap<String, Option<String>> {
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

/// Reads the events of a driver until it closes its output.
async fn read_lines(stdout: ChildStdout, tell: &watch::Sender<Seen>, known: impl Fn(&str)) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // The rest of a line that is too long, and a line of a newer keyroll, tell nothing.
        match serde_json::from_slice(&line) {
            Ok(Line::Rotation { id }) => {
                known(&id);
                tell.send_modify(|seen| seen.rotation = Some(id));
            }
            Ok(Line::Sealed {}) => tell.send_modify(|seen| seen.sealed = true),
            Ok(Line::Done { outcome }) => {
                tell.send_modify(|seen| (seen.result, seen.over) = (Some(outcome), true));
            }
            Ok(Line::Paused { reason }) => tell.send_modify(|seen| seen.result = Some(reason)),
            Ok(Line::Error(told)) => tell.send_modify(|seen| seen.problem = Some(told)),
            Ok(Line::Other) | Err(_) => {}
        }
    }
}
