//! What each action changes.

use crate::action::{Action, again, look_at, taken_over};
use crate::guard::{Guard, Guards};
use crate::state::{
    Broken, Death, Driver, Emergency, Hand, Hold, Key, Left, Old, Once, Op, Phase, Process, Stage, State,
    Status, Version, When,
};

impl State {
    /// The state after an action that can happen.
    pub(crate) fn step(&self, action: Action, guards: Guards) -> Self {
        let mut next = self.clone();
        if let Some(once) = Left::takes(action) {
            next.left.take(once);
        }
        match action {
            Action::Start(at, wants) => next.start(usize::from(at), wants, guards),
            Action::Crash(at) => {
                let driver = &mut next.drivers[usize::from(at)];
                (driver.alive, driver.hand) = (false, Hand::Idle);
            }
            Action::Intend(op) => next.intend(op, guards),
            Action::IntendLate(at) => {
                next.drivers[usize::from(at)].hand = Hand::Idle;
                next.breaks(Broken::I9);
            }
            Action::Send(at) => next.send(usize::from(at)),
            Action::Drop(at) => next.drop_op(usize::from(at)),
            Action::Arrive(slot, answer) => next.arrive(usize::from(slot), answer, guards),
            Action::Vanish(slot) => next.vanish(usize::from(slot), guards),
            Action::TimeOut(slot) => {
                if let Some((op, _)) = next.world.net[usize::from(slot)] {
                    next.unheard(op, guards);
                }
            }
            Action::Wait => next.wait(false),
            Action::WaitSlowly => next.wait(true),
            _ => next.observe(action, guards),
        }
        next.settle(guards);
        next.check(guards);
        next
    }

    /// What must hold in every state.
    fn check(&mut self, guards: Guards) {
        let belief = &self.belief;
        let now =
            belief.emergency == Some(Emergency::RevokeNow) && !belief.is_ended() && belief.hold.is_none();
        let may = belief.open(Op::Revoke).is_some() || belief.permits(Op::Revoke, guards);
        if now && (!belief.decided || (belief.phase == Phase::Revoke && belief.intents[1].is_none() && !may))
        {
            self.breaks(Broken::P23);
        }
        let refused = self.world.new == Key::Absent;
        let back =
            self.belief.phase == Phase::RollingBack || (self.belief.phase == Phase::RolledBack && !refused);
        if back && (self.belief.decided || self.belief.emergency.is_some()) {
            self.breaks(Broken::I5);
        }
    }

    fn start(&mut self, at: usize, wants: Option<Op>, guards: Guards) {
        let other = &mut self.drivers[1 - at];
        if other.alive && other.epoch == self.belief.epoch {
            self.left.take(Once::Stopped);
            if let Some(op) = wants {
                other.hand = Hand::Wants(op);
            }
        }
        taken_over(&mut self.belief, guards);
        self.drivers[at] = Driver::start(self.belief.epoch);
    }

    fn intend(&mut self, op: Op, guards: Guards) {
        let Some(at) = self.driver() else { return };
        if op != Op::Mint || guards.has(Guard::IntentFirst) {
            let free = usize::from(self.belief.intents[0].is_some());
            self.belief.intents[free] = Some((op, Status::Running));
        }
        match op {
            Op::DeleteNew => self.belief.deleting = true,
            Op::Move(at, version) => {
                self.belief.moved[usize::from(at)] |= version == Version::New;
                if guards.has(Guard::EvidenceOfThisProcess) {
                    self.belief.proofs[usize::from(at)] = None;
                }
                if guards.has(Guard::NothingMoves) {
                    self.belief.look = self.belief.look.filter(|_| self.belief.phase == Phase::RollingBack);
                }
            }
            Op::Mint | Op::Disable | Op::Enable | Op::Revoke | Op::Retire => {}
        }
        let aged = self.belief.look.is_some_and(|look| !look.young) && self.ends_key(op);
        self.drivers[at].hand = Hand::Holds(op, aged && guards.has(Guard::YoungLook));
    }

    fn send(&mut self, at: usize) {
        let Hand::Holds(op, _) = self.drivers[at].hand else { return };
        let known = self.world.instances.iter().any(|it| it.up && it.uses == Version::Old && it.seen_old);
        if known && self.driver() == Some(at) && self.ends_key(op) && op != Op::DeleteNew {
            self.breaks(Broken::I1);
        }
        let free = usize::from(self.world.net[0].is_some());
        self.world.net[free] = Some((op, self.drivers[at].epoch));
        self.drivers[at].hand = Hand::Idle;
    }

    fn drop_op(&mut self, at: usize) {
        let hand = self.drivers[at].hand;
        self.drivers[at].hand = Hand::Idle;
        let present = self.driver() == Some(at);
        if let Hand::Holds(op, _) = hand
            && present
        {
            self.belief.close(op);
            if op == Op::Revoke {
                (self.belief.straight, self.belief.look) = (false, None);
            }
        }
    }

    fn vanish(&mut self, slot: usize, guards: Guards) {
        let Some((op, epoch)) = self.world.net[slot].take() else { return };
        self.world.net.sort_by_key(Option::is_none);
        if epoch == self.belief.epoch && self.driver().is_some() && self.belief.runs(op) {
            self.unheard(op, guards);
        }
    }

    fn wait(&mut self, slow: bool) {
        let driven = self.driver().is_some();
        let world = &mut self.world;
        for instance in &mut world.instances {
            instance.recent = false;
        }
        if world.refused == When::Recently {
            world.refused = When::LongAgo;
        }
        world.ended_recently = false;
        world.old = match world.old {
            Key::Dying if slow => Key::Lingering,
            Key::Dying | Key::Lingering => Key::Dead,
            other => other,
        };
        if world.new == Key::Unborn {
            world.new = Key::On;
        }
        world.soaked |= world.old != Key::On;
        let belief = &mut self.belief;
        if let Some(look) = &mut belief.look
            && !look.foreign
        {
            look.young = false;
        }
        if driven {
            if let Old::Off { soaked } = &mut belief.old {
                *soaked = true;
            }
            if belief.death == Death::Refused {
                belief.death = Death::Waited;
            }
            belief.heard = false;
            for (_, status) in belief.intents.iter_mut().flatten() {
                if let Status::Unknown { waited } = status {
                    *waited = true;
                }
            }
        }
        for driver in &mut self.drivers {
            if let Hand::Holds(op, _) = driver.hand {
                driver.hand = Hand::Holds(op, true);
            }
        }
    }

    fn observe(&mut self, action: Action, guards: Guards) {
        match action {
            Action::Preflight => self.preflight(guards),
            Action::ProbeNew => self.belief.accepted = self.world.new == Key::On && !self.world.outage,
            Action::ProbeOld { accepted } => self.probe_old(accepted, guards),
            Action::Look => self.look(true),
            Action::LookPartly => self.look(false),
            Action::Prove(at) => self.prove(usize::from(at)),
            Action::ReadRefusals => {
                self.belief.heard = true;
                if self.world.refused != When::Never && guards.has(Guard::RefusedCallPauses) {
                    self.belief.stand(Hold::RefusedCall);
                }
            }
            Action::List => self.list(guards),
            Action::Reconcile => self.reconcile(guards),
            Action::StayUnclear => self.belief.stand(Hold::Unclear),
            Action::Decide => self.decide(),
            Action::Unanswered => self.belief.stand(Hold::Consent),
            Action::GiveUpDeath => {
                self.belief.debt = true;
                self.belief.enter(Phase::Sweep);
            }
            _ => self.disturb(action, guards),
        }
    }

    fn disturb(&mut self, action: Action, guards: Guards) {
        match action {
            Action::LateInstance => self.restart(1, Version::Old, true),
            Action::InstanceEnds => self.world.instances[1].up = false,
            Action::Restart(at, version) => self.restart(usize::from(at), version, true),
            Action::Call => {
                let by_instance = self.world.instances.iter().any(|it| it.up && it.uses == Version::Old);
                if !by_instance {
                    self.left.take(Once::RareCall);
                }
                self.world.refused = When::Recently;
            }
            Action::Outage => self.world.outage = true,
            Action::Recover => self.world.outage = false,
            Action::StrangerAppears => self.world.stranger = true,
            Action::StrangerGoes => self.world.stranger = false,
            Action::OthersEnableKey => self.world.old = Key::On,
            Action::OthersEndKey => (self.world.old, self.world.ended_recently) = (Key::Dead, true),
            _ => self.obey(action, guards),
        }
    }

    /// The operator's word.
    fn obey(&mut self, action: Action, guards: Guards) {
        match action {
            Action::Consent => {
                self.belief.consent = self.belief.look.map(|look| look.instances.map(|seen| seen.is_some()));
                self.world.looked_since_consent = false;
                if guards.has(Guard::LookAfterConsent) {
                    self.belief.look = None;
                }
            }
            Action::Pause => self.belief.stand(Hold::Asked),
            Action::Resume => self.resume(guards),
            Action::Retry => {
                let unclear = self.belief.hold == Some(Hold::Unclear);
                if let Some(op) = self.belief.unknown().filter(|_| unclear) {
                    self.belief.close(op);
                    // The operator deletes the credential that keyroll names.
                    if op == Op::Mint {
                        self.world.new = Key::Absent;
                    }
                }
                self.go_on(guards);
            }
            Action::Abort => self.abort(guards),
            Action::Escalate(mode) => self.escalate(mode, guards),
            Action::Statement { done } => self.state_end(done, guards),
            _ => {}
        }
    }

    fn preflight(&mut self, guards: Guards) {
        let refused = self.world.trusting && guards.has(Guard::PreflightRefusalCounts);
        let dead = self.world.old != Key::On;
        self.belief.enter(if refused || dead { Phase::RolledBack } else { Phase::Mint });
    }

    fn probe_old(&mut self, accepted: bool, guards: Guards) {
        let control = self.world.new == Key::On && !self.world.outage;
        let belief = &mut self.belief;
        if !accepted {
            if control || !guards.has(Guard::ControlBeside) {
                (belief.alive, belief.alive_again) = (false, false);
                belief.death = match belief.death {
                    Death::Unseen => {
                        self.world.acceptance_seen = false;
                        Death::Refused
                    }
                    Death::Waited => Death::Confirmed,
                    other => other,
                };
            }
            return;
        }
        self.world.acceptance_seen = true;
        belief.alive = true;
        belief.death = Death::Unseen;
        if belief.phase == Phase::RollingBack {
            belief.alive_again = belief.look.is_some() && belief.restored();
        } else if belief.old == (Old::Ended { ours: false }) {
            belief.old = Old::On;
            belief.enter(if belief.decided { Phase::Revoke } else { Phase::Quiesce });
        } else if belief.phase == Phase::Sweep && guards.has(Guard::AcceptanceInSweep) {
            belief.enter(Phase::ConfirmDead);
        }
    }

    fn look(&mut self, whole: bool) {
        self.belief.look = Some(look_at(self, whole));
        (self.belief.heard, self.belief.alive_again) = (false, false);
        self.world.looked_since_consent = true;
        for (at, seen) in self.belief.look.iter().flat_map(|look| look.instances).enumerate() {
            if let Some((uses, _)) = seen {
                self.world.instances[at].seen_old = uses == Version::Old;
            }
        }
    }

    fn prove(&mut self, at: usize) {
        let instance = &mut self.world.instances[at];
        let toward = self.belief.units[at].toward;
        if !instance.up || instance.uses == toward {
            instance.seen_old &= toward == Version::Old;
            self.belief.proofs[at] = Some((toward, Process::Present));
            return;
        }
        let enumerated = self.belief.look.is_some_and(|look| look.instances[at].is_some());
        instance.seen_old |= instance.uses == Version::Old && enumerated;
        self.belief.proofs[at] = None;
        if self.belief.units[at].stage == Stage::Proving {
            self.belief.units[at] = again(self.belief.units[at]);
        }
    }

    fn list(&mut self, guards: Guards) {
        let belief = &mut self.belief;
        if belief.phase != Phase::Sweep {
            belief.listed = true;
            if self.world.old == Key::On && guards.has(Guard::ListShowsEnabled) {
                (belief.old, belief.perhaps_off) = (Old::On, true);
                belief.stand(Hold::RefusedCall);
            }
            return;
        }
        let doubted = belief.old == (Old::Ended { ours: false });
        let to = if belief.decided { Phase::Revoke } else { Phase::Quiesce };
        belief.listed = true;
        match self.world.old {
            Key::Off if doubted => {
                belief.old = Old::Off { soaked: false };
                belief.enter(to);
            }
            Key::On if !belief.debt => {
                belief.debt = true;
                belief.old = if belief.decided { Old::On } else { belief.old };
            }
            Key::On | Key::Off | Key::Dying | Key::Lingering | Key::Dead | Key::Absent | Key::Unborn => {}
        }
    }

    /// What Reconcile sees: whether an operation had its effect. Everything else is harmless when it is carried out twice:
    /// keyroll waits until it has ended, and repeats it.
    pub(crate) fn shows(&self, op: Op) -> bool {
        match op {
            Op::Mint => matches!(self.world.new, Key::On | Key::Unborn),
            Op::Disable => self.world.old == Key::Off,
            Op::Move(..) | Op::Enable | Op::Revoke | Op::DeleteNew | Op::Retire => false,
        }
    }

    fn reconcile(&mut self, guards: Guards) {
        let Some(op) = self.belief.unknown() else { return };
        let waited = self.belief.open(op) == Some(Status::Unknown { waited: true });
        if self.shows(op) {
            self.done(op, guards);
        } else if waited || !guards.has(Guard::AbsenceAfterSettling) {
            self.belief.close(op);
            if op.moves() && guards.has(Guard::NothingMoves) {
                self.belief.look = None;
            }
            if op == Op::Revoke {
                (self.belief.straight, self.belief.look) = (false, None);
            }
        }
    }

    fn decide(&mut self) {
        let belief = &self.belief;
        let set = belief.look.map(|look| look.instances.map(|seen| seen.is_some()));
        let off = matches!(belief.old, Old::Off { .. });
        let behind = self.world.instances.iter().any(|it| it.up && it.uses == Version::Old && !it.recent);
        let consented = belief.consent.is_some() && belief.consent == set && self.world.looked_since_consent;
        let ended = !matches!(self.world.old, Key::On | Key::Off);
        let soaked = self.world.soaked || ended || belief.emergency.is_some();
        if behind || !consented || (off && (!soaked || self.world.refused == When::LongAgo)) {
            self.breaks(Broken::I4);
        }
        self.belief.decided = true;
    }

    fn resume(&mut self, guards: Guards) {
        if self.belief.phase == Phase::Done {
            self.left.take(Once::Pause);
            let belief = &mut self.belief;
            (belief.debt, belief.old) = (false, Old::On);
            belief.enter(Phase::Revoke);
            belief.unlooked = !guards.has(Guard::DebtNeedsLook);
            return;
        }
        self.go_on(guards);
    }

    fn go_on(&mut self, guards: Guards) {
        let belief = &mut self.belief;
        belief.hold = None;
        if guards.has(Guard::LookAfterHold) {
            belief.look = None;
        }
        if matches!(belief.phase, Phase::Disable | Phase::Soak | Phase::Decide) && !belief.decided {
            belief.consent = None;
            belief.enter(Phase::Quiesce);
        }
    }

    fn abort(&mut self, guards: Guards) {
        let held = self.belief.hold.take().is_some();
        if self.belief.phase != Phase::RollingBack {
            self.belief.consent = None;
            self.belief.enter(Phase::RollingBack);
            self.world.on_in_rollback = self.world.old == Key::On;
        } else if held {
            self.go_on(guards);
        }
    }

    fn escalate(&mut self, mode: Emergency, guards: Guards) {
        let belief = &mut self.belief;
        let stays = belief.emergency == Some(Emergency::RevokeNow) && belief.decided;
        if !stays || !guards.has(Guard::RevokeNowStays) {
            belief.emergency = Some(mode);
        }
        belief.consent = None;
        let held = belief.hold.take().is_some();
        if belief.phase == Phase::RollingBack {
            let deleting = belief.deleting;
            belief.turn_round(guards);
            if deleting && !belief.deleting {
                self.abandon();
            }
        } else if held
            && !belief.decided
            && belief.minted
            && matches!(belief.phase, Phase::Disable | Phase::Soak | Phase::Decide)
        {
            belief.enter(Phase::Quiesce);
        }
        let belief = &mut self.belief;
        if mode == Emergency::RevokeNow && !belief.is_ended() && guards.has(Guard::RevokeNowIsNow) {
            belief.decided = true;
            belief.enter(Phase::Revoke);
        }
    }

    fn state_end(&mut self, done: bool, guards: Guards) {
        let honest = done && self.world.old == Key::Dead;
        if !honest {
            self.left.take(Once::Statement);
        }
        if done && matches!(self.world.old, Key::On | Key::Off) {
            self.world.old = Key::Dying;
        }
        let belief = &mut self.belief;
        belief.hold = None;
        let ours = belief.decided && !guards.has(Guard::StatementIsNoProof);
        belief.old = Old::Ended { ours };
    }
}
