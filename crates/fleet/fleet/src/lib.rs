//! Many hosts as one: routes, joins, a host at the other end of a link, one there that is only searched, and connections that
//! leave from a host.
//!
//! Invariants, by what is absent: no member hears a number of another one, and nothing that it says is taken for one; no
//! live session is dropped from a join; no command in a text of another machine is shown to the operator; no value in a
//! frame, an error or a log; nothing is asked twice here: a caller decides whether it asks again.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod bystander;
mod concurrent;
mod connection;
mod fleet;
mod fleet_survey;
mod from_host;
mod halves;
mod looked;
mod member;
mod order_kind;
mod remote;
mod remote_survey;
mod sessions;

pub use bystander::Bystander;
pub use connection::{Dial, Dialled};
pub use fleet::Fleet;
pub use from_host::FromHost;
pub use member::{Machine, Member, failure_on, place_digest_of};
pub use remote::Remote;
