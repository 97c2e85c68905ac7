//! Where a rotation is, why it is held, and its debt.

use crate::{ConsumerId, FileId, Incarnation, Seq};

/// Where a rotation is. One fixed list; no user-defined graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Refuse everything that can be refused, before anything is minted.
    Preflight,
    /// Make the second credential.
    Mint,
    /// Seal the new version as pending and read it back.
    Stage,
    /// See the new version accepted from every endpoint.
    Probe,
    /// Move the consumers; Promote is a part of Roll.
    Roll,
    /// Enumerate again until every instance passes the gate and the old key is unused.
    Quiesce,
    /// Disable the old key, reversibly.
    Disable,
    /// Watch for refused uses.
    Soak,
    /// Consent, one more enumeration, the point of no return.
    Decide,
    /// End the old key.
    Revoke,
    /// See the old key refused, again and again, while the new one is accepted.
    ConfirmDead,
    /// Search for the last copies of the old value.
    Sweep,
    /// Finished, perhaps with a debt.
    Done,
    /// Restore the old version everywhere.
    RollingBack,
    /// Everything is as it was.
    RolledBack,
}

/// Why a rotation is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The operator paused the rotation.
    Asked,
    /// An undeclared process holds the old value.
    Holder(Incarnation),
    /// A copy outside the plan.
    Stranger(u64),
    /// The memory of an instance, or of a process that was seen to hold the old value, was not searched completely.
    Unsearched(Incarnation),
    /// A file holds another party's edit; it is never overwritten.
    Foreign(FileId),
    /// A file cannot be read.
    Unreadable(FileId),
    /// Another party changed, or is changing, what the source of truth gives out; it is never overwritten.
    ChangedElsewhere,
    /// The old key was used and refused while it was disabled.
    RefusedUse,
    /// The issuer refuses the new key, which was accepted before: without it the old one is all that is left.
    NewKeyRefused,
    /// No operator was there to consent to the end of the old key.
    Consent,
    /// A unit did not load the new value.
    Unit(ConsumerId),
    /// The canary is proven and was watched: the operator is asked before anything else is moved.
    Canary(ConsumerId),
    /// A restart of this consumer would activate pending changes that the operator did not accept: nothing was done.
    Unaccepted(ConsumerId),
    /// An operation failed for good, or too often.
    Failed(Phase),
    /// The phase did not end by its deadline.
    Overdue(Phase),
    /// Everything has left the old key, but the issuer did not show in time when the key was last used.
    LastUseNotShown,
    /// Copies or instances return to the old value again and again.
    Drifting,
    /// A label at the issuer that this journal does not know: the journal was restored from a backup.
    UnknownLabel(Seq),
    /// The outcome of an operation stays unknown.
    Unclear(Seq),
}

/// A hold. Before the point of no return a held rotation keeps both keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Resumes on command.
    Paused(Reason),
    /// The operator removes the cause, then runs `retry`.
    Stuck(Reason),
}

impl Hold {
    /// Why it is held.
    pub fn reason(self) -> Reason {
        match self {
            Self::Paused(reason) | Self::Stuck(reason) => reason,
        }
    }

    /// Only a hold of a higher rank replaces a hold. A weaker cause is found again once the stronger one is removed,
    /// except a refused use, which is not seen a second time and is therefore remembered.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Paused(Reason::Asked) => 0,
            Self::Paused(Reason::Consent) => 1,
            Self::Paused(Reason::RefusedUse) => 3,
            Self::Paused(_) => 2,
            // While the outcome of one intent is unknown nothing else is examined. After a hold at a label the keys are
            // listed again before any is ended.
            Self::Stuck(Reason::Unclear(_)) => 6,
            Self::Stuck(Reason::UnknownLabel(_)) => 5,
            Self::Stuck(_) => 4,
        }
    }
}

/// Why a rotation ended with a debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Debt {
    /// The issuer would not end the old key.
    NotRevoked,
    /// The old key was not seen dead by the deadline.
    NotDead,
    /// The old key was seen dead, but the issuer gave no complete list by the deadline: a credential of this rotation
    /// may be left there.
    NotListed,
}
