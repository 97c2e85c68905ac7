//! A command that ran, or is still running.

pub use keyroll_testkit::command::{Ran, Running, wait};
