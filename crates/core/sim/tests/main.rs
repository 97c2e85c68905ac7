//! The tests of `keyroll-sim`: one program, one module per subject.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod laws;
mod links;
mod moves;
mod plans;
mod sentences;
mod slow;
mod ways;
