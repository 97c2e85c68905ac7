//! Where leaks are looked for: trees, archives, databases, histories, streams; and what was found there.
//!
//! [`Seeker`] is what is looked for: the values that are kept, and what has the form or the name of a credential. [`Scan`]
//! collects [`Finding`]s from many places at once. [`Baseline`] holds those that somebody has accepted.
//!
//! Invariants, by what is absent: no value leaves, only its place, what it is and a keyed hash, but to whoever says of
//! which rules he is going to ask the issuers ([`Seeker::holding`]); nothing that is looked at is
//! run, written to or followed out of where it stands; memory does not grow with what is read; what was not looked at is
//! named with its reason.

mod asked;
mod baseline;
mod finding;
mod helpers;
mod history;
mod memory;
mod report;
mod scan;
mod seeker;
mod sqlite;
mod stream;
mod tree;
mod unpack;
mod why;

pub use asked::{Asked, Outcome};
pub use baseline::accepted::{Accepted, AcceptedBy};
pub use baseline::{BASELINE_BYTES_MAX, Baseline, BaselineError, Entry};
pub use finding::{Commit, Finding, Identity, Place, Position, State, Version, What};
/// Why a repository cannot be read.
pub use keyroll_history::Refused;
pub use report::{FINDINGS_MAX, Report, SKIPPED_MAX, Skipped};
pub use scan::Scan;
pub use seeker::{Known, Seeker};
pub use tree::Tree;
