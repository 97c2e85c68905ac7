//! What is believed of the old key: from outcomes, probes and lists.

use crate::{Seq, Stamp, Standing};

/// What is believed of the old key's switch, from outcomes and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldKey {
    /// Valid.
    On,
    /// Switched off since the stamp's time.
    Off(Stamp),
    /// Ended, by us or by somebody else.
    Ended,
}

/// The last complete list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) at: Stamp,
    pub(crate) seq: Seq,
}

/// The old key's switch. An end that nothing of ours made is doubted as long as a list may lag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldSwitch {
    key: OldKey,
    /// Since when the key is missing although nothing of ours ended it.
    missing_since: Option<Stamp>,
    list: Option<List>,
    /// The last complete list shows the key, and on.
    listed_on: bool,
    /// A Disable was lost: the key may be off although nobody saw it.
    off_in_doubt: bool,
    /// A Disable was sent while the one before it might still arrive.
    disabled_again: bool,
    /// The entry by which the key was last enabled.
    enabled: Seq,
    /// Enabling it failed for good: the operator looks first.
    enable_failed: bool,
    /// The entry at which a Revoke failed: instances that started since are looked for before it is sent again.
    revoke_failed: Seq,
    sessions_ended: Option<Seq>,
}

impl OldSwitch {
    pub(super) fn open(key: OldKey) -> Self {
        Self {
            key,
            missing_since: None,
            list: None,
            listed_on: false,
            off_in_doubt: false,
            disabled_again: false,
            enabled: 0,
            enable_failed: false,
            revoke_failed: 0,
            sessions_ended: None,
        }
    }

    pub(crate) fn key(&self) -> OldKey {
        self.key
    }

    /// It is missing although nothing of ours ended it.
    pub(crate) fn is_missing(&self) -> bool {
        self.missing_since.is_some()
    }

    pub(crate) fn list(&self) -> Option<List> {
        self.list
    }

    /// Whether a complete list was read after this entry.
    pub(crate) fn listed_since(&self, seq: Seq) -> bool {
        self.list.is_some_and(|list| list.seq > seq)
    }

    pub(crate) fn is_listed_on(&self) -> bool {
        self.listed_on
    }

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

    pub(crate) fn revoke_failed(&self) -> Seq {
        self.revoke_failed
    }

    pub(crate) fn sessions_ended(&self) -> Option<Seq> {
        self.sessions_ended
    }

    /// The key ended. Where nothing of ours did that, it may turn out to be there.
    pub(crate) fn end(&mut self, by_us: bool, now: Stamp) {
        self.key = OldKey::Ended;
        self.missing_since = if by_us { None } else { self.missing_since.or(Some(now)) };
    }

    /// A Disable is sent, perhaps while the one before it may still arrive.
    pub(crate) fn begin_disable(&mut self) {
        self.disabled_again |= self.off_in_doubt;
    }

    pub(crate) fn doubt_disable(&mut self) {
        self.off_in_doubt = true;
    }

    pub(crate) fn disable(&mut self, now: Stamp) {
        self.key = OldKey::Off(now);
        self.off_in_doubt = false;
    }

    pub(crate) fn enable(&mut self, seq: Seq) {
        self.key = OldKey::On;
        (self.off_in_doubt, self.disabled_again, self.enable_failed) = (false, false, false);
        self.enabled = seq;
    }

    pub(crate) fn fail_enable(&mut self) {
        self.enable_failed = true;
    }

    /// Enabling it may be tried again.
    pub(crate) fn retry_enable(&mut self) {
        self.enable_failed = false;
    }

    pub(crate) fn fail_revoke(&mut self, seq: Seq) {
        self.revoke_failed = seq;
    }

    /// A list showed for too long that the end of the key had no effect.
    pub(crate) fn undo_end(&mut self) {
        self.key = OldKey::On;
    }

    pub(crate) fn end_sessions(&mut self, seq: Seq) {
        self.sessions_ended = Some(seq);
    }

    /// Sessions are to be ended once more.
    pub(crate) fn reopen_sessions(&mut self) {
        self.sessions_ended = None;
    }

    pub(crate) fn read_list(&mut self, list: List, old: Standing) {
        self.list = Some(list);
        self.listed_on = old == Standing::On;
    }

    /// What an earlier list did not show may have appeared since.
    pub(crate) fn forget_list(&mut self) {
        self.list = None;
    }

    /// A probe of the key was accepted: whatever a list missed, the key is there.
    pub(crate) fn accept(&mut self) {
        if self.key != OldKey::Ended {
            self.missing_since = None;
        }
    }

    /// A new driver knows no duration of before.
    pub(crate) fn driver_started(&mut self, now: Stamp) {
        self.enable_failed = false;
        if let OldKey::Off(_) = self.key {
            self.key = OldKey::Off(now);
        }
        self.missing_since = self.missing_since.map(|_| now);
    }

    /// Takes in what a complete list says of the key. A list may lag behind what is done to the key by `lag_ms`; one that
    /// is read in pages may miss a key. Returns whether a key that was believed ended is there.
    pub(crate) fn listed(&mut self, old: Standing, lag_ms: u64, now: Stamp) -> bool {
        let settled = |since: Option<Stamp>| since.is_some_and(|since| now.at_least(lag_ms, since));
        match (old, self.key) {
            (Standing::Gone, OldKey::On | OldKey::Off(_)) if settled(self.missing_since) => {
                self.end(false, now);
            }
            (Standing::Gone, OldKey::On | OldKey::Off(_)) => {
                self.missing_since = self.missing_since.or(Some(now));
            }
            (Standing::On | Standing::Off, OldKey::Ended) => return settled(self.missing_since),
            (Standing::On, OldKey::Off(since)) if settled(Some(since)) => {
                (self.key, self.missing_since) = (OldKey::On, None);
            }
            (Standing::On | Standing::Off, OldKey::On | OldKey::Off(_)) => self.missing_since = None,
            (Standing::Gone, OldKey::Ended) | (Standing::NotVisible, _) => {}
        }
        false
    }

    /// A key that somebody else seemed to have ended is there, on or off.
    pub(crate) fn find_again(&mut self, off: bool, now: Stamp) {
        self.key = if off { OldKey::Off(now) } else { OldKey::On };
        self.missing_since = None;
    }
}
