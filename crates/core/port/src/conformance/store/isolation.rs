use super::super::breach::{Breach, require, succeeds};
use super::harness::{
    SECRET, StoreHarness, as_id, begin, keeps, labels, pending, reads, refused, rotation, same, stage,
};
use crate::{Label, RotationId};

/// The name of a second secret.
const OTHER: &str = "other";

/// A call changes only its own secret and its own rotation, and two secrets never have the same value.
///
/// # Errors
/// The first rule that the store broke.
pub async fn isolation(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    let one = begin(harness).await?;
    let taken = as_id(&one, Some("key-8"));
    refused("add of a value that another secret has", harness.store().add(OTHER, &taken).await, &[&one])?;
    let two = harness.credential(None);
    succeeds("add of a second secret", harness.store().add(OTHER, &two).await)?;

    let later = RotationId("0190-2".to_owned());
    let (ours, theirs) = (harness.credential(Some("key-2")), harness.credential(Some("key-2")));
    let beside = harness.credential(Some("key-2"));
    let staging = harness.staging();
    succeeds("keep", staging.keep(SECRET, &rotation(), 4, &ours).await)?;
    succeeds("keep of another rotation", staging.keep(SECRET, &later, 4, &theirs).await)?;
    succeeds("keep of another secret", staging.keep(OTHER, &rotation(), 4, &beside).await)?;
    keeps(harness, "beside another rotation's", 4, Some(&ours)).await?;
    let number = pending(harness, &later, 4, &theirs).await?;
    require(number == 2, "another rotation's version is the next one")?;
    let (_, staged) = stage(harness, 6, "key-3").await?;
    let put = harness.store().put_pending(OTHER, &rotation(), 4, &beside).await;
    let number = succeeds("put_pending", put)?;
    require(number == 2, "each secret counts its versions")?;

    succeeds("discard", harness.staging().discard(SECRET, &rotation(), None, None).await)?;
    harness.reopen().await;
    succeeds("retire", harness.store().retire(SECRET, staged).await)?;
    keeps(harness, "after a discard", 4, None).await?;
    reads(harness, "after a discard of another rotation", 2, Some(&theirs)).await?;
    let kept = succeeds("kept", harness.staging().kept(SECRET, &later, 4).await)?;
    require(same(kept.as_ref(), Some(&theirs)), "a discard leaves what another rotation keeps")?;
    let kept = succeeds("kept", harness.staging().kept(OTHER, &rotation(), 4).await)?;
    require(same(kept.as_ref(), Some(&beside)), "a discard leaves what another secret keeps")?;

    succeeds("promote", harness.store().promote(SECRET, 1, 2).await)?;
    succeeds("retire", harness.store().retire(SECRET, 1).await)?;
    harness.reopen().await;
    labels(harness, "in the end", &[Label::Retired, Label::Current, Label::Retired]).await?;
    let others = succeeds("versions", harness.store().versions(OTHER).await)?;
    let others: Vec<Label> = others.iter().map(|version| version.label).collect();
    require(others == [Label::Current, Label::Pending], "another secret's versions are as they were")?;
    let read = succeeds("read", harness.store().read(OTHER, 1).await)?;
    require(same(read.as_ref(), Some(&two)), "another secret's value is as it was")
}
