//! One schedule: drivers over one world, action by action, with every invariant checked after every step.

use std::sync::Arc;

use keyroll_engine::{Action, Drive, DriverState, Ending, Input, Poll};
use keyroll_rotation::{Awaited, Event, HostId, Phase, Seq, Stamp, State};

use crate::audit::Audit;
use crate::calls::{Call, CallResult, DriverRequest, Reply, Scope};
use crate::coverage::Coverage;
use crate::driver_slot::DriverSlot;
use crate::fault_plan::{FaultPlan, Planned};
use crate::faults::Class;
use crate::ledger::Ledger;
use crate::link_record::HeldUp;
use crate::mutant::{Mutant, Mutation};
use crate::mutated::Mutated;
use crate::policy::Helped;
use crate::rng::Rng;
use crate::scene::REQUEST_MS_MAX;
use crate::world::World;

/// Virtual milliseconds after which a run must have ended.
const RUN_MS_MAX: u64 = 4 * 3_600_000;
/// Steps after which a run must have ended.
const RUN_STEPS_MAX: u64 = 40_000;
/// How much of a wait is simulated use by use, and at what interval.
const USES_MS_MAX: u64 = 2_500;
const USES_APART_MS: u64 = 200;
/// How many commands of the operator a run may have before it must have ended.
pub(crate) const WORDS_MAX: u32 = 80;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

/// An event of the simulation that is still to come.
pub(crate) enum Due {
    /// An entry reaches the journal.
    Commit {
        slot: usize,
        seq: Seq,
        event: Event,
        ticket: usize,
        reply: Reply,
    },
    /// A call reaches the world; its answer comes `answer_ms` later.
    Call {
        slot: usize,
        scope: Option<usize>,
        call: Call,
        ticket: usize,
        reply: Reply,
        answer_ms: u64,
    },
    /// A shell hears an answer.
    Answer {
        slot: usize,
        ticket: usize,
        answer: CallResult,
    },
    /// A driver hears something that is no answer to a call of its shell: an answer for the second time, or a mutant's
    /// invention.
    Hear {
        slot: usize,
        input: Input,
    },
    /// A request reaches the world after its caller gave up or died.
    Late {
        scope: Option<usize>,
        call: Call,
    },
    /// An order that a link held up, or that comes again, reaches its host.
    Order(Box<HeldUp>),
    TakeOver,
    /// A host is back.
    Back(HostId),
    /// An operator says that a host is gone.
    SaidGone(HostId),
    /// The right journal replaces the older or damaged one.
    PutBack,
    /// The right store replaces the older one.
    StoreBack,
    Operator,
    Resume,
    /// An operator who rolls the rotation back, as long as that is possible.
    TurnBack,
    /// An operator who looks whether the rotation still waits.
    Watch,
}

/// One schedule: the state that its shells and the world share.
pub(crate) struct Run {
    pub(crate) core: Mutated,
    pub(crate) mutant: &'static Mutant,
    pub(crate) world: World,
    /// A rotation of another secret that begins beside this one.
    pub(crate) neighbour: Option<Box<Run>>,
    /// How often the machine restarted.
    pub(crate) reboots: u32,
    pub(crate) ledger: Ledger,
    /// What the simulation saw, for the invariants that judge the core.
    pub(crate) audit: Audit,
    pub(crate) slots: Vec<DriverSlot>,
    /// Drivers that are to take over now.
    pub(crate) starting: u32,
    /// Every action that was asked for.
    pub(crate) scopes: Vec<Scope>,
    /// The answer to each call, until its caller takes it.
    pub(crate) answers: Vec<Option<CallResult>>,
    pub(crate) due: Vec<(u64, u64, Due)>,
    order: u64,
    pub(crate) rng: Rng,
    faults: Vec<Planned>,
    pub(crate) actions: u32,
    pub(crate) steps: u64,
    pub(crate) trace: u64,
    pub(crate) words: u32,
    pub(crate) operator_called: bool,
    pub(crate) debts: u32,
    /// How often the rotation paused because the new value was not accepted.
    pub(crate) unaccepted_pauses: u32,
    /// How often the rotation paused for a refused use.
    pub(crate) refused_pauses: u32,
    /// What an operator did who does what the rotation names.
    pub(crate) helped: Helped,
    /// What the rotation waits for, and in which phase.
    pub(crate) awaited: Option<(Phase, Awaited)>,
    pub(crate) ended: bool,
    pub(crate) last_phase: Phase,
    pub(crate) violation: Option<Violation>,
    pub(crate) coverage: Option<Coverage>,
    pub(crate) classes: Option<Vec<(Phase, Class)>>,
    pub(crate) states: Option<Vec<State>>,
    pub(crate) log: Option<Vec<String>>,
}

/// What to keep of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// The classes of its actions.
    pub classes: bool,
    /// The first state of each phase.
    pub states: bool,
    /// A readable log.
    pub log: bool,
}

impl Run {
    /// A schedule without a driver.
    pub(crate) fn new(plan: &FaultPlan, mutant: &'static Mutant, keep: Keep, now: u64) -> Self {
        let mut world = World::new(plan.scene, now);
        world.mutation = mutant.mutation;
        let opened = Stamp { ms: world.mono(), boot: world.boot, epoch: 0 };
        let mut protocol_plan = world.plan.clone();
        (mutant.plan)(&mut protocol_plan);
        let mut run = Self {
            core: Mutated::by(mutant),
            mutant,
            ledger: Ledger::new(protocol_plan, opened),
            world,
            audit: Audit::default(),
            neighbour: None,
            reboots: 0,
            slots: Vec::new(),
            starting: 0,
            scopes: Vec::with_capacity(256),
            answers: Vec::with_capacity(512),
            due: Vec::with_capacity(32),
            order: 0,
            rng: Rng::new(plan.seed),
            faults: plan.faults.clone(),
            actions: 0,
            steps: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            words: 0,
            operator_called: false,
            debts: 0,
            unaccepted_pauses: 0,
            refused_pauses: 0,
            helped: Helped::of(plan.policy),
            awaited: None,
            ended: false,
            last_phase: Phase::Preflight,
            violation: None,
            coverage: None,
            classes: keep.classes.then(Vec::new),
            states: keep.states.then(Vec::new),
            log: keep.log.then(Vec::new),
        };
        if let Err(defect) = run.world.plan.fits() {
            run.violate("plan", format!("{defect:?}"));
        }
        run
    }

    pub(crate) fn going(&self) -> bool {
        self.violation.is_none() && !self.ended
    }

    /// Stops a run that lasts longer than any run may.
    pub(crate) fn check_length(&mut self) {
        if self.world.now > RUN_MS_MAX || self.steps > RUN_STEPS_MAX {
            let held = self.state().map(|state| (state.phase(), state.hold()));
            let rule = if self.helps() { "N1" } else { "I7" };
            self.violate(rule, format!("not ended after {} steps: {held:?}", self.steps));
        }
    }

    /// When the next thing happens here.
    pub(crate) fn next_at(&self) -> u64 {
        let due = self.due.iter().map(|(at, ..)| *at).min();
        due.into_iter().chain(self.wake_at()).min().unwrap_or(self.world.now)
    }

    /// When the first of the shells wants to be polled.
    fn wake_at(&self) -> Option<u64> {
        let wake = self.slots.iter().filter(|slot| slot.alive).filter_map(|slot| slot.wake).min();
        wake.map(|mono| mono + self.world.boot_at)
    }

    /// Lets every event that is still to come happen, and judges the end.
    pub(crate) fn finish(&mut self) {
        self.world.now += 4 * REQUEST_MS_MAX;
        let late: Vec<Due> = self.due.drain(..).map(|(.., due)| due).collect();
        for due in late {
            match due {
                Due::Late { scope, call } => {
                    self.execute(scope, &call);
                }
                Due::StoreBack => self.world.put_back_store(),
                _ => {}
            }
        }
        self.world.now += 60_000;
        if self.violation.is_none() {
            self.judge_end();
        }
    }

    pub(crate) fn violate(&mut self, rule: &'static str, what: String) {
        if self.violation.is_none() {
            if let Some(log) = &mut self.log {
                log.push(format!("VIOLATION {rule}: {what}"));
            }
            self.violation = Some(Violation { rule, what });
        }
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>8} ms  {}", self.world.now, line()));
        }
    }

    pub(crate) fn later(&mut self, ms: u64, due: Due) {
        self.order += 1;
        self.due.push((self.world.now + ms, self.order, due));
    }

    /// What the driver in a slot knows.
    pub(crate) fn snapshot(&self, at: usize) -> Option<Arc<State>> {
        self.slots.get(at).map(|slot| slot.driver.snapshot())
    }

    /// The newest living driver's slot.
    pub(crate) fn driving(&self) -> Option<usize> {
        self.slots.iter().rposition(|slot| slot.alive)
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.slots.last().map(|slot| slot.driver.state())
    }

    /// Starts a driver, unless the journal may not be driven.
    pub(crate) fn begin_take_over(&mut self) {
        let older = self.ledger.older() && self.mutant.mutation != Mutation::WitnessUnread;
        if older || self.ledger.damaged {
            // No driver starts on such a journal: the operator restores the right one.
            self.say(|| "the journal is older than its witness, or damaged: it is frozen".to_owned());
            return self.later(700, Due::PutBack);
        }
        self.starting += 1;
    }

    /// A shell asks its driver what to do.
    pub(crate) fn poll(&mut self, at: usize) -> Poll {
        let idle = || Poll { actions: Vec::new(), wake_ms: None, standing: DriverState::Driving };
        let (now, mono) = (self.world.now, self.world.mono());
        let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.alive) else { return idle() };
        let mut poll = slot.driver.poll(mono);
        if poll.wake_ms.is_some_and(|wake| wake <= mono) && poll.actions.is_empty() {
            self.violate("driver", format!("asks to be woken at once, again and again, at {now}"));
            return idle();
        }
        let asked = std::mem::take(&mut poll.actions).into_iter();
        let alive = |run: &Self| run.slots.get(at).is_some_and(|slot| slot.alive);
        poll.actions =
            asked.filter_map(|action| if alive(self) { self.dispatch(at, action) } else { None }).collect();
        self.stands(at, &poll.standing);
        if alive(self) { poll } else { idle() }
    }

    fn stands(&mut self, at: usize, standing: &DriverState) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.standing = standing.clone();
        match standing {
            DriverState::Driving => {}
            DriverState::Lost => {
                slot.alive = false;
                if self.driving().is_none() && !self.taking_over() {
                    self.later(300, Due::TakeOver);
                }
            }
            DriverState::Person(_) | DriverState::Held(_) | DriverState::Ended => {
                if !self.operator_called && Some(at) == self.driving() {
                    self.operator_called = true;
                    let ms = self.rng.between(20, 200);
                    self.later(ms, Due::Operator);
                }
            }
        }
    }

    /// A shell ended by itself, without an operator. Another one is started later.
    pub(crate) fn shell_ended(&mut self, at: usize, ending: &Ending) {
        let Some(slot) = self.slots.get_mut(at) else {
            return self.violate("replay", format!("{ending:?}"));
        };
        if std::mem::take(&mut slot.alive) && self.driving().is_none() && !self.taking_over() {
            let ms = self.rng.between(30, 900);
            self.later(ms, Due::TakeOver);
        }
    }

    pub(crate) fn taking_over(&self) -> bool {
        self.starting > 0 || self.due.iter().any(|(.., due)| matches!(due, Due::TakeOver | Due::PutBack))
    }

    /// Makes the faults that the schedule has for an action happen. Returns the action if the shell must carry it out.
    fn dispatch(&mut self, at: usize, mut action: Action) -> Option<Action> {
        let number = self.actions;
        self.actions += 1;
        self.help_from(number);
        let slot = self.slots.get(at)?;
        let (state, epoch) = (slot.driver.snapshot(), slot.epoch);
        let phase = state.phase();
        if let Some(classes) = &mut self.classes {
            classes.push((phase, Class::of(&action)));
        }
        (self.mutant.alter)(&state, &mut action);
        let instead = (self.mutant.action)(&state, &action);
        let early = (self.mutant.early)(&state, &action);
        self.say(|| format!("{number:>4} {phase:?}: driver {at} asks {action:?}"));
        if let Some(input) = instead {
            self.later(5, Due::Hear { slot: at, input });
            return None;
        }
        if let Some(input) = early {
            self.later(1, Due::Hear { slot: at, input });
        }
        let mut fault = None;
        while let Some(place) =
            self.faults.iter().position(|it| it.at <= number && it.fault.fits(Class::of(&action)))
        {
            let planned = self.faults.remove(place);
            self.say(|| format!("     FAULT {:?}", planned.fault));
            if let Some(coverage) = &mut self.coverage {
                coverage.fault(phase, planned.fault);
            }
            if self.befall(at, planned.fault) {
                fault = Some(planned.fault);
                break;
            }
        }
        let seq = state.seq();
        let asked = DriverRequest::of(&action, state);
        let mut scope = Scope::new(at, epoch, asked, fault);
        scope.after = match &scope.asked {
            DriverRequest::Carry(effect, _) => effect.intent,
            _ => seq,
        };
        scope.fault_at_truth = self.world.truth.as_ref().map(|_| number.is_multiple_of(2));
        self.scopes.push(scope);
        let scope = self.scopes.len() - 1;
        let slot = self.slots.get_mut(at).filter(|slot| slot.alive)?;
        slot.starting.push_back(scope);
        Some(action)
    }

    /// The next action that a shell starts: in the order in which the driver asked for them.
    pub(crate) fn next_scope(&mut self, at: usize) -> Option<usize> {
        self.slots.get_mut(at)?.starting.pop_front()
    }

    /// Advances time to the next event and makes it happen.
    pub(crate) fn next(&mut self) {
        let first = self.due.iter().enumerate().min_by_key(|(_, (at, no, _))| (*at, *no));
        let first = first.map(|(place, (at, ..))| (place, *at));
        match (first, self.wake_at()) {
            (None, None) => {
                let stands = self.state().map(|state| (state.phase(), state.hold()));
                self.violate("I7", format!("nothing happens any more: {stands:?}"));
            }
            (Some((place, at)), wake) if wake.is_none_or(|wake| at <= wake) => {
                self.advance(at);
                let (.., due) = self.due.swap_remove(place);
                self.happen(due);
            }
            (_, Some(wake)) => self.advance(wake),
            (Some(_), None) => {}
        }
    }

    fn advance(&mut self, to: u64) {
        if to > self.world.now {
            // Keys are in use while a driver waits, too: what the issuer shows about the last seconds must be true.
            self.world.now = self.world.now.max(to.saturating_sub(USES_MS_MAX));
            while self.world.now + USES_APART_MS < to {
                self.world.now += USES_APART_MS;
                self.world.use_keys();
            }
            self.world.now = to;
            self.world.use_keys();
        }
    }
}
