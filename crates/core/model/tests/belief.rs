//! What a driver concludes from the journal: what it may do next, and which phase follows.

use crate::guard::{Guard, Guards};
use crate::state::{Belief, Death, Emergency, Hold, Look, Old, Op, Phase, Stage, Status, Unit, Version};

impl Belief {
    pub(crate) fn ended(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::RolledBack)
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.old, Old::Ended { .. })
    }

    pub(crate) fn open(&self, op: Op) -> Option<Status> {
        self.intents.iter().flatten().find(|(open, _)| *open == op).map(|(_, status)| *status)
    }

    pub(crate) fn runs(&self, op: Op) -> bool {
        self.open(op) == Some(Status::Running)
    }

    pub(crate) fn unknown(&self) -> Option<Op> {
        let unknown = |it: &&(Op, Status)| matches!(it.1, Status::Unknown { .. });
        self.intents.iter().flatten().find(unknown).map(|(op, _)| *op)
    }

    pub(crate) fn close(&mut self, op: Op) {
        for slot in &mut self.intents {
            if slot.is_some_and(|(open, _)| open == op) {
                *slot = None;
            }
        }
        if self.intents[0].is_none() {
            self.intents.swap(0, 1);
        }
    }

    /// A weaker hold never replaces a stronger one.
    pub(crate) fn stand(&mut self, hold: Hold) {
        if !self.ended() && self.hold.is_none_or(|held| held < hold) {
            self.hold = Some(hold);
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.look = None;
        (self.listed, self.straight) = (false, false);
        match phase {
            Phase::Probe => self.accepted = false,
            Phase::RollingBack | Phase::ConfirmDead => {
                (self.alive, self.alive_again, self.death) = (false, false, Death::Unseen);
            }
            Phase::Preflight
            | Phase::Mint
            | Phase::Roll
            | Phase::Quiesce
            | Phase::Disable
            | Phase::Soak
            | Phase::Decide
            | Phase::Revoke
            | Phase::Sweep
            | Phase::Done
            | Phase::RolledBack => {}
        }
    }

    pub(crate) fn must_enable(&self, guards: Guards) -> bool {
        let off = match self.old {
            Old::On => self.perhaps_off && guards.has(Guard::PerhapsDisabled),
            Old::Off { .. } => true,
            Old::Ended { .. } => false,
        };
        off && !self.decided
    }

    /// The version that stays, in the present direction.
    pub(crate) fn stays(&self) -> Version {
        if self.phase == Phase::RollingBack { Version::Old } else { Version::New }
    }

    /// Whether an instance of the look has shown the version that stays.
    pub(crate) fn proven(&self, look: &Look, at: usize, guards: Guards) -> bool {
        let Some((uses, process)) = look.instances[at] else { return true };
        // On the way back nothing is asked of a consumer that was never moved.
        if self.phase == Phase::RollingBack && !self.moved[at] && uses == Version::Old {
            return true;
        }
        let proof = self.proofs[at].filter(|(version, _)| *version == self.stays());
        match proof {
            // Nothing links the evidence to the process that the look saw.
            Some(_) if !guards.has(Guard::EvidenceOfThisProcess) => true,
            Some((_, proved)) => proved == process && uses == self.stays(),
            None => false,
        }
    }

    pub(crate) fn gate(&self, guards: Guards) -> bool {
        let moving = self.intents.iter().flatten().any(|(op, _)| op.moves());
        let Some(look) = &self.look else { return false };
        // After the end of the key an undeclared copy only is named.
        let copies = self.phase == Phase::Sweep || !look.stranger;
        !(moving && guards.has(Guard::NothingMoves))
            && copies
            && (0..2).all(|at| self.proven(look, at, guards))
    }

    pub(crate) fn young(&self, guards: Guards) -> bool {
        self.look.is_some_and(|look| look.young || !guards.has(Guard::YoungLook))
    }

    pub(crate) fn rolled(&self) -> bool {
        let arrived = Unit { toward: Version::New, stage: Stage::Settled };
        self.minted && self.units.iter().all(|unit| *unit == arrived)
    }

    pub(crate) fn restored(&self) -> bool {
        let back = Unit { toward: Version::Old, stage: Stage::Settled };
        self.units.iter().all(|unit| *unit == back)
    }

    /// Whether the protocol wants this operation now.
    pub(crate) fn permits(&self, op: Op, guards: Guards) -> bool {
        if self.ended() || self.open(op).is_some() || self.intents[1].is_some() {
            return false;
        }
        if self.unknown().is_some() {
            if self.hold == Some(Hold::Unclear) {
                return self.held(op, guards);
            }
            let at_once = self.phase == Phase::Revoke && self.emergency == Some(Emergency::RevokeNow);
            return at_once
                && op == Op::Revoke
                && self.hold.is_none()
                && !self.is_ended()
                && guards.has(Guard::RevokeNowWaitsForNothing);
        }
        if self.hold.is_some() {
            return self.held(op, guards);
        }
        self.phase_permits(op, guards)
    }

    fn held(&self, op: Op, guards: Guards) -> bool {
        let wanted = self.emergency.is_none() || !self.hold.is_some_and(Hold::is_stuck);
        op == Op::Enable && self.must_enable(guards) && wanted && guards.has(Guard::EnabledUnderHold)
    }

    fn phase_permits(&self, op: Op, guards: Guards) -> bool {
        let waiting = |at: usize, toward| self.units[at] == Unit { toward, stage: Stage::Waiting };
        match self.phase {
            Phase::Mint => op == Op::Mint && !self.minted && self.open(Op::DeleteNew).is_none(),
            Phase::Roll if self.must_enable(guards) => op == Op::Enable,
            Phase::Roll => match op {
                Op::Move(at, Version::New) => {
                    let settled = self.units.iter().any(|unit| unit.stage == Stage::Settled);
                    let at_once = match self.emergency {
                        Some(Emergency::RevokeNow) => true,
                        Some(Emergency::RollFirst) => settled,
                        None => false,
                    };
                    let before = at == 0 || self.units[0].stage == Stage::Settled || at_once;
                    before && waiting(usize::from(at), Version::New)
                }
                _ => false,
            },
            Phase::Quiesce => op == Op::Enable && self.must_enable(guards),
            Phase::Disable => {
                let gate = self.gate(guards) || !guards.has(Guard::GateBeforeDisable);
                op == Op::Disable && self.young(guards) && gate && !self.is_ended()
            }
            Phase::Revoke => op == Op::Revoke && !self.is_ended() && self.may_revoke(guards),
            Phase::Sweep => {
                let kept = self.debt && guards.has(Guard::DebtKeepsValue);
                let looked = self.gate(guards) || !guards.has(Guard::SweepLooks);
                op == Op::Retire && !kept && looked && self.listed && !self.retired
            }
            Phase::RollingBack => self.rollback_permits(op, guards),
            Phase::Preflight
            | Phase::Probe
            | Phase::Soak
            | Phase::Decide
            | Phase::ConfirmDead
            | Phase::Done
            | Phase::RolledBack => false,
        }
    }

    fn may_revoke(&self, guards: Guards) -> bool {
        if self.emergency == Some(Emergency::RevokeNow) {
            return true;
        }
        if !guards.has(Guard::GateBeforeRevoke) || self.unlooked {
            return true;
        }
        let young = self.young(guards);
        young && (self.gate(guards) || (self.straight && !guards.has(Guard::EvidenceStillThere)))
    }

    fn rollback_permits(&self, op: Op, guards: Guards) -> bool {
        if self.runs(Op::Disable) && guards.has(Guard::RollbackWaitsForDisable) {
            return false;
        }
        if self.must_enable(guards) {
            return op == Op::Enable;
        }
        let alive = self.alive || !guards.has(Guard::AliveFirst);
        if !self.minted || !alive || self.look.is_none() {
            return false;
        }
        match op {
            Op::Move(at, Version::Old) => {
                let before = at == 1 || self.units[1].stage == Stage::Settled;
                before && self.units[usize::from(at)] == Unit { toward: Version::Old, stage: Stage::Waiting }
            }
            Op::DeleteNew => {
                let gate = self.gate(guards) || !guards.has(Guard::GateBeforeDeletion);
                let again = self.alive_again || !guards.has(Guard::AliveOnceMore);
                self.restored() && self.young(guards) && gate && again
            }
            _ => false,
        }
    }

    /// The phase after Quiesce.
    fn after_quiesce(&self) -> Phase {
        if self.is_ended() {
            Phase::ConfirmDead
        } else if self.decided {
            Phase::Revoke
        } else if self.emergency.is_none() {
            Phase::Disable
        } else {
            Phase::Decide
        }
    }

    /// Turns a rollback into a roll-out.
    pub(crate) fn turn_round(&mut self, guards: Guards) {
        if self.deleting && guards.has(Guard::DeletionIsFinal) {
            (self.minted, self.deleting) = (false, false);
            self.proofs = [None; 2];
        }
        for unit in &mut self.units {
            *unit = Unit { toward: Version::New, stage: Stage::Waiting };
        }
        self.enter(self.first_unfinished());
    }

    pub(crate) fn first_unfinished(&self) -> Phase {
        if self.minted { Phase::Probe } else { Phase::Mint }
    }

    /// Instances of the look that use the version that goes are moved again.
    fn fall_back(&mut self) -> bool {
        let Some(look) = self.look else { return false };
        let goes = self.stays().other();
        let mut again = false;
        for at in 0..2 {
            if look.instances[at].is_some_and(|(uses, _)| uses == goes) {
                self.units[at] = Unit { toward: self.stays(), stage: Stage::Waiting };
                again = true;
            }
        }
        again
    }

    /// Follows the phases as far as they go.
    pub(crate) fn settle(&mut self, guards: Guards) {
        for _ in 0..16 {
            if !self.settle_once(guards) {
                return;
            }
        }
    }

    fn settle_once(&mut self, guards: Guards) -> bool {
        let before = self.clone();
        self.settle_units();
        if self.hold.is_none() && self.unknown().is_none() {
            match self.phase {
                Phase::Mint if self.minted => self.enter(Phase::Probe),
                Phase::Probe if self.accepted || !guards.has(Guard::AcceptedFirst) => self.enter(Phase::Roll),
                Phase::Roll if self.rolled() && !self.must_enable(guards) => self.enter(Phase::Quiesce),
                Phase::Quiesce if !self.must_enable(guards) => self.settle_quiesce(guards),
                Phase::Disable => self.settle_disable(guards),
                Phase::Soak => self.settle_soak(guards),
                Phase::Decide => self.settle_decide(guards),
                Phase::Revoke => self.settle_revoke(guards),
                Phase::ConfirmDead => self.settle_dead(guards),
                Phase::Sweep => self.settle_sweep(guards),
                Phase::RollingBack => self.settle_rollback(guards),
                Phase::Preflight
                | Phase::Mint
                | Phase::Probe
                | Phase::Roll
                | Phase::Quiesce
                | Phase::Done
                | Phase::RolledBack => {}
            }
        }
        *self != before
    }

    fn settle_units(&mut self) {
        for at in 0..2 {
            let unit = self.units[at];
            let shown = self.proofs[at].is_some_and(|(version, _)| version == unit.toward);
            if unit.stage == Stage::Proving && shown {
                self.units[at].stage = Stage::Settled;
            }
        }
    }

    fn settle_quiesce(&mut self, guards: Guards) {
        let Some(look) = self.look else { return };
        if self.gate(guards) {
            self.enter(self.after_quiesce());
        } else if look.stranger {
            self.stand(Hold::Stranger);
        } else if self.fall_back() {
            self.consent = None;
            self.enter(Phase::Roll);
        }
    }

    fn settle_disable(&mut self, guards: Guards) {
        match self.old {
            Old::Off { .. } => self.enter(Phase::Soak),
            Old::Ended { .. } => self.enter(Phase::ConfirmDead),
            Old::On => {
                let shut = self.look.is_some() && !self.gate(guards) && guards.has(Guard::GateBeforeDisable);
                if shut && !self.runs(Op::Disable) {
                    self.enter(Phase::Quiesce);
                }
            }
        }
    }

    fn settle_soak(&mut self, guards: Guards) {
        match self.old {
            Old::Off { soaked } => {
                let long = soaked || self.emergency.is_some() || !guards.has(Guard::SoakLasts);
                if long && self.heard {
                    self.enter(Phase::Decide);
                }
            }
            Old::Ended { .. } => self.enter(Phase::ConfirmDead),
            Old::On => self.stand(Hold::RefusedCall),
        }
    }

    fn settle_decide(&mut self, guards: Guards) {
        if self.decided {
            let look = self.look;
            self.enter(Phase::Revoke);
            (self.look, self.straight) = (look, true);
        } else if self.is_ended() {
            self.enter(Phase::ConfirmDead);
        } else if self.look.is_some() && !self.gate(guards) && guards.has(Guard::GateBeforeDecide) {
            self.consent = None;
            self.enter(Phase::Quiesce);
        } else if let (Some(look), Some(set)) = (self.look, self.consent)
            && guards.has(Guard::ConsentBound)
            && set != look.instances.map(|seen| seen.is_some())
        {
            self.consent = None;
        }
    }

    fn settle_revoke(&mut self, guards: Guards) {
        let now = self.emergency == Some(Emergency::RevokeNow);
        if self.is_ended() {
            self.enter(if now && !self.rolled() { self.first_unfinished() } else { Phase::ConfirmDead });
            return;
        }
        let waits = guards.has(Guard::GateBeforeRevoke)
            && (!self.straight || guards.has(Guard::EvidenceStillThere))
            && !now;
        let shut = self.look.is_some() && !self.gate(guards);
        if !waits || !shut || self.runs(Op::Revoke) {
            return;
        }
        if self.straight {
            // The look is that of Decide, and evidence was lost since: everything is enumerated once more.
            (self.look, self.straight) = (None, false);
        } else {
            self.enter(Phase::Quiesce);
        }
    }

    fn settle_dead(&mut self, guards: Guards) {
        if self.death == Death::Confirmed || (self.death == Death::Refused && !guards.has(Guard::DeathLasts))
        {
            self.enter(Phase::Sweep);
        }
    }

    fn settle_sweep(&mut self, guards: Guards) {
        if self.open(Op::Retire).is_some() {
            return;
        }
        if self.retired {
            self.enter(Phase::Done);
        } else if !self.debt && !self.rolled() {
            self.enter(self.first_unfinished());
        } else if guards.has(Guard::SweepLooks) && self.fall_back() {
            self.enter(Phase::Roll);
        } else if self.debt && self.listed && guards.has(Guard::DebtKeepsValue) {
            let looked = self.look.is_some() || !guards.has(Guard::SweepLooks);
            if looked {
                self.enter(Phase::Done);
            }
        }
    }

    fn settle_rollback(&mut self, guards: Guards) {
        if (self.runs(Op::Disable) && guards.has(Guard::RollbackWaitsForDisable)) || self.must_enable(guards)
        {
            return;
        }
        if !self.minted {
            if self.intents == [None; 2] {
                self.enter(Phase::RolledBack);
            }
            return;
        }
        let dead = self.is_ended() || self.death != Death::Unseen;
        if dead && guards.has(Guard::TurnsForward) {
            if !self.is_ended() {
                self.old = Old::Ended { ours: false };
            }
            self.turn_round(guards);
            return;
        }
        let Some(look) = self.look else { return };
        if !self.alive && guards.has(Guard::AliveFirst) {
            return;
        }
        for at in 0..2 {
            if self.units[at].toward == Version::New {
                let moved = self.units[at].stage != Stage::Waiting
                    || look.instances[at].is_some_and(|it| it.0 == Version::New);
                let stage = if moved { Stage::Waiting } else { Stage::Settled };
                self.units[at] = Unit { toward: Version::Old, stage };
            }
        }
        if self.restored() && !self.runs(Op::DeleteNew) {
            if look.stranger {
                self.stand(Hold::Stranger);
            } else {
                self.fall_back();
            }
        }
    }
}
