//! The ways past the present wait of a rotation, forward and back: the sentences that name them, and each step.

use keyroll_rotation::{Awaited, Next, Phase, Reason, State, Step, Until, Waived, Way, way};

use super::next_words::{fitted, follow, go_on, said, shown};
use super::plan_names::Called;
use crate::operator::{StepShown, WaitingShown};

/// What a wait names.
pub(crate) struct Ways {
    /// What continues the rotation; where the operator has the choice, also what rolls it back.
    pub(crate) next: String,
    forward: String,
    back: Option<String>,
    forward_steps: Vec<StepShown>,
    back_steps: Vec<StepShown>,
}

impl Ways {
    /// The same beside what is waited for.
    pub(crate) fn of_wait(self, waiting: WaitingShown) -> WaitingShown {
        let Self { next: _, forward, back, forward_steps, back_steps } = self;
        WaitingShown { forward: Some(forward), back, forward_steps, back_steps, ..waiting }
    }
}

/// The ways past the present wait; none if nothing is waited for. `driven`: a driver goes on with it. `blocked`: something is
/// shown that blocks it, each with its own ways.
pub(crate) fn ways(called: &Called, state: &State, driven: bool, blocked: bool) -> Option<Ways> {
    let Way { what, until, forward, back } = way(state)?;
    let needed = until == Until::Person;
    let mut steps = fitted(called, state, forward);
    let forward = match (needed, driven) {
        (false, true) => {
            // What only goes on would end the driver.
            steps.retain(|step| step.first.is_some() || step.then.len() > 1);
            follow(called.rotation().0)
        }
        (false, false) => said(called, state, steps.get(..1).unwrap_or_default()),
        (true, _) if blocked && is_overdue(&what) => past_all(called, state, &steps),
        (true, _) => said(called, state, &steps),
    };
    let back_steps = shown(called, state, &back);
    let back = (!back.is_empty()).then(|| said(called, state, &back));
    let next = match back.as_ref().and_then(|back| or_back(&what, back)) {
        Some(back) => format!("{forward}; or {back}"),
        None => forward.clone(),
    };
    Some(Ways { next, forward, back, forward_steps: shown(called, state, &steps), back_steps })
}

/// What an operator can do while a driver goes on with the present wait: past it, or to interrupt the driver; and what rolls the
/// rotation back. Where only the operator ends the wait, each way counts.
pub(crate) fn meanwhile(called: &Called, state: &State) -> (String, Option<String>) {
    let pause = || format!("keyroll pause {}", called.rotation().0);
    let Some(Way { until, forward, back, .. }) = way(state) else { return (pause(), None) };
    let mut steps = fitted(called, state, forward);
    steps.retain(|step| until == Until::Person || step.first.is_some() || step.then.len() > 1);
    let forward = if steps.is_empty() { pause() } else { said(called, state, &steps) };
    (forward, (!back.is_empty()).then(|| said(called, state, &back)))
}

fn is_overdue(what: &Awaited) -> bool {
    matches!(what, Awaited::Hold(hold) if matches!(hold.reason(), Reason::Overdue(_)))
}

/// The ways past everything that blocks: each blocker is shown with its own.
fn past_all(called: &Called, state: &State, steps: &[Step]) -> String {
    let is_another = |next: &Next| matches!(next, Next::HandRevoked | Next::Waive(Waived::Host(_)));
    let others: Vec<Step> = steps.iter().filter(|step| step.then.iter().any(is_another)).cloned().collect();
    let all = format!("move what blocks it, then {}", go_on(called, state));
    if others.is_empty() { all } else { format!("{all}; or {}", said(called, state, &others)) }
}

/// What rolls the rotation back, where the operator is asked which way it takes.
fn or_back(what: &Awaited, back: &str) -> Option<String> {
    let Awaited::Hold(hold) = what else { return None };
    let reason = hold.reason();
    // Nobody may find what uses the old key.
    let unknown_users = matches!(reason, Reason::Overdue(Phase::Quiesce) | Reason::LastUseNotShown);
    match reason == Reason::ChangedElsewhere {
        true => Some(back.to_owned()),
        false => (unknown_users || matches!(reason, Reason::Canary(_) | Reason::NewKeyRefused))
            .then(|| format!("{back}, which rolls back")),
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Fact, Hold, OnFailure, UnitStep};

    use super::super::walk::{Walk, plan};
    use super::*;

    fn named(walk: &Walk, driven: bool) -> Ways {
        ways(&Called::of_rotation("0192", "acme"), &walk.state, driven, false).unwrap()
    }

    #[test]
    fn a_wait_that_needs_nobody_is_watched_while_a_driver_runs_and_goes_on_with_one() {
        let mut walk = Walk::of(plan());
        walk.until(|state| matches!(state.units()[0].stage, UnitStep::Proving(_)));
        let driven = named(&walk, true);
        assert_eq!(driven.forward, "keyroll status -w 0192");
        // What can be done meanwhile does not only end the driver.
        let kinds: Vec<_> = driven.forward_steps.iter().map(|step| step.commands[0].kind).collect();
        assert_eq!(kinds, ["correct", "waive", "let_go"]);
        let alone = named(&walk, false);
        assert_eq!(alone.next, "keyroll resume 0192");
        assert_eq!(alone.back.as_deref(), Some("keyroll abort 0192"));
        assert_eq!(alone.back_steps[0].commands[0].kind, "abort");
    }

    #[test]
    fn a_rotation_that_rolls_back_is_not_rolled_back_again() {
        let mut plan = plan();
        plan.policy.on_failure = OnFailure::Pause;
        let mut walk = Walk::of(plan);
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::PauseAsked);
        let paused = named(&walk, false);
        assert_eq!((paused.next.as_str(), paused.back.is_some()), ("keyroll resume 0192", true));
        walk.say(Fact::AbortAsked);
        walk.say(Fact::PauseAsked);
        assert!(matches!(walk.state.hold(), Some(Hold::Paused(Reason::Asked))));
        let back = named(&walk, false);
        assert_eq!((back.back, back.back_steps.len()), (None, 0));
    }

    #[test]
    fn after_the_end_nothing_is_named() {
        let walk = Walk::to(Phase::Done);
        assert!(ways(&Called::of_rotation("0192", "acme"), &walk.state, false, false).is_none());
    }
}
