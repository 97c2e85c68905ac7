//! Compares what the source of truth gives out with the sealed store, before anything is made.

use keyroll_codes::Code;
use keyroll_config::Secret;
use keyroll_port::Failure;

use super::subject::Subject;
use crate::problem::Problem;
use crate::records::given_out::given_out_now;
use crate::records::versions;
use crate::wiring::truth;

/// A source of truth that gives out the current version.
pub(super) struct AgreeingTruth {
    /// Where it is, with its account: a plan is for exactly this one.
    pub(super) name: String,
    /// A sentence for the operator.
    pub(super) note: String,
}

/// Refuses a source of truth that does not answer, gives out another version than the current one, or has a pending version
/// of somebody else. `None` if keyroll's own store is the source of truth.
pub(super) async fn agreeing_truth(subject: &Subject<'_>) -> Result<Option<AgreeingTruth>, Problem> {
    let secret = subject.secret;
    let Some(truth) = truth::of(subject.places, subject.config_file, secret).await? else { return Ok(None) };
    let now = given_out_now(subject.places, secret, truth.as_ref()).await?;
    let attempted = format!("plan a rotation of {}", secret.name);
    if let Some(problem) = now.refusal(secret, &attempted) {
        return Err(problem);
    }
    // A file is tried by a file beside it, and a plan writes nothing: that is left to the beginning of the rotation.
    if secret.store.file().is_none() {
        truth.writable().await?;
    }
    let all = truth.versions().await?;
    if let Some(problem) = now.pending_elsewhere(secret, &all, &attempted) {
        return Err(problem);
    }
    let note = format!("its source of truth is {}, which gives out {}", now.name, now.what());
    Ok(Some(AgreeingTruth { name: now.name, note }))
}

/// A copy that does not hold the value in use. Vault may have changed the password, and the copy have the new one.
pub(crate) fn other_value(failure: Failure, secret: &Secret) -> Problem {
    let is_other = failure.code == Code::CopyDiffers && versions::is_changed_by_vault(secret);
    let help = failure.help.clone().unwrap_or_default();
    let problem = Problem::from(failure);
    match is_other {
        true => problem.mend(format!(
            "{help}; if Vault changed the password and the programs' files have the new one: keyroll secret import {}",
            secret.name
        )),
        false => problem,
    }
}
