//! Scans files, archives, databases, git histories and streams for leaked secrets.
//!
//! [`Detector`] knows the values in the store, and recognises credentials by format, name and position. [`Scan`]
//! collects [`Finding`]s from many places at once. [`Baseline`] has the accepted ones.
//!
//! Invariants, by what is absent: no value is returned, only its location, its kind and a keyed hash, except to a
//! caller that asks issuers about certain rules ([`Detector::capturing`]); scanned content is not run, not written,
//! and no link leads out of it; memory does not grow with the input; whatever was not scanned is listed with its
//! reason.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod baseline;
mod detector;
mod error_text;
mod finding;
mod git_files;
mod history;
mod process_memory;
mod regular_file;
mod report;
mod scan;
mod sqlite;
mod stream;
mod tree;
mod unpack;
mod verification;

pub use crate::detector::{Detector, KnownValues};
pub use crate::verification::{Outcome, Verification};
pub use baseline::accepted::{Accepted, AcceptedBy};
pub use baseline::{BASELINE_BYTES_MAX, Baseline, BaselineEntry, BaselineError};
pub use finding::{Commit, Finding, FindingKind, FindingPlace, Identity, LeakState, Position, SecretVersion};
/// Why a repository cannot be read.
pub use keyroll_history::OpenError;
pub use report::{FINDINGS_MAX, PassedOver, Report, SKIPPED_MAX, Skipped};
pub use scan::Scan;
pub use tree::Tree;
