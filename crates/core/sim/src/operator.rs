//! The simulated operator: answers the driver's questions, and removes causes before `retry`.

use keyroll_engine::{Command, DriverState};
use keyroll_rotation::{
    Adoptee, Consumer, ConsumerId, CredId, Emergency, Event, Fact, FileId, Hold, Incarnation, OldKey,
    OldKeyUse, Op, Outside, Person, Phase, Reason, ReloadMode, State, Waived, old_key_use, step,
};

use crate::issuer::{FOREIGN, OLD, OWN, Value};
use crate::process::Proc;
use crate::quirks::Quirk;
use crate::scene::Family;
use crate::schedule::{Due, Run, WORDS_MAX};

/// How often the operator goes on after a refused use of the old key.
const REFUSED_MAX: u32 = 6;

/// How often a debt is asked to be paid.
const DEBTS_MAX: u32 = 6;

impl Run {
    /// The operator reads why the rotation is held, and acts.
    pub(crate) fn operate(&mut self) {
        let Some(at) = self.driving() else { return };
        let Some(standing) = self.slots.get(at).map(|slot| slot.standing.clone()) else { return };
        self.check_standstill(at);
        self.say(|| format!("     the operator finds {standing:?}"));
        if self.helps() {
            return self.help(at);
        }
        self.words += 1;
        if self.words > WORDS_MAX {
            return self.violate("I7", format!("the operator acted {WORDS_MAX} times: {standing:?}"));
        }
        if self.world.scene.quirks.has(Quirk::WrongWords) && self.rng.one_in(6) {
            self.wrong_word(at);
        }
        match standing {
            DriverState::Driving | DriverState::Lost => {}
            DriverState::Ended => self.settle_debt(at),
            DriverState::Person(people) => {
                if let Some(person) = people.into_iter().next() {
                    if let Person::Consent(digest) = person {
                        self.note_question(at, digest);
                        self.check_asked(at);
                    }
                    self.step_in(at, person);
                }
            }
            DriverState::Held(hold) if self.waives_absent(at, hold) => {}
            DriverState::Held(hold) => self.held(at, hold),
        }
    }

    pub(crate) fn word(&mut self, at: usize, fact: Fact) {
        if self.rng.one_in(4) && !self.taking_over() {
            // The process that drove has ended meanwhile: another one takes the command.
            self.crash(at);
            return;
        }
        self.tell(at, fact);
    }

    /// No operator is there to answer.
    fn desert(&mut self, at: usize) {
        self.say(|| "     nobody is there to consent".to_owned());
        if let Some(slot) = self.slots.get_mut(at) {
            slot.say(Command::Unanswered);
        }
    }

    fn settle_debt(&mut self, at: usize) {
        let owes = self.slots.get(at).is_some_and(|slot| slot.driver.state().debt().is_some());
        if owes && self.debts < DEBTS_MAX {
            self.debts += 1;
            self.later(30_000, Due::Resume);
            self.waive_for_debt(30_100);
            return;
        }
        self.ended = true;
    }

    fn step_in(&mut self, at: usize, person: Person) {
        let now = self.world.now;
        match person {
            Person::Consent(_) if self.rng.one_in(4) => self.desert(at),
            Person::Consent(digest) => self.word(at, Fact::Consented(digest)),
            Person::MintByHand => {
                let id = self.key_by_hand();
                self.tell(at, Fact::HandMinted(id));
            }
            Person::RevokeByHand => {
                let old = self.world.old_id();
                self.hand_revoke_check();
                self.world.issuer.end(&old, now);
                self.tell(at, Fact::HandRevoked);
            }
        }
    }

    /// The key that the operator makes at the console, or has made there.
    pub(crate) fn key_by_hand(&mut self) -> CredId {
        let now = self.world.now;
        let made = self.world.hand_made.clone().filter(|id| self.world.issuer.living(id).is_some());
        let id = made.unwrap_or_else(|| {
            let value = self.world.fresh_value();
            let id = self.world.issuer.mint(value, 0, now);
            if let Some(cred) = self.world.issuer.by_value_mut(value) {
                cred.label = None;
            }
            id
        });
        self.world.hand_made = Some(id.clone());
        id
    }

    fn held(&mut self, at: usize, hold: Hold) {
        let reason = hold.reason();
        let by_others = self.audit.disabled_unknown();
        if reason == Reason::Consent && self.old_is_off() && !by_others {
            return self.violate("I5", "no operator is there, and the old key stays disabled".into());
        }
        // Whatever the reason for the hold, the operator notices an older store and puts the right one back.
        self.world.put_back_store();
        match reason {
            Reason::Holder(who) => return self.explain(at, who),
            Reason::Unsearched(who) => return self.search_or_waive(at, who),
            Reason::Stranger(place) => {
                if self.rng.one_in(2) {
                    self.world.strangers.retain(|(held, _)| *held != place);
                } else {
                    self.world.strangers_waived.push(place);
                    return self.word(at, Fact::Waived(Waived::Copy(place)));
                }
            }
            Reason::Foreign(file) => self.mend_foreign(file),
            Reason::UnknownLabel(_) | Reason::Unclear(_) => self.clean_console(at),
            Reason::ChangedElsewhere if self.goes_back(at) => return self.word(at, Fact::AbortAsked),
            Reason::ChangedElsewhere => self.mend_truth(at),
            Reason::RefusedUse if self.refused_often() => {
                // The issuer shows the key enabled again and again, although nobody else is there: the operator gives up.
                return self.word(at, Fact::AbortAsked);
            }
            Reason::RefusedUse => {
                // The operator finds and ends the process that used the key.
                self.world.procs.retain(|proc| proc.consumer.is_some());
            }
            Reason::Failed(Phase::Stage) => self.world.uncarried.clear(),
            Reason::NewKeyRefused => return self.make_another(at),
            Reason::Unit(_) | Reason::Overdue(_) if self.new_is_gone(at) => return self.make_another(at),
            Reason::Unit(_) => self.mend_files(),
            Reason::Unaccepted(_) => self.accept(at),
            Reason::Overdue(Phase::Probe) if self.unaccepted_often(at) => return self.make_another(at),
            Reason::Failed(phase) | Reason::Overdue(phase)
                if phase != Phase::Stage && self.finds_revoked(at) =>
            {
                return self.tell(at, Fact::HandRevoked);
            }
            Reason::Failed(_) | Reason::Overdue(_) if self.is_wrong() && self.may_say_revoked(at) => {
                self.audit.said_revoked = true;
                return self.word(at, Fact::HandRevoked);
            }
            Reason::Overdue(_) => self.help_overdue(hold),
            Reason::LastUseNotShown if self.rng.one_in(2) => {
                return self.tell(at, Fact::Waived(Waived::LastUse));
            }
            // The issuer answers now and then, and shows a use each time: a waiver would never end that.
            Reason::LastUseNotShown => {
                self.help_overdue(hold);
                self.end_shown_users(at);
            }
            Reason::Canary(_) if self.rng.one_in(8) && self.can_abort(at) => {
                return self.word(at, Fact::AbortAsked);
            }
            Reason::Asked
            | Reason::Canary(_)
            | Reason::Consent
            | Reason::Unreadable(_)
            | Reason::Failed(_)
            | Reason::Drifting => {}
        }
        self.go_on(at, hold);
    }

    /// The cause of a hold is removed, or the operator has looked.
    fn go_on(&mut self, at: usize, hold: Hold) {
        let fact = match hold {
            Hold::Paused(_) => Fact::Resumed,
            Hold::Stuck(_) => Fact::Retried,
        };
        self.word(at, fact);
    }

    /// The issuer made no key although it answered *done*: the operator aborts, or has another key minted.
    fn make_another(&mut self, at: usize) {
        let anew = Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true };
        let back = self.can_abort(at);
        self.enable_at_console(at);
        self.word(at, if back { Fact::AbortAsked } else { anew });
    }

    /// A rollback that does not end needs the old key: the operator looks at the console, and enables it where the issuer did not
    /// although it answered *done*.
    fn enable_at_console(&mut self, at: usize) {
        let Some(state) = self.snapshot(at) else { return };
        if state.phase() == Phase::RollingBack && state.old_key() == OldKey::On && self.old_is_off() {
            let (old, now) = (self.world.old_id(), self.world.now);
            self.world.issuer.switch(&old, true, now);
        }
    }

    pub(crate) fn can_abort(&self, at: usize) -> bool {
        self.slots.get(at).is_some_and(|slot| may_abort(slot.driver.state()))
    }

    /// The operator believes wrongly that the old key ended.
    fn is_wrong(&mut self) -> bool {
        self.world.scene.quirks.has(Quirk::WrongWords) && self.rng.one_in(4)
    }

    /// The operator finds at the console that the old key has ended, and the rotation does not know that yet: said again and again
    /// it would end no wait for something else.
    fn finds_revoked(&self, at: usize) -> bool {
        let known = self.slots.get(at).is_some_and(|slot| slot.driver.state().old_key() == OldKey::Ended);
        self.old_is_gone() && !known && self.may_say_revoked(at)
    }

    /// The rotation takes the statement in.
    fn may_say_revoked(&self, at: usize) -> bool {
        let Some(slot) = self.slots.get(at) else { return false };
        let state = slot.driver.state();
        let event = Event { at: state.now(), fact: Fact::HandRevoked };
        step(state, &event).is_ok()
    }

    /// The operator writes the old value over another party's content. A host that was waived may be back with a value that was
    /// abandoned meanwhile.
    fn mend_foreign(&mut self, file: FileId) {
        if self.world.file(file) == FOREIGN || self.audit.waives_hosts {
            self.world.write(file, self.world.first_value(), false);
        }
    }

    /// What an operator does about a phase that lasts too long.
    fn help_overdue(&mut self, hold: Hold) {
        // Nothing is accepted any more: the operator enables the old key that somebody disabled. So does one who said wrongly that a
        // shared key was revoked, and looks at the console because no list comes.
        let said = self.audit.said_revoked && self.world.scene.family == Family::End;
        if matches!(hold, Hold::Stuck(_)) && (self.audit.disabled_by_others || said) {
            let (old, now) = (self.world.old_id(), self.world.now);
            self.world.issuer.switch(&old, true, now);
        }
        // The operator restarts what holds on to the old key, and ends a process that was waived and uses it.
        let holds_on = |proc: &Proc| proc.pool.is_some() || proc.also.is_some();
        for at in 0..self.world.procs.len() {
            if self.world.procs.get(at).is_some_and(holds_on) {
                self.world.restart(at, false);
            }
        }
        self.world.procs.retain(|proc| !proc.waived);
        // An instance that started with another party's edit, or took the old value late, shows no evidence, also once its file is
        // mended: keyroll names it.
        self.restart_members(|value| value != OWN);
    }

    /// The rotation says that the issuer still shows uses of the key that ends, and a waiver did not end that: the operator ends
    /// what uses the key, on a host that is only cut off from keyroll too.
    fn end_shown_users(&mut self, at: usize) {
        let Some(state) = self.snapshot(at) else { return };
        let is_waiver = |event: &Event| event.fact == Fact::Waived(Waived::LastUse);
        let waived = self.ledger.ever().iter().any(is_waiver);
        if waived && matches!(old_key_use(&state), Some(OldKeyUse::Shown(_))) {
            self.do_outside(at, &state, Outside::EndUsers);
        }
    }

    /// The operator reads and accepts the pending changes because of which a restart was refused.
    fn accept(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        for difference in slot.driver.state().refused().to_vec() {
            self.tell(at, Fact::Accepted(difference));
        }
    }

    fn mend_files(&mut self) {
        for place in 0..self.world.files.len() {
            let Ok(file) = u16::try_from(place).map(FileId) else { continue };
            let ended = self.world.scene.family == Family::End;
            if self.world.file(file) == FOREIGN || (ended && self.world.file(file) == OLD) {
                self.world.write(file, self.world.first_value(), false);
            }
        }
        // The operator repairs a consumer that returned to the key, also one that has no file.
        self.restart_members(|value| value != OWN);
    }

    /// A rotation that only ends a key moves no consumer: the operator restarts its instances with such a value.
    fn restart_members(&mut self, is_astray: impl Fn(Value) -> bool) {
        if self.world.scene.family != Family::End {
            return;
        }
        let astray = |it: &Proc| it.consumer.is_some() && is_astray(it.loaded);
        for at in 0..self.world.procs.len() {
            if self.world.procs.get(at).is_some_and(&astray) {
                self.world.restart(at, false);
            }
        }
    }

    /// The rotation paused for a refused use again and again.
    fn refused_often(&mut self) -> bool {
        self.refused_pauses += 1;
        self.refused_pauses > REFUSED_MAX
    }

    /// The new value was not accepted again and again, and another key may be made.
    fn unaccepted_often(&mut self, at: usize) -> bool {
        self.unaccepted_pauses += 1;
        // A shared key has no emergency in which another key is made.
        let may = self.world.scene.family != Family::Part || self.can_abort(at);
        self.unaccepted_pauses > 2 && may
    }

    /// Another party ended the new key.
    fn new_is_gone(&self, at: usize) -> bool {
        let state = self.slots.get(at).map(|slot| slot.driver.state());
        let new = state.and_then(|state| state.new_version());
        self.audit.new_ended > 0 && new.is_some_and(|new| self.world.issuer.is_gone(&new.credential))
    }

    fn old_is_off(&self) -> bool {
        self.world.issuer.creds.first().is_some_and(|cred| cred.off.is_some() && cred.ended.is_none())
    }

    pub(crate) fn old_is_gone(&self) -> bool {
        self.world.issuer.creds.first().is_some_and(|cred| cred.ended.is_some())
    }

    /// The operator deletes, at the console, the credentials that the journal does not know.
    pub(crate) fn clean_console(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let state = slot.driver.state();
        let known = state.new_version().map(|new| new.credential.clone());
        let (now, first) = (self.world.now, self.world.first_value());
        let orphans: Vec<_> = self
            .world
            .issuer
            .live()
            .filter(|cred| !cred.of_colleague())
            .filter(|cred| cred.value != first && cred.value != OLD && Some(&cred.id) != known.as_ref())
            .map(|cred| cred.value)
            .collect();
        for value in orphans {
            if let Some(cred) = self.world.issuer.by_value_mut(value) {
                cred.ended = Some(now);
            }
        }
    }

    /// `retry` is durable. Where nothing shows what became of a mint, it says that the operator has found out and left no key: one
    /// whose word was on its way before that question looks now.
    pub(crate) fn settle_mint(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let state = slot.driver.state();
        let Some(Hold::Stuck(Reason::Unclear(seq))) = state.hold() else { return };
        if state.intents().iter().any(|open| open.seq == seq && open.op == Op::Mint) {
            self.clean_console(at);
        }
    }

    /// The operator adopts or waives an undeclared holder or copy; one that is gone needs nothing.
    fn explain(&mut self, at: usize, who: Incarnation) {
        let Some(place) = self.process_of(who) else { return self.word(at, Fact::Resumed) };
        let back = self.slots.get(at).is_some_and(|slot| slot.driver.state().phase() == Phase::RollingBack);
        if back || self.rng.one_in(2) {
            if self.rng.one_in(2) {
                self.world.procs.remove(place);
                return self.word(at, Fact::Resumed);
            }
            if let Some(proc) = self.world.procs.get_mut(place) {
                proc.waived = true;
            }
            return self.tell(at, Fact::Waived(Waived::Holder(who)));
        }
        let Some(state) = self.snapshot(at) else { return };
        if let Some(fact) = self.adoption(&state, Adoptee::Holder(who)) {
            self.tell(at, fact);
        }
    }

    /// The effect of an adoption in the world: the process has a file now, with the value that it holds; or the copy is a file,
    /// which a job at rest reads.
    pub(crate) fn adopted(&mut self, consumer: &Consumer, explains: Adoptee) {
        let (place, copy) = match explains {
            Adoptee::Holder(who) => (self.process_of(who), None),
            Adoptee::Copy(place) => (None, self.world.strangers.iter().find(|it| it.0 == place).copied()),
        };
        self.world.strangers.retain(|held| Some(*held) != copy);
        let id = ConsumerId(u16::try_from(self.world.plan.consumers.len()).unwrap_or(u16::MAX));
        let held = place.and_then(|place| self.world.procs.get(place)).map_or(OLD, |proc| proc.loaded);
        let value = copy.map_or(held, |(_, value)| value);
        self.world.plan.consumers.push(consumer.clone());
        self.world.plan.files.push(consumer.host);
        self.world.files.push(value);
        self.world.edited.push(self.world.now);
        match place.and_then(|place| self.world.procs.get_mut(place)) {
            // A waiver of it may have been lost with a driver. Whoever adopts it does not end it as one that was waived, and it is
            // judged as each other instance.
            Some(proc) => (proc.consumer, proc.waived) = (Some(id), false),
            None => {
                let place = self.world.process(Some(id), 0, consumer.host, value);
                if let Some(proc) = self.world.procs.get_mut(place) {
                    proc.by_us = false;
                    proc.at_rest = consumer.uptake == ReloadMode::AtRest;
                    proc.active = !proc.at_rest;
                }
            }
        }
    }
}

/// Whether an abort is legal now.
fn may_abort(state: &State) -> bool {
    step(state, &Event { at: state.now(), fact: Fact::AbortAsked }).is_ok()
}
