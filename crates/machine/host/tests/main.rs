//! The tests of `keyroll-host`: one program, one module per subject.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod agent_rows;
mod evidence;
mod faults;
mod files;
mod live;
mod local;
mod poolers;

/// An effect under this intent that may take as long as it does.
fn step(intent: u64) -> keyroll_port::Asked {
    keyroll_port::Asked { intent, until_ms: u64::MAX }
}
