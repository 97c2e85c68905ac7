//! A command that ran, or that runs still.

pub use keyroll_testkit::command::{Ran, Running, wait};
