use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{BystanderId, Enumeration, Incarnation, ObservedInstance, Seq, Stamp, Visibility, Which};

/// An enumeration, and when it entered the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When it entered the journal.
    pub at: Stamp,
    /// Its place in the journal.
    pub seq: Seq,
    /// What was seen.
    pub seen: Arc<Enumeration>,
    /// It shows everything: what it does not show was waived with its host.
    pub whole: bool,
}

/// The last look, and the last operation that made a look stale.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Looks {
    last: Option<Look>,
    /// How long the look before the last one took, milliseconds.
    took_before_ms: u64,
    /// The undeclared processes that were seen to hold a version. Copied only by the state that changes it.
    held: Arc<BTreeSet<(Incarnation, Which)>>,
    /// The declared bystanders that were seen to hold a version.
    stood_by: BTreeSet<(BystanderId, Which)>,
    /// The last entry about an operation that moves files, instances or the store.
    moved: Seq,
}

impl Looks {
    pub(crate) fn last(&self) -> Option<&Look> {
        self.last.as_ref()
    }

    /// A complete look after this entry, of this boot and this driver.
    pub(super) fn complete_since(&self, after: Seq, now: Stamp) -> Option<&Look> {
        self.since(after, now).filter(|look| look.whole)
    }

    /// A look like that, in which some hosts may not have answered: it shows everything on the others.
    pub(crate) fn partial_since(&self, after: Seq, now: Stamp) -> Option<&Look> {
        self.since(after, now).filter(|look| look.whole || look.seen.complete)
    }

    fn since(&self, after: Seq, now: Stamp) -> Option<&Look> {
        self.last().filter(|look| look.seq > after && look.at.epoch == now.epoch && look.at.boot == now.boot)
    }

    /// A complete look that is also later than the last operation that moved something.
    pub(super) fn fresh_since(&self, after: Seq, now: Stamp) -> Option<&Look> {
        self.complete_since(after.max(self.moved), now)
    }

    /// The last look of this boot that inspected everything on the hosts that answered, as long as nothing was moved since,
    /// whichever driver made it. No key is ended on it.
    pub(crate) fn last_standing(&self, now: Stamp) -> Option<&Look> {
        self.last().filter(|look| look.seen.complete && look.seq > self.moved && look.at.boot == now.boot)
    }

    /// The slot that an instance of the last look runs in.
    pub(crate) fn slot_of(&self, who: Incarnation) -> u8 {
        let seen = self.last.iter().flat_map(|look| &look.seen.instances).find(|it| it.who == who);
        seen.map_or(0, |seen| seen.slot)
    }

    /// Whether an undeclared process was ever seen to hold this version.
    pub(crate) fn has_held(&self, who: Incarnation, which: Which) -> bool {
        self.held.contains(&(who, which))
    }

    /// The declared bystanders that were ever seen to hold a version.
    pub(crate) fn stood_by(&self) -> impl Iterator<Item = (BystanderId, Which)> {
        self.stood_by.iter().copied()
    }

    /// Takes in which declared bystanders were seen to hold which version.
    pub(crate) fn meet_bystanders(&mut self, held: Vec<(BystanderId, Which)>) {
        self.stood_by.extend(held);
    }

    /// Until when the last look is young, by the monotonic time of its driver: `age_ms_max` after it began, and as much
    /// later as a look takes here. Of the last two the shorter time counts: a driver that was stopped while it looked
    /// took long, and saw nothing meanwhile.
    pub(super) fn young_until(&self, age_ms_max: u64) -> Option<u64> {
        let look = self.last()?;
        let took = look.seen.took_ms;
        let began = look.at.ms.saturating_sub(took);
        Some(began.saturating_add(age_ms_max).saturating_add(took.min(self.took_before_ms)))
    }

    pub(crate) fn take_in(&mut self, seen: &Enumeration, whole: bool, seq: Seq, now: Stamp) {
        self.took_before_ms = self.last.as_ref().map_or(self.took_before_ms, |look| look.seen.took_ms);
        self.last = Some(Look { at: now, seq, seen: Arc::new(seen.clone()), whole });
        let held = seen.instances.iter().filter(|it| it.consumer.is_none()).flat_map(held);
        let more: Vec<_> = held.filter(|it| !self.held.contains(it)).collect();
        if !more.is_empty() {
            Arc::make_mut(&mut self.held).extend(more);
        }
    }

    /// The last look does not cover everything any more: a consumer was adopted.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// An operation moves something: a look before this entry is stale.
    pub(crate) fn moved(&mut self, seq: Seq) {
        self.moved = seq;
    }
}

/// The versions that an instance was seen to hold.
fn held(seen: &ObservedInstance) -> impl Iterator<Item = (Incarnation, Which)> + use<> {
    let who = seen.who;
    let versions = [(seen.old, Which::Old), (seen.new, Which::New)];
    versions.into_iter().filter(|(held, _)| *held == Visibility::Yes).map(move |(_, which)| (who, which))
}
