//! Kubernetes: the connection to a cluster, its failures, and who writes a Secret, for every room that speaks to one.
//!
//! Invariants, by what is absent: no attempt is repeated; nothing is sent to a server whose certificate was not verified, or
//! unencrypted to another machine; no error holds a byte of a token, of an answer's object, or of what a login's program
//! wrote.

mod address;
mod connect;
mod failure;
mod managed_fields;
mod owner;

pub use address::Address;
pub use connect::{Cluster, connect, named_files};
pub use failure::{Effect, failure, words};
pub use managed_fields::Owned;
pub use owner::{LAST_APPLIED, Owner, annotation, controller, from_git, owner};
