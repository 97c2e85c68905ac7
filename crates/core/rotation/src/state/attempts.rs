/// How many attempts of one operation may certainly fail before the phase fails.
pub(crate) const ATTEMPTS_MAX: u8 = 5;

/// How often copies or instances may return to the old value before the rotation pauses.
const REROLLS_MAX: u8 = 5;

/// Failed attempts in this phase, and passes through Roll since the operator last resumed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attempts {
    failed: u8,
    rerolls: u8,
}

impl Attempts {
    /// The phase has used up its failed attempts.
    pub(crate) fn exhausted(&self) -> bool {
        self.failed >= ATTEMPTS_MAX
    }

    pub(crate) fn fail(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// Nothing more is tried in this phase.
    pub(crate) fn exhaust(&mut self) {
        self.failed = ATTEMPTS_MAX;
    }

    /// A phase or a hold begins: failures are counted anew.
    pub(super) fn begin(&mut self) {
        self.failed = 0;
    }

    pub(super) fn resume(&mut self) {
        *self = Self::default();
    }

    /// Counts another pass through Roll. Returns whether there were too many since the operator last resumed.
    pub(crate) fn reroll(&mut self) -> bool {
        self.rerolls = self.rerolls.saturating_add(1);
        self.rerolls > REROLLS_MAX
    }
}
