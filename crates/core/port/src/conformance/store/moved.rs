use super::super::breach::{Breach, require, succeeds};
use super::harness::{SECRET, StoreHarness, begin, labels, reads, refused, stage};
use crate::Label::{Current, Pending, Previous};

/// A version becomes current only if it replaces the expected version.
///
/// # Errors
/// The first rule that the store broke.
pub async fn promoted(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    let one = begin(harness).await?;
    let (next, _) = stage(harness, 2, "key-2").await?;
    let (last, _) = stage(harness, 4, "key-3").await?;
    let outcome = harness.store().promote(SECRET, 2, 3).await;
    refused("promote in place of one that is not current", outcome, &[&one, &next, &last])?;
    let outcome = harness.store().promote(SECRET, 0, 2).await;
    refused("promote as the first beside a current one", outcome, &[&one, &next, &last])?;
    labels(harness, "after refused promotions", &[Current, Pending, Pending]).await?;

    for time in ["promote", "the same promote again"] {
        succeeds(time, harness.store().promote(SECRET, 1, 2).await)?;
        harness.reopen().await;
        labels(harness, time, &[Previous, Current, Pending]).await?;
    }
    let outcome = harness.store().promote(SECRET, 1, 3).await;
    refused("promote in place of the previous one", outcome, &[&one, &next, &last])?;
    refused("promote of no version", harness.store().promote(SECRET, 2, 9).await, &[&one, &next, &last])?;
    labels(harness, "after refused promotions", &[Previous, Current, Pending]).await?;
    reads(harness, "once it is previous", 1, Some(&one)).await?;
    reads(harness, "once it is current", 2, Some(&next)).await
}

/// A promotion is undone, and can be made again.
///
/// # Errors
/// The first rule that the store broke.
pub async fn demoted(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    let one = begin(harness).await?;
    let (next, _) = stage(harness, 2, "key-2").await?;
    stage(harness, 4, "key-3").await?;
    succeeds("demote of what was never promoted", harness.store().demote(SECRET, 1, 2).await)?;
    succeeds("promote", harness.store().promote(SECRET, 1, 2).await)?;
    refused("demote of one that is not current", harness.store().demote(SECRET, 1, 3).await, &[&one, &next])?;
    labels(harness, "after a refused demotion", &[Previous, Current, Pending]).await?;
    for time in ["demote", "the same demote again"] {
        succeeds(time, harness.store().demote(SECRET, 1, 2).await)?;
        harness.reopen().await;
        labels(harness, time, &[Current, Pending, Pending]).await?;
    }
    reads(harness, "once it is pending again", 2, Some(&next)).await?;
    succeeds("promote after a demote", harness.store().promote(SECRET, 1, 2).await)?;
    labels(harness, "after a second promotion", &[Previous, Current, Pending]).await
}

/// A first version becomes current, and pending again.
///
/// # Errors
/// The first rule that the store broke.
pub async fn first(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    harness.fresh().await;
    if !harness.found().await {
        return Ok(());
    }
    labels(harness, "before the first version", &[]).await?;
    let (one, number) = stage(harness, 4, "key-1").await?;
    require(number == 1, format!("the first version is v1, but was v{number}"))?;
    labels(harness, "before the first promotion", &[Pending]).await?;
    for time in ["promote of the first", "the same promote again"] {
        succeeds(time, harness.store().promote(SECRET, 0, 1).await)?;
        harness.reopen().await;
        labels(harness, time, &[Current]).await?;
    }
    for time in ["demote of the first", "the same demote again"] {
        succeeds(time, harness.store().demote(SECRET, 0, 1).await)?;
        harness.reopen().await;
        labels(harness, time, &[Pending]).await?;
    }
    reads(harness, "once it is pending again", 1, Some(&one)).await
}
