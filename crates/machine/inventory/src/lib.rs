//! What an inspection of a machine found, as `scan`, `why`, `trace` and `graph` report it.
//!
//! A report is made on the machine that was inspected, because making it reads that machine again: the times of files,
//! the start of a process. It is texts with labels, so it can be shown, or sent.
//!
//! Invariants, by what is absent: nothing is written, sent or printed; no value is in a report, only labels; no
//! configuration and no store is read: what is known beforehand is given to [`inspect`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod cause;
mod clean;
mod clock;
mod drafted;
#[allow(missing_docs, reason = "a field is named as its key in the JSON")]
mod found;
mod graph;
mod grounds;
mod leak_source;
mod local_issuer;
mod look;
mod not_visible;
mod plain;
mod quantity;
mod report;
mod resolve_target;
mod shown;
mod why;

pub use cause::{Cause, doubt, verdict_word};
pub use clean::{Cleaner, without_formed};
pub use clock::{clock, started};
pub use drafted::{ConsumerShown, DraftShown, SaidShown};
pub use found::{
    ChainShown, CopyShown, EdgeShown, FoundShown, GraphShown, InstanceShown, LinkShown, MemoryShown,
    NodeShown, ScanShown, StoreShown, UserShown, ValueShown,
};
pub use graph::graph;
pub use leak_source::LeakSource;
pub use look::{Inventory, KnownSecrets, LabelsHold, LocalIssuer, LookLimits, Watched, inspect};
pub use not_visible::Missed;
pub use quantity::quantity;
pub use report::{ScanReport, TraceReport};
pub use resolve_target::{Meant, NotMeant, refuse_missing, resolve_again, secret, values_meant};
pub use why::{WhyReport, why};
