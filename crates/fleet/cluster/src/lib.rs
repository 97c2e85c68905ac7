//! A namespace of a Kubernetes cluster: its Secrets, who takes them, and which pods still have an old value.
//!
//! Invariants, by what is absent: only a rotation writes to the cluster (`host`); no value is in a report, only labels; no `exec`, no
//! log of a pod and no debug container is asked for; a pod is *current* only if it was made after the last write of the
//! Secret; what the login may not read is named.

mod chains;
mod changed;
mod check;
mod commands;
mod consumers;
mod draft;
#[cfg(test)]
mod drawn_tests;
mod entries;
#[cfg(test)]
mod fake_api;
mod found;
mod holders;
mod host;
mod instance;
mod look;
mod marks;
mod model;
mod objects;
mod owner;
mod place;
mod read;
#[cfg(test)]
mod recorded;
mod report;
mod takers;
mod takes;
mod unpack;
mod verdict;
mod why;

pub use check::{Checked, Grade, check};
pub use host::{ClusterComposition, ClusterHost, ClusterSetup, KeySetup, PodsSetup, content};
pub use look::Look;
pub use model::Namespace;
pub use read::read;
