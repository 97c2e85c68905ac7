//! A call to a port: it begins, reaches the world later, and may be answered.

use keyroll_port::{Class, Probe};
use keyroll_rotation::{CredId, Query};

use crate::calls::{Call, CallResult, DriverRequest, Lens, Reply, Scope};
use crate::faults::Fault;
use crate::scene::{Family, Kind, REQUEST_MS_MAX};
use crate::schedule::{Due, Run};

/// How long lists miss the old key: long enough that a list read again for certainty misses it too.
const SKIPS_MS: u64 = 80;

/// How long a call to a host is waited for: one and a half times what a unit may take.
const HOST_MS_MAX: u64 = 6_000;

impl Run {
    /// Begins a call. Returns the number of its answer.
    pub(crate) fn begin(&mut self, slot: usize, scope: Option<usize>, call: Call) -> usize {
        let ticket = self.answers.len();
        self.answers.push(None);
        scope.into_iter().for_each(|at| self.check_left(at, &call));
        let asked = scope.and_then(|at| self.scopes.get_mut(at));
        let Some(asked) = asked else {
            let ms = self.rng.between(3, 30);
            self.later(ms, Due::Call { slot, scope, call, ticket, reply: Reply::Comes, answer_ms: 1 });
            return ticket;
        };
        let first = !std::mem::replace(&mut asked.begun, true);
        let fault = asked.fault;
        if call.changes() {
            let fault = fault.filter(|_| asked.strikes(&call));
            if let DriverRequest::Carry(effect, _) = &asked.asked
                && asked.is_effect(&call)
            {
                let (effect, epoch) = (effect.clone(), asked.epoch);
                self.check_young(&effect, epoch);
            }
            self.begin_change(slot, scope, call, ticket, fault);
        } else {
            // The first call of a look is a round trip; the calls after it use the open connection.
            let ms = match fault {
                Some(Fault::Slow) if first => self.rng.between(500, REQUEST_MS_MAX - 100),
                _ if first => self.rng.between(3, 30),
                _ => self.rng.between(1, 4),
            };
            let fault = fault.filter(|fault| first || *fault == Fault::Blind);
            let reply = if fault == Some(Fault::CrashAfter) { Reply::Crash } else { Reply::Comes };
            // The state that the answer shows may be older than the answer.
            let seen = self.rng.between(1, ms);
            let due = match (fault, call) {
                (Some(Fault::Blind), Call::Probe { .. }) => {
                    let answer = CallResult::Probe(Probe::Unknown(String::new()));
                    return self.answer_later(40, slot, answer, ticket);
                }
                (Some(Fault::Blind), _) => {
                    return self.answer_later(40, slot, CallResult::Failed(Class::Retryable), ticket);
                }
                (_, call) => Due::Call { slot, scope, call, ticket, reply, answer_ms: ms - seen },
            };
            self.later(seen, due);
        }
        ticket
    }

    fn answer_later(&mut self, ms: u64, slot: usize, answer: CallResult, ticket: usize) -> usize {
        self.later(ms, Due::Answer { slot, ticket, answer });
        ticket
    }

    fn begin_change(
        &mut self,
        slot: usize,
        scope: Option<usize>,
        call: Call,
        ticket: usize,
        fault: Option<Fault>,
    ) {
        let answer = |answer| Due::Answer { slot, ticket, answer };
        match fault {
            Some(Fault::OrderTwice) => self.comes_again(scope, &call),
            Some(Fault::OrderLate) if self.hold_up(scope, &call) => {
                return self.later(HOST_MS_MAX, answer(CallResult::Failed(Class::Unknown)));
            }
            Some(Fault::OrderOfDead) if self.hold_up(scope, &call) => return self.crash(slot),
            Some(Fault::Failed) => return self.later(20, answer(CallResult::Failed(Class::Retryable))),
            Some(Fault::Ignored) if self.may_be_ignored(&call) => {
                let made = self.ignored(&call);
                return self.later(20, answer(made));
            }
            Some(Fault::FailedForGood) => {
                return self.later(20, answer(CallResult::Failed(Class::Permanent)));
            }
            // Nobody waits longer for a host that does not answer.
            Some(Fault::LostRequest) if call.on_host() => {
                return self.later(HOST_MS_MAX, answer(CallResult::Failed(Class::Unknown)));
            }
            // The driver waits until its time is over.
            Some(Fault::LostRequest) => return,
            Some(Fault::LateEffect | Fault::SlowBirth) => {
                let slow = fault == Some(Fault::SlowBirth) && self.may_be_late();
                let most = if slow { 4 * REQUEST_MS_MAX } else { REQUEST_MS_MAX };
                let ms = self.rng.between(1, most);
                self.later(ms, Due::Late { scope, call });
                return self.later(10, answer(CallResult::Failed(Class::Unknown)));
            }
            Some(Fault::CrashDuring) => {
                let ms = self.rng.between(1, REQUEST_MS_MAX);
                self.later(ms, Due::Late { scope, call });
                return self.crash(slot);
            }
            _ => {}
        }
        if let (Call::Deliver { file, .. }, Some(shared)) = (&call, &mut self.world.shared)
            && shared.file == *file
        {
            shared.read_at = self.world.now;
        }
        let reply = match fault {
            Some(Fault::LostReply) => Reply::Lost,
            // Half of the drivers die only after they processed the answer.
            Some(Fault::CrashAfter) if self.rng.one_in(2) => Reply::Crash,
            _ => Reply::Comes,
        };
        let slow = fault == Some(Fault::Slow);
        let ms = match fault {
            Some(Fault::Stuck) => self.rng.between(HOST_MS_MAX + 1, 3 * HOST_MS_MAX),
            _ if slow => self.rng.between(400, REQUEST_MS_MAX - 100),
            _ => self.rng.between(3, 40),
        };
        self.later(ms, Due::Call { slot, scope, call, ticket, reply, answer_ms: 0 });
    }

    /// A member of a family has no emergency in which another key is made.
    fn may_be_ignored(&self, call: &Call) -> bool {
        self.world.scene.family == Family::None || !matches!(call, Call::Mint { .. })
    }

    /// The issuer says that it did it.
    fn ignored(&mut self, call: &Call) -> CallResult {
        // A deletion that did not happen moves nobody: what was seen before it counts still.
        if call.moves() {
            self.world.moved_at = self.world.now;
        }
        self.audit.ignored = true;
        self.audit.ignored_deletion |= matches!(call, Call::Revoke(_));
        self.audit.ignored_enable |= matches!(call, Call::Switch { on: true, .. });
        match call {
            Call::Mint { label, value } => {
                let value = value.unwrap_or_else(|| self.world.fresh_value());
                CallResult::Made(CredId::new(&format!("ignored-{label}")), value)
            }
            Call::EndSessions { pids, .. } => CallResult::Count(u32::try_from(pids.len()).unwrap_or(0)),
            _ => CallResult::Done,
        }
    }

    /// Only a list with labels shows a credential that was made late.
    pub(crate) fn may_be_late(&self) -> bool {
        let capabilities = &self.world.plan.capabilities;
        self.world.scene.kind == Kind::Independent && capabilities.list && capabilities.label
    }

    /// A call reaches the world.
    pub(crate) fn arrive(&mut self, due: Due) {
        let Due::Call { slot, scope, call, ticket, reply, answer_ms } = due else { return };
        let answer = self.execute(scope, &call);
        match reply {
            Reply::Lost if call.on_host() => {
                let answer = CallResult::Failed(Class::Unknown);
                self.later(HOST_MS_MAX, Due::Answer { slot, ticket, answer });
            }
            Reply::Lost => {}
            Reply::Crash => self.crash(slot),
            Reply::Comes if answer_ms == 0 => self.answered(slot, ticket, answer),
            Reply::Comes => self.later(answer_ms, Due::Answer { slot, ticket, answer }),
        }
    }

    /// Carries a call out. Its effect is real, whatever answer the driver gets.
    pub(crate) fn execute(&mut self, scope: Option<usize>, call: &Call) -> CallResult {
        if let Some(recorded) = self.reach(scope, call) {
            return recorded;
        }
        self.carry_call(scope, call)
    }

    /// The same on a host that was reached before.
    pub(crate) fn carry_call(&mut self, scope: Option<usize>, call: &Call) -> CallResult {
        let answer = self.carried(scope, call);
        self.record(scope, call, &answer);
        answer
    }

    fn carried(&mut self, scope: Option<usize>, call: &Call) -> CallResult {
        let asked = scope.and_then(|at| self.scopes.get(at).cloned().map(|it| (at, it)));
        match asked {
            Some((_, scope)) if call.changes() => match &scope.asked {
                DriverRequest::Carry(effect, state) => {
                    self.check_read_before(&scope, effect, state);
                    self.carry_out(effect, state, scope.epoch, call)
                }
                _ => self.world.change(call, scope.epoch),
            },
            Some((at, scope)) => {
                let answer = self.see(&scope, call);
                self.note_answer(at, &scope, call, &answer);
                self.note_given_out(at, &answer);
                answer
            }
            None if call.changes() => self.world.change(call, self.ledger.epoch),
            None => self.world.see(call, None, Lens::Clear),
        }
    }

    fn see(&mut self, scope: &Scope, call: &Call) -> CallResult {
        let DriverRequest::Look(query) = &scope.asked else { return self.world.see(call, None, Lens::Clear) };
        let now = self.world.now;
        if scope.fault == Some(Fault::Skipped) {
            self.world.skips_until = now + SKIPS_MS;
        }
        let lens = match scope.fault {
            Some(Fault::Partial) => Lens::Partial,
            Some(_) | None if matches!(call, Call::List) && now < self.world.partial_until => Lens::Partial,
            Some(_) | None if *query == Query::List && now < self.world.skips_until => Lens::Skips,
            Some(_) | None => Lens::Clear,
        };
        match (query, call) {
            (Query::LastUsed, Call::List) => self.world.asked_use = Some((scope.epoch, now)),
            (Query::Refusals, Call::Refusals { .. }) => self.read_record(scope.epoch),
            (Query::List, Call::List) => {
                if let Some(slot) = self.slots.get_mut(scope.slot) {
                    slot.listed_at = (lens == Lens::Clear).then_some(now);
                }
            }
            (Query::Enumerate, Call::Sessions(_) | Call::Enumerate { .. }) => {
                if let Some(slot) = self.slots.get_mut(scope.slot) {
                    let sessions = matches!(call, Call::Sessions(_));
                    let read = if sessions { &mut slot.sessions_at } else { &mut slot.enumerated_at };
                    *read = now;
                }
            }
            _ => {}
        }
        let mut answer = self.world.see(call, Some(query), lens);
        self.show_as_before(&mut answer);
        answer
    }

    pub(crate) fn answered(&mut self, slot: usize, ticket: usize, answer: CallResult) {
        if let Some(place) = self.answers.get_mut(ticket) {
            *place = Some(answer);
        }
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.dirty = true;
        }
    }

    /// Whether every call of this action that can fail fails.
    pub(crate) fn is_blind(&self, scope: Option<usize>) -> bool {
        let scope = scope.and_then(|at| self.scopes.get(at));
        scope.is_some_and(|it| it.fault == Some(Fault::Blind))
    }
}
