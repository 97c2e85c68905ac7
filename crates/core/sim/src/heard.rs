//! What an answer of the issuer shows is as old as the moment at which it was given, however late it comes.

use keyroll_rotation::{Event, Fact, LastUse, Phase, Refusals, Waived};

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
    /// The operator waived the last use, which the issuer did not show, and has not shown since. A journal that lost its last
    /// entries may not have its answer.
    pub(crate) fn use_is_waived(&self) -> bool {
        let last = |entries: &[Event]| {
            let is_about = |fact: &Fact| matches!(fact, Fact::Waived(Waived::LastUse) | Fact::LastUsed(_));
            entries.iter().map(|event| &event.fact).rfind(|fact| is_about(fact)).cloned()
        };
        [self.ledger.ever(), self.ledger.entries.as_slice()]
            .into_iter()
            .any(|entries| last(entries) == Some(Fact::Waived(Waived::LastUse)))
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
