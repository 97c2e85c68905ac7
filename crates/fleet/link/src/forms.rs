//! What an order asks for and what a reply says, as a frame has it.
//!
//! A form has the host's own numbers. Its host number is 0: a host cannot speak of another one. Words by which a driver
//! decides are small numbers in a frame, so that no value of the host can be cut out of one.

mod asked;
mod failure;
mod limits;
mod look;
mod numbers;
mod pending;
mod process;
mod proved;
mod sessions;
mod survey;
mod swept;

pub use asked::AskedForm;
pub use failure::FailureForm;
pub(crate) use failure::is_kind;
pub use limits::{FormError, LIST_MAX, TEXT_BYTES_MAX};
pub use look::{
    BystanderForm, DowntimeForm, EnumerationForm, LookedForm, NamedForm, ObservedForm, SessionSeenForm,
    UnsearchedForm,
};
pub use numbers::{
    BackForm, ClassForm, FoundByForm, HoldsForm, ReconciledForm, SearchLimitForm, VisibilityForm, WhichForm,
};
pub use pending::{DifferenceForm, PendingChangeForm, PendingForm};
pub use process::{HolderForm, IncarnationForm};
pub use proved::{EvidenceForm, ProofForm, ProvedForm};
pub use sessions::{SessionForm, SessionsForm};
pub use survey::SurveyForm;
pub use swept::SweptForm;

#[cfg(test)]
mod tests;
