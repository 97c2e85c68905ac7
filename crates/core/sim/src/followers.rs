//! Programs that read by themselves what is given out: when they read it, and what may not happen before that.

use keyroll_rotation::{
    Consumer, ConsumerId, Delivery, Effect, Event, Fact, Op, Outcome, Reconciled, Seq, State, Which,
};

use crate::calls::{CallResult, Scope};
use crate::issuer::{FOREIGN, OLD};
use crate::process::Proc;
use crate::rng::Rng;
use crate::schedule::Run;
use crate::world::World;

/// The longest time until a program reads again what keyroll gives out at a source of truth beside its own store: shorter
/// than a unit may take.
const READS_MS_MAX: u64 = 6_000;

/// Draws that time.
const READS: u64 = 0x4ead_5a7e;

impl World {
    /// What is given out changed: its followers load it. Half of what keyroll gives out at a source of truth beside its own
    /// store is read only after a while.
    pub(crate) fn follow(&mut self, by_us: bool) {
        let value = self.given_out();
        // What another party gives out keyroll only knows where a look reads it: then it takes that back.
        self.gave_new |= by_us && value != OLD && value != FOREIGN;
        for at in 0..self.procs.len() {
            let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { continue };
            let follows = self.plan.consumers.get(id.index()).is_some_and(Consumer::follows_live);
            if !follows || self.runs_nowhere(at) {
                continue;
            }
            let reads_at = self.reads_at(at, by_us);
            let later = reads_at > self.now && self.procs.get(at).is_some_and(|proc| proc.loaded != value);
            if let Some(proc) = self.procs.get_mut(at) {
                proc.reads_at = later.then_some(reads_at);
            }
            if !later {
                self.load(at, value, by_us);
            }
        }
    }

    /// When a process reads what is given out now.
    fn reads_at(&self, at: usize, by_us: bool) -> u64 {
        let late = by_us && self.truth.is_some();
        let Some(proc) = self.procs.get(at).filter(|_| late) else { return self.now };
        let mut rng = Rng::new(self.scene.draw ^ READS ^ (self.now << 8) ^ u64::from(proc.pid));
        let after_ms = if rng.one_in(2) { 0 } else { rng.between(50, READS_MS_MAX) };
        proc.reads_at.unwrap_or(self.now + after_ms)
    }

    /// The processes whose time has come read what is given out.
    pub(crate) fn read_due(&mut self) {
        for at in 0..self.procs.len() {
            let due = |proc: &Proc| proc.reads_at.is_some_and(|reads_at| reads_at <= self.now);
            if !self.procs.get(at).is_some_and(due) || self.runs_nowhere(at) {
                continue;
            }
            self.procs.get_mut(at).into_iter().for_each(|proc| proc.reads_at = None);
            let value = self.given_out();
            self.load(at, value, true);
        }
    }

    /// The consumer that an operator waives: one that reads a source of truth beside keyroll's own store again and again, if
    /// there is one, and else the first.
    pub(crate) fn waivable(&self) -> ConsumerId {
        let live = self.plan.consumers.iter().position(Consumer::follows_live);
        let live = live.filter(|_| self.truth.is_some());
        ConsumerId(live.and_then(|at| u16::try_from(at).ok()).unwrap_or(0))
    }

    fn is_follower(&self, id: ConsumerId) -> bool {
        self.plan.consumers.get(id.index()).is_some_and(|it| it.delivery == Delivery::Follow)
    }
}

impl Run {
    /// An action read what the source of truth gives out.
    pub(crate) fn note_given_out(&mut self, scope: usize, answer: &CallResult) {
        if let (CallResult::GivenOut(gives), Some(scope)) = (answer, self.scopes.get_mut(scope)) {
            scope.truth_read = Some(*gives);
        }
    }

    /// A consumer that is restarted to read the source of truth takes whatever that gives out: right before the restart it
    /// was read, and gave out the version that the consumer is moved to.
    pub(crate) fn check_read_before(&mut self, scope: &Scope, effect: &Effect, state: &State) {
        let Op::Apply(consumer, ..) = effect.op else { return };
        if self.world.truth.is_none() || !self.world.is_follower(consumer) {
            return;
        }
        let toward = state.units().get(consumer.index()).map_or(Which::New, |unit| unit.toward);
        let Some(value) = self.world.value_of(toward, state) else { return };
        if scope.truth_read != Some(value) {
            let read = scope.truth_read;
            self.violate("order", format!("{:?} after the source of truth gave out {read:?}", effect.op));
        }
    }

    /// A Demote reached the store or the source of truth.
    pub(crate) fn note_demote(&mut self, effect: &Effect) {
        if effect.op == Op::Demote {
            self.audit.demoted = self.audit.demoted.max(effect.intent);
        }
    }

    /// A Demote whose outcome was unknown is found carried out.
    pub(crate) fn note_demote_found(&mut self, event: &Event) {
        let Fact::Reconciled { intent, found: Reconciled::Executed(_) } = &event.fact else { return };
        if self.entry(*intent).is_some_and(|entry| entry.fact == Fact::Intended(Op::Demote)) {
            self.audit.demoted = self.audit.demoted.max(*intent);
        }
    }

    /// The new key is deleted only after a Demote, once a Promote was begun and a consumer reads by itself what is given out:
    /// nobody knows what it read meanwhile. A Promote that met another party's value was not carried out.
    pub(crate) fn check_demoted(&mut self) {
        if !self.world.plan.consumers.iter().any(|it| it.delivery == Delivery::Follow) {
            return;
        }
        let met_theirs = |intent: Seq| {
            let fact = Fact::Ended { intent, outcome: Outcome::ChangedElsewhere };
            self.ledger.entries.iter().any(|event| event.fact == fact)
        };
        let promotes = (1..)
            .zip(&self.ledger.entries)
            .filter(|(seq, event)| event.fact == Fact::Intended(Op::Promote) && !met_theirs(*seq));
        let promoted: Option<Seq> = promotes.last().map(|(seq, _)| seq);
        if promoted.is_some_and(|promoted| self.audit.demoted < promoted) {
            let what = "the new key is deleted, and nothing was given out again after a Promote was begun";
            self.violate("order", what.into());
        }
    }
}
