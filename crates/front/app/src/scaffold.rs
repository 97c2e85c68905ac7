//! Writes tables of keyroll.toml from what was found on this machine: no value, and nothing that was not seen. What
//! the operator has to fill in is marked.

mod agent;
mod already_configured;
mod consumer;
mod consumer_draft;
mod copies;
mod copy;
mod draft;
mod issuer;
mod merge;
mod process;

pub use draft::{Wanted, drafts};
pub use issuer::FILL_IN;
pub use merge::{Joined, join};
