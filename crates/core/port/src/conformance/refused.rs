use keyroll_secret::Credential;

use super::breach::{Breach, fails, id_of, require, succeeds, tells_nothing};
use super::harness::{FaultMode, IssuerHarness};
use super::ok::everywhere;
use crate::{Class, Probe, RefusalLog, RefusedUse};

/// Refused uses of a disabled credential: each use by another party after the mark counts once, and the issuer's own do
/// not count. A record that was not read completely is never taken for an empty one.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn refused(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    let current = harness.fresh().await;
    let id = id_of(&current)?;
    if !harness.issuer().capabilities().disable {
        return Ok(());
    }
    let RefusalLog::Read { .. } = harness.issuer().sees_refusals(&current).await else {
        let blind = harness.issuer().mark_refusals(&current).await;
        fails("a mark of a record that is not read", blind, &[Class::Unknown], &[&current.fields])?;
        return Ok(());
    };
    switch(harness, &current, false).await?;
    harness.present(&current).await;
    harness.recorded().await;
    switch(harness, &current, true).await?;
    let mark = succeeds("mark_refusals", harness.issuer().mark_refusals(&current).await)?;
    tells_nothing("the mark", &mark, &[&current.fields])?;
    switch(harness, &current, false).await?;
    let seen = look(harness, &current, &mark).await?;
    require(seen.is_empty(), "a use that was refused before the mark does not count")?;

    let decoy = harness.issuer().decoy(&current);
    for ours in [&current, &decoy] {
        everywhere(harness.issuer(), ours, &Probe::Dead, "a presentation of our own").await?;
    }
    harness.recorded().await;
    let seen = look(harness, &current, &mark).await?;
    require(seen.is_empty(), "a presentation of our own does not count")?;

    let client = harness.present(&current).await;
    harness.recorded().await;
    let seen = look(harness, &current, &mark).await?;
    require(seen.len() == 1, format!("one refused use counts as one, not as {}", seen.len()))?;
    let shown = seen.first().and_then(|used| used.client);
    require(shown.is_none() || shown == client, "a refused use names its own client")?;
    tells_nothing("refusals", &format!("{seen:?}"), &[&current.fields])?;
    let again = look(harness, &current, &mark).await?;
    require(again == seen, "a second look from the same mark shows the same")?;

    for fault_mode in [FaultMode::Absent, FaultMode::Odd] {
        if harness.fault_mode(fault_mode).await {
            let looked = harness.issuer().refusals(&current, &mark).await;
            fails("refusals in bad fault_mode", looked, &[Class::Permanent], &[&current.fields])?;
            harness.fault_mode(FaultMode::Fair).await;
        }
    }
    succeeds("enable", harness.issuer().enable(&id).await)
}

async fn look(
    harness: &mut dyn IssuerHarness,
    current: &Credential,
    mark: &str,
) -> Result<Vec<RefusedUse>, Breach> {
    succeeds("refusals", harness.issuer().refusals(current, mark).await)
}

async fn switch(harness: &mut dyn IssuerHarness, current: &Credential, on: bool) -> Result<(), Breach> {
    let id = id_of(current)?;
    let issuer = harness.issuer();
    let switched = if on { issuer.enable(&id).await } else { issuer.disable(&id).await };
    succeeds("a switch", switched)?;
    harness.settle().await;
    Ok(())
}
