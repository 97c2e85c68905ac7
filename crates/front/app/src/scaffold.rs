//! Writes tables of keyroll.toml from an inspection of this machine, or of others. They contain no value and nothing that
//! was not found. Parts that the operator must fill in are marked.

mod already_configured;
mod in_clusters;
mod init;
mod init_hosts;
mod issuer;
mod machines;
mod merge;
mod merge_hosts;
mod together;

pub use init::{InitRequest, Scaffold, Written};
pub use init_hosts::{ScaffoldOfHosts, of_hosts};
pub use merge::Joined;
