//! Writes tables of keyroll.toml from an inspection of this machine. They contain no value and nothing that was not
//! found. Parts that the operator must fill in are marked.

mod already_configured;
mod consumer;
mod consumer_draft;
mod copies;
mod copy;
mod draft;
mod init;
mod issuer;
mod merge;
mod process;

pub use init::{InitRequest, Scaffold, Written};
pub use issuer::FILL_IN;
pub use merge::Joined;
