//! The tests of `keyroll-rotation`: one program, one module per subject.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod back;
mod holds;
mod shared;
mod table;
mod units;
mod walk;
mod young;
