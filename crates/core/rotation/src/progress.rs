//! How far each consumer is on its way to a version.

use crate::{Consumer, Delivery, Stamp, Which};

/// How far one unit (a consumer on its host) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its turn has not come.
    Waiting,
    /// Its files are being written, or it is fetching.
    Delivering,
    /// A slot is being made to load them.
    Applying(u8),
    /// A slot's instances are being proven.
    Proving(u8),
    /// Every slot is proven.
    Settled,
    /// It did not load the value.
    Failed,
}

/// One consumer on its way to a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// How far it is.
    pub stage: Stage,
    /// Where it is going.
    pub toward: Which,
    /// Since when it has been in this stage.
    pub since: Stamp,
    /// Slots that still have to be applied in this pass, as bits.
    pub slots: u32,
    /// Slots that ever began to load the new version, as bits.
    pub moved: u32,
    /// Those of them that are doing so for the first time: a refusal undoes that.
    pub first: u32,
    /// The fetch of this pass was carried out.
    pub fetched: bool,
    /// Failed attempts in this pass.
    pub failures: u8,
}

impl Unit {
    pub(crate) fn waiting(at: Stamp) -> Self {
        Self {
            stage: Stage::Waiting,
            toward: Which::New,
            since: at,
            slots: 0,
            moved: 0,
            first: 0,
            fetched: false,
            failures: 0,
        }
    }

    /// Back to the start, on the way to a version; `slots` are those to be applied.
    pub(crate) fn send(&mut self, toward: Which, slots: u32, now: Stamp) {
        self.stage = Stage::Waiting;
        self.toward = toward;
        self.slots = slots;
        self.since = now;
        self.fetched = false;
        self.failures = 0;
    }
}

/// The bits of all slots of a consumer.
pub(crate) fn all_slots(consumer: &Consumer) -> u32 {
    u32::MAX.checked_shr(32 - u32::from(consumer.slots)).unwrap_or(0)
}

/// Whether keyroll itself writes this consumer's files.
pub(crate) fn pushes(consumer: &Consumer) -> bool {
    consumer.delivery == Delivery::Push
}
