//! The conformance suite of a source of truth: what the trait promises, checked through the trait and against what the
//! harness sees there itself.
//!
//! A test implements [`TruthHarness`] over a source whose secret another party can change, and calls [`run`], or single
//! cases. Each case begins with a new secret and stops at the first breach.

mod changed;
mod harness;
mod moved;
mod staged;

use super::breach::Breach;

pub use changed::{beside, changed, pending_elsewhere};
pub use harness::TruthHarness;
pub use moved::{moved, neither};
pub use staged::{staged, withdrawn};

/// Runs every case.
///
/// # Errors
/// The first rule of the port that the source of truth broke.
pub async fn run(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    staged(harness).await?;
    withdrawn(harness).await?;
    moved(harness).await?;
    neither(harness).await?;
    changed(harness).await?;
    pending_elsewhere(harness).await?;
    beside(harness).await
}
