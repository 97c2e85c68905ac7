//! The tests of `keyroll-observe`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test starts programs")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod logs;
mod outside;
mod parts;
mod prints;
mod processes;
mod walk;
