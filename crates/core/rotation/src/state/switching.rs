use crate::Seq;

/// The requests that were sent to disable or enable the old key. While a Disable may still arrive, the key may be
/// disabled although nobody saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Switching {
    /// The answer to a Disable was lost.
    off_in_doubt: bool,
    /// A Disable was sent while an earlier one might still arrive.
    disabled_again: bool,
    /// The entry by which the key was last enabled.
    enabled: Seq,
    /// Enabling failed for good: the operator looks first.
    enable_failed: bool,
}

impl Switching {
    pub(crate) fn off_in_doubt(&self) -> bool {
        self.off_in_doubt
    }

    pub(crate) fn is_disabled_again(&self) -> bool {
        self.disabled_again
    }

    pub(crate) fn enabled(&self) -> Seq {
        self.enabled
    }

    pub(crate) fn enable_failed(&self) -> bool {
        self.enable_failed
    }

    /// A Disable is sent, perhaps while an earlier one may still arrive.
    pub(crate) fn begin_disable(&mut self) {
        self.disabled_again |= self.off_in_doubt;
    }

    pub(crate) fn doubt_disable(&mut self) {
        self.off_in_doubt = true;
    }

    pub(super) fn disable(&mut self) {
        self.off_in_doubt = false;
    }

    pub(super) fn enable(&mut self, seq: Seq) {
        *self = Self { enabled: seq, ..Self::default() };
    }

    pub(crate) fn fail_enable(&mut self) {
        self.enable_failed = true;
    }

    /// Enabling may be tried again.
    pub(super) fn retry_enable(&mut self) {
        self.enable_failed = false;
    }
}
