use crate::{ListedState, Seq, Stamp};

/// What is known about the old key, from outcomes and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldKey {
    /// Valid.
    On,
    /// Disabled at the time of the stamp.
    Off(Stamp),
    /// Ended, by us or by another party.
    Ended,
}

/// The last complete list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) at: Stamp,
    pub(crate) seq: Seq,
    /// The state of the old key in it.
    pub(crate) old: ListedState,
}

/// What is known about the old key. An end that we did not cause is doubted for as long as a list may lag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldSwitch {
    key: OldKey,
    /// Since when the key has been missing although we did not end it.
    missing_since: Option<Stamp>,
    /// When it ended, as far as this journal knows.
    ended: Option<Stamp>,
    list: Option<List>,
    /// A list that a rollback read shows a key of a rotation that the journal does not have.
    has_stranger: bool,
    /// An operator said in a rollback that the key ended which it was about to enable, and no complete list has shown that yet.
    only_said: bool,
}

impl OldSwitch {
    pub(super) fn open(key: OldKey) -> Self {
        Self { key, missing_since: None, ended: None, list: None, has_stranger: false, only_said: false }
    }

    /// A rollback goes on beside a key of a rotation that the journal does not have.
    pub(crate) fn meet_stranger(&mut self) {
        self.has_stranger = true;
    }

    /// The next complete list says whether there is one.
    pub(crate) fn forget_strangers(&mut self) {
        self.has_stranger = false;
    }

    pub(crate) fn has_stranger(&self) -> bool {
        self.has_stranger
    }

    /// The end of the key is an operator's word, and the next complete list counts.
    pub(crate) fn say_ended(&mut self) {
        self.only_said = true;
    }

    /// The operator looked at the issuer's console, in place of a list.
    pub(crate) fn believe_word(&mut self) {
        self.only_said = false;
    }

    pub(crate) fn is_only_said(&self) -> bool {
        self.only_said && self.key == OldKey::Ended
    }

    pub(crate) fn key(&self) -> OldKey {
        self.key
    }

    /// When the key ended.
    pub(crate) fn ended_at(&self) -> Option<Stamp> {
        self.ended
    }

    /// The key is missing although we did not end it.
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

    /// The key ended. If we did not end it, it may still exist.
    pub(super) fn end(&mut self, by_us: bool, now: Stamp) {
        (self.key, self.ended) = (OldKey::Ended, self.ended.or(Some(now)));
        self.missing_since = if by_us { None } else { self.missing_since.or(Some(now)) };
    }

    pub(super) fn disable(&mut self, now: Stamp) {
        self.key = OldKey::Off(now);
    }

    /// The key was enabled. One that ended while the Enable was under way stays ended, if the rotation goes on from there.
    pub(super) fn enable(&mut self, goes_on_from_end: bool) {
        if self.key != OldKey::Ended || !goes_on_from_end {
            (self.key, self.only_said) = (OldKey::On, false);
        }
    }

    /// A list showed for too long that the end of the key had no effect.
    pub(crate) fn undo_end(&mut self) {
        self.key = OldKey::On;
    }

    /// A key that an earlier list did not show may have appeared since: the earlier list does not count any more.
    pub(crate) fn forget_list(&mut self) {
        self.list = None;
    }

    /// The issuer accepted a probe of the key: the key exists, whatever a list missed. Returns whether a key that was
    /// believed to have ended exists: it is accepted longer after that end than an end takes, `lag_ms`.
    pub(crate) fn accept(&mut self, lag_ms: u64, now: Stamp) -> bool {
        if self.key == OldKey::Ended {
            return self.missing_since.is_some_and(|since| now.at_least(lag_ms, since));
        }
        self.missing_since = None;
        false
    }

    /// A new driver cannot measure durations from before its start.
    pub(super) fn driver_started(&mut self, now: Stamp) {
        if let OldKey::Off(_) = self.key {
            self.key = OldKey::Off(now);
        }
        self.missing_since = self.missing_since.map(|_| now);
    }

    pub(crate) fn read_list(&mut self, list: List) {
        self.list = Some(list);
    }

    /// Records the state of the key in a complete list. A list may lag behind a change of the key by `lag_ms`, and a
    /// list that is read in pages may miss a key. Returns whether a key that was believed to have ended exists.
    pub(crate) fn listed(&mut self, old: ListedState, lag_ms: u64, now: Stamp) -> bool {
        let settled = |since: Option<Stamp>| since.is_some_and(|since| now.at_least(lag_ms, since));
        match (old, self.key) {
            (ListedState::Gone, OldKey::On | OldKey::Off(_)) if settled(self.missing_since) => {
                self.end(false, now);
            }
            (ListedState::Gone, OldKey::On | OldKey::Off(_)) => {
                self.missing_since = self.missing_since.or(Some(now));
            }
            (ListedState::On | ListedState::Off, OldKey::Ended) => return settled(self.missing_since),
            (ListedState::On, OldKey::Off(since)) if settled(Some(since)) => {
                (self.key, self.missing_since) = (OldKey::On, None);
            }
            (ListedState::On | ListedState::Off, OldKey::On | OldKey::Off(_)) => self.missing_since = None,
            (ListedState::Gone | ListedState::NotVisible, OldKey::Ended) => self.only_said = false,
            (ListedState::NotVisible, OldKey::On | OldKey::Off(_)) => {}
        }
        false
    }

    /// A key that another party seemed to have ended exists, enabled or disabled.
    pub(crate) fn find_again(&mut self, off: bool, now: Stamp) {
        self.key = if off { OldKey::Off(now) } else { OldKey::On };
        (self.missing_since, self.only_said) = (None, false);
    }
}
