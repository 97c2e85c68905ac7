//! The waivers that count: those of open rotations, and those of copies that the next rotation takes over.

use crate::installation::Installation;
use crate::operator::WaiverShown;
use crate::problem::Problem;
use crate::records::index::Index;
use crate::records::recorded::rotations_unread;
use crate::records::remembered_names;
use crate::records::waived::waived_with_reasons;
use crate::records::waivers::Waivers;
use crate::session::waive::current;
use crate::wiring::open;

/// Every waiver that counts, of one secret or of all.
///
/// # Errors
/// The configuration, the journal or the waivers cannot be read, or the secret is not configured.
pub fn waivers(secret: Option<&str>, installation: &Installation) -> Result<Vec<WaiverShown>, Problem> {
    let config = installation.config()?;
    secret.map_or(Ok(()), |name| crate::configured::secret(&config, name).map(|_| ()))?;
    let places = installation.places()?;
    let recorded = Waivers::load(&places)?;
    let wanted = |name: &str| secret.is_none_or(|secret| secret == name);
    let mut all = Vec::new();
    let mut busy = Vec::new();
    if places.journal().exists() {
        let (journal, _) = open::journal_for_a_look(&places)?;
        let index = open::runtime(&places)?.block_on(Index::read(&journal)).map_err(rotations_unread)?;
        for one in index.iter().filter(|one| wanted(one.secret())) {
            busy.push(one.secret().to_owned());
            let Some(state) = &one.state else { continue };
            let called = remembered_names::called(&*journal, &one.recorded, Some(state));
            let called = open::runtime(&places)?.block_on(called);
            let waived = waived_with_reasons(&called, &recorded, state);
            all.extend(waived.into_iter().map(|(holder, reason)| WaiverShown {
                secret: one.secret().to_owned(),
                holder,
                rotation: Some(one.id().to_string()),
                reason,
            }));
        }
    }
    for secret in config.secrets.values() {
        let name = secret.name.as_str();
        if !wanted(name) || busy.iter().any(|busy| busy == name) {
            continue;
        }
        let standing = recorded.standing(name, current(&places, secret)?);
        all.extend(standing.into_iter().map(|waiver| WaiverShown {
            secret: name.to_owned(),
            holder: format!("the copy {}", waiver.place),
            rotation: None,
            reason: Some(waiver.reason.clone()),
        }));
    }
    Ok(all)
}
