//! The metrics, by name: what each one means, and its samples at this moment.
//!
//! Labels have names of secrets, owners, recipients, sources and states; never a value, a fingerprint, an id or a path.

use std::collections::BTreeMap;

use keyroll_app::operator::{DueShown, Outcome};
use keyroll_app::records::old_key::unix_s;
use keyroll_app::reports::upkeep::Upkeep;

use crate::counters::Counters;

/// The most samples of one metric: a scrape has a bounded size, whatever the journal has.
const SAMPLES_MAX: usize = 4_000;
/// The states of an incident that is not over.
const STATES: [&str; 3] = ["open", "moving", "waiting"];

/// The labels of a sample, as they are: the library escapes them.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
}

/// A metric with its samples.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
    /// In order, and each set of labels once: Prometheus refuses a sample that comes twice.
    pub(crate) samples: BTreeMap<Labels, u64>,
}

impl Metric {
    pub(crate) fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Counter, samples: BTreeMap::new() }
    }

    pub(crate) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge, samples: BTreeMap::new() }
    }

    /// Adds a sample; the first one with these labels counts.
    pub(crate) fn put(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let labels: Labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if self.samples.len() < SAMPLES_MAX {
            self.samples.entry(labels).or_insert(value);
        }
    }

    /// The same, where the value is known.
    fn put_known(&mut self, labels: &[(&'static str, &str)], value: Option<u64>) {
        if let Some(value) = value {
            self.put(labels, value);
        }
    }

    /// With one sample.
    fn with(mut self, labels: &[(&'static str, &str)], value: u64) -> Self {
        self.put(labels, value);
        self
    }
}

/// What is known of this process. `drivers`: how many it has; `readable`: whether the rest could be read.
pub(crate) fn of_process(counters: &Counters, drivers: usize, readable: bool) -> Vec<Metric> {
    let counts = counters.counted();
    let mut refused = Metric::counter(
        "keyroll_requests_refused_total",
        "Requests that were refused before they were read, by reason.",
    );
    for (reason, count) in &counts.refused {
        refused.put(&[("reason", *reason)], *count);
    }
    let mut alerts =
        Metric::counter("keyroll_alerts_total", "Alerts of leaked keys that were sent to the server.");
    for ((source, result), count) in &counts.alerts {
        alerts.put(&[("source", *source), ("result", *result)], *count);
    }
    let mut notices = Metric::counter("keyroll_notices_total", "Attempts to deliver a notice.");
    for ((recipient, result), count) in &counts.notices {
        notices.put(&[("recipient", recipient.as_str()), ("result", *result)], *count);
    }
    let mut pending = Metric::gauge("keyroll_notices_pending", "Notices that are not delivered yet.");
    for (recipient, count) in &counts.pending {
        pending.put(&[("recipient", recipient.as_str())], *count);
    }
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    vec![
        Metric::gauge("keyroll_build_info", "The version of keyroll; always 1.").with(&version, 1),
        Metric::gauge(
            "process_start_time_seconds",
            "When this process started, in Unix seconds; its counters begin at 0 then.",
        )
        .with(&[], counters.started_s),
        Metric::gauge(
            "keyroll_journal_readable",
            "Whether keyroll.toml, the store, the journal and the incidents could be read; if not, this scrape has only \
             the metrics of the process.",
        )
        .with(&[], u64::from(readable)),
        Metric::gauge(
            "keyroll_drivers",
            "Rotations that a process of this server drives now, or that wait for their turn.",
        )
        .with(&[], u64::try_from(drivers).unwrap_or(u64::MAX)),
        refused,
        alerts,
        notices,
        pending,
    ]
}

/// What stands in the journal, the store and the incidents.
pub(crate) fn of_upkeep(upkeep: &Upkeep) -> Vec<Metric> {
    let mut all = of_secrets(upkeep);
    all.extend(of_rotations(upkeep));
    all.extend(of_ends(upkeep));
    all.extend(of_incidents(upkeep));
    all
}

fn of_secrets(upkeep: &Upkeep) -> Vec<Metric> {
    let mut info = Metric::gauge(
        "keyroll_secret_info",
        "A configured secret, with its owner and whether keyroll rotates it unattended; always 1.",
    );
    let mut added = Metric::gauge(
        "keyroll_secret_value_timestamp_seconds",
        "When the current version of the secret was added, in Unix seconds; missing without a stored value.",
    );
    let mut every = Metric::gauge(
        "keyroll_secret_rotate_every_seconds",
        "The configured interval between two rotations; missing without one.",
    );
    let mut due = Metric::gauge(
        "keyroll_secret_due_timestamp_seconds",
        "When the secret is due for rotation, in Unix seconds; missing without an interval or a stored value.",
    );
    let mut overdue = Metric::gauge(
        "keyroll_secret_overdue",
        "Whether the secret is due for longer than its overdue_after.",
    );
    for one in &upkeep.secrets {
        let secret = ("secret", one.secret.as_str());
        let owner = one.owner.as_deref().unwrap_or_default();
        let unattended = if one.unattended { "true" } else { "false" };
        info.put(&[secret, ("owner", owner), ("unattended", unattended)], 1);
        let row = one.due.as_ref();
        added.put_known(&[secret], row.and_then(|row| row.since_s));
        every.put_known(&[secret], row.map(|row| row.rotate_every_s));
        due.put_known(&[secret], row.and_then(DueShown::due_s));
        overdue.put(&[secret], u64::from(row.is_some_and(|row| row.overdue)));
    }
    vec![info, added, every, due, overdue]
}

fn of_rotations(upkeep: &Upkeep) -> Vec<Metric> {
    let mut open = Metric::gauge(
        "keyroll_rotation_open",
        "A rotation that is open, by the phase that it is in; always 1.",
    );
    let mut waits = Metric::gauge(
        "keyroll_rotation_waits_for_person",
        "Whether the open rotation continues only when an operator acts.",
    );
    let mut waiting =
        Metric::gauge("keyroll_rotation_waiting", "What the open rotation waits for now, by kind; always 1.");
    let mut since = Metric::gauge(
        "keyroll_rotation_waiting_since_timestamp_seconds",
        "Since when the open rotation waits for that, in Unix seconds.",
    );
    let mut began = Metric::gauge(
        "keyroll_rotation_began_timestamp_seconds",
        "When the open rotation began, in Unix seconds.",
    );
    let mut consumers = Metric::gauge("keyroll_rotation_consumers", "The consumers of the open rotation.");
    let mut moved = Metric::gauge(
        "keyroll_rotation_consumers_moved",
        "The consumers of the open rotation that use the new key.",
    );
    let mut owes = Metric::gauge(
        "keyroll_rotation_owes",
        "A rotation that has ended, and whose old key was not seen dead; always 1.",
    );
    for row in &upkeep.rotations {
        let secret = ("secret", row.secret.as_str());
        if row.ended {
            // Where only the issuer's list is owed, the old key is dead.
            if row.owes && !row.unlisted {
                owes.put(&[secret], 1);
            }
            continue;
        }
        let phase = row.phase.map_or("unknown", |phase| phase.word()).replace(' ', "_");
        open.put(&[secret, ("phase", phase.as_str())], 1);
        waits.put(&[secret], u64::from(row.waits_for_person()));
        if let Some(wait) = &row.waiting {
            waiting.put(&[secret, ("kind", wait.kind.word())], 1);
            since.put_known(&[secret], unix_s(&wait.since));
        }
        began.put_known(&[secret], unix_s(&row.began));
        consumers.put(&[secret], u64::try_from(row.units.len()).unwrap_or(u64::MAX));
        moved.put(&[secret], u64::try_from(row.moved).unwrap_or(u64::MAX));
    }
    vec![open, waits, waiting, since, began, consumers, moved, owes]
}

fn of_ends(upkeep: &Upkeep) -> Vec<Metric> {
    let mut counts =
        Metric::counter("keyroll_rotations_total", "Rotations that the journal has, open or ended.");
    for (secret, count) in &upkeep.counts {
        counts.put(&[("secret", secret.as_str())], *count);
    }
    let mut last = Metric::gauge(
        "keyroll_rotation_last_ended_timestamp_seconds",
        "When the last rotation with this outcome ended, in Unix seconds; of the 50 that ended last.",
    );
    // The newest first: it is the one that counts.
    for one in &upkeep.ended {
        last.put(&[("secret", one.secret.as_str()), ("outcome", outcome(one.outcome))], one.ended_s);
    }
    vec![counts, last]
}

fn of_incidents(upkeep: &Upkeep) -> Vec<Metric> {
    let mut open =
        Metric::gauge("keyroll_incidents_open", "Incidents of leaked keys that are not over, by state.");
    for state in STATES {
        let count = upkeep.incidents.iter().filter(|incident| incident.state == state).count();
        open.put(&[("state", state)], u64::try_from(count).unwrap_or(u64::MAX));
    }
    let mut opened = Metric::gauge(
        "keyroll_incident_opened_timestamp_seconds",
        "When the oldest incident that is not over was opened, in Unix seconds; missing without one.",
    );
    let oldest = upkeep.incidents.iter().filter_map(|incident| unix_s(&incident.opened)).min();
    opened.put_known(&[], oldest);
    vec![open, opened]
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::RolledBack => "rolled_back",
        Outcome::Stuck => "stuck",
        Outcome::Paused => "paused",
        Outcome::Debt => "debt",
    }
}

#[cfg(test)]
mod tests {
    use keyroll_app::operator::{OldKeyShown, StatusShown, WaitKind, WaitingShown};
    use keyroll_app::reports::upkeep::EndedShown;

    use super::*;

    #[test]
    fn a_sample_comes_once_and_there_are_not_too_many() {
        let mut metric = Metric::gauge("keyroll_secret_info", "A secret.");
        metric.put(&[("owner", "a\n\"b\"\\c")], 1);
        metric.put(&[("owner", "a\n\"b\"\\c")], 2);
        let only: Vec<_> = metric.samples.iter().collect();
        assert_eq!(only, [(&vec![("owner", "a\n\"b\"\\c".to_owned())], &1)]);
        for number in 0..SAMPLES_MAX * 2 {
            metric.put(&[("owner", number.to_string().as_str())], 1);
        }
        assert_eq!(metric.samples.len(), SAMPLES_MAX);
    }

    #[test]
    fn the_newest_end_of_each_outcome_counts() {
        let ended = |secret: &str, outcome, ended_s| EndedShown {
            rotation: "01a2158d".to_owned(),
            secret: secret.to_owned(),
            outcome,
            ended_s,
            emergency: false,
            cause: None,
            took_s: 1,
        };
        let upkeep = Upkeep {
            ended: vec![
                ended("ring", Outcome::Done, 30),
                ended("ring", Outcome::RolledBack, 20),
                ended("ring", Outcome::Done, 10),
            ],
            counts: BTreeMap::from([("ring".to_owned(), 3)]),
            ..Upkeep::default()
        };
        let all = of_upkeep(&upkeep);
        let samples = |name: &str| -> Vec<u64> {
            all.iter().find(|metric| metric.name == name).unwrap().samples.values().copied().collect()
        };
        assert_eq!(samples("keyroll_rotation_last_ended_timestamp_seconds"), [30, 20]);
        assert_eq!(samples("keyroll_rotations_total"), [3]);
        assert_eq!(samples("keyroll_incidents_open"), [0, 0, 0]);
        assert!(samples("keyroll_incident_opened_timestamp_seconds").is_empty());
        // No id of a rotation is in a label.
        assert!(!format!("{all:?}").contains("01a2158d"));
    }

    fn open(secret: &str, waiting: Option<WaitingShown>) -> StatusShown {
        StatusShown {
            id: "01a2158d".to_owned(),
            secret: secret.to_owned(),
            began: "1970-01-01 00:01:00Z".to_owned(),
            phase: None,
            ended: false,
            owes: false,
            unlisted: false,
            last_s: 0,
            decided: false,
            emergency: None,
            moved: 0,
            units: Vec::new(),
            old_key: OldKeyShown { state: "on", since: None },
            driver: None,
            outcome: None,
            why: None,
            cause: None,
            person: false,
            waiting,
            blocked_by: Vec::new(),
            waived: Vec::new(),
            hosts_back: Vec::new(),
            hosts_not_searched: Vec::new(),
            not_visible: Vec::new(),
            next: None,
            first: None,
        }
    }

    #[test]
    fn the_present_wait_has_its_kind_and_its_beginning() {
        let waiting = WaitingShown {
            what: "the consumer `agent`".to_owned(),
            kind: WaitKind::MintByHand,
            since: "1970-01-01 00:02:00Z".to_owned(),
            until: None,
            person: true,
            forward: None,
            back: None,
            forward_steps: Vec::new(),
            back_steps: Vec::new(),
        };
        let ended = StatusShown { ended: true, ..open("done", Some(waiting.clone())) };
        let rotations = vec![open("ring", Some(waiting)), open("unreadable", None), ended];
        let all = of_upkeep(&Upkeep { rotations, ..Upkeep::default() });
        let samples = |name: &str| all.iter().find(|metric| metric.name == name).unwrap().samples.clone();
        let ring = ("secret", "ring".to_owned());
        let kind = ("kind", "mint_by_hand".to_owned());
        assert_eq!(samples("keyroll_rotation_waiting"), BTreeMap::from([(vec![ring.clone(), kind], 1)]));
        let since = samples("keyroll_rotation_waiting_since_timestamp_seconds");
        assert_eq!(since, BTreeMap::from([(vec![ring], 120)]));
        assert!(!format!("{all:?}").contains("agent"), "no text of a wait is in a label");
    }
}
