use super::super::breach::{Breach, require, succeeds};
use super::harness::{SECRET, StoreHarness, begin, labels, reads, refused, versions};
use crate::Label;

/// A first version is added once, as current, with a fingerprint of each of its secret fields.
///
/// # Errors
/// The first rule that the store broke.
pub async fn added(harness: &mut dyn StoreHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let none = succeeds("secrets", harness.store().secrets().await)?;
    require(none.is_empty(), "an empty store has no secret")?;

    let one = begin(harness).await?;
    let before = versions(harness).await?;
    let other = harness.credential(Some("key-2"));
    for (what, again) in [("a second add", &other), ("the same add again", &one)] {
        refused(what, harness.store().add(SECRET, again).await, &[again])?;
    }
    harness.reopen().await;
    let secrets = succeeds("secrets", harness.store().secrets().await)?;
    require(secrets == [SECRET], "what was added is listed, and nothing else")?;
    labels(harness, "after an add that was refused", &[Label::Current]).await?;
    reads(harness, "after an add that was refused", 1, Some(&one)).await?;
    reads(harness, "where no such version is", 2, None).await?;

    let after = versions(harness).await?;
    require(after == before, "a version says of itself what it said before")?;
    let Some(version) = after.first() else { return Err(Breach::new("a secret has its version")) };
    require(version.credential == one.id, "a version names the credential at the issuer")?;
    let fields: Vec<&str> = one.fields.secrets().map(|(name, _)| name).collect();
    let named: Vec<&str> = version.fingerprints.iter().map(|(name, _)| name.as_str()).collect();
    require(named == fields, "a version has a fingerprint of each secret field, and of no other")
}
