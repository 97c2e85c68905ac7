//! An operator who does what a rotation names, and nothing else; and the rules about that.
//!
//! N1: after a fault the operator acts a few times, and the rotation has ended without a debt; one that was rolled back ended as
//! it began. N4: a wait is not found again once each way past it was taken. N2 and N3, about what is named, are in `way_checks`.

use keyroll_rotation::{
    Awaited, Event, Fact, Hold, Next, Op, Person, Phase, Reason, State, Step, Until, step,
};

use crate::issuer::OLD;
use crate::schedule::{Due, Run};

/// How often the operator acts at most until the rotation has ended.
const WORDS_MAX: u32 = 16;

/// How often the same wait may be answered, once each way past it was taken.
const ANSWERS_MAX: usize = 3;

/// When the operator says to roll back, after the fault; and once more, if that was lost.
const BACK_MS: u64 = 60;
const BACK_AGAIN_MS: u64 = 2_000;

/// After this time an operator notices that a rotation waits; and after this one, that it still waits for the same. No journal is
/// full for so long.
const NOTICED_MS: u64 = 3_000;
const PATIENT_MS: u64 = 60_000;

impl Run {
    /// Whether the operator does what the rotation names by now.
    pub(crate) fn helps(&self) -> bool {
        self.helped.policy.is_some_and(|policy| self.actions > policy.from_action)
    }

    /// A driver asks for this action. The operator may begin with it.
    pub(crate) fn help_from(&mut self, number: u32) {
        let begins = self.helped.policy.is_some_and(|policy| policy.from_action == number);
        if begins && self.helped.rolls_back() {
            self.later(BACK_MS, Due::TurnBack);
        }
    }

    /// The operator rolls the rotation back, once a driver hears it and as long as that is possible.
    pub(crate) fn turn_back(&mut self) {
        if self.has_aborted() {
            return;
        }
        let Some(at) = self.driving() else { return self.later(BACK_AGAIN_MS, Due::TurnBack) };
        let Some(state) = self.snapshot(at) else { return };
        // An operator waits until it is known whether a key was made: of two logins, the other one may have another password.
        if state.intents().iter().any(|open| open.op == Op::Mint) {
            return self.later(BACK_AGAIN_MS, Due::TurnBack);
        }
        if self.way_of(&state).is_some_and(|way| !way.back.is_empty()) {
            self.say_words(at, &state, &[Next::Abort]);
            self.later(BACK_AGAIN_MS, Due::TurnBack);
        }
    }

    /// The rotation begins to wait for an operator, who looks after a while even if its driver is still busy.
    pub(crate) fn watch_wait(&mut self) {
        self.helped.unanswered = true;
        if !self.helped.watched {
            self.watch_for(NOTICED_MS);
        }
    }

    fn watch_for(&mut self, ms: u64) {
        self.helped.watched = true;
        self.later(ms, Due::Watch);
    }

    /// The operator looks whether the rotation still waits.
    pub(crate) fn look_again(&mut self) {
        self.helped.watched = false;
        let Some(at) = self.driving() else { return self.watch_for(NOTICED_MS) };
        let way = self.snapshot(at).and_then(|state| self.way_of(&state));
        if way.is_none_or(|way| way.until != Until::Person) {
            return;
        }
        let patient = std::mem::take(&mut self.helped.patient);
        if !self.operator_called && (self.helped.unanswered || patient) {
            self.say(|| "     the operator looks again".to_owned());
            self.help(at);
        }
        self.helped.patient = true;
        self.watch_for(PATIENT_MS);
    }

    fn has_aborted(&self) -> bool {
        self.ledger.entries.iter().any(|event| event.fact == Fact::AbortAsked)
    }

    /// The operator finds a rotation that waits for an operator, and takes a way that it names.
    pub(crate) fn help(&mut self, at: usize) {
        let Some(state) = self.snapshot(at) else { return };
        let Some(way) = self.way_of(&state) else {
            self.ended |= state.ended();
            return;
        };
        if way.until != Until::Person {
            return;
        }
        if let Awaited::Person(Person::Consent(digest)) = way.what {
            self.note_question(at, digest);
            self.check_asked(at);
        }
        // Whatever it waits for, keyroll says that the store is an older one.
        self.world.put_back_store();
        let back = self.helped.rolls_back() && !way.back.is_empty() && !self.has_aborted();
        let named = if back { &way.back } else { &way.forward };
        let open: Vec<Step> = named.iter().filter(|step| self.is_open(&state, step)).cloned().collect();
        if open.is_empty() {
            return self.violate("N1", format!("no way past {:?} can be taken: {named:?}", way.what));
        }
        let waits_ms = open.iter().map(|step| self.waits_ms(step)).max().unwrap_or(0);
        if waits_ms > 0 {
            self.operator_called = true;
            return self.later(waits_ms, Due::Operator);
        }
        self.helped.unanswered = false;
        self.helped.words += 1;
        if self.helped.words > WORDS_MAX {
            return self.violate("N1", format!("the operator acted {WORDS_MAX} times: {:?}", way.what));
        }
        let taken = self.helped.answers(state.phase(), &way.what);
        let before = taken.len();
        let attempts = attempts(&way.what, open);
        let untaken = attempts.iter().find(|steps| !taken.contains(&steps.as_slice())).cloned();
        if untaken.is_none() && before >= ANSWERS_MAX && !matches!(way.what, Awaited::Person(_)) {
            // A rollback to a key that another party ended or disabled after it was seen alive: nothing that keyroll names is
            // right without a look at the console, and who looked there says what the key is.
            if state.phase() == Phase::RollingBack && (self.old_is_gone() || self.audit.disabled_unknown()) {
                self.helped.policy = None;
                return;
            }
            return self.violate("N4", format!("{:?} is found again after {before} of {named:?}", way.what));
        }
        let steps = untaken.or_else(|| attempts.last().cloned()).unwrap_or_default();
        self.take(at, &state, &steps);
        self.helped.answered.push((state.phase(), way.what, steps));
    }

    /// Takes ways that may be taken together: what is done outside, then the commands, of which the last is the same.
    fn take(&mut self, at: usize, state: &State, steps: &[Step]) {
        self.say(|| format!("     the operator takes {steps:?}"));
        for first in steps.iter().filter_map(|step| step.first) {
            self.do_outside(at, state, first);
        }
        let mut words: Vec<Next> = Vec::new();
        for step in steps {
            words.extend(step.then.split_last().map(|(_, others)| others).unwrap_or_default());
        }
        words.extend(steps.first().and_then(|step| step.then.last()));
        self.say_words(at, state, &words);
    }

    /// Sends the events of commands to a driver, one command after the other.
    fn say_words(&mut self, at: usize, state: &State, words: &[Next]) {
        let mut then = state.clone();
        for next in words {
            for fact in self.facts_of(&then, *next) {
                let event = Event { at: then.now(), fact: fact.clone() };
                if let Ok((after, _)) = step(&then, &event) {
                    then = after;
                }
                self.tell(at, fact);
            }
        }
    }

    /// The rotation changed its phase. A rollback becomes a roll-out only where nothing can be rolled back to.
    pub(crate) fn note_turn(&mut self, from: Phase) {
        if from != Phase::RollingBack || self.last_phase == Phase::RolledBack {
            return;
        }
        let leaked = self.ledger.entries.iter().any(|event| matches!(event.fact, Fact::Escalated { .. }));
        let refused = !self.world.issuer.stands(OLD) || self.audit.disabled_unknown();
        let outage = self.world.refused_until.iter().any(|until| *until > 0);
        self.helped.turned |= leaked || refused || outage;
    }

    /// N1 for an abort: once it is accepted, the rotation ends as it began.
    pub(crate) fn check_direction(&mut self, state: &State) {
        let asked = self.helped.rolls_back() && self.has_aborted() && !self.helped.turned;
        if asked && state.phase() != Phase::RolledBack {
            self.violate("N1", format!("the rotation was aborted, and ended in {:?}", state.phase()));
        }
    }
}

fn is_overdue(what: &Awaited) -> bool {
    matches!(what, Awaited::Hold(Hold::Paused(Reason::Overdue(_)) | Hold::Stuck(Reason::Overdue(_))))
}

/// What is tried, one after the other: one way after the other. Behind a phase that did not end in time there may be several causes:
/// each is removed, and what cannot be removed is waived after that.
fn attempts(what: &Awaited, open: Vec<Step>) -> Vec<Vec<Step>> {
    if !is_overdue(what) {
        return open.into_iter().map(|step| vec![step]).collect();
    }
    let goes_on = |step: &Step| matches!(step.then.last(), Some(Next::Resume | Next::Retry));
    let (goes, ends): (Vec<Step>, Vec<Step>) = open.into_iter().partition(goes_on);
    let (plain, waivers): (Vec<Step>, Vec<Step>) = goes.into_iter().partition(|step| step.then.len() == 1);
    let mut all = Vec::new();
    if !plain.is_empty() {
        all.push(plain.clone());
    }
    if !waivers.is_empty() {
        all.push(plain.into_iter().chain(waivers).collect());
    }
    all.extend(ends.into_iter().map(|step| vec![step]));
    all
}
