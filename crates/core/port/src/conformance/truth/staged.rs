use super::super::breach::{Breach, require, succeeds};
use super::harness::{TruthHarness, by, current, gives, labels};
use crate::MadeBy;

/// What is staged is pending once, however often it is staged, and is given out to nobody. Without a place for it, nothing is
/// changed there.
///
/// # Errors
/// The first rule that the source of truth broke.
pub async fn staged(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    let old = harness.fresh().await;
    let first = gives(harness, "at first", &old).await?;
    require(current(harness).await?.id == first, "a version keeps its id")?;
    let before = labels(harness).await?;
    require(before.iter().any(|(id, _)| *id == first), "the version that is given out is listed")?;
    require(harness.pending().await.is_empty(), "nothing is pending at first")?;
    let beside = harness.without(&old).await;

    let new = harness.credential();
    let mut seen = None;
    for time in ["stage", "the same stage again"] {
        succeeds(time, harness.truth().stage(&by(), &old, &new).await)?;
        let given = gives(harness, time, &old).await?;
        require(given == first, format!("{time} leaves the version that is given out"))?;
        let pending = harness.pending().await;
        let staged = usize::from(harness.has_pending());
        require(pending.len() == staged, format!("{time} leaves {staged} pending, not {}", pending.len()))?;
        require(!pending.contains(&first), "the pending version is another one")?;
        let now = labels(harness).await?;
        let grown = before.len() + staged;
        require(now.len() == grown, format!("{time} leaves {grown} versions, not {}", now.len()))?;
        let same = seen.replace(now.clone()).is_none_or(|then| then == now);
        require(same, "a repetition changes no version and no label")?;
    }
    require(harness.without(&old).await == beside, "what stands beside the value is as it was")
}

/// What was staged is taken back, and another intent can stage then.
///
/// # Errors
/// The first rule that the source of truth broke.
pub async fn withdrawn(harness: &mut dyn TruthHarness) -> Result<(), Breach> {
    let old = harness.fresh().await;
    let first = gives(harness, "at first", &old).await?;
    succeeds("withdraw of what is not there", harness.truth().withdraw(&by()).await)?;
    let new = harness.credential();
    succeeds("stage", harness.truth().stage(&by(), &old, &new).await)?;
    for time in ["withdraw", "the same withdraw again"] {
        succeeds(time, harness.truth().withdraw(&by()).await)?;
        require(harness.pending().await.is_empty(), format!("nothing is pending after {time}"))?;
        let given = gives(harness, time, &old).await?;
        require(given == first, format!("{time} leaves the version that is given out"))?;
    }
    let next = harness.credential();
    let later = MadeBy { intent: 9, ..by() };
    succeeds("stage of another intent", harness.truth().stage(&later, &old, &next).await)?;
    let staged = usize::from(harness.has_pending());
    require(harness.pending().await.len() == staged, "another intent's version is pending")?;
    succeeds("a repeated withdraw, late", harness.truth().withdraw(&by()).await)?;
    require(harness.pending().await.len() == staged, "a withdraw leaves what another intent staged")
}
