//! The hosts that were waived and are away, and what is on them.

use crate::state::{Look, State};
use crate::{HostId, Op, Seq};

impl State {
    /// The host was waived, and no look has shown since that it is there.
    pub fn has_left(&self, host: HostId) -> bool {
        self.exceptions.has_left(host)
    }

    /// The hosts that have left.
    pub fn left_hosts(&self) -> Vec<HostId> {
        self.exceptions.left().collect()
    }

    /// The plan has a consumer or a file there; or the last look was asked of it, as far as that shows: a host without a consumer
    /// is searched too, and the plan does not name it. Before the first look every host may be such a one.
    pub fn depends_on(&self, host: HostId) -> bool {
        let plan = self.plan();
        let has_part =
            plan.consumers.iter().any(|consumer| consumer.host == host) || plan.files.contains(&host);
        has_part
            || self.look().is_none_or(|look| {
                let there = look.seen.instances.iter().any(|instance| instance.who.host == host);
                there || look.seen.absent.contains(&host)
            })
    }

    /// A complete look after this entry, of this boot and this driver, or one in which hosts did not answer: it shows everything
    /// on the others.
    pub(crate) fn partial_look(&self, after: Seq) -> Option<&Look> {
        self.looks.partial_since(after, self.now())
    }

    /// The host of this unit has left.
    pub(crate) fn unit_has_left(&self, at: usize) -> bool {
        self.plan().consumers.get(at).is_some_and(|consumer| self.has_left(consumer.host))
    }
}

/// The host on which an operation is carried out; `None` = on none.
pub(crate) fn place(state: &State, op: &Op) -> Option<HostId> {
    match op {
        Op::Deliver(file, _) => state.plan().files.get(file.index()).copied(),
        Op::Fetch(id) | Op::Apply(id, ..) => state.consumer(*id).map(|consumer| consumer.host),
        Op::Choose
        | Op::Mint
        | Op::Stage
        | Op::Promote
        | Op::Demote
        | Op::Disable
        | Op::Enable
        | Op::Revoke
        | Op::EndSessions
        | Op::DeleteNew
        | Op::DeleteOrphan(_)
        | Op::DeleteAbandoned(_)
        | Op::Retire(_) => None,
    }
}

/// Whether an operation is one on a host that has left.
pub(crate) fn is_on_left(state: &State, op: &Op) -> bool {
    place(state, op).is_some_and(|host| state.has_left(host))
}
