//! The setup of one host, composed from what keyroll.toml says of it; and whether its commands may be run there ([`trust`]).
//!
//! Invariants, by what is absent: no call of the issuer, only facts that were read from it before; no value and no sealing
//! key is opened here. What depends on the machine, such as a user's number or whether an address is its own, is asked of
//! the machine that the code runs on: the setup of a host is composed on that host. The numbers of files and consumers
//! follow the order of the configuration alone, so the protocol and the host number them alike. A host counts only what is its
//! own; [`layout()`] says which number of the plan each of these is, and asks no machine.

mod bystanders;
mod compose;
mod facts;
mod layout;
mod litellm;
mod local_services;
mod logins;
mod numbering;
mod served;
pub mod trust;
mod turn;

pub use bystanders::bystander_id;
pub use compose::{Composed, Composition, Folders, compose, copy_setup, gate};
pub use facts::IssuerFacts;
pub use layout::{Layout, Placing, key_files, layout};
pub use local_services::{is_loopback, on_this_machine};
pub use logins::passes_on;
pub use numbering::Own;
pub use served::served_folder;
