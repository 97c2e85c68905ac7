//! The one writer: an append that nobody else waits beside is one statement on its caller's thread; everything else
//! waits for the writer's thread, is committed together, and answered after the commit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use keyroll_database::rusqlite::{self, Connection, ErrorCode, Transaction, TransactionBehavior};
use keyroll_database::{is_damage, is_io, is_passing};
use keyroll_port::JournalError;
use tokio::sync::{mpsc, oneshot};

use crate::read::{self, Head, unavailable};
use crate::tail::Tail;
use crate::verify;
use crate::witness::Witness;
use crate::write::Write;

/// Requests that may wait for the writer; more make their callers wait.
pub(crate) const QUEUE_REQUESTS_MAX: usize = 256;

/// Requests in one transaction.
const BATCH_REQUESTS_MAX: usize = 256;

/// Writes after which the log is moved into the database, so that it stays at some ten megabytes.
const CHECKPOINT_WRITES: usize = 1_000;

/// What a request is answered with: the new epoch of a take-over, else 0.
pub(crate) type Answer = oneshot::Sender<Result<u64, JournalError>>;

/// What the writer is asked for.
pub(crate) enum Request {
    /// One write.
    Write(Write, Answer, Waiting),
    /// The witness is to follow everything that was committed before.
    Witness(Answer),
}

/// The writer as its own thread and its callers share it.
pub(crate) struct WriterQueue {
    writer: Mutex<Writer>,
    /// Writes that wait for the thread, or for room in its queue. Nobody overtakes them.
    waiting: AtomicUsize,
    /// The last commit was of several: it is better to wait for the next one than to sync alone.
    crowded: AtomicBool,
}

/// One write that waits; dropped when it is committed, refused or given up.
pub(crate) struct Waiting(Arc<WriterQueue>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl WriterQueue {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer: Mutex::new(writer), waiting: AtomicUsize::new(0), crowded: AtomicBool::new(false) }
    }

    /// Counts one write that is going to wait.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// Carries out an append on this thread, if no other waits or writes. `None`: nothing was written, it is to wait.
    pub(crate) fn alone(&self, write: &Write) -> Option<Result<u64, JournalError>> {
        if self.waiting.load(Ordering::Acquire) > 0 || self.crowded.load(Ordering::Acquire) {
            return None;
        }
        self.writer.try_lock().ok()?.alone(write)
    }

    /// Serves until every sender is dropped. A writer that panicked once is not believed again: its lock is poisoned.
    pub(crate) fn serve(&self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(BATCH_REQUESTS_MAX);
        while requests.blocking_recv_many(&mut batch, BATCH_REQUESTS_MAX) > 0 {
            let (mut writes, mut answers, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
            let mut witnesses = Vec::new();
            for request in batch.drain(..) {
                match request {
                    Request::Write(write, answer, waits) => {
                        writes.push(write);
                        answers.push(answer);
                        waiting.push(waits);
                    }
                    Request::Witness(answer) => witnesses.push(answer),
                }
            }
            let Ok(mut writer) = self.writer.lock() else { return };
            let results = writer.write_all(&writes);
            if !writes.is_empty() {
                self.crowded.store(writes.len() > 1, Ordering::Release);
            }
            let witnessed = (!witnesses.is_empty()).then(|| writer.follow());
            writer.checkpoint();
            // Before the answers: a caller that gets one finds the writer free.
            drop(writer);
            drop(waiting);
            for (answer, result) in answers.into_iter().zip(results) {
                // A caller that was dropped does not want its answer; what was written stays written.
                drop(answer.send(result));
            }
            for answer in witnesses {
                drop(answer.send(match &witnessed {
                    Some(Err(Refusal::Restored(what))) => Err(JournalError::Damaged(what.clone())),
                    Some(Err(Refusal::Passing(what))) => Err(JournalError::Unavailable(what.clone().into())),
                    Some(Ok(())) | None => Ok(0),
                }));
            }
        }
    }
}

/// The writer's own state.
pub(crate) struct Writer {
    connection: Connection,
    path: PathBuf,
    witness: Witness,
    /// Why nothing is written any more. After a failed write or fsync the system may have dropped what it could not
    /// write and report success the next time, so only a new process that reads the journal again may go on.
    stopped: Option<String>,
    since_checkpoint: usize,
    /// Where the last append that was alone left the log.
    tail: Option<Tail>,
}

impl Writer {
    /// A writer on its own connection.
    pub(crate) fn new(connection: Connection, path: PathBuf, witness: Witness) -> Self {
        Self { connection, path, witness, stopped: None, since_checkpoint: 0, tail: None }
    }

    /// One append as one statement, which commits by itself. `None`: nothing was written.
    fn alone(&mut self, write: &Write) -> Option<Result<u64, JournalError>> {
        let Write::Append(append) = write else { return None };
        if self.stopped.is_some() {
            return None;
        }
        let Self { connection, tail, .. } = self;
        let tail = tail.as_mut()?;
        let appended = keyroll_database::at_once(connection, || tail.append(connection, append));
        match appended {
            Ok(true) => {
                self.since_checkpoint += 1;
                self.checkpoint();
                Some(Ok(0))
            }
            Ok(false) => {
                self.tail = None;
                None
            }
            // The thread may wait for a lock, and says what a full disk or a broken rule means.
            Err(error) if is_passing(&error) || is_constraint(&error) => None,
            // It may have failed in its commit: where that began is not seen from here.
            Err(error) => Some(Err(self.lost(Lost { error, committing: true }).error())),
        }
    }

    fn write_all(&mut self, writes: &[Write]) -> Vec<Result<u64, JournalError>> {
        if writes.is_empty() {
            return Vec::new();
        }
        let results = match self.commit(writes) {
            Ok(results) => results,
            Err(failed) => writes.iter().map(|_| Err(failed.error())).collect(),
        };
        self.tail = match (writes, results.as_slice()) {
            // Where it cannot be read, the next append waits for the thread too.
            ([Write::Append(append)], [Ok(_)]) => Tail::read(&self.connection, &append.id).ok().flatten(),
            (_, _) => None,
        };
        results
    }

    /// One transaction for all. A write that is refused takes nothing with it.
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<u64, JournalError>>, Failed> {
        if let Some(why) = &self.stopped {
            return Err(Failed::Nothing(format!("the writer stopped: {why}")));
        }
        match attempt(&mut self.connection, writes) {
            Ok(results) => {
                self.since_checkpoint += writes.len();
                Ok(results)
            }
            Err(lost) => Err(self.lost(lost)),
        }
    }

    fn lost(&mut self, Lost { error, committing }: Lost) -> Failed {
        let what = error.to_string();
        // A full disk stops the commit's frame before it is whole, and a lock stops everything before that: nothing
        // was written. After any other failed commit that is unknown.
        let unknown = committing && !is_passing(&error);
        if is_io(&error) || unknown || !self.connection.is_autocommit() {
            self.stopped = Some(what.clone());
        }
        match (unknown, is_damage(&error)) {
            (true, _) => Failed::Unknown(what),
            (false, true) => Failed::Damaged(what),
            (false, false) => Failed::Nothing(what),
        }
    }

    /// The witness follows the newest committed entry, unless it saw one that is not in this journal any more.
    fn follow(&self) -> Result<(), Refusal> {
        if let Some(why) = &self.stopped {
            return Err(Refusal::Passing(format!("the writer stopped: {why}")));
        }
        let passing = |error: &dyn std::error::Error| match error.source() {
            Some(cause) => Refusal::Passing(format!("{error}: {cause}")),
            None => Refusal::Passing(error.to_string()),
        };
        let seen = self.witness.read().map_err(|error| passing(&error))?;
        let head = read::head(&self.connection).map_err(|error| passing(&error))?;
        let restored = |what| Refusal::Restored(format!("{} was restored: {what}", self.path.display()));
        match seen {
            Some(seen) => verify::still_agrees(&self.connection, &seen, &head).map_err(restored)?,
            None => return Err(restored("its witness is gone".to_owned())),
        }
        self.witness.forward(&head).map_err(|error| passing(&error))
    }

    /// Moves the log into the database. A reader may be in the way: then it is tried again later.
    fn checkpoint(&mut self) {
        if self.since_checkpoint < CHECKPOINT_WRITES || self.stopped.is_some() {
            return;
        }
        self.since_checkpoint = 0;
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            && is_io(&error)
        {
            self.stopped = Some(error.to_string());
        }
    }
}

/// A transaction that failed as a whole, and whether it failed in its COMMIT.
struct Lost {
    error: rusqlite::Error,
    committing: bool,
}

/// A rule of the schema refused it, before anything was committed.
fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

fn attempt(connection: &mut Connection, writes: &[Write]) -> Result<Vec<Result<u64, JournalError>>, Lost> {
    let before = |error| Lost { error, committing: false };
    let mut transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(before)?;
    let results = carry_out(&mut transaction, writes).map_err(before)?;
    if results.iter().all(Result::is_err) {
        transaction.rollback().map_err(before)?;
        return Ok(results);
    }
    transaction.commit().map_err(|error| Lost { error, committing: true })?;
    Ok(results)
}

/// Each write in a savepoint of its own; one that is alone has the transaction for that. `Err`: the transaction as a
/// whole is lost.
fn carry_out(
    transaction: &mut Transaction<'_>,
    writes: &[Write],
) -> rusqlite::Result<Vec<Result<u64, JournalError>>> {
    let mut head = read::head(transaction)?;
    if let [alone] = writes {
        return Ok(vec![alone.carry_out(transaction, &mut head)]);
    }
    let mut results = Vec::with_capacity(writes.len());
    for write in writes {
        let savepoint = transaction.savepoint()?;
        let mut moved: Head = head;
        let result = write.carry_out(&savepoint, &mut moved);
        let result = match result {
            Ok(result) => savepoint.commit().map(|()| result).map_err(unavailable),
            Err(refusal) => {
                // SQLite may have ended the whole transaction by itself (a full disk): then this fails.
                savepoint.finish()?;
                Err(refusal)
            }
        };
        if result.is_ok() {
            head = moved;
        }
        results.push(result);
    }
    Ok(results)
}

/// The whole transaction failed.
enum Failed {
    /// Nothing was written.
    Nothing(String),
    /// It is unknown whether it was written.
    Unknown(String),
    /// Nothing was written, because what is there cannot be what was written.
    Damaged(String),
}

impl Failed {
    fn error(&self) -> JournalError {
        match self {
            Self::Nothing(what) => JournalError::Unavailable(what.clone().into()),
            Self::Unknown(what) => JournalError::UnknownCommit(what.clone().into()),
            Self::Damaged(what) => JournalError::Damaged(what.clone()),
        }
    }
}

/// Why the witness was not moved.
enum Refusal {
    /// It saw what the journal does not hold.
    Restored(String),
    /// It may work later.
    Passing(String),
}
