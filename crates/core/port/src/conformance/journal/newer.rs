use keyroll_rotation::{Fact, PROTOCOL};

use super::super::breach::{Breach, require};
use super::harness::{JournalHarness, SECRET, append, event, holds, id, is_held, open, succeeds};
use crate::JournalError;

/// A rotation of a newer protocol is listed and holds its secret. It cannot be read, and it does not affect any other
/// rotation.
///
/// # Errors
/// The first rule that the journal broke.
pub async fn newer(harness: &mut dyn JournalHarness) -> Result<(), Breach> {
    harness.fresh().await;
    open(harness, 1, "other").await?;
    let entry = event(1, Fact::DriverStarted);
    succeeds("append", append(harness, 1, 1, &entry).await)?;
    let protocol = PROTOCOL.saturating_add(1);
    if !harness.plant_newer(&id(2), SECRET, protocol).await {
        return Ok(());
    }
    let loaded = harness.journal().load(&id(2)).await.map(drop);
    let said = format!("load names the newer keyroll, but was {loaded:?}");
    let named = matches!(
        &loaded,
        Err(JournalError::Newer { id: whose, protocol: told, keyroll })
            if *whose == id(2) && *told == protocol && keyroll == "9.9.9"
    );
    require(named, said)?;
    let list = succeeds("list", harness.journal().list().await)?;
    let listed = list.iter().any(|line| line.id == id(2) && line.secret == SECRET && line.open);
    require(listed, "a newer rotation is listed, as open")?;
    let opening = harness.opening(SECRET);
    is_held("open of its secret", harness.journal().open(&id(3), &opening).await, &id(2))?;
    holds(harness, "beside a newer rotation", 1, &[entry]).await
}
