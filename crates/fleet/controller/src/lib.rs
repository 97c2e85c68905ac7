//! `SecretRotation` objects of a cluster: what they ask for, and what they are shown.
//!
//! Invariants, by what is absent: nothing here drives a rotation, reads a value or opens the state folder; of a cluster only
//! the status of `SecretRotation` objects, events and one Lease are written; no object can name a file outside of the folder
//! of its namespace, a consumer outside of its namespace, or a program that keyroll would run.

mod api;
mod base;
mod bases;
mod bounds;
mod compose;
#[cfg(test)]
mod compose_tests;
mod composer;
mod crd;
mod cut;
#[cfg(test)]
mod fake;
mod field;
mod fit;
mod lease;
mod news;
mod object;
mod own_pod;
mod refusal;
mod rights;
#[cfg(test)]
mod sample;
mod sentence;
mod share;
mod standing;
mod status;
mod watch;
mod way;

pub use api::{Shown, show, tell};
pub use base::{BadBase, Base};
pub use bases::Bases;
pub use compose::{Composed, Former, Stays, compose};
pub use composer::Composer;
pub use crd::{CRD_YAML, crd};
pub use lease::{Lease, Lost, acquire};
pub use news::{News, news};
pub use object::{
    Asked, Blocker, Condition, ConsumerStatus, Ended, Id, Phase, Pods, RotationStatus, SecretRotation,
    Status, Unreadable, Waits, asks,
};
pub use rights::{Account, Rule, roles, roles_yaml};
pub use standing::{Accepted, Blocking, Held, HeldKey, Holds, Open, Pod, Standing, TakeOver, Value};
pub use status::{is_same, status};
pub use watch::{Known, follow, pods};
pub use way::{Command, Way};
