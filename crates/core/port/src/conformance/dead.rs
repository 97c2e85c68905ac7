use super::breach::{Breach, id_of, require};
use super::harness::IssuerHarness;
use super::ok::everywhere;
use crate::Probe;

/// The negative control: every endpoint refuses a wrong value, and refusing it does not affect the right value.
///
/// # Errors
/// The first rule that the adapter broke.
pub async fn dead(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    let current = harness.fresh().await;
    let id = id_of(&current)?;
    let issuer = harness.issuer();
    for _ in 0..3 {
        let decoy = issuer.decoy(&current);
        let right: Vec<_> = current.fields.secrets().map(|(_, secret)| secret).collect();
        let same = decoy.fields.secrets().any(|(_, secret)| right.contains(&secret));
        require(!same, "a decoy repeats no secret of the current credential")?;
        require(decoy.fields.secrets().next().is_some(), "a decoy has a secret field")?;
        everywhere(issuer, &decoy, &Probe::Dead, "a decoy").await?;
    }
    everywhere(issuer, &current, &Probe::Alive, "the current credential after decoys").await?;
    require(harness.live().await.contains(&id), "the part still accepts the current credential")
}
