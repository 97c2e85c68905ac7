//! What stays wrong in a world until an operator ends it.

use keyroll_rotation::{ConsumerId, FileId, HostId};

use crate::calls::Call;

/// Everything of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lasting {
    /// The command that restarts this consumer fails.
    pub(crate) restart: Option<ConsumerId>,
    /// Nothing of this consumer runs, and nothing starts it.
    pub(crate) gone: Option<ConsumerId>,
    /// This consumer makes no call.
    pub(crate) idle: Option<ConsumerId>,
    /// This file cannot be read.
    pub(crate) unread: Option<FileId>,
    /// The edit of this file stays.
    pub(crate) edited: Option<FileId>,
    /// This process cannot be ended.
    pub(crate) holder: Option<u32>,
    /// This host cannot be brought up.
    pub(crate) host: Option<HostId>,
    /// The issuer enables no key.
    pub(crate) enable: bool,
    /// The issuer ends no key.
    pub(crate) delete: bool,
    /// The store is not written.
    pub(crate) store: bool,
}

impl Lasting {
    /// Whether a call is refused for good.
    pub(crate) fn refuses(&self, call: &Call) -> bool {
        match call {
            Call::Apply { consumer, .. } => [self.restart, self.gone].contains(&Some(*consumer)),
            Call::Switch { on: true, .. } => self.enable,
            Call::Revoke(_) => self.delete,
            Call::PutPending { .. } | Call::Promote { .. } | Call::Demote { .. } | Call::Retire { .. } => {
                self.store
            }
            _ => false,
        }
    }
}
