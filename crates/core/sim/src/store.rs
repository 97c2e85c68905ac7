//! The simulated store: versions with labels, and values sealed under intents.

use keyroll_port::Label;
use keyroll_rotation::{CredId, Seq};

use crate::issuer::{FOREIGN, OLD, OWN, Value};

/// The number of the version that is being replaced.
pub(crate) const FIRST: u32 = 1;
/// Instead of a version's number: no version is current.
const NONE: u32 = 0;

/// One version of the secret.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) label: Label,
    /// `None` once it was dropped.
    pub(crate) value: Option<Value>,
    pub(crate) id: Option<CredId>,
    /// The intent that made it.
    pub(crate) mint: Option<Seq>,
}

/// The source of truth for values.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// Values sealed under their intents, before they were used.
    pub(crate) kept: Vec<(Seq, Value, Option<CredId>)>,
    /// Values sealed under an intent and dropped: a late writer does not bring them back.
    dropped: Vec<(Seq, Value)>,
    /// Ids that were listed before a value was chosen, sealed under a number of their own.
    pub(crate) listed: Vec<(Seq, Vec<u8>)>,
    pub(crate) versions: Vec<Version>,
    /// The current label was written, or found to be right.
    relabelled: bool,
}

impl Store {
    /// A store from before the rotation.
    pub(crate) fn new(old: CredId) -> Self {
        let mut store = Self::empty();
        store.add_first(OLD, Some(old));
        store
    }

    /// A store without a version.
    pub(crate) fn empty() -> Self {
        let (kept, dropped, listed, versions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { kept, dropped, listed, versions, relabelled: false }
    }

    /// Adds the first version, as current.
    pub(crate) fn add_first(&mut self, value: Value, id: Option<CredId>) -> bool {
        let empty = self.versions.is_empty();
        if empty {
            let number = self.add(value, id, None);
            self.label(number, Label::Current);
        }
        empty
    }

    /// The consumers have a key of their own now.
    pub(crate) fn add_own(&mut self) {
        self.label(FIRST, Label::Previous);
        let id = Some(CredId::new("own"));
        let own = Version { number: FIRST + 1, label: Label::Current, value: Some(OWN), id, mint: None };
        self.versions.push(own);
    }

    pub(crate) fn kept(&self, seq: Seq) -> Option<&(Seq, Value, Option<CredId>)> {
        self.kept.iter().find(|kept| kept.0 == seq)
    }

    /// Seals a value under its intent, or adds its id. Another value under the same intent is refused.
    pub(crate) fn keep(&mut self, seq: Seq, value: Value, id: Option<CredId>) -> bool {
        if let Some((_, dropped)) = self.dropped.iter().find(|dropped| dropped.0 == seq) {
            return *dropped == value;
        }
        let Some((_, held, known)) = self.kept.iter_mut().find(|kept| kept.0 == seq) else {
            self.kept.push((seq, value, id));
            return true;
        };
        let other_id = known.is_some() && id.is_some() && *known != id;
        let same = *held == value && !other_id;
        if same && known.is_none() {
            *known = id;
        }
        same
    }

    /// Drops everything that is sealed under intents with these values.
    fn drop_kept(&mut self, of: impl Fn(Value) -> bool) {
        self.dropped.extend(self.kept.iter().filter(|kept| of(kept.1)).map(|kept| (kept.0, kept.1)));
        self.kept.retain(|kept| !of(kept.1));
    }

    fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|it| it.number == number)
    }

    pub(crate) fn read(&self, number: u32) -> Option<(Value, Option<CredId>)> {
        let version = self.version(number)?;
        version.value.map(|value| (value, version.id.clone()))
    }

    fn label(&mut self, number: u32, label: Label) {
        self.versions.iter_mut().filter(|it| it.number == number).for_each(|it| it.label = label);
    }

    fn current_number(&self) -> Option<u32> {
        self.versions.iter().find(|it| it.label == Label::Current).map(|it| it.number)
    }

    /// The value that is current.
    pub(crate) fn current(&self) -> Value {
        let current = self.versions.iter().find(|it| it.label == Label::Current);
        current.and_then(|it| it.value).unwrap_or(FOREIGN)
    }

    /// The value of the version that was replaced is dropped.
    pub(crate) fn old_retired(&self) -> bool {
        self.version(FIRST).is_some_and(|it| it.value.is_none())
    }

    /// The version of before goes on having its number; what was dropped does not come back.
    pub(crate) fn put_pending(&mut self, seq: Seq, value: Value, id: Option<CredId>) -> Option<u32> {
        if let Some(staged) = self.versions.iter().find(|it| it.mint == Some(seq) && it.value.is_some()) {
            return Some(staged.number);
        }
        self.kept(seq).filter(|kept| kept.1 == value)?;
        // A value that is replaced by itself would be ended with the version that it replaces.
        let known = self.versions.iter().any(|it| it.value == Some(value));
        (!known).then(|| self.add(value, id, Some(seq)))
    }

    fn add(&mut self, value: Value, id: Option<CredId>, mint: Option<Seq>) -> u32 {
        let number = self.versions.last().map_or(FIRST, |it| it.number + 1);
        self.versions.push(Version { number, label: Label::Pending, value: Some(value), id, mint });
        number
    }

    /// Compare-and-swap of the current version; the former one gets this label.
    pub(crate) fn make_current(&mut self, expected: u32, next: u32, before: Label) -> bool {
        self.relabelled = true;
        let current = self.current_number().unwrap_or(NONE);
        if current == next {
            return true;
        }
        let there = next == NONE || self.version(next).is_some_and(|it| it.value.is_some());
        if current != expected || !there {
            return false;
        }
        self.label(expected, before);
        self.label(next, Label::Current);
        true
    }

    /// Drops a version's value. The current version is never dropped.
    pub(crate) fn retire(&mut self, number: u32) -> bool {
        if self.current_number() == Some(number) {
            return false;
        }
        for version in self.versions.iter_mut().filter(|it| it.number == number) {
            (version.label, version.value) = (Label::Retired, None);
        }
        true
    }

    /// Drops the value that is sealed under an intent, also where it was sealed under another intent when it was chosen.
    pub(crate) fn forget(&mut self, seq: Seq) {
        if let Some(value) = self.kept(seq).map(|kept| kept.1) {
            self.drop_kept(|kept| kept == value);
        }
    }

    /// Drops what is kept of what this rotation made and gave up: of one credential, or all. What stays is not.
    pub(crate) fn discard(&mut self, id: Option<&CredId>, stays: Option<Seq>) {
        let spared = stays.and_then(|seq| self.kept(seq)).map(|kept| kept.1);
        let of_it = self.kept.iter().filter(|kept| id.is_none() || id == kept.2.as_ref());
        let given_up: Vec<Value> = of_it.map(|kept| kept.1).filter(|value| Some(*value) != spared).collect();
        self.drop_kept(|value| given_up.contains(&value));
    }

    /// The right store is in its place again, with what was sealed in the other one meanwhile.
    pub(crate) fn merge(&mut self, meanwhile: Self) {
        for (seq, value, id) in meanwhile.kept.iter().cloned() {
            self.keep(seq, value, id);
        }
        for (seq, listed) in &meanwhile.listed {
            if self.listed.iter().all(|it| it.0 != *seq) {
                self.listed.push((*seq, listed.clone()));
            }
        }
        for version in &meanwhile.versions {
            let known = self.versions.iter().any(|it| it.mint == version.mint);
            if let Some(value) = version.value.filter(|_| !known) {
                self.add(value, version.id.clone(), version.mint);
            }
        }
        if meanwhile.relabelled {
            let current = meanwhile.current();
            let number = self.versions.iter().find(|it| it.value == Some(current)).map(|it| it.number);
            if let (Some(before), Some(number)) = (self.current_number(), number.filter(|_| true)) {
                let label = if number == FIRST { Label::Pending } else { Label::Previous };
                self.label(before, label);
                self.label(number, Label::Current);
            }
            self.relabelled = true;
        }
        if meanwhile.version(FIRST).is_some_and(|it| it.value.is_none()) {
            self.retire(FIRST);
        }
    }
}
