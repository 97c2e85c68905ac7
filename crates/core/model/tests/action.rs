//! What can happen, and the model that Stateright explores.

use crate::effects::Answer;
use crate::guard::{Guard, Guards};
use crate::state::{
    Belief, Death, Driver, Emergency, Hand, Hold, Key, Left, Look, Old, Once, Op, Phase, Process, Stage,
    State, Status, Unit, Version, When,
};

/// One step of a driver, of the world or of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A driver starts, with the next epoch. The one that it replaces may be about to write an intent.
    Start(u8, Option<Op>),
    Crash(u8),
    /// The driver writes an intent.
    Intend(Op),
    /// A driver that was replaced writes its intent.
    IntendLate(u8),
    /// A driver calls the issuer or the host.
    Send(u8),
    /// The look behind the operation is too old: it is not sent.
    Drop(u8),
    Arrive(u8, Answer),
    /// A request never arrives.
    Vanish(u8),
    /// The driver waited long enough for an answer.
    TimeOut(u8),
    Preflight,
    ProbeNew,
    ProbeOld {
        accepted: bool,
    },
    Look,
    /// A host does not answer the look.
    LookPartly,
    Prove(u8),
    ReadRefusals,
    List,
    Reconcile,
    /// The issuer does not say what an operation did.
    StayUnclear,
    Decide,
    /// Nobody is there to consent.
    Unanswered,
    /// The old key was not seen dead by the deadline.
    GiveUpDeath,
    /// So much time passes that a look is not young any more, a request has arrived, a soak is over.
    Wait,
    /// The same, at an issuer that is slower than it declares.
    WaitSlowly,
    LateInstance,
    /// The second instance ends, and none follows.
    InstanceEnds,
    Restart(u8, Version),
    /// A rare job calls with the old key.
    Call,
    Outage,
    Recover,
    StrangerAppears,
    StrangerGoes,
    OthersEndKey,
    OthersEnableKey,
    Consent,
    Pause,
    Resume,
    Retry,
    Abort,
    Escalate(Emergency),
    /// The operator says that they revoked the old key; `done`: they did.
    Statement {
        done: bool,
    },
}

impl State {
    /// The driver runs, and nothing holds the rotation.
    fn free(&self) -> bool {
        let idle = self.driver().is_some_and(|at| self.drivers[at].hand == Hand::Idle);
        idle && self.belief.hold.is_none() && self.belief.unknown().is_none()
    }

    /// Whether this can happen now.
    pub(crate) fn can(&self, action: Action, guards: Guards) -> bool {
        let belief = &self.belief;
        let free = self.free() && !belief.ended();
        match action {
            Action::Start(at, wants) => self.can_start(usize::from(at), wants, guards),
            Action::Crash(at) => {
                let once = if at == 0 { Once::CrashFirst } else { Once::CrashSecond };
                self.left.has(once) && self.drivers[usize::from(at)].alive
            }
            Action::Intend(op) => {
                let driver = self.driver().map(|at| &self.drivers[at]);
                driver.is_some_and(|it| it.hand == Hand::Idle) && belief.permits(op, guards)
            }
            Action::IntendLate(at) => {
                matches!(self.drivers[usize::from(at)].hand, Hand::Wants(_))
                    && !guards.has(Guard::JournalFence)
            }
            Action::Send(at) => self.can_send(usize::from(at), guards),
            Action::Drop(at) => {
                let held = matches!(self.drivers[usize::from(at)].hand, Hand::Holds(..) | Hand::Wants(_));
                held && !self.can_send(usize::from(at), guards) && self.world.net[1].is_none()
            }
            Action::Arrive(slot, answer) => self.can_arrive(usize::from(slot), answer),
            Action::Vanish(slot) => self.world.net[usize::from(slot)].is_some() && self.left.has(Once::Lost),
            Action::TimeOut(slot) => {
                let Some((op, epoch)) = self.world.net[usize::from(slot)] else { return false };
                epoch == belief.epoch
                    && self.driver().is_some()
                    && belief.runs(op)
                    && self.left.has(Once::Lost)
            }
            Action::Preflight => free && belief.phase == Phase::Preflight && !self.world.outage,
            Action::ProbeNew => free && belief.phase == Phase::Probe && !belief.accepted,
            Action::ProbeOld { accepted } => free && self.can_probe(accepted, guards),
            Action::Look => free && self.wants_look(guards),
            Action::LookPartly => {
                free && self.wants_look(guards)
                    && self.left.has(Once::Partial)
                    && !guards.has(Guard::CompleteLook)
            }
            Action::Prove(at) => free && self.wants_proof(usize::from(at), guards),
            Action::ReadRefusals => {
                let off = matches!(belief.old, Old::Off { .. });
                free && off && matches!(belief.phase, Phase::Soak | Phase::Decide) && !belief.heard
            }
            Action::List => {
                let decide = belief.phase == Phase::Decide && matches!(belief.old, Old::Off { .. });
                free && (belief.phase == Phase::Sweep || decide) && !belief.listed
            }
            Action::Reconcile => {
                self.driver().is_some() && belief.unknown().is_some() && belief.hold != Some(Hold::Unclear)
            }
            Action::StayUnclear => {
                let waited =
                    belief.unknown().and_then(|op| belief.open(op)) == Some(Status::Unknown { waited: true });
                self.can(Action::Reconcile, guards) && self.left.has(Once::Unclear) && waited
            }
            Action::Decide => free && self.may_decide(guards),
            Action::Unanswered => {
                let asked = belief.phase == Phase::Decide && belief.consent.is_none() && belief.gate(guards);
                free && asked
                    && belief.listed
                    && belief.heard
                    && belief.must_enable(guards)
                    && guards.has(Guard::UnansweredHolds)
            }
            Action::GiveUpDeath => {
                let lives = matches!(self.world.old, Key::On | Key::Off);
                free && belief.phase == Phase::ConfirmDead && lives && !self.world.outage
            }
            _ => self.can_outside(action, guards),
        }
    }

    /// Whether the world or the operator can do this.
    fn can_outside(&self, action: Action, guards: Guards) -> bool {
        let belief = &self.belief;
        let world = &self.world;
        match action {
            Action::Wait => world.net == [None; 2],
            Action::WaitSlowly => {
                world.net == [None; 2] && world.old == Key::Dying && self.left.has(Once::SlowDeath)
            }
            Action::LateInstance => self.left.has(Once::Late) && !world.instances[1].up,
            Action::InstanceEnds => self.left.has(Once::Ends) && world.instances[1].up,
            Action::Restart(at, version) => {
                let works = version == Version::Old || world.new == Key::On;
                let known = version == Version::Old || belief.minted;
                self.left.has(Once::Restart) && world.instances[usize::from(at)].up && works && known
            }
            Action::Call => {
                let old = world.instances.iter().any(|it| it.up && it.uses == Version::Old);
                world.old == Key::Off
                    && world.refused == When::Never
                    && (old || self.left.has(Once::RareCall))
            }
            Action::Outage => self.left.has(Once::Outage),
            Action::Recover => world.outage,
            Action::StrangerAppears => self.left.has(Once::Stranger),
            Action::StrangerGoes => world.stranger && belief.hold == Some(Hold::Stranger),
            Action::OthersEndKey => {
                self.left.has(Once::EndedByOthers) && matches!(world.old, Key::On | Key::Off)
            }
            Action::OthersEnableKey => self.left.has(Once::EnabledByOthers) && world.old == Key::Off,
            Action::Consent => {
                let asks = belief.phase == Phase::Decide && belief.consent.is_none() && !belief.decided;
                let gate = belief.gate(guards) || !guards.has(Guard::GateBeforeDecide);
                let heard = (belief.heard && belief.listed) || !matches!(belief.old, Old::Off { .. });
                self.free() && asks && gate && heard && belief.look.is_some()
            }
            Action::Pause => self.left.has(Once::Pause) && !belief.ended() && belief.hold.is_none(),
            Action::Resume => {
                let owes = belief.phase == Phase::Done && belief.debt;
                belief.hold.is_some_and(|hold| !hold.is_stuck()) || (owes && self.left.has(Once::Pause))
            }
            Action::Retry => belief.hold.is_some_and(Hold::is_stuck),
            Action::Abort => {
                let decided = belief.decided && guards.has(Guard::NoAbortAfterDecide);
                let leaked = belief.emergency.is_some() && guards.has(Guard::NoAbortInEmergency);
                let may = !belief.ended() && !decided && !leaked && !belief.is_ended();
                self.left.has(Once::Abort) && may
            }
            Action::Escalate(mode) => {
                let once = match mode {
                    Emergency::RollFirst => Once::RollFirst,
                    Emergency::RevokeNow => Once::RevokeNow,
                };
                let late = belief.decided && mode == Emergency::RevokeNow;
                self.left.has(once)
                    && !belief.ended()
                    && !late
                    && belief.open(Op::Retire).is_none()
                    && !belief.retired
            }
            Action::Statement { done } => {
                let failed = matches!(belief.hold, Some(Hold::Failed | Hold::Stuck));
                let asked = belief.phase == Phase::Revoke && belief.hold.is_none();
                let honest = done && world.old == Key::Dead && failed;
                let may = (asked || failed) && !belief.is_ended() && belief.open(Op::Revoke).is_none();
                may && (honest || self.left.has(Once::Statement))
            }
            _ => false,
        }
    }

    fn can_start(&self, at: usize, wants: Option<Op>, guards: Guards) -> bool {
        let other = &self.drivers[1 - at];
        let replaces = other.alive && other.epoch == self.belief.epoch;
        if self.drivers[at].alive || (replaces && !self.left.has(Once::Stopped)) || self.belief.ended() {
            return false;
        }
        wants.is_none_or(|op| replaces && other.hand == Hand::Idle && self.belief.permits(op, guards))
    }

    fn can_send(&self, at: usize, guards: Guards) -> bool {
        let driver = &self.drivers[at];
        let Hand::Holds(op, aged) = driver.hand else { return false };
        let replaced = driver.epoch < self.belief.epoch && !op.moves() && guards.has(Guard::WitnessFence);
        let old = aged && self.ends_key(op) && guards.has(Guard::AgedIsNotSent);
        let overdue = aged && op.moves() && guards.has(Guard::HostDeadline);
        driver.alive && !replaced && !old && !overdue && self.world.net[1].is_none()
    }

    fn can_arrive(&self, slot: usize, answer: Answer) -> bool {
        let Some((op, epoch)) = self.world.net[slot] else { return false };
        let listens = epoch == self.belief.epoch && self.driver().is_some() && self.belief.runs(op);
        match answer {
            Answer::Heard => true,
            Answer::Lost => listens && self.left.has(Once::Lost),
            Answer::Refused { back } => {
                let forward = matches!(op, Op::Mint | Op::Move(_, Version::New));
                listens && self.left.has(Once::Refusal) && (!back || forward)
            }
            Answer::Lied => listens && op == Op::Revoke && self.left.has(Once::Lie) && self.may_lie(),
            Answer::Unmoved => op.moves() && self.left.has(Once::Unmoved),
        }
    }

    /// A list cannot tell a disabled key from one that the issuer keeps as disabled after a Revoke: a Revoke that is
    /// answered as done and is not is only modelled for an enabled key.
    fn may_lie(&self) -> bool {
        self.world.old == Key::On && self.belief.open(Op::Disable).is_none()
    }

    fn can_probe(&self, accepted: bool, guards: Guards) -> bool {
        let belief = &self.belief;
        let wanted = match belief.phase {
            Phase::ConfirmDead => belief.death != Death::Confirmed,
            Phase::RollingBack => {
                !belief.must_enable(guards)
                    && (!belief.alive || (belief.look.is_some() && belief.restored() && !belief.alive_again))
            }
            Phase::Sweep => !belief.retired && !belief.debt && belief.open(Op::Retire).is_none(),
            _ => false,
        };
        let possible = match self.world.old {
            Key::On => accepted != self.world.outage,
            Key::Dying | Key::Lingering => !(accepted && self.world.outage),
            Key::Off | Key::Dead | Key::Absent | Key::Unborn => !accepted,
        };
        // In Sweep only an answer that changes something matters.
        let matters = belief.phase != Phase::Sweep || accepted;
        wanted && possible && matters
    }

    fn wants_look(&self, guards: Guards) -> bool {
        let belief = &self.belief;
        let looking = match belief.phase {
            Phase::Quiesce => !belief.must_enable(guards),
            Phase::Disable | Phase::Decide | Phase::Sweep => true,
            Phase::Revoke => !belief.is_ended() && belief.emergency != Some(Emergency::RevokeNow),
            Phase::RollingBack => {
                belief.minted
                    && (belief.alive || !guards.has(Guard::AliveFirst))
                    && belief.look.is_none_or(|_| belief.restored())
            }
            _ => false,
        };
        let stale = belief.look.is_none_or(|look| !look.young || !belief.gate(guards));
        looking && stale
    }

    fn wants_proof(&self, at: usize, guards: Guards) -> bool {
        let belief = &self.belief;
        if belief.units[at].stage == Stage::Proving {
            return matches!(belief.phase, Phase::Roll | Phase::RollingBack);
        }
        // An answer that was asked for earlier may still come.
        let lost = belief.proofs[at].is_some_and(|(_, process)| process != Process::Present);
        let asks = belief.look.is_some_and(|look| !belief.proven(&look, at, guards));
        let phase = matches!(
            belief.phase,
            Phase::Quiesce | Phase::Decide | Phase::Revoke | Phase::Sweep | Phase::RollingBack
        );
        let settled = belief.units[at].stage == Stage::Settled;
        phase && settled && (asks || (lost && matches!(belief.phase, Phase::Decide | Phase::Revoke)))
    }

    fn may_decide(&self, guards: Guards) -> bool {
        let belief = &self.belief;
        let Some(look) = belief.look else { return false };
        let gate = belief.gate(guards) || !guards.has(Guard::GateBeforeDecide);
        let off = matches!(belief.old, Old::Off { .. });
        let heard = !off || ((belief.heard || !guards.has(Guard::RefusalsReadLast)) && belief.listed);
        let set = look.instances.map(|seen| seen.is_some());
        let same = belief.consent == Some(set) || !guards.has(Guard::ConsentBound);
        let consented = (belief.consent.is_some() && same) || !guards.has(Guard::ConsentAsked);
        belief.phase == Phase::Decide && !belief.decided && gate && heard && consented && belief.young(guards)
    }

    /// Every action that can happen now.
    pub(crate) fn actions(&self, guards: Guards, actions: &mut Vec<Action>) {
        let mut all = vec![
            Action::Preflight,
            Action::ProbeNew,
            Action::ProbeOld { accepted: true },
            Action::ProbeOld { accepted: false },
            Action::Look,
            Action::LookPartly,
            Action::Prove(0),
            Action::Prove(1),
            Action::ReadRefusals,
            Action::List,
            Action::Reconcile,
            Action::StayUnclear,
            Action::Decide,
            Action::Unanswered,
            Action::GiveUpDeath,
            Action::Wait,
            Action::WaitSlowly,
            Action::LateInstance,
            Action::InstanceEnds,
            Action::Restart(0, Version::Old),
            Action::Restart(0, Version::New),
            Action::Call,
            Action::Outage,
            Action::Recover,
            Action::StrangerAppears,
            Action::StrangerGoes,
            Action::OthersEndKey,
            Action::OthersEnableKey,
            Action::Consent,
            Action::Pause,
            Action::Resume,
            Action::Retry,
            Action::Abort,
            Action::Escalate(Emergency::RollFirst),
            Action::Escalate(Emergency::RevokeNow),
            Action::Statement { done: true },
            Action::Statement { done: false },
        ];
        all.extend(Op::ALL.map(Action::Intend));
        for at in 0..2 {
            all.extend([
                Action::Start(at, None),
                Action::Crash(at),
                Action::IntendLate(at),
                Action::Send(at),
                Action::Drop(at),
                Action::Arrive(at, Answer::Heard),
                Action::Arrive(at, Answer::Lost),
                Action::Arrive(at, Answer::Refused { back: true }),
                Action::Arrive(at, Answer::Refused { back: false }),
                Action::Arrive(at, Answer::Lied),
                Action::Arrive(at, Answer::Unmoved),
                Action::Vanish(at),
                Action::TimeOut(at),
            ]);
            // Only a journal without its fence takes such an entry.
            if !guards.has(Guard::JournalFence) {
                all.extend(Op::ALL.map(|op| Action::Start(at, Some(op))));
            }
        }
        actions.extend(all.into_iter().filter(|action| self.can(*action, guards)));
    }
}

impl Driver {
    pub(crate) fn start(epoch: u8) -> Self {
        Self { alive: true, epoch, hand: Hand::Idle }
    }
}

impl Left {
    pub(crate) fn takes(action: Action) -> Option<Once> {
        match action {
            Action::Crash(0) => Some(Once::CrashFirst),
            Action::Crash(_) => Some(Once::CrashSecond),
            Action::Vanish(_) | Action::TimeOut(_) | Action::Arrive(_, Answer::Lost) => Some(Once::Lost),
            Action::Arrive(_, Answer::Refused { .. }) => Some(Once::Refusal),
            Action::Arrive(_, Answer::Lied) => Some(Once::Lie),
            Action::Arrive(_, Answer::Unmoved) => Some(Once::Unmoved),
            Action::LookPartly => Some(Once::Partial),
            Action::StayUnclear => Some(Once::Unclear),
            Action::WaitSlowly => Some(Once::SlowDeath),
            Action::LateInstance => Some(Once::Late),
            Action::InstanceEnds => Some(Once::Ends),
            Action::Restart(..) => Some(Once::Restart),
            Action::Outage => Some(Once::Outage),
            Action::StrangerAppears => Some(Once::Stranger),
            Action::OthersEndKey => Some(Once::EndedByOthers),
            Action::OthersEnableKey => Some(Once::EnabledByOthers),
            Action::Pause => Some(Once::Pause),
            Action::Abort => Some(Once::Abort),
            Action::Escalate(Emergency::RollFirst) => Some(Once::RollFirst),
            Action::Escalate(Emergency::RevokeNow) => Some(Once::RevokeNow),
            _ => None,
        }
    }
}

/// A belief after the start of a driver: nothing that another driver measured counts.
pub(crate) fn taken_over(belief: &mut Belief, guards: Guards) {
    belief.epoch += 1;
    for (op, status) in belief.intents.iter_mut().flatten() {
        *status = Status::Unknown { waited: false };
        belief.perhaps_off |= *op == Op::Disable;
    }
    if let Old::Off { soaked } = &mut belief.old {
        // Else the times of two clocks are compared: any time may seem to have passed.
        *soaked = !guards.has(Guard::WindowsBeginAnew);
    }
    (belief.alive, belief.alive_again, belief.accepted) = (false, false, false);
    (belief.death, belief.heard, belief.straight) = (Death::Unseen, false, false);
    if guards.has(Guard::LookOfThisDriver) {
        belief.look = None;
    } else if let Some(look) = &mut belief.look {
        look.foreign = true;
    }
}

/// One look of the world.
pub(crate) fn look_at(state: &State, whole: bool) -> Look {
    let see = |at: usize| {
        let instance = &state.world.instances[at];
        (instance.up && (whole || at == 0)).then_some((instance.uses, Process::Present))
    };
    Look { instances: [see(0), see(1)], stranger: state.world.stranger, young: true, foreign: false }
}

/// A unit that must be moved again.
pub(crate) fn again(unit: Unit) -> Unit {
    Unit { stage: Stage::Waiting, ..unit }
}
