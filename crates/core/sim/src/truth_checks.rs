//! What is done at the simulated source of truth by keyroll and by others, and how it is judged.

use keyroll_port::Class;
use keyroll_rotation::{Effect, Emergency, Event, Fact, Op, Phase, Query, Reconciled, State, Which};

use crate::calls::{Call, CallResult, Scope};
use crate::faults::Fault;
use crate::issuer::{FOREIGN, OLD, Value};
use crate::mutant::Mutation;
use crate::scene::REQUEST_MS_MAX;
use crate::schedule::Run;
use crate::world::World;

/// The longest time for which the source of truth does not answer: longer than a phase may last.
const AWAY_MS_MAX: u64 = 40_000;

impl World {
    /// The value that consumers are given.
    pub(crate) fn given_out(&self) -> Value {
        self.truth.as_ref().map_or_else(|| self.store.current(), |truth| truth.gives)
    }

    /// A call reaches the source of truth.
    pub(crate) fn at_truth(&mut self, call: &Call) -> CallResult {
        let (now, mutation) = (self.now, self.mutation);
        let Some(truth) = &mut self.truth else { return CallResult::Failed(Class::Permanent) };
        if truth.is_away(now) {
            return CallResult::Failed(Class::Retryable);
        }
        match call {
            Call::StageTruth { by, old, new } => truth.stage(*by, *old, *new),
            Call::GiveOut { before, after } => {
                let takes_back = ![OLD, FOREIGN].contains(&truth.gives);
                let answer = truth.give_out(*before, *after, mutation == Mutation::TruthOverwritten);
                self.moved_at = now;
                self.gave_new |= takes_back;
                self.follow(true);
                answer
            }
            Call::Withdraw { by } => truth.withdraw(*by, mutation == Mutation::AnyPendingWithdrawn),
            _ => CallResult::GivenOut(truth.gives),
        }
    }
}

impl Run {
    /// The source of truth does not answer for a while; or another party gives out a value of its own, the old one again or
    /// the pending one, or stages a version.
    pub(crate) fn disturb_truth(&mut self, fault: Fault) {
        let now = self.world.now;
        let Some(truth) = &mut self.world.truth else { return };
        if fault == Fault::TruthAway {
            truth.away_until = now + self.rng.between(500, AWAY_MS_MAX);
            return;
        }
        let before = truth.gives;
        match (self.rng.below(4), truth.pending) {
            (0, _) => truth.gives = FOREIGN,
            (1, Some((Some(_), value))) => (truth.gives, truth.pending) = (value, None),
            (2, None) => truth.pending = Some((None, FOREIGN)),
            _ => truth.gives = OLD,
        }
        if truth.gives != before {
            truth.changed_at = now;
        }
        self.world.follow(false);
    }

    /// Whether the operator rolls back because of what another party did at the source of truth.
    pub(crate) fn goes_back(&mut self, at: usize) -> bool {
        self.rng.one_in(4) && self.can_abort(at)
    }

    /// The operator looks at the source of truth: another party's version makes way for the old one, or for the new one where
    /// consumers have that already.
    pub(crate) fn mend_truth(&mut self, at: usize) {
        let Some(state) = self.snapshot(at) else { return };
        let moved = matches!(state.phase(), Phase::Roll | Phase::Quiesce | Phase::RollingBack);
        let new = self.world.value_of(Which::New, &state).filter(|_| moved && state.new_version().is_some());
        let now = self.world.now;
        let Some(truth) = &mut self.world.truth else { return };
        truth.pending = truth.pending.filter(|(mint, _)| mint.is_some());
        if truth.gives == FOREIGN {
            let gives = new.filter(|_| self.rng.one_in(2)).unwrap_or(OLD);
            (truth.gives, truth.changed_at) = (gives, now);
            // What is given out is pending no more.
            truth.pending = truth.pending.filter(|(_, value)| *value != gives);
        }
        self.world.follow(false);
    }

    /// After a call of keyroll: another party's version is as it was.
    pub(crate) fn check_harm_at_truth(&mut self, effect: &Effect) {
        let harm = self.world.truth.as_mut().and_then(|truth| truth.harm.take());
        if let Some(harm) = harm {
            self.violate("order", format!("{:?} {harm}", effect.op));
        }
    }

    /// A look read the source of truth.
    pub(crate) fn note_truth(&mut self, scope: &Scope, query: &Query, gives: Value) {
        match query {
            Query::Reconcile(intent) => {
                self.audit.truth_reads.retain(|read| read.0 != scope.epoch);
                self.audit.truth_reads.push((scope.epoch, *intent, gives));
            }
            Query::Enumerate => {
                let slot = self.slots.get_mut(scope.slot);
                slot.into_iter().for_each(|slot| slot.truth_read = Some(gives));
            }
            _ => {}
        }
    }

    /// What became of a Promote or a Demote is what the source of truth gave out.
    pub(crate) fn check_truth_decides(&mut self, at: usize, event: &Event) {
        let Fact::Reconciled { intent, found } = &event.fact else { return };
        let (epoch, intent) = (event.at.epoch, *intent);
        let read = self.audit.truth_reads.iter().find(|read| (read.0, read.1) == (epoch, intent));
        let Some(read) = read.map(|read| read.2) else { return };
        let state = self.snapshot(at);
        let goal = match self.entry(intent).map(|event| &event.fact) {
            Some(Fact::Intended(Op::Promote)) => {
                state.and_then(|state| self.world.value_of(Which::New, &state))
            }
            Some(Fact::Intended(Op::Demote)) => Some(OLD),
            _ => None,
        };
        let Some(goal) = goal else { return };
        let wrong = match found {
            Reconciled::Executed(_) => read != goal,
            Reconciled::Absent => read == goal,
            _ => false,
        };
        if wrong {
            let what = format!("entry {intent} is {found:?}, and the source of truth gave out {read}");
            self.violate("order", what);
        }
    }

    /// What ends a key rests on a look at which the source of truth gave out the version that stays.
    pub(crate) fn check_truth(&mut self, epoch: u64, what: &str, state: &State) {
        if self.world.truth.is_none() || state.emergency() == Some(Emergency::RevokeNow) {
            return;
        }
        let Some(new) = self.world.value_of(Which::New, state) else { return };
        let read = self.look_of(epoch).and_then(|look| look.truth);
        let right = match state.phase() {
            Phase::RollingBack => read != Some(new),
            _ => !state.promoted() || read == Some(new),
        };
        if !right {
            self.violate("I4", format!("{what} on a look at which the source of truth gave out {read:?}"));
        }
    }

    /// Whether another party changed what is given out when the last look that can be compared was taken already, or while it was.
    pub(crate) fn changed_unseen(&self) -> bool {
        let look = self.compared().map_or(0, |look| look.at);
        let changed_at = self.world.truth.as_ref().map_or(0, |truth| truth.changed_at);
        changed_at > 0 && changed_at + 2 * REQUEST_MS_MAX >= look
    }

    /// What is wrong at the source of truth at the end. What another party changed since that look was not seen.
    pub(crate) fn truth_left(&self, stays: Value) -> Option<String> {
        let truth = self.world.truth.as_ref()?;
        if let Some((Some(mint), value)) = truth.pending {
            return Some(format!("value {value} of mint {mint} is left pending at the source of truth"));
        }
        // A rollback leaves another party's value alone.
        let theirs = stays == OLD && truth.gives == FOREIGN;
        let wrong = truth.gives != stays && !self.changed_unseen() && !theirs;
        wrong.then(|| format!("the source of truth gives out value {}, not {stays}", truth.gives))
    }
}
