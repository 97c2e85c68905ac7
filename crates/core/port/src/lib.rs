//! The traits that the engine needs, their outcomes, and their conformance suites.
//!
//! An adapter makes one attempt and says what it saw; it never retries, never decides, never sleeps for luck.

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod described;
mod failed_step;
mod failure;
mod host;
mod issuer;
mod journal;
mod processes_outside;
mod store;
mod survey;
mod truth;

pub use clock::{Clock, Sleep};
pub use described::Described;
pub use failed_step::digest_of_failure;
pub use failure::{Class, Failure, FailureKind};
pub use host::{
    AllowedChanges, Applied, Asked, Back, Downtime, Evidence, FailingCheck, Holder, Host, Looked, Named,
    Numbers, PendingChange, Prepared, Probing, Proved, Proving, RefusedCalls, Residue, Sessions, Swept,
    Touched, Values,
};
pub use issuer::{
    Identity, Issuer, Listed, Listing, Minted, Probe, RefusalLog, RefusedUse, Session, ValueFormat,
};
pub use journal::{Journal, JournalError, Opening, Overview, Recorded, RotationId};
pub use processes_outside::digest_of_outside;
pub use store::{Label, MadeBy, Staging, Store, VersionInfo};
pub use survey::{CopySeen, PendingChanges, Survey, Surveying, Surveyor};
pub use truth::{GivenOut, Truth, TruthVersion};
