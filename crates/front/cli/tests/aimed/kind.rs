//! Every kind of operation that a rotation carries out, and where each is killed. A new kind does not compile until it
//! has an entry here.

use std::time::Duration;

use keyroll_rotation::{Op, Which};
use keyroll_testkit::issuer::{self, Ask};

use crate::aimed::gate::Said;

/// A kind of operation, whatever it is carried out on; forward and rollback are different kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Choose,
    Mint,
    Stage,
    DeliverNew,
    DeliverOld,
    Fetch,
    ApplyNew,
    ApplyOld,
    Promote,
    Demote,
    Disable,
    Enable,
    Revoke,
    EndSessions,
    DeleteNew,
    DeleteOrphan,
    DeleteAbandoned,
    RetireOld,
    RetireNew,
    /// Not an operation: a value that the operator entered is sealed, and a journal entry makes it the new version.
    TakeIn,
}

/// When the driver is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// The intent is durable, nothing is done.
    Before,
    /// Nothing is done yet, but the effect will come: the request is on its way, or the command continues to run.
    Late,
    /// The effect happened, and its result did not arrive.
    After,
    /// A mint's value is sealed, and its outcome is not recorded.
    Sealed,
}

/// Who kills the driver.
pub enum By {
    /// The issuer, at a request.
    Request(Ask),
    /// The relay in front of PostgreSQL, at a statement.
    Statement(Said),
    /// The system, at a write of the sealed store.
    Store,
    /// The system, at a rename in a folder, or at the folder's fsync.
    Folder,
    /// The consumer's command.
    Command,
}

/// How late a request is carried out.
const LATE: Duration = Duration::from_millis(400);

impl When {
    pub fn moment(self) -> issuer::Moment {
        match self {
            Self::Before => issuer::Moment::Before,
            Self::Late => issuer::Moment::Late(LATE),
            Self::After | Self::Sealed => issuer::Moment::After,
        }
    }

    /// The word of the scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Late => "during",
            Self::After | Self::Sealed => "after",
        }
    }

    /// Whether the effect exists when the driver ends.
    pub fn effected(self) -> bool {
        match self {
            Self::Before | Self::Late => false,
            Self::After | Self::Sealed => true,
        }
    }
}

impl Kind {
    pub fn of(op: &Op) -> Self {
        match op {
            Op::Choose => Self::Choose,
            Op::Mint => Self::Mint,
            Op::Stage => Self::Stage,
            Op::Deliver(_, Which::New) => Self::DeliverNew,
            Op::Deliver(_, Which::Old) => Self::DeliverOld,
            Op::Fetch(_) => Self::Fetch,
            Op::Apply(_, _, Which::New) => Self::ApplyNew,
            Op::Apply(_, _, Which::Old) => Self::ApplyOld,
            Op::Promote => Self::Promote,
            Op::Demote => Self::Demote,
            Op::Disable => Self::Disable,
            Op::Enable => Self::Enable,
            Op::Revoke => Self::Revoke,
            Op::EndSessions => Self::EndSessions,
            Op::DeleteNew => Self::DeleteNew,
            Op::DeleteOrphan(_) => Self::DeleteOrphan,
            Op::DeleteAbandoned(_) => Self::DeleteAbandoned,
            Op::Retire(Which::Old) => Self::RetireOld,
            Op::Retire(Which::New) => Self::RetireNew,
        }
    }

    /// The one after it in the table; the first is [`Kind::Choose`].
    pub fn next(self) -> Option<Self> {
        Some(match self {
            Self::Choose => Self::Mint,
            Self::Mint => Self::Stage,
            Self::Stage => Self::DeliverNew,
            Self::DeliverNew => Self::DeliverOld,
            Self::DeliverOld => Self::Fetch,
            Self::Fetch => Self::ApplyNew,
            Self::ApplyNew => Self::ApplyOld,
            Self::ApplyOld => Self::Promote,
            Self::Promote => Self::Demote,
            Self::Demote => Self::Disable,
            Self::Disable => Self::Enable,
            Self::Enable => Self::Revoke,
            Self::Revoke => Self::EndSessions,
            Self::EndSessions => Self::DeleteNew,
            Self::DeleteNew => Self::DeleteOrphan,
            Self::DeleteOrphan => Self::DeleteAbandoned,
            Self::DeleteAbandoned => Self::RetireOld,
            Self::RetireOld => Self::RetireNew,
            Self::RetireNew => Self::TakeIn,
            Self::TakeIn => return None,
        })
    }

    /// Who kills at it.
    pub fn by(self, when: When, http: bool) -> By {
        let at_issuer = |ask, said| if http { By::Request(ask) } else { By::Statement(said) };
        match self {
            Self::Mint if when == When::Sealed => By::Store,
            Self::Choose | Self::Stage | Self::Promote | Self::Demote => By::Store,
            Self::RetireOld | Self::RetireNew | Self::TakeIn => By::Store,
            Self::DeliverNew | Self::DeliverOld => By::Folder,
            Self::Fetch | Self::ApplyNew | Self::ApplyOld => By::Command,
            Self::Mint => at_issuer(Ask::Mint, Said::Mint),
            Self::Disable => at_issuer(Ask::Disable, Said::Off),
            Self::Enable => at_issuer(Ask::Enable, Said::On),
            Self::EndSessions => at_issuer(Ask::EndSession, Said::Sessions),
            Self::Revoke | Self::DeleteNew | Self::DeleteOrphan | Self::DeleteAbandoned => {
                at_issuer(Ask::Delete, Said::End)
            }
        }
    }

    /// The moments at which it must have been killed, with each issuer.
    pub fn owed(self, http: bool) -> &'static [When] {
        use When::{After, Before, Late, Sealed};
        match self {
            // A server chooses its own values.
            Self::Choose if http => &[],
            Self::Mint if http => &[Before, Late, After, Sealed],
            Self::Mint => &[Before, After, Sealed],
            Self::ApplyNew | Self::ApplyOld if http => &[Before, Late, After],
            // A value that was chosen beforehand is never lost, and a slot can be minted again.
            Self::DeleteOrphan | Self::DeleteAbandoned if !http => &[],
            // A disabled role has no sessions left: the driver is killed when it asks for them.
            Self::EndSessions if !http => &[Before],
            // Sealed as it was entered; and sealed under the number of an entry that does not exist.
            Self::TakeIn if http => &[Before, Sealed],
            // The scripts are the same for every issuer; and no operator makes a login by hand.
            Self::TakeIn => &[],
            Self::Fetch if !http => &[],
            Self::Choose
            | Self::Stage
            | Self::DeliverNew
            | Self::DeliverOld
            | Self::Fetch
            | Self::ApplyNew
            | Self::ApplyOld
            | Self::Promote
            | Self::Demote
            | Self::Disable
            | Self::Enable
            | Self::Revoke
            | Self::EndSessions
            | Self::DeleteNew
            | Self::DeleteOrphan
            | Self::DeleteAbandoned
            | Self::RetireOld
            | Self::RetireNew => &[Before, After],
        }
    }
}
