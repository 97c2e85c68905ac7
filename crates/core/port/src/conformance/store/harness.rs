use async_trait::async_trait;
use keyroll_secret::{Credential, CredentialId};

use super::super::breach::{Breach, fails, require, succeeds};
use crate::{Class, Failure, Label, RotationId, Staging, Store, VersionInfo};

/// The secret of every case.
pub const SECRET: &str = "acme";

/// What the suite needs of a test's store.
///
/// Methods may panic when the storage of the store fails: that is a broken test, not a breach.
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// An empty store; the one before is gone.
    async fn fresh(&mut self);

    /// Closes the store and opens it again.
    async fn reopen(&mut self);

    /// The store. The same until the next `fresh` or `reopen`.
    fn store(&self) -> &dyn Store;

    /// What stands beside it. The same until the next `fresh` or `reopen`.
    fn staging(&self) -> &dyn Staging;

    /// Begins [`SECRET`] without a version. `false` where a store always has one: the case is then left out.
    async fn found(&mut self) -> bool;

    /// A credential with a new value on every call.
    fn credential(&mut self, id: Option<&str>) -> Credential;
}

/// The rotation of every case.
pub(super) fn rotation() -> RotationId {
    RotationId("0190-1".to_owned())
}

/// A store whose secret has a first version, which is handed back.
pub(super) async fn begin(harness: &mut dyn StoreHarness) -> Result<Credential, Breach> {
    harness.fresh().await;
    let one = harness.credential(Some("key-1"));
    let info = succeeds("add", harness.store().add(SECRET, &one).await)?;
    require((info.number, info.label) == (1, Label::Current), "the first version is v1, and current")?;
    Ok(one)
}

/// Keeps a new credential under this intent and makes it the pending version; the credential, and its version's number.
pub(super) async fn stage(
    harness: &mut dyn StoreHarness,
    intent: u64,
    id: &str,
) -> Result<(Credential, u32), Breach> {
    let next = harness.credential(Some(id));
    succeeds("keep", harness.staging().keep(SECRET, &rotation(), intent, &next).await)?;
    let number = pending(harness, &rotation(), intent, &next).await?;
    Ok((next, number))
}

/// Makes what was kept under this intent the pending version of [`SECRET`]; its number.
pub(super) async fn pending(
    harness: &dyn StoreHarness,
    rotation: &RotationId,
    intent: u64,
    credential: &Credential,
) -> Result<u32, Breach> {
    let put = harness.store().put_pending(SECRET, rotation, intent, credential).await;
    succeeds("put_pending", put)
}

pub(super) async fn versions(harness: &dyn StoreHarness) -> Result<Vec<VersionInfo>, Breach> {
    succeeds("versions", harness.store().versions(SECRET).await)
}

/// The versions must have these labels, oldest first from v1.
pub(super) async fn labels(harness: &dyn StoreHarness, when: &str, expected: &[Label]) -> Result<(), Breach> {
    let seen: Vec<(u32, Label)> =
        versions(harness).await?.iter().map(|version| (version.number, version.label)).collect();
    let expected: Vec<(u32, Label)> = (1..).zip(expected.iter().copied()).collect();
    require(seen == expected, format!("{when}, the versions are {expected:?}, but were {seen:?}"))
}

/// A version must read back as this credential, or as none.
pub(super) async fn reads(
    harness: &dyn StoreHarness,
    when: &str,
    number: u32,
    expected: Option<&Credential>,
) -> Result<(), Breach> {
    let read = succeeds("read", harness.store().read(SECRET, number).await)?;
    require(same(read.as_ref(), expected), format!("{when}, v{number} gives {}", wanted(expected)))
}

/// An intent must read back as this credential, or as none.
pub(super) async fn keeps(
    harness: &dyn StoreHarness,
    when: &str,
    intent: u64,
    expected: Option<&Credential>,
) -> Result<(), Breach> {
    let kept = succeeds("kept", harness.staging().kept(SECRET, &rotation(), intent).await)?;
    require(same(kept.as_ref(), expected), format!("{when}, entry {intent} gives {}", wanted(expected)))
}

pub(super) fn wanted(expected: Option<&Credential>) -> &'static str {
    if expected.is_some() { "what was sealed" } else { "nothing" }
}

pub(super) fn same(one: Option<&Credential>, other: Option<&Credential>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.id == other.id && one.fields.encode() == other.fields.encode(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The same value under another id, or without one.
pub(super) fn as_id(credential: &Credential, id: Option<&str>) -> Credential {
    Credential { id: id.map(CredentialId::new), ..credential.duplicate() }
}

/// The call must be refused for good, without a secret.
pub(super) fn refused<T>(
    what: &str,
    outcome: Result<T, Failure>,
    known: &[&Credential],
) -> Result<(), Breach> {
    let known: Vec<_> = known.iter().map(|credential| &credential.fields).collect();
    fails(what, outcome, &[Class::Retryable, Class::Unknown], &known).map(drop)
}
