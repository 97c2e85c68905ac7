use keyroll_rotation::{MintedBy, Overlap};
use keyroll_secret::{Credential, Fields};

use super::breach::{Breach, fails, id_of, require, succeeds, tells_nothing};
use super::harness::IssuerHarness;
use crate::{Class, Issuer, Listing, Probe};

/// The label of the suite's own credential.
pub(super) const LABEL: &str = "keyroll/conformance/1";

/// A whole life in fair fault_mode: preflight, mint, list, probe, disable, enable, sessions, revoke.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn ok(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    let current = harness.fresh().await;
    let id = id_of(&current)?;
    let issuer = harness.issuer();
    let warnings = succeeds("preflight", issuer.preflight(&current).await)?;
    tells_nothing("preflight", &warnings.join("\n"), &[&current.fields])?;
    require(!issuer.endpoints().is_empty(), "an issuer has at least one endpoint to probe")?;
    everywhere(issuer, &current, &Probe::Alive, "the current credential").await?;
    let identity = succeeds("identify", issuer.identify(&current).await)?;
    require(identity.id.is_none_or(|told| told == id), "identify must not name another credential's id")?;
    let listing = list(issuer, &current).await?;
    require_complete(&listing)?;
    if issuer.capabilities().minted_by == MintedBy::Human {
        return require(
            issuer.propose(&current).is_ok_and(|none| none.is_none()),
            "a human's mint proposes none",
        );
    }
    let minted = mint(harness, &current).await?;
    both_live(harness, &current, &minted).await?;
    labelled(harness, &current, &minted).await?;
    switch(harness, &current, &minted).await?;
    sessions(harness, &minted).await?;
    end(harness, &current, &minted).await
}

/// Mints under the suite's label, as the engine does; the new credential, visible.
pub(super) async fn mint(
    harness: &mut dyn IssuerHarness,
    current: &Credential,
) -> Result<Credential, Breach> {
    let issuer = harness.issuer();
    let proposed = succeeds("propose", issuer.propose(current))?;
    let ours = issuer.capabilities().minted_by == MintedBy::Us;
    require(proposed.is_some() == ours, "propose chooses a value exactly where we mint")?;
    let minted = succeeds("mint", issuer.mint(LABEL, current, proposed.as_ref()).await)?;
    require(Some(&minted.id) != current.id.as_ref(), "a minted credential has an id of its own")?;
    require(minted.fields.secrets().next().is_some(), "a minted credential has a secret field")?;
    carried(issuer, &minted.fields)?;
    harness.settle().await;
    Ok(Credential { id: Some(minted.id), fields: minted.fields })
}

fn carried(issuer: &dyn Issuer, fields: &Fields) -> Result<(), Breach> {
    let format = issuer.value_format();
    let fits = fields.secrets().all(|(_, secret)| {
        secret.len() <= format.length_max && secret.expose().iter().all(|byte| format.alphabet.contains(byte))
    });
    require(fits, "a minted value keeps to the declared alphabet and length")
}

/// Every endpoint must give this answer to the credential.
pub(super) async fn everywhere(
    issuer: &dyn Issuer,
    credential: &Credential,
    expected: &Probe,
    what: &str,
) -> Result<(), Breach> {
    for endpoint in issuer.endpoints() {
        let probe = issuer.probe(&endpoint, credential).await;
        require(&probe == expected, format!("{what} must read {expected:?}, but reads {probe:?}"))?;
    }
    Ok(())
}

async fn list(issuer: &dyn Issuer, current: &Credential) -> Result<Option<Listing>, Breach> {
    if !issuer.capabilities().list {
        return Ok(None);
    }
    let listing = succeeds("list", issuer.list(current).await)?;
    tells_nothing("list", &format!("{listing:?}"), &[&current.fields])?;
    Ok(Some(listing))
}

fn require_complete(listing: &Option<Listing>) -> Result<(), Breach> {
    let Some(listing) = listing else { return Ok(()) };
    require(listing.complete, "a list in fair fault_mode is complete")?;
    let mut ids: Vec<_> = listing.entries.iter().map(|entry| &entry.id).collect();
    ids.sort();
    ids.dedup();
    require(ids.len() == listing.entries.len(), "a list names each credential once")
}

async fn both_live(
    harness: &mut dyn IssuerHarness,
    current: &Credential,
    minted: &Credential,
) -> Result<(), Breach> {
    let live = harness.live().await;
    require(live.contains(&id_of(minted)?), "the part accepts what was minted")?;
    let issuer = harness.issuer();
    let keeps = matches!(issuer.capabilities().overlap, Overlap::Independent { .. } | Overlap::TwoSlots);
    if keeps {
        require(live.contains(&id_of(current)?), "with an overlap the current credential outlives a mint")?;
        everywhere(issuer, current, &Probe::Alive, "the current credential after a mint").await?;
    }
    everywhere(issuer, minted, &Probe::Alive, "the minted credential").await
}

async fn labelled(
    harness: &mut dyn IssuerHarness,
    current: &Credential,
    minted: &Credential,
) -> Result<(), Breach> {
    let issuer = harness.issuer();
    let Some(listing) = list(issuer, current).await? else { return Ok(()) };
    require(listing.complete, "a list in fair fault_mode is complete")?;
    let id = id_of(minted)?;
    require(listing.entries.iter().any(|entry| entry.id == id), "a minted credential is listed by its id")?;
    if issuer.capabilities().label {
        let with_label: Vec<_> =
            listing.entries.iter().filter(|entry| entry.label.as_deref() == Some(LABEL)).collect();
        require(with_label.len() == 1, "exactly one credential carries the label")?;
        require(
            with_label.first().is_some_and(|entry| entry.id == id),
            "the label stands at the minted one",
        )?;
    }
    Ok(())
}

async fn switch(
    harness: &mut dyn IssuerHarness,
    current: &Credential,
    minted: &Credential,
) -> Result<(), Breach> {
    let id = id_of(minted)?;
    if !harness.issuer().capabilities().disable {
        let outcome = harness.issuer().disable(&id).await;
        fails("disable without the capability", outcome, &[Class::Retryable, Class::Unknown], &[])?;
        return require(harness.live().await.contains(&id), "a refused disable changes nothing");
    }
    for time in ["disable", "disable of a disabled credential"] {
        succeeds(time, harness.issuer().disable(&id).await)?;
    }
    harness.settle().await;
    require(!harness.live().await.contains(&id), "the part refuses a disabled credential")?;
    everywhere(harness.issuer(), minted, &Probe::Dead, "a disabled credential").await?;
    if let Some(listing) = list(harness.issuer(), current).await? {
        let entry = listing.entries.iter().find(|entry| entry.id == id);
        require(entry.is_some_and(|entry| entry.disabled), "a disabled credential is listed as disabled")?;
    }
    for time in ["enable", "enable of an enabled credential"] {
        succeeds(time, harness.issuer().enable(&id).await)?;
    }
    harness.settle().await;
    require(harness.live().await.contains(&id), "the part accepts an enabled credential")?;
    everywhere(harness.issuer(), minted, &Probe::Alive, "an enabled credential").await
}

async fn sessions(harness: &mut dyn IssuerHarness, minted: &Credential) -> Result<(), Breach> {
    let id = id_of(minted)?;
    let seen = succeeds("sessions", harness.issuer().sessions(&id).await)?;
    let shows = harness.issuer().capabilities().sessions;
    require(seen.is_some() == shows, "sessions are shown exactly where they are declared")?;
    let Some(client) = harness.hold_session(minted).await else { return Ok(()) };
    require(shows, "a harness holds a session only where the issuer shows them")?;
    let seen = succeeds("sessions", harness.issuer().sessions(&id).await)?.unwrap_or_default();
    let held = seen.iter().find(|session| session.client == Some(client));
    let handle = held.map(|session| session.handle.clone());
    let Some(handle) = handle else { return Err(Breach::new("a held session is shown by its client's end")) };
    let handles = [handle];
    let ended = succeeds("end_sessions", harness.issuer().end_sessions(&id, &handles, false).await)?;
    require(ended == 1, "an idle session is ended")?;
    let again = succeeds("end_sessions", harness.issuer().end_sessions(&id, &handles, false).await)?;
    require(again == 0, "a session is ended once")
}

async fn end(
    harness: &mut dyn IssuerHarness,
    current: &Credential,
    minted: &Credential,
) -> Result<(), Breach> {
    if !harness.issuer().revokes() {
        return Ok(());
    }
    let id = id_of(minted)?;
    for time in ["revoke", "revoke of what is gone"] {
        succeeds(time, harness.issuer().revoke(&id).await)?;
    }
    harness.settle().await;
    require(!harness.live().await.contains(&id), "the part refuses a revoked credential")?;
    everywhere(harness.issuer(), minted, &Probe::Dead, "a revoked credential").await?;
    if let Some(listing) = list(harness.issuer(), current).await? {
        let live = listing.entries.iter().any(|entry| entry.id == id && !entry.disabled);
        require(!live, "a revoked credential is listed as off or not at all")?;
    }
    let keeps =
        matches!(harness.issuer().capabilities().overlap, Overlap::Independent { .. } | Overlap::TwoSlots);
    if keeps {
        everywhere(harness.issuer(), current, &Probe::Alive, "the other credential after a revoke").await?;
    }
    Ok(())
}
