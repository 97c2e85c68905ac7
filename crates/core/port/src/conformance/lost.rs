use keyroll_rotation::MintedBy;
use keyroll_secret::Credential;

use super::breach::{Breach, fails, id_of, require, succeeds};
use super::harness::{FaultMode, IssuerHarness};
use super::ok::{LABEL, mint};
use crate::{Class, Issuer};

/// Effects whose answer is lost: the call reports *unknown*, a list shows the orphan by its label, and a repetition is
/// harmless where the port promises that.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn lost(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    lost_mint(harness).await?;
    lost_end(harness).await
}

async fn lost_mint(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    let current = harness.fresh().await;
    let known = [&current.fields];
    let minted_by = harness.issuer().capabilities().minted_by;
    if minted_by == MintedBy::Human || !harness.fault_mode(FaultMode::AnswerLost).await {
        return Ok(());
    }
    let issuer = harness.issuer();
    let proposed = succeeds("propose", issuer.propose(&current))?;
    let outcome = issuer.mint(LABEL, &current, proposed.as_ref()).await;
    // The effect happened: a failure that rules it out is wrong.
    fails("mint with a lost answer", outcome, &[Class::Permanent, Class::Retryable], &known)?;
    harness.fault_mode(FaultMode::Fair).await;
    harness.settle().await;
    if minted_by == MintedBy::Us {
        let again = harness.issuer().mint(LABEL, &current, proposed.as_ref()).await;
        // Without a label, one list does not show which id the credential got.
        match again {
            Err(failure) if failure.class == Class::Unknown && !harness.issuer().capabilities().label => {}
            again => drop(succeeds("the same mint again", again)?),
        }
        harness.settle().await;
    }
    orphan(harness.issuer(), &current).await
}

async fn orphan(issuer: &dyn Issuer, current: &Credential) -> Result<(), Breach> {
    let capabilities = issuer.capabilities();
    if !(capabilities.list && capabilities.label) {
        return Ok(());
    }
    let listing = succeeds("list", issuer.list(current).await)?;
    let orphans = listing.entries.iter().filter(|entry| entry.label.as_deref() == Some(LABEL)).count();
    require(orphans == 1, format!("a lost mint leaves one credential under its label, found {orphans}"))
}

async fn lost_end(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    let current = harness.fresh().await;
    if harness.issuer().capabilities().minted_by == MintedBy::Human || !harness.issuer().revokes() {
        return Ok(());
    }
    let minted = mint(harness, &current).await?;
    let id = id_of(&minted)?;
    if !harness.fault_mode(FaultMode::AnswerLost).await {
        return Ok(());
    }
    let known = [&current.fields, &minted.fields];
    let outcome = harness.issuer().revoke(&id).await;
    fails("revoke with a lost answer", outcome, &[Class::Permanent, Class::Retryable], &known)?;
    harness.fault_mode(FaultMode::Fair).await;
    harness.settle().await;
    require(!harness.live().await.contains(&id), "the part has revoked, whatever the answer's fate")?;
    succeeds("revoke of what is gone", harness.issuer().revoke(&id).await)
}
