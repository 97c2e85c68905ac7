use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use keyroll_rotation::{
    Delivery, Effect, Event, Fact, IllegalEvent, Op, Outcome, Person, Phase, Query, Seq, Stamp, State,
    Waived, Want, Which,
};

use crate::flight::{Asking, Flight, Leg};
use crate::look_filter::LookFilter;
use crate::{Action, AppendError, Core, Drive, DriverState, Input, Pace, Poll, Protocol};

struct Pending {
    event: Event,
    next: Arc<State>,
    effects: Vec<Effect>,
    sent: bool,
}

/// Decides when to ask, in which order and how often. It never asserts a condition: what is true follows from
/// `step` alone. No IO, no clock: time comes in with each call.
pub struct Driver<C: Core = Protocol> {
    core: C,
    state: Arc<State>,
    epoch: u64,
    boot: u64,
    pace: Pace,
    inbox: VecDeque<(Stamp, Fact, bool)>,
    pending: Option<Pending>,
    reloading: bool,
    retry_append_ms: u64,
    flights: Vec<Flight>,
    asking: BTreeMap<Query, Asking>,
    next_look: BTreeMap<Query, u64>,
    look_filter: LookFilter,
    backoff: Vec<(Op, u64, u32)>,
    last_append_ms: u64,
    rejected: Vec<IllegalEvent>,
    lost: bool,
}

impl Driver {
    /// A driver of this epoch over a state that was read from the journal. Its first entry says that it started.
    pub fn new(state: State, epoch: u64, boot: u64, now_ms: u64, pace: Pace) -> Self {
        Self::over(Protocol, state, epoch, boot, now_ms, pace)
    }
}

impl<C: Core> Driver<C> {
    /// The same over another core than the protocol itself: one that wraps it, to show that a check is needed.
    pub fn over(core: C, state: State, epoch: u64, boot: u64, now_ms: u64, pace: Pace) -> Self {
        let mut driver = Self {
            core,
            state: Arc::new(state),
            epoch,
            boot,
            pace,
            inbox: VecDeque::new(),
            pending: None,
            reloading: false,
            retry_append_ms: 0,
            flights: Vec::new(),
            asking: BTreeMap::new(),
            next_look: BTreeMap::new(),
            look_filter: LookFilter::default(),
            backoff: Vec::new(),
            last_append_ms: now_ms,
            rejected: Vec::new(),
            lost: false,
        };
        driver.queue(now_ms, Fact::DriverStarted, false);
        driver
    }

    /// The state after everything that is durable.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The outcome of an intent may depend on how long one waited: a look that began before that time was over does not
    /// count, and is asked again.
    fn holds_since(&self, fact: &Fact, since_ms: u64, now_ms: u64) -> bool {
        let Fact::Reconciled { intent, .. } = fact else { return true };
        let closes = |ms: u64| {
            let ms = ms.max(self.state.now().ms);
            let event = Event { at: Stamp { ms, boot: self.boot, epoch: self.epoch }, fact: fact.clone() };
            let next = self.core.step(&self.state, &event);
            next.is_ok_and(|(next, _)| !next.intents().iter().any(|open| open.seq == *intent))
        };
        !closes(now_ms) || closes(since_ms)
    }

    fn queue(&mut self, now_ms: u64, fact: Fact, told: bool) {
        let at = Stamp { ms: now_ms, boot: self.boot, epoch: self.epoch };
        self.inbox.push_back((at, fact, told));
    }

    fn ended(&mut self, intent: Seq, outcome: Outcome, now_ms: u64) {
        let Some(place) = self.flights.iter().position(|flight| flight.effect.intent == intent) else {
            return;
        };
        let op = self.flights.swap_remove(place).effect.op;
        self.touched(&op);
        let failures =
            self.backoff.iter().find(|(held, ..)| *held == op).map_or(0, |(_, _, failures)| *failures);
        self.backoff.retain(|(held, ..)| *held != op);
        // Where another party changed the source of truth, a rollback asks again whether it still has.
        if matches!(outcome, Outcome::Failed { .. } | Outcome::Unknown | Outcome::ChangedElsewhere) {
            let until = now_ms.saturating_add(self.pace.backoff(failures));
            self.backoff.push((op, until, failures.saturating_add(1)));
        }
        self.queue(now_ms, Fact::Ended { intent, outcome }, false);
    }

    fn appended(&mut self, now_ms: u64) {
        let Some(pending) = self.pending.take() else { return };
        // What a new phase wants to see, or a consent is compared with, is not a look repeated in vain: nothing is to be
        // waited for.
        let consented = matches!(pending.event.fact, Fact::Consented(_));
        if consented || pending.next.phase() != self.state.phase() {
            self.next_look.clear();
        }
        self.state = pending.next;
        if matches!(pending.event.fact, Fact::Escalated { .. } | Fact::HandMinted(_)) {
            // "The new version" may be another one by now.
            let same = matches!(pending.event.fact, Fact::Escalated { pending_compromised: false, .. });
            // What an endpoint says about the old key is so whatever the emergency: an acceptance ends its refusals in a row.
            let stays = |query: &Query| same && matches!(query, Query::Probe(_, Which::Old));
            self.asking.iter_mut().for_each(|(query, asking)| asking.stale |= !stays(query));
            self.inbox.retain(|(_, fact, told)| {
                let of_old = matches!(fact, Fact::Probed { version: Which::Old, .. });
                *told || matches!(fact, Fact::Ended { .. }) || same && of_old
            });
        }
        if matches!(pending.event.fact, Fact::Waived(Waived::Host(_) | Waived::Gone(_))) {
            // A look that began while the host was there, or the consumer ran, would end its waiver; a proof from then would
            // count for what runs there once it is back.
            let of_before = |query: &Query| matches!(query, Query::Enumerate | Query::Prove(..));
            self.asking.iter_mut().for_each(|(query, asking)| asking.stale |= of_before(query));
            let seen = |fact: &Fact| matches!(fact, Fact::Enumerated(_) | Fact::Proved { .. });
            self.inbox.retain(|(_, fact, told)| *told || !seen(fact));
            self.next_look.retain(|query, _| !of_before(query));
        }
        self.last_append_ms = now_ms;
        let now = now_ms;
        self.next_look.retain(|_, next| *next > now);
        for effect in pending.effects {
            self.touched(&effect.op);
            let leg = if effect.op.witnessed() { Leg::ToWitness } else { Leg::ToCarry };
            self.flights.push(Flight { effect, leg });
        }
    }

    /// Looks at what an operation touches are asked again when it begins and when it ends.
    fn touched(&mut self, op: &Op) {
        let plan = self.state.plan();
        for (query, asking) in &mut self.asking {
            asking.stale |= match (query, op) {
                (Query::Enumerate, op) => op.moves() || *op == Op::EndSessions,
                (Query::Prove(consumer, ..), Op::Deliver(file, _)) => {
                    plan.consumers.get(consumer.index()).is_some_and(|consumer| consumer.files.contains(file))
                }
                (Query::Prove(one, ..), Op::Fetch(other) | Op::Apply(other, ..)) => one == other,
                (Query::Prove(consumer, ..), Op::Promote | Op::Demote) => plan
                    .consumers
                    .get(consumer.index())
                    .is_some_and(|consumer| consumer.delivery != Delivery::Push),
                (Query::Probe(..) | Query::List | Query::LastUsed | Query::Refusals, op) => op.at_issuer(),
                (Query::StageCheck, op) => *op == Op::Stage,
                (Query::Prove(..) | Query::Preflight | Query::Reconcile(_) | Query::Sweep, _) => false,
            };
        }
    }

    fn append_failed(&mut self, trouble: AppendError, now_ms: u64) {
        match trouble {
            AppendError::Unavailable => {
                self.retry_append_ms = now_ms.saturating_add(self.pace.retry_ms);
                if let Some(pending) = &mut self.pending {
                    pending.sent = false;
                }
            }
            AppendError::Unsure => self.reloading = true,
            AppendError::Fenced => self.lost = true,
        }
    }

    /// The journal holds either the entry that was in doubt, or not.
    fn reloaded(&mut self, state: State, now_ms: u64) {
        self.reloading = false;
        if state.now().epoch > self.epoch {
            self.lost = true;
            return;
        }
        let Some(pending) = &mut self.pending else { return };
        if state == *pending.next {
            self.appended(now_ms);
        } else if state == *self.state {
            pending.sent = false;
        } else {
            // Neither: another driver wrote under our epoch. Nothing more is done on such a journal.
            self.lost = true;
        }
    }

    fn witnessed(&mut self, intent: Seq, ok: bool, now_ms: u64) {
        let waits = |flight: &Flight| flight.effect.intent == intent && flight.leg == Leg::Witnessing;
        let Some(place) = self.flights.iter().position(waits) else { return };
        if ok {
            if let Some(flight) = self.flights.get_mut(place) {
                flight.leg = Leg::ToCarry;
            }
            return;
        }
        // It was surely not carried out.
        self.ended(intent, Outcome::Failed { retry: true }, now_ms);
    }

    fn send_flights(&mut self, actions: &mut Vec<Action>) {
        let unit_ms_max = self.state.plan().policy.unit_ms_max;
        for flight in &mut self.flights {
            match flight.leg {
                Leg::ToWitness => {
                    flight.leg = Leg::Witnessing;
                    actions.push(Action::Witness { intent: flight.effect.intent });
                }
                Leg::ToCarry => {
                    flight.leg = Leg::Carrying;
                    let limit_ms = self.pace.limit(&flight.effect.op, unit_ms_max);
                    actions.push(Action::Carry { effect: flight.effect.clone(), limit_ms });
                }
                Leg::Witnessing | Leg::Carrying => {}
            }
        }
    }

    fn next_fact(&mut self, now_ms: u64) {
        while let Some((at, fact, told)) = self.inbox.pop_front() {
            let event = Event { at, fact };
            match self.core.step(&self.state, &event) {
                Ok((next, effects)) => {
                    if effects.is_empty() && !told && self.says_nothing(&event, &next, now_ms) {
                        continue;
                    }
                    self.pending = Some(Pending { event, next: Arc::new(next), effects, sent: false });
                    return;
                }
                Err(illegal) if told => self.rejected.push(illegal),
                Err(_) if self.still_open(&event.fact) => {
                    // An outcome that makes no sense is no outcome: it is found out again.
                    if let Fact::Ended { intent, outcome: _ } = event.fact {
                        let fact = Fact::Ended { intent, outcome: Outcome::Unknown };
                        self.inbox.push_front((at, fact, false));
                    }
                }
                // What was seen no longer follows: the rotation went on meanwhile. It is not an entry.
                Err(_) => {}
            }
        }
    }

    /// Whether this is the outcome of an intent that would be left without one.
    fn still_open(&self, fact: &Fact) -> bool {
        let Fact::Ended { intent, outcome } = fact else { return false };
        *outcome != Outcome::Unknown && self.state.intents().iter().any(|open| open.seq == *intent)
    }

    /// An observation that changes nothing is written only now and then, so that deadlines are seen to pass.
    fn says_nothing(&self, event: &Event, next: &State, now_ms: u64) -> bool {
        if matches!(event.fact, Fact::Refusals { count: 0, .. })
            && asks_somebody(&self.core.wants(&self.state))
        {
            // The operator may take days. Before the point of no return refusals are read once more.
            return true;
        }
        let look = matches!(
            event.fact,
            Fact::Proved { .. } | Fact::Probed { .. } | Fact::Listed { .. } | Fact::LastUsed(_) | Fact::Clock
        );
        let recent = now_ms < self.last_append_ms.saturating_add(self.pace.clock_ms);
        look && recent && next.same_but_time(&self.state)
    }

    fn send_append(&mut self, now_ms: u64, actions: &mut Vec<Action>, wake: &mut Option<u64>) {
        if self.reloading {
            self.reloading = false;
            actions.push(Action::Reload);
            return;
        }
        let seq = self.state.seq().saturating_add(1);
        let Some(pending) = &mut self.pending else { return };
        if pending.sent {
            return;
        }
        if now_ms < self.retry_append_ms {
            sooner(wake, self.retry_append_ms);
            return;
        }
        pending.sent = true;
        actions.push(Action::Append { seq, event: pending.event.clone() });
    }

    /// Turns what the protocol wants into actions, as time and pace allow.
    fn consider(&mut self, now_ms: u64, actions: &mut Vec<Action>, wake: &mut Option<u64>) -> DriverState {
        let wanted = self.core.wants(&self.state);
        let mut people = Vec::new();
        let mut waiting = false;
        // Nothing ends the old key while it is not known whether the new one is accepted.
        let unseen = matches!(self.state.phase(), Phase::Disable | Phase::Decide | Phase::Revoke)
            && wanted.iter().any(|want| matches!(want, Want::Ask(Query::Probe(_, Which::New))));
        for want in wanted {
            match want {
                Want::Ask(query) => {
                    waiting = true;
                    self.ask(query, now_ms, actions, wake);
                }
                Want::Do(Op::Disable | Op::Revoke) | Want::Decide(_) if unseen => waiting = true,
                Want::Do(op) => {
                    waiting = true;
                    if let Some((_, until, _)) =
                        self.backoff.iter().find(|(held, until, _)| *held == op && now_ms < *until)
                    {
                        sooner(wake, *until);
                    } else if self.inbox.is_empty() && self.pending.is_none() {
                        self.queue(now_ms, Fact::Intended(op), false);
                        self.next_fact(now_ms);
                    }
                }
                Want::Decide(digest) => {
                    waiting = true;
                    if self.pending.is_none() {
                        self.queue(now_ms, Fact::Decided(digest), false);
                        self.next_fact(now_ms);
                    }
                }
                Want::Wait(ms) => {
                    waiting = true;
                    sooner(wake, now_ms.saturating_add(ms.max(1)));
                    if ms == 0 {
                        self.look_at_clock(now_ms);
                    }
                }
                Want::Person(person) => people.push(person),
            }
        }
        if waiting && people.is_empty() {
            // Deadlines pass although nothing is seen.
            if now_ms >= self.last_append_ms.saturating_add(self.pace.clock_ms) {
                self.look_at_clock(now_ms);
            }
            sooner(
                wake,
                self.last_append_ms.saturating_add(self.pace.clock_ms).max(now_ms.saturating_add(1)),
            );
        }
        self.standing(people, waiting)
    }

    fn look_at_clock(&mut self, now_ms: u64) {
        if self.pending.is_none() && now_ms > self.state.now().ms {
            self.queue(now_ms, Fact::Clock, false);
            self.next_fact(now_ms);
        }
    }

    fn standing(&self, people: Vec<Person>, waiting: bool) -> DriverState {
        if self.state.ended() {
            DriverState::Ended
        } else if !people.is_empty() {
            // What is looked at beside it goes on.
            DriverState::Person(people)
        } else if waiting {
            DriverState::Driving
        } else if let Some(hold) = self.state.hold() {
            DriverState::Held(hold)
        } else {
            DriverState::Driving
        }
    }

    fn ask(&mut self, query: Query, now_ms: u64, actions: &mut Vec<Action>, wake: &mut Option<u64>) {
        if self.asking.contains_key(&query) {
            return;
        }
        let next = self.next_look.get(&query).copied().unwrap_or(0);
        if now_ms < next {
            sooner(wake, next);
            return;
        }
        self.asking.insert(query.clone(), Asking { since_ms: now_ms, stale: false });
        let limit_ms = self.pace.look_limit(&query);
        actions.push(Action::Look { query, limit_ms });
    }
}

impl<C: Core + Send> Drive for Driver<C> {
    fn snapshot(&self) -> Arc<State> {
        self.state.clone()
    }

    fn in_flight(&self) -> Option<Event> {
        self.pending.as_ref().map(|pending| pending.event.clone())
    }

    fn take_rejected(&mut self) -> Vec<IllegalEvent> {
        std::mem::take(&mut self.rejected)
    }

    fn idle(&self) -> bool {
        self.flights.is_empty() && self.pending.is_none() && self.inbox.is_empty()
    }

    fn carries(&self) -> bool {
        !self.flights.is_empty()
    }

    fn unanswered(&mut self, now_ms: u64) -> bool {
        let at = Stamp { ms: now_ms, boot: self.boot, epoch: self.epoch };
        let event = Event { at, fact: Fact::Unanswered };
        let said = self.idle() && self.core.step(&self.state, &event).is_ok();
        if said {
            self.queue(now_ms, event.fact, true);
        }
        said
    }

    fn owes_enabling(&self) -> bool {
        let open = self.state.intents().iter().any(|open| open.op == Op::Enable);
        let wanted = self.core.wants(&self.state).into_iter().any(|want| match want {
            Want::Do(op) => op == Op::Enable,
            Want::Ask(query) => matches!(query, Query::Probe(_, Which::Old)),
            Want::Decide(_) | Want::Wait(_) | Want::Person(_) => false,
        });
        self.state.hold().is_some() && !self.state.decided() && (open || wanted)
    }

    fn on(&mut self, input: Input, now_ms: u64) {
        match input {
            Input::Appended => self.appended(now_ms),
            Input::AppendFailed(trouble) => self.append_failed(trouble, now_ms),
            Input::Reloaded(state) => self.reloaded(*state, now_ms),
            Input::Witnessed { intent, ok } => self.witnessed(intent, ok, now_ms),
            Input::Seen(query, fact) => {
                let Some(asked) = self.asking.remove(&query) else { return };
                self.next_look.remove(&query);
                if asked.stale {
                    return;
                }
                let seen = fact.is_some();
                let fact = fact
                    .and_then(|fact| self.look_filter.counted(fact, now_ms.saturating_sub(asked.since_ms)));
                if seen && fact.is_none() {
                    return;
                }
                let urgent = self.state.emergency().is_some();
                let next = now_ms.saturating_add(self.pace.between(&query, self.state.units(), urgent));
                self.next_look.insert(query, next);
                if let Some(fact) = fact.filter(|fact| self.holds_since(fact, asked.since_ms, now_ms)) {
                    self.queue(now_ms, fact, false);
                }
            }
            Input::Ended { intent, outcome } => self.ended(intent, outcome, now_ms),
            Input::Told(fact) => self.queue(now_ms, fact, true),
        }
    }

    fn poll(&mut self, now_ms: u64) -> Poll {
        let mut actions = Vec::new();
        if self.lost {
            return Poll { actions, wake_ms: None, standing: DriverState::Lost };
        }
        self.send_flights(&mut actions);
        let mut wake = None;
        let mut standing = DriverState::Driving;
        if self.pending.is_none() {
            self.next_fact(now_ms);
        }
        if self.pending.is_none() && self.inbox.is_empty() {
            standing = self.consider(now_ms, &mut actions, &mut wake);
        }
        self.send_append(now_ms, &mut actions, &mut wake);
        if !self.flights.is_empty() || self.pending.is_some() {
            standing = DriverState::Driving;
        }
        Poll { actions, wake_ms: wake, standing }
    }
}

fn asks_somebody(wanted: &[Want]) -> bool {
    wanted.iter().any(|want| matches!(want, Want::Person(_)))
}

fn sooner(wake: &mut Option<u64>, at: u64) {
    *wake = Some(wake.map_or(at, |before| before.min(at)));
}
