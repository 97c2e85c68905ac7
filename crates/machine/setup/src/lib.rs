//! The setup of one host, composed from what keyroll.toml says of it.
//!
//! Invariants, by what is absent: no call of the issuer, only facts that were read from it before; no value and no sealing
//! key is opened here. What depends on the machine, such as a user's number or whether an address is its own, is asked of
//! the machine that the code runs on: the setup of a host is composed on that host. The numbers of files and consumers
//! follow the order of the configuration alone, so the protocol and the host number them alike.

mod compose;
mod facts;
mod litellm;
mod local_services;
mod logins;
mod served;
mod turn;

pub use compose::{Composed, Composition, Folders, Own, compose, copy_setup, gate};
pub use facts::IssuerFacts;
pub use local_services::on_this_machine;
pub use logins::passes_on;
pub use served::served_folder;
