//! What the operator let go: hosts that were waived and are away, with what is on them; consumers that are gone; files that are
//! accepted as they stand.

use crate::state::{Look, State};
use crate::{ConsumerId, Enumeration, FileId, Holds, HostId, Op, Phase, Seq, unit};

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

    /// The consumer was let go, and no complete look has shown since that an instance of it runs.
    pub fn has_gone(&self, consumer: ConsumerId) -> bool {
        self.exceptions.gone().any(|gone| gone == consumer)
    }

    /// The consumers that have gone.
    pub fn gone_consumers(&self) -> Vec<ConsumerId> {
        self.exceptions.gone().collect()
    }

    /// The consumer of this unit has gone.
    pub(crate) fn unit_has_gone(&self, at: usize) -> bool {
        self.exceptions.gone().any(|gone| gone.index() == at)
    }

    /// Nothing shows whether this unit works with the version that it moves to: it has gone, or its host has left.
    pub(crate) fn is_out_of_reach(&self, at: usize) -> bool {
        self.unit_has_left(at) || self.unit_has_gone(at)
    }

    /// The file was accepted as it stands: keyroll neither writes nor restores it any more.
    pub fn accepts_file(&self, file: FileId) -> bool {
        self.exceptions.accepted_files().any(|accepted| accepted == file)
    }

    /// The files that were accepted as they stand: whatever they hold is left there at the end.
    pub fn accepted_files(&self) -> Vec<FileId> {
        self.exceptions.accepted_files().collect()
    }

    /// The files that nobody asks about any more, because they were accepted as they stand, or could not be restored for consumers
    /// that have gone, and that do not hold the version that stays, as far as the last look shows. What reads one of them later
    /// gets something else.
    pub fn files_left(&self) -> Vec<FileId> {
        let back = matches!(self.phase(), Phase::RollingBack | Phase::RolledBack);
        let stays = if back { Holds::Old } else { Holds::New };
        let is_left = |file: &FileId| {
            let unasked = self.accepts_file(*file) || back && self.files.is_given_up(*file);
            unasked && self.files.get(*file) != stays
        };
        (0..).map(FileId).take(self.plan().files.len()).filter(is_left).collect()
    }

    /// Only consumers that have gone read this file.
    pub(crate) fn is_left_behind(&self, file: FileId) -> bool {
        let readers = self.units.index().readers(file);
        !readers.is_empty() && readers.iter().all(|at| self.unit_has_gone(*at))
    }
}

/// Whether a look shows that an instance of this consumer runs.
pub(crate) fn shows_running(seen: &Enumeration, consumer: ConsumerId) -> bool {
    seen.instances.iter().any(|instance| instance.consumer == Some(consumer) && instance.who.life.runs())
}

/// Whether the failure of an operation holds nobody up: it is one on a host that has left, on a file that was accepted as it
/// stands, or of a consumer that has gone, or is not restarted any more, and does not wait for it.
pub(crate) fn is_let_go(state: &State, op: &Op) -> bool {
    let accepted = matches!(op, Op::Deliver(file, _) if state.accepts_file(*file));
    let unawaited = if let Op::Fetch(consumer) | Op::Apply(consumer, ..) = op {
        let is_excused = || state.units.get(consumer.index()).is_some_and(|unit| unit.excused);
        (state.has_gone(*consumer) || is_excused()) && !unit::attempts(state, *consumer, op)
    } else {
        false
    };
    accepted || unawaited || is_on_left(state, op)
}

/// Whether an operation makes a consumer that has gone load a version.
pub(crate) fn is_of_gone(state: &State, op: &Op) -> bool {
    matches!(op, Op::Apply(consumer, ..) if state.has_gone(*consumer))
}

/// The host on which an operation is carried out; `None` = on none.
pub(crate) fn place(state: &State, op: &Op) -> Option<HostId> {
    match op {
        Op::Deliver(file, _) => state.plan().host_of_file(*file),
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
