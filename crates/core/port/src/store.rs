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

/// The intent that made a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBy {
    /// The rotation.
    pub rotation: RotationId,
    /// The number of the intent in the journal.
    pub intent: Seq,
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
    /// The intent that made it; `None` if it was imported.
    pub made_by: Option<MadeBy>,
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

    /// Makes a credential that a rotation made under this intent the pending version; returns its number. The same intent
    /// again has the same version. Refused where a version has this value already: it would be ended with that one.
    async fn put_pending(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
        credential: &Credential,
    ) -> Result<u32, Failure>;

    /// Makes `next` current and `expected` previous, only if `expected` is current now; 0 = none is, and `next` is the
    /// first.
    async fn promote(&self, secret: &str, expected: u32, next: u32) -> Result<(), Failure>;

    /// Takes a promotion back: `before` is current again and `next` pending.
    async fn demote(&self, secret: &str, before: u32, next: u32) -> Result<(), Failure>;

    /// Drops the values of a version; fingerprints stay. From here on no call returns them. A store may keep them sealed so
    /// that leaked copies can still be found. Refused for the current version.
    async fn retire(&self, secret: &str, number: u32) -> Result<(), Failure>;
}

/// What a rotation received or chose, sealed on the machine that drives it before anybody else learns of it. Every write
/// is durable when its call returns, and harmless when repeated; a late repetition does not bring back what was dropped.
#[async_trait]
pub trait Staging: Send + Sync {
    /// Seals a credential that was received or proposed, under the intent that it belongs to, before anything else
    /// happens with it. A second, different value under the same intent is refused.
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

    /// Drops what is kept under the intent that a version was made by, and what else is kept with the same value: it was
    /// chosen under an intent of its own.
    async fn forget(&self, secret: &str, made_by: &MadeBy) -> Result<(), Failure>;

    /// Drops what a rotation made and gave up: what is kept of one credential, or all. What is kept under the entry `stays`
    /// is not dropped.
    async fn discard(
        &self,
        secret: &str,
        rotation: &RotationId,
        credential: Option<&CredentialId>,
        stays: Option<Seq>,
    ) -> Result<(), Failure>;
}
