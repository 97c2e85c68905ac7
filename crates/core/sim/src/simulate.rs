//! One schedule from its plan to its report.

use keyroll_rotation::{Phase, State};

use crate::coverage::Coverage;
use crate::fault_plan::FaultPlan;
use crate::faults::Class;
use crate::mutant::Mutant;
use crate::schedule::{Keep, Run, Violation};
use crate::shell::Shells;

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// The violation, if there was one: a run stops at it.
    pub violation: Option<Violation>,
    /// Inputs that went through a driver.
    pub steps: u64,
    /// Actions that drivers asked for.
    pub actions: u32,
    /// A hash over everything that happened.
    pub trace: u64,
    /// The phase at the end.
    pub phase: Phase,
    /// The class of each action, with the phase in which it was asked for.
    pub classes: Vec<(Phase, Class)>,
    /// The first state of each phase, if asked for.
    pub states: Vec<State>,
    /// What happened, readably, if asked for.
    pub log: Vec<String>,
}

/// Runs one schedule.
pub fn run(plan: &FaultPlan, mutant: &'static Mutant, keep: Keep, coverage: Option<&mut Coverage>) -> Report {
    let mut run = Run::new(plan, mutant, keep, 1_000);
    run.coverage = coverage.is_some().then(Coverage::default);
    run.begin_take_over();
    let mut shells = Shells::new(run);
    shells.drive();
    let mut run = shells.run();
    if let (Some(all), Some(seen)) = (coverage, &run.coverage) {
        all.add(seen);
    }
    Report {
        violation: run.violation.take(),
        steps: run.steps,
        actions: run.actions,
        trace: run.trace,
        phase: run.last_phase,
        classes: run.classes.take().unwrap_or_default(),
        states: run.states.take().unwrap_or_default(),
        log: run.log.take().unwrap_or_default(),
    }
}
