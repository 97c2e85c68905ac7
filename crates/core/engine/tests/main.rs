//! The tests of `keyroll-engine`: one program, one module per subject.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod driver;
mod from_hosts;
mod laws;
mod names;
mod parts;
mod reconcile;
mod shell;
mod truth;
