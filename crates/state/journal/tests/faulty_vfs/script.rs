//! One rotation as a sequence of calls of journal, witness, lock and store, in the order in which a driver makes them.

use std::fmt;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use keyroll_codes::Code;
use keyroll_journal::{
    LockError, Machine, OpenError, SqliteJournal, StateLock, Work, decode_event, decode_opening, try_lock,
};
use keyroll_port::{
    Class, Failure, Journal as _, JournalError, Label, Opening, RotationId, Staging as _, Store as _,
};
use keyroll_rotation::{Event, Fact, Op, Stamp, Which};
use keyroll_secret::{Credential, CredentialId, Fields, SealingKey, SecretBytes};
use keyroll_store::SealedStore;

/// A complete rotation that a driver has recorded.
const RECORDED: &str = include_str!("../fixtures/rotations/p4-calm.jsonl");

/// The intent under which the new credential is sealed.
const MINT: u64 = 3;

const MACHINE: Machine = Machine { id: [1; 32], hardware: None };

/// So many writes after the last time, the writer moves the log into the database.
const LOG_MOVED_AFTER: u64 = 1_000;

/// The digest of a long name.
const DIGEST: u64 = 7;

/// Wall clock of an entry, milliseconds: shown and never compared.
const UNIX_MS: u64 = 1_700_000_000_000;

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A process takes the lock and opens journal and store.
    Start,
    /// The process ends in order.
    End,
    Import,
    Open,
    /// Keeps a name that does not fit one page of the database.
    Remember,
    /// Keeps so many short names, with few commits.
    RememberMany(u64),
    TakeOver,
    /// Appends the event with this number; the first is 1.
    Append(u64),
    Witness,
    Keep,
    Stage,
    Promote,
    Discard,
    Retire,
    Close,
}

/// What journal and store are known to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) journal: InJournal,
    pub(crate) store: InStore,
    /// The highest epoch that was given; a take-over returns the next one.
    pub(crate) epoch: u64,
    /// The newest entry that the witness was told of, counted from the opening.
    pub(crate) witnessed: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InJournal {
    /// `None` before the rotation is opened.
    pub(crate) open: Option<bool>,
    pub(crate) events: u64,
    /// The long name is there.
    pub(crate) named: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InStore {
    /// Empty before the secret is imported.
    pub(crate) versions: Vec<(u32, Label)>,
    /// The new credential is sealed under its intent.
    pub(crate) kept: bool,
}

impl World {
    /// The world after a step that succeeded.
    pub(crate) fn after(&self, step: Step) -> Self {
        let mut next = self.clone();
        match step {
            Step::Start | Step::End | Step::Discard | Step::TakeOver | Step::RememberMany(_) => {}
            Step::Import => next.store.versions = vec![(1, Label::Current)],
            Step::Open => next.journal.open = Some(true),
            Step::Remember => next.journal.named = true,
            Step::Append(seq) => next.journal.events = seq,
            Step::Witness => next.witnessed = next.entries(),
            Step::Keep => next.store.kept = true,
            Step::Stage => next.store.versions = vec![(1, Label::Current), (2, Label::Pending)],
            Step::Promote => next.store.versions = vec![(1, Label::Previous), (2, Label::Current)],
            Step::Retire => next.store.versions = vec![(1, Label::Retired), (2, Label::Current)],
            Step::Close => next.journal.open = Some(false),
        }
        next
    }

    /// The number of the newest entry.
    pub(crate) fn entries(&self) -> u64 {
        self.journal.events + u64::from(self.journal.open.is_some())
    }
}

/// The rotation, and the values that it is about.
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    opening: Opening,
    events: Vec<Event>,
    key: SealingKey,
    values: [[u8; 32]; 2],
}

impl Script {
    pub(crate) fn new() -> Self {
        let mut lines = RECORDED.lines();
        let opening = decode_opening(lines.next().unwrap().as_bytes()).unwrap();
        let events: Vec<Event> = lines.map(|line| decode_event(line.as_bytes()).unwrap()).collect();
        let mut steps = vec![Step::Start, Step::Import, Step::Open, Step::Remember, Step::TakeOver];
        for (seq, event) in (1..).zip(&events) {
            steps.push(Step::Append(seq));
            let Fact::Intended(op) = &event.fact else { continue };
            if op.witnessed() {
                steps.push(Step::Witness);
            }
            let carried_out: &[Step] = if *op == Op::Mint {
                &[Step::Keep]
            } else if *op == Op::Stage {
                &[Step::Stage]
            } else if *op == Op::Promote {
                // The driver ends after it has announced the Promote, and the next one carries it out.
                &[Step::End, Step::Start, Step::TakeOver, Step::Stage, Step::Promote]
            } else if *op == Op::Retire(Which::Old) {
                &[Step::Discard, Step::Retire]
            } else {
                &[]
            };
            steps.extend(carried_out);
        }
        steps.extend([Step::Close, Step::Witness, Step::End]);
        Self::of(steps, opening, events)
    }

    /// A short rotation in which the writer moves the log into the database with the event of this number.
    pub(crate) fn moves_its_log(seq: u64) -> Self {
        // The opening, the take-over and the events are writes too.
        let names = LOG_MOVED_AFTER - 2 - seq;
        let steps = [Step::Start, Step::Import, Step::Open, Step::RememberMany(names), Step::TakeOver];
        let appends = (1..=seq + 2).map(Step::Append);
        let steps = steps.into_iter().chain(appends).chain([Step::Witness, Step::End]).collect();
        let Self { opening, events, .. } = Self::new();
        Self::of(steps, opening, events)
    }

    fn of(steps: Vec<Step>, opening: Opening, events: Vec<Event>) -> Self {
        let mut values = [[0; 32]; 2];
        values.iter_mut().for_each(|value| aws_lc_rs::rand::fill(value).unwrap());
        Self { steps, opening, events, key: SealingKey::generate().unwrap(), values }
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    fn id() -> RotationId {
        RotationId("0192".to_owned())
    }

    fn secret(&self) -> &str {
        &self.opening.secret
    }

    fn credential(&self, number: usize) -> Credential {
        let fields = Fields::single(SecretBytes::new(self.values[number - 1].to_vec()));
        Credential { id: Some(CredentialId::new(format!("id-{number}"))), fields }
    }

    /// Begins a process in a folder.
    pub(crate) fn start(&self, folder: &Path) -> Result<Process, Trouble> {
        let lock = try_lock(&state(folder)).map_err(Trouble::Lock)?;
        let secret = self.secret().to_owned();
        lock.works_on(&Work { rotation: Self::id(), secret, since_unix_ms: UNIX_MS });
        let journal =
            SqliteJournal::open_on(&state(folder), &witness(folder), &MACHINE).map_err(Trouble::Start)?;
        let store = SealedStore::open(&state(folder), self.key.duplicate()).map_err(Trouble::Store)?;
        Ok(Process { journal, store, _lock: lock })
    }

    /// Carries out a step between the start and the end of a process. A take-over gives the new epoch.
    pub(crate) async fn carry_out(
        &self,
        process: &Process,
        step: Step,
        epoch: u64,
    ) -> Result<Option<u64>, Trouble> {
        let (id, secret, Process { journal, store, .. }) = (Self::id(), self.secret(), process);
        match step {
            Step::Start | Step::End => {}
            Step::Open => journal.open(&id, &self.opening).await?,
            Step::Remember => journal.remember(DIGEST, &name()).await?,
            Step::RememberMany(count) => {
                let digests = (1..=count).map(|number| DIGEST + number);
                together(digests.map(|digest| journal.remember(digest, "a name")).collect()).await?;
            }
            Step::TakeOver => return Ok(Some(journal.take_over(&id).await?)),
            Step::Append(seq) => {
                let event = &self.events[usize::try_from(seq - 1).unwrap()];
                let event = Event { at: Stamp { epoch, ..event.at }, fact: event.fact.clone() };
                journal.append(&id, seq, &event, UNIX_MS).await?;
            }
            Step::Witness => journal.witness().await?,
            Step::Close => journal.close(&id).await?,
            Step::Import => drop(store.add(secret, &self.credential(1)).await?),
            Step::Keep => store.keep(secret, &id, MINT, &self.credential(2)).await?,
            Step::Stage => drop(store.put_pending(secret, &id, MINT, &self.credential(2)).await?),
            Step::Promote => store.promote(secret, 1, 2).await?,
            Step::Discard => store.discard(secret, &id, None, Some(MINT)).await?,
            Step::Retire => store.retire(secret, 1).await?,
        }
        Ok(None)
    }

    /// What the journal holds. Every event must be the one that was appended.
    pub(crate) async fn in_journal(&self, process: &Process) -> Result<InJournal, Trouble> {
        let Some(listed) = process.journal.list().await?.into_iter().next() else {
            return Ok(InJournal::default());
        };
        let recorded = process.journal.load(&listed.id).await?;
        let found = process.journal.recall(DIGEST).await?;
        let named = found.is_some();
        if found.is_some_and(|found| found != name()) {
            return Err(Trouble::Other("the journal holds another name".to_owned()));
        }
        let as_appended = recorded.events.iter().zip(&self.events).all(|(one, other)| one.fact == other.fact);
        if listed.id != Self::id() || recorded.opening.plan != self.opening.plan || !as_appended {
            return Err(Trouble::Other("the journal holds what was never written".to_owned()));
        }
        Ok(InJournal { open: Some(listed.open), events: recorded.events.len() as u64, named })
    }

    /// What the store holds. Every version that is not retired must have its own value.
    pub(crate) async fn in_store(&self, process: &Process) -> Result<InStore, Trouble> {
        let (store, secret) = (&process.store, self.secret());
        if store.secrets().await?.is_empty() {
            return Ok(InStore::default());
        }
        let mut versions = Vec::new();
        for version in store.versions(secret).await? {
            let sealed = store.read(secret, version.number).await?;
            let expected = self.credential(usize::try_from(version.number).unwrap());
            let right = match (&sealed, version.label) {
                (None, Label::Retired) => true,
                (Some(sealed), Label::Pending | Label::Current | Label::Previous) => {
                    sealed.id == expected.id && sealed.fields.encode() == expected.fields.encode()
                }
                (None | Some(_), _) => false,
            };
            if !right {
                return Err(Trouble::Other(format!("v{} has another value", version.number)));
            }
            versions.push((version.number, version.label));
        }
        let kept = store.kept(secret, &Self::id(), MINT).await?.is_some();
        Ok(InStore { versions, kept })
    }
}

fn name() -> String {
    "a path of many words/".repeat(300)
}

/// A write that the journal has begun.
type Write<'a> = Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send + 'a>>;

/// Waits for all calls at once, so that the writer commits many of them together.
async fn together(mut calls: Vec<Write<'_>>) -> Result<(), JournalError> {
    poll_fn(|context| {
        let mut failed = None;
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            Poll::Ready(result) => {
                failed = failed.take().or(result.err());
                false
            }
            Poll::Pending => true,
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if calls.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

/// The state folder.
pub(crate) fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// The witness.
pub(crate) fn witness(folder: &Path) -> PathBuf {
    folder.join("config/witness")
}

/// A driver's process: what it has open.
pub(crate) struct Process {
    pub(crate) journal: SqliteJournal,
    pub(crate) store: SealedStore,
    _lock: StateLock,
}

/// Why a step failed.
pub(crate) enum Trouble {
    Lock(LockError),
    Start(OpenError),
    Journal(JournalError),
    Store(Failure),
    Other(String),
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(error) => fmt::Debug::fmt(error, f),
            Self::Start(error) => fmt::Debug::fmt(error, f),
            Self::Journal(error) => fmt::Debug::fmt(error, f),
            Self::Store(failure) => fmt::Debug::fmt(failure, f),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

/// What a failure says about the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing was done, and it may work later.
    None,
    /// It may have been done.
    Unknown,
    /// The journal or the store is not what was written, or is older than it was: nothing may be revoked.
    Refused,
    /// Anything else.
    Other,
}

impl Trouble {
    pub(crate) fn effect(&self) -> Effect {
        match self {
            Self::Lock(LockError::Io { .. }) => Effect::None,
            Self::Start(OpenError::Io { .. } | OpenError::Sqlite { .. }) => Effect::None,
            Self::Start(
                OpenError::Damaged { .. }
                | OpenError::Restored { .. }
                | OpenError::NoWitness { .. }
                | OpenError::WitnessDamaged { .. },
            ) => Effect::Refused,
            Self::Journal(JournalError::Unavailable(_)) => Effect::None,
            Self::Journal(JournalError::UnknownCommit(_)) => Effect::Unknown,
            Self::Journal(JournalError::Damaged(_)) => Effect::Refused,
            Self::Store(failure) => match (failure.class, failure.code) {
                (Class::Unknown, _) => Effect::Unknown,
                (Class::Retryable, _) | (Class::Permanent, Code::StateUnusable) => Effect::None,
                (Class::Permanent, Code::StateDamaged) => Effect::Refused,
                (Class::Permanent, _) => Effect::Other,
            },
            Self::Lock(_) | Self::Start(_) | Self::Journal(_) | Self::Other(_) => Effect::Other,
        }
    }
}
