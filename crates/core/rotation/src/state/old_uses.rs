use crate::{Phase, Stamp};

/// The issuer's answer about the last use of the key that the phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    /// Since when the answer has been the same: when the first such answer came.
    since: Stamp,
    /// When the last such answer was asked for: how long it was waited for shows nothing.
    last: Stamp,
    /// The answer.
    used: Option<u64>,
}

/// What the issuer shows about uses of the old key, in a rollback of the new one: the last accepted one, and refused ones of the
/// old. Each driver reads both itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OldUses {
    idle: Option<Idle>,
    /// Since when the issuer is asked again in a rollback although its silence was waived.
    asked_again: Option<Stamp>,
    /// When the refused uses that were last read were asked for.
    refusals_read: Option<Stamp>,
}

impl OldUses {
    /// The last use stayed the same for at least `ms`.
    pub(crate) fn idle_for(&self, ms: u64) -> bool {
        self.idle.is_some_and(|idle| idle.last.at_least(ms, idle.since))
    }

    /// The issuer showed the last use, and not longer than `ms` ago.
    pub(crate) fn is_shown(&self, ms: u64, now: Stamp) -> bool {
        self.idle.is_some_and(|idle| !now.at_least(ms, idle.last))
    }

    /// The key has no entry at the issuer any more, and is refused.
    pub(crate) fn is_gone(&self) -> bool {
        self.idle.is_some_and(|idle| idle.used.is_none())
    }

    /// The last use that the issuer showed.
    pub(crate) fn last_used(&self) -> Option<u64> {
        self.idle.and_then(|idle| idle.used)
    }

    pub(crate) fn refusals_read(&self) -> bool {
        self.refusals_read.is_some()
    }

    /// Refused uses were asked for, at least `ms` after `since`, and read.
    pub(crate) fn refusals_read_after(&self, ms: u64, since: Stamp) -> bool {
        self.refusals_read.is_some_and(|read| read.at_least(ms, since))
    }

    /// Takes in an answer that was asked for at `asked` and came `now`.
    pub(crate) fn read_last(&mut self, used: Option<u64>, asked: Stamp, now: Stamp) {
        let since = self.idle.filter(|idle| idle.used == used).map_or(now, |idle| idle.since);
        self.idle = Some(Idle { since, last: asked, used });
    }

    /// A phase begins. What was heard so far may be about the other key: in a rollback the new one ends.
    pub(super) fn enter(&mut self, phase: Phase, other_key: bool) {
        if phase == Phase::Quiesce || other_key {
            self.idle = None;
        }
        if other_key {
            self.asked_again = None;
        }
    }

    /// The idle window of the old key begins anew.
    pub(crate) fn forget_idle(&mut self) {
        self.idle = None;
    }

    /// Since when the issuer is asked again in a rollback although its silence was waived.
    pub(crate) fn asked_again(&self) -> Option<Stamp> {
        self.asked_again
    }

    /// The issuer is asked again from now on; `None` before everything else has left the key.
    pub(crate) fn ask_again(&mut self, since: Option<Stamp>) {
        self.asked_again = since;
    }

    pub(crate) fn read_refusals(&mut self, asked: Stamp) {
        self.refusals_read = Some(asked);
    }

    /// The key was enabled or disabled, or may have been: refusals are read anew.
    pub(crate) fn forget_refusals(&mut self) {
        self.refusals_read = None;
    }
}
