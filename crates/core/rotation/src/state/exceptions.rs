use crate::{ConsumerId, Difference, FileId, HostId, Waived};

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

    pub(crate) fn has_left(&self, host: HostId) -> bool {
        self.left().any(|left| left == host)
    }

    /// The hosts that have left.
    pub(crate) fn left(&self) -> impl Iterator<Item = HostId> {
        self.waived
            .iter()
            .filter_map(|waived| if let Waived::Host(host) = waived { Some(*host) } else { None })
    }

    /// The consumers that were let go.
    pub(crate) fn gone(&self) -> impl Iterator<Item = ConsumerId> {
        self.waived.iter().filter_map(|waived| if let Waived::Gone(id) = waived { Some(*id) } else { None })
    }

    /// The files that were accepted as they stand.
    pub(crate) fn accepted_files(&self) -> impl Iterator<Item = FileId> {
        self.waived
            .iter()
            .filter_map(|waived| if let Waived::File(file) = waived { Some(*file) } else { None })
    }

    /// The waiver of a host counts only while the host is away.
    pub(crate) fn end_absence(&mut self, is_absent: impl Fn(HostId) -> bool) {
        self.waived.retain(|waived| if let Waived::Host(host) = waived { is_absent(*host) } else { true });
    }

    /// The waiver of the last use is for an issuer that does not answer: it has answered.
    /// Returns whether there was one.
    pub(crate) fn end_silence(&mut self) -> bool {
        let before = self.waived.len();
        self.waived.retain(|waived| *waived != Waived::LastUse);
        self.waived.len() < before
    }

    /// A phase begins: in a rollback the new key ends, and the waiver of the last use was for the old one.
    pub(super) fn enter(&mut self, other_key: bool) {
        if other_key {
            self.end_silence();
        }
    }

    /// A consumer that was let go is back once an instance of it runs.
    pub(crate) fn end_leave(&mut self, runs: impl Fn(ConsumerId) -> bool) {
        self.waived.retain(|waived| if let Waived::Gone(id) = waived { !runs(*id) } else { true });
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
