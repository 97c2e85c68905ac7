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
    /// How it shows the old key.
    pub(crate) old: Standing,
}

/// What is believed of the old key. An end that nothing of ours made is doubted as long as a list may lag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldSwitch {
    key: OldKey,
    /// Since when the key is missing although nothing of ours ended it.
    missing_since: Option<Stamp>,
    list: Option<List>,
}

impl OldSwitch {
    pub(super) fn open(key: OldKey) -> Self {
        Self { key, missing_since: None, list: None }
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

    /// The key ended. Where nothing of ours did that, it may turn out to be there.
    pub(super) fn end(&mut self, by_us: bool, now: Stamp) {
        self.key = OldKey::Ended;
        self.missing_since = if by_us { None } else { self.missing_since.or(Some(now)) };
    }

    pub(super) fn disable(&mut self, now: Stamp) {
        self.key = OldKey::Off(now);
    }

    pub(super) fn enable(&mut self) {
        self.key = OldKey::On;
    }

    /// A list showed for too long that the end of the key had no effect.
    pub(crate) fn undo_end(&mut self) {
        self.key = OldKey::On;
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
    pub(super) fn driver_started(&mut self, now: Stamp) {
        if let OldKey::Off(_) = self.key {
            self.key = OldKey::Off(now);
        }
        self.missing_since = self.missing_since.map(|_| now);
    }

    pub(crate) fn read_list(&mut self, list: List) {
        self.list = Some(list);
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
