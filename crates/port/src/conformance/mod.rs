//! The issuer's conformance suite: one set of cases, run by every adapter against its own part.
//!
//! An adapter's test implements [`IssuerHarness`] over a part that it can make misbehave (a fake server, a real
//! database behind a relay) and calls [`run`], or single cases for one test each. The suite branches on the declared
//! capabilities alone and judges by the part's own state ([`IssuerHarness::live`]), never by the adapter's word.

mod absent;
mod breach;
mod dead;
mod harness;
mod lost;
mod odd;
mod ok;
mod refused;
mod timeout;

pub use absent::absent;
pub use breach::Breach;
pub use dead::dead;
pub use harness::{IssuerHarness, Weather};
pub use lost::lost;
pub use odd::odd;
pub use ok::ok;
pub use refused::refused;
pub use timeout::timeout;

/// Runs every case, each on a fresh part, and stops at the first breach.
///
/// # Errors
/// The first rule of the port that the adapter broke.
pub async fn run(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    ok(harness).await?;
    dead(harness).await?;
    timeout(harness).await?;
    odd(harness).await?;
    absent(harness).await?;
    lost(harness).await?;
    refused(harness).await
}
