//! Who holds which version of what: the copies of this machine, its processes, and which copy wins.
//!
//! Invariants, by what is absent: nothing is written, started or sent; no value leaves but as a [`ValueId`] and a label of its
//! public beginning and its fingerprint; nothing that could not be read is left out in silence ([`Unseen`]).

mod candidates;
mod chain;
mod files;
mod git;
mod joins;
mod label;
mod memory;
mod naming;
mod place;
mod processes;
mod risks;
mod rows;
mod secrets;
mod service;
mod slots;
mod survey;
mod users;
mod values;
mod verdict;

pub use chain::{Chain, Link, Standing};
pub use label::Label;
pub use memory::{MemoryAhead, MemoryStage};
pub use place::{Place, Sighting, Unseen};
pub use risks::{Risk, Risks};
pub use rows::{Row, chains_of, rows};
pub use secrets::{Found, Managed, Version, secrets};
pub use service::{Keeper, Service};
pub use survey::{Options, Survey, SurveyError, survey};
pub use users::User;
pub use values::{Value, ValueId, Values};
pub use verdict::{Doubt, Held, Memory, Verdict, verdict};
