//! What an operator does outside of keyroll, and what an operator cannot do.

use keyroll_rotation::{
    Adoptee, Consumer, ConsumerId, Delivery, Fact, FileId, Holds, HostId, Incarnation, Next, Outside, Phase,
    ReloadMode, State, Step, Waived, Which,
};

use crate::scene::Family;
use crate::schedule::Run;

impl Run {
    /// Whether a way can be taken now: what is done outside is possible, and the commands have something to be about.
    pub(crate) fn is_open(&self, state: &State, step: &Step) -> bool {
        let doable = step.first.is_none_or(|first| self.is_doable(state, first));
        doable && step.then.iter().all(|next| self.is_sayable(*next, state.decided()))
    }

    fn is_doable(&self, state: &State, outside: Outside) -> bool {
        let gone = state.new_version().is_some_and(|new| self.world.issuer.is_gone(&new.credential));
        let lasting = self.world.lasting;
        let is_away = |host: Option<HostId>| host.is_some_and(|host| self.world.is_away(host));
        match outside {
            // On a host that is away nothing can be mended; and nobody works with a key that another party ended.
            Outside::MendConsumer(id) | Outside::Start(id) | Outside::ShowProof(id, ..) => {
                let away = is_away(self.world.host_of(id));
                let broken = [lasting.restart, lasting.gone].contains(&Some(id));
                // A process that reads an edit that stays can be restarted.
                let edited = matches!(outside, Outside::MendConsumer(_)) && self.reads_edited(id);
                !away && !broken && !edited && (!gone || state.phase() == Phase::RollingBack)
            }
            Outside::FindOut(seq) => {
                let op = state.intents().iter().find(|open| open.seq == seq).map(|open| &open.op);
                !is_away(op.and_then(|op| self.world.place_of_op(op)))
            }
            Outside::EndProcess(who) | Outside::Restart(who) => !self.is_kept(who),
            Outside::MendFile(file) => {
                let edited = lasting.edited == Some(file) && !state.accepts_file(file);
                !edited && !is_away(self.world.host_of_file(file))
            }
            Outside::LetRead(file) => !is_away(self.world.host_of_file(file)),
            Outside::BringUp(host) => lasting.host != Some(host),
            Outside::AcceptNewKey => !gone,
            // Nobody ends a key before keyroll asks for that.
            Outside::EndOldKey => self.old_is_gone() || state.decided(),
            _ => true,
        }
    }

    /// Whether a command is about something that is so.
    fn is_sayable(&self, next: Next, decided: bool) -> bool {
        match next {
            Next::Adopt(Adoptee::Holder(who)) => self.process_of(who).is_some(),
            Next::Adopt(Adoptee::Copy(place)) => self.world.strangers.iter().any(|(held, _)| *held == place),
            Next::Correct(id) => self.world.lasting.restart == Some(id),
            Next::Waive(Waived::Host(host)) => self.world.is_away(host),
            Next::Waive(Waived::Gone(id)) => self.world.lasting.gone == Some(id),
            Next::Waive(Waived::File(file)) => self.world.lasting.edited == Some(file),
            Next::HandRevoked => self.old_is_gone() || decided,
            // It is about another rotation.
            Next::Declare(_) => false,
            _ => true,
        }
    }

    /// The consumer reads a file whose edit stays.
    fn reads_edited(&self, id: ConsumerId) -> bool {
        let consumer = self.world.plan.consumers.get(id.index());
        let edited = self.world.lasting.edited;
        consumer.is_some_and(|it| it.files.iter().any(|file| Some(*file) == edited))
    }

    /// The process cannot be ended.
    fn is_kept(&self, who: Incarnation) -> bool {
        let proc = self.process_of(who).and_then(|place| self.world.procs.get(place));
        proc.is_some_and(|proc| self.world.lasting.holder == Some(proc.pid))
    }

    /// The place of a process that is still there.
    pub(crate) fn process_of(&self, who: Incarnation) -> Option<usize> {
        self.world.procs.iter().position(|proc| self.world.incarnation(proc) == who)
    }

    /// The operator does this.
    pub(crate) fn do_outside(&mut self, at: usize, state: &State, outside: Outside) {
        let now = self.world.now;
        match outside {
            Outside::EndProcess(who) | Outside::Restart(who) => self.end_process(who),
            Outside::DeleteCopy(place) => self.world.strangers.retain(|(held, _)| *held != place),
            Outside::MendFile(file) if state.accepts_file(file) => self.write_by_hand(state),
            Outside::MendFile(file) => self.mend_file(state, file),
            Outside::LetRead(file) => {
                self.world.lasting.unread = self.world.lasting.unread.filter(|unread| *unread != file);
            }
            Outside::GiveOut => self.mend_truth(at),
            Outside::SearchMore(_) => {
                self.world.procs.iter_mut().for_each(|proc| proc.memory.unsearched = None);
            }
            Outside::BringUp(host) => self.host_back(host),
            Outside::MendConsumer(id) | Outside::Start(id) | Outside::ShowProof(id, ..) => {
                self.mend_consumer(state, id);
            }
            Outside::LookAtConsole | Outside::FindOut(_) => {
                self.clean_console(at);
                if state.phase() == Phase::RollingBack {
                    // Another party disabled the key that the rollback restores.
                    self.switch_by_others(true);
                }
            }
            Outside::EndUsers => {
                let kept = self.world.lasting.holder;
                self.world.procs.retain(|proc| proc.consumer.is_some() || Some(proc.pid) == kept);
                self.world.loose.iter_mut().for_each(|session| session.until = session.until.min(now));
                self.switch_off_absent();
            }
            Outside::EndOldKey => self.end_old_key(),
            Outside::AcceptNewKey => self.accept_keys(),
            Outside::MendIssuer => self.mend_issuer(),
            Outside::EndWriters => self.write_by_hand(state),
            // What is made or corrected comes with the command.
            Outside::MakeKey | Outside::FixCommands(_) => {}
        }
    }

    /// The other party writes once, or not at all. What keyroll does not write any more, the operator writes.
    fn write_by_hand(&mut self, state: &State) {
        let stays = if state.phase() == Phase::RollingBack { Which::Old } else { Which::New };
        let value = self.world.value_of(stays, state);
        for file in state.accepted_files() {
            if let Some(value) = value {
                self.world.write(file, value, false);
            }
        }
    }

    /// The operator ends a process; one of a service starts again.
    fn end_process(&mut self, who: Incarnation) {
        let Some(place) = self.process_of(who) else { return };
        let declared = self.world.procs.get(place).is_some_and(|proc| proc.consumer.is_some());
        let at_rest = self.world.procs.get(place).is_some_and(|proc| proc.at_rest);
        if !declared {
            self.world.procs.remove(place);
        } else if !at_rest {
            self.world.restart(place, false);
        }
    }

    /// The edit of a file is undone.
    fn mend_file(&mut self, state: &State, file: FileId) {
        let new = self.world.value_of(Which::New, state);
        let first = self.world.first_value();
        if self.world.lasting.edited == Some(file) {
            return;
        }
        let behind = self.world.scene.family == Family::End && self.world.file(file) != first;
        if behind || self.world.holds(file, new) == Holds::Other {
            self.world.write(file, first, false);
        }
    }

    /// How long the operator waits until a step outside can be taken: nobody mends anything on a host that does not answer.
    pub(crate) fn waits_ms(&self, step: &Step) -> u64 {
        let host = match step.first {
            Some(Outside::MendConsumer(id) | Outside::Start(id) | Outside::ShowProof(id, ..)) => {
                self.world.host_of(id)
            }
            Some(Outside::LetRead(file) | Outside::MendFile(file)) => self.world.host_of_file(file),
            _ => None,
        };
        let until = host.and_then(|host| self.world.host_down_until.get(host.index()).copied());
        until.unwrap_or(0).saturating_sub(self.world.now)
    }

    /// The disk of a host has room.
    fn make_room(&mut self, host: HostId) {
        let until = self.world.host_full_until.get_mut(host.index());
        until.into_iter().for_each(|until| *until = 0);
    }

    /// A consumer runs, with what it was given.
    fn mend_consumer(&mut self, state: &State, id: ConsumerId) {
        let Some(consumer) = self.world.plan.consumers.get(id.index()).cloned() else { return };
        let now = self.world.now;
        self.make_room(consumer.host);
        if consumer.delivery != Delivery::Push {
            self.reach_truth();
        }
        self.world.lasting.idle = self.world.lasting.idle.filter(|idle| *idle != id);
        if self.world.trouble.0 == id.index() {
            self.world.trouble.1 = now;
        }
        consumer.files.iter().for_each(|file| self.mend_file(state, *file));
        let given = consumer.files.first().map_or(self.world.given_out(), |file| self.world.file(*file));
        for at in 0..self.world.procs.len() {
            let Some(proc) = self.world.procs.get_mut(at).filter(|proc| proc.consumer == Some(id)) else {
                continue;
            };
            proc.masked_until = now;
            let astray = proc.loaded != given || proc.residue.is_some();
            let beside = proc.pool.is_some() || proc.also.is_some() || proc.served.is_some();
            if !proc.at_rest && (astray || beside) {
                self.world.restart(at, false);
            }
        }
    }

    /// The source of truth answers.
    fn reach_truth(&mut self) {
        self.world.truth.iter_mut().for_each(|truth| truth.away_until = 0);
    }

    fn end_old_key(&mut self) {
        if !self.old_is_gone() {
            self.hand_revoke_check();
            let (old, now) = (self.world.old_id(), self.world.now);
            self.world.issuer.end(&old, now);
        }
    }

    /// The issuer accepts what it made.
    fn accept_keys(&mut self) {
        self.world.instead = None;
        self.world.refused_until.fill(0);
    }

    /// The issuer, the store and the source of truth do what they refused.
    fn mend_issuer(&mut self) {
        self.accept_keys();
        (self.world.partial_until, self.world.skips_until) = (0, 0);
        self.world.uncarried.clear();
        self.reach_truth();
        let lasting = &mut self.world.lasting;
        (lasting.enable, lasting.delete, lasting.store) = (false, false, false);
    }

    /// The events of a command, with what only the operator knows.
    pub(crate) fn facts_of(&mut self, state: &State, next: Next) -> Vec<Fact> {
        match next {
            Next::Adopt(explains) => self.adoption(state, explains).into_iter().collect(),
            Next::Correct(consumer) => {
                vec![Fact::Corrected { consumers: vec![consumer], names: "".into() }]
            }
            Next::HandMint => vec![Fact::HandMinted(self.key_by_hand())],
            Next::Abort => {
                self.end_unreported();
                vec![Fact::AbortAsked]
            }
            Next::Waive(what) => {
                self.waive(what);
                vec![Fact::Waived(what)]
            }
            next => {
                if state.debt().is_some() {
                    // Whoever pays it has the issuer do what it did not.
                    self.mend_issuer();
                }
                next.facts(state).unwrap_or_default()
            }
        }
    }

    /// The operator ends the key that was made at the console and that keyroll does not know.
    fn end_unreported(&mut self) {
        if let Some(id) = self.world.hand_made.take() {
            let now = self.world.now;
            self.world.issuer.end(&id, now);
        }
    }

    /// What the operator waives may keep the version that goes.
    fn waive(&mut self, what: Waived) {
        match what {
            Waived::Holder(who) => {
                let place = self.process_of(who);
                if let Some(proc) = place.and_then(|place| self.world.procs.get_mut(place)) {
                    proc.memory.waived = true;
                    proc.waived |= proc.consumer.is_none();
                }
            }
            Waived::Copy(place) => self.world.strangers_waived.push(place),
            _ => {}
        }
    }

    /// The adoption of a holder, which gets a file; or of a copy, which a job at rest reads.
    pub(crate) fn adoption(&self, state: &State, explains: Adoptee) -> Option<Fact> {
        let (host, uptake) = match explains {
            Adoptee::Holder(who) => (who.host, ReloadMode::Verb),
            Adoptee::Copy(_) => (HostId(0), ReloadMode::AtRest),
        };
        let file = u16::try_from(state.plan().files.len()).map(FileId).ok()?;
        let consumer = Consumer {
            host,
            delivery: Delivery::Push,
            uptake,
            files: vec![file],
            slots: 1,
            paths: 1,
            attributable: false,
            own_word: false,
            wave: 0,
        };
        Some(Fact::Adopted { consumer, files: vec![host], explains, names: "".into() })
    }
}
