use super::super::breach::{Breach, require, succeeds};
use super::harness::{TruthHarness, by, gives, labels, refused};
use crate::FailureKind;

/// The new value is given out, and the old one again, and each time what stands beside it is kept.
///
/// # Errors
/// The first rule that the source of truth broke.
pub async fn moved(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    let old = harness.fresh().await;
    let beside = harness.without(&old).await;
    let new = harness.credential();
    succeeds("stage", harness.truth().stage(&by(), &old, &new).await)?;
    let staged = harness.pending().await;
    let mut made = None;
    for round in ["there", "there once more"] {
        let mut ids = Vec::new();
        for time in ["give_out", "the same give_out again"] {
            succeeds(time, harness.truth().give_out(&by(), &old, &new).await)?;
            ids.push(gives(harness, &format!("{round}, after {time}"), &new).await?);
        }
        require(ids.first() == ids.last(), "a repeated give_out makes no other version")?;
        if harness.has_pending() {
            require(ids.first() == staged.first(), format!("{round}, the staged version is given out"))?;
        }
        require(harness.pending().await.is_empty(), format!("{round}, nothing is pending any more"))?;
        require(harness.without(&new).await == beside, format!("{round}, only the value has changed"))?;
        for time in ["give_out of the old value", "the same give_out of the old value again"] {
            succeeds(time, harness.truth().give_out(&by(), &new, &old).await)?;
            gives(harness, &format!("{round}, after {time}"), &old).await?;
        }
        require(harness.without(&old).await == beside, format!("{round} and back, all is as it was"))?;
        let count = labels(harness).await?.len();
        let grown = made.replace(count).is_some_and(|before: usize| before != count);
        let grown = grown && harness.has_pending();
        require(!grown, "versions that are there already are used, not made again")?;
    }
    succeeds("withdraw after the old value is given out again", harness.truth().withdraw(&by()).await)?;
    gives(harness, "in the end", &old).await.map(drop)
}

/// A value that is neither the one before nor the one after stays.
///
/// # Errors
/// The first rule that the source of truth broke.
pub async fn neither(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    let old = harness.fresh().await;
    let new = harness.credential();
    succeeds("stage", harness.truth().stage(&by(), &old, &new).await)?;
    let theirs = harness.credential();
    harness.change(&theirs).await;
    let there = gives(harness, "after a change by another party", &theirs).await?;
    for (what, before, after) in [
        ("give_out over another value", &old, &new),
        ("give_out of the old value over another value", &new, &old),
    ] {
        let outcome = harness.truth().give_out(&by(), before, after).await;
        refused(what, outcome, FailureKind::ChangedElsewhere, &[&old, &new, &theirs])?;
        let given = gives(harness, what, &theirs).await?;
        require(given == there, format!("{what} leaves the version that is given out"))?;
    }
    succeeds("withdraw", harness.truth().withdraw(&by()).await)?;
    require(harness.pending().await.is_empty(), "what was staged is withdrawn all the same")?;
    gives(harness, "after the withdraw", &theirs).await.map(drop)
}
