//! What an answer of the issuer shows is as old as the moment at which it was given, however late it comes.

use keyroll_rotation::{Event, Fact, LastUse, Phase, Refusals, State, Waived, step};

use crate::quirks::Quirk;
use crate::schedule::Run;

/// A fact as the shell told it: the driver measures how long the answer was waited for.
pub(crate) fn unmeasured(fact: &Fact) -> Fact {
    match fact {
        Fact::LastUsed(seen) => Fact::LastUsed(LastUse { took_ms: 0, ..*seen }),
        Fact::Refusals { count, took_ms: _ } => Fact::Refusals { count: *count, took_ms: 0 },
        other => other.clone(),
    }
}

impl Run {
    /// The operator waived the last use of the key that ends: the issuer did not show it, and has not shown it since. A waiver from
    /// before the rotation was turned round was about the other key. A journal that lost its last entries may not have the answer.
    pub(crate) fn use_is_waived(&self) -> bool {
        let journals = [self.ledger.ever(), self.ledger.entries.as_slice()];
        journals.into_iter().any(|entries| self.is_use_waived_in(entries))
    }

    /// The same when this entry was written: what the rotation is told later changes nothing about what was begun then.
    pub(crate) fn use_was_waived_at(&self, entry: &Event) -> bool {
        let entries = self.ledger.entries.as_slice();
        let at = entries.iter().rposition(|event| event == entry);
        at.and_then(|at| entries.get(..at)).is_some_and(|before| self.is_use_waived_in(before))
    }

    fn is_use_waived_in(&self, entries: &[Event]) -> bool {
        let is_about =
            |event: &Event| matches!(event.fact, Fact::Waived(Waived::LastUse) | Fact::LastUsed(_));
        let Some(last) = entries.iter().rposition(is_about) else { return false };
        let waived = entries.get(last).is_some_and(|event| event.fact == Fact::Waived(Waived::LastUse));
        waived && !self.turns_after(last, entries)
    }

    /// Whether the rotation is turned round after this entry: a rollback begins, or is given up.
    fn turns_after(&self, last: usize, entries: &[Event]) -> bool {
        let Ok(mut state) = State::open(self.ledger.plan.clone(), self.ledger.opened) else { return false };
        for (at, event) in entries.iter().enumerate() {
            let Ok((next, _)) = step(&state, event) else { return false };
            let goes_back = |it: &State| matches!(it.phase(), Phase::RollingBack | Phase::RolledBack);
            let [before, after] = [&state, &next].map(goes_back);
            if at > last && before != after {
                return true;
            }
            state = next;
        }
        false
    }

    /// Refused uses were asked for in this epoch: the record was read at this moment. What a driver reads that was replaced counts
    /// for nothing.
    pub(crate) fn read_record(&mut self, epoch: u64) {
        if self.audit.record_read.is_none_or(|(before, _)| before <= epoch) {
            self.audit.record_read = Some((epoch, self.world.now));
        }
    }

    /// The soak ends only if the record of refused uses was read after the whole of it.
    pub(crate) fn check_soaked(&mut self, at: usize, from: Phase, to: Phase) {
        let Some(slot) = self.slots.get(at).filter(|_| (from, to) == (Phase::Soak, Phase::Decide)) else {
            return;
        };
        // The driver that ended the soak may have died before it learned so.
        let epoch = slot.driver.state().now().epoch;
        if slot.epoch != self.ledger.epoch || slot.driver.state().emergency().is_some() {
            return;
        }
        let soak_ms = self.world.plan.policy.soak_ms;
        if let Some(off) = self.off_since()
            && self.read_by(epoch).is_none_or(|read| read < off + soak_ms)
        {
            self.violate("I4", "the soak ended, and nobody read the refused uses at its end".into());
        }
    }

    /// The point of no return is passed only if the record was read after the look that it rests on.
    pub(crate) fn check_read_before_the_end(&mut self, epoch: u64, emergency: bool) {
        let look = self.look_of(epoch).map_or(0, |look| look.at);
        let late = self.read_by(epoch).is_none_or(|read| read < look);
        if !emergency && self.off_since().is_some() && late {
            self.violate("I4", "decided although the refused uses were read before the last look".into());
        }
    }

    fn read_by(&self, epoch: u64) -> Option<u64> {
        self.audit.record_read.filter(|read| read.0 == epoch).map(|read| read.1)
    }

    /// Since when the old key is disabled by us, where refused uses of it are visible. The lists of an issuer that is
    /// slower than it declares show it enabled.
    fn off_since(&self) -> Option<u64> {
        let shown = !self.audit.disabled_by_others && !self.world.scene.quirks.has(Quirk::SlowIssuer);
        let visible = shown && self.world.plan.capabilities.refusals != Refusals::NotVisible;
        self.world.issuer.creds.first().filter(|cred| visible && cred.ended.is_none())?.off
    }
}
