use keyroll_rotation::{Holds, Which};

use super::super::breach::{Breach, require, succeeds, tells_nothing};
use super::harness::{FILE, HostHarness, deliver, values};
use crate::Sessions;

/// A look says what the file holds, and tells no value.
///
/// # Errors
/// The first rule that the host broke.
pub async fn looked(harness: &mut dyn HostHarness) -> Result<(), Breach> {
    harness.fresh().await;
    holds(harness, "at first", Holds::Old).await?;
    deliver(harness, Which::New, 1).await?;
    harness.reopen().await;
    holds(harness, "after a delivery", Holds::New).await?;
    harness.overwrite().await;
    holds(harness, "after another's edit", Holds::Other).await
}

async fn holds(harness: &dyn HostHarness, when: &str, expected: Holds) -> Result<(), Breach> {
    let (old, new) = harness.versions();
    let seen = harness.host().enumerate(values(harness), &Sessions::default(), Which::New).await;
    let seen = succeeds("enumerate", seen)?;
    tells_nothing("a look", &format!("{seen:?}"), &[old, new])?;
    let held = seen.enumeration.files.iter().find(|(file, _)| *file == FILE).map(|(_, holds)| *holds);
    require(held == Some(expected), format!("{when}, the file holds {expected:?}, but was seen as {held:?}"))
}
