//! The operator, who sees events and answers questions through a front.

mod act;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod check;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod code;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod downtime;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod drift;
mod due;
mod emergency;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod event;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod fingerprints;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod holder;
mod host_left;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod issuer;
mod rolls_back;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod secret;
mod step;
mod text;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod unit;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod waiting;

use std::path::Path;
use std::time::Instant;

use keyroll_secret::SecretBytes;

use crate::exit::Exit;
use crate::problem::Problem;

pub use act::ActShown;
pub use check::{CheckShown, Finding};
pub use code::CodeShown;
pub use downtime::{DowntimeShown, MeasuredBy};
pub use drift::{BOTH, CURRENT, DriftProcess, DriftShown, GIVEN, GivenOutShown, OTHER, ThereShown};
pub use due::{DueFailed, DueShown};
pub use emergency::EmergencyShown;
pub use event::{
    Event, EventLine, Grade, HostStep, OldKeyShown, Outcome, PastShown, Phase, Residue, STREAM_VERSION,
    StatusShown, StepState, Summary, WaiverShown,
};
pub use fingerprints::PrintsShown;
pub use holder::Holder;
pub use host_left::{ConsumerLeft, HostLeft};
pub use issuer::{IssuerShown, PageShown, SpecWarningShown};
pub use keyroll_inventory::{
    ChainShown, CopyShown, EdgeShown, FoundShown, GraphShown, InstanceShown, LinkShown, MemoryShown,
    NodeShown, ScanShown, StoreShown, UserShown, ValueShown,
};
pub use rolls_back::RollsBack;
pub use secret::{FieldShown, SecretShown, Version};
pub use step::{CommandShown, StepShown};
pub use text::{clean, clock, duration, plain, spent};
pub use unit::UnitShown;
pub use waiting::{WaitKind, WaitingShown};

/// A front: shows events and asks questions.
pub trait Operator: Send {
    /// Shows one event.
    fn event(&mut self, event: Event);

    /// Shows a sentence; nothing if a program reads the events.
    fn aside(&mut self, text: &str);

    /// Shows the progress of a long step; the next progress or event replaces it.
    fn progress(&mut self, text: &str);

    /// Ends a progress line, so that something else can be written.
    fn settle(&mut self);

    /// From now on a request to stop pauses the rotation at its next safe point instead of ending the process.
    fn pause_on_stop(&mut self);

    /// True if the operator can be asked for a value.
    fn may_ask(&self) -> bool;

    /// Asks the operator to type `name` before an irreversible step.
    fn ask_name(&mut self, question: &str, name: &str) -> Confirmation;

    /// Asks the same without waiting: another thread calls `answered`, unless the question is withdrawn. No answer until
    /// the deadline is a no. None if nobody can be asked.
    fn begin_ask_name(
        &mut self,
        question: &str,
        name: &str,
        until: Option<Instant>,
        answered: Box<dyn FnOnce(Confirmation) + Send>,
    ) -> Option<OpenQuestion>;

    /// Reads a value without showing it.
    ///
    /// # Errors
    /// Nobody can be asked, the operator cancelled, or the input is not a value.
    fn hidden(&mut self, what: &str) -> Result<SecretBytes, Problem>;

    /// Reads a value from a file that only its owner can read, or from a pipe.
    ///
    /// # Errors
    /// It cannot be read, is empty or too large, or others may read it.
    fn value_of_file(&mut self, what: &str, path: &Path) -> Result<SecretBytes, Problem>;
}

impl dyn Operator + '_ {
    /// Shows a sentence.
    pub fn note(&mut self, text: impl Into<String>) {
        self.event(Event::Note { text: text.into() });
    }
}

/// A question that waits for its answer; dropping it withdraws the question.
pub struct OpenQuestion(#[allow(dead_code, reason = "dropping it withdraws the question")] Box<dyn Send>);

impl OpenQuestion {
    /// A question that is withdrawn by dropping `guard`.
    pub fn new(guard: impl Send + 'static) -> Self {
        Self(Box::new(guard))
    }
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The name was typed.
    Yes,
    /// Something else was typed.
    No,
    /// Nobody can be asked.
    Nobody,
    /// A stop was requested meanwhile.
    Stopped,
}

impl Confirmation {
    /// Why nothing is done, if the answer is not yes.
    pub fn refusal(self) -> &'static str {
        match self {
            Self::Yes | Self::No | Self::Nobody => "nobody consented",
            Self::Stopped => "keyroll was asked to stop (Ctrl-C or a signal) before the operator consented",
        }
    }

    /// How the command ends then.
    pub fn exit(self) -> Exit {
        if self == Self::Stopped { Exit::Interrupted } else { Exit::NeedsPerson }
    }
}
