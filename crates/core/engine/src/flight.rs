//! What a driver has under way.

use keyroll_rotation::Effect;

/// An effect between its intent and its outcome.
pub(crate) struct Flight {
    pub(crate) effect: Effect,
    pub(crate) leg: Leg,
}

/// A look that is under way.
pub(crate) struct Asking {
    /// When it began: it shows the state of then, however late it answers.
    pub(crate) since_ms: u64,
    /// Something that it looks at was touched meanwhile: what it saw may be of before.
    pub(crate) stale: bool,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// The witness is to be brought forward first.
    ToWitness,
    /// It is being brought forward.
    Witnessing,
    /// It is to be handed to the shell.
    ToCarry,
    /// The shell carries it out.
    Carrying,
}
