//! The calls to ports, the actions that they belong to, and their answers.

use std::sync::Arc;

use keyroll_engine::Action;
use keyroll_port::{Applied, Class, FailureKind, Listing, Probe, Session, Touched};
use keyroll_rotation::{
    ConsumerId, CredId, Difference, Effect, Enumeration, FileId, HostId, Op, Proof, Query, Reconciled, Seq,
    State, Which,
};

use crate::faults::Fault;
use crate::issuer::Value;

/// What a driver asked for.
#[derive(Debug, Clone)]
pub(crate) enum DriverRequest {
    Append,
    Reload,
    Witness,
    /// With what the driver knew when it asked. Only an effect is judged by that; kept for every action, all states of
    /// a schedule would stay in memory.
    Carry(Effect, Arc<State>),
    Look(Query),
}

impl DriverRequest {
    pub(crate) fn of(action: &Action, state: Arc<State>) -> Self {
        match action {
            Action::Append { .. } => Self::Append,
            Action::Reload => Self::Reload,
            Action::Witness { .. } => Self::Witness,
            Action::Carry { effect, .. } => Self::Carry(effect.clone(), state),
            Action::Look { query, .. } => Self::Look(query.clone()),
        }
    }
}

/// One action of a driver: its calls, and the fault that happens to them.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) slot: usize,
    pub(crate) epoch: u64,
    pub(crate) asked: DriverRequest,
    pub(crate) fault: Option<Fault>,
    /// Its first call was made.
    pub(crate) begun: bool,
    /// When it saw the old key refused, before it asks for the control.
    pub(crate) refused_at: Option<u64>,
    /// What it last read at the source of truth.
    pub(crate) truth_read: Option<Value>,
    /// Where an effect has a part at the source of truth and one in the store: which of them the fault happens to.
    pub(crate) fault_at_truth: Option<bool>,
    /// The host that its next call to the issuer leaves from.
    pub(crate) from: HostId,
    /// The last entry that it was asked for after: of an effect, its intent.
    pub(crate) after: Seq,
    /// Until when its effect on a host may begin, by monotonic time.
    pub(crate) until_ms: u64,
}

impl Scope {
    pub(crate) fn new(slot: usize, epoch: u64, asked: DriverRequest, fault: Option<Fault>) -> Self {
        Self {
            from: HostId(0),
            after: 0,
            until_ms: 0,
            slot,
            epoch,
            asked,
            fault,
            begun: false,
            refused_at: None,
            truth_read: None,
            fault_at_truth: None,
        }
    }

    /// Whether a call is the effect of this action.
    pub(crate) fn is_effect(&self, call: &Call) -> bool {
        let DriverRequest::Carry(effect, _) = &self.asked else { return false };
        matches!(
            (&effect.op, call),
            (Op::Choose, Call::Keep { .. })
                | (Op::Mint, Call::Mint { .. })
                | (Op::Stage, Call::PutPending { .. } | Call::StageTruth { .. })
                | (Op::Deliver(..), Call::Deliver { .. })
                | (Op::Fetch(_), Call::Fetch(_))
                | (Op::Apply(..), Call::Apply { .. })
                | (Op::Promote, Call::Promote { .. } | Call::GiveOut { .. })
                | (Op::Demote, Call::Demote { .. } | Call::GiveOut { .. })
                | (Op::Disable, Call::Switch { on: false, .. })
                | (Op::Enable, Call::Switch { on: true, .. })
                | (
                    Op::Revoke | Op::DeleteNew | Op::DeleteOrphan(_) | Op::DeleteAbandoned(_),
                    Call::Revoke(_)
                )
                | (Op::EndSessions, Call::EndSessions { .. })
                | (Op::Retire(_), Call::Retire { .. })
        )
    }

    /// Whether the fault of this action happens to a call of it.
    pub(crate) fn strikes(&self, call: &Call) -> bool {
        let DriverRequest::Carry(effect, _) = &self.asked else { return false };
        let part = self.fault_at_truth.filter(|_| matches!(effect.op, Op::Stage | Op::Promote | Op::Demote));
        self.is_effect(call) && part.is_none_or(|at_truth| at_truth == call.at_truth())
    }
}

/// One call to a port.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Keep {
        seq: Seq,
        value: Value,
        id: Option<CredId>,
    },
    PutPending {
        seq: Seq,
        value: Value,
        id: Option<CredId>,
    },
    Promote {
        expected: u32,
        next: u32,
    },
    Demote {
        before: u32,
        next: u32,
    },
    Retire {
        number: u32,
    },
    /// At the source of truth: `by` is the mint of the version.
    StageTruth {
        by: Seq,
        old: Value,
        new: Value,
    },
    GiveOut {
        before: Value,
        after: Value,
    },
    Withdraw {
        by: Seq,
    },
    ReadTruth,
    Mint {
        label: Seq,
        value: Option<Value>,
    },
    Switch {
        id: CredId,
        on: bool,
    },
    Revoke(CredId),
    EndSessions {
        id: CredId,
        pids: Vec<u32>,
    },
    Deliver {
        file: FileId,
        goal: Option<Value>,
        new: Option<Value>,
    },
    Fetch(ConsumerId),
    /// `accepted`: the only pending changes that the restart may activate.
    Apply {
        consumer: ConsumerId,
        slot: u8,
        accepted: Option<Vec<Difference>>,
    },
    Delivered {
        file: FileId,
        goal: Option<Value>,
        new: Option<Value>,
    },
    AwaitEnd {
        of: Touched,
        intent: Seq,
    },
    List,
    Probe {
        endpoint: usize,
        value: Value,
    },
    Sessions(CredId),
    Enumerate {
        new: Option<Value>,
        stays: Which,
        sessions: Option<Vec<Session>>,
    },
    Prove {
        consumer: ConsumerId,
        slot: Option<u8>,
        which: Which,
        value: Option<Value>,
        others: Option<Vec<u32>>,
        watched: bool,
    },
    Refusals {
        since: u32,
    },
    Trial,
    Carries(Value),
}

impl Call {
    /// Whether a host carries the call out.
    pub(crate) fn on_host(&self) -> bool {
        matches!(self, Self::Deliver { .. } | Self::Fetch(_) | Self::Apply { .. })
    }

    /// Whether the call changes the issuer.
    pub(crate) fn at_issuer(&self) -> bool {
        matches!(self, Self::Mint { .. } | Self::Switch { .. } | Self::Revoke(_) | Self::EndSessions { .. })
    }

    /// Whether the call changes the source of truth.
    pub(crate) fn at_truth(&self) -> bool {
        matches!(self, Self::StageTruth { .. } | Self::GiveOut { .. } | Self::Withdraw { .. })
    }

    /// Whether the call changes files, instances, or which version is given out.
    pub(crate) fn moves(&self) -> bool {
        self.on_host() || matches!(self, Self::Promote { .. } | Self::Demote { .. } | Self::GiveOut { .. })
    }

    /// Whether the call changes something.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::Keep { .. }
            | Self::PutPending { .. }
            | Self::Promote { .. }
            | Self::Demote { .. }
            | Self::Retire { .. }
            | Self::StageTruth { .. }
            | Self::GiveOut { .. }
            | Self::Withdraw { .. }
            | Self::Mint { .. }
            | Self::Switch { .. }
            | Self::Revoke(_)
            | Self::EndSessions { .. }
            | Self::Deliver { .. }
            | Self::Fetch(_)
            | Self::Apply { .. } => true,
            Self::Delivered { .. }
            | Self::ReadTruth
            | Self::AwaitEnd { .. }
            | Self::List
            | Self::Probe { .. }
            | Self::Sessions(_)
            | Self::Enumerate { .. }
            | Self::Prove { .. }
            | Self::Refusals { .. }
            | Self::Trial
            | Self::Carries(_) => false,
        }
    }
}

/// The result of a call.
#[derive(Debug, Clone)]
pub(crate) enum CallResult {
    Done,
    Failed(Class),
    /// Another party is in the way at the source of truth.
    Elsewhere(FailureKind),
    /// The value that the source of truth gives out.
    GivenOut(Value),
    Number(u32),
    Made(CredId, Value),
    Listing(Listing),
    Probe(Probe),
    Sessions(Vec<Session>),
    Looked(Enumeration),
    Proved(Vec<Proof>, bool),
    Applied(Applied),
    Count(u32),
    Reconciled(Reconciled),
    Written(Wrote),
}

/// The result of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    Yes,
    Unavailable,
    Unsure,
    Fenced,
    Conflict,
}

/// What happens to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Comes,
    Lost,
    /// The driver dies before it gets the answer.
    Crash,
}

/// How a look can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lens {
    /// It sees everything.
    Clear,
    /// Part of what there is is missing, and the look says so.
    Partial,
    /// The old key is missing, and the look does not say so.
    Skips,
}
