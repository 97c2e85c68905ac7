use super::breach::Breach;
use super::harness::{IssuerHarness, Weather};
use super::odd::spoiled;

/// Nothing listens: no call is an answer, and none claims that an effect may have happened for good.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn absent(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    spoiled(harness, Weather::Absent).await
}
