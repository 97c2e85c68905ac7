use super::super::breach::{Breach, require, succeeds};
use super::harness::{TruthHarness, by, gives, labels, refused};
use crate::FailureKind;

/// Nothing is staged onto a value that another party changed.
///
/// # Errors
/// The first rule that the source of truth broke.
pub async fn changed(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    let old = harness.fresh().await;
    let theirs = harness.credential();
    harness.change(&theirs).await;
    let before = labels(harness).await?;
    let new = harness.credential();
    let outcome = harness.truth().stage(&by(), &old, &new).await;
    refused("stage onto another value", outcome, FailureKind::ChangedElsewhere, &[&old, &new, &theirs])?;
    require(labels(harness).await? == before, "a refused stage leaves all versions as they were")?;
    require(harness.pending().await.is_empty(), "a refused stage leaves nothing pending")?;
    gives(harness, "after a refused stage", &theirs).await.map(drop)
}

/// Another party's pending version is neither replaced nor withdrawn.
///
/// # Errors
/// The first rule that the source of truth broke.
pub async fn pending_elsewhere(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    if !harness.has_pending() {
        return Ok(());
    }
    let old = harness.fresh().await;
    let theirs = harness.pending_of_others().await;
    let before = labels(harness).await?;
    let new = harness.credential();
    let outcome = harness.truth().stage(&by(), &old, &new).await;
    refused("stage beside another pending version", outcome, FailureKind::PendingElsewhere, &[&old, &new])?;
    succeeds("withdraw", harness.truth().withdraw(&by()).await)?;
    require(labels(harness).await? == before, "another party's pending version is as it was")?;
    require(harness.pending().await == [theirs], "another party's version is still the pending one")?;
    gives(harness, "beside another pending version", &old).await.map(drop)
}

/// What another party changes beside the value stays, when the new value is given out and when the old one is again.
///
/// # Errors
/// The first rule that the source of truth broke.
pub async fn beside(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    let old = harness.fresh().await;
    let new = harness.credential();
    succeeds("stage", harness.truth().stage(&by(), &old, &new).await)?;
    if !harness.change_beside().await {
        return Ok(());
    }
    gives(harness, "after a change beside it", &old).await?;
    let first = harness.without(&old).await;
    succeeds(
        "the same stage again, after a change beside it",
        harness.truth().stage(&by(), &old, &new).await,
    )?;
    for time in ["give_out", "the same give_out again"] {
        succeeds(time, harness.truth().give_out(&by(), &old, &new).await)?;
        gives(harness, time, &new).await?;
        require(harness.without(&new).await == first, "give_out keeps what another party changed beside it")?;
        require(harness.pending().await.is_empty(), format!("nothing is pending after {time}"))?;
    }
    require(harness.change_beside().await, "what stands beside the value can be changed again")?;
    let second = harness.without(&new).await;
    require(second != first, "the harness changes what stands beside the value")?;
    succeeds("give_out of the old value", harness.truth().give_out(&by(), &new, &old).await)?;
    gives(harness, "once the old value is given out again", &old).await?;
    require(
        harness.without(&old).await == second,
        "giving out the old value again keeps what another party changed beside it",
    )
}
