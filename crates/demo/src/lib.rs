//! The demo: a stateful issuer, real workers under load, and the forgotten one.
//!
//! Every part is this same binary, started again under another role; nothing here reaches into the pipeline that the
//! demo shows, and the pipeline is never told a process id.

mod admin;
mod cast;
mod first_key;
mod folder;
mod front;
mod http;
mod issuer;
mod parent;
mod part;
mod pid;
mod probe;
mod restart;
mod worker;

pub use part::part;
