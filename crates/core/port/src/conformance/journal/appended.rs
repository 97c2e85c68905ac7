use keyroll_rotation::Fact;

use super::super::breach::{Breach, require};
use super::harness::{
    JournalHarness, SECRET, append, conflicts, event, holds, id, is_fenced, open, succeeds,
};

/// Entries are numbered without a gap, each number once, and are read back in order.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn appended(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    open(harness, 1, SECRET).await?;
    let epoch = succeeds("take_over", harness.journal().take_over(&id(1)).await)?;
    let other = event(epoch, Fact::Resumed);
    for seq in [0, 2, u64::MAX] {
        conflicts("an entry that is not the first", append(harness, 1, seq, &other).await, 0)?;
    }
    let events = [Fact::DriverStarted, Fact::PauseAsked, Fact::Clock].map(|fact| event(epoch, fact));
    for (seq, event) in (1..).zip(&events) {
        succeeds("append", append(harness, 1, seq, event).await)?;
    }
    for seq in [0, 1, 3, 5] {
        conflicts("an entry that is not the next", append(harness, 1, seq, &other).await, 3)?;
    }
    holds(harness, "after appends", 1, &events).await?;
    harness.reopen().await;
    holds(harness, "once it is opened again", 1, &events).await?;
    conflicts("the last entry again", append(harness, 1, 3, &other).await, 3)
}

/// A driver that another one replaced cannot write any more; no epoch is given twice.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn fenced(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    open(harness, 1, SECRET).await?;
    let old = succeeds("take_over", harness.journal().take_over(&id(1)).await)?;
    let (first, clock) = (event(old, Fact::DriverStarted), event(old, Fact::Clock));
    succeeds("append", append(harness, 1, 1, &first).await)?;
    let new = succeeds("take_over", harness.journal().take_over(&id(1)).await)?;
    require(new > old, "a second epoch is higher than the first")?;
    // A number that is taken makes no difference: the older driver is told that it is fenced.
    for seq in [1, 2] {
        is_fenced("an entry of an older driver", append(harness, 1, seq, &clock).await, new)?;
    }
    holds(harness, "after a fenced append", 1, std::slice::from_ref(&first)).await?;
    harness.reopen().await;
    is_fenced("an entry of an older driver", append(harness, 1, 2, &clock).await, new)?;
    let second = event(new, Fact::DriverStarted);
    succeeds("append of the newer driver", append(harness, 1, 2, &second).await)?;
    holds(harness, "after the newer driver's append", 1, &[first, second]).await?;
    let next = succeeds("take_over", harness.journal().take_over(&id(1)).await)?;
    require(next > new, "an epoch is not given again after the journal was opened again")
}
