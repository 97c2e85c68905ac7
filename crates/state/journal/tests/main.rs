//! The tests of `keyroll-journal`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod checked;
mod conformance;
mod hostile;
mod journal;
mod recordings;
mod sample;
mod wire;
