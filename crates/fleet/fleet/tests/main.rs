//! The tests of `keyroll-fleet`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a host in a test does one thing with all other orders")]

mod bystander;
mod conformance;
mod fleet;
mod from_host;
mod host_end;
mod numbers;
mod remote;
mod remote_calls;
mod scripted;
mod sessions;
