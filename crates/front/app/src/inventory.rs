//! The secrets, copies and processes of this machine, as `scan`, `why`, `trace` and `graph` show them. Changes nothing.

mod cause;
mod graph;
mod not_visible;
mod resolve_target;
mod shown;
mod survey;

pub use cause::{cause, doubt, verdict_word};
pub use graph::graph;
pub use not_visible::tell_missed;
pub use resolve_target::{Meant, is_called, refuse_missing, resolve_target, secret};
pub use shown::keeper;
pub use survey::{LookLimits, Seen, folders, look, run_key};
