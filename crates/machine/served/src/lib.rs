//! Values that are given out over a unix socket.
//!
//! Invariants, by what is absent: nobody is named by what they say of themselves, only by what the kernel says of their
//! connection; no value is given out before it is written down who is given it; no value is in the ledger.

mod connection;
mod desk;
mod known;
mod ledger;
mod limits;
mod peer;
mod print;
mod wire;

pub use connection::listen;
pub use desk::{Desk, Refusal, Rule, Value};
pub use known::{Consumers, Known, Life, MAIN, Of, Print, Words, ledger_file};
pub use ledger::Ledger;
pub use peer::Peer;
pub use print::{print_of, version_file};
pub use wire::{Answered, REQUEST_BYTES_MAX, Request, answer_of};
