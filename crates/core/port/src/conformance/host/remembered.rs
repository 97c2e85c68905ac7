use super::super::breach::{Breach, require, succeeds};
use super::harness::HostHarness;

/// The issuer's mark outlives its driver, and a later one takes its place.
///
/// # Errors
/// The first rule that the host broke.
pub async fn remembered(harness: &mut dyn HostHarness) -> Result<(), Breach> {
    harness.fresh().await;
    for mark in [Some("4711"), Some("4712"), None] {
        succeeds("watch_refusals", harness.host().watch_refusals(mark).await)?;
        harness.reopen().await;
        let kept = succeeds("refusals_mark", harness.host().refusals_mark().await)?;
        require(kept.as_deref() == mark, format!("the mark is {mark:?}, but was {kept:?}"))?;
    }
    Ok(())
}
