//! What an object is shown: its status, made of what keyroll knows.

mod commands;
mod conditions;
mod drifted;
mod said;

use std::collections::BTreeMap;

use crate::cut::cut;
use crate::object::{
    Blocker, ConsumerStatus, Phase, Pods, RotationStatus, SecretRotation, Status, Waits, json_bytes,
};
use crate::standing::{Accepted, Blocking, Open, Standing};
use crate::way::Way;
use commands::Commands;
use conditions::{conditions, foreign, is_own};
use drifted::in_short;

/// The largest status, as JSON. With its lists an object stays far below what the API server and keyroll take.
const STATUS_BYTES_MAX: usize = 64 * 1_024;
/// The longest message.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// The longest reason of a refusal or of a rollback.
const REASON_BYTES_MAX: usize = 1_000;
/// The longest other text of a status.
const TEXT_BYTES_MAX: usize = 512;
/// The longest message of a condition in a status that would be too large otherwise.
const SHORT_BYTES_MAX: usize = 256;
/// The longest ways past a wait.
const WAYS_BYTES_MAX: usize = 1_000;
/// The longest ways, or command, in the message: with two of them there is room for why.
const WAYS_IN_MESSAGE_BYTES_MAX: usize = 440;
/// The most consumers that are shown.
const CONSUMERS_MAX: usize = 100;
/// The most blockers that are shown.
const BLOCKERS_MAX: usize = 20;

/// What an object is shown.
pub fn status(object: &SecretRotation, standing: &Standing) -> Status {
    let commands = Commands::new(object, standing);
    let value = standing.value.as_ref().ok();
    let mut status = Status {
        observed_generation: object.generation,
        phase: phase(standing),
        secret: object.secret(),
        version: value.map(|value| format!("v{}", value.version)),
        since: value.and_then(|value| value.since.clone()),
        due: value.and_then(|value| value.due.clone()),
        rotation: rotation(object, standing, &commands),
        last_rotation: standing.last.clone(),
        consumers: consumers(standing),
        blockers: blockers(standing, &commands),
        asked: standing.asked.clone(),
        ..Status::default()
    };
    let cause = status.last_rotation.as_mut().and_then(|last| last.cause.as_mut());
    for reason in [cause, status.asked.refused.as_mut()].into_iter().flatten() {
        *reason = cut(reason, REASON_BYTES_MAX);
    }
    status.message = message(standing, &commands, &status);
    status.conditions = conditions(object, standing, &status);
    status.conditions.extend(foreign(object));
    shorten(&mut status);
    status
}

/// Whether it would be for nothing to write the one over the other. Conditions of other writers do not count.
pub fn is_same(a: &Status, b: &Status) -> bool {
    let own = |status: &Status| {
        let mut own = status.clone();
        own.conditions.retain(is_own);
        own
    };
    own(a) == own(b)
}

/// Shortens the lists of a status until it is not too large: the longer one first, then what others wrote.
fn shorten(status: &mut Status) {
    while json_bytes(status) > STATUS_BYTES_MAX {
        let Status { consumers, blockers, conditions, .. } = &mut *status;
        if !blockers.is_empty() && blockers.len() >= consumers.len() {
            blockers.truncate(blockers.len() / 2);
        } else if !consumers.is_empty() {
            consumers.truncate(consumers.len() / 2);
        } else if conditions.last().is_some_and(|last| !is_own(last)) {
            conditions.pop();
        } else {
            for one in conditions {
                one.message = cut(&one.message, SHORT_BYTES_MAX);
            }
            return;
        }
    }
}

fn phase(standing: &Standing) -> Phase {
    let open = standing.open.as_ref();
    let overdue = standing.value.as_ref().is_ok_and(|value| value.overdue.is_some());
    let first = [
        (standing.lost.is_some(), Phase::Waiting),
        (standing.queued.is_none() && open.is_some_and(Open::needs_person), Phase::Waiting),
        (open.is_some_and(|open| open.rolls_back), Phase::RollingBack),
        (open.is_some() || standing.queued.is_some(), Phase::Rotating),
        (matches!(standing.accepted, Accepted::No(_)), Phase::Invalid),
        (standing.value.is_err(), Phase::NoValue),
        (matches!(standing.accepted, Accepted::Former(_)), Phase::Invalid),
        (standing.asked.refused.is_some(), Phase::Refused),
        (overdue, Phase::Due),
    ];
    first.into_iter().find(|(is, _)| *is).map_or(Phase::Ready, |(_, phase)| phase)
}

/// The open rotation. One that the journal does not have goes first, and stays until it is forgotten: only the object knows
/// of it.
fn rotation(object: &SecretRotation, standing: &Standing, commands: &Commands<'_>) -> Option<RotationStatus> {
    if let Some(id) = &standing.lost {
        return Some(lost(object, standing, commands, id));
    }
    let open = standing.open.as_ref()?;
    let shown = |waits: Waits| Waits {
        what: cut(&waits.what, TEXT_BYTES_MAX),
        forward: Some(commands.past(&open.forward, WAYS_BYTES_MAX)),
        back: back(open, commands),
        ..waits
    };
    Some(RotationStatus { waits: waits(object, standing, open).map(shown), ..open.shown.clone() })
}

/// The way to roll it back, if there is one.
fn back(open: &Open, commands: &Commands<'_>) -> Option<String> {
    (!open.back.is_empty()).then(|| commands.past(&open.back, TEXT_BYTES_MAX))
}

/// What it waits for, without the commands. Where a person is needed it always waits for something.
fn waits(object: &SecretRotation, standing: &Standing, open: &Open) -> Option<Waits> {
    let held = || {
        let what = open.held.as_deref().unwrap_or("your consent to revoke the old key").to_owned();
        Waits { since: since(object, standing, &what), what, person: true, ..Waits::default() }
    };
    open.shown.waits.clone().or_else(|| open.needs_person().then(held))
}

/// A rotation that the journal does not have: what was seen of it last, and how to have done with it.
fn lost(object: &SecretRotation, standing: &Standing, commands: &Commands<'_>, id: &str) -> RotationStatus {
    let what = "you: keyroll's journal does not have it".to_owned();
    let seen = object.status.rotation.clone().filter(|rotation| rotation.id == id);
    let waits = Waits {
        since: since(object, standing, &what),
        what,
        person: true,
        forward: Some(commands.forget(id)),
        ..Waits::default()
    };
    RotationStatus {
        id: id.to_owned(),
        old_key: "unknown".to_owned(),
        driven: false,
        waits: Some(waits),
        ..seen.unwrap_or_default()
    }
}

/// Since when the object shows that it waits for this.
fn since(object: &SecretRotation, standing: &Standing, what: &str) -> String {
    let before = object.status.rotation.as_ref().and_then(|rotation| rotation.waits.as_ref());
    before
        .filter(|waits| waits.what == cut(what, TEXT_BYTES_MAX))
        .map_or_else(|| standing.now.clone(), |waits| waits.since.clone())
}

fn consumers(standing: &Standing) -> Vec<ConsumerStatus> {
    let none = BTreeMap::<String, Pods>::new();
    let pods = standing.pods.as_ref().and_then(|pods| pods.as_ref().ok()).unwrap_or(&none);
    let stage = |name: &str| standing.open.as_ref().and_then(|open| open.stages.get(name));
    let shown = |(name, workload): &(String, String)| ConsumerStatus {
        name: name.clone(),
        workload: workload.clone(),
        stage: stage(name).map(|stage| cut(stage, TEXT_BYTES_MAX)),
        pods: pods.get(workload).cloned(),
    };
    standing.consumers.iter().take(CONSUMERS_MAX).map(shown).collect()
}

fn blockers(standing: &Standing, commands: &Commands<'_>) -> Vec<Blocker> {
    let Some(open) = &standing.open else { return Vec::new() };
    let past = |ways: &[Way]| commands.past(ways, TEXT_BYTES_MAX);
    let shown = |blocking: &Blocking| {
        let (first, others) = blocking.ways.split_at(blocking.ways.len().min(1));
        Blocker {
            what: cut(&blocking.what, TEXT_BYTES_MAX),
            why: cut(&blocking.why, TEXT_BYTES_MAX),
            next: past(first),
            or_else: (!others.is_empty()).then(|| past(others)),
        }
    };
    open.blockers.iter().take(BLOCKERS_MAX).map(shown).collect()
}

/// How it stands, and what else a person has to know where there is room for it: the conditions have all of it.
fn message(standing: &Standing, commands: &Commands<'_>, status: &Status) -> String {
    let mut message = stands(standing, commands, status);
    for more in besides(standing, commands) {
        let more = cut(&more, MESSAGE_BYTES_MAX);
        if message.len() + "; ".len() + more.len() <= MESSAGE_BYTES_MAX {
            message = format!("{message}; {more}");
        }
    }
    message
}

/// How it stands, with the next commands. Why is cut before a command is.
fn stands(standing: &Standing, commands: &Commands<'_>, status: &Status) -> String {
    let id = status.rotation.as_ref().map(|rotation| rotation.id.as_str()).unwrap_or_default();
    let (said, ways) = match status.phase {
        Phase::Waiting => waiting(standing, commands, status),
        Phase::Rotating | Phase::RollingBack if standing.queued.is_some() => {
            (standing.queued.clone().unwrap_or_default(), Vec::new())
        }
        Phase::Rotating => (goes_on("goes on", status), Vec::new()),
        Phase::RollingBack => (goes_on("is rolled back", status), Vec::new()),
        Phase::Invalid if matches!(standing.accepted, Accepted::No(_)) => (
            format!("its spec cannot be used: {}", standing.accepted.why()),
            vec![("change it", commands.edit())],
        ),
        Phase::NoValue => {
            let why = standing.value.as_ref().err().map(String::as_str).unwrap_or_default();
            (format!("keyroll does not have its value: {why}"), Vec::new())
        }
        Phase::Invalid | Phase::Refused | Phase::Due | Phase::Ready | Phase::Pending | Phase::Other => {
            at_rest(standing, commands, status)
        }
    };
    let named =
        |(to, what): Todo| format!("; to {to}: {}", commands.within(what, id, WAYS_IN_MESSAGE_BYTES_MAX));
    let ways: String = ways.into_iter().map(named).collect();
    let room = MESSAGE_BYTES_MAX.saturating_sub(ways.len());
    cut(&format!("{}{ways}", cut(&said, room)), MESSAGE_BYTES_MAX)
}

/// Something to do, and how.
type Todo = (&'static str, String);

/// A rotation that waits for a person.
fn waiting(standing: &Standing, commands: &Commands<'_>, status: &Status) -> (String, Vec<Todo>) {
    let Some(rotation) = &status.rotation else { return (String::new(), Vec::new()) };
    let RotationStatus { id, moved, of, waits, .. } = rotation;
    let waits = waits.clone().unwrap_or_default();
    if standing.lost.is_some() {
        // `v4` is a version, and no rotation.
        let was = if id.starts_with('v') { id.clone() } else { format!("rotation {id}") };
        let said = format!(
            "this object shows {was}, and keyroll's state folder does not have it: give keyroll its state folder again; or if that is lost for \
             good, see that the issuer has no key that nothing uses"
        );
        return (said, waits.forward.map(|forward| ("forget it then", forward)).into_iter().collect());
    }
    let said = match &standing.open {
        Some(Open { consent: true, .. }) => {
            format!(
                "rotation {id} needs your consent to revoke the old key: {moved} of {of} consumers use the new one"
            )
        }
        Some(open @ Open { held: Some(why), .. }) => {
            let how = if open.stuck { "stuck" } else { "paused" };
            format!("rotation {id} is {how}: {why}")
        }
        Some(_) | None => format!("rotation {id} waits for {}", waits.what),
    };
    let forward = |open: &Open| commands.past(&open.forward, WAYS_IN_MESSAGE_BYTES_MAX);
    let ways = [("go on", standing.open.as_ref().map(forward)), ("roll back", waits.back)];
    (said, ways.into_iter().filter_map(|(to, way)| Some((to, way?))).collect())
}

/// A rotation that goes on by itself.
fn goes_on(how: &str, status: &Status) -> String {
    let Some(RotationStatus { id, phase, moved, of, waits, .. }) = &status.rotation else {
        return String::new();
    };
    let step = phase.as_ref().map(|phase| format!(", step {phase}")).unwrap_or_default();
    let waits = waits.as_ref().map(|waits| format!("; it waits for {}", waits.what)).unwrap_or_default();
    format!("rotation {id} {how}{step}: {moved} of {of} consumers use the new key{waits}")
}

/// Nothing is open, and keyroll has the value.
fn at_rest(standing: &Standing, commands: &Commands<'_>, status: &Status) -> (String, Vec<Todo>) {
    let version = status.version.as_deref().unwrap_or_default();
    let due = |before: &str| status.due.as_ref().map(|due| format!("{before}{due}")).unwrap_or_default();
    match standing.value.as_ref().ok().and_then(|value| value.overdue.as_ref()) {
        Some(Some(why)) => {
            let said = format!("{version} is due{}, and is not rotated by itself: {why}", due(" since "));
            (said, vec![("rotate", commands.rotate())])
        }
        Some(None) => (format!("{version} is due{}, and is about to be rotated", due(" since ")), Vec::new()),
        None => (format!("{version} is current{}", due(", and due ")), Vec::new()),
    }
}

/// What a person has to know besides.
fn besides(standing: &Standing, commands: &Commands<'_>) -> Vec<String> {
    let former = match &standing.accepted {
        Accepted::Former(why) => Some(format!(
            "its spec was changed and cannot be used, so the one before counts: {why}; to change it: {}",
            commands.edit()
        )),
        Accepted::Yes | Accepted::No(_) => None,
    };
    let debt = standing.last.as_ref().filter(|last| last.outcome == "done with a debt").map(|last| {
        let id = &last.id;
        format!("the old key of rotation {id} is not known to be dead; what to do: {}", commands.show(id))
    });
    let drift = in_short(standing);
    [standing.asked.refused.clone(), debt, drift, former, standing.base.clone()]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;
