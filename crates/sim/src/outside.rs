//! What the world makes of an action: it is begun, it happens later, it is answered or not.

use keyroll_engine::{Action, Input, Trouble};
use keyroll_rotation::{Effect, Event, Fact, Op, Outcome, Query, Seq, State};

use crate::book::Written;
use crate::faults::Fault;
use crate::looks::Lens;
use crate::run::{Due, Reply, Run};
use crate::scene::{Kind, REQUEST_MS_MAX};

impl Run<'_> {
    pub(crate) fn begin(&mut self, at: usize, action: Action, fault: Option<Fault>) {
        let slow = fault == Some(Fault::Slow);
        let reply = match fault {
            Some(Fault::Duplicate) => Reply::Twice,
            Some(Fault::LostReply | Fault::CommitLost) => Reply::Lost,
            Some(Fault::CrashAfter) => Reply::Crash,
            _ => Reply::Comes,
        };
        match action {
            Action::Append { seq, event } => {
                if fault == Some(Fault::CommitUnsure) {
                    let input = Input::AppendFailed(Trouble::Unsure);
                    return self.later(5, Due::Reply { seat: at, input });
                }
                if self.world.now < self.book.down_until {
                    let input = Input::AppendFailed(Trouble::Unavailable);
                    return self.later(5, Due::Reply { seat: at, input });
                }
                let ms = self.rng.between(1, 6);
                self.later(ms, Due::Commit { seat: at, seq, event, reply });
            }
            Action::Reload => self.later(4, Due::Reload { seat: at }),
            Action::Witness { intent } => {
                let epoch = self.seats.get(at).map_or(0, |seat| seat.epoch);
                let full = self.world.now < self.book.witness_full_until;
                let ok = fault != Some(Fault::WitnessDown) && !full && self.book.bear_witness(epoch);
                if reply == Reply::Crash {
                    return self.crash(at);
                }
                self.later(2, Due::Reply { seat: at, input: Input::Witnessed { intent, ok } });
            }
            Action::Carry { effect, limit_ms } => self.begin_carry(at, effect, limit_ms, fault, reply),
            Action::Look { query, limit_ms } => {
                if fault == Some(Fault::Blind) {
                    return self.later(40, Due::Reply { seat: at, input: Input::Seen(query, None) });
                }
                let ms = if slow {
                    self.rng.between(500, REQUEST_MS_MAX.min(limit_ms) - 100)
                } else {
                    self.rng.between(3, 30)
                };
                let lens = match fault {
                    Some(Fault::Partial) => Lens::Partial,
                    Some(Fault::Skipped) => Lens::Skips,
                    Some(_) | None => Lens::Clear,
                };
                let Some(state) = self.snapshot(at) else { return };
                // What is seen may be older than the answer.
                let seen = self.rng.between(1, ms);
                self.later(seen, Due::Look { seat: at, query, lens, state, reply, answer_ms: ms - seen });
            }
        }
    }

    pub(crate) fn begin_carry(
        &mut self,
        at: usize,
        effect: Effect,
        limit_ms: u64,
        fault: Option<Fault>,
        reply: Reply,
    ) {
        let intent = effect.intent;
        let answer = |outcome| Due::Reply { seat: at, input: Input::Ended { intent, outcome } };
        let epoch = self.seats.get(at).map_or(0, |seat| seat.epoch);
        let Some(state) = self.snapshot(at) else { return };
        match fault {
            Some(Fault::Failed) => return self.later(20, answer(Outcome::Failed { retry: true })),
            Some(Fault::FailedForGood) => return self.later(20, answer(Outcome::Failed { retry: false })),
            Some(Fault::LostRequest) => return self.later(limit_ms, answer(Outcome::Unknown)),
            Some(Fault::LateEffect | Fault::SlowBirth) => {
                let slow = fault == Some(Fault::SlowBirth) && self.may_be_late();
                let most = if slow { 4 * REQUEST_MS_MAX } else { REQUEST_MS_MAX };
                let ms = self.rng.between(1, most);
                self.later(ms, Due::Late { effect, state, epoch });
                return self.later(10, answer(Outcome::Unknown));
            }
            Some(Fault::CrashDuring) => {
                let ms = self.rng.between(1, REQUEST_MS_MAX);
                self.later(ms, Due::Late { effect, state, epoch });
                return self.crash(at);
            }
            _ => {}
        }
        if let (Op::Deliver(file, _), Some(shared)) = (&effect.op, &mut self.world.shared)
            && shared.file == *file
        {
            shared.read_at = self.world.now;
        }
        let slow = fault == Some(Fault::Slow);
        let ms = if slow { self.rng.between(400, REQUEST_MS_MAX - 100) } else { self.rng.between(3, 40) };
        self.later(ms, Due::Carry { seat: at, effect, state, reply });
    }

    /// Only where a list with labels shows what came late can anybody find it.
    pub(crate) fn may_be_late(&self) -> bool {
        self.world.scene.kind == Kind::Independent && self.world.plan.capabilities.list
    }

    pub(crate) fn snapshot(&self, at: usize) -> Option<Box<State>> {
        self.seats.get(at).map(|seat| Box::new(seat.driver.state().clone()))
    }

    pub(crate) fn happen(&mut self, due: Due) {
        match due {
            Due::Commit { seat, seq, event, reply } => self.commit(seat, seq, &event, reply),
            Due::Reload { seat } => match self.book.replay(&self.core) {
                Ok(state) => self.hear(seat, Input::Reloaded(Box::new(state))),
                Err(what) => self.violate("replay", what),
            },
            Due::Carry { seat, effect, state, reply } => {
                let epoch = self.seats.get(seat).map_or(0, |seat| seat.epoch);
                let heard = match reply {
                    Reply::Comes | Reply::Twice => true,
                    Reply::Lost => false,
                    Reply::Crash => self.rng.one_in(2),
                };
                let outcome = self.carry_out(&effect, &state, epoch, heard);
                let intent = effect.intent;
                match reply {
                    Reply::Lost => {
                        let input = Input::Ended { intent, outcome: Outcome::Unknown };
                        self.later(2_500, Due::Reply { seat, input });
                    }
                    Reply::Crash => self.crash(seat),
                    Reply::Comes | Reply::Twice => {
                        let input = Input::Ended { intent, outcome };
                        if reply == Reply::Twice {
                            self.later(3, Due::Reply { seat, input: input.clone() });
                        }
                        self.hear(seat, input);
                    }
                }
            }
            Due::Look { seat, query, lens, state, reply, answer_ms } => {
                self.look(seat, query, lens, &state, reply, answer_ms);
            }
            Due::PutBack => {
                self.book.put_back();
                self.take_over();
            }
            Due::StoreBack => self.world.put_back_store(),
            Due::Reply { seat, input } => self.hear(seat, input),
            Due::Late { effect, state, epoch } => {
                self.say(|| format!("     a request arrives late: {:?}", effect.op));
                self.carry_out(&effect, &state, epoch, false);
            }
            Due::TakeOver => self.take_over(),
            Due::Operator => {
                self.operator_called = false;
                self.operate();
            }
            Due::Resume => {
                if let Some(at) = self.driving() {
                    self.hear(at, Input::Told(Fact::Resumed));
                }
            }
        }
    }

    fn look(&mut self, seat: usize, query: Query, lens: Lens, state: &State, reply: Reply, answer_ms: u64) {
        let Some(epoch) = self.seats.get(seat).filter(|seat| seat.alive).map(|seat| seat.epoch) else {
            return;
        };
        let fact = self.world.see(&query, state, epoch, lens);
        if reply == Reply::Crash {
            return self.crash(seat);
        }
        let input = Input::Seen(query, fact);
        if reply == Reply::Twice {
            self.later(answer_ms + 3, Due::Reply { seat, input: input.clone() });
        }
        self.later(answer_ms, Due::Reply { seat, input });
    }

    pub(crate) fn commit(&mut self, seat: usize, seq: Seq, event: &Event, reply: Reply) {
        if self.book.lost() {
            self.violate("I9", "an older copy of the journal is written on".into());
        }
        let written = self.book.append(seq, event);
        if written == Written::Yes {
            self.written(seat, event);
        }
        match (reply, written) {
            (Reply::Crash, _) => self.crash(seat),
            (Reply::Lost, Written::Yes) | (_, Written::Conflict) => {
                self.hear(seat, Input::AppendFailed(Trouble::Unsure));
            }
            (_, Written::Fenced) => self.hear(seat, Input::AppendFailed(Trouble::Fenced)),
            (Reply::Comes | Reply::Twice, Written::Yes) => self.hear(seat, Input::Appended),
        }
    }

    pub(crate) fn crash(&mut self, at: usize) {
        self.say(|| format!("     driver {at} dies"));
        if let Some(seat) = self.seats.get_mut(at) {
            seat.alive = false;
        }
        let mut kept = Vec::new();
        for (when, order, due) in std::mem::take(&mut self.due) {
            match due {
                Due::Commit { seat, seq, event, .. } if seat == at => {
                    // The commit was sent: it happened, or not.
                    if self.rng.one_in(2) && self.book.append(seq, &event) == Written::Yes {
                        self.written(at, &event);
                    }
                }
                Due::Carry { seat, effect, state, .. } if seat == at => {
                    let epoch = self.seats.get(at).map_or(0, |seat| seat.epoch);
                    if effect.op.at_issuer() {
                        let ms = self.rng.between(1, REQUEST_MS_MAX);
                        if self.rng.one_in(2) {
                            kept.push((self.world.now + ms, order, Due::Late { effect, state, epoch }));
                        }
                    } else if self.rng.one_in(2) {
                        // Children of a dead driver are ended or awaited before the next one begins.
                        self.carry_out(&effect, &state, epoch, false);
                    }
                }
                Due::Reload { seat } | Due::Look { seat, .. } | Due::Reply { seat, .. } if seat == at => {}
                due => kept.push((when, order, due)),
            }
        }
        self.due.extend(kept);
        if self.driving().is_none() && !self.taking_over() {
            let ms = self.rng.between(30, 900);
            self.later(ms, Due::TakeOver);
        }
    }
}
