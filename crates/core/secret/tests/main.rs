//! The tests of `keyroll-secret`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

mod locked_memory;
mod seal;
