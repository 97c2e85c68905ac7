use super::super::breach::{Breach, require, succeeds};
use super::harness::{SECRET, StoreHarness, as_id, begin, keeps, labels, reads, refused, rotation};
use crate::{FailureKind, Label};

/// A credential that was sealed under an intent reads back the same, can get its id later, and is never replaced by
/// another value.
///
/// # Errors
/// The first rule that the store broke.
pub async fn kept(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    begin(harness).await?;
    keeps(harness, "before anything is kept", 2, None).await?;
    let chosen = harness.credential(None);
    for time in ["keep", "the same keep again"] {
        succeeds(time, harness.store().keep(SECRET, &rotation(), 2, &chosen).await)?;
    }
    harness.reopen().await;
    keeps(harness, "after a keep", 2, Some(&chosen)).await?;
    keeps(harness, "of another intent", 3, None).await?;

    let other = harness.credential(None);
    let outcome = harness.store().keep(SECRET, &rotation(), 2, &other).await;
    let kind = outcome.as_ref().err().map(|failure| failure.kind);
    refused("another value under the same intent", outcome, &[&chosen, &other])?;
    require(kind == Some(FailureKind::OtherValue), "another value under the same intent is called so")?;
    keeps(harness, "after another value was refused", 2, Some(&chosen)).await?;

    let minted = as_id(&chosen, Some("key-2"));
    let keep = harness.store().keep(SECRET, &rotation(), 2, &minted).await;
    succeeds("keep of the same value with its id", keep)?;
    let keep = harness.store().keep(SECRET, &rotation(), 2, &chosen).await;
    succeeds("a repeated keep of before the id was known", keep)?;
    let renamed = as_id(&chosen, Some("key-3"));
    let keep = harness.store().keep(SECRET, &rotation(), 2, &renamed).await;
    refused("the same value with another id", keep, &[&chosen])?;
    harness.reopen().await;
    keeps(harness, "once its id is known", 2, Some(&minted)).await?;
    labels(harness, "while it is only kept", &[Label::Current]).await
}

/// The credential under an intent becomes the pending version, once; a value that a version already has is refused.
///
/// # Errors
/// The first rule that the store broke.
pub async fn staged(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    let one = begin(harness).await?;
    let nothing = harness.store().stage(SECRET, &rotation(), 4).await;
    refused("stage of nothing", nothing, &[])?;

    let next = harness.credential(Some("key-2"));
    succeeds("keep", harness.store().keep(SECRET, &rotation(), 4, &next).await)?;
    for time in ["stage", "the same stage again"] {
        let number = succeeds(time, harness.store().stage(SECRET, &rotation(), 4).await)?;
        require(number == 2, format!("{time} gives v2, but gave v{number}"))?;
        harness.reopen().await;
    }
    labels(harness, "after a stage", &[Label::Current, Label::Pending]).await?;
    reads(harness, "after a stage", 1, Some(&one)).await?;
    reads(harness, "after a stage", 2, Some(&next)).await?;
    keeps(harness, "after a stage", 4, Some(&next)).await?;

    // The value would be ended with the version that it replaces.
    let again = as_id(&one, None);
    succeeds("keep", harness.store().keep(SECRET, &rotation(), 6, &again).await)?;
    let stage = harness.store().stage(SECRET, &rotation(), 6).await;
    refused("stage of the current value", stage, &[&one])?;
    labels(harness, "after a stage that was refused", &[Label::Current, Label::Pending]).await
}
