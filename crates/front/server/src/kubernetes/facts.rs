//! What the journal, the store and the configuration say of each object's secret.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keyroll_app::installation::Installation;
use keyroll_app::operator::{DueShown, StatusShown, StepShown, WaitingShown};
use keyroll_app::places::Places;
use keyroll_app::problem::Problem;
use keyroll_app::records::saved_plan::Saved;
use keyroll_app::records::versions::versions;
use keyroll_app::reports::operate::{Named, named};
use keyroll_app::reports::upkeep::{EndedShown, Upkeep};
use keyroll_app::wall_clock;
use keyroll_codes::Code;
use keyroll_config::{Config, Secret};
use keyroll_controller::{Ended, Open, RotationStatus, SecretRotation, Value, Waits};

use super::ways::Rotation;
use crate::answer::old_key;
use crate::consent_text::consent_text;
use crate::notices::rfc3339;

/// What is known of one secret.
pub(super) struct Facts {
    pub(super) consumers: Vec<(String, String)>,
    pub(super) value: Option<Value>,
    pub(super) open: Option<Open>,
    pub(super) last: Option<Ended>,
    /// What the object shows and the state folder does not have: a rotation, or the version that was current, `v4`.
    pub(super) lost: Option<String>,
    /// What became of the plan that was made for the object.
    pub(super) planned: Planned,
    /// How many must approve the end of an old key.
    pub(super) approvals: u8,
}

impl Facts {
    /// The rotation that ended last.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last.as_ref().map(|last| last.id.as_str())
    }

    /// The rotation that is open, or the one that ended last: it changes whenever a rotation begins or ends.
    pub(super) fn point(&self) -> Option<String> {
        let open = self.open.as_ref().map(|open| format!("{} is open", open.shown.id));
        open.or_else(|| self.last_id().map(str::to_owned))
    }
}

/// How far a plan is that an object's status names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planned {
    /// It is a rotation by now.
    Begun,
    /// It can be applied.
    Waits,
    /// There is no such plan, or none was made.
    Gone,
    /// It is of another secret: somebody wrote it into the status.
    Foreign,
}

/// Now as RFC 3339, to the second.
pub(super) fn now() -> String {
    let now = wall_clock::now().timestamp().as_second();
    time(u64::try_from(now).unwrap_or_default()).unwrap_or_default()
}

/// Unix seconds as RFC 3339.
pub(super) fn time(at_s: u64) -> Option<String> {
    Timestamp::from_second(i64::try_from(at_s).ok()?).ok().map(|at| at.to_string())
}

/// The facts of each object, by its secret. What cannot be read of one hides none of the others.
///
/// # Errors
/// The configuration cannot be read.
pub(super) fn facts(
    objects: &[SecretRotation],
    upkeep: &Upkeep,
    installation: &Installation,
) -> Result<BTreeMap<String, Result<Facts, Problem>>, Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    let of = |object: &SecretRotation| facts_of(object, upkeep, &config, &places);
    Ok(objects.iter().map(|object| (object.secret(), of(object))).collect())
}

fn facts_of(
    object: &SecretRotation,
    upkeep: &Upkeep,
    config: &Config,
    places: &Places,
) -> Result<Facts, Problem> {
    let name = object.secret();
    let secret = config.secrets.get(name.as_str());
    let row = upkeep.rotations.iter().find(|row| row.secret == name && !row.ended);
    let approvals = config.server.as_ref().map_or(1, |server| server.approvals);
    let facts = Facts {
        consumers: secret.map(consumers).unwrap_or_default(),
        value: secret.map(|secret| value(secret, upkeep, places)).transpose()?.flatten(),
        open: row.map(|row| open(row, approvals, places)).transpose()?,
        last: last(object, &name, upkeep, places)?,
        lost: None,
        planned: planned(object, places)?,
        approvals,
    };
    let lost = match unknown_rotation(object, &facts, upkeep, places)? {
        Some(lost) => Some(lost),
        // The version that was current is in no store.
        None => object
            .status
            .version
            .clone()
            .filter(|_| secret.is_some() && facts.value.is_none() && facts.open.is_none()),
    };
    Ok(Facts { lost, ..facts })
}

fn consumers(secret: &Secret) -> Vec<(String, String)> {
    let all = secret.consumers.iter().filter_map(|consumer| {
        let its = consumer.in_cluster.as_ref()?;
        Some((consumer.name.to_string(), format!("{}/{}", its.kind.word(), its.workload)))
    });
    all.collect()
}

fn value(secret: &Secret, upkeep: &Upkeep, places: &Places) -> Result<Option<Value>, Problem> {
    let all = versions(places, secret)?;
    let Some(current) = all.iter().find(|version| version.label == "current") else { return Ok(None) };
    let kept = upkeep.secrets.iter().find(|kept| kept.secret == secret.name.as_str());
    let due = kept.and_then(|kept| kept.due.as_ref());
    let why = |due: &DueShown| {
        let failed = due.failed.as_ref().map(|failed| failed.why.clone());
        let alone =
            (!due.unattended).then(|| "it does not begin by itself without a standing consent".to_owned());
        due.shut.clone().or(failed).or(alone)
    };
    Ok(Some(Value {
        version: u32::try_from(current.version).unwrap_or(u32::MAX),
        since: due.and_then(|due| time(due.since_s?)),
        due: due.and_then(|due| time(due.due_s()?)),
        overdue: due.filter(|due| due.due()).map(why),
    }))
}

/// The word of a serde enum.
fn word(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

fn open(row: &StatusShown, approvals: u8, places: &Places) -> Result<Open, Problem> {
    let Named { row, held, stuck, consent, waived } = named(&row.id, places)?;
    let waits = row.waiting.as_ref().map(|waiting| Waits {
        what: waiting.what.clone(),
        since: rfc3339(&waiting.since),
        until: waiting.until.as_deref().map(rfc3339),
        person: waiting.person,
        ..Waits::default()
    });
    let rotation = Rotation { id: &row.id, secret: &row.secret, approvals };
    let ways = |steps: fn(&WaitingShown) -> &[StepShown]| {
        row.waiting.as_ref().map(|waiting| rotation.ways(steps(waiting))).unwrap_or_default()
    };
    let phase = row.phase.as_ref().and_then(word);
    Ok(Open {
        forward: ways(|waiting| waiting.forward_steps.as_slice()),
        back: ways(|waiting| waiting.back_steps.as_slice()),
        rolls_back: phase.as_deref() == Some("rolling_back"),
        confirm: consent_text(&row.id, &waived),
        consent,
        held: held.then(|| row.why.clone().unwrap_or_else(|| "it is paused".to_owned())),
        stuck,
        blockers: row.blocked_by.iter().map(|holder| rotation.blocking(holder)).collect(),
        stages: row.units.iter().map(|unit| (unit.name.clone(), unit.stage.clone())).collect(),
        shown: RotationStatus {
            began: rfc3339(&row.began),
            phase,
            old_key: old_key(&row).to_owned(),
            moved: row.moved,
            of: row.units.len(),
            driven: row.driver.is_some(),
            waits,
            id: row.id,
        },
    })
}

fn ended(shown: &EndedShown) -> Ended {
    Ended {
        id: shown.rotation.clone(),
        outcome: shown.outcome.word().to_owned(),
        ended: time(shown.ended_s).unwrap_or_default(),
        cause: shown.cause.clone(),
    }
}

/// The rotation that ended last. Of very many the list has only the newest: then what the object shows counts on.
fn last(
    object: &SecretRotation,
    secret: &str,
    upkeep: &Upkeep,
    places: &Places,
) -> Result<Option<Ended>, Problem> {
    if let Some(shown) = upkeep.ended.iter().find(|shown| shown.secret == secret) {
        return Ok(Some(ended(shown)));
    }
    let Some(shown) = &object.status.rotation else { return Ok(object.status.last_rotation.clone()) };
    match known(&shown.id, secret, places)? {
        Some(row) if row.ended => Ok(Some(Ended {
            outcome: row.outcome.map_or_else(|| "ended".to_owned(), |outcome| outcome.word().to_owned()),
            ended: time(row.last_s).unwrap_or_default(),
            cause: row.cause,
            id: row.id,
        })),
        Some(_) | None => Ok(object.status.last_rotation.clone()),
    }
}

/// A rotation of this secret as the journal has it; none if it does not. What a status names may be anything.
fn known(id: &str, secret: &str, places: &Places) -> Result<Option<StatusShown>, Problem> {
    match named(id, places) {
        Ok(named) => Ok(Some(named.row).filter(|row| row.id == id && row.secret == secret)),
        Err(problem) if matches!(problem.code, Code::NameNotFound | Code::UsageWrong) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// A rotation that the object shows, and that the journal does not have. A journal keeps every rotation, so its state folder
/// is another one, or was set back.
fn unknown_rotation(
    object: &SecretRotation,
    facts: &Facts,
    upkeep: &Upkeep,
    places: &Places,
) -> Result<Option<String>, Problem> {
    let open = facts.open.as_ref().map(|open| open.shown.id.as_str());
    let is_listed = |id: &str| open == Some(id) || upkeep.ended.iter().any(|ended| ended.rotation == id);
    let status = &object.status;
    let shown = status.rotation.as_ref().map(|shown| &shown.id);
    let all = shown.into_iter().chain(status.last_rotation.as_ref().map(|last| &last.id));
    for id in all.filter(|id| !id.is_empty() && !is_listed(id)) {
        // `v4` is a version: it stands there until it is forgotten.
        if known(id, &object.secret(), places)?.is_none() {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

fn planned(object: &SecretRotation, places: &Places) -> Result<Planned, Problem> {
    let Some(plan) = &object.status.asked.plan else { return Ok(Planned::Gone) };
    let ended = object.status.last_rotation.as_ref().is_some_and(|last| last.id == *plan);
    if ended || known(plan, &object.secret(), places)?.is_some() {
        return Ok(Planned::Begun);
    }
    // It becomes the name of a file.
    if !plan.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Planned::Foreign);
    }
    Ok(match Saved::load(places, plan) {
        Ok(saved) if saved.id == *plan && saved.secret == object.secret() => Planned::Waits,
        Ok(_) => Planned::Foreign,
        Err(_) => Planned::Gone,
    })
}
