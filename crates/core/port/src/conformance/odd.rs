use keyroll_rotation::MintedBy;

use super::breach::{Breach, fails, id_of, require, succeeds, unknown};
use super::harness::{FaultMode, IssuerHarness};
use super::ok::LABEL;
use crate::{Class, Probe};

/// Answers that the protocol does not foresee: the adapter never reads them as alive, dead or done.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn odd(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    spoiled(harness, FaultMode::Odd).await
}

/// Makes every call in fault_mode in which none can succeed: probes are unknown, calls fail without a secret, nothing
/// changes, and afterwards, in fair fault_mode, the credential is as it was.
pub(super) async fn spoiled(harness: &mut dyn IssuerHarness, fault_mode: FaultMode) -> Result<(), Breach> {
    let current = harness.fresh().await;
    let id = id_of(&current)?;
    let before = harness.live().await;
    if !harness.fault_mode(fault_mode).await {
        return Ok(());
    }
    let known = [&current.fields];
    let issuer = harness.issuer();
    for endpoint in issuer.endpoints() {
        unknown("a probe in bad fault_mode", &issuer.probe(&endpoint, &current).await, &known)?;
        let decoy = issuer.decoy(&current);
        unknown("a decoy's probe in bad fault_mode", &issuer.probe(&endpoint, &decoy).await, &known)?;
    }
    let capabilities = issuer.capabilities().clone();
    // Bad fault_mode passes: a permanent failure would stop retries.
    let passing = [Class::Permanent];
    fails("preflight in bad fault_mode", issuer.preflight(&current).await, &passing, &known)?;
    if capabilities.list {
        match issuer.list(&current).await {
            Ok(listing) => require(!listing.complete, "a list in bad fault_mode is not complete")?,
            Err(failure) => drop(fails::<()>("list in bad fault_mode", Err(failure), &passing, &known)?),
        }
    }
    if capabilities.minted_by != MintedBy::Human {
        let proposed = succeeds("propose", issuer.propose(&current))?;
        let outcome = issuer.mint(LABEL, &current, proposed.as_ref()).await;
        fails("mint in bad fault_mode", outcome, &passing, &known)?;
    }
    if capabilities.disable {
        fails("disable in bad fault_mode", issuer.disable(&id).await, &passing, &known)?;
        fails("enable in bad fault_mode", issuer.enable(&id).await, &passing, &known)?;
    }
    if issuer.revokes() {
        fails("revoke in bad fault_mode", issuer.revoke(&id).await, &passing, &known)?;
    }
    if capabilities.sessions {
        fails("sessions in bad fault_mode", issuer.sessions(&id).await, &passing, &known)?;
    }
    harness.fault_mode(FaultMode::Fair).await;
    harness.settle().await;
    require(harness.live().await == before, "calls that failed for certain had no effect")?;
    for endpoint in harness.issuer().endpoints() {
        let probe = harness.issuer().probe(&endpoint, &current).await;
        require(probe == Probe::Alive, "fair fault_mode finds the credential alive")?;
    }
    Ok(())
}
