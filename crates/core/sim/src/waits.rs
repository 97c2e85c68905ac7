//! Whatever a rotation waits for ends by the time that it says, or waits for the operator.

use keyroll_rotation::{Awaited, Debt, Hold, Person, Reason, Until, Waiting, waiting};

use crate::schedule::Run;

/// The longest time until the answer comes that ends a wait: a look, and the pause before it.
const ANSWER_MS_MAX: u64 = 6_000;

impl Run {
    /// After every step: the time until which it waits has not passed; and what it waits for now has a way past it.
    pub(crate) fn check_waits(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let state = slot.driver.state();
        if slot.epoch != self.ledger.epoch || state.now().epoch != slot.epoch {
            return;
        }
        let now = state.now().ms;
        match waiting(state) {
            None if !state.ended() => self.violate("L1", "it waits for nothing, and has not ended".into()),
            Some(waits) => {
                if let Until::Ms(until) = waits.until
                    && now > until.saturating_add(ANSWER_MS_MAX)
                {
                    let what =
                        format!("it waits for {:?}, {} ms longer than it said", waits.what, now - until);
                    self.violate("L1", what);
                }
                self.note_wait(at, waits);
            }
            None => {}
        }
    }

    /// A wait begins: looks at the ways past it. Of the waits that end by themselves most name nothing; the others are looked at
    /// where an operator takes the ways.
    fn note_wait(&mut self, at: usize, waits: Waiting) {
        let Some(phase) = self.slots.get(at).map(|slot| slot.driver.state().phase()) else { return };
        if self.awaited.as_ref().is_some_and(|(before, what)| *before == phase && *what == waits.what) {
            return;
        }
        if let Some(coverage) = &mut self.coverage {
            coverage.wait(phase, name(&waits.what));
        }
        let entered = self.awaited.as_ref().is_none_or(|(before, _)| *before != phase);
        let named = entered || matches!(waits.what, Awaited::Unit(..) | Awaited::Phase(_));
        self.awaited = Some((phase, waits.what));
        if waits.until == Until::Person || (named && self.helps()) {
            self.check_way(at);
        }
        if waits.until == Until::Person && self.helps() {
            self.helped.patient = false;
            self.watch_wait();
        }
    }
}

/// What is waited for, in a word or two.
fn name(what: &Awaited) -> &'static str {
    match what {
        Awaited::Hold(Hold::Stuck(Reason::Unit(_))) => "stuck unit",
        Awaited::Hold(Hold::Stuck(Reason::Failed(_))) => "stuck failure",
        Awaited::Hold(Hold::Stuck(Reason::Overdue(_))) => "stuck deadline",
        Awaited::Hold(Hold::Paused(reason) | Hold::Stuck(reason)) => reason_name(*reason),
        Awaited::Person(Person::Consent(_)) => "consent",
        Awaited::Person(Person::MintByHand) => "key by hand",
        Awaited::Person(Person::RevokeByHand) => "end by hand",
        Awaited::Debt(Debt::NotRevoked) => "debt: not revoked",
        Awaited::Debt(Debt::NotDead) => "debt: not dead",
        Awaited::Debt(Debt::NotListed) => "debt: not listed",
        Awaited::Outcome(_) => "outcome",
        Awaited::Operation(_) => "operation",
        Awaited::Begin(_) => "begin",
        Awaited::Unit(..) => "move",
        Awaited::Watch(_) => "watch",
        Awaited::Pause => "pause of the roll",
        Awaited::Phase(_) => "phase",
        Awaited::Answer(_) => "answer",
    }
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Asked => "pause",
        Reason::Holder(_) => "holder",
        Reason::Stranger(_) => "copy",
        Reason::Unsearched(_) => "unsearched",
        Reason::Foreign(_) => "foreign file",
        Reason::Unreadable(_) => "unreadable file",
        Reason::ChangedElsewhere => "changed elsewhere",
        Reason::RefusedUse => "refused use",
        Reason::NewKeyRefused => "new key refused",
        Reason::Consent => "no consent",
        Reason::Unit(_) => "unit",
        Reason::Canary(_) => "canary",
        Reason::Unaccepted(_) => "pending change",
        Reason::Failed(_) => "failure",
        Reason::Overdue(_) => "deadline",
        Reason::LastUseNotShown => "last use",
        Reason::Drifting => "drift",
        Reason::UnknownLabel(_) => "unknown label",
        Reason::Unclear(_) => "unclear outcome",
    }
}
