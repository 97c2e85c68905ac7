//! Which id a credential got whose mint's answer was lost, at an issuer that shows ids but no labels.
//!
//! Lists may be late, and other people make keys too: an id that is listed beside the old one may be a colleague's, and
//! a rollback would delete it. Only an id that was not listed before, alone in two complete lists in a row after the time
//! that a new one may take to show, is ours.

use std::collections::BTreeSet;

use keyroll_port::Listing;
use keyroll_rotation::{Capabilities, Overlap, Seq};
use keyroll_secret::CredentialId;

/// Whether a lost answer leaves no way to find the new id but comparing lists.
pub(crate) fn compares(capabilities: &Capabilities) -> bool {
    let beside = matches!(capabilities.overlap, Overlap::Independent { .. } | Overlap::TwoSlots);
    beside && capabilities.list && !capabilities.label
}

/// The ids that were at the issuer before the mint.
pub(crate) struct Before<'a> {
    /// The id of the version that is being replaced.
    pub(crate) old: Option<&'a CredentialId>,
    /// Every id that was listed before the value was chosen.
    pub(crate) listed: &'a BTreeSet<String>,
}

/// The comparison for one mint, from the first time that its value was seen accepted.
pub(crate) struct ListDiff {
    mint: Seq,
    /// From this monotonic millisecond on, a list that shows one new id shows every new id.
    shows_from_ms: u64,
    /// The one new id of the last list.
    last: Option<CredentialId>,
}

impl ListDiff {
    /// Begins when the value of this mint was first seen accepted.
    pub(crate) fn new(mint: Seq, now_ms: u64, capabilities: &Capabilities) -> Self {
        Self { mint, shows_from_ms: now_ms.saturating_add(capabilities.birth_ms_max), last: None }
    }

    /// Whether this is the comparison for that mint.
    pub(crate) fn is_of(&self, mint: Seq) -> bool {
        self.mint == mint
    }

    /// Compares a list that was asked for at `now_ms`. Returns the new id once it agrees with the list before.
    pub(crate) fn compare(
        &mut self,
        before: &Before,
        listing: &Listing,
        now_ms: u64,
    ) -> Option<CredentialId> {
        let is_new = |id: &&CredentialId| before.old != Some(id) && !before.listed.contains(id.as_str());
        let mut new = listing.entries.iter().map(|entry| &entry.id).filter(is_new);
        let counts = now_ms >= self.shows_from_ms && listing.complete && before.old.is_some();
        let only = new.next().filter(|_| counts && new.next().is_none()).cloned();
        let agreed = only.clone().filter(|id| self.last.as_ref() == Some(id));
        self.last = only;
        agreed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use keyroll_port::Listed;
    use keyroll_rotation::{LastUsed, MintedBy, Refusals};

    use super::*;

    fn capabilities() -> Capabilities {
        Capabilities {
            minted_by: MintedBy::Us,
            overlap: Overlap::Independent { max: 0 },
            disable: false,
            label: false,
            list: true,
            last_used: LastUsed::NotVisible,
            refusals: Refusals::NotVisible,
            sessions: false,
            attributes: false,
            birth_ms_max: 100,
            death_ms_max: 0,
            request_ms_max: 0,
        }
    }

    fn list(ids: &[&str], complete: bool) -> Listing {
        let entry = |id: &&str| Listed {
            id: CredentialId::new(*id),
            label: None,
            disabled: false,
            last_used_unix_ms: None,
            hint: None,
        };
        Listing { entries: ids.iter().map(entry).collect(), complete }
    }

    #[test]
    fn an_id_counts_that_two_complete_lists_in_a_row_show_alone_once_every_new_one_shows() {
        let (old, listed) = (CredentialId::new("old"), BTreeSet::from(["colleague".to_owned()]));
        let before = Before { old: Some(&old), listed: &listed };
        let mut diff = ListDiff::new(1, 0, &capabilities());
        let mut compare =
            |ids: &[&str], complete, now_ms| diff.compare(&before, &list(ids, complete), now_ms);
        assert_eq!(compare(&["old", "new"], true, 99), None, "too early");
        assert_eq!(compare(&["old", "new"], true, 100), None, "one list");
        assert_eq!(compare(&["old", "new", "another"], true, 200), None, "two new ids");
        assert_eq!(compare(&["old", "new"], true, 300), None, "the list before showed two");
        assert_eq!(compare(&["old", "new"], false, 400), None, "an incomplete list");
        assert_eq!(compare(&["old", "new"], true, 500), None);
        assert_eq!(compare(&["new", "colleague"], true, 600), Some(CredentialId::new("new")));
        let unbound = Before { old: None, listed: &listed };
        assert_eq!(
            diff.compare(&unbound, &list(&["new"], true), 700),
            None,
            "which one is the old is unknown"
        );
    }
}
