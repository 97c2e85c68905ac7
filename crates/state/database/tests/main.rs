//! The tests of `keyroll-database`: one program, one module per subject.

#![allow(clippy::unwrap_used)]

mod foreign;
