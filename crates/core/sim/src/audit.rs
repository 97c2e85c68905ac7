//! What the simulation itself saw of the answers to drivers, of the operator's questions and of the phases.

use std::collections::BTreeSet;

use keyroll_rotation::{ConsumerId, Enumeration, Incarnation, Phase, Seq, Visibility, Waived};

use crate::issuer::Value;
use crate::look::WholeLook;
use crate::pace::Pace;

/// How many answers in a row are remembered: more than any policy asks for.
const ROW_MAX: usize = 4_096;

/// When answers of one kind were given in a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row(Vec<u64>);

impl Row {
    pub(crate) fn add(&mut self, now: u64) {
        if self.0.len() < ROW_MAX {
            self.0.push(now);
        }
    }

    /// How many of them were given since `from`, and when the first of these was.
    pub(crate) fn since(&self, from: u64) -> (usize, u64) {
        let mut later = self.0.iter().filter(|at| **at >= from);
        let first = later.next();
        (first.map_or(0, |_| 1 + later.count()), first.copied().unwrap_or(u64::MAX))
    }
}

/// The answers of one endpoint about one value to one driver.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) endpoint: usize,
    pub(crate) value: Value,
    epoch: u64,
    pub(crate) accepted: Row,
    /// Refusals. Where a control is asked beside them, only those whose control was accepted.
    pub(crate) refused: Row,
}

/// What a consent is about: who was seen, and what was waived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shown {
    instances: Vec<(ConsumerId, u8)>,
    holders: Vec<Incarnation>,
    places: Vec<u64>,
    pub(crate) waived: Vec<Waived>,
}

impl Shown {
    /// What an enumeration shows; nothing of it is waived yet.
    pub(crate) fn of(seen: &Enumeration) -> Self {
        let mut shown = Self { places: seen.strangers.clone(), ..Self::default() };
        for it in &seen.instances {
            match it.consumer {
                Some(id) => shown.instances.push((id, it.slot)),
                None if it.old == Visibility::Yes => shown.holders.push(it.who),
                None => {}
            }
        }
        shown.instances.sort_unstable();
        shown.holders.sort_unstable();
        shown.places.sort_unstable();
        shown
    }
}

/// A consent, with what the operator was shown.
#[derive(Debug)]
pub(crate) struct Consent {
    pub(crate) shown: Shown,
    pub(crate) at: u64,
}

/// The simulation's own record.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) answers: Vec<Answers>,
    /// The undeclared processes that the operator consented to although their memory was not searched.
    pub(crate) consented: BTreeSet<Incarnation>,
    /// The driver that last read the record of refused uses, and when.
    pub(crate) record_read: Option<(u64, u64)>,
    /// The phase of the newest driver, and since when.
    pub(crate) phase: Option<(Phase, u64)>,
    /// When the last ConfirmDead began.
    pub(crate) confirming_since: u64,
    /// The entry with which it began.
    pub(crate) confirming_from: Seq,
    /// The questions for a consent, by their digest.
    pub(crate) asked: Vec<(u64, Shown)>,
    pub(crate) consent: Option<Consent>,
    /// The last complete list of keys of each driver.
    pub(crate) listed: Vec<(u64, u64)>,
    /// What each driver last read at the source of truth for the outcome of an intent: its epoch, the intent, the value.
    pub(crate) truth_reads: Vec<(u64, Seq, Value)>,
    /// When the last rollback was asked for: its entry may have waited for the journal.
    pub(crate) back_asked: u64,
    /// The last Demote that was carried out.
    pub(crate) demoted: Seq,
    /// The last entry before an older store took the place of the right one.
    pub(crate) older_from: u64,
    /// The last list that was written shows a label that no intent of this rotation gave.
    pub(crate) unexplained: bool,
    /// The driver that last read the use of the old key from a list that shows it.
    pub(crate) read_use: Option<u64>,
    /// When another party last enabled the old key.
    pub(crate) enabled_at: u64,
    /// Another party disabled the old key.
    pub(crate) disabled_by_others: bool,
    /// When another party ended the new key.
    pub(crate) new_ended: u64,
    /// The issuer said that it carried something out, and did not.
    pub(crate) ignored: bool,
    /// What the issuer did not carry out was the end of a key.
    pub(crate) ignored_deletion: bool,
    /// What the issuer did not carry out was an Enable.
    pub(crate) ignored_enable: bool,
    /// An operator said wrongly that the old key was revoked.
    pub(crate) said_revoked: bool,
    /// Since when the word of an operator that the old key was revoked is believed by the present driver.
    pub(crate) word_since: u64,
    /// A host was waived.
    pub(crate) waives_hosts: bool,
    /// The last look when a value began to be dropped.
    pub(crate) look_before_drop: Option<WholeLook>,
    /// How far a paced roll has come.
    pub(crate) pace: Pace,
}

impl Audit {
    /// Whether the old key may be disabled although the protocol did not disable it, or knows nothing of it.
    pub(crate) fn disabled_unknown(&self) -> bool {
        self.disabled_by_others || self.ignored
    }

    pub(crate) fn of(&self, endpoint: usize, value: Value, epoch: u64) -> Option<&Answers> {
        self.answers.iter().find(|it| (it.endpoint, it.value, it.epoch) == (endpoint, value, epoch))
    }

    pub(crate) fn row(&mut self, endpoint: usize, value: Value, epoch: u64) -> Option<&mut Answers> {
        let same = |it: &Answers| (it.endpoint, it.value, it.epoch) == (endpoint, value, epoch);
        let place = self.answers.iter().position(same).unwrap_or_else(|| {
            let (accepted, refused) = (Row::default(), Row::default());
            self.answers.push(Answers { endpoint, value, epoch, accepted, refused });
            self.answers.len() - 1
        });
        self.answers.get_mut(place)
    }
}
