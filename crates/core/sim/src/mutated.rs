//! The protocol's core with one mutant around it.

use keyroll_engine::Core;
use keyroll_rotation::{Effect, Event, IllegalEvent, State, Want, step, wants};

use crate::mutant::Mutant;
use crate::mutants;

/// The core under a mutant, by its number; any other number is the protocol itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutated(usize);

impl Mutated {
    /// The core under this mutant.
    pub(crate) fn by(mutant: &Mutant) -> Self {
        Self(mutants::ALL.iter().position(|it| it.name == mutant.name).unwrap_or(usize::MAX))
    }
}

impl Core for Mutated {
    fn step(&self, state: &State, event: &Event) -> Result<(State, Vec<Effect>), IllegalEvent> {
        match mutants::ALL.get(self.0) {
            None => step(state, event),
            Some(mutant) => {
                let mut event = event.clone();
                (mutant.event)(state, &mut event);
                step(state, &event)
            }
        }
    }

    fn wants(&self, state: &State) -> Vec<Want> {
        let mut wanted = wants(state);
        if let Some(mutant) = mutants::ALL.get(self.0) {
            (mutant.wants)(state, &mut wanted);
        }
        wanted
    }
}
