use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use keyroll_rotation::{Event, Plan, Seq, Stamp};

/// The id of one rotation: a UUID v7 as text, so that ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RotationId(pub String);

impl fmt::Display for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a rotation is opened with; never changed afterwards.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The secret that the rotation makes exclusive while it is open.
    pub secret: String,
    /// The version of the secret that is being replaced.
    pub from_version: u32,
    /// What the protocol was started with.
    pub plan: Plan,
    /// The names behind the plan's numbers and everything else that hosts need: the shell's own versioned JSON
    /// document. It never holds a value.
    pub names: String,
    /// The first driver's stamp.
    pub at: Stamp,
    /// Wall clock, for display only: milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// One rotation as the journal knows it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its id.
    pub id: RotationId,
    /// What it was opened with.
    pub opening: Opening,
    /// Its events in order; the first has seq 1.
    pub events: Vec<Event>,
    /// Wall clock of each event, for display only.
    pub unix_ms: Vec<u64>,
}

/// One line of the list of rotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Its id.
    pub id: RotationId,
    /// Its secret.
    pub secret: String,
    /// It makes its secret exclusive.
    pub open: bool,
    /// Wall clock of its opening, milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// Why the journal did not do what was asked.
#[derive(Debug)]
pub enum JournalError {
    /// A newer driver has this rotation. Stop; nothing was written.
    Fenced {
        /// The epoch that the journal knows.
        newest: u64,
    },
    /// An entry of this number exists already. Nothing was written: read the journal again.
    Conflict {
        /// The last number that exists.
        last: Seq,
    },
    /// Another rotation holds this secret.
    Held {
        /// Which.
        by: RotationId,
    },
    /// Nothing was written; it may work later.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// The commit was sent and its result was not seen: read the journal again.
    UnknownCommit(Box<dyn Error + Send + Sync>),
    /// What is stored cannot be what was written.
    Damaged(String),
    /// The rotation was opened by a newer protocol: only that version of keyroll finishes it. Nothing was changed.
    Newer {
        /// Which.
        id: RotationId,
        /// Its protocol.
        protocol: u32,
        /// The version of keyroll that opened it.
        keyroll: String,
    },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { newest } => write!(f, "another driver (epoch {newest}) has this rotation"),
            Self::Conflict { last } => write!(f, "the journal already has entry {last}"),
            Self::Held { by } => write!(f, "rotation {by} holds this secret"),
            Self::Unavailable(_) => f.write_str("could not write the journal"),
            Self::UnknownCommit(_) => f.write_str("could not tell whether the journal was written"),
            Self::Newer { id, protocol, keyroll } => {
                write!(f, "rotation {id} was opened by keyroll {keyroll}, with protocol {protocol}")
            }
            Self::Damaged(what) => write!(f, "the journal is damaged: {what}"),
        }
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(cause) | Self::UnknownCommit(cause) => Some(cause.as_ref()),
            Self::Fenced { .. }
            | Self::Conflict { .. }
            | Self::Held { .. }
            | Self::Damaged(_)
            | Self::Newer { .. } => None,
        }
    }
}

/// The append-only list of events. Each write is one transaction, durable when the call returns.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Opens a rotation: refused while another one of the same secret is open.
    async fn open(&self, id: &RotationId, opening: &Opening) -> Result<(), JournalError>;

    /// A new epoch from the one counter; from now on drivers of this rotation with a lower one are fenced.
    async fn take_over(&self, id: &RotationId) -> Result<u64, JournalError>;

    /// Appends entry `seq` (the last one plus 1), fenced by the event's epoch, compared and set in one transaction.
    async fn append(
        &self,
        id: &RotationId,
        seq: Seq,
        event: &Event,
        unix_ms: u64,
    ) -> Result<(), JournalError>;

    /// Brings the witness forward to the newest committed entry; returns when it is durable.
    /// Called before each effect at an issuer.
    async fn witness(&self) -> Result<(), JournalError>;

    /// Everything of one rotation.
    async fn load(&self, id: &RotationId) -> Result<Recorded, JournalError>;

    /// All rotations, newest first.
    async fn list(&self) -> Result<Vec<Overview>, JournalError>;

    /// The rotation has ended: its secret is free again. A second call is harmless.
    async fn close(&self, id: &RotationId) -> Result<(), JournalError>;

    /// Keeps the name behind a digest (a path, a process's name), for display. Never a value.
    async fn remember(&self, digest: u64, name: &str) -> Result<(), JournalError>;

    /// The name behind a digest.
    async fn recall(&self, digest: u64) -> Result<Option<String>, JournalError>;
}
