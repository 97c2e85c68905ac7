//! The secrets, copies and processes of this machine, as `scan`, `why`, `trace` and `graph` show them. Changes nothing.

mod cause;
mod graph;
mod grounds;
mod not_visible;
mod resolve_target;
mod shown;
mod survey;
mod why;

pub use cause::{Cause, doubt, verdict_word};
pub use graph::graph;
pub(crate) use not_visible::missed;
pub use not_visible::tell_missed;
pub use resolve_target::{Meant, refuse_missing, resolve_target, secret};
pub use survey::{Inventory, LookLimits, look};
pub use why::{WhyReport, why};

pub(crate) use survey::{SOUGHT, Sought, folders, look_for, look_with, run_key};
