//! What became new between two statuses of an object: what its events say.

use crate::cut::cut;
use crate::object::{ConsumerStatus, Ended, Phase, RotationStatus, Status};

/// The longest note of an event. Source: `NoteLengthLimit` of
/// <https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/events.go>.
pub(crate) const NOTE_BYTES_MAX: usize = 1_024;
/// The most news of one change.
const NEWS_MAX: usize = 20;
/// How `keyroll status` says that a consumer was moved, and proven.
const MOVED: &str = "on the new key";

/// Something that became new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// A person should look.
    pub warning: bool,
    /// A word in CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}

/// What a status says about one matter: what makes it the same news, and the note.
type Matter = (String, String);

/// One matter: it is news if a status says another thing about it than the one before.
struct Row {
    reason: &'static str,
    warning: bool,
    /// Also of the first status of an object.
    at_first: bool,
    of: fn(&Status) -> Option<Matter>,
}

/// A person should look, also if nothing was said of the object yet.
const fn warning(reason: &'static str, of: fn(&Status) -> Option<Matter>) -> Row {
    Row { reason, warning: true, at_first: true, of }
}

/// It happened.
const fn event(reason: &'static str, of: fn(&Status) -> Option<Matter>) -> Row {
    Row { reason, warning: false, at_first: false, of }
}

/// Every matter but the consumers, which are told last: of the news that are too many, they are left out.
static ROWS: [Row; 12] = [
    warning("SpecRefused", spec_refused),
    Row { at_first: true, ..event("SpecAccepted", spec_accepted) },
    event("RotationDone", |status| ended(status, "done", "is done")),
    Row {
        at_first: false,
        ..warning("RolledBack", |status| ended(status, "rolled back", "was rolled back"))
    },
    warning("DebtLeft", debt_left),
    event("RotationBegan", rotation_began),
    event("ValueAdded", value_added),
    warning("NeedsConsent", |status| blocked(status, |reason| reason == "NeedsConsent")),
    warning("Blocked", |status| blocked(status, |reason| !["NeedsConsent", "AskRefused"].contains(&reason))),
    warning("AskRefused", |status| status.asked.refused.clone().map(|refused| (refused.clone(), refused))),
    warning("PodsStale", pods_stale),
    warning("SecretDrifted", secret_drifted),
];

/// What became new; the consumers come last.
pub fn news(before: &Status, after: &Status) -> Vec<News> {
    let is_first = before.phase == Phase::Pending;
    let rows = ROWS.iter().filter(|row| row.at_first || !is_first).filter_map(|row| {
        let (key, note) = (row.of)(after)?;
        let known = (row.of)(before).is_some_and(|(before, _)| before == key);
        (!known).then(|| told(row.warning, row.reason, &note))
    });
    let moved = if is_first { Vec::new() } else { moved(before, after) };
    rows.chain(moved).take(NEWS_MAX).collect()
}

fn told(warning: bool, reason: &'static str, note: &str) -> News {
    News { warning, reason, note: cut(note, NOTE_BYTES_MAX) }
}

/// Each consumer that uses the new key now.
fn moved(before: &Status, after: &Status) -> Vec<News> {
    let Some(RotationStatus { id, .. }) = &after.rotation else { return Vec::new() };
    let same = before.rotation.as_ref().is_some_and(|before| before.id == *id);
    let is_moved = |one: &ConsumerStatus| one.stage.as_deref() == Some(MOVED);
    let known = |one: &ConsumerStatus| {
        same && before.consumers.iter().any(|was| was.name == one.name && is_moved(was))
    };
    let new = after.consumers.iter().filter(|one| is_moved(one) && !known(one));
    let note = |one: &ConsumerStatus| format!("{} uses the new key of rotation {id}", one.name);
    new.map(|one| told(false, "ConsumerMoved", &note(one))).collect()
}

fn spec_refused(status: &Status) -> Option<Matter> {
    status.condition("Accepted", "False").map(|one| (one.message.clone(), one.message.clone()))
}

/// Each generation that counts.
fn spec_accepted(status: &Status) -> Option<Matter> {
    let generation = status.condition("Accepted", "True")?.observed_generation.to_string();
    let note = format!("generation {generation} of its spec counts");
    Some((generation, note))
}

fn rotation_began(status: &Status) -> Option<Matter> {
    let RotationStatus { id, .. } = status.rotation.as_ref()?;
    Some((id.clone(), format!("rotation {id} began")))
}

fn value_added(status: &Status) -> Option<Matter> {
    let version = status.version.clone()?;
    let note = format!("{version} is current");
    Some((version, note))
}

/// The rotation that ended last, if it ended like this.
fn ended(status: &Status, outcome: &str, how: &str) -> Option<Matter> {
    let Ended { id, cause, .. } = status.last_rotation.as_ref().filter(|last| last.outcome == outcome)?;
    let cause = cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some((id.clone(), format!("rotation {id} {how}{cause}")))
}

fn debt_left(status: &Status) -> Option<Matter> {
    ended(
        status,
        "done with a debt",
        "ended, and its old key is not known to be dead; keyroll status says what to do",
    )
}

/// It is blocked for such a reason; the same one in another rotation is news.
fn blocked(status: &Status, is: fn(&str) -> bool) -> Option<Matter> {
    let one = status.condition("Blocked", "True").filter(|one| is(&one.reason))?;
    let id = status.rotation.as_ref().map(|rotation| rotation.id.as_str()).unwrap_or_default();
    Some((format!("{} {id}", one.reason), one.message.clone()))
}

/// While a rotation moves them, they may be.
fn pods_stale(status: &Status) -> Option<Matter> {
    let one = status.condition("PodsCurrent", "False").filter(|_| status.rotation.is_none())?;
    Some((String::new(), one.message.clone()))
}

/// A Secret holds something else than the current version. The message has since when that is seen: later it is told again.
fn secret_drifted(status: &Status) -> Option<Matter> {
    status.condition("Drifted", "True").map(|one| (one.message.clone(), one.message.clone()))
}

#[cfg(test)]
mod tests;
