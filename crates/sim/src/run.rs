//! One schedule: drivers over one world, action by action, with every invariant checked after every step.

use keyroll_engine::{Action, Driver, Input, Pace, Standing};
use keyroll_rotation::{Effect, Event, Phase, Query, Seq, Stamp, State};

use crate::book::Book;
use crate::coverage::Coverage;
use crate::faults::{Class, FaultPlan, Planned};
use crate::looks::Lens;
use crate::mutant::{Lapse, Mutant, Mutated};
use crate::rng::Rng;
use crate::scene::REQUEST_MS_MAX;
use crate::seat::Seat;
use crate::world::World;

/// Virtual milliseconds after which a run must have ended.
const RUN_MS_MAX: u64 = 4 * 3_600_000;
/// Steps after which a run must have ended.
const RUN_STEPS_MAX: u64 = 40_000;
/// How much of a wait is lived through, and in what steps.
const USES_MS_MAX: u64 = 2_500;
const USES_APART_MS: u64 = 200;
/// Words of the operator after which a run must have ended.
pub(crate) const WORDS_MAX: u32 = 80;

/// What was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was found wrong, if anything: a run stops at it.
    pub violation: Option<Violation>,
    /// Inputs that went through a driver.
    pub steps: u64,
    /// Actions that drivers asked for.
    pub actions: u32,
    /// A hash over everything that happened.
    pub trace: u64,
    /// Where it ended.
    pub phase: Phase,
    /// The class of each action with the phase that it was asked for in.
    pub classes: Vec<(Phase, Class)>,
    /// The first state of each phase, if asked for.
    pub states: Vec<State>,
    /// What happened, readably, if asked for.
    pub log: Vec<String>,
}

/// What is still to happen.
pub(crate) enum Due {
    Commit {
        seat: usize,
        seq: Seq,
        event: Event,
        reply: Reply,
    },
    Reload {
        seat: usize,
    },
    Carry {
        seat: usize,
        effect: Effect,
        state: Box<State>,
        reply: Reply,
    },
    Look {
        seat: usize,
        query: Query,
        lens: Lens,
        state: Box<State>,
        reply: Reply,
        answer_ms: u64,
    },
    Reply {
        seat: usize,
        input: Input,
    },
    Late {
        effect: Effect,
        state: Box<State>,
        epoch: u64,
    },
    TakeOver,
    /// The right journal is put back in place of the one that is older, or damaged.
    PutBack,
    /// The same of the store.
    StoreBack,
    Operator,
    Resume,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Comes,
    Twice,
    Lost,
    /// The driver dies instead of hearing it.
    Crash,
}

pub(crate) struct Run<'a> {
    pub(crate) core: Mutated,
    mutant: &'a Mutant,
    pub(crate) world: World,
    /// A rotation of another secret beside this one.
    pub(crate) neighbour: Option<Box<Run<'static>>>,
    pub(crate) book: Book,
    pub(crate) seats: Vec<Seat>,
    pub(crate) due: Vec<(u64, u64, Due)>,
    order: u64,
    pub(crate) rng: Rng,
    faults: Vec<Planned>,
    actions: u32,
    pub(crate) steps: u64,
    pub(crate) trace: u64,
    pub(crate) words: u32,
    pub(crate) operator_called: bool,
    pub(crate) debts: u32,
    pub(crate) ended: bool,
    last_phase: Phase,
    pub(crate) violation: Option<Violation>,
    pub(crate) coverage: Option<&'a mut Coverage>,
    classes: Option<Vec<(Phase, Class)>>,
    states: Option<Vec<State>>,
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

/// Runs one schedule.
pub fn run(plan: &FaultPlan, mutant: &Mutant, keep: Keep, coverage: Option<&mut Coverage>) -> Report {
    let mut run = Run::new(plan, mutant, keep, coverage, 1_000);
    run.take_over();
    run.drive();
    Report {
        violation: run.violation,
        steps: run.steps,
        actions: run.actions,
        trace: run.trace,
        phase: run.last_phase,
        classes: run.classes.unwrap_or_default(),
        states: run.states.unwrap_or_default(),
        log: run.log.unwrap_or_default(),
    }
}

impl<'a> Run<'a> {
    /// A schedule that nobody drives yet.
    pub(crate) fn new(
        plan: &FaultPlan,
        mutant: &'a Mutant,
        keep: Keep,
        coverage: Option<&'a mut Coverage>,
        now: u64,
    ) -> Self {
        let mut world = World::new(plan.scene, now);
        world.lapse = mutant.lapse;
        let opened = Stamp { ms: world.mono(), boot: world.boot, epoch: 0 };
        let mut protocol_plan = world.plan.clone();
        (mutant.plan)(&mut protocol_plan);
        let mut run = Self {
            core: Mutated(mutant.number()),
            mutant,
            book: Book::new(protocol_plan, opened),
            world,
            neighbour: None,
            seats: Vec::new(),
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
            ended: false,
            last_phase: Phase::Preflight,
            violation: None,
            coverage,
            classes: keep.classes.then(Vec::new),
            states: keep.states.then(Vec::new),
            log: keep.log.then(Vec::new),
        };
        if let Err(defect) = run.world.plan.fits() {
            run.violate("plan", format!("{defect:?}"));
        }
        run
    }
}

impl Run<'_> {
    pub(crate) fn drive(&mut self) {
        while self.going() {
            self.turn();
        }
        self.neighbour_to_its_end();
        if self.violation.is_none() {
            self.finish();
        }
    }

    pub(crate) fn going(&self) -> bool {
        self.violation.is_none() && !self.ended
    }

    /// Everybody says what they want, and the next thing happens: here, or in the other rotation.
    pub(crate) fn turn(&mut self) {
        let mut at = 0;
        while at < self.seats.len() {
            self.poll(at);
            at += 1;
        }
        self.neighbour_until(self.next_at());
        if !self.going() {
            return;
        }
        self.next();
        self.pass_on();
        if self.world.now > RUN_MS_MAX || self.steps > RUN_STEPS_MAX {
            let held = self.state().map(|state| (state.phase(), state.hold()));
            self.violate("I7", format!("not ended after {} steps: {held:?}", self.steps));
        }
    }

    /// When the next thing happens here.
    pub(crate) fn next_at(&self) -> u64 {
        let due = self.due.iter().map(|(at, ..)| *at).min();
        let wake = self.seats.iter().filter(|seat| seat.alive).filter_map(|seat| seat.wake).min();
        let wake = wake.map(|mono| mono + self.world.boot_at);
        due.into_iter().chain(wake).min().unwrap_or(self.world.now)
    }

    /// Lets everything that is under way arrive, and judges the end.
    pub(crate) fn finish(&mut self) {
        self.world.now += 4 * REQUEST_MS_MAX;
        let late: Vec<Due> = self.due.drain(..).map(|(.., due)| due).collect();
        for due in late {
            match due {
                Due::Late { effect, state, epoch } => {
                    self.carry_out(&effect, &state, epoch, false);
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

    /// The newest living driver's seat.
    pub(crate) fn driving(&self) -> Option<usize> {
        self.seats.iter().rposition(|seat| seat.alive)
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.seats.last().map(|seat| seat.driver.state())
    }

    pub(crate) fn take_over(&mut self) {
        let older = self.book.older() && self.mutant.lapse != Lapse::WitnessUnread;
        if older || self.book.damaged {
            // Nothing is driven on such a journal: a person puts the right one back.
            self.say(|| "the journal is older than its witness, or damaged: it is frozen".to_owned());
            return self.later(700, Due::PutBack);
        }
        self.book.epoch += 1;
        let epoch = self.book.epoch;
        let state = match self.book.replay(&self.core) {
            Ok(state) => state,
            Err(what) => return self.violate("replay", what),
        };
        self.say(|| format!("driver {epoch} takes over at entry {}", state.seq()));
        let pace = Pace { look_ms_max: 3_000, carry_ms_max: 3_000, ..Pace::default() };
        let driver = Driver::over(self.core, state, epoch, self.world.boot, self.world.mono(), pace);
        self.seats.push(Seat::new(driver, epoch));
    }

    fn poll(&mut self, at: usize) {
        let (now, mono) = (self.world.now, self.world.mono());
        let Some(seat) = self.seats.get_mut(at) else { return };
        if !seat.alive || !(seat.dirty || seat.wake.is_some_and(|wake| wake <= mono)) {
            return;
        }
        seat.dirty = false;
        let poll = seat.driver.poll(mono);
        seat.wake = poll.wake_ms;
        drop(seat.driver.take_rejected());
        if poll.wake_ms.is_some_and(|wake| wake <= mono) && poll.actions.is_empty() {
            self.violate("driver", format!("asks to be woken at once, again and again, at {now}"));
            return;
        }
        for action in poll.actions {
            if self.seats.get(at).is_some_and(|seat| seat.alive) {
                self.dispatch(at, action);
            }
        }
        let Some(seat) = self.seats.get_mut(at) else { return };
        seat.standing = poll.standing;
        match &seat.standing {
            Standing::Driving => {}
            Standing::Lost => {
                seat.alive = false;
                if self.driving().is_none() && !self.taking_over() {
                    self.later(300, Due::TakeOver);
                }
            }
            Standing::Person(_) | Standing::Held(_) | Standing::Ended => {
                if !self.operator_called && Some(at) == self.driving() {
                    self.operator_called = true;
                    let ms = self.rng.between(20, 200);
                    self.later(ms, Due::Operator);
                }
            }
        }
    }

    pub(crate) fn taking_over(&self) -> bool {
        self.due.iter().any(|(.., due)| matches!(due, Due::TakeOver | Due::PutBack))
    }

    fn dispatch(&mut self, at: usize, mut action: Action) {
        let number = self.actions;
        self.actions += 1;
        let phase = self.seats.get(at).map_or(Phase::Done, |seat| seat.driver.state().phase());
        if let Some(classes) = &mut self.classes {
            classes.push((phase, Class::of(&action)));
        }
        let Some(seat) = self.seats.get(at) else { return };
        (self.mutant.alter)(seat.driver.state(), &mut action);
        let instead = (self.mutant.action)(seat.driver.state(), &action);
        let early = (self.mutant.early)(seat.driver.state(), &action);
        self.say(|| format!("{number:>4} {phase:?}: driver {at} asks {action:?}"));
        if let Some(input) = instead {
            self.later(5, Due::Reply { seat: at, input });
            return;
        }
        if let Some(input) = early {
            self.later(1, Due::Reply { seat: at, input });
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
        if self.seats.get(at).is_some_and(|seat| seat.alive) {
            self.begin(at, action, fault);
        }
    }

    /// The next thing that happens: time goes on to it.
    fn next(&mut self) {
        let first = self.due.iter().enumerate().min_by_key(|(_, (at, no, _))| (*at, *no));
        let first = first.map(|(place, (at, ..))| (place, *at));
        let boot_at = self.world.boot_at;
        let wake = self.seats.iter().filter(|seat| seat.alive).filter_map(|seat| seat.wake).min();
        let wake = wake.map(|mono| mono + boot_at);
        match (first, wake) {
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
            // Keys are in use while a driver waits, too: what an issuer shows of the last seconds is true.
            self.world.now = self.world.now.max(to.saturating_sub(USES_MS_MAX));
            while self.world.now + USES_APART_MS < to {
                self.world.now += USES_APART_MS;
                self.world.use_keys();
            }
            self.world.now = to;
            self.world.use_keys();
        }
    }

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
        let Some(seat) = self.seats.get_mut(at).filter(|seat| seat.alive) else { return };
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
        seat.told(&input);
        let before = seat.driver.state().hold();
        seat.driver.on(input, mono);
        seat.dirty = true;
        let after = seat.driver.state().hold();
        self.steps += 1;
        let (phase, seq) = (seat.driver.state().phase(), seat.driver.state().seq());
        for part in [self.world.now, kind, seq, phase as u64, at as u64] {
            self.trace = (self.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
        }
        if phase != self.last_phase {
            let from = self.last_phase;
            self.last_phase = phase;
            if let Some(states) = &mut self.states {
                states.push(seat.driver.state().clone());
            }
            if phase == Phase::RollingBack {
                self.world.rolling_since = self.world.now;
            }
            self.check_idle(at, from, phase);
            self.say(|| format!("     {from:?} -> {phase:?}"));
            if let Some(coverage) = &mut self.coverage {
                coverage.transition(from, phase);
            }
            self.check_ways(at);
        }
        self.check_hold(before, after);
        self.check(at);
    }
}
