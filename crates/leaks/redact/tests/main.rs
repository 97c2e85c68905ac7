//! The tests of `keyroll-redact`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

mod beside;
mod common;
mod events;
mod holes;
mod io;
mod json;
mod known;
mod prefixed_keys;
mod rules_stream;
mod shipped;
mod words;
