use keyroll_rotation::{Effect, Event, IllegalEvent, State, Want, step, wants};

/// What decides for a driver: the protocol itself, or something that wraps it from outside.
pub trait Core {
    /// What follows from an event; see [`keyroll_rotation::step`].
    fn step(&self, state: &State, event: &Event) -> Result<(State, Vec<Effect>), IllegalEvent>;

    /// What would be done next; see [`keyroll_rotation::wants`].
    fn wants(&self, state: &State) -> Vec<Want>;
}

/// The protocol itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Protocol;

impl Core for Protocol {
    fn step(&self, state: &State, event: &Event) -> Result<(State, Vec<Effect>), IllegalEvent> {
        step(state, event)
    }

    fn wants(&self, state: &State) -> Vec<Want> {
        wants(state)
    }
}
