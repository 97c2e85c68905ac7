//! An input goes through a driver; what a driver writes reaches the journal; a driver dies.

use keyroll_engine::{Drive, Input};
use keyroll_rotation::{Event, Fact, Phase, Query, Seq};

use crate::away_checks;
use crate::calls::{CallResult, Reply, Wrote};
use crate::faults::Fault;
use crate::look::WholeLook;
use crate::scene::REQUEST_MS_MAX;
use crate::schedule::{Due, Run};

impl Run {
    /// An input goes through a driver: one step, with everything checked after it.
    pub(crate) fn hear(&mut self, at: usize, mut input: Input) {
        let besides = (self.mutant.besides)(&input);
        (self.mutant.input)(&mut input);
        self.take_in(at, input);
        if let Some(input) = besides {
            self.take_in(at, input);
        }
    }

    fn take_in(&mut self, at: usize, input: Input) {
        let mono = self.world.mono();
        let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.alive) else { return };
        if let Some(log) = &mut self.log {
            let text = match &input {
                Input::Reloaded(state) => format!("Reloaded at entry {}", state.seq()),
                other => format!("{other:?}"),
            };
            log.push(format!("{:>8} ms       driver {at} hears {text}", self.world.now));
        }
        let kind = match &input {
            Input::Appended => 1,
            Input::AppendFailed(_) => 2,
            Input::Reloaded(_) => 3,
            Input::Witnessed { .. } => 4,
            Input::Seen(..) => 5,
            Input::Ended { .. } => 6,
            Input::Told(_) => 7,
        };
        slot.told(&input);
        let told = match &input {
            Input::Seen(Query::Enumerate, Some(Fact::Enumerated(seen)))
                if seen.complete && slot.looking.is_some() =>
            {
                slot.look_shown = slot.looking.take();
                Some(WholeLook {
                    epoch: slot.epoch,
                    at: slot.enumerated_at,
                    entry: 0,
                    sessions_at: slot.sessions_at.min(slot.enumerated_at),
                    truth: slot.truth_read,
                    absent: away_checks::hosts(&seen.absent),
                })
            }
            _ => None,
        };
        let before = slot.driver.state().hold();
        if told.is_some() {
            slot.look = told;
        }
        slot.driver.on(input, mono);
        slot.dirty = true;
        let after = slot.driver.state().hold();
        self.steps += 1;
        let (phase, seq) = (slot.driver.state().phase(), slot.driver.state().seq());
        for part in [self.world.now, kind, seq, phase as u64, at as u64] {
            self.trace = (self.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
        }
        let epoch = self.slots.get(at).map_or(0, |slot| slot.epoch);
        self.enter(at, phase, epoch);
        self.note_phase(at, phase, epoch);
        self.check_hold(before, after);
        self.check(at);
        self.check_waits(at);
    }

    /// A driver begins with what the journal holds. If its predecessor reached a phase but died before it learned so,
    /// the phase was reached on the predecessor's evidence.
    pub(crate) fn replayed(&mut self, at: usize) {
        let Some(phase) = self.slots.get(at).map(|slot| slot.driver.state().phase()) else { return };
        let epoch = self.world.asked_use.map_or(0, |asked| asked.0);
        self.enter(at, phase, epoch);
        let other = self.ledger.entries.iter().rev().find(|event| event.fact != Fact::DriverStarted);
        self.note_phase(at, phase, other.map_or(0, |event| event.at.epoch));
    }

    /// The rotation is in this phase now, on evidence of the driver with this epoch.
    fn enter(&mut self, at: usize, phase: Phase, epoch: u64) {
        let from = std::mem::replace(&mut self.last_phase, phase);
        if phase == from {
            return;
        }
        if let (Some(states), Some(slot)) = (&mut self.states, self.slots.get(at)) {
            states.push(slot.driver.state().clone());
        }
        if phase == Phase::RollingBack {
            self.world.rolling_since = self.world.now;
            self.audit.back_asked = self.last_told();
        }
        self.note_turn(from);
        self.check_idle(at, epoch, from, phase);
        self.check_soaked(at, from, phase);
        self.say(|| format!("     {from:?} -> {phase:?}"));
        if let Some(coverage) = &mut self.coverage {
            coverage.transition(from, phase);
        }
        self.check_ways(at);
    }

    /// When the driver heard what the last entry says.
    fn last_told(&self) -> u64 {
        let here = |event: &&Event| event.at.boot == self.world.boot;
        let at = self.ledger.entries.last().filter(here);
        at.map_or(self.world.now, |event| event.at.ms.saturating_add(self.world.boot_at).min(self.world.now))
    }

    pub(crate) fn happen(&mut self, due: Due) {
        match due {
            Due::Commit { slot, seq, event, ticket, reply } => self.commit(slot, seq, &event, ticket, reply),
            call @ Due::Call { .. } => self.arrive(call),
            Due::Answer { slot, ticket, answer } => self.answered(slot, ticket, answer),
            Due::PutBack => {
                self.ledger.put_back();
                self.begin_take_over();
            }
            Due::StoreBack => self.world.put_back_store(),
            Due::Hear { slot, input } => self.hear(slot, input),
            Due::Late { scope, call } => {
                self.say(|| format!("     a request arrives late: {call:?}"));
                self.execute(scope, &call);
            }
            Due::Order(order) => self.order_arrives(&order),
            Due::TakeOver => self.begin_take_over(),
            Due::Back(host) => self.host_back(host),
            Due::SaidGone(host) => self.said_gone(host),
            Due::TurnBack => self.turn_back(),
            Due::Watch => self.look_again(),
            Due::Operator => {
                self.operator_called = false;
                self.operate();
            }
            Due::Resume => {
                if let Some(at) = self.driving().filter(|_| !self.helps()) {
                    self.tell(at, Fact::Resumed);
                }
            }
        }
    }

    fn fault_of(&self, scope: Option<usize>) -> Option<Fault> {
        scope.and_then(|at| self.scopes.get(at)).and_then(|it| it.fault)
    }

    fn ticket(&mut self) -> usize {
        self.answers.push(None);
        self.answers.len() - 1
    }

    /// Sends an entry to the journal. Returns the number of its answer.
    pub(crate) fn begin_append(
        &mut self,
        slot: usize,
        scope: Option<usize>,
        seq: Seq,
        event: &Event,
    ) -> usize {
        let (ticket, fault) = (self.ticket(), self.fault_of(scope));
        let answer = |wrote| Due::Answer { slot, ticket, answer: CallResult::Written(wrote) };
        if fault == Some(Fault::CommitUnsure) {
            self.later(5, answer(Wrote::Unsure));
        } else if self.world.now < self.ledger.down_until {
            self.later(5, answer(Wrote::Unavailable));
        } else {
            let reply = match fault {
                Some(Fault::CommitLost) => Reply::Lost,
                Some(Fault::CrashAfter) => Reply::Crash,
                _ => Reply::Comes,
            };
            let ms = self.rng.between(1, 6);
            self.later(ms, Due::Commit { slot, seq, event: event.clone(), ticket, reply });
        }
        ticket
    }

    /// The witness is advanced.
    pub(crate) fn begin_witness(&mut self, slot: usize, scope: Option<usize>) -> usize {
        let (ticket, fault) = (self.ticket(), self.fault_of(scope));
        let epoch = self.slots.get(slot).map_or(0, |slot| slot.epoch);
        let full = self.world.now < self.ledger.witness_full_until;
        let ok = fault != Some(Fault::WitnessDown) && !full && self.ledger.bear_witness(epoch);
        if fault == Some(Fault::CrashAfter) {
            self.crash(slot);
            return ticket;
        }
        let answer = CallResult::Written(if ok { Wrote::Yes } else { Wrote::Unavailable });
        self.later(2, Due::Answer { slot, ticket, answer });
        ticket
    }

    /// The journal is read again.
    pub(crate) fn begin_reload(&mut self, slot: usize) -> usize {
        let ticket = self.ticket();
        self.later(4, Due::Answer { slot, ticket, answer: CallResult::Written(Wrote::Yes) });
        ticket
    }

    fn commit(&mut self, slot: usize, seq: Seq, event: &Event, ticket: usize, reply: Reply) {
        if self.ledger.lost() {
            self.violate("I9", "an older copy of the journal is written on".into());
        }
        let wrote = self.ledger.append(seq, event);
        if wrote == Wrote::Yes {
            self.written(slot, event);
        }
        match (reply, wrote) {
            (Reply::Crash, _) => self.crash(slot),
            (Reply::Lost, Wrote::Yes) => self.answered(slot, ticket, CallResult::Written(Wrote::Unsure)),
            (Reply::Lost | Reply::Comes, wrote) => self.answered(slot, ticket, CallResult::Written(wrote)),
        }
    }

    /// A task has a result for its driver. Returns whether the driver hears it: the driver may die instead.
    pub(crate) fn task_ended(&mut self, scope: usize, input: &Input) -> bool {
        let Some((slot, fault)) = self.scopes.get(scope).map(|it| (it.slot, it.fault)) else { return true };
        match fault {
            Some(Fault::CrashAfter) => {
                self.crash(slot);
                false
            }
            // Lists are compared with each other, and a look counts from when it was asked for: a shell hands each of them on once.
            Some(Fault::Duplicate) if matches!(input, Input::Seen(Query::List | Query::Enumerate, _)) => true,
            Some(Fault::Duplicate) => {
                self.later(3, Due::Hear { slot, input: input.clone() });
                true
            }
            Some(_) | None => true,
        }
    }

    pub(crate) fn crash(&mut self, at: usize) {
        self.say(|| format!("     driver {at} dies"));
        if let Some(slot) = self.slots.get_mut(at) {
            slot.alive = false;
        }
        let mut kept = Vec::new();
        for (when, order, due) in std::mem::take(&mut self.due) {
            match due {
                Due::Commit { slot, seq, event, .. } if slot == at => {
                    // The commit was sent; it may or may not have happened.
                    if self.rng.one_in(2) && self.ledger.append(seq, &event) == Wrote::Yes {
                        self.written(at, &event);
                    }
                }
                Due::Call { slot, scope, call, .. } if slot == at => {
                    if call.at_issuer() || call.at_truth() {
                        let ms = self.rng.between(1, REQUEST_MS_MAX);
                        if self.rng.one_in(2) {
                            kept.push((self.world.now + ms, order, Due::Late { scope, call }));
                        }
                    } else if call.changes() && self.rng.one_in(2) {
                        // Children of a dead driver are ended or awaited before the next one begins.
                        self.execute(scope, &call);
                    }
                }
                Due::Answer { slot, .. } | Due::Hear { slot, .. } if slot == at => {}
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
