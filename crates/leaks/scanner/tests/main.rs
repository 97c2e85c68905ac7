//! The tests of `keyroll-scanner`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod databases;
mod far_histories;
mod git_files;
mod histories;
mod ignored;
mod packed;
mod packed_histories;
mod passed_over;
mod prints;
mod repository;
mod score;
mod tars;
mod trees;
