//! The host's conformance suite: what the trait promises about one file and about the issuer's mark, checked through
//! the trait alone.
//!
//! A test implements [`HostHarness`] and calls [`run`], or single cases where its host cannot do all that the others
//! need. What runs in the processes of a consumer is a matter of each host's own tests.

mod delivered;
mod harness;
mod looked;
mod remembered;

use super::breach::Breach;

pub use delivered::{delivered, foreign, too_late, unmade};
pub use harness::HostHarness;
pub use looked::looked;
pub use remembered::remembered;

/// Runs every case.
///
/// # Errors
/// The first rule of the port that the host broke.
pub async fn run(harness: &mut dyn HostHarness) -> Result<(), Breach> {
    delivered(harness).await?;
    foreign(harness).await?;
    too_late(harness).await?;
    unmade(harness).await?;
    looked(harness).await?;
    remembered(harness).await
}
