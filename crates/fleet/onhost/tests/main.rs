//! The tests of `keyroll-onhost`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod driver;
mod once;
mod reach;
mod rotation;
mod searched;
mod this_machine;
