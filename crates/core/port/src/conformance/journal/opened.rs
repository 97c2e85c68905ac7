use keyroll_rotation::Fact;

use super::super::breach::{Breach, require};
use super::harness::{
    JournalHarness, SECRET, append, conflicts, event, holds, id, is_fenced, is_held, open, succeeds, unix_ms,
};
use crate::Overview;

/// The name of a second secret.
const OTHER: &str = "other";

/// A rotation is read back with all that it was opened with.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn opened(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let none = succeeds("list", harness.journal().list().await)?;
    require(none.is_empty(), "an empty journal lists nothing")?;
    open(harness, 1, SECRET).await?;
    let epoch = succeeds("take_over", harness.journal().take_over(&id(1)).await)?;
    succeeds("append", append(harness, 1, 1, &event(epoch, Fact::DriverStarted)).await)?;
    for time in ["witness", "witness of what it has seen"] {
        succeeds(time, harness.journal().witness().await)?;
    }
    harness.reopen().await;
    let recorded = succeeds("load", harness.journal().load(&id(1)).await)?;
    let (opening, expected) = (&recorded.opening, harness.opening(SECRET));
    require(recorded.id == id(1), "a rotation is loaded under its id")?;
    require(opening.plan == expected.plan, "the plan is read back")?;
    let rest =
        |it: &crate::Opening| (it.secret.clone(), it.from_version, it.names.clone(), it.at, it.unix_ms);
    require(rest(opening) == rest(&expected), "the opening is read back")?;
    require(recorded.unix_ms == [unix_ms(1)], "the wall clock of each entry is read back")?;
    let list = succeeds("list", harness.journal().list().await)?;
    let unix_ms = expected.unix_ms;
    let line = Overview { id: id(1), secret: SECRET.to_owned(), open: true, unix_ms };
    require(list == [line], "a rotation is listed once, with its secret, as open")
}

/// No second rotation can be opened for a secret until the open one is closed.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn held(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    open(harness, 1, SECRET).await?;
    open(harness, 2, OTHER).await?;
    let third = harness.opening("third");
    is_held("a second open under one id", harness.journal().open(&id(2), &third).await, &id(2))?;
    harness.reopen().await;
    let again = harness.opening(SECRET);
    is_held("open of a held secret", harness.journal().open(&id(3), &again).await, &id(1))?;
    for time in ["close", "a second close"] {
        succeeds(time, harness.journal().close(&id(1)).await)?;
    }
    harness.reopen().await;
    is_held("open under a closed one's id", harness.journal().open(&id(1), &again).await, &id(1))?;
    open(harness, 3, SECRET).await?;
    holds(harness, "once it is closed", 1, &[]).await?;
    let list = succeeds("list", harness.journal().list().await)?;
    let seen: Vec<_> = list.into_iter().map(|line| (line.id, line.open)).collect();
    let expected = [(id(3), true), (id(2), true), (id(1), false)];
    require(seen == expected, format!("all are listed, newest first, but were {seen:?}"))
}

/// Each rotation has numbers and a fence of its own; epochs come from one counter.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn apart(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    open(harness, 1, SECRET).await?;
    open(harness, 2, OTHER).await?;
    let one = succeeds("take_over", harness.journal().take_over(&id(1)).await)?;
    let two = succeeds("take_over", harness.journal().take_over(&id(2)).await)?;
    require(two > one, "another rotation's epoch comes from the same counter")?;
    let (ours, theirs) = (event(one, Fact::DriverStarted), event(two, Fact::DriverStarted));
    succeeds("append", append(harness, 1, 1, &ours).await)?;
    conflicts("an entry that another rotation has", append(harness, 2, 2, &theirs).await, 0)?;
    succeeds("append", append(harness, 2, 1, &theirs).await)?;
    let later = succeeds("take_over", harness.journal().take_over(&id(1)).await)?;
    is_fenced("an entry of an older driver", append(harness, 1, 2, &ours).await, later)?;
    let clock = event(two, Fact::Clock);
    succeeds("append beside another rotation's take-over", append(harness, 2, 2, &clock).await)?;
    harness.reopen().await;
    holds(harness, "beside another rotation", 1, &[ours]).await?;
    holds(harness, "beside another rotation", 2, &[theirs, clock]).await
}

/// Nothing is written to a rotation that was never opened.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn missing(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let entry = event(1, Fact::DriverStarted);
    require(harness.journal().load(&id(9)).await.is_err(), "load of no rotation is refused")?;
    require(harness.journal().take_over(&id(9)).await.is_err(), "take_over of no rotation is refused")?;
    require(append(harness, 9, 1, &entry).await.is_err(), "append to no rotation is refused")?;
    harness.reopen().await;
    let none = succeeds("list", harness.journal().list().await)?;
    require(none.is_empty(), "a refused call opens no rotation")
}

/// A name can be looked up by its digest; the last name that was given counts.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn named(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let none = succeeds("recall", harness.journal().recall(u64::MAX).await)?;
    require(none.is_none(), "a digest has no name before it is remembered")?;
    for name in ["/srv/app/.env", "/srv/app/.env.local", "/srv/app/.env.local"] {
        succeeds("remember", harness.journal().remember(u64::MAX, name).await)?;
    }
    succeeds("remember", harness.journal().remember(1, "another").await)?;
    harness.reopen().await;
    let name = succeeds("recall", harness.journal().recall(u64::MAX).await)?;
    require(name.as_deref() == Some("/srv/app/.env.local"), "the name that was remembered last is recalled")
}
