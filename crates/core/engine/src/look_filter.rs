//! Which looks count at once, and which are made again before anything follows from them.

use std::collections::BTreeSet;

use keyroll_rotation::{Enumeration, Fact, Incarnation, ListedState};

/// How many looks of one driver may be made again because a holder was seen for the first time.
const REPEATED_MAX: u8 = 3;

/// What one driver remembers of its earlier looks.
#[derive(Default)]
pub(crate) struct LookFilter {
    /// The holders of earlier looks that belong to no consumer.
    known: BTreeSet<Incarnation>,
    repeated: u8,
    /// The last list was complete and did not show the old key.
    missed_old: bool,
}

impl LookFilter {
    /// What follows from a look now, which took so long; `None` if it is made again at once.
    pub(crate) fn counted(&mut self, mut fact: Fact, took_ms: u64) -> Option<Fact> {
        if let Fact::Enumerated(seen) = &mut fact {
            seen.complete &= !self.meets_holder(seen);
        }
        measure(&mut fact, took_ms);
        if let Fact::Listed { complete, old, .. } = &fact {
            // While the pages of a list were read somebody may have deleted another key: then the one at the border is on
            // none of them. That the old key is gone is believed only of two lists in a row.
            let misses = *complete && *old == ListedState::Gone;
            self.missed_old = misses && !self.missed_old;
            if self.missed_old {
                return None;
            }
        }
        Some(fact)
    }

    /// Whether an undeclared holder is met for the first time. It may be about to end (a command that a person ran, a
    /// job): the look is made again before the holder pauses the rotation. One that returns as another process each time
    /// is believed after so many looks.
    fn meets_holder(&mut self, seen: &Enumeration) -> bool {
        let undeclared = seen.instances.iter().filter(|it| it.consumer.is_none());
        // A declared bystander pauses nothing.
        let undeclared = undeclared.filter(|it| seen.bystander(it.who).is_none());
        let first = undeclared.filter(|it| self.known.insert(it.who)).count() > 0;
        let again = first && self.repeated < REPEATED_MAX;
        self.repeated = self.repeated.saturating_add(u8::from(again));
        again
    }
}

/// Records how long a look took, where that shows how old its answer may be.
#[allow(clippy::wildcard_enum_match_arm, reason = "few of the many facts are measured")]
fn measure(fact: &mut Fact, took_ms: u64) {
    match fact {
        Fact::Enumerated(seen) => seen.took_ms = took_ms,
        Fact::LastUsed(seen) => seen.took_ms = took_ms,
        Fact::Refusals { took_ms: took, .. } => *took = took_ms,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{
        BystanderId, BystanderSeen, FoundBy, HostId, InstanceIdentity, LastUse, ObservedInstance, Visibility,
    };

    use super::*;

    fn list(old: ListedState) -> Fact {
        Fact::Listed { complete: true, labelled: Vec::new(), old }
    }

    #[test]
    fn what_an_answer_shows_is_as_old_as_it_took() {
        let counted = |fact| LookFilter::default().counted(fact, 7);
        let refusals = |took_ms| Fact::Refusals { count: 2, took_ms };
        assert_eq!(counted(refusals(0)), Some(refusals(7)));
        let used = |took_ms| Fact::LastUsed(LastUse { used: Some(1), took_ms });
        assert_eq!(counted(used(0)), Some(used(7)));
    }

    #[test]
    fn a_missing_key_is_believed_of_the_second_list_in_a_row() {
        let mut filter = LookFilter::default();
        for _ in 0..2 {
            assert_eq!(filter.counted(list(ListedState::Gone), 1), None);
            assert_eq!(filter.counted(list(ListedState::Gone), 1), Some(list(ListedState::Gone)));
        }
        assert_eq!(filter.counted(list(ListedState::Gone), 1), None);
        assert_eq!(filter.counted(list(ListedState::On), 1), Some(list(ListedState::On)));
        assert_eq!(filter.counted(list(ListedState::Gone), 1), None, "the one in between showed it");
    }

    #[test]
    fn a_look_is_made_again_for_a_new_holder_and_not_for_a_declared_bystander() {
        let life = InstanceIdentity::Process { boot: 1, pid: 7, start_ticks: 2, program: 3 };
        let who = Incarnation { host: HostId(0), life };
        let (old, new, by) = (Visibility::Yes, Visibility::No, FoundBy::Memory);
        let look = |bystanders| Enumeration {
            complete: true,
            absent: Vec::new(),
            took_ms: 0,
            instances: vec![ObservedInstance { who, consumer: None, slot: 0, old, new, by }],
            files: Vec::new(),
            sessions: None,
            strangers: Vec::new(),
            unsearched: Vec::new(),
            bystanders,
        };
        let mut filter = LookFilter::default();
        assert!(!filter.meets_holder(&look(vec![BystanderSeen { who, id: BystanderId(1) }])));
        assert!(filter.meets_holder(&look(Vec::new())), "without its declaration it is an undeclared holder");
        assert!(!filter.meets_holder(&look(Vec::new())));
    }
}
