//! The tests of `keyroll-copy`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod dialects;
mod entries;
mod laws;
mod places;
mod readers;
