use async_trait::async_trait;
use keyroll_secret::Credential;

use super::super::breach::{Breach, fails, require, succeeds};
use crate::{Class, Failure, FailureKind, GivenOut, MadeBy, RotationId, Truth, TruthVersion};

/// What the suite needs of a test's source of truth.
///
/// Methods may panic when the source fails: that is a broken test, not a breach.
#[async_trait]
pub trait TruthHarness: Send + Sync {
    /// A new secret that gives out the credential that is returned, with something beside it where a secret has room for
    /// that. The one before is gone.
    async fn fresh(&mut self) -> Credential;

    /// The adapter. The same until the next `fresh`.
    fn truth(&self) -> &dyn Truth;

    /// Whether the source has a place for a version that is given out to nobody. Where it has none, what is staged waits in
    /// keyroll's own store, and each move makes a version.
    fn has_pending(&self) -> bool {
        true
    }

    /// A credential with a new value on every call.
    fn credential(&mut self) -> Credential;

    /// Somebody else gives out this credential.
    async fn change(&mut self, to: &Credential);

    /// Somebody else changes what stands beside the credential. `false` where nothing does: the case is then left out.
    async fn change_beside(&mut self) -> bool;

    /// Somebody else makes a pending version; its id. Called only where there is a place for one.
    async fn pending_of_others(&mut self) -> String;

    /// The ids of the versions that are pending, as another party finds them.
    async fn pending(&self) -> Vec<String>;

    /// What is given out now, byte by byte, without the value of this credential.
    async fn without(&self, credential: &Credential) -> Vec<u8>;
}

/// The intent of every case.
pub(super) fn by() -> MadeBy {
    MadeBy { rotation: RotationId("0190-1".to_owned()), intent: 4 }
}

pub(super) async fn current(harness: &dyn TruthHarness) -> Result<GivenOut, Breach> {
    succeeds("current", harness.truth().current().await)
}

/// The versions in the order of their ids, with their labels in order. Without the times: a source may say them more
/// coarsely than the suite runs.
pub(super) async fn labels(harness: &dyn TruthHarness) -> Result<Vec<(String, Vec<String>)>, Breach> {
    let versions = succeeds("versions", harness.truth().versions().await)?;
    let sorted = |mut version: TruthVersion| {
        version.labels.sort();
        (version.id, version.labels)
    };
    let mut versions: Vec<_> = versions.into_iter().map(sorted).collect();
    versions.sort();
    Ok(versions)
}

/// The source must give out this credential; its version's id is handed back.
pub(super) async fn gives(
    harness: &dyn TruthHarness,
    when: &str,
    credential: &Credential,
) -> Result<String, Breach> {
    let given = current(harness).await?;
    let same = given.fields.encode() == credential.fields.encode();
    require(same, format!("{when}, the expected value is given out"))?;
    Ok(given.id)
}

/// The call must be refused for good, with this kind and without a secret.
pub(super) fn refused<T>(
    what: &str,
    outcome: Result<T, Failure>,
    wanted: FailureKind,
    known: &[&Credential],
) -> Result<(), Breach> {
    let kind = outcome.as_ref().err().map(|failure| failure.kind);
    let known: Vec<_> = known.iter().map(|credential| &credential.fields).collect();
    fails(what, outcome, &[Class::Retryable, Class::Unknown], &known)?;
    require(kind == Some(wanted), format!("{what} is called {wanted:?}, but was {kind:?}"))
}
