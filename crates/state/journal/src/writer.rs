//! The one writer. A single append with no other waiting is one statement on its caller's thread. All other writes go
//! to the writer's thread, which commits them together and answers after the commit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use keyroll_database::rusqlite::{self, Connection, ErrorCode, Transaction, TransactionBehavior};
use keyroll_database::{is_damage, is_io, is_passing, said};
use keyroll_port::JournalError;
use tokio::sync::{mpsc, oneshot};

use crate::checked::{Checked, Mark};
use crate::read::{self, Head, unavailable};
use crate::tail::Tail;
use crate::verify;
use crate::witness::Witness;
use crate::write::Write;

/// How many requests may wait for the writer; further callers wait.
pub(crate) const QUEUE_REQUESTS_MAX: usize = 256;

/// Requests in one transaction.
const BATCH_REQUESTS_MAX: usize = 256;

/// After so many writes the log is moved into the database, so that the log stays below some ten megabytes.
const CHECKPOINT_WRITES: usize = 1_000;

/// The answer to a request: the new epoch of a take-over, the entry of an act, otherwise 0.
pub(crate) type AppendReply = oneshot::Sender<Result<u64, JournalError>>;

/// A request to the writer.
pub(crate) enum Request {
    /// One write.
    Write(Write, AppendReply, Waiting),
    /// Advance the witness to everything that was committed before.
    Witness(AppendReply),
}

/// The writer, shared by its own thread and its callers.
pub(crate) struct WriterQueue {
    writer: Mutex<Writer>,
    /// How many writes wait for the thread, or for room in its queue. No write overtakes them.
    waiting: AtomicUsize,
    /// The last commit had several writes: waiting for the next one is better than a sync of one's own.
    crowded: AtomicBool,
}

/// One waiting write; dropped when it is committed, refused or abandoned.
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

    /// Counts one write that is about to wait.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// Carries out an append on this thread, if no other write waits or runs. `None`: nothing was written, and the
    /// append must wait.
    pub(crate) fn alone(&self, write: &Write) -> Option<Result<u64, JournalError>> {
        if self.waiting.load(Ordering::Acquire) > 0 || self.crowded.load(Ordering::Acquire) {
            return None;
        }
        self.writer.try_lock().ok()?.alone(write)
    }

    /// Called when the thread has ended: what was written here need not be checked again.
    pub(crate) fn close(&self) {
        if let Ok(mut writer) = self.writer.lock()
            && writer.stopped.is_none()
        {
            let Writer { connection, checked: (mark, checked), .. } = &mut *writer;
            mark.keep(connection, checked);
        }
    }

    /// Serves until every sender is dropped. A writer that panicked is not used again: its lock is poisoned.
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
            // Released before the answers: a caller that has its answer finds the writer free.
            drop(writer);
            drop(waiting);
            for (answer, result) in answers.into_iter().zip(results) {
                // A dropped caller takes no answer; its write stays written.
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
    /// Why nothing is written any more. After a failed write or fsync the system may have dropped the data and report
    /// success the next time. Only a new process, which reads the journal again, may continue.
    stopped: Option<String>,
    since_checkpoint: usize,
    /// The end of the log after the last single append.
    tail: Option<Tail>,
    /// Up to where the journal was checked, and where that is remembered.
    checked: (Mark, Checked),
}

impl Writer {
    /// A writer on its own connection.
    pub(crate) fn new(
        connection: Connection,
        path: PathBuf,
        witness: Witness,
        checked: (Mark, Checked),
    ) -> Self {
        Self { connection, path, witness, stopped: None, since_checkpoint: 0, tail: None, checked }
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
            // The thread can wait for a lock, and reports a full disk or a broken rule.
            Err(error) if is_passing(&error) || is_constraint(&error) => None,
            // It may have failed in its commit: from here nobody can see how far it came.
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
            // If the end of the log cannot be read, the next append goes to the thread too.
            ([Write::Append(append)], [Ok(_)]) => Tail::read(&self.connection, &append.id).ok().flatten(),
            (_, _) => None,
        };
        results
    }

    /// One transaction for all writes. A refused write does not affect the others.
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
        let what = said(&error);
        // A full disk stops a commit before its frame is complete, and a lock stops it earlier: nothing was written.
        // After any other failed commit the outcome is unknown.
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

    /// Advances the witness to the newest committed entry, unless it saw an entry that this journal does not have.
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
        let Some(seen) = seen else { return Err(restored("its witness is gone".to_owned())) };
        let disagrees = verify::disagrees(&self.connection, &seen, &head).map_err(|error| passing(&error))?;
        if let Some(what) = disagrees {
            return Err(restored(what));
        }
        self.witness.forward(&head).map_err(|error| passing(&error))
    }

    /// Moves the log into the database. If a reader prevents that, a later call does it.
    fn checkpoint(&mut self) {
        if self.since_checkpoint < CHECKPOINT_WRITES || self.stopped.is_some() {
            return;
        }
        self.since_checkpoint = 0;
        if let Err(error) = keyroll_database::move_log(&self.connection)
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

/// A rule of the schema refused the write before anything was committed.
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

/// Carries out each write in a savepoint of its own; a single write uses the transaction itself. `Err`: the whole
/// transaction is lost.
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
                // SQLite may have ended the whole transaction by itself (a full disk); then this fails.
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
    /// Nothing was written, because the stored data is not what was written.
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

/// Why the witness was not advanced.
enum Refusal {
    /// The witness saw an entry that the journal does not have.
    Restored(String),
    /// It may work later.
    Passing(String),
}
