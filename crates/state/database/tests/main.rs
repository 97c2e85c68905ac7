//! The tests of `keyroll-database`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::unwrap_used)]

mod foreign;
