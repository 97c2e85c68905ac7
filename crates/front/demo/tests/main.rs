//! The tests of `keyroll-demo`: one program, one module per subject.

#![allow(clippy::indexing_slicing, reason = "a test fails by a panic")]
#![allow(clippy::panic, reason = "a test fails by a panic")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod description;
mod run;
mod scene;
