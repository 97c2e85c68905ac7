use super::breach::Breach;
use super::harness::{FaultMode, IssuerHarness};
use super::odd::spoiled;

/// Nothing listens: no call passes for an answer, and no failure claims that a later attempt would fail too.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn absent(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    spoiled(harness, FaultMode::Absent).await
}
