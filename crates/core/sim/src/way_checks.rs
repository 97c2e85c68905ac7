//! What a rotation names for the operator, wait by wait.
//!
//! N2: every command that is named is accepted. N3: each wait for the operator names a way forward, and each wait names an abort
//! exactly while the rotation can be rolled back. N1 and N4, about where the ways lead, are in `helpful`.

use keyroll_rotation::{Event, Fact, Hold, Next, Phase, State, Step, Until, Way, step, way};

use crate::schedule::Run;

impl Run {
    /// The wait of this state and the ways past it, under the mutant.
    pub(crate) fn way_of(&self, state: &State) -> Option<Way> {
        let mut way = way(state)?;
        (self.mutant.ways)(state, &mut way);
        Some(way)
    }

    /// A rotation begins to wait for something else.
    pub(crate) fn check_way(&mut self, at: usize) {
        let Some(state) = self.snapshot(at) else { return };
        let Some(way) = self.way_of(&state) else { return };
        let mut named = way.forward.iter().chain(&way.back);
        if let Some(next) = named.find_map(|step| refused(&state, step)) {
            self.violate("N2", format!("{:?} names {next:?}, which is refused", way.what));
        } else if let Some(what) = unnamed(&state, &way) {
            self.violate("N3", format!("{:?}: {what}", way.what));
        }
    }
}

/// The first command of a step that the rotation does not accept. Where an earlier one leads to another hold, that hold names
/// what follows.
fn refused(state: &State, named: &Step) -> Option<Next> {
    let mut then = state.clone();
    for next in &named.then {
        if then.hold().is_some() && then.hold() != state.hold() {
            return None;
        }
        // The command finds a rotation that is not to be resumed.
        let stuck = *next == Next::Resume && matches!(then.hold(), Some(Hold::Stuck(_)));
        if stuck || !next.is_possible(&then) {
            return Some(*next);
        }
        for fact in next.facts(&then).unwrap_or_default() {
            if let Ok((after, _)) = step(&then, &Event { at: then.now(), fact }) {
                then = after;
            }
        }
    }
    None
}

/// What is missing among the ways. An abort that is named and cannot be is refused.
fn unnamed(state: &State, way: &Way) -> Option<&'static str> {
    let abort = Event { at: state.now(), fact: Fact::AbortAsked };
    let may_abort = state.phase() != Phase::RollingBack && step(state, &abort).is_ok();
    let asks = way.until == Until::Person;
    if asks && way.forward.is_empty() {
        return Some("no way forward is named");
    }
    if way.forward.iter().chain(&way.back).any(|step| step.then.is_empty()) {
        return Some("a way without a command is named");
    }
    (may_abort && way.back.is_empty()).then_some("it can be rolled back, and no abort is named")
}
