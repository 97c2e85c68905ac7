//! The invariants. The world and its answers decide about them, never what a core believes.

use keyroll_rotation::{
    Canary, Consumer, Delivery, Effect, Emergency, Event, Fact, Hold, Kinds, OldKey, Op, Outcome, Overlap,
    Phase, Reason, Reconciled, Stamp, State, Unit, UnitStep, Waived, Which, step,
};

use crate::calls::{Call, CallResult};
use crate::issuer::{Cred, FOREIGN, OLD, Value};
use crate::look::WholeLook;
use crate::process::Proc;
use crate::quirks::Quirk;
use crate::scene::{Family, REQUEST_MS_MAX, SESSION_MS};
use crate::schedule::Run;
use crate::world::World;

impl Run {
    /// Carries an operation out and checks whether it did harm.
    pub(crate) fn carry_out(
        &mut self,
        effect: &Effect,
        state: &State,
        epoch: u64,
        call: &Call,
    ) -> CallResult {
        let stood: Vec<Value> = self.world.issuer.live().map(|cred| cred.value).collect();
        let stood: Vec<Value> = stood.into_iter().filter(|value| self.world.issuer.stands(*value)).collect();
        let hosts = self.world.host_epoch;
        // Nobody edits what a consumer's own command fetches: what is foreign there was given out.
        let fetched = |world: &World, at: usize| {
            let mut consumers = world.plan.consumers.iter().filter(|it| it.delivery == Delivery::Fetch);
            consumers.any(|it| it.files.iter().any(|file| file.index() == at))
        };
        let foreign = |world: &World| {
            let held = world.files.iter().enumerate().filter(|(_, held)| **held == FOREIGN);
            held.filter(|(at, _)| !fetched(world, *at)).count()
        };
        let foreign_before = foreign(&self.world);
        if epoch >= self.ledger.epoch {
            self.check_order(effect, state);
        }
        let answer = self.world.change(call, epoch);
        self.note_demote(effect);
        self.check_harm_at_truth(effect);
        if self.world.host_epoch.iter().zip(hosts).any(|(now, before)| *now < before) {
            self.violate("I8", format!("the epoch of a host went down at {:?}", effect.op));
        }
        if self.world.brought {
            self.violate("order", format!("{:?} makes an edit live that nobody accepted", effect.op));
        }
        if foreign(&self.world) < foreign_before {
            self.violate("order", format!("{:?} writes over somebody else's value", effect.op));
        }
        for value in stood {
            let colleague = self.world.issuer.by_value(value).is_some_and(Cred::of_colleague);
            if colleague && !self.world.issuer.stands(value) {
                self.violate("I1", format!("{:?} ends a colleague's key", effect.op));
            }
            if !self.world.issuer.stands(value) {
                self.check_harm(effect, value, state, Some(epoch));
            }
        }
        answer
    }

    /// The operator consented before every point of no return, except where a standing consent counts.
    fn check_consent(&mut self, digest: u64) {
        let mut given = None;
        for event in &self.ledger.entries {
            match &event.fact {
                Fact::Consented(digest) => given = Some(*digest),
                Fact::Adopted { .. } => given = None,
                _ => {}
            }
        }
        if !self.has_standing_consent() && given != Some(digest) {
            self.violate("I4", "decided without a person's consent to it".into());
        }
    }

    /// A standing consent counts: nothing is waived, and minting does not end the old value.
    pub(crate) fn has_standing_consent(&self) -> bool {
        // The waiver of a host, and of a consumer that was gone, is over once it is back.
        let of_host = |what: &Waived| matches!(what, Waived::Host(_));
        let waiver =
            |fact: &Fact| matches!(fact, Fact::Waived(what) if !of_host(what) && self.is_standing(what));
        let waived = self.ledger.entries.iter().any(|event| waiver(&event.fact)) || !self.left().is_empty();
        let plan = &self.world.plan;
        plan.policy.standing_consent && !waived && !plan.capabilities.exchanges()
    }

    pub(crate) fn hand_revoke_check(&mut self) {
        if !self.world.issuer.stands(OLD) {
            return;
        }
        let Some(at) = self.driving() else { return };
        let Some(state) = self.snapshot(at) else { return };
        let effect = Effect { intent: state.seq(), op: Op::Revoke, until_ms: None };
        self.check_harm(&effect, OLD, &state, None);
    }

    /// What ends a key is sent on a young look, whatever happened since: another process may have come to the key.
    pub(crate) fn check_young(&mut self, effect: &Effect, epoch: u64) {
        let newest = self.slots.last().map(|slot| slot.driver.state());
        let now = newest.is_some_and(|state| state.emergency() == Some(Emergency::RevokeNow));
        if now || epoch < self.ledger.epoch || !matches!(effect.op, Op::Disable | Op::Revoke | Op::DeleteNew)
        {
            return;
        }
        let look = self.look_of(epoch).map_or(0, |look| look.at);
        let age_ms = self.world.now.saturating_sub(look);
        if age_ms > self.world.plan.policy.look_age_ms_max + REQUEST_MS_MAX {
            self.violate("I4", format!("{:?} is sent on a look that is {age_ms} ms old", effect.op));
        }
    }

    /// I1, I4, I5: an effect of ours, asked for by the driver of this epoch or, with none, by hand, made the issuer refuse a value
    /// that it accepted before.
    fn check_harm(&mut self, effect: &Effect, value: Value, state: &State, epoch: Option<u64>) {
        if value == OLD && self.world.scene.family == Family::Part {
            return self.violate("I1", format!("{:?} takes a shared key from the others", effect.op));
        }
        let newest = self.slots.last().map_or(state, |slot| slot.driver.state());
        let revoke_now = newest.emergency() == Some(Emergency::RevokeNow);
        let emergency = newest.emergency().is_some();
        let decided = newest.decided();
        let gap = self.world.plan.capabilities.exchanges();
        if value == OLD && !decided && effect.op != Op::Disable {
            let announced = effect.op == Op::Mint && (emergency || newest.plan().recovery);
            if !announced {
                return self.violate(
                    "I5",
                    format!("{:?} ended the old key before the point of no return", effect.op),
                );
            }
        }
        // A look may be as old as this, and so may be what was heard about the new key.
        let long = self.audit.new_ended + newest.plan().policy.look_age_ms_max + REQUEST_MS_MAX;
        let ends = value == OLD && !revoke_now && matches!(effect.op, Op::Disable | Op::Revoke);
        let gone = newest.new_version().is_some_and(|new| self.world.issuer.is_gone(&new.credential));
        if ends && gone && self.world.now > long {
            return self.violate("I1", format!("{:?} takes the last key that is accepted", effect.op));
        }
        // The value is gone already, or it leaked and is in a slot: there the emergency ends it.
        if effect.op == Op::Mint && (gap || emergency) {
            return;
        }
        let abandoned = matches!(effect.op, Op::DeleteAbandoned(_) | Op::DeleteOrphan(_));
        if revoke_now && value == OLD {
            return;
        }
        let known = self.look_known(epoch, state.seq());
        let unlooked = (abandoned || effect.op == Op::Mint).then(WholeLook::default);
        let Some(look) = known.or(unlooked) else {
            let what = format!("{:?} without a complete look in its epoch", effect.op);
            return self.violate("I4", what);
        };
        let taken = look.at;
        if let Some(what) = self.taken_from(effect, value, &look, state) {
            return self.violate("I1", what);
        }
        let strange = self.world.strangers.iter().any(|(place, held)| {
            *held == value && *place < taken && !self.world.strangers_waived.contains(place)
        });
        if (value == OLD || effect.op == Op::DeleteNew) && strange {
            return self.violate("I4", format!("{:?} although a copy is undeclared", effect.op));
        }
        let gone = self.world.issuer.creds.first().and_then(|cred| cred.ended);
        let unseen = self.world.alive_at < self.world.moved_at.max(self.world.rolling_since);
        if effect.op == Op::DeleteNew && gone.is_some() && unseen {
            let what =
                "the new key is deleted, and the old one was not seen alive since everybody is back on it";
            return self.violate("I5", what.into());
        }
        let used = if effect.op == Op::DeleteNew { self.used_in_rollback(value) } else { None };
        if let Some(what) = used {
            return self.violate("I4", what.into());
        }
        if !abandoned && let Some(what) = self.ungated(effect, value, look, state) {
            self.violate("I4", what);
        }
    }

    /// A process that has the value, was to be seen with it, and was not excused.
    fn taken_from(&self, effect: &Effect, value: Value, look: &WholeLook, state: &State) -> Option<String> {
        // A version is abandoned where it leaked or the issuer refuses it: nobody asks who has taken it.
        let abandoned = matches!(effect.op, Op::DeleteAbandoned(_) | Op::DeleteOrphan(_));
        // What is ended at once is not looked for again on a host that the operator had let go when that was asked for. What is
        // said while the request is under way excuses nothing.
        let at_once = abandoned && state.emergency() == Some(Emergency::RevokeNow);
        let unasked = if at_once { self.left_at(state.seq()) } else { Vec::new() };
        let counts = |proc: &&Proc| {
            let asked = !abandoned || proc.consumer.is_some();
            asked && !unasked.contains(&proc.host)
        };
        let proc = self.world.procs.iter().filter(counts).find(|proc| self.harmed(proc, value, look))?;
        Some(format!(
            "{:?} takes value {value} from consumer {:?} (pid {}, since {}, look {})",
            effect.op, proc.consumer, proc.pid, proc.since, look.at
        ))
    }

    fn harmed(&self, proc: &Proc, value: Value, look: &WholeLook) -> bool {
        let taken = look.at;
        let seen = proc.hidden_until < taken && !proc.memory.hides(taken);
        let enumerated = seen && (proc.since < taken || proc.by_us);
        let also = proc.also.is_some_and(|(_, held)| held == value);
        let excused = self.excused(proc) || look.misses(proc.host);
        (proc.loaded == value || also) && enumerated && !excused
    }

    pub(crate) fn excused(&self, proc: &Proc) -> bool {
        let waived = |id| Fact::Waived(Waived::NotVisible(id));
        let named = proc.consumer.is_some_and(|id| self.ledger.ever().iter().any(|it| it.fact == waived(id)));
        // A program that reads again what is given out has the time to do so, also where it is waived.
        proc.waived || (named && proc.reads_at.is_none())
    }

    /// What the gate requires and is not true: evidence for each enumerated instance, no session on the old value.
    fn ungated(&self, effect: &Effect, value: Value, look: WholeLook, state: &State) -> Option<String> {
        let taken = look.at;
        let returned = self.file_of_returned(effect, value, &look);
        if returned.is_some() {
            return returned;
        }
        let loose = self.world.loose_sessions(look.sessions_at).next().is_some();
        if loose && value == OLD && self.world.scene.family != Family::Part {
            return Some(format!("{:?} although a session of nobody is on it", effect.op));
        }
        for proc in &self.world.procs {
            let Some(id) = proc.consumer else { continue };
            let enumerated = proc.hidden_until < taken && proc.since < taken && proc.began < taken;
            if !enumerated || self.excused(proc) {
                continue;
            }
            let Some(consumer) = self.world.plan.consumers.get(id.index()) else { continue };
            // A consumer that the new value never reached proves nothing before that value is deleted.
            let back = matches!(effect.op, Op::DeleteNew | Op::Mint);
            let counts = !back || self.world.is_reached(id);
            let counts = counts && !look.misses(proc.host);
            let paths = if counts { consumer.paths } else { 0 };
            for path in 0..paths {
                let kinds = proc.shown.get(usize::from(path)).copied().unwrap_or_default();
                let enough = enough_shown(proc.at_rest, consumer, kinds);
                let enough = enough && (proc.at_rest || kinds.has(self.required(consumer)));
                if !enough && proc.loaded != FOREIGN {
                    return Some(format!(
                        "{:?} although consumer {id:?} has not shown path {path}",
                        effect.op
                    ));
                }
            }
            let busy = newest_waived_busy(state);
            let session = proc.session.is_some_and(|(held, until)| {
                held == value && until.saturating_sub(SESSION_MS) <= look.sessions_at
            });
            if session && !busy {
                return Some(format!("{:?} although consumer {id:?} has a session on it", effect.op));
            }
        }
        None
    }

    /// An entry is durable: applies it to the world, and checks whether it may be there.
    pub(crate) fn written(&mut self, at: usize, event: &Event) {
        let seq = self.ledger.last();
        self.check_told(at, event);
        self.note_entry(at, event);
        let Some(state) = self.snapshot(at) else { return };
        match &event.fact {
            Fact::Enumerated(seen) => {
                self.world.note_holders(seen);
                if seen.complete && self.misses_only_left(seen) {
                    self.looked_at_all(at);
                }
            }
            Fact::Consented(_) => self.audit.consented.extend(self.uncounted(event.at.epoch)),
            Fact::Waived(Waived::Host(_)) => self.audit.waives_hosts = true,
            Fact::HandMinted(id) => {
                self.world.hand_made = None;
                // It was sealed when it was handed over: the operator may have ended the key before this entry was durable.
                let value = self.world.issuer.values_of(id).last();
                if let Some(value) = value {
                    self.world.store.keep(seq, value, Some(id.clone()));
                }
            }
            Fact::Adopted { consumer, explains, .. } => self.adopted(consumer, *explains),
            Fact::Corrected { consumers, .. } => self.corrected(consumers),
            Fact::Escalated { pending_compromised: true, .. } => {
                self.world.leaked.extend(self.world.value_of(Which::New, &state));
            }
            Fact::Decided(digest) => {
                self.check_consent(*digest);
                self.check_still(at, "decided");
                self.check_truth(event.at.epoch, "decided", &state);
                if self.world.refusals_told > 0 && state.emergency().is_none() {
                    let what = "decided although a refused use of the old key was reported".to_owned();
                    self.violate("I4", what);
                }
                // Uses that were refused before our own Disable are not in its record.
                let before = self.audit.disabled_unknown();
                if self.world.refusals_missed && !before && state.emergency().is_none() {
                    self.violate(
                        "I4",
                        "decided although a refused use of the old key was not counted".into(),
                    );
                }
                self.check_searched(event.at.epoch, "decided", Which::Old);
                self.check_counted(event.at.epoch);
                self.check_read_before_the_end(event.at.epoch, state.emergency().is_some());
                if self.look_of(event.at.epoch).is_none() {
                    self.violate("I4", "decided without a complete look in this epoch".into());
                }
            }
            Fact::Intended(op) => self.check_intent(at, op, &state, event.at),
            Fact::Resumed if state.phase() == Phase::Done => self.world.look_since = self.world.now,
            Fact::Ended { intent, outcome: Outcome::Failed { .. } }
            | Fact::Reconciled { intent, found: Reconciled::Absent }
                if state.intents().iter().any(|open| open.seq == *intent && open.op == Op::Revoke) =>
            {
                self.world.look_since = self.world.now;
            }
            _ => {}
        }
        self.check_begun(&state, event);
    }

    fn check_intent(&mut self, slot: usize, op: &Op, state: &State, at: Stamp) {
        let gated = match op {
            Op::Disable | Op::DeleteNew => true,
            Op::Revoke => state.emergency() != Some(Emergency::RevokeNow),
            _ => false,
        };
        if gated && self.look_of(at.epoch).is_none() {
            self.violate("I4", format!("{op:?} intended without a complete look in its epoch"));
        }
        if *op == Op::DeleteNew {
            self.check_demoted();
        }
        let looked = self.look_of(at.epoch).map_or(0, |look| look.at);
        if gated && *op == Op::Revoke && looked < self.world.look_since {
            self.violate("I4", "Revoke is sent once more without a new look".into());
        }
        if gated {
            self.check_still(slot, &format!("{op:?} intended"));
            self.check_truth(at.epoch, &format!("{op:?} intended"), state);
            let ended = if *op == Op::DeleteNew { Which::New } else { Which::Old };
            self.check_searched(at.epoch, &format!("{op:?} intended"), ended);
        }
        if *op == Op::Retire(Which::Old) && self.world.scene.family == Family::Part {
            self.violate("I5", "the value of a shared key is dropped".into());
        }
        // An issuer that is slower than it declares refuses and accepts the key in turn for longer than anybody asks; one
        // that did not carry a Revoke out refuses a key that is only disabled, which another party may enable.
        let slow = self.world.scene.quirks.has(Quirk::SlowIssuer) || self.audit.ignored_deletion;
        let excused = slow || self.is_enabled_unseen();
        if *op == Op::Retire(Which::Old) && !excused && self.world.issuer.accepts(OLD, self.world.now) {
            self.violate("I5", "the old value is dropped while the old key is accepted".into());
        }
    }

    /// After every step.
    pub(crate) fn check(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let state = slot.driver.state();
        if slot.epoch != self.ledger.epoch || state.seq() != self.ledger.last() {
            return;
        }
        let mut strange = self.too_many(state);
        for cred in self.world.issuer.live() {
            if cred.value == OLD
                || cred.value == self.world.first_value()
                || cred.strange()
                || cred.of_colleague()
                || self.world.issuer.is_replaced_by_a_mint(cred)
                || state.new_version().is_some_and(|new| new.credential == cred.id)
            {
                continue;
            }
            // A deletion that the issuer only says it carried out is not looked at again.
            let covered = self.audit.ignored_deletion || self.covered(state, cred.label, &cred.id);
            if !covered {
                strange = Some(format!("credential {} (label {:?}) is nobody's", cred.id, cred.label));
            }
        }
        if state.ended() && state.hold().is_none() && state.phase() == Phase::Done && !state.decided() {
            let forward = state.old_key() == OldKey::Ended || self.world.scene.family == Family::Part;
            if !forward {
                strange = Some("done without the point of no return".into());
            }
        }
        if let Some(what) = strange {
            self.violate("I2", what);
        }
    }

    /// A canary first, then no more units at once than the policy says.
    fn too_many(&self, state: &State) -> Option<String> {
        let gap = matches!(self.world.plan.capabilities.overlap, Overlap::None);
        if state.phase() != Phase::Roll || gap || state.emergency().is_some() {
            return None;
        }
        // The units of a canary that is a host are watched beside each other.
        let plan = &self.world.plan;
        let roll = plan.policy.roll.filter(|roll| roll.canary == Canary::Host);
        let beside = roll.map(|roll| self.audit.pace.canary(plan, roll)).unwrap_or_default();
        let watched =
            |at: usize, unit: &Unit| beside.contains(&at) && matches!(unit.stage, UnitStep::Proving(_));
        let forward = |unit: &Unit| unit.toward == Which::New && unit.stage.is_moving();
        let units = state.units().iter().enumerate();
        let busy = units.filter(|(at, unit)| forward(unit) && !watched(*at, unit)).count();
        let most = usize::from(plan.policy.parallel_max);
        (busy > most).then(|| format!("{busy} units are rolled at once"))
    }

    /// A credential that was made later than the last complete list: no look could show it.
    pub(crate) fn unseen(&self, label: Option<u64>, shows_from: u64, state: &State) -> bool {
        shows_from > self.world.listed_at && label.is_some_and(|label| state.closed_mints().contains(&label))
    }

    fn covered(&self, state: &State, label: Option<u64>, id: &keyroll_rotation::CredId) -> bool {
        let open = state.intents().iter().any(|open| {
            let mine = label.is_none_or(|label| label == open.seq);
            match &open.op {
                Op::Mint => mine,
                Op::DeleteNew => true,
                Op::DeleteAbandoned(held) | Op::DeleteOrphan(held) => held == id,
                _ => false,
            }
        });
        let reported =
            matches!(state.hold(), Some(Hold::Stuck(Reason::UnknownLabel(_) | Reason::Unclear(_))));
        let abandoned = state.abandoned().contains(id);
        // A label whose intent was closed is found again by the list that is read before the end.
        let closed = label.is_some_and(|label| state.closed_mints().contains(&label));
        let shows_from =
            self.world.issuer.creds.iter().find(|cred| cred.id == *id).map_or(0, |cred| cred.shows_from);
        let closed = closed && (!state.ended() || self.unseen(label, shows_from, state));
        // The operator has made it at the console and has not reported it yet.
        let by_hand = label.is_none() && self.world.hand_made.as_ref() == Some(id);
        // The entry of its intent is being read again.
        let unsure = label.is_some_and(|label| label > state.seq());
        open || reported || abandoned || closed || by_hand || unsure
    }

    /// At each change of phase: before the point of no return a rollback exists, after it there is none.
    pub(crate) fn check_ways(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let state = slot.driver.state();
        if state.ended() || slot.epoch != self.ledger.epoch || state.now().epoch != slot.epoch {
            return;
        }
        let event = Event { at: Stamp { ms: self.world.mono(), ..state.now() }, fact: Fact::AbortAsked };
        let legal = step(state, &event).is_ok();
        let gap = state.plan().capabilities.exchanges();
        // What others did, or an operator said wrongly, is found out by the next probes.
        let said = self.ledger.entries.iter().any(|event| event.fact == Fact::HandRevoked);
        let unheard = (said && !self.is_word_undone(slot.epoch)) || self.is_enabled_unheard(slot.epoch);
        let alive = self.world.issuer.stands(OLD) && !self.audit.disabled_by_others && !unheard;
        let minting = state.intents().iter().any(|open| open.op == Op::Mint);
        if state.decided() && legal {
            self.violate("I5", "an abort is taken after the point of no return".into());
        } else if !state.decided()
            && !legal
            && alive
            && state.emergency().is_none()
            && !gap
            && !minting
            && !state.plan().recovery
        {
            let believed = state.old_key();
            let what =
                format!("no rollback in {:?} while the old key is alive ({believed:?})", state.phase());
            self.violate("I5", what);
        }
    }
}

/// What one path must have shown, by what the operator was told in the documents.
fn enough_shown(at_rest: bool, consumer: &Consumer, kinds: Kinds) -> bool {
    let [delivered, loaded, told, checked, exercised] =
        [Kinds::DELIVERED, Kinds::LOADED, Kinds::TOLD, Kinds::CHECKED, Kinds::EXERCISED]
            .map(|it| kinds.has(it));
    match (at_rest, consumer.attributable, consumer.own_word) {
        (true, _, true) => checked || delivered,
        (true, _, false) => checked,
        (false, true, _) => exercised,
        (false, false, true) => told || (loaded && checked),
        (false, false, false) => loaded && checked,
    }
}

fn newest_waived_busy(state: &State) -> bool {
    state.waived().contains(&Waived::BusySessions)
}
