//! The journal's conformance suite: what the trait promises, checked through the trait alone.
//!
//! A test implements [`JournalHarness`] and calls [`run`], or single cases where its journal cannot hold all that the
//! others need. Each case begins with an empty journal and stops at the first breach.

mod appended;
mod harness;
mod newer;
mod opened;

use super::breach::Breach;

pub use appended::{appended, fenced};
pub use harness::{JournalHarness, SECRET};
pub use newer::newer;
pub use opened::{apart, held, missing, named, opened};

/// Runs every case.
///
/// # Errors
/// The first rule of the port that the journal broke.
pub async fn run(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    opened(harness).await?;
    appended(harness).await?;
    fenced(harness).await?;
    held(harness).await?;
    apart(harness).await?;
    missing(harness).await?;
    named(harness).await?;
    newer(harness).await
}
