//! What the driver and its shell say to each other.

use keyroll_rotation::{Effect, Event, Fact, Hold, Outcome, Person, Query, Seq, State};

/// What the shell is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Append this entry; answer with [`Input::Appended`] or [`Input::AppendFailed`].
    Append {
        /// Its number.
        seq: Seq,
        /// The entry.
        event: Event,
    },
    /// Read the journal again; answer with [`Input::Reloaded`].
    Reload,
    /// Bring the witness forward for this intent; answer with [`Input::Witnessed`].
    Witness {
        /// The intent that waits for it.
        intent: Seq,
    },
    /// Carry an operation out, within this many milliseconds; answer with [`Input::Ended`].
    Carry {
        /// The operation and its id.
        effect: Effect,
        /// Milliseconds.
        limit_ms: u64,
    },
    /// Look, within this many milliseconds; answer with [`Input::Seen`].
    Look {
        /// What to look at.
        query: Query,
        /// Milliseconds.
        limit_ms: u64,
    },
}

/// What the shell reports.
#[derive(Debug, Clone)]
pub enum Input {
    /// The entry is durable.
    Appended,
    /// It is not, or that is unknown.
    AppendFailed(AppendError),
    /// The journal was read again: this is the state that it holds.
    Reloaded(Box<State>),
    /// The witness is durable, or not.
    Witnessed {
        /// The intent that waited for it.
        intent: Seq,
        /// Whether the effect may be carried out.
        ok: bool,
    },
    /// A look ended; `None` if nothing could be seen.
    Seen(Query, Option<Fact>),
    /// An operation ended.
    Ended {
        /// Its intent.
        intent: Seq,
        /// What its caller saw.
        outcome: Outcome,
    },
    /// An event of the operator.
    Told(Fact),
}

/// Why an append failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError {
    /// Nothing was written; try again later.
    Unavailable,
    /// It may have been written, or another driver wrote: read again.
    Unsure,
    /// A newer driver has the rotation.
    Fenced,
}

/// The state of a driver that has nothing to do at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverState {
    /// It waits for answers or for time.
    Driving,
    /// Only the operator can continue it.
    Person(Vec<Person>),
    /// The rotation is held.
    Held(Hold),
    /// The rotation has ended.
    Ended,
    /// Another driver has it: nothing more may be done here.
    Lost,
}

/// What a driver says when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// What to do now.
    pub actions: Vec<Action>,
    /// When to ask again at the latest, in monotonic milliseconds; `None` = only after an answer.
    pub wake_ms: Option<u64>,
    /// The state it waits in.
    pub standing: DriverState,
}
