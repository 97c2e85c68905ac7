use crate::Stamp;

/// What the issuer said about the last use of the old key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    /// Since when it says the same.
    since: Stamp,
    /// When it last said so.
    last: Stamp,
    /// What it says.
    used: Option<u64>,
}

/// What the issuer says about uses of the old key: the last accepted one, and refused ones. Each driver reads for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OldUses {
    idle: Option<Idle>,
    refusals_read: Option<Stamp>,
}

impl OldUses {
    /// The last use was seen unchanged for that long.
    pub(crate) fn idle_for(&self, ms: u64) -> bool {
        self.idle.is_some_and(|idle| idle.last.at_least(ms, idle.since))
    }

    pub(crate) fn refusals_read(&self) -> bool {
        self.refusals_read.is_some()
    }

    /// Refused uses were read at least that long after this time.
    pub(crate) fn refusals_read_after(&self, ms: u64, since: Stamp) -> bool {
        self.refusals_read.is_some_and(|read| read.at_least(ms, since))
    }

    pub(crate) fn read_last(&mut self, used: Option<u64>, now: Stamp) {
        let since = self.idle.filter(|idle| idle.used == used).map_or(now, |idle| idle.since);
        self.idle = Some(Idle { since, last: now, used });
    }

    /// What was seen idle until now begins anew.
    pub(crate) fn forget_idle(&mut self) {
        self.idle = None;
    }

    pub(crate) fn read_refusals(&mut self, now: Stamp) {
        self.refusals_read = Some(now);
    }

    /// The key was switched, or may have been: refusals are read anew.
    pub(crate) fn forget_refusals(&mut self) {
        self.refusals_read = None;
    }
}
