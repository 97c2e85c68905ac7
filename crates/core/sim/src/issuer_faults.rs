//! Faults of the issuer and of what is connected to it, and wrong words of an operator.

use keyroll_engine::Command;
use keyroll_port::Probe;
use keyroll_rotation::{
    ConsumerId, Difference, Fact, HostId, Incarnation, InstanceIdentity, Phase, ReloadMode, Waived,
};

use crate::connections::{Instead, LooseSession};
use crate::faults::Fault;
use crate::issuer::OLD;
use crate::scene::{Family, Kind};
use crate::schedule::Run;
use crate::world::World;

/// Handles from here on belong to sessions without a process.
const LOOSE: u32 = 1_000_000;

impl Run {
    /// A fault of the issuer, or of what is connected to it.
    pub(crate) fn at_issuer(&mut self, fault: Fault) {
        let now = self.world.now;
        match fault {
            Fault::Unclear | Fault::Denied => {
                let unclear = fault == Fault::Unclear;
                let answer = if unclear { Probe::Unknown(String::new()) } else { Probe::Denied };
                let endpoint = self.rng.below(self.world.plan.endpoints.len() as u64) as usize;
                let until = now + self.rng.between(100, 6_000);
                self.world.instead = Some(Instead { endpoint, answer, until });
            }
            Fault::NeverWhole => {
                self.world.partial_until = now + self.rng.between(1_000, 120_000);
            }
            Fault::EnabledByOthers | Fault::DisabledByOthers => {
                self.switch_by_others(fault == Fault::EnabledByOthers);
            }
            Fault::NewEnded => self.end_new(),
            Fault::Colleague => self.colleague(),
            Fault::LooseSession => {
                let until = now + self.rng.between(300, 20_000);
                if self.world.plan.capabilities.sessions && self.world.issuer.stands(OLD) {
                    let handle = LOOSE + u32::try_from(self.world.loose.len()).unwrap_or(0);
                    self.world.loose.push(LooseSession { handle, since: now, until });
                }
            }
            Fault::Pool => {
                let place = self.rng.below(self.world.procs.len() as u64) as usize;
                let verb = self.has_verb(place);
                if let Some(proc) = self.world.procs.get_mut(place).filter(|_| verb) {
                    proc.pool = Some(OLD);
                }
            }
            Fault::TwoVersions => self.world.next_keeps_old = true,
            _ => {}
        }
    }

    /// Whether a process is restarted by a command of ours.
    fn has_verb(&self, place: usize) -> bool {
        let id = self.world.procs.get(place).and_then(|proc| proc.consumer);
        let consumer = id.and_then(|id| self.world.plan.consumers.get(id.index()));
        consumer.is_some_and(|it| it.uptake == ReloadMode::Verb)
    }

    pub(crate) fn switch_by_others(&mut self, on: bool) {
        let (old, now) = (self.world.old_id(), self.world.now);
        let disables = self.world.plan.capabilities.disable;
        let there = self.world.issuer.living(&old).filter(|cred| disables && cred.value == OLD);
        let there = there.filter(|_| on || self.audit.new_ended == 0);
        if there.is_some_and(|cred| cred.off.is_some() == on) {
            self.world.issuer.switch(&old, on, now);
            if on {
                self.audit.enabled_at = now;
            } else {
                self.audit.disabled_by_others = true;
            }
        }
    }

    /// Somebody ends a key that they do not know, or the issuer is put back from a backup. After the point of no return
    /// nothing of keyroll's is to blame for what follows.
    fn end_new(&mut self) {
        let now = self.world.now;
        let Some(state) = self.driving().and_then(|at| self.snapshot(at)) else { return };
        let moved = matches!(state.phase(), Phase::Quiesce | Phase::Disable | Phase::Soak);
        // A member of a family ends no key, and a slot is not deleted.
        let scene = &self.world.scene;
        // Where others ended both, nobody has a key.
        let both = !self.world.issuer.stands(OLD) || self.audit.disabled_unknown();
        let ends = !both && scene.kind == Kind::Independent && scene.family != Family::Part;
        if let Some(new) = state.new_version().filter(|_| moved && ends && !state.decided()) {
            self.world.issuer.end(&new.credential, now);
            self.audit.new_ended = now;
        }
    }

    fn colleague(&mut self) {
        if self.world.scene.kind == Kind::Independent {
            let value = self.world.fresh_value();
            self.world.issuer.colleague(value, self.world.now);
        }
    }

    /// The operator sends a wrong command. A key is never wrong here: keyroll checks a key that an operator enters before
    /// it becomes an event.
    pub(crate) fn wrong_word(&mut self, at: usize) {
        let number = self.rng.next();
        let life = InstanceIdentity::Process { boot: 1, pid: 9, start_ticks: number, program: 0 };
        let stranger = Incarnation { host: HostId(0), life };
        let facts = [
            Fact::HandRevoked,
            Fact::Consented(number),
            Fact::Resumed,
            Fact::Retried,
            Fact::Waived(Waived::Holder(stranger)),
            Fact::Waived(Waived::Copy(number)),
            Fact::Waived(Waived::NotVisible(ConsumerId(u16::MAX))),
            Fact::Accepted(Difference { name: "other".into(), digest: number }),
            Fact::PauseAsked,
        ];
        let place = self.rng.below(facts.len() as u64) as usize;
        let fact = facts.into_iter().nth(place);
        self.audit.said_revoked |= fact == Some(Fact::HandRevoked);
        if let (Some(slot), Some(fact)) = (self.slots.get_mut(at).filter(|slot| slot.alive), fact) {
            slot.say(Command::Tell(fact));
        }
    }
}

impl World {
    /// The sessions on the old key whose processes nobody finds, at this time.
    pub(crate) fn loose_sessions(&self, at: u64) -> impl Iterator<Item = &LooseSession> {
        self.loose.iter().filter(move |it| it.since <= at && at < it.until)
    }

    /// The answer of an endpoint that does not answer as it would.
    pub(crate) fn answers_instead(&self, endpoint: usize) -> Option<Probe> {
        let instead = self.instead.as_ref()?;
        let holds = instead.endpoint == endpoint && self.now < instead.until;
        holds.then(|| instead.answer.clone())
    }
}
