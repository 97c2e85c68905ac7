//! What a request does when it arrives, and what the driver then writes down.

use crate::guard::{Guard, Guards};
use crate::state::{
    Broken, Death, Emergency, Hold, Key, Old, Op, Phase, Stage, State, Status, Version, When,
};

/// How an operation that arrived is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// It had its effect, and the driver hears so.
    Heard,
    /// It had its effect, and the answer is lost.
    Lost,
    /// It is refused for good; before Decide the rotation then rolls back, or holds.
    Refused { back: bool },
    /// It is answered as done, and had no effect.
    Lied,
    /// The instance restarts, and still uses the other version.
    Unmoved,
}

impl State {
    /// A request arrives.
    pub(crate) fn arrive(&mut self, slot: usize, answer: Answer, guards: Guards) {
        let Some((op, epoch)) = self.world.net[slot].take() else { return };
        self.world.net.sort_by_key(Option::is_none);
        let fenced = op.moves() && epoch < self.world.host_epoch && guards.has(Guard::HostFence);
        if op.moves() && !fenced && guards.has(Guard::HostFence) {
            self.world.host_epoch = epoch;
        }
        let dead = op == Op::Disable && !matches!(self.world.old, Key::On | Key::Off);
        let gone = op == Op::Enable && !matches!(self.world.old, Key::On | Key::Off);
        let takes = !matches!(answer, Answer::Refused { .. } | Answer::Lied) && !fenced && !dead && !gone;
        if takes {
            self.take_effect(op, epoch, answer == Answer::Unmoved);
        }
        let heard = epoch == self.belief.epoch && self.driver().is_some() && self.belief.runs(op);
        if !heard {
            return;
        }
        match answer {
            Answer::Heard | Answer::Unmoved | Answer::Lied if dead || gone => self.refused(op, false),
            Answer::Heard | Answer::Unmoved | Answer::Lied => self.done(op, guards),
            Answer::Lost => self.unheard(op, guards),
            Answer::Refused { back } => self.refused(op, back),
        }
        self.settle(guards);
    }

    /// No answer came in time, or it was lost.
    pub(crate) fn unheard(&mut self, op: Op, guards: Guards) {
        if !guards.has(Guard::UnknownIsNotFailed) {
            self.belief.close(op);
            return;
        }
        if !guards.has(Guard::UnknownIsNotDone) {
            self.done(op, guards);
            return;
        }
        for (open, status) in self.belief.intents.iter_mut().flatten() {
            if *open == op {
                *status = Status::Unknown { waited: false };
            }
        }
        if op == Op::Disable {
            (self.belief.perhaps_off, self.belief.heard) = (true, false);
        }
    }

    fn take_effect(&mut self, op: Op, epoch: u8, unmoved: bool) {
        match op {
            Op::Mint => {
                let covered = self.belief.open(Op::Mint).is_some();
                if !covered || matches!(self.world.new, Key::On | Key::Unborn) {
                    self.breaks(Broken::I2);
                }
                if self.world.trusting {
                    self.breaks(Broken::Order);
                }
                self.world.new = Key::Unborn;
            }
            Op::Move(at, version) => self.move_instance(usize::from(at), version, epoch, unmoved),
            Op::Disable => {
                self.audit_users(Version::Old);
                if self.world.old == Key::On {
                    (self.world.refused, self.world.soaked) = (When::Never, false);
                }
                self.world.old = Key::Off;
            }
            Op::Enable => {
                self.world.old = Key::On;
                self.world.on_in_rollback = true;
                (self.world.refused, self.world.soaked) = (When::Never, false);
            }
            Op::Revoke => {
                if self.belief.emergency != Some(Emergency::RevokeNow) {
                    self.audit_users(Version::Old);
                }
                if matches!(self.world.old, Key::On | Key::Off) {
                    self.world.old = Key::Dying;
                }
            }
            Op::DeleteNew if self.world.abandoned => self.world.abandoned = false,
            Op::DeleteNew => {
                self.audit_users(Version::New);
                let leaked = self.belief.emergency.is_some();
                if self.world.old != Key::On && !self.world.ended_recently && !leaked {
                    self.breaks(Broken::I5);
                }
                self.world.new = Key::Dead;
            }
            Op::Retire => {
                let lives = match self.world.old {
                    Key::Dead => false,
                    Key::Lingering => self.world.acceptance_seen,
                    Key::Absent | Key::Unborn | Key::On | Key::Off | Key::Dying => true,
                };
                if lives {
                    self.breaks(Broken::End);
                }
            }
        }
    }

    fn move_instance(&mut self, at: usize, version: Version, epoch: u8, unmoved: bool) {
        if epoch < self.world.host_epoch {
            self.breaks(Broken::I8);
        }
        self.world.host_epoch = epoch;
        let works = match version {
            Version::New => self.world.new == Key::On,
            Version::Old => self.world.on_in_rollback || self.world.old == Key::On,
        };
        if !works {
            self.breaks(Broken::Order);
        }
        if self.world.instances[at].up {
            let uses = if unmoved { version.other() } else { version };
            self.restart(at, uses, false);
        }
        if version == Version::New && !unmoved {
            self.world.instances[at].seen_old = false;
        }
    }

    /// No instance that a look could be expected to know uses the key that ends.
    fn audit_users(&mut self, version: Version) {
        if self.world.instances.iter().any(|it| it.up && it.uses == version && !it.recent) {
            self.breaks(Broken::I1);
        }
    }

    /// An operation was seen to have its effect.
    pub(crate) fn done(&mut self, op: Op, guards: Guards) {
        let belief = &mut self.belief;
        belief.close(op);
        if op.moves() && guards.has(Guard::NothingMoves) {
            belief.look = None;
        }
        match op {
            Op::Mint => belief.minted = true,
            Op::Move(at, version) => {
                let unit = &mut belief.units[usize::from(at)];
                if unit.toward == version && unit.stage == Stage::Waiting {
                    unit.stage = Stage::Proving;
                }
            }
            Op::Disable => {
                if !belief.is_ended() || !guards.has(Guard::EndedStaysEnded) {
                    belief.old = Old::Off { soaked: false };
                }
                (belief.perhaps_off, belief.heard) = (false, false);
            }
            Op::Enable => {
                belief.old = Old::On;
                belief.perhaps_off = false;
                (belief.alive, belief.alive_again, belief.death) = (false, false, Death::Unseen);
            }
            Op::Revoke => belief.old = Old::Ended { ours: true },
            Op::DeleteNew => belief.minted = false,
            Op::Retire => belief.retired = true,
        }
    }

    /// An operation certainly had no effect, and trying again does not help.
    fn refused(&mut self, op: Op, back: bool) {
        let world_dead = self.world.old == Key::Dead;
        let belief = &mut self.belief;
        belief.close(op);
        let forward = belief.decided || belief.is_ended() || belief.emergency.is_some();
        match op {
            Op::Mint | Op::Move(_, Version::New)
                if back && !forward && belief.phase != Phase::RollingBack =>
            {
                self.world.on_in_rollback = self.world.old == Key::On;
                belief.enter(Phase::RollingBack);
            }
            Op::Disable if world_dead && belief.phase == Phase::Disable => {
                belief.old = Old::Ended { ours: false };
            }
            Op::Mint | Op::Move(_, Version::New) | Op::Disable | Op::Retire => belief.stand(Hold::Failed),
            Op::Move(_, Version::Old) | Op::Enable | Op::DeleteNew => belief.stand(Hold::Stuck),
            Op::Revoke if belief.emergency == Some(Emergency::RevokeNow) && !belief.rolled() => {
                belief.enter(belief.first_unfinished());
            }
            Op::Revoke => {
                belief.debt = true;
                belief.enter(Phase::Sweep);
            }
        }
    }

    /// Whether an operation ends a key that processes may use, and so must rest on a young look.
    pub(crate) fn ends_key(&self, op: Op) -> bool {
        match op {
            Op::Disable | Op::DeleteNew => true,
            Op::Revoke => self.belief.emergency != Some(Emergency::RevokeNow),
            Op::Mint | Op::Move(..) | Op::Enable | Op::Retire => false,
        }
    }

    /// Follows the phases, and judges an end.
    pub(crate) fn settle(&mut self, guards: Guards) {
        let (before, deleting) = (self.belief.phase, self.belief.deleting);
        self.belief.settle(guards);
        if deleting && !self.belief.deleting {
            self.abandon();
        }
        let turned = before == Phase::RollingBack && matches!(self.belief.phase, Phase::Mint | Phase::Probe);
        if turned && self.world.old == Key::On {
            self.breaks(Broken::I5);
        }
        if self.belief.phase != before {
            if self.belief.phase == Phase::Sweep {
                for instance in &mut self.world.instances {
                    instance.owed = instance.up && instance.uses == Version::Old;
                }
            }
            self.judge_end();
        }
    }

    /// The new key is abandoned, and another one will be made.
    pub(crate) fn abandon(&mut self) {
        self.world.abandoned = matches!(self.world.new, Key::On | Key::Unborn);
        self.world.new = Key::Absent;
    }

    pub(crate) fn judge_end(&mut self) {
        let stays = match self.belief.phase {
            Phase::Done => Version::New,
            Phase::RolledBack => Version::Old,
            _ => return,
        };
        let behind = self.world.instances.iter().any(|it| it.up && it.owed && !self.belief.debt);
        let right = match stays {
            Version::New => {
                let over = matches!(self.world.old, Key::Dead | Key::Lingering);
                self.world.new == Key::On && (over || self.belief.debt)
            }
            Version::Old => matches!(self.world.new, Key::Absent | Key::Dead),
        };
        let refused = self.world.new == Key::Absent;
        if stays == Version::Old && !refused && (self.belief.decided || self.belief.emergency.is_some()) {
            self.breaks(Broken::I5);
        } else if behind || !right {
            self.breaks(Broken::End);
        }
    }
}
