//! The tests of `keyroll-truth`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

mod aws_answers;
mod aws_at_once;
mod aws_conformance;
mod aws_lost;
mod aws_refused;
mod sample;
