//! The one writer thread: everything that waits is committed together, and answered after the commit.

use std::path::PathBuf;

use keyroll_port::JournalError;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::error::{is_damage, is_io};
use crate::read::{self, Head, unavailable};
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
    Write(Write, Answer),
    /// The witness is to follow everything that was committed before.
    Witness(Answer),
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
}

impl Writer {
    /// A writer on its own connection.
    pub(crate) fn new(connection: Connection, path: PathBuf, witness: Witness) -> Self {
        Self { connection, path, witness, stopped: None, since_checkpoint: 0 }
    }

    /// Serves until every sender is gone.
    pub(crate) fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(BATCH_REQUESTS_MAX);
        while requests.blocking_recv_many(&mut batch, BATCH_REQUESTS_MAX) > 0 {
            let mut writes = Vec::with_capacity(batch.len());
            let mut witnesses = Vec::new();
            for request in batch.drain(..) {
                match request {
                    Request::Write(write, answer) => writes.push((write, answer)),
                    Request::Witness(answer) => witnesses.push(answer),
                }
            }
            self.write_all(writes);
            self.witness_all(witnesses);
            self.checkpoint();
        }
    }

    fn write_all(&mut self, writes: Vec<(Write, Answer)>) {
        if writes.is_empty() {
            return;
        }
        let (writes, answers): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        let results = match self.commit(&writes) {
            Ok(results) => results,
            Err(failed) => answers.iter().map(|_| Err(failed.error())).collect(),
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // A caller that is gone does not want its answer; what was written stays written.
            drop(answer.send(result));
        }
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
            Err(Lost { error, committing }) => {
                let what = error.to_string();
                // A full disk stops the commit's frame before it is whole, and a lock stops everything before that:
                // nothing was written. After any other failed commit nobody can tell.
                let unknown = committing && !is_passing(&error);
                if is_io(&error) || unknown || !self.connection.is_autocommit() {
                    self.stopped = Some(what.clone());
                }
                Err(match (unknown, is_damage(&error)) {
                    (true, _) => Failed::Unknown(what),
                    (false, true) => Failed::Damaged(what),
                    (false, false) => Failed::Nothing(what),
                })
            }
        }
    }

    fn witness_all(&self, answers: Vec<Answer>) {
        if answers.is_empty() {
            return;
        }
        let result = self.follow();
        for answer in answers {
            let result = match &result {
                Ok(()) => Ok(0),
                Err(Refusal::Restored(what)) => Err(JournalError::Damaged(what.clone())),
                Err(Refusal::Passing(what)) => Err(JournalError::Unavailable(what.clone().into())),
            };
            drop(answer.send(result));
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

fn is_passing(error: &rusqlite::Error) -> bool {
    let passing = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
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
    /// Nobody can tell.
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
