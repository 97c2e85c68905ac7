use keyroll_rotation as own;
use keyroll_rotation::{ConsumerId, CredId, FileId};
use serde::{Deserialize, Serialize};

use super::words::Which;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Op {
    Choose,
    Mint,
    Stage,
    Deliver { file: u16, which: Which },
    Fetch(u16),
    Apply { consumer: u16, slot: u8, which: Which },
    Promote,
    Demote,
    Disable,
    Enable,
    Revoke,
    EndSessions,
    DeleteNew,
    DeleteOrphan(String),
    DeleteAbandoned(String),
    Retire(Which),
}

impl From<&own::Op> for Op {
    fn from(op: &own::Op) -> Self {
        match op {
            own::Op::Choose => Self::Choose,
            own::Op::Mint => Self::Mint,
            own::Op::Stage => Self::Stage,
            own::Op::Deliver(FileId(file), which) => Self::Deliver { file: *file, which: (*which).into() },
            own::Op::Fetch(ConsumerId(consumer)) => Self::Fetch(*consumer),
            own::Op::Apply(ConsumerId(consumer), slot, which) => {
                Self::Apply { consumer: *consumer, slot: *slot, which: (*which).into() }
            }
            own::Op::Promote => Self::Promote,
            own::Op::Demote => Self::Demote,
            own::Op::Disable => Self::Disable,
            own::Op::Enable => Self::Enable,
            own::Op::Revoke => Self::Revoke,
            own::Op::EndSessions => Self::EndSessions,
            own::Op::DeleteNew => Self::DeleteNew,
            own::Op::DeleteOrphan(id) => Self::DeleteOrphan(id.as_str().to_owned()),
            own::Op::DeleteAbandoned(id) => Self::DeleteAbandoned(id.as_str().to_owned()),
            own::Op::Retire(which) => Self::Retire((*which).into()),
        }
    }
}

impl From<Op> for own::Op {
    fn from(op: Op) -> Self {
        match op {
            Op::Choose => Self::Choose,
            Op::Mint => Self::Mint,
            Op::Stage => Self::Stage,
            Op::Deliver { file, which } => Self::Deliver(FileId(file), which.into()),
            Op::Fetch(consumer) => Self::Fetch(ConsumerId(consumer)),
            Op::Apply { consumer, slot, which } => Self::Apply(ConsumerId(consumer), slot, which.into()),
            Op::Promote => Self::Promote,
            Op::Demote => Self::Demote,
            Op::Disable => Self::Disable,
            Op::Enable => Self::Enable,
            Op::Revoke => Self::Revoke,
            Op::EndSessions => Self::EndSessions,
            Op::DeleteNew => Self::DeleteNew,
            Op::DeleteOrphan(id) => Self::DeleteOrphan(CredId::new(&id)),
            Op::DeleteAbandoned(id) => Self::DeleteAbandoned(CredId::new(&id)),
            Op::Retire(which) => Self::Retire(which.into()),
        }
    }
}
