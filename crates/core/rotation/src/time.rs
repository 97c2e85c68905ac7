/// When, where and by whom something was seen: monotonic milliseconds, the boot they count from, the driver's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Monotonic milliseconds since some point of this boot.
    pub ms: u64,
    /// A digest of the boot id: times of two boots are never compared.
    pub boot: u64,
    /// The epoch of the driver that saw it: a waiting window begins anew under a new driver.
    pub epoch: u64,
}

impl Stamp {
    /// Milliseconds since `earlier`; `None` across a reboot or a change of driver, where no duration is known.
    pub fn since(self, earlier: Self) -> Option<u64> {
        if self.boot == earlier.boot && self.epoch == earlier.epoch {
            self.ms.checked_sub(earlier.ms)
        } else {
            None
        }
    }

    /// The same driver, so many milliseconds earlier.
    pub(crate) fn before(self, ms: u64) -> Self {
        Self { ms: self.ms.saturating_sub(ms), ..self }
    }

    /// Whether at least `ms` passed since `earlier`, as far as one driver in one boot knows.
    pub fn at_least(self, ms: u64, earlier: Self) -> bool {
        self.since(earlier).is_some_and(|passed| passed >= ms)
    }
}
