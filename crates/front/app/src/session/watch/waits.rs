use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use keyroll_rotation::{Event as Entry, State, Until, waiting};

use crate::operator::{Event, Operator, duration};
use crate::records::cause::Observations;
use crate::records::hosts_away::AWAY;
use crate::records::plan_names::Called;
use crate::records::waiting::{Same, left_ms, same, what};
use crate::records::{blockers, old_key};
use crate::wall_clock;

/// How often it is looked what is waited for, and how long a wait must last before it is shown.
const LOOK: Duration = Duration::from_secs(1);
const SHOWN: Duration = Duration::from_secs(3);

/// What is waited for, and since when.
pub(super) struct Waits {
    told: Observations,
    /// Each present blocker, since it blocks, and those that were shown.
    blockers: BTreeMap<String, Instant>,
    named: BTreeSet<String>,
    looked: Instant,
    wait: Option<Same>,
    since: Instant,
    shown: bool,
}

impl Waits {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            told: Observations::default(),
            blockers: BTreeMap::new(),
            named: BTreeSet::new(),
            looked: now,
            wait: None,
            since: now,
            shown: false,
        }
    }

    pub(super) fn see(&mut self, entry: &Entry) {
        self.told.see(entry);
    }

    /// Shows what a rotation waits for once it has waited for a while; returns when to look again, milliseconds.
    pub(super) fn show(
        &mut self,
        called: &Called,
        state: &State,
        operator: &mut dyn Operator,
    ) -> Option<u64> {
        let again = u64::try_from(LOOK.as_millis()).ok();
        let now = Instant::now();
        if now.duration_since(self.looked) >= LOOK {
            self.looked = now;
            self.show_wait(called, state, now, operator);
            self.show_blockers(called, state, now, operator);
        }
        again
    }

    /// A wait for the operator is shown by its question or its hold.
    fn show_wait(&mut self, called: &Called, state: &State, now: Instant, operator: &mut dyn Operator) {
        let wait = waiting(state).filter(|wait| wait.until != Until::Person);
        let present = wait.clone().map(|wait| same(state, wait));
        if self.wait != present {
            (self.wait, self.since, self.shown) = (present, now, false);
        }
        let waited_s = now.duration_since(self.since).as_secs();
        let Some(wait) = wait.filter(|_| now.duration_since(self.since) >= SHOWN) else { return };
        let left_s = left_ms(state, &wait).map(|ms| ms / 1000);
        if self.shown {
            let left = left_s.map(|left| format!(", at most {} more", duration(left))).unwrap_or_default();
            return operator.progress(&format!("waiting for {}{left}", duration(waited_s)));
        }
        self.shown = true;
        let unix_ms = u64::try_from(wall_clock::now().timestamp().as_millisecond()).unwrap_or(0);
        let since = unix_ms.saturating_sub(waited_s.saturating_mul(1000));
        operator.event(Event::Waiting {
            what: what(&self.told, called, state, &wait.what),
            seconds_max: left_s,
            since: Some(old_key::clock(since)),
            until: left_s.map(|left| old_key::clock(unix_ms.saturating_add(left.saturating_mul(1000)))),
        });
    }

    /// Shows each blocker of a gate once, after a while; nothing else would show it before the deadline.
    fn show_blockers(&mut self, called: &Called, state: &State, now: Instant, operator: &mut dyn Operator) {
        let all: BTreeMap<String, String> = blockers::all(called, state)
            .into_iter()
            .map(|holder| {
                let what = format!("{}: {}: {}", holder.kind, holder.name, holder.found_by);
                let without = holder.or_else.filter(|_| holder.kind == AWAY);
                let way = std::iter::once(holder.how_to_move).chain(without);
                (what, way.collect::<Vec<_>>().join("; "))
            })
            .collect();
        self.blockers.retain(|what, _| all.contains_key(what));
        for (what, way) in all {
            let since = *self.blockers.entry(what.clone()).or_insert(now);
            if now.duration_since(since) >= SHOWN && self.named.insert(what.clone()) {
                let what = format!("{what}; {way}");
                operator.event(Event::Waiting { what, seconds_max: None, since: None, until: None });
            }
        }
    }
}
