use super::breach::Breach;
use super::harness::{FaultMode, IssuerHarness};
use super::odd::spoiled;

/// An issuer that accepts every connection and never answers: each call ends by its own time limit with an unknown
/// outcome.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn timeout(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    spoiled(harness, FaultMode::Silent).await
}
