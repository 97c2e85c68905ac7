use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use keyroll_database::rusqlite::{self, Connection};
use keyroll_port::{Journal, JournalError, Opening, Overview, Recorded, RotationId};
use keyroll_rotation::{Event, Seq};
use tokio::sync::{mpsc, oneshot};

use crate::checked::{self, Mark};
use crate::migrations::MIGRATIONS;
use crate::read::Head;
use crate::reader::{self, QUEUE_QUESTIONS_MAX, Question};
use crate::remembered::Remembered;
use crate::wire::{WireError, v1};
use crate::witness::Witness;
use crate::write::{Append, Write};
use crate::writer::{QUEUE_REQUESTS_MAX, Request, Writer, WriterQueue};
use crate::{
    Act, LockError, Machine, Noted, OpenError, RecordedAct, StateLock, acts, copied, machine, read, verify,
};

/// The database inside the state folder.
pub(crate) const DATABASE_FILE: &str = "journal.db";

/// The journal in one SQLite database: one writer that commits all waiting writes together, and one reader thread.
///
/// A single append with no other waiting is committed on its caller's thread, which it blocks for one fsync. A call
/// that is dropped half-way may still write. When a write or fsync fails, the call returns
/// [`JournalError::UnknownCommit`] and nothing is written any more: the process must end and read the journal again.
/// Dropping the journal ends both threads after the waiting writes are written.
pub struct SqliteJournal {
    /// `None` in a journal that was opened only for reading: nothing can be written.
    queue: Option<Arc<WriterQueue>>,
    requests: Option<mpsc::Sender<Request>>,
    questions: Option<mpsc::Sender<Question>>,
    remembered: Arc<Remembered>,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
}

impl SqliteJournal {
    /// Opens the journal in `dir/journal.db`, or makes it, after reading all of it: SQLite's check, every link of its
    /// chain, and the entry that the witness saw. A long journal whose file nobody changed since is read once a day. If
    /// the journal is ahead of the witness (a crash), the witness is advanced.
    ///
    /// Errors: a network file system; damage; a journal that is older than its witness or has none (nothing may be
    /// revoked then); a newer schema. Blocking: milliseconds, growing with the journal.
    pub fn open(dir: &Path, witness: &Path) -> Result<Self, OpenError> {
        Self::open_as(dir, witness, None)
    }

    /// As [`Self::open`], for a driver. A journal that was copied or restored to another machine is refused. A journal
    /// that belongs to no machine yet is bound to this one.
    pub fn open_on(dir: &Path, witness: &Path, machine: &Machine) -> Result<Self, OpenError> {
        Self::open_as(dir, witness, Some(machine))
    }

    /// Opens an existing journal for reading only. Neither its machine nor its witness is checked, and every write is
    /// refused. Nothing vouches for its content but the journal itself. On a disk that cannot be written, it is read from
    /// a copy in memory: SQLite would write beside it.
    pub fn open_for_a_look(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(DATABASE_FILE);
        keyroll_database::local(dir).map_err(|error| OpenError::of(dir, error))?;
        let reads = match keyroll_database::open(&path) {
            Ok(connection) => checked_whole(migrated(connection, &path)?, &path)?,
            Err(error) => {
                let copy = keyroll_database::is_unwritable(&error).then(|| copied::whole(&path)).flatten();
                copy.ok_or_else(|| OpenError::of(&path, error))?
            }
        };
        let (questions, reader) = reading(reads, &path)?;
        Ok(Self {
            queue: None,
            requests: None,
            questions: Some(questions),
            remembered: Arc::default(),
            writer: None,
            reader: Some(reader),
        })
    }

    fn open_as(dir: &Path, witness: &Path, machine: Option<&Machine>) -> Result<Self, OpenError> {
        let (path, witness) = prepare(dir, witness)?;
        // The witness is read first: a driver that writes both meanwhile only makes the journal longer.
        let seen = witness.read()?;
        let mark = Mark::beside(&witness, &path);
        let mut connection = connected(&path)?;
        let mut checked = mark.check(&connection)?;
        // Checked before the witness is advanced: a journal of another machine changes nothing here.
        if let Some(machine) = machine {
            machine::belongs(&mut connection, &path, machine)?;
        }
        verify::against(&connection, &path, &witness, seen)?;
        let reads = keyroll_database::open(&path).map_err(|error| OpenError::of(&path, error))?;
        mark.keep(&connection, &mut checked);
        Self::start(reads, &path, Writer::new(connection, path.clone(), witness, (mark, checked)))
    }

    fn start(reads: Connection, path: &Path, writer: Writer) -> Result<Self, OpenError> {
        let (questions, reader) = reading(reads, path)?;
        let (requests, asked) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let queue = Arc::new(WriterQueue::new(writer));
        let served = queue.clone();
        let writer = named("journal-writer").spawn(move || served.serve(asked)).map_err(unstarted(path))?;
        Ok(Self {
            queue: Some(queue),
            requests: Some(requests),
            questions: Some(questions),
            remembered: Arc::default(),
            writer: Some(writer),
            reader: Some(reader),
        })
    }

    /// Records an act, durably when the call returns; the number of its entry. The witness is not advanced.
    ///
    /// # Errors
    /// As [`Journal::append`], except that no driver is fenced.
    pub async fn record(&self, act: &Act, unix_ms: u64) -> Result<u64, JournalError> {
        let bytes = acts::encode(act, unix_ms).map_err(unwritten)?;
        self.write(Write::Act { bytes, unix_ms }).await
    }

    /// At most so many acts before this entry, the newest first; without an entry, the newest of all.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn acts(&self, before: Option<u64>, most: usize) -> Result<Vec<RecordedAct>, JournalError> {
        self.ask(move |connection| acts::before(connection, before, most)).await
    }

    /// At most so many entries after this one, in their order: what happened since somebody looked.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn noted_after(&self, entry: u64, most: usize) -> Result<Vec<Noted>, JournalError> {
        self.ask(move |connection| acts::after(connection, entry, most)).await
    }

    /// The number of the newest entry; 0 = there is none.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn newest_entry(&self) -> Result<u64, JournalError> {
        self.ask(|connection| read::head(connection).map(|head| head.entry).map_err(read::unavailable)).await
    }

    async fn request(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<u64, JournalError>>) -> Request,
    ) -> Result<u64, JournalError> {
        let (answer, answered) = oneshot::channel();
        let unsent = || JournalError::Unavailable("the journal is not written by this process".into());
        let requests = self.requests.as_ref().ok_or_else(unsent)?;
        requests.send(request(answer)).await.map_err(|_| unsent())?;
        // The write was sent and never answered: nobody knows whether it was committed.
        answered.await.map_err(|_| JournalError::UnknownCommit("the journal's writer has ended".into()))?
    }

    async fn write(&self, write: Write) -> Result<u64, JournalError> {
        let read_only = || JournalError::Unavailable("the journal was opened for a look only".into());
        let queue = self.queue.as_ref().ok_or_else(read_only)?;
        if let Some(done) = queue.alone(&write) {
            return done;
        }
        let waiting = queue.wait();
        self.request(|answer| Request::Write(write, answer, waiting)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Connection) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let ended = || JournalError::Unavailable("the journal's reader has ended".into());
        reader::ask(self.questions.as_ref().ok_or_else(ended)?, question).await
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        // The connections close one after the other. The last one to close moves the log into the database and removes
        // it; if two closed at once, each would leave that to the other.
        self.questions = None;
        join(self.reader.take());
        self.requests = None;
        join(self.writer.take());
        if let Some(queue) = self.queue.take() {
            queue.close();
        }
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

fn unstarted(path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { action: "start a thread for", path, source }
}

/// The thread that reads.
fn reading(reads: Connection, path: &Path) -> Result<(mpsc::Sender<Question>, JoinHandle<()>), OpenError> {
    let (questions, queue) = mpsc::channel(QUEUE_QUESTIONS_MAX);
    let reader = named("journal-reader").spawn(move || reader::serve(reads, queue));
    Ok((questions, reader.map_err(unstarted(path))?))
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // A thread that panicked has already reported it.
        drop(thread.join());
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn open(&self, id: &RotationId, opening: &Opening) -> Result<(), JournalError> {
        let bytes = v1::encode_opening(opening).map_err(unwritten)?;
        let (secret, epoch) = (opening.secret.clone(), opening.at.epoch);
        let write = Write::Open { id: id.clone(), secret, bytes, epoch, unix_ms: opening.unix_ms };
        self.write(write).await.map(drop)
    }

    async fn take_over(&self, id: &RotationId) -> Result<u64, JournalError> {
        self.write(Write::TakeOver { id: id.clone() }).await
    }

    async fn append(
        &self,
        id: &RotationId,
        seq: Seq,
        event: &Event,
        unix_ms: u64,
    ) -> Result<(), JournalError> {
        let bytes = v1::encode_event(event).map_err(unwritten)?;
        let write = Write::Append(Append { id: id.clone(), seq, epoch: event.at.epoch, bytes, unix_ms });
        self.write(write).await.map(drop)
    }

    async fn witness(&self) -> Result<(), JournalError> {
        self.request(Request::Witness).await.map(drop)
    }

    async fn load(&self, id: &RotationId) -> Result<Recorded, JournalError> {
        let (id, remembered) = (id.clone(), self.remembered.clone());
        self.ask(move |connection| remembered.load(connection, &id)).await
    }

    async fn list(&self) -> Result<Vec<Overview>, JournalError> {
        self.ask(|connection| read::list(connection)).await
    }

    async fn close(&self, id: &RotationId) -> Result<(), JournalError> {
        self.write(Write::Close { id: id.clone() }).await.map(drop)
    }

    async fn remember(&self, digest: u64, name: &str) -> Result<(), JournalError> {
        self.write(Write::Remember { digest, name: name.to_owned() }).await.map(drop)
    }

    async fn recall(&self, digest: u64) -> Result<Option<String>, JournalError> {
        self.ask(move |connection| read::recall(connection, digest)).await
    }
}

fn unwritten(error: WireError) -> JournalError {
    JournalError::Unavailable(Box::new(error))
}

/// The state of the journal that [`reset_witness`] accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The journal's last entry; 0 = it is empty.
    pub entry: u64,
    /// The highest epoch. No epoch up to it is given again, and none that the old witness knew.
    pub epoch: u64,
}

/// Sets the witness to the state of the journal, on the operator's word that this journal is the newest one.
///
/// The journal must be undamaged. Entries that it lost stay lost: keys that they made may still exist at the issuer,
/// and only an operator who has checked the issuer may call this. Errors: a lock of another folder, damage, or the
/// system's refusal.
pub fn reset_witness(dir: &Path, witness: &Path, lock: &StateLock) -> Result<Accepted, OpenError> {
    if lock.folder() != dir {
        return Err(OpenError::Lock(LockError::unnamed(dir)));
    }
    let (path, witness) = prepare(dir, witness)?;
    let seen = witness.read().ok().flatten().map_or(0, |seen| seen.epoch);
    let connection = durable(&path)?;
    let wrap = |source: rusqlite::Error| OpenError::of(&path, source.into());
    // An epoch that hosts have seen is never given again, even if the journal lost it.
    let epoch = i64::try_from(seen).unwrap_or(i64::MAX - 1);
    connection.execute("UPDATE counter SET epoch = max(epoch, ?1)", [epoch]).map_err(wrap)?;
    let head: Head = read::head(&connection).map_err(wrap)?;
    witness.reset(&head)?;
    Ok(Accepted { entry: head.entry, epoch: head.epoch })
}

/// Binds a journal that was copied or restored here to this machine, on the operator's word that no other machine uses
/// it.
///
/// Errors: a lock of another folder, damage, or the system's refusal.
pub fn move_here(dir: &Path, witness: &Path, machine: &Machine, lock: &StateLock) -> Result<(), OpenError> {
    if lock.folder() != dir {
        return Err(OpenError::Lock(LockError::unnamed(dir)));
    }
    let (path, _) = prepare(dir, witness)?;
    machine::take(&mut verified(&path)?, &path, machine)
}

fn prepare(dir: &Path, witness: &Path) -> Result<(PathBuf, Witness), OpenError> {
    let wrap = |error| OpenError::of(dir, error);
    keyroll_database::make(dir).map_err(wrap)?;
    keyroll_database::local(dir).map_err(wrap)?;
    let witness = Witness::at(witness, dir)?;
    Ok((dir.join(DATABASE_FILE), witness))
}

/// As [`verified`], and what was read is durable: the witness never says more than the disk has.
fn durable(path: &Path) -> Result<Connection, OpenError> {
    let connection = verified(path)?;
    keyroll_database::settle(&connection).map_err(|error| OpenError::of(path, error.into()))?;
    Ok(connection)
}

/// A connection to a journal with the schema of this version, after a complete check.
fn verified(path: &Path) -> Result<Connection, OpenError> {
    checked_whole(connected(path)?, path)
}

fn checked_whole(connection: Connection, path: &Path) -> Result<Connection, OpenError> {
    verify::whole(&connection, path)?;
    Ok(connection)
}

/// A connection to a journal with the schema of this version.
fn connected(path: &Path) -> Result<Connection, OpenError> {
    migrated(keyroll_database::open(path).map_err(|error| OpenError::of(path, error))?, path)
}

fn migrated(mut connection: Connection, path: &Path) -> Result<Connection, OpenError> {
    keyroll_database::migrate(&mut connection, &MIGRATIONS).map_err(|error| OpenError::of(path, error))?;
    Ok(connection)
}

/// Reads all of an existing journal, whatever was checked before. Damage is then found by every opening too.
///
/// Errors: damage; the system's refusal.
pub fn check_whole(dir: &Path, witness: &Path) -> Result<(), OpenError> {
    let checked = verified(&dir.join(DATABASE_FILE));
    if matches!(checked, Err(OpenError::Damaged { .. })) {
        checked::forget(witness);
    }
    checked.map(drop)
}
