//! Scans every object of a git repository once, and tells which commits it comes from.
//!
//! How: a pack stores most objects as deltas. Its entries form trees, which are scanned depth first: each object is
//! built once, from its base, while the base is in memory. Copied bytes were scanned in the base, so only new bytes
//! and the lines around them are scanned again ([`Blob::windows`]); hits in copied bytes are moved. [`History::scan`]
//! finds the same hits as a scan of each whole object.
//!
//! Invariants, by what is absent: no process is started, so no hook, filter, monitor or helper of a repository ever
//! runs, whoever owns it; no network; nothing is written; no file is mapped into memory; no object is hashed. Of the
//! configuration only the hash, the reference storage and partial clones are read, without includes. Every object
//! that is not scanned is listed with its reason ([`SkipList`]); memory is bounded ([`Bounds`]).

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod history;
mod object;
mod pack;
mod provenance;
mod repository;
mod scan;

pub use crate::object::id::{HashFormat, ObjectId};
pub use crate::object::kind::ObjectKind;
pub use crate::pack::index::PACK_OBJECTS_MAX;
pub use crate::provenance::origins::{Moment, ORIGINS_MAX, ObjectOrigins, Origin, Provenance};
pub use crate::repository::index_file::{StagedChanges, StagedEntry};
pub use crate::repository::linked_folders;
pub use crate::repository::open_error::OpenError;
pub use crate::scan::bounds::{Bounds, KEPT_BYTES_MAX, OBJECT_BYTES_MAX, TOTAL_BYTES_MAX, WORKERS_MAX};
pub use crate::scan::changed_windows::{AROUND_BYTES_MAX, HIT_BYTES_MAX, HIT_LINES_MAX};
pub use crate::scan::hit::Hit;
pub use crate::scan::inspector::{Blob, HitSink, Inspector};
pub use crate::scan::object_scan::{ScanSummary, WHOLE_MARK};
pub use crate::scan::skipped::{SKIPPED_MAX, SkipList, SkipReason, Skipped, SkippedItem};
pub use history::History;
