//! The secrets, copies and processes of this machine, as `scan`, `why`, `trace` and `graph` show them. Changes nothing.

mod not_visible;
mod resolve_target;
mod survey;

pub use keyroll_inventory::{
    Cause, Inventory, LabelsHold, LookLimits, Meant, Missed, ScanReport, TraceReport, WhyReport, doubt,
    graph, values_meant, verdict_word, why,
};
pub use not_visible::tell_missed;
pub use resolve_target::{refuse_missing, resolve_again, secret};
pub use survey::{look, search_memory};

pub(crate) use survey::{
    SOUGHT, Sought, cannot_search, folders, known, label_key, look_for, look_with, run_key, stored,
};
