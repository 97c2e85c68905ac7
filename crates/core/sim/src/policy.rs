//! An operator who knows nothing but what a rotation itself names.

use keyroll_rotation::{Awaited, Phase, Step};
use serde::{Deserialize, Serialize};

/// Which way the operator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Forward.
    Forward,
    /// Back, as long as that is possible.
    Back,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Forward, Self::Back];
}

/// From one action of a run on, the operator does what the rotation names, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which way.
    pub way: Direction,
    /// The number of the action.
    pub from_action: u32,
}

/// What the operator of a schedule has done.
#[derive(Debug, Default)]
pub(crate) struct Helped {
    pub(crate) policy: Option<Policy>,
    /// How often the operator acted.
    pub(crate) words: u32,
    /// The waits that were answered, and by which ways.
    pub(crate) answered: Vec<(Phase, Awaited, Vec<Step>)>,
    /// The rotation left its rollback, because the old key is not alive or leaked.
    pub(crate) turned: bool,
    /// The operator will look whether the rotation still waits; and has looked at the present wait once.
    pub(crate) watched: bool,
    pub(crate) patient: bool,
    /// The present wait was not answered.
    pub(crate) unanswered: bool,
}

impl Helped {
    /// Nothing yet, under this policy.
    pub(crate) fn of(policy: Option<Policy>) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Whether the operator wants everything rolled back.
    pub(crate) fn rolls_back(&self) -> bool {
        self.policy.is_some_and(|policy| policy.way == Direction::Back)
    }

    /// The ways by which this wait was answered.
    pub(crate) fn answers(&self, phase: Phase, what: &Awaited) -> Vec<&[Step]> {
        let same = self.answered.iter().filter(|(at, answered, _)| *at == phase && answered == what);
        same.map(|(.., steps)| steps.as_slice()).collect()
    }
}
