//! Where the issuer shows when a key was last used: a key ends only after it was unused for the whole window.

use keyroll_rotation::{Event, Fact, LastUsed, Op, Phase, Which};

use crate::issuer::{OLD, Value};
use crate::scene::{GRAIN_MS, LAG_MS};
use crate::schedule::Run;

impl Run {
    /// Quiesce ends only if the issuer showed the old key unused for the whole window, or another party ended it.
    pub(crate) fn check_idle(&mut self, at: usize, epoch: u64, from: Phase, to: Phase) {
        let shown = matches!(self.world.plan.capabilities.last_used, LastUsed::PerKey { .. });
        let leaves = from == Phase::Quiesce && matches!(to, Phase::Disable | Phase::Decide);
        let Some(slot) = self.slots.get(at).filter(|_| shown && leaves) else { return };
        let judged = slot.driver.state().emergency().is_none() && slot.epoch == self.ledger.epoch;
        if !judged || !self.world.issuer.stands(OLD) || self.use_is_waived() {
            return;
        }
        let asked = self.world.asked_use.filter(|asked| asked.0 == epoch);
        if self.was_in_use(OLD, asked.map_or(self.world.now, |asked| asked.1)) {
            self.violate("I4", "Quiesce ended while the old key was in use".into());
        }
    }

    /// The key was used in the window before the issuer was asked.
    fn was_in_use(&self, value: Value, asked: u64) -> bool {
        let window = asked.saturating_sub(LAG_MS + 600)..asked.saturating_sub(LAG_MS + 2 * GRAIN_MS);
        self.world.uses_of(value).any(|used| window.contains(&used))
    }

    /// A rollback deletes the new key, which anybody may have: the issuer was asked in this rollback whether it is used, and showed it
    /// unused for the whole window.
    pub(crate) fn used_in_rollback(&self, value: Value) -> Option<&'static str> {
        let shown = matches!(self.world.plan.capabilities.last_used, LastUsed::PerKey { .. });
        let made = self.ledger.entries.iter().rposition(|event| event.fact == Fact::Intended(Op::Mint));
        let since = self.ledger.entries.get(made.unwrap_or(0)..).unwrap_or_default();
        let gives_out = |op: &Op| {
            matches!(
                op,
                Op::Deliver(_, Which::New) | Op::Apply(_, _, Which::New) | Op::Fetch(_) | Op::Promote
            )
        };
        let given_out = since.iter().any(|event| matches!(&event.fact, Fact::Intended(op) if gives_out(op)));
        // What was asked before the first deletion since then counts: the key may have ended with it.
        let moves = |event: &&Event| matches!(&event.fact, Fact::Intended(op) if op.moves());
        let moved = since.iter().rposition(|event| moves(&event)).unwrap_or(0);
        let mut last = since.get(moved..).unwrap_or_default().iter().chain(since);
        let deletes = last.find(|event| event.fact == Fact::Intended(Op::DeleteNew));
        let deletes = deletes.filter(|_| shown && given_out && !self.use_is_waived())?;
        if self.use_was_waived_at(deletes) {
            return None;
        }
        let asked = self.world.asked_use.filter(|asked| asked.0 == deletes.at.epoch);
        let from = self.world.moved_at.max(self.world.rolling_since);
        match asked.filter(|asked| asked.1 >= from) {
            None => {
                Some("the new key is deleted, and the issuer was not asked since everything was restored")
            }
            Some((_, at)) => {
                self.was_in_use(value, at).then_some("the new key is deleted while it is in use")
            }
        }
    }
}
