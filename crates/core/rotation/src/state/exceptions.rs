use crate::{Difference, Waived};

/// What the operator accepts by name, each name once: waivers, and pending changes that a restart may activate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Exceptions {
    waived: Vec<Waived>,
    accepted: Vec<Difference>,
    /// Pending changes because of which a restart was refused since the rotation was last resumed.
    refused: Vec<Difference>,
}

impl Exceptions {
    pub(crate) fn waived(&self) -> &[Waived] {
        &self.waived
    }

    pub(crate) fn accepted(&self) -> &[Difference] {
        &self.accepted
    }

    pub(crate) fn refused(&self) -> &[Difference] {
        &self.refused
    }

    pub(crate) fn waive(&mut self, what: Waived) {
        if !self.waived.contains(&what) {
            self.waived.push(what);
        }
    }

    /// Accepts one difference by its name; another digest under the same name replaces it.
    pub(crate) fn accept(&mut self, difference: &Difference) {
        replace(&mut self.accepted, difference);
    }

    pub(crate) fn refuse(&mut self, difference: &Difference) {
        replace(&mut self.refused, difference);
    }

    pub(super) fn resume(&mut self) {
        self.refused.clear();
    }
}

fn replace(all: &mut Vec<Difference>, difference: &Difference) {
    all.retain(|known| known.name != difference.name);
    all.push(difference.clone());
}
