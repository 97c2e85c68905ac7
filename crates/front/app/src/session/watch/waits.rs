use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use keyroll_engine::Pace;
use keyroll_port::Recorded;
use keyroll_rotation::{Awaited, Event as Entry, IntentStatus, Person, Seq, State, Until, Waiting, waiting};

use crate::operator::{Event, Holder, Operator, duration};
use crate::records::cause::Observations;
use crate::records::hosts_away::AWAY;
use crate::records::plan_names::Called;
use crate::records::waiting::{Track, left_ms, what};
use crate::records::ways::meanwhile;
use crate::records::{blockers, old_key, pid_files};
use crate::wall_clock;

/// How often it is looked what is waited for, and how long a wait must last before it is shown: within 3 s of its beginning.
const LOOK: Duration = Duration::from_millis(500);
const SHOWN: Duration = Duration::from_secs(2);

/// What is waited for, and since when.
pub(super) struct Waits {
    told: Observations,
    /// The present wait, as the journal has it; none before the first entry of a rotation whose journal was not read.
    track: Option<Track>,
    /// Since when this driver meets it, and whether it was shown.
    met: Instant,
    shown: bool,
    /// The operator is being asked for the consent.
    asks: bool,
    /// Each present blocker, since it blocks, and those that were shown.
    blockers: BTreeMap<String, Instant>,
    named: BTreeSet<String>,
    looked: Instant,
    began: bool,
    /// The look that was there when this driver began. What it shows may be over: the driver looks again.
    before: Option<Seq>,
    unwritten: Option<Unwritten>,
}

/// The journal cannot be written.
struct Unwritten {
    why: String,
    since: Instant,
    shown: bool,
}

impl Waits {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            told: Observations::default(),
            track: None,
            met: now,
            shown: false,
            asks: false,
            blockers: BTreeMap::new(),
            named: BTreeSet::new(),
            looked: now,
            began: false,
            before: None,
            unwritten: None,
        }
    }

    /// Begins with what other drivers wrote, so that a wait that goes on has its beginning, as in `keyroll status`.
    pub(super) fn begin(&mut self, recorded: &Recorded) {
        recorded.events.iter().for_each(|entry| self.told.see(entry));
        self.track = Track::of(recorded);
    }

    pub(super) fn see(&mut self, entry: &Entry, state: &State) {
        self.told.see(entry);
        self.unwritten = None;
        let now = unix_ms();
        if self.track.get_or_insert_with(|| Track::new(state, now)).see(state, now) {
            (self.met, self.shown) = (Instant::now(), false);
        }
    }

    /// Whether the operator is being asked for the consent now.
    pub(super) fn asks(&mut self, asks: bool) {
        self.asks = asks;
    }

    /// The journal could not be written.
    pub(super) fn see_unwritten(&mut self, why: &str) {
        let one = || Unwritten { why: why.to_owned(), since: Instant::now(), shown: false };
        self.unwritten.get_or_insert_with(one);
    }

    /// Whether the last entry could not be written.
    pub(super) fn is_unwritten(&self) -> bool {
        self.unwritten.is_some()
    }

    /// What blocks, as far as this driver has seen it: what an earlier look showed may be over.
    pub(super) fn blocking(&self, called: &Called, state: &State) -> Vec<Holder> {
        let has_looked = self.began && self.before != seen(state);
        match has_looked {
            true => blockers::all(called, state),
            false => pid_files::refused(called, state),
        }
    }

    /// Shows what a rotation waits for once it has waited for a while; returns when to look again, milliseconds.
    pub(super) fn show(
        &mut self,
        called: &Called,
        state: &State,
        operator: &mut dyn Operator,
    ) -> Option<u64> {
        self.show_at(Instant::now(), called, state, operator)
    }

    fn show_at(
        &mut self,
        now: Instant,
        called: &Called,
        state: &State,
        operator: &mut dyn Operator,
    ) -> Option<u64> {
        let again = u64::try_from(LOOK.as_millis()).ok();
        if !std::mem::replace(&mut self.began, true) {
            self.before = seen(state);
        }
        if now.duration_since(self.looked) >= LOOK {
            self.looked = now;
            if self.is_unwritten() {
                self.show_unwritten(now, operator);
                return again;
            }
            self.show_wait(called, state, now, operator);
            self.show_blockers(called, state, now, operator);
        }
        again
    }

    /// Nothing goes on while the journal cannot be written, whatever else is waited for.
    fn show_unwritten(&mut self, now: Instant, operator: &mut dyn Operator) {
        let Some(unwritten) = &mut self.unwritten else { return };
        let waited = now.duration_since(unwritten.since);
        if waited < SHOWN {
            return;
        }
        if std::mem::replace(&mut unwritten.shown, true) {
            return operator.progress(&format!("waiting for {}", duration(waited.as_secs())));
        }
        let leave = duration(Pace::default().leave_ms_max / 1000);
        operator.event(Event::Waiting {
            what: format!("the journal ({})", unwritten.why),
            seconds_max: None,
            since: Some(ago(waited.as_secs())),
            until: None,
            forward: Some(format!(
                "keyroll doctor looks at the state folder; keyroll goes on once it can be written. Ctrl-C or SIGTERM ends this \
                 process within {leave} after the step in progress"
            )),
            back: None,
        });
    }

    /// A wait that lasts, with its ways. The question for the consent stands there already.
    fn show_wait(&mut self, called: &Called, state: &State, now: Instant, operator: &mut dyn Operator) {
        let asked = |wait: &Waiting| self.asks && matches!(wait.what, Awaited::Person(Person::Consent(_)));
        let lasts = now.duration_since(self.met) >= SHOWN;
        let Some(wait) = waiting(state).filter(|wait| lasts && !asked(wait)) else { return };
        let Some(since_ms) = self.track.as_ref().map(Track::since_ms) else { return };
        let left_s = left_ms(state, &wait).map(|ms| ms / 1000);
        if self.shown {
            let waited_s = unix_ms().saturating_sub(since_ms) / 1000;
            let left = left_s.map(|left| format!(", at most {} more", duration(left))).unwrap_or_default();
            return operator.progress(&format!("waiting for {}{left}", duration(waited_s)));
        }
        self.shown = true;
        let (forward, back) = meanwhile(called, state);
        operator.event(Event::Waiting {
            what: self.what(called, state, &wait),
            seconds_max: left_s,
            since: Some(old_key::clock(since_ms)),
            until: left_s.map(|left| old_key::clock(unix_ms().saturating_add(left.saturating_mul(1000)))),
            forward: Some(forward),
            back,
        });
    }

    /// What is waited for. What waits for the operator is left by its driver once the operation in progress has ended.
    fn what(&self, called: &Called, state: &State, wait: &Waiting) -> String {
        let words = |awaited: &Awaited| what(&self.told, called, state, awaited);
        let running = state.intents().iter().find(|intent| intent.status == IntentStatus::Running);
        match running.filter(|_| wait.until == Until::Person) {
            Some(intent) => {
                format!("{}; then for {}", words(&Awaited::Operation(intent.seq)), words(&wait.what))
            }
            None => words(&wait.what),
        }
    }

    /// Shows each blocker of a gate once, after a while; nothing else would show it before the deadline.
    fn show_blockers(&mut self, called: &Called, state: &State, now: Instant, operator: &mut dyn Operator) {
        let all: BTreeMap<String, String> = self
            .blocking(called, state)
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
                operator.event(Event::waiting(format!("{what}; {way}"), None));
            }
        }
    }
}

/// The place of the last look in the journal.
fn seen(state: &State) -> Option<Seq> {
    state.look().map(|look| look.seq)
}

fn unix_ms() -> u64 {
    u64::try_from(wall_clock::now().timestamp().as_millisecond()).unwrap_or(0)
}

/// The time so many seconds ago.
fn ago(seconds: u64) -> String {
    old_key::clock(unix_ms().saturating_sub(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{ConsumerId, Fact, Op, UnitStep, Want, Which, wants};

    use super::*;
    use crate::hosts::nobody::Nobody;
    use crate::records::recorded::of_walk;
    use crate::records::walk::{Walk, plan};

    /// A wait as it is shown: for what, since when, and the ways past it.
    type Shown = (String, Option<String>, Option<String>, Option<String>);

    /// What is shown of the present wait 1, 3 and 5 s after a time that is so many seconds from now.
    fn shown(waits: &mut Waits, walk: &Walk, from_s: u64) -> Vec<Shown> {
        let called = Called::of_rotation("0192", "acme");
        let mut operator = Nobody::default();
        for seconds in [1, 3, 5] {
            let now = Instant::now() + Duration::from_secs(from_s + seconds);
            waits.show_at(now, &called, &walk.state, &mut operator);
        }
        let shown = operator.waits.into_iter().filter_map(|event| {
            let Event::Waiting { what, since, forward, back, .. } = event else { return None };
            Some((what, since, forward, back))
        });
        shown.collect()
    }

    #[test]
    fn a_wait_that_a_driver_takes_over_has_its_beginning_and_what_was_seen() {
        let mut walk = Walk::of(plan());
        walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
        walk.say(Fact::Proved { consumer: ConsumerId(0), proofs: Vec::new(), trouble: false });
        let mut waits = Waits::new();
        waits.begin(&of_walk(&walk));
        walk.another_driver();
        waits.see(walk.said.last().unwrap(), &walk.state);
        let status = Track::of(&of_walk(&walk)).unwrap().since_ms();
        let [(what, since, ..)] = <[Shown; 1]>::try_from(shown(&mut waits, &walk, 0)).unwrap();
        assert_eq!(what, "evidence that consumer 0 uses the new key: no process of it was running");
        assert_eq!(since, Some(old_key::clock(status)));
        assert_eq!(status, 1, "the driver before this one began to wait");
    }

    #[test]
    fn a_wait_for_the_operator_is_shown_with_its_ways_and_not_beside_its_question() {
        let consent = |want: &Want| matches!(want, Want::Person(Person::Consent(_)));
        let mut walk = Walk::of(plan());
        walk.until(|state| wants(state).iter().any(consent));
        let mut waits = Waits::new();
        waits.begin(&of_walk(&walk));
        waits.asks(true);
        assert_eq!(shown(&mut waits, &walk, 0), []);
        waits.asks(false);
        let [(_, _, forward, back)] = <[Shown; 1]>::try_from(shown(&mut waits, &walk, 10)).unwrap();
        assert_eq!(forward.as_deref(), Some("keyroll resume 0192 --confirm=acme"));
        assert_eq!(back.as_deref(), Some("keyroll abort 0192"));
    }

    #[test]
    fn a_pause_that_waits_for_the_operation_in_progress_says_so() {
        let restart = Op::Apply(ConsumerId(0), 0, Which::New);
        let mut walk = Walk::of(plan());
        walk.until(|state| wants(state).contains(&Want::Do(restart.clone())));
        walk.begin(&restart);
        walk.say(Fact::PauseAsked);
        let mut waits = Waits::new();
        waits.begin(&of_walk(&walk));
        let [(what, _, forward, back)] = <[Shown; 1]>::try_from(shown(&mut waits, &walk, 0)).unwrap();
        let both = "the operation in progress: make consumer 0 load the new key; then for you: keyroll was asked to pause";
        assert!(what.starts_with(both), "{what}");
        assert_eq!(forward.as_deref(), Some("keyroll resume 0192"));
        assert_eq!(back.as_deref(), Some("keyroll abort 0192"));
    }
}
