//! The processes that drive: each rotation has one, the command `keyroll emergency` or, for one that is due,
//! `keyroll due --apply`, or, for an operator of the API, the command that he asked for.
//!
//! One of them runs at a time, because the state folder has one lock. An emergency that has waited for its turn asks the
//! one that drives to pause, and that one goes on afterwards. One that is due, or that an operator asked for, is quiet: it
//! makes way at once, and asks nobody. A driver that an operator paused is left alone. Which secrets are meant is written
//! down before their process starts, so that the next server goes on with them.

mod consent;
mod drive;
mod errand;
mod left;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use keyroll_app::places::Asker;
use keyroll_codes::Code;
use keyroll_secret::SecretBytes;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};

use crate::api::ledger::Consents;
use crate::log::Log;
use crate::seen::{Seen, read_lines};
use crate::stop::stopped;

pub(crate) use drive::Drive;
pub(crate) use errand::{Errand, Operate, Step};
pub(crate) use left::Left;
use left::List;
use refusals::Refusals;
pub(crate) use refusals::Refused;

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

/// The processes that drive, by secret.
pub(crate) struct Drives {
    program: PathBuf,
    /// The words of every command, which name the installation.
    words: Vec<OsString>,
    /// The secrets that the next server goes on with. It is locked before `all`, and while both change together.
    list: List,
    log: Log,
    pub(crate) consents: Arc<Consents>,
    key: hmac::Key,
    all: Mutex<BTreeMap<String, Arc<Drive>>>,
    /// Held by the driver that runs.
    turn: tokio::sync::Mutex<()>,
    /// Since when it runs.
    since: Mutex<Instant>,
    /// It is quiet, and makes way at once.
    makes_way: AtomicBool,
    /// Another emergency needs the turn.
    yields: Notify,
    /// Told once, when the server stops.
    stop: watch::Sender<bool>,
    /// What operators asked for and did not get.
    pub(crate) refusals: Refusals,
}

impl Drives {
    pub(crate) fn new(
        program: PathBuf,
        words: Vec<OsString>,
        list: PathBuf,
        log: Log,
        consents: Consents,
    ) -> Result<Self, io::Error> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new());
        let key = key.map_err(|_| io::Error::other("the system has no random numbers"))?;
        let (stop, _) = watch::channel(false);
        let (turn, yields) = (tokio::sync::Mutex::new(()), Notify::new());
        let since = Mutex::new(Instant::now());
        let (list, all) = (List::new(list), Mutex::default());
        let consents = Arc::new(consents);
        let (makes_way, refusals) = (AtomicBool::new(false), Refusals::default());
        Ok(Self {
            program,
            words,
            list,
            log,
            consents,
            key,
            all,
            turn,
            since,
            makes_way,
            yields,
            stop,
            refusals,
        })
    }

    /// The driver of this secret's emergency, if one runs or waits.
    pub(crate) fn of(&self, secret: &str) -> Option<Arc<Drive>> {
        self.any(secret).filter(|drive| !drive.is_quiet())
    }

    /// The driver of this secret, whatever it does.
    pub(crate) fn any(&self, secret: &str) -> Option<Arc<Drive>> {
        self.lock().get(secret).cloned()
    }

    /// The rotations whose drivers operators asked for.
    pub(crate) fn operated(&self) -> BTreeSet<String> {
        let all = self.lock();
        all.values().filter_map(|drive| Some(drive.operate()?.rotation.clone())).collect()
    }

    /// The secret of this rotation, and its driver, if an operator asked for it.
    pub(crate) fn operating(&self, rotation: &str) -> Option<(String, Arc<Drive>)> {
        let all = self.lock();
        let its = |drive: &Drive| drive.operate().is_some_and(|operate| operate.rotation == rotation);
        all.iter().find(|(_, drive)| its(drive)).map(|(secret, drive)| (secret.clone(), drive.clone()))
    }

    /// Whether a driver of the secret runs, or waits for its turn.
    pub(crate) fn is_driven(&self, secret: &str) -> bool {
        self.lock().contains_key(secret)
    }

    /// Whether a driver that is no emergency runs, or waits for its turn.
    pub(crate) fn has_quiet(&self) -> bool {
        self.lock().values().any(|drive| drive.is_quiet())
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
        self.list.read()
    }

    /// The secret is not gone on with.
    pub(crate) fn forget(&self, secret: &str) {
        self.written(secret, self.list.lock().remove(secret));
    }

    fn written(&self, secret: &str, written: Result<(), io::Error>) {
        if let Err(error) = written {
            (self.log)(&format!("{secret}: could not write what the next server goes on with: {error}"));
        }
    }

    /// Starts a driver as soon as it is its turn. One of the secret that is there is asked to pause, and its place is taken.
    pub(crate) fn begin(
        self: &Arc<Self>,
        secret: &str,
        errand: Errand,
        asker: Asker,
    ) -> Result<Arc<Drive>, io::Error> {
        let (work, value, rotation) = errand.parts();
        let tag = value.as_ref().map(|value| hmac::sign(&self.key, value.expose()));
        let asked = work.operate().map(|operate| operate.rotation.clone());
        let (is_back, quiet) = (work.is_back(), work.is_quiet());
        let noted = asked.clone().or(rotation.clone());
        let (tell, seen) = watch::channel(Seen { rotation, sealed: value.is_none(), ..Seen::default() });
        let (withdrawn, _) = watch::channel(false);
        let drive = Arc::new(Drive { seen, value: tag, work, asker, withdrawn });
        let replaced = {
            // One step: a driver that says its rotation, or ends, in between would write what does not hold any more.
            let list = self.list.lock();
            match is_back {
                true => list.remove_quiet(secret)?,
                false => list.add(secret, noted, quiet)?,
            }
            if let Some(asked) = &asked {
                self.refusals.forget(asked);
            }
            self.lock().insert(secret.to_owned(), drive.clone())
        };
        if let Some(replaced) = replaced {
            replaced.withdrawn.send_replace(true);
        }
        tokio::spawn(self.clone().follow(secret.to_owned(), value, tell, drive.clone()));
        Ok(drive)
    }

    /// Asks the driver of the secret to pause, also one that waits for its turn; nobody goes on with it. Returns it: it
    /// ends once the step in hand is done.
    pub(crate) fn withdraw(&self, secret: &str) -> Option<Arc<Drive>> {
        let drive = {
            let list = self.list.lock();
            let drive = self.lock().remove(secret);
            self.written(secret, list.remove(secret));
            drive
        };
        if let Some(drive) = &drive {
            drive.withdrawn.send_replace(true);
        }
        drive
    }

    /// Asks every driver to pause, and waits until all have.
    pub(crate) async fn stop(&self) {
        let _ = self.stop.send_replace(true);
        while !self.lock().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        // One that was withdrawn is not among them, and has the turn until it has paused.
        drop(self.turn.lock().await);
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
        let mut patience = if own.is_quiet() { None } else { Some(PATIENCE) };
        while let Some(turn) = self.turn(patience, &own).await {
            let unapproved = self.unapproved(&own).await;
            if !self.is_own(&secret, &own) {
                break;
            }
            if unapproved.is_some() {
                tell.send_modify(|seen| (seen.problem, seen.result, seen.failed) = (unapproved, None, true));
                break;
            }
            tell.send_modify(|seen| (seen.problem, seen.result, seen.runs) = (None, None, true));
            self.makes_way.store(own.is_quiet(), Ordering::Relaxed);
            let ended = self.drive(&secret, value.as_ref(), &own, &tell).await;
            let is_begun = || !own.is_quiet() || tell.borrow().rotation.is_some();
            self.makes_way.store(false, Ordering::Relaxed);
            tell.send_modify(|seen| seen.runs = false);
            drop(turn);
            if !self.is_own(&secret, &own) {
                break;
            }
            match ended {
                // The one that asked is next. Two that take long pause each other ever later, so that both arrive.
                Ended::Yielded if !self.is_stopping() => {
                    (self.log)(&format!("{secret}: paused; it goes on after the other emergency"));
                    let longer = |patience: Duration| {
                        patience.max(PATIENCE_PAUSED / 2).saturating_mul(2).min(PATIENCE_MAX)
                    };
                    patience = patience.map(longer);
                }
                // What is due and has not begun is found again by the schedule, and an operator reads who is in the way.
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
        // Before another caller may approve: one that did not begin has used nothing.
        let has_begun = tell.borrow().rotation.is_some();
        if has_begun && !self.is_kept_from(&secret, &own) {
            self.spend(&secret, &own).await;
        }
        let kept_from = self.leave(&secret, &own, &tell.borrow());
        tell.send_modify(|seen| (seen.ended, seen.kept_from) = (true, kept_from));
        let seen = tell.borrow().clone();
        (self.log)(&seen.sentence(&secret));
    }

    /// The driver has ended, and is not started again. Returns whether it was kept from its work.
    fn leave(&self, secret: &str, own: &Arc<Drive>, seen: &Seen) -> bool {
        let list = self.list.lock();
        let kept_from = self.is_kept_from(secret, own);
        if !kept_from {
            self.written(secret, list.remove(secret));
            if let Some(operate) = own.operate() {
                self.refusals.add(secret, &operate.rotation, seen);
            }
        }
        self.lock().retain(|_, drive| !Arc::ptr_eq(drive, own));
        kept_from
    }

    /// The server stops, or it is not the secret's driver any more.
    fn is_kept_from(&self, secret: &str, own: &Arc<Drive>) -> bool {
        self.is_stopping() || !self.is_own(secret, own)
    }

    /// No other one of the secret has replaced it, and it was not withdrawn.
    fn is_own(&self, secret: &str, own: &Arc<Drive>) -> bool {
        self.lock().get(secret).is_some_and(|drive| Arc::ptr_eq(drive, own))
    }

    /// Waits for the turn; none once the server stops, or the driver is withdrawn. Without patience it waits as long as it
    /// takes.
    async fn turn(&self, patience: Option<Duration>, own: &Drive) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let (mut stop, mut withdrawn) = (self.stop.subscribe(), own.withdrawn.subscribe());
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
            () = stopped(&mut withdrawn) => None,
        }
    }

    /// Runs one driver to its end.
    async fn drive(
        &self,
        secret: &str,
        value: Option<&SecretBytes>,
        own: &Arc<Drive>,
        tell: &watch::Sender<Seen>,
    ) -> Ended {
        let seen = tell.borrow().clone();
        let given = value.filter(|_| !seen.sealed);
        let words = own.work.words(secret, seen.rotation.as_deref(), given.is_some());
        let mut child = match self.start(&words, &own.asker) {
            Ok(child) => child,
            Err(error) => {
                (self.log)(&format!("{secret}: could not start the driver: {error}"));
                tell.send_modify(|seen| seen.failed = true);
                return Ended::Finished;
            }
        };
        let yielded = self.attend(secret, &mut child, given, own, tell).await;
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

    fn start(&self, words: &[String], asker: &Asker) -> Result<Child, io::Error> {
        self.command_for(asker).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    }

    /// A command of keyroll on the same installation, which tells its events.
    pub(crate) fn command(&self) -> Command {
        self.command_for(&itself())
    }

    /// The same on somebody's behalf.
    fn command_for(&self, asker: &Asker) -> Command {
        let mut command = Command::new(&self.program);
        // A signal of the terminal reaches the server alone, which asks its driver to pause.
        command.args(&self.words).args(["--json", "--no-input", "--asked-by", &asker.by]).process_group(0);
        command.args(asker.id.iter().flat_map(|id| ["--asked-id", id]));
        command
    }

    /// A command of keyroll on the same installation, which reads; it writes text, unless it is asked for events.
    pub(crate) fn reader(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).args(["--no-input", "--asked-by", &itself().by]).process_group(0);
        command
    }

    /// Feeds a driver and reads what it says, until it closes its output. Returns whether an emergency asked it to pause.
    async fn attend(
        &self,
        secret: &str,
        child: &mut Child,
        value: Option<&SecretBytes>,
        own: &Arc<Drive>,
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
                    let list = self.list.lock();
                    if self.is_own(secret, own) {
                        // A list without the id still names the secret.
                        let _ = list.add(secret, Some(id.to_owned()), own.is_quiet());
                    }
                })
                .await;
            }
        };
        let work = async { tokio::join!(feed, read) };
        tokio::pin!(work);
        let (mut stop, mut withdrawn) = (self.stop.subscribe(), own.withdrawn.subscribe());
        let yielded = tokio::select! {
            _ = &mut work => return false,
            () = stopped(&mut stop) => false,
            () = stopped(&mut withdrawn) => false,
            () = self.yields.notified() => true,
        };
        if yielded {
            (self.log)(&format!("{secret}: asked to pause for another emergency"));
        }
        // The child is not waited for yet, so the id is its own.
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let send = |signal| pid.map(|pid| rustix::process::kill_process(pid, signal));
        let _ = send(rustix::process::Signal::TERM);
        // Before its rotation is open it only reads, and no emergency waits for that: one that opens its rotation at that
        // moment is gone on with.
        if own.is_quiet() && tell.borrow().rotation.is_none() {
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
}

/// The server, where it goes on with what an earlier one was asked for.
pub(crate) fn itself() -> Asker {
    Asker { by: "server".to_owned(), id: None }
}

/// How a driver ended.
enum Ended {
    /// By itself, or because an operator has the rotation now.
    Finished,
    /// It paused for an emergency of this server.
    Yielded,
    /// Another process has the state folder.
    Busy,
    /// A signal ended it.
    Died,
}
