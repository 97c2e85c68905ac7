use async_trait::async_trait;
use keyroll_rotation::Seq;
use keyroll_secret::{Credential, CredentialId, Fingerprint};

use crate::{Failure, RotationId};

/// The state of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// Made, not yet current.
    Pending,
    /// The one that consumers should use.
    Current,
    /// The former current version; still sealed.
    Previous,
    /// No call returns its value any more; its fingerprints stay.
    Retired,
}

/// One version without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// v1, v2 …
    pub number: u32,
    /// What it is now.
    pub label: Label,
    /// The id at the issuer.
    pub credential: Option<CredentialId>,
    /// Keyed fingerprints of its secret fields, by name.
    pub fingerprints: Vec<(String, Fingerprint)>,
    /// When it was made, milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// The one source of truth for the values of secrets. Every write is durable when its call returns, and harmless
/// when repeated.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds the first version of a secret, as current. Refused if the secret exists, or if another secret has the same
    /// value.
    async fn add(&self, secret: &str, credential: &Credential) -> Result<VersionInfo, Failure>;

    /// The secrets by name.
    async fn secrets(&self) -> Result<Vec<String>, Failure>;

    /// All versions of a secret, oldest first.
    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, Failure>;

    /// The values of one version; `None` if it is retired or does not exist.
    async fn read(&self, secret: &str, number: u32) -> Result<Option<Credential>, Failure>;

    /// Seals a credential that was received or proposed, under its intent, before it is used in any way. A second,
    /// different value under the same intent is refused.
    async fn keep(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
        credential: &Credential,
    ) -> Result<(), Failure>;

    /// The credential that was sealed under this intent.
    async fn kept(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
    ) -> Result<Option<Credential>, Failure>;

    /// Makes what was kept under this intent the pending version; returns its number. Refused where a version has this
    /// value already: it would be ended with that one.
    async fn stage(&self, secret: &str, rotation: &RotationId, intent: Seq) -> Result<u32, Failure>;

    /// Makes `next` current and `expected` previous, only if `expected` is current now. `expected` 0: no version is
    /// current, and `next` is the first.
    async fn promote(&self, secret: &str, expected: u32, next: u32) -> Result<(), Failure>;

    /// Undoes a promotion: `before` is current again and `next` pending.
    async fn demote(&self, secret: &str, before: u32, next: u32) -> Result<(), Failure>;

    /// Drops the values of a version, and every value that was sealed for it; fingerprints stay. No later call returns
    /// these values. A store may keep them sealed, to find leaked copies.
    async fn retire(&self, secret: &str, number: u32) -> Result<(), Failure>;

    /// Drops the values that a rotation made and abandoned, as [`Self::retire`] does: of one credential, or of all. It
    /// drops staged values and values that were only sealed. The current version stays, and so does the value sealed
    /// under entry `stays`.
    async fn discard(
        &self,
        secret: &str,
        rotation: &RotationId,
        credential: Option<&CredentialId>,
        stays: Option<Seq>,
    ) -> Result<(), Failure>;
}
