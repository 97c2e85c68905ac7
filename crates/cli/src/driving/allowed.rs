//! Whether a plan may be carried out, before anything is changed.

use keyroll_config::Secret;
use keyroll_port::{JournalError, RotationId};

use super::rotate::Asked;
use crate::context::Context;
use crate::exit::Exit;
use crate::plans::Found;
use crate::problem::Problem;
use crate::records::begun::held;
use crate::records::saved::Saved;
use crate::ui::Answer;
use crate::wiring::issuer::Described;

pub(super) fn check_consent(asked: &Asked, name: &str) -> Result<(), Problem> {
    crate::context::consent(asked.confirm.as_deref(), name)
}

/// Ending the old key before anything is moved asks nobody later: it is consented to before it begins.
pub(super) fn consent_to_outage(
    asked: &Asked,
    name: &str,
    command: &str,
    context: &mut Context,
) -> Result<(), Problem> {
    if asked.emergency != Some(keyroll_rotation::Emergency::RevokeNow) || asked.confirm.is_some() {
        return Ok(());
    }
    let question = format!("END the key of {name} now, before its consumers have another? IRREVERSIBLE.");
    match context.ui.ask_name(&question, name) {
        Answer::Yes => Ok(()),
        answer @ (Answer::No | Answer::Nobody | Answer::Stopped) => {
            Err(Problem::new("K0808", format!("end the key of {name} at once"))
                .because(answer.refusal())
                .help(format!("keyroll {command} --emergency revoke-now --confirm={name}{}", alerted(asked)))
                .exits(answer.exit()))
        }
    }
}

/// The time of the alert, as it is given once more.
fn alerted(asked: &Asked) -> String {
    let at = asked.alerted_unix_ms.and_then(|ms| i64::try_from(ms).ok());
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| format!(" --alerted-at={at}")).unwrap_or_default()
}

/// A key is not ended first where only it could make the next one. `kept`: what the next one copies of it is known.
pub(super) fn refuse_outage(
    asked: &Asked,
    secret: &Secret,
    described: &Described,
    kept: bool,
    command: &str,
) -> Result<(), Problem> {
    if asked.emergency != Some(keyroll_rotation::Emergency::RevokeNow) {
        return Ok(());
    }
    let Some(spec) = &described.spec else { return Ok(()) };
    let why = match (spec.mints_with_its_own(), spec.copies_settings() && !kept) {
        (true, _) => "its issuer makes a new key only for the holder of one that works",
        (false, true) => {
            "the new key copies its settings, and this plan, of an older keyroll, has not kept them"
        }
        (false, false) => return Ok(()),
    };
    let name = &secret.name;
    Err(Problem::new("K0852", format!("end the key of {name} before there is another"))
        .because(why)
        .help(format!("keyroll {command} --emergency roll-first --confirm={name}")))
}

pub(super) fn not_opened(error: &JournalError, id: &RotationId) -> Problem {
    let problem = Problem::new("K0837", "open the rotation").because_of(error);
    match error {
        JournalError::Held { by } if by != id => held(by),
        JournalError::Held { .. } | JournalError::Conflict { .. } => problem
            .because("this plan was begun already")
            .help(format!("keyroll status {id}"))
            .exits(Exit::Held),
        JournalError::Fenced { .. }
        | JournalError::Unavailable(_)
        | JournalError::UnknownCommit(_)
        | JournalError::Damaged(_)
        | JournalError::Newer { .. } => problem,
    }
}

pub(super) fn refuse_stale(saved: &Saved, found: &Found) -> Result<(), Problem> {
    let mut lines = saved.seen.differences(&found.saved.seen);
    if saved.from_version != found.saved.from_version {
        lines.push("another version of the secret is current".to_owned());
    }
    // A value that died since would be replaced as a recovery: another plan, with an outage that must be stated.
    let (before, now) = (saved, &found.saved);
    if (before.recovery, before.denied_is_alive) != (now.recovery, now.denied_is_alive) {
        lines.push("the current value reads otherwise at the issuer".to_owned());
    }
    if before.bound != now.bound {
        lines.push("the current value is bound otherwise to an id at the issuer".to_owned());
    }
    if before.settings != now.settings {
        lines.push("the settings of the key in use are others, and the new key copies them".to_owned());
    }
    if lines.is_empty() {
        return Ok(());
    }
    let problem = Problem::new("K0838", "apply the plan: what it saw is not true any more");
    let problem = lines.into_iter().fold(problem, Problem::because);
    Err(problem.help(format!("keyroll plan {}", saved.secret)))
}
