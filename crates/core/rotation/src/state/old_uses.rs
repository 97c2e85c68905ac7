use crate::Stamp;

/// The issuer's answer about the last use of the old key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    /// Since when the answer has been the same.
    since: Stamp,
    /// When the issuer last gave this answer.
    last: Stamp,
    /// The answer.
    used: Option<u64>,
}

/// What the issuer shows about uses of the old key: the last accepted one, and refused ones. Each driver reads both
/// itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OldUses {
    idle: Option<Idle>,
    refusals_read: Option<Stamp>,
}

impl OldUses {
    /// The last use stayed the same for at least `ms`.
    pub(crate) fn idle_for(&self, ms: u64) -> bool {
        self.idle.is_some_and(|idle| idle.last.at_least(ms, idle.since))
    }

    pub(crate) fn refusals_read(&self) -> bool {
        self.refusals_read.is_some()
    }

    /// Refused uses were read at least `ms` after `since`.
    pub(crate) fn refusals_read_after(&self, ms: u64, since: Stamp) -> bool {
        self.refusals_read.is_some_and(|read| read.at_least(ms, since))
    }

    pub(crate) fn read_last(&mut self, used: Option<u64>, now: Stamp) {
        let since = self.idle.filter(|idle| idle.used == used).map_or(now, |idle| idle.since);
        self.idle = Some(Idle { since, last: now, used });
    }

    /// The idle window of the old key begins anew.
    pub(crate) fn forget_idle(&mut self) {
        self.idle = None;
    }

    pub(crate) fn read_refusals(&mut self, now: Stamp) {
        self.refusals_read = Some(now);
    }

    /// The key was enabled or disabled, or may have been: refusals are read anew.
    pub(crate) fn forget_refusals(&mut self) {
        self.refusals_read = None;
    }
}
