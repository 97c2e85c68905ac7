use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_database::is_io;
use keyroll_database::rusqlite::{self, Connection, TransactionBehavior};
use keyroll_port::{Class, Failure, MadeBy, RotationId, Staging, Store, VersionInfo};
use keyroll_rotation::Seq;
use keyroll_secret::{Credential, CredentialId, SealingKey, SecretBytes};
use tokio::sync::{mpsc, oneshot};

use crate::accept::accept;
use crate::database;
use crate::fail::Attempt;
use crate::ledger::{Keys, Ledger};
use crate::steps::{self, GivenUp, Retired};

/// How many calls may wait for the store; further callers wait.
const QUEUE_CALLS_MAX: usize = 64;

/// keyroll's own store: values sealed in one SQLite database, with all work on one thread.
///
/// A call that is dropped half-way may still write. After a failed write or fsync every call is refused: the process
/// must end and read the store again. Dropping the store ends its thread after the waiting calls are done.
pub struct SealedStore {
    keeps: BTreeSet<String>,
    worker: Arc<Worker>,
}

/// The thread that owns the store; it ends with the last handle.
struct Worker {
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

type Call = Box<dyn FnOnce(&mut Vault) + Send>;

/// What the thread owns.
struct Vault {
    connection: Connection,
    keys: Keys,
    /// Why no call is carried out any more: after a failed fsync the system may report success the next time.
    stopped: Option<String>,
}

impl SealedStore {
    /// Opens the store in `dir/secrets.db`, or makes it, and checks that this key vouched for all of it.
    ///
    /// Errors: a network file system, damage, altered or exchanged rows, another key, a newer schema. Blocking.
    pub fn open(dir: &Path, key: SealingKey) -> Result<Self, Failure> {
        let attempt = Attempt("open the sealed store");
        let connection = database::open(dir)?;
        let keys = Keys::new(key, attempt)?;
        let mut vault = Vault { connection, keys, stopped: None };
        vault.check_all()?;
        let (calls, mut waiting) = mpsc::channel::<Call>(QUEUE_CALLS_MAX);
        let serve = move || {
            while let Some(call) = waiting.blocking_recv() {
                call(&mut vault);
            }
        };
        let thread = thread::Builder::new().name("sealed-store".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| {
            Failure::new(Class::Retryable, Code::StateUnusable, "start the sealed store's thread")
                .because(error)
        })?;
        let worker = Worker { calls: Some(calls), thread: Some(thread) };
        Ok(Self { keeps: BTreeSet::new(), worker: Arc::new(worker) })
    }

    /// The same open store, with searching enabled for this secret: when a version of it is retired, its value stays
    /// sealed so that it can be searched for. For every other secret the value is dropped, and the next retirement also
    /// drops the values that were still sealed.
    pub fn keeping(&self, secret: &str) -> Self {
        let keeps = self.keeps.iter().cloned().chain([secret.to_owned()]).collect();
        Self { keeps, worker: self.worker.clone() }
    }

    fn retired(&self, secret: &str) -> Retired {
        if self.keeps.contains(secret) { Retired::Found } else { Retired::Dropped }
    }

    /// The values of retired versions that are still sealed, by number: for searching only. No call that returns
    /// credentials returns one of these.
    ///
    /// Errors: no such secret, or a record that was altered.
    pub async fn needles(&self, secret: &str) -> Result<Vec<(u32, Vec<SecretBytes>)>, Failure> {
        let name = secret.to_owned();
        let attempted = format!("read the retired values of '{secret}'");
        self.read(attempted, move |ledger| steps::needles(ledger, &name)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        attempted: String,
        work: impl FnOnce(&mut Vault, Attempt<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let gone = |class, code, attempted: &str| {
            Failure::new(class, code, attempted).because("the sealed store's thread has ended")
        };
        let (answer, answered) = oneshot::channel();
        let said = attempted.clone();
        let call: Call = Box::new(move |vault| drop(answer.send(work(vault, Attempt(&said)))));
        let unsent = || gone(Class::Retryable, Code::StateUnusable, &attempted);
        self.worker.calls.as_ref().ok_or_else(unsent)?.send(call).await.map_err(|_| unsent())?;
        // The call was sent and never answered: nobody knows whether it was written.
        answered.await.map_err(|_| gone(Class::Unknown, Code::WriteFailed, &attempted))?
    }

    async fn read<T: Send + 'static>(
        &self,
        attempted: String,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.call(attempted, move |vault, attempt| vault.read(attempt, work)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        attempted: String,
        work: impl FnOnce(&mut Ledger<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.call(attempted, move |vault, attempt| vault.write(attempt, work)).await
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has already reported it.
            drop(thread.join());
        }
    }
}

impl Vault {
    fn check_all(&mut self) -> Result<(), Failure> {
        let attempt = Attempt("check the sealed store");
        let new = self.read(attempt, |ledger| {
            let names: Vec<&str> = ledger.names().collect();
            names.iter().try_for_each(|name| ledger.book(name).map(drop))?;
            Ok(ledger.is_new())
        })?;
        // The key vouches from the first day: otherwise an emptied store would look like a new one.
        if new { self.write(attempt, |ledger| ledger.vouch_for_all()) } else { Ok(()) }
    }

    fn read<T>(
        &mut self,
        attempt: Attempt<'_>,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let transaction = self.connection.transaction().map_err(|error| attempt.sqlite(error))?;
        work(&Ledger::read(&transaction, &self.keys, attempt)?)
    }

    fn write<T>(
        &mut self,
        attempt: Attempt<'_>,
        work: impl FnOnce(&mut Ledger<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(why) = &self.stopped {
            let why = format!("the store stopped after a failed write: {why}");
            return Err(Failure::new(Class::Retryable, Code::WriteFailed, attempt.0)
                .help("run `keyroll doctor`")
                .because(why));
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| attempt.sqlite(error))?;
        let result = work(&mut Ledger::read(&transaction, &self.keys, attempt)?)?;
        if let Err(error) = transaction.commit() {
            let what = error.to_string();
            let failure = attempt.commit(error);
            if failure.class == Class::Unknown || !self.connection.is_autocommit() {
                self.stopped = Some(what);
            }
            return Err(failure);
        }
        self.checkpoint();
        Ok(result)
    }

    /// Moves the log into the database. If a reader of another process prevents that, the next write does it.
    fn checkpoint(&mut self) {
        let moved = keyroll_database::move_log(&self.connection);
        self.note(moved);
    }

    /// Empties the log too, so that a dropped value does not stay in it; waits for readers up to the busy time-out.
    fn empty_log(&mut self) {
        let emptied = keyroll_database::settle(&self.connection);
        self.note(emptied);
    }

    fn note(&mut self, moved: rusqlite::Result<bool>) {
        if let Err(error) = moved
            && is_io(&error)
        {
            self.stopped = Some(error.to_string());
        }
    }
}

impl SealedStore {
    /// Refuses what `add` would refuse now, and with `replaces` what `correct` would. Writes nothing.
    pub async fn check(&self, secret: &str, credential: &Credential, replaces: bool) -> Result<(), Failure> {
        let (name, credential) = (secret.to_owned(), credential.duplicate());
        let attempted = match replaces {
            true => format!("replace the value of the secret '{secret}'"),
            false => format!("add the secret '{secret}'"),
        };
        self.read(attempted, move |ledger| match replaces {
            true => steps::check_correct(ledger, &name, &credential),
            false => steps::check_add(ledger, &name, &credential),
        })
        .await
    }

    /// Replaces a value that was imported wrongly. Refused (`K0613`) once a rotation has made another version, and for
    /// the same reasons as a first value. Durable when it returns, and harmless when repeated.
    pub async fn correct(&self, secret: &str, credential: &Credential) -> Result<VersionInfo, Failure> {
        let (name, credential) = (secret.to_owned(), credential.duplicate());
        let attempted = format!("replace the value of the secret '{secret}'");
        let work = move |vault: &mut Vault, attempt: Attempt<'_>| {
            let info = vault.write(attempt, |ledger| steps::correct(ledger, &name, &credential))?;
            vault.empty_log();
            Ok(info)
        };
        self.call(attempted, work).await
    }

    /// Takes over a value that keyroll did not write, as the current version; the one before it stays sealed as the previous
    /// one. Refused (`K0613`) if a version that is not current has the value, or a rotation has a pending version. Durable
    /// when it returns, and harmless when repeated.
    pub async fn accept(&self, secret: &str, credential: &Credential) -> Result<VersionInfo, Failure> {
        let (name, credential) = (secret.to_owned(), credential.duplicate());
        let attempted = format!("take over the value of the secret '{secret}'");
        self.write(attempted, move |ledger| accept(ledger, &name, &credential)).await
    }

    /// Begins a secret whose first version a rotation is going to make. Harmless if the secret exists.
    pub async fn found(&self, secret: &str) -> Result<(), Failure> {
        let name = secret.to_owned();
        self.write(format!("begin the secret '{secret}'"), move |ledger| steps::found(ledger, &name)).await
    }

    /// Drops the value of the current version without a successor: the secret then has no value. Durable when it
    /// returns, and harmless when repeated.
    pub async fn close(&self, secret: &str, number: u32) -> Result<(), Failure> {
        let (name, retired) = (secret.to_owned(), self.retired(secret));
        let attempted = format!("drop v{number} of '{secret}', which nobody uses");
        self.drop_values(attempted, move |ledger| steps::close(ledger, &name, number, retired)).await
    }

    /// A write after which the log holds no value either.
    async fn drop_values(
        &self,
        attempted: String,
        write: impl FnOnce(&mut Ledger<'_>) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let work = move |vault: &mut Vault, attempt: Attempt<'_>| {
            vault.write(attempt, write)?;
            vault.empty_log();
            Ok(())
        };
        self.call(attempted, work).await
    }
}

#[async_trait]
impl Store for SealedStore {
    async fn add(&self, secret: &str, credential: &Credential) -> Result<VersionInfo, Failure> {
        let (name, credential) = (secret.to_owned(), credential.duplicate());
        self.write(format!("add the secret '{secret}'"), move |ledger| steps::add(ledger, &name, &credential))
            .await
    }

    async fn secrets(&self) -> Result<Vec<String>, Failure> {
        self.read("list the secrets".to_owned(), |ledger| Ok(ledger.names().map(str::to_owned).collect()))
            .await
    }

    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, Failure> {
        let name = secret.to_owned();
        self.read(format!("list the versions of '{secret}'"), move |ledger| {
            Ok(ledger.book(&name)?.versions.iter().map(crate::book::Version::info).collect())
        })
        .await
    }

    async fn read(&self, secret: &str, number: u32) -> Result<Option<Credential>, Failure> {
        let name = secret.to_owned();
        let attempted = format!("read v{number} of '{secret}'");
        SealedStore::read(self, attempted, move |ledger| steps::read(ledger, &name, number)).await
    }

    async fn put_pending(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
        credential: &Credential,
    ) -> Result<u32, Failure> {
        let (name, rotation, credential) = (secret.to_owned(), rotation.0.clone(), credential.duplicate());
        self.write(format!("stage a new version of '{secret}'"), move |ledger| {
            steps::put_pending(ledger, &name, &rotation, intent, &credential)
        })
        .await
    }

    async fn promote(&self, secret: &str, expected: u32, next: u32) -> Result<(), Failure> {
        let name = secret.to_owned();
        let attempted = format!("make v{next} of '{secret}' current in place of v{expected}");
        self.write(attempted, move |ledger| steps::promote(ledger, &name, expected, next)).await
    }

    async fn demote(&self, secret: &str, before: u32, next: u32) -> Result<(), Failure> {
        let name = secret.to_owned();
        let attempted = format!("make v{before} of '{secret}' current again in place of v{next}");
        self.write(attempted, move |ledger| steps::demote(ledger, &name, before, next)).await
    }

    async fn retire(&self, secret: &str, number: u32) -> Result<(), Failure> {
        let (name, retired) = (secret.to_owned(), self.retired(secret));
        let attempted = format!("retire v{number} of '{secret}'");
        self.drop_values(attempted, move |ledger| steps::retire(ledger, &name, number, retired)).await
    }
}

#[async_trait]
impl Staging for SealedStore {
    async fn keep(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
        credential: &Credential,
    ) -> Result<(), Failure> {
        let (name, rotation, credential) = (secret.to_owned(), rotation.0.clone(), credential.duplicate());
        self.write(format!("seal a new credential of '{secret}'"), move |ledger| {
            steps::keep(ledger, &name, &rotation, intent, &credential)
        })
        .await
    }

    async fn kept(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
    ) -> Result<Option<Credential>, Failure> {
        let (name, rotation) = (secret.to_owned(), rotation.0.clone());
        let attempted = format!("read what was sealed for '{secret}' under entry {intent}");
        SealedStore::read(self, attempted, move |ledger| steps::kept(ledger, &name, &rotation, intent)).await
    }

    async fn forget(&self, secret: &str, made_by: &MadeBy) -> Result<(), Failure> {
        let (name, MadeBy { rotation, intent }) = (secret.to_owned(), made_by.clone());
        let attempted = format!("drop what is kept for a version of '{secret}'");
        self.drop_values(attempted, move |ledger| steps::forget(ledger, &name, &rotation.0, intent)).await
    }

    async fn discard(
        &self,
        secret: &str,
        rotation: &RotationId,
        credential: Option<&CredentialId>,
        stays: Option<Seq>,
    ) -> Result<(), Failure> {
        let (name, rotation) = (secret.to_owned(), rotation.0.clone());
        let credential = credential.map(|id| id.as_str().to_owned());
        self.drop_values(format!("drop the values of '{secret}' that were given up"), move |ledger| {
            let credential = credential.as_deref();
            steps::discard(ledger, &name, &GivenUp { rotation: &rotation, credential, stays })
        })
        .await
    }
}
