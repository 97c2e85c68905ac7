//! The tests of `keyroll-config`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod accepts;
mod all_mistakes;
mod aws;
mod bystanders;
mod clusters;
mod consumers_on_hosts;
mod edits;
mod follows;
mod generated;
mod hosts;
mod insert;
mod refuses;
mod roll;
mod serves;
mod slice;
