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

/// What a rotation begins with; never changed afterwards.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The secret; no other rotation of it can be opened while this one is open.
    pub secret: String,
    /// The version of the secret that is being replaced.
    pub from_version: u32,
    /// The plan that the protocol began with.
    pub plan: Plan,
    /// The names behind the plan's numbers and everything else that hosts need, as the shell's own versioned JSON
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
    /// The rotation is open: no other rotation of its secret can be opened.
    pub open: bool,
    /// Wall clock of its opening, milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// Why the journal did not do what was asked.
#[derive(Debug)]
pub enum JournalError {
    /// A newer driver drives this rotation. Stop; nothing was written.
    Fenced {
        /// The epoch that the journal knows.
        newest: u64,
    },
    /// An entry with this number exists. Nothing was written: read the journal again.
    Conflict {
        /// The last number that exists.
        last: Seq,
    },
    /// Another rotation holds this secret.
    Held {
        /// That rotation.
        by: RotationId,
    },
    /// Nothing was written; it may work later.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// The commit was sent, but its result was lost: read the journal again.
    UnknownCommit(Box<dyn Error + Send + Sync>),
    /// The stored data is not what was written.
    Damaged(String),
    /// A newer protocol opened the rotation: only that version of keyroll can finish it. Nothing was changed.
    Newer {
        /// The rotation.
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
    /// Opens a rotation. Refused while another rotation of the same secret is open.
    async fn open(&self, id: &RotationId, opening: &Opening) -> Result<(), JournalError>;

    /// Takes the next epoch from the one counter. From now on the journal refuses drivers of this rotation with a lower
    /// epoch.
    async fn take_over(&self, id: &RotationId) -> Result<u64, JournalError>;

    /// Appends entry `seq` (the last one plus 1). One transaction compares the event's epoch and writes the entry.
    async fn append(
        &self,
        id: &RotationId,
        seq: Seq,
        event: &Event,
        unix_ms: u64,
    ) -> Result<(), JournalError>;

    /// Advances the witness to the newest committed entry; returns when it is durable. Called before each effect at an
    /// issuer.
    async fn witness(&self) -> Result<(), JournalError>;

    /// Everything of one rotation.
    async fn load(&self, id: &RotationId) -> Result<Recorded, JournalError>;

    /// All rotations, newest first.
    async fn list(&self) -> Result<Vec<Overview>, JournalError>;

    /// Closes a rotation that has ended; another rotation of its secret can be opened then. A second call is harmless.
    async fn close(&self, id: &RotationId) -> Result<(), JournalError>;

    /// Stores the name behind a digest (a path, a process's name), for display. Never a value.
    async fn remember(&self, digest: u64, name: &str) -> Result<(), JournalError>;

    /// The name behind a digest.
    async fn recall(&self, digest: u64) -> Result<Option<String>, JournalError>;
}
