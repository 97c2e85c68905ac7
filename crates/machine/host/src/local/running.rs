//! An instance that runs.

use keyroll_observe::ProcessId;
use keyroll_rotation::ConsumerId;

/// An instance of a consumer that runs now.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub(super) consumer: ConsumerId,
    pub(super) slot: u8,
    pub(super) process: ProcessId,
    /// It is below this `keyroll run`, whose word covers it as long as it has no other version from elsewhere.
    pub(super) below: Option<ProcessId>,
    /// It is the init process of its container: the program below it is the instance.
    pub(super) is_init: bool,
}

impl Running {
    /// Whether another process gives evidence for it, as long as it has no other version.
    pub(super) fn is_represented(&self) -> bool {
        self.below.is_some() || self.is_init
    }
}
