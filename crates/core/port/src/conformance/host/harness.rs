use async_trait::async_trait;
use keyroll_rotation::{FileId, Reconciled, Seq, Which};
use keyroll_secret::Fields;

use super::super::breach::{Breach, require, succeeds};
use crate::{Asked, Host, Values};

/// The file of every case.
pub(super) const FILE: FileId = FileId(0);

/// What the suite needs of a test's host.
///
/// Methods may panic when the folder of the host's file fails: that is a broken test, not a breach.
#[async_trait]
pub trait HostHarness: Send + Sync {
    /// A host with one consumer whose one file, the first of the plan, holds the old version.
    async fn fresh(&mut self);

    /// Another keyroll process takes over: only what is durable is known.
    async fn reopen(&mut self);

    /// The host. The same until the next `fresh` or `reopen`.
    fn host(&self) -> &dyn Host;

    /// The version that the file holds at first, and the one that replaces it.
    fn versions(&self) -> (&Fields, &Fields);

    /// Another party overwrites the file with another content.
    async fn overwrite(&mut self);
}

/// Both versions.
pub(super) fn values(harness: &dyn HostHarness) -> Values<'_> {
    let (old, new) = harness.versions();
    Values { old, new: Some(new), old_ended: false }
}

/// An effect without a time limit.
pub(super) fn step(intent: Seq) -> Asked {
    Asked { intent, until_ms: u64::MAX }
}

/// Writes a version, under this intent.
pub(super) async fn deliver(harness: &dyn HostHarness, which: Which, intent: Seq) -> Result<(), Breach> {
    let outcome = harness.host().deliver(FILE, which, values(harness), step(intent)).await;
    succeeds("deliver", outcome)
}

/// A look for the delivery of this intent must find this.
pub(super) async fn finds(
    harness: &dyn HostHarness,
    when: &str,
    (which, intent): (Which, Seq),
    expected: &Reconciled,
) -> Result<(), Breach> {
    let found = harness.host().delivered(FILE, which, values(harness), intent).await;
    let found = succeeds("delivered", found)?;
    require(found == *expected, format!("{when}, a delivery of {which:?} is {expected:?}, but was {found:?}"))
}
