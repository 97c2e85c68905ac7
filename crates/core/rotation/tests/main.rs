//! The tests of `keyroll-rotation`: one program, one module per subject.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod aborted;
mod accepted_file;
mod back;
mod believed;
mod bystanders;
mod corrected;
mod fleet;
mod followers;
mod gone;
mod holds;
mod last_use;
mod last_use_back;
mod late;
mod left;
mod many_hosts;
mod pace;
mod shared;
mod table;
mod truth;
mod units;
mod unmoved;
mod unsearched;
mod waits;
mod walk;
mod ways;
mod word;
mod young;
