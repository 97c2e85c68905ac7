//! A small model of the protocol, beside its code: gate, consent, epochs, takeover and emergency, explored completely.
//! [`docs/reference/model.md`](../../../../docs/reference/model.md) says what it contains.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

mod action;
mod belief;
mod conformance;
mod effects;
mod exhaustive;
mod guard;
mod guards;
mod model;
mod state;
mod step;
mod traces;
