//! The tests of `keyroll-issuer`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod callers;
mod conformance;
mod derived;
mod fake;
mod from_host;
mod guide;
mod harness;
mod lint;
mod lists;
mod moods;
mod parse;
mod refusals;
mod requests;
mod shipped;
mod verdicts;
