//! The required order of events, checked at each effect, each entry and each hold.

use keyroll_engine::DriverState;
use keyroll_rotation::{
    Delivery, Effect, Emergency, Enumeration, Event, Fact, Hold, MintedBy, OldKey, Op, Outcome, Phase,
    Reason, Seq, State, UnitStep, Waived, Which,
};

use crate::calls::DriverRequest;
use crate::heard::unmeasured;
use crate::issuer::OLD;
use crate::look::WholeLook;
use crate::schedule::{Due, Run};

/// Failed attempts to enable the old key, after which the operator looks.
const ENABLES_MAX: u32 = 5;

/// An operator declared an emergency in which the old key is revoked first.
pub(crate) fn is_revoke_now(event: &Event) -> bool {
    matches!(event.fact, Fact::Escalated { mode: Emergency::RevokeNow, pending_compromised: _ })
}

impl Run {
    /// The entry of the intent comes before the effect, the witness before an effect at the issuer or in the store, a
    /// probe before the first use, and Promote before the pull consumers.
    pub(crate) fn check_order(&mut self, effect: &Effect, state: &State) {
        let at = usize::try_from(effect.intent.saturating_sub(1)).ok();
        let entry = at.and_then(|at| self.ledger.ever().get(at));
        if entry.is_none_or(|event| event.fact != Fact::Intended(effect.op.clone())) {
            self.violate("order", format!("{:?} although its intent is not in the journal", effect.op));
        }
        let kept = matches!(effect.op, Op::Promote | Op::Demote | Op::Retire(_));
        if (kept || effect.op.at_issuer()) && self.ledger.witness.1 < effect.intent {
            self.violate("order", format!("{:?} before the witness was brought forward", effect.op));
        }
        self.check_accepted(effect, state, self.ledger.epoch);
        if let Some(what) = self.out_of_order(effect, state).or_else(|| self.before_the_outage(effect)) {
            self.violate("order", format!("{:?} {what}", effect.op));
        }
    }

    fn out_of_order(&self, effect: &Effect, state: &State) -> Option<&'static str> {
        let value = self.world.value_of(Which::New, state);
        let cred = value.and_then(|value| self.world.issuer.by_value(value));
        let unborn = cred.is_some_and(|cred| cred.works_from > self.world.now);
        let pulls = |at: usize| {
            self.world.plan.consumers.get(at).is_some_and(|consumer| consumer.delivery != Delivery::Push)
        };
        let alone = state.phase() != Phase::RollingBack;
        match &effect.op {
            Op::Deliver(_, Which::New) | Op::Apply(_, _, Which::New) | Op::Promote if unborn => {
                Some("before the new value is accepted")
            }
            Op::Deliver(_, Which::New)
                if value.is_some_and(|value| self.world.uncarried.contains(&value)) =>
            {
                Some("writes what its format cannot carry")
            }
            Op::Deliver(file, _) => {
                let mut readers = self.world.plan.consumers.iter().filter(|it| it.files.contains(file));
                readers.any(|it| it.delivery != Delivery::Push).then_some("writes a generated copy")
            }
            Op::Apply(consumer, _, Which::Old) if alone && pulls(consumer.index()) => {
                Some("takes a pull consumer back alone")
            }
            Op::Fetch(consumer) => {
                let toward = state.units().get(consumer.index()).map(|unit| unit.toward);
                let forward = toward == Some(Which::New);
                if !forward && alone {
                    return Some("takes a pull consumer back alone");
                }
                // A fetch that was begun for an abandoned version, or before a rollback, fetches the version that took its
                // place, or that was put back.
                let newest = self.slots.last().map(|it| it.driver.state());
                let back = newest
                    .is_some_and(|state| matches!(state.phase(), Phase::RollingBack | Phase::RolledBack));
                let newest = newest.and_then(|state| self.world.value_of(Which::New, state));
                let current = Some(self.world.store.current());
                let ours = !self.world.store_is_older() && current != newest;
                (forward && ours && !back && value != current).then_some("before Promote")
            }
            Op::Mint if self.world.plan.capabilities.minted_by == MintedBy::Us => {
                let unsealed = state.chosen().is_some_and(|seq| self.world.store.kept(seq).is_none());
                // A request that arrives after the end was sent while its value was sealed; by now the value is
                // dropped.
                let over = matches!(self.last_phase, Phase::Done | Phase::RolledBack);
                (unsealed && !over && !self.world.store_is_older()).then_some("before its value is sealed")
            }
            _ => None,
        }
    }

    /// With *revoke now*, no consumer is moved before the end of the old key is attempted.
    fn before_the_outage(&self, effect: &Effect) -> Option<&'static str> {
        if !matches!(effect.op, Op::Deliver(_, Which::New) | Op::Apply(_, _, Which::New) | Op::Mint) {
            return None;
        }
        let declared = self.ledger.entries.iter().position(is_revoke_now)?;
        let gap = self.world.plan.capabilities.exchanges();
        let later = usize::try_from(effect.intent).is_ok_and(|intent| intent > declared + 1);
        let asked = self.ledger.entries.iter().any(|event| event.fact == Fact::Intended(Op::Revoke));
        let first = later
            && !gap
            && !asked
            && !self.audit.said_revoked
            && self.world.plan.bound
            && self.world.issuer.stands(OLD);
        first.then_some("before the old key is ended, although that was to be first")
    }

    /// A complete look counts from its entry on.
    pub(crate) fn looked_at_all(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let Some(look) = slot.look.take() else { return };
        slot.shown = slot.look_shown.take();
        let look = WholeLook { entry: self.ledger.last(), ..look };
        self.world.look = Some(look);
        self.world.looks.push(look);
    }

    /// The last complete look of a driver, or of any driver, that was written when an effect was asked for: up to the entry
    /// `asked`. The request cannot be recalled: a look that comes while it is under way, as after a waiver, says nothing about
    /// it.
    pub(crate) fn look_known(&self, epoch: Option<u64>, asked: Seq) -> Option<WholeLook> {
        let of_driver = |look: &&WholeLook| epoch.is_none_or(|epoch| look.epoch == epoch);
        let known = |look: &&WholeLook| of_driver(look) && look.entry <= asked;
        self.world.looks.iter().rev().find(known).copied()
    }

    /// The last complete look of a driver.
    pub(crate) fn look_of(&self, epoch: u64) -> Option<&WholeLook> {
        self.world.looks.iter().rev().find(|look| look.epoch == epoch)
    }

    /// A driver asserts nothing. It writes what it heard, its own intent, clock or start, or that no operator answered.
    pub(crate) fn check_told(&mut self, at: usize, event: &Event) {
        let own = matches!(
            event.fact,
            Fact::DriverStarted | Fact::Unanswered | Fact::Clock | Fact::Intended(_) | Fact::Decided(_)
        );
        let Some(slot) = self.slots.get_mut(at).filter(|_| !own) else { return };
        let told = slot.heard.iter().rposition(|fact| match (fact, &event.fact) {
            (fact, written) if *fact == unmeasured(written) => true,
            // An outcome that does not fit its operation is written as unknown.
            (Fact::Ended { intent: one, .. }, Fact::Ended { intent: other, outcome: Outcome::Unknown }) => {
                one == other
            }
            // A look is written with the time that it took; as incomplete where it shows an undeclared holder for the
            // first time, because it does not count then.
            (Fact::Enumerated(told), Fact::Enumerated(written)) => {
                let met = written.instances.iter().any(|it| it.consumer.is_none());
                (written.complete == told.complete || !written.complete && met)
                    && *told == Enumeration { complete: told.complete, took_ms: 0, ..written.clone() }
            }
            _ => false,
        });
        if told.is_none() {
            let what = format!("an entry that nobody told the driver: {:?}", event.fact);
            self.violate("order", what);
        }
    }

    /// The operation of this action, if it moves something and its effect has not ended.
    fn moving(&self, scope: usize) -> Option<Op> {
        match &self.scopes.get(scope)?.asked {
            DriverRequest::Carry(effect, _) if effect.op.moves() => Some(effect.op.clone()),
            _ => None,
        }
    }

    /// The gate is shut while anything is being moved.
    pub(crate) fn check_still(&mut self, at: usize, what: &str) {
        let epoch = self.ledger.epoch;
        let mine = self.slots.get(at).is_some_and(|slot| slot.epoch == epoch);
        let moving = self.due.iter().find_map(|(.., due)| match due {
            Due::Call { slot, scope: Some(scope), .. } if *slot == at => self.moving(*scope),
            _ => None,
        });
        if let Some(op) = moving.filter(|_| mine) {
            self.violate("I4", format!("{what} while {op:?} is carried out"));
        }
    }

    /// Enabling the old key failed for good, or again and again, since it was disabled; the last driver tried it too.
    fn enable_given_up(&self) -> bool {
        let (mut open, mut failed, mut tried) = (None, 0, false);
        for (seq, event) in (1..).zip(&self.ledger.entries) {
            match &event.fact {
                Fact::Intended(Op::Disable) => failed = 0,
                Fact::DriverStarted => tried = false,
                Fact::Intended(Op::Enable) => open = Some(seq),
                Fact::Ended { intent, outcome: Outcome::Failed { retry } } if open == Some(*intent) => {
                    (failed, tried) = (failed + if *retry { 1 } else { ENABLES_MAX }, true);
                }
                _ => {}
            }
        }
        tried && failed >= ENABLES_MAX
    }

    /// Only the operator ends a *stuck* hold; it never turns into a pause before that.
    pub(crate) fn check_hold(&mut self, before: Option<Hold>, after: Option<Hold>) {
        let freed = matches!(before, Some(Hold::Stuck(_))) && !matches!(after, Some(Hold::Stuck(_)));
        let word = self.ledger.entries.last().is_some_and(|event| {
            matches!(
                event.fact,
                Fact::Retried
                    | Fact::AbortAsked
                    | Fact::Escalated { .. }
                    | Fact::HandRevoked
                    | Fact::Waived(Waived::Host(_) | Waived::Gone(_) | Waived::File(_))
            )
        });
        if freed && !word {
            self.violate("I5", format!("{before:?} became {after:?} without a person's word"));
        }
    }

    /// The rollback has lasted for as long as it may at least.
    fn is_back_late(&self) -> bool {
        let policy = &self.world.plan.policy;
        let limit_ms = policy.phase_ms_max.saturating_add(policy.unit_ms_max);
        self.world.now.saturating_sub(self.audit.back_asked) >= limit_ms
    }

    /// What must be true before a rotation is held.
    pub(crate) fn check_standstill(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let state = slot.driver.state();
        let DriverState::Held(hold) = slot.standing else { return };
        let off =
            self.world.issuer.creds.first().is_some_and(|cred| cred.off.is_some() && cred.ended.is_none());
        let bound = match hold {
            Hold::Paused(_) => true,
            // The old key is compromised, or its issuer does not enable it.
            Hold::Stuck(_) => state.emergency().is_none() && !self.enable_given_up(),
        };
        let by_others = self.audit.disabled_unknown();
        // Once the issuer would not enable the key, an operator may have said that it ended.
        let said = self.ledger.ever().iter().any(|event| event.fact == Fact::HandRevoked);
        let ended_by_word = said && state.old_key() == OldKey::Ended;
        if bound && off && !by_others && !ended_by_word && !state.decided() {
            return self.violate("I5", format!("held with the old key disabled: {hold:?}"));
        }
        let left = state.units().iter().zip(&self.world.plan.consumers).any(|(unit, consumer)| {
            let new = consumer
                .files
                .iter()
                .any(|file| !matches!(self.world.file(*file), OLD | crate::issuer::FOREIGN));
            unit.stage == UnitStep::Waiting
                && new
                && consumer.delivery == Delivery::Push
                && !self.world.down(consumer.host)
                && !self.world.is_away(consumer.host)
        });
        let stuck = match hold {
            Hold::Stuck(Reason::Foreign(_)) => true,
            // When the time of the phase ends, the rotation is stuck at a unit whose restart is still tried.
            Hold::Stuck(Reason::Unit(id)) => {
                let failed = state.units().get(id.index()).is_some_and(|unit| unit.stage == UnitStep::Failed);
                failed || !self.is_back_late()
            }
            Hold::Stuck(_) | Hold::Paused(_) => false,
        };
        if state.phase() == Phase::RollingBack && stuck && left {
            self.violate("I5", format!("{hold:?} during a rollback although others could be restored"));
        }
    }
}
