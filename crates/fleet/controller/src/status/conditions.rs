//! The conditions of an object: always all of them, in the same order.

use std::collections::BTreeSet;

use super::drifted::{DRIFTED, drifted};
use super::said::{FALSE, MESSAGE_BYTES_MAX, Said, TRUE, UNKNOWN, said};
use crate::cut::cut;
use crate::object::{Blocker, Condition, Phase, Pods, SecretRotation, Status, json_bytes};
use crate::refusal::SHOWN_BYTES_MAX;
use crate::standing::{Accepted, Open, Standing};

/// The longest message about the mistakes of a `spec`: all that a refusal shows, behind how it is said.
const MISTAKES_BYTES_MAX: usize = SHOWN_BYTES_MAX + 196;
/// The longest message about blockers.
const BLOCKED_BYTES_MAX: usize = 4_096;
/// What is kept for saying how many blockers are left out.
const MORE_BYTES_MAX: usize = 32;
/// The most blockers that a message names.
const NAMED_MAX: usize = 10;

/// The conditions of keyroll, in their order.
const KINDS: [&str; 7] = ["Accepted", "ValueKnown", "Rotating", "Blocked", "PodsCurrent", DRIFTED, "Ready"];
/// The most conditions of other writers that are kept.
const FOREIGN_MAX: usize = 20;
/// The largest of them, as JSON.
const FOREIGN_BYTES_MAX: usize = 1_024;

/// The conditions; `status` has everything else already.
pub(super) fn conditions(object: &SecretRotation, standing: &Standing, status: &Status) -> Vec<Condition> {
    let (accepted, known) = (accepted(standing), value_known(standing));
    let (rotating, blocked) = (rotating(standing, status), blocked(standing, status));
    let ready = ready(status, [(&accepted, TRUE), (&known, TRUE), (&rotating, FALSE), (&blocked, FALSE)]);
    let (pods, drifted) = (pods_current(standing), drifted(object, standing));
    let all = [accepted, known, rotating, blocked, pods, drifted, ready];
    KINDS.into_iter().zip(all).map(|(kind, said)| dated(object, standing, kind, said)).collect()
}

/// Whether it is one of keyroll's, and not one of another writer.
pub(super) fn is_own(condition: &Condition) -> bool {
    KINDS.contains(&condition.kind.as_str())
}

/// The conditions of other writers, as they are, in their order.
pub(super) fn foreign(object: &SecretRotation) -> impl Iterator<Item = Condition> {
    let is_kept =
        |one: &&Condition| !one.kind.is_empty() && !is_own(one) && json_bytes(*one) <= FOREIGN_BYTES_MAX;
    object.status.conditions.iter().filter(is_kept).take(FOREIGN_MAX).cloned()
}

/// A condition with its time, which is kept as long as its status is the same.
fn dated(object: &SecretRotation, standing: &Standing, kind: &str, said: Said) -> Condition {
    let before = object.status.condition(kind, said.status);
    let kept = before.filter(|before| !before.last_transition_time.is_empty());
    Condition {
        kind: kind.to_owned(),
        status: said.status.to_owned(),
        reason: said.reason,
        message: said.message,
        last_transition_time: kept.map_or(&standing.now, |before| &before.last_transition_time).clone(),
        observed_generation: object.generation,
    }
}

/// A `spec` cannot be used.
fn refused(reason: &str, message: &str) -> Said {
    Said { status: FALSE, reason: reason.to_owned(), message: cut(message, MISTAKES_BYTES_MAX) }
}

fn accepted(standing: &Standing) -> Said {
    match &standing.accepted {
        Accepted::Yes => said(TRUE, "Accepted", "its spec counts"),
        Accepted::Former(why) => {
            let message =
                format!("its spec cannot be used, and the one that was accepted before counts: {why}");
            refused("InvalidSpecFormerCounts", &message)
        }
        Accepted::No(why) => refused("InvalidSpec", &format!("its spec cannot be used: {why}")),
    }
}

fn value_known(standing: &Standing) -> Said {
    match &standing.value {
        Ok(value) => said(TRUE, "ValueKnown", &format!("v{} is current", value.version)),
        Err(why) => said(FALSE, "NoValue", why),
    }
}

fn rotating(standing: &Standing, status: &Status) -> Said {
    match (&standing.open, &standing.lost) {
        (Some(Open { shown, .. }), _) => {
            let message =
                format!("rotation {}: {} of {} consumers use the new key", shown.id, shown.moved, shown.of);
            said(TRUE, &camel_case(shown.phase.as_deref().unwrap_or_default()), &message)
        }
        (None, Some(_)) => said(UNKNOWN, "JournalLost", &status.message),
        (None, None) if standing.queued.is_some() => {
            said(TRUE, "Queued", standing.queued.as_deref().unwrap_or_default())
        }
        (None, None) => said(FALSE, "Idle", "no rotation is open"),
    }
}

/// A step as a reason: `move_consumers` is `MoveConsumers`.
fn camel_case(step: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        first.to_ascii_uppercase() + rest
    };
    let reason: String = step.split(|it: char| !it.is_ascii_alphanumeric()).map(word).collect();
    if reason.starts_with(|first: char| first.is_ascii_alphabetic()) { reason } else { "Open".to_owned() }
}

/// Why it is blocked, in a word: the first cause.
fn cause(standing: &Standing) -> Option<&'static str> {
    let open = |is: fn(&Open) -> bool| standing.open.as_ref().is_some_and(is);
    let person = standing.queued.is_none();
    let causes = [
        ("JournalLost", standing.lost.is_some()),
        ("NeedsConsent", person && open(|open| open.consent)),
        ("Stuck", person && open(|open| open.stuck)),
        ("Paused", person && open(|open| open.held.is_some())),
        ("NeedsPerson", person && open(Open::needs_person)),
        ("Holders", open(|open| !open.blockers.is_empty())),
        ("AskRefused", standing.asked.refused.is_some()),
    ];
    causes.into_iter().find(|(_, is)| *is).map(|(cause, _)| cause)
}

/// Whether something is in the way, with every blocker.
fn blocked(standing: &Standing, status: &Status) -> Said {
    let Some(cause) = cause(standing) else {
        return said(FALSE, "NothingInTheWay", "nothing is in the way");
    };
    let waits = (status.phase == Phase::Waiting).then_some(status.message.as_str());
    let refused = standing.asked.refused.as_deref();
    let refused = refused.filter(|refused| !waits.unwrap_or_default().contains(*refused));
    let all = standing.open.as_ref().map_or(0, |open| open.blockers.len());
    let holders = (all > 0).then(|| format!("the old key is kept alive by {all}:"));
    let head = [waits, refused, holders.as_deref()].into_iter().flatten();
    let head: Vec<String> = head.map(|line| cut(line, MESSAGE_BYTES_MAX)).collect();
    Said { status: TRUE, reason: cause.to_owned(), message: listed(head.join("\n"), &status.blockers, all) }
}

/// The blockers behind a text, as many as there is room for; `all`: how many there are.
fn listed(mut text: String, blockers: &[Blocker], all: usize) -> String {
    let mut named = 0;
    for Blocker { what, why, next, or_else } in blockers.iter().take(NAMED_MAX) {
        let or_else = or_else.as_ref().map(|other| format!("; or: {other}")).unwrap_or_default();
        let line = format!("\n{what} ({why}): {next}{or_else}");
        if text.len() + line.len() + MORE_BYTES_MAX > BLOCKED_BYTES_MAX {
            break;
        }
        text += &line;
        named += 1;
    }
    match all.saturating_sub(named) {
        0 => text,
        more => format!("{text}\nand {more} more"),
    }
}

/// Whether every container has the value that the Secret has. Where no pod runs, none has another one: a workload that is
/// scaled to zero, or a job between two runs, keeps nobody waiting.
fn pods_current(standing: &Standing) -> Said {
    let seen = match &standing.pods {
        None => return said(UNKNOWN, "NotLookedAt", "the pods were not looked at yet"),
        Some(Err(why)) => {
            return said(UNKNOWN, "NotLookedAt", &format!("the pods could not be looked at: {why}"));
        }
        Some(Ok(seen)) => seen,
    };
    let workloads: BTreeSet<&String> = standing.consumers.iter().map(|(_, workload)| workload).collect();
    let looked: Vec<&Pods> = workloads.iter().filter_map(|workload| seen.get(*workload)).collect();
    let sum = |of: fn(&Pods) -> u32| looked.iter().map(|pods| u64::from(of(pods))).sum::<u64>();
    let (total, current, stale) = (sum(|pods| pods.total), sum(|pods| pods.current), sum(|pods| pods.stale));
    let hidden = total.saturating_sub(current + stale).max(sum(|pods| pods.unknown));
    let left_out = workloads.len() - looked.len();
    let counts = format!(
        "of {total} containers {current} have the current value, {stale} an older one, and of {hidden} it is not visible"
    );
    let unseen = format!("{counts}; {left_out} workloads were not looked at yet");
    let first = [
        (stale > 0, FALSE, "StalePods", counts.as_str()),
        (hidden > 0, UNKNOWN, "NotVisible", counts.as_str()),
        (left_out > 0, UNKNOWN, "NotLookedAt", unseen.as_str()),
        (workloads.is_empty(), UNKNOWN, "NotLookedAt", "no consumer is known"),
        (total == 0, TRUE, "NoPods", "none of its workloads has a pod"),
    ];
    let found = first.into_iter().find(|(is, ..)| *is);
    let (_, status, reason, message) = found.unwrap_or((true, TRUE, "Current", counts.as_str()));
    said(status, reason, message)
}

/// Whether all is well: the first condition that is not as it has to be says why not.
fn ready(status: &Status, needed: [(&Said, &'static str); 4]) -> Said {
    match needed.into_iter().find(|(one, needed)| one.status != *needed) {
        Some((one, _)) => said(FALSE, &one.reason, &one.message),
        None => said(TRUE, if status.phase == Phase::Due { "Due" } else { "Ready" }, &status.message),
    }
}
