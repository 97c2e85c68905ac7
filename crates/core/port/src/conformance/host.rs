//! The host's conformance suite: what the trait promises about files, about a consumer's process, and about the issuer's
//! mark, checked through the trait alone.
//!
//! A test implements [`HostHarness`] and calls [`run`], or single cases where its host cannot do all that the others
//! need. One whose host has a consumer with a process implements [`ProcessHarness`] too, and [`SweepHarness`], and calls
//! [`serving`]; for a host at the other end of a link, [`LinkHarness`] and [`over_link`].

mod delivered;
mod harness;
mod linked;
mod looked;
mod process;
mod remembered;
mod served;

use super::breach::Breach;

pub use delivered::{delivered, foreign, too_late, unmade};
pub use harness::HostHarness;
pub use linked::{
    Calling, Cut, LinkHarness, cut_restart, lost_answer, lost_order, once, over_link, unheard_restart,
};
pub use looked::looked;
pub use process::ProcessHarness;
pub use remembered::remembered;
pub use served::{SweepHarness, applied, fetched, other_fetched, proved, swept};

/// Runs every case about a file and about the issuer's mark.
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

/// Runs every case about a consumer's process.
///
/// # Errors
/// The first rule of the port that the host broke.
pub async fn serving(harness: &mut dyn SweepHarness) -> Result<(), Breach> {
    applied(harness).await?;
    proved(harness).await?;
    fetched(harness).await?;
    other_fetched(harness).await?;
    swept(harness).await
}
