use keyroll_rotation::{Reconciled, Which};

use super::super::breach::{Breach, fails};
use super::harness::{FILE, HostHarness, deliver, finds, step, values};
use crate::{Asked, Class, Values};

/// A delivery writes its version, however often it is repeated. Any driver sees whether the delivery was made, and the
/// earlier version can be delivered again.
///
/// # Errors
/// The first rule that the host broke.
pub async fn delivered(harness: &mut dyn HostHarness) -> Result<(), Breach> {
    harness.fresh().await;
    finds(harness, "at first", (Which::New, 1), &Reconciled::Absent).await?;
    finds(harness, "at first", (Which::Old, 1), &Reconciled::Executed(None)).await?;
    for time in ["after a delivery", "after the same delivery again"] {
        deliver(harness, Which::New, 1).await?;
        harness.reopen().await;
        finds(harness, time, (Which::New, 1), &Reconciled::Executed(None)).await?;
        finds(harness, time, (Which::Old, 1), &Reconciled::Absent).await?;
    }
    deliver(harness, Which::Old, 2).await?;
    harness.reopen().await;
    finds(harness, "after it was delivered back", (Which::Old, 2), &Reconciled::Executed(None)).await?;
    finds(harness, "after it was delivered back", (Which::New, 2), &Reconciled::Absent).await
}

/// What another party wrote is not overwritten, and is reported as another party's.
///
/// # Errors
/// The first rule that the host broke.
pub async fn foreign(harness: &mut dyn HostHarness) -> Result<(), Breach> {
    harness.fresh().await;
    harness.overwrite().await;
    let (old, new) = harness.versions();
    let outcome = harness.host().deliver(FILE, Which::New, values(harness), step(1)).await;
    fails("a delivery over another's edit", outcome, &[Class::Unknown], &[old, new])?;
    finds(harness, "after another's edit", (Which::New, 1), &Reconciled::Foreign).await?;
    finds(harness, "after another's edit", (Which::Old, 1), &Reconciled::Foreign).await
}

/// Nothing is written after the time limit of the call.
///
/// # Errors
/// The first rule that the host broke.
pub async fn too_late(harness: &mut dyn HostHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let (old, new) = harness.versions();
    let asked = Asked { intent: 1, until_ms: 0 };
    let outcome = harness.host().deliver(FILE, Which::New, values(harness), asked).await;
    fails("a delivery after its time", outcome, &[Class::Permanent, Class::Unknown], &[old, new])?;
    finds(harness, "after a delivery that came too late", (Which::New, 1), &Reconciled::Absent).await?;
    finds(harness, "after a delivery that came too late", (Which::Old, 1), &Reconciled::Executed(None)).await
}

/// A version that was not made yet is not delivered.
///
/// # Errors
/// The first rule that the host broke.
pub async fn unmade(harness: &mut dyn HostHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let (old, _) = harness.versions();
    let alone = Values { old, new: None, old_ended: false };
    let outcome = harness.host().deliver(FILE, Which::New, alone, step(1)).await;
    fails("a delivery of what is not made", outcome, &[Class::Unknown], &[old])?;
    finds(harness, "after it", (Which::Old, 1), &Reconciled::Executed(None)).await
}
