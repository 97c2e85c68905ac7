use keyroll_secret::CredentialId;

use super::super::breach::{Breach, require, succeeds};
use super::harness::{
    SECRET, StoreHarness, as_id, begin, keeps, labels, pending, reads, refused, rotation, stage, versions,
};
use crate::Label::{Current, Pending, Retired};
use crate::MadeBy;

/// `retire` drops the values of a version and keeps its id and fingerprints. `forget` drops what a rotation sealed for
/// that version.
///
/// # Errors
/// The first rule that the store broke.
pub async fn retired(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    let one = begin(harness).await?;
    // The value is chosen without an id, then minted with an id under another intent.
    let next = harness.credential(Some("key-2"));
    let chosen = as_id(&next, None);
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 2, &chosen).await)?;
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 4, &next).await)?;
    pending(harness, &rotation(), 4, &next).await?;
    refused("retire of the current version", harness.store().retire(SECRET, 1).await, &[&one, &next])?;
    succeeds("promote", harness.store().promote(SECRET, 1, 2).await)?;
    refused("retire of the current version", harness.store().retire(SECRET, 2).await, &[&one, &next])?;

    let before = versions(harness).await?;
    for time in ["retire", "the same retire again"] {
        succeeds(time, harness.store().retire(SECRET, 1).await)?;
        harness.reopen().await;
        labels(harness, time, &[Retired, Current]).await?;
        reads(harness, time, 1, None).await?;
        reads(harness, time, 2, Some(&next)).await?;
    }
    let after = versions(harness).await?;
    let stays = before.iter().zip(&after).all(|(before, after)| {
        (&before.credential, &before.fingerprints) == (&after.credential, &after.fingerprints)
    });
    require(stays, "a retired version has its id and its fingerprints")?;
    keeps(harness, "after another version was retired", 4, Some(&next)).await?;
    succeeds("a repeated promote, late", harness.store().promote(SECRET, 1, 2).await)?;
    labels(harness, "after a repeated promote, late", &[Retired, Current]).await?;

    // Everything sealed for a version that was never promoted is dropped, and its number is not used again.
    let (given_up, number) = stage(harness, 6, "key-3").await?;
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 5, &as_id(&given_up, None)).await)?;
    let made_by = MadeBy { rotation: rotation(), intent: 6 };
    for time in ["forget", "the same forget again"] {
        succeeds(time, harness.staging().forget(SECRET, &made_by).await)?;
        harness.reopen().await;
        for intent in [5, 6] {
            keeps(harness, time, intent, None).await?;
        }
        keeps(harness, time, 4, Some(&next)).await?;
    }
    succeeds("retire", harness.store().retire(SECRET, number).await)?;
    let outcome = harness.store().promote(SECRET, 2, number).await;
    refused("promote of a retired version", outcome, &[&given_up])?;
    let (_, number) = stage(harness, 9, "key-4").await?;
    require(number == 4, format!("the version after v3 is v4, but was v{number}"))?;
    labels(harness, "in the end", &[Retired, Current, Retired, Pending]).await
}

/// What a rotation made and gave up is dropped, of one credential or all; what stays is not, nor what is no part of it.
///
/// # Errors
/// The first rule that the store broke.
pub async fn discarded(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    let one = begin(harness).await?;
    let leaked = harness.credential(Some("key-2"));
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 2, &as_id(&leaked, None)).await)?;
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 4, &leaked).await)?;
    pending(harness, &rotation(), 4, &leaked).await?;
    let chosen = harness.credential(None);
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 7, &chosen).await)?;
    let (next, _) = stage(harness, 9, "key-3").await?;
    let it = CredentialId::new("key-2");

    for time in ["discard of one credential", "the same discard again"] {
        let discard = harness.staging().discard(SECRET, &rotation(), Some(&it), Some(9)).await;
        succeeds(time, discard)?;
        harness.reopen().await;
        labels(harness, time, &[Current, Pending, Pending]).await?;
        reads(harness, time, 2, Some(&leaked)).await?;
        for intent in [2, 4] {
            keeps(harness, time, intent, None).await?;
        }
        keeps(harness, time, 7, Some(&chosen)).await?;
        keeps(harness, time, 9, Some(&next)).await?;
    }

    let (last, _) = stage(harness, 12, "key-4").await?;
    for time in ["discard of all but one", "the same discard again"] {
        succeeds(time, harness.staging().discard(SECRET, &rotation(), None, Some(12)).await)?;
        harness.reopen().await;
        reads(harness, time, 1, Some(&one)).await?;
        reads(harness, time, 3, Some(&next)).await?;
        for intent in [7, 9] {
            keeps(harness, time, intent, None).await?;
        }
        keeps(harness, time, 12, Some(&last)).await?;
    }
    succeeds("discard of all", harness.staging().discard(SECRET, &rotation(), None, None).await)?;
    harness.reopen().await;
    labels(harness, "after a discard of all", &[Current, Pending, Pending, Pending]).await?;
    keeps(harness, "after a discard of all", 12, None).await
}

/// A late repetition does not bring back a dropped value.
///
/// # Errors
/// The first rule that the store broke.
pub async fn late(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    begin(harness).await?;
    let (staged, number) = stage(harness, 2, "key-2").await?;
    let made_by = MadeBy { rotation: rotation(), intent: 2 };
    succeeds("forget", harness.staging().forget(SECRET, &made_by).await)?;
    succeeds("retire", harness.store().retire(SECRET, number).await)?;
    let kept = harness.credential(Some("key-3"));
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), 4, &kept).await)?;
    succeeds("discard", harness.staging().discard(SECRET, &rotation(), None, None).await)?;
    for (intent, dropped) in [(2, &staged), (4, &kept)] {
        // Harmless or refused: both are right.
        drop(harness.staging().keep(SECRET, &rotation(), intent, dropped).await);
        keeps(harness, "after a repeated keep, late", intent, None).await?;
        drop(harness.store().put_pending(SECRET, &rotation(), intent, dropped).await);
    }
    harness.reopen().await;
    labels(harness, "after late repetitions", &[Current, Retired]).await?;
    reads(harness, "after late repetitions", number, None).await
}
