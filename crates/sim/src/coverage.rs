//! Which transitions, and which faults in which phases, were seen.

use std::collections::BTreeMap;

use keyroll_rotation::Phase;

use crate::faults::Fault;

/// Counts over many runs.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Phase changes.
    pub transitions: BTreeMap<(Phase, Phase), u64>,
    /// Faults by the phase that they happened in.
    pub faults: BTreeMap<(Phase, Fault), u64>,
}

impl Coverage {
    pub(crate) fn transition(&mut self, from: Phase, to: Phase) {
        *self.transitions.entry((from, to)).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, phase: Phase, fault: Fault) {
        *self.faults.entry((phase, fault)).or_default() += 1;
    }
}
