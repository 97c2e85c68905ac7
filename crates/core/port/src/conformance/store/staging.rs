use super::super::breach::{Breach, require, succeeds};
use super::harness::{
    SECRET, StoreHarness, as_id, begin, keeps, labels, pending, reads, refused, rotation, versions,
};
use crate::{FailureKind, Label, MadeBy};

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
        succeeds(time, harness.staging().keep(SECRET, &rotation(), 2, &chosen).await)?;
    }
    harness.reopen().await;
    keeps(harness, "after a keep", 2, Some(&chosen)).await?;
    keeps(harness, "of another intent", 3, None).await?;

    let other = harness.credential(None);
    let outcome = harness.staging().keep(SECRET, &rotation(), 2, &other).await;
    let kind = outcome.as_ref().err().map(|failure| failure.kind);
    refused("another value under the same intent", outcome, &[&chosen, &other])?;
    require(kind == Some(FailureKind::OtherValue), "another value under the same intent is called so")?;
    keeps(harness, "after another value was refused", 2, Some(&chosen)).await?;

    let minted = as_id(&chosen, Some("key-2"));
    let keep = harness.staging().keep(SECRET, &rotation(), 2, &minted).await;
    succeeds("keep of the same value with its id", keep)?;
    let keep = harness.staging().keep(SECRET, &rotation(), 2, &chosen).await;
    succeeds("a repeated keep of before the id was known", keep)?;
    let renamed = as_id(&chosen, Some("key-3"));
    let keep = harness.staging().keep(SECRET, &rotation(), 2, &renamed).await;
    refused("the same value with another id", keep, &[&chosen])?;
    harness.reopen().await;
    keeps(harness, "once its id is known", 2, Some(&minted)).await?;
    labels(harness, "while it is only kept", &[Label::Current]).await
}

/// What a rotation made becomes the pending version, once; a value that a version has already does not.
///
/// # Errors
/// The first rule that the store broke.
pub async fn staged(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    let one = begin(harness).await?;
    let next = harness.credential(Some("key-2"));
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 4, &next).await)?;
    for time in ["put_pending", "the same put_pending again"] {
        let number = pending(harness, &rotation(), 4, &next).await?;
        require(number == 2, format!("{time} gives v2, but gave v{number}"))?;
        harness.reopen().await;
    }
    labels(harness, "after a put_pending", &[Label::Current, Label::Pending]).await?;
    reads(harness, "after a put_pending", 1, Some(&one)).await?;
    reads(harness, "after a put_pending", 2, Some(&next)).await?;
    keeps(harness, "after a put_pending", 4, Some(&next)).await?;

    // The value would be ended with the version that it replaces.
    let again = as_id(&one, None);
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 6, &again).await)?;
    let put = harness.store().put_pending(SECRET, &rotation(), 6, &again).await;
    refused("put_pending of the current value", put, &[&one])?;
    let made_by = versions(harness).await?.into_iter().map(|version| version.made_by);
    let expected = [None, Some(MadeBy { rotation: rotation(), intent: 4 })];
    require(made_by.eq(expected), "a version names the intent that made it")?;
    labels(harness, "after a put_pending that was refused", &[Label::Current, Label::Pending]).await
}
