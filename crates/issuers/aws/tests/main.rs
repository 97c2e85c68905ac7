//! The tests of `keyroll-aws`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

mod answers;
mod conformance;
mod from_host;
mod refused;
mod sample;
