//! The store's conformance suite: what the trait promises, checked through the trait alone.
//!
//! A test implements [`StoreHarness`] and calls [`run`], or single cases where its store cannot hold all that the
//! others need. Each case begins with an empty store, opens it again before it looks, and stops at the first breach.

mod added;
mod dropped;
mod harness;
mod isolation;
mod moved;
mod staging;

use super::breach::Breach;

pub use added::added;
pub use dropped::{discarded, late, retired};
pub use harness::{SECRET, StoreHarness};
pub use isolation::isolation;
pub use moved::{demoted, first, promoted};
pub use staging::{kept, staged};

/// Runs every case.
///
/// # Errors
/// The first rule of the port that the store broke.
pub async fn run(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    added(harness).await?;
    kept(harness).await?;
    staged(harness).await?;
    promoted(harness).await?;
    demoted(harness).await?;
    first(harness).await?;
    retired(harness).await?;
    discarded(harness).await?;
    late(harness).await?;
    isolation(harness).await
}
