//! Plans: inspect everything, change nothing, and save what was seen, so that `apply` can compare.

mod acceptance;
mod attribution;
pub(crate) mod bystanders;
pub mod egress;
pub mod granted;
pub(crate) mod in_clusters;
pub mod inspect;
mod inspection;
pub mod left_out;
pub mod make;
pub(crate) mod move_consumer;
mod outline;
mod pace;
pub mod pending_changes;
mod plaintext;
mod rehearsed;
mod shared;
mod source_of_truth;
pub mod split;
mod subject;
mod unsearched;
mod unsound;
pub(crate) mod verbs;

pub use inspection::Inspection;
pub use outline::announced;
pub use subject::Subject;
