//! Checks whether a plan may be applied, before anything is changed.

use keyroll_codes::Code;
use keyroll_config::Secret;
use keyroll_port::{JournalError, Label, RotationId, VersionInfo};
use keyroll_rotation::Debt;

use super::options::{ApplyOptions, alerted_again};
use crate::exit::Exit;
use crate::operator::{Confirmation, Operator};
use crate::places::Places;
use crate::plans::{Inspection, bystanders};
use crate::problem::Problem;
use crate::records::open_rotation_guard::held;
use crate::records::recorded::Opened;
use crate::records::saved_plan::{Family, Saved};
use crate::records::versions::kept;
use crate::wiring::issuer::Described;
use crate::wiring::open::{runtime, store};

pub(crate) fn check_consent(asked: &ApplyOptions, name: &str) -> Result<(), Problem> {
    crate::configured::consent(asked.confirm.as_deref(), name)
}

/// Refuses to go on with a debt after another rotation of the secret. This one proves that consumers use its own new key,
/// which they left: its gate would never open, and an open rotation is in the way of every other.
pub(crate) fn refuse_overtaken(
    opened: &Opened,
    asked: &ApplyOptions,
    places: &Places,
) -> Result<(), Problem> {
    let alive = matches!(opened.state.debt(), Some(Debt::NotRevoked | Debt::NotDead));
    if !alive || asked.revoked_by_hand {
        return Ok(());
    }
    let (id, secret, from) = (&opened.id, &opened.saved.secret, opened.saved.from_version);
    let store = store(places)?;
    let versions = runtime(places)?.block_on(kept(store.as_ref(), secret))?;
    let others = |it: &&VersionInfo| it.made_by.as_ref().is_some_and(|by| by.rotation != *id);
    let current = versions.iter().find(|it| it.label == Label::Current && it.number > from);
    let Some(current) = current.filter(others) else { return Ok(()) };
    let old = versions.iter().find(|it| it.number == from).and_then(|it| it.credential.as_ref());
    let key = old.map_or_else(|| format!("the key of v{from}"), |key| format!("the key {key}"));
    Err(Problem::new(Code::NothingToRevoke, format!("revoke the old key that rotation {id} left alive"))
        .because(format!(
            "{secret} was rotated again since: its consumers use v{}, and this rotation proves only that they use its own \
             new key",
            current.number
        ))
        .help(format!(
            "see that nothing uses it (keyroll scan), revoke {key} at the issuer's console, then: keyroll verify {secret}"
        )))
}

/// `revoke-now` revokes the old key first and asks nobody later, so the consent is needed at the start.
pub(crate) fn consent_to_outage(
    asked: &ApplyOptions,
    name: &str,
    command: &str,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    if asked.emergency != Some(keyroll_rotation::Emergency::RevokeNow) || asked.confirm.is_some() {
        return Ok(());
    }
    let question = format!("REVOKE the key of {name} now, before its consumers have another? IRREVERSIBLE.");
    match operator.ask_name(&question, name) {
        Confirmation::Yes => Ok(()),
        answer @ (Confirmation::No | Confirmation::Nobody | Confirmation::Stopped) => {
            Err(Problem::new(Code::UsageWrong, format!("revoke the key of {name} at once"))
                .because(answer.refusal())
                .help(format!(
                    "keyroll {command} --emergency revoke-now --confirm={name}{}",
                    alerted_again(command, asked.alerted_unix_ms)
                ))
                .exits(answer.exit()))
        }
    }
}

/// Refuses to revoke a key first if only it could make the next one. `kept`: the settings to copy are known.
pub(crate) fn refuse_outage(
    asked: &ApplyOptions,
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
        (true, _) => "its issuer makes a new key only with a key that works",
        (false, true) => {
            "the new key copies the old key's settings, and this plan, of an older keyroll, did not save them"
        }
        (false, false) => return Ok(()),
    };
    let name = &secret.name;
    Err(Problem::new(
        Code::RevokeFirstImpossible,
        format!("revoke the key of {name} before there is another"),
    )
    .because(why)
    .help(format!(
        "keyroll {command} --emergency roll-first --confirm={name}{}",
        alerted_again(command, asked.alerted_unix_ms)
    )))
}

pub(crate) fn not_opened(error: &JournalError, id: &RotationId) -> Problem {
    let problem = Problem::new(Code::NotPossibleNow, "open the rotation").because_of(error);
    match error {
        JournalError::Held { by } if by != id => held(by),
        JournalError::Held { .. } | JournalError::Conflict { .. } => problem
            .because("this plan was already started")
            .help(format!("keyroll status {id}"))
            .exits(Exit::Held),
        JournalError::Fenced { .. }
        | JournalError::Unavailable(_)
        | JournalError::UnknownCommit(_)
        | JournalError::Damaged(_)
        | JournalError::Newer { .. } => problem,
    }
}

pub(crate) fn refuse_stale(saved: &Saved, found: &Inspection) -> Result<(), Problem> {
    let mut lines = saved.seen.differences(&found.saved.seen);
    if saved.from_version != found.saved.from_version {
        lines.push("another version of the secret is current".to_owned());
    }
    // A value that died since the plan needs a recovery, which is another plan with a stated downtime.
    let (before, now) = (saved, &found.saved);
    if (before.recovery, before.denied_is_alive) != (now.recovery, now.denied_is_alive) {
        lines.push("the issuer's answer about the current value has changed".to_owned());
    }
    if before.bound != now.bound {
        lines.push("the issuer reports another id for the current value".to_owned());
    }
    if before.settings != now.settings {
        lines
            .push("the settings of the present key have changed, and the new key would copy them".to_owned());
    }
    // Another region or account, by another login. An emergency may have had no answer.
    if let (Some(before), Some(now)) = (&before.truth, &now.truth)
        && before != now
    {
        lines.push(format!("the source of truth was {before}, and is {now}"));
    }
    lines.extend(bystanders::changed(saved));
    if lines.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(Code::PlanStale, "apply the plan: what it saw has changed");
    let problem = lines.into_iter().fold(problem, Problem::because);
    Err(problem.help(format!("keyroll plan {}", saved.secret)))
}

/// An emergency of a shared key needs a rotation of that key.
pub(crate) fn refuse_emergency(asked: &ApplyOptions, saved: &Saved) -> Result<(), Problem> {
    match (&saved.family, asked.emergency) {
        (Some(Family::Member { from, .. }), Some(_)) => Err(several(from)),
        (Some(Family::End { .. }), Some(_)) => {
            let (id, secret) = (&saved.id, &saved.secret);
            Err(Problem::new(Code::SplitImpossible, format!("revoke the key of {secret} in an emergency"))
                .because("this rotation already revokes it, as soon as no process holds it")
                .help(format!(
                    "keyroll status {id} names what still uses the old key: move it, or accept that it breaks with \
                     keyroll consumer waive, then keyroll resume {id} --confirm={secret}"
                ))
                .exits(Exit::Usage))
        }
        (Some(Family::Leaked { .. }) | None, _) | (Some(_), None) => Ok(()),
    }
}

/// Refuses options of a single rotation for a split.
pub(crate) fn several(secret: &str) -> Problem {
    Problem::new(Code::SplitImpossible, format!("split {secret}"))
        .because("--until and --emergency apply to one rotation, and a split is several")
        .help(format!(
            "keyroll plan {secret}, then keyroll apply PLAN_ID --emergency roll-first: this replaces the \
             shared key without waiting for open rotations"
        ))
        .exits(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;
    use keyroll_rotation::Emergency;

    use super::*;
    use crate::hosts::nobody::Nobody;
    use crate::wiring::issuer::described;

    /// Red where `resume` is named with the time of an alert, as for an incident in an open rotation: it has no such flag.
    #[test]
    fn an_outage_that_nobody_consented_to_is_named_with_the_flags_that_the_command_has() {
        let asked = ApplyOptions {
            emergency: Some(Emergency::RevokeNow),
            alerted_unix_ms: Some(1_767_225_600_000),
            ..ApplyOptions::default()
        };
        let help = |command: &str| {
            consent_to_outage(&asked, "acme", command, &mut Nobody::default()).unwrap_err().help.unwrap()
        };
        let (rest, at) = ("--emergency revoke-now --confirm=acme", "--alerted-at=2026-01-01T00:00:00Z");
        assert_eq!(help("apply 0192"), ["keyroll apply 0192", rest, at].join(" "));
        assert_eq!(help("resume 0192"), ["keyroll resume 0192", rest].join(" "));
        let config = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n";
        let config = Config::parse(config, "/x/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        let refused = refuse_outage(&asked, secret, &described(secret).unwrap(), false, "resume 0192");
        let rolls = "keyroll resume 0192 --emergency roll-first --confirm=acme";
        assert_eq!(refused.unwrap_err().help.as_deref(), Some(rolls));
    }
}
