//! Which id a credential got when the answer to its mint was lost, at an issuer that shows ids but no labels.
//!
//! A list may be late, and other people make keys too: a new id in the list may be a colleague's, and a rollback would
//! delete it. An id is ours only if no earlier list has it, and if it is the only new id in two complete lists in a
//! row, read after the time in which a new id appears.

use std::collections::BTreeSet;

use crate::{Capabilities, CredId, KeyList, Seq};

impl Capabilities {
    /// Whether only a comparison of lists can find the new id after a lost answer.
    pub fn compares_lists(&self) -> bool {
        !self.exchanges() && self.list && !self.label
    }
}

/// The ids that were at the issuer before the mint.
pub struct ListedBefore<'a> {
    /// The id of the version that is being replaced.
    pub old: Option<&'a CredId>,
    /// Every id that was listed before the value was chosen.
    pub listed: &'a BTreeSet<String>,
}

/// The comparison for one mint; it begins when the issuer is first seen to accept the mint's value.
pub struct ListDiff {
    mint: Seq,
    /// From this monotonic millisecond on, a list that shows one new id shows every new id.
    shows_from_ms: u64,
    /// The one new id of the last list.
    last: Option<CredId>,
}

impl ListDiff {
    /// Begins a comparison, when the issuer is first seen to accept the value of this mint.
    pub fn new(mint: Seq, now_ms: u64, capabilities: &Capabilities) -> Self {
        Self { mint, shows_from_ms: now_ms.saturating_add(capabilities.birth_ms_max), last: None }
    }

    /// Whether this is the comparison for that mint.
    pub fn is_of(&self, mint: Seq) -> bool {
        self.mint == mint
    }

    /// Compares a list that was requested at `now_ms`. Returns the new id once two lists in a row agree on it.
    pub fn compare(&mut self, before: &ListedBefore<'_>, list: &KeyList, now_ms: u64) -> Option<CredId> {
        let is_new = |id: &&CredId| before.old != Some(id) && !before.listed.contains(id.as_str());
        let mut new = list.keys.iter().map(|key| &key.credential).filter(is_new);
        let counts = now_ms >= self.shows_from_ms && list.complete && before.old.is_some();
        let only = new.next().filter(|_| counts && new.next().is_none()).cloned();
        let agreed = only.clone().filter(|id| self.last.as_ref() == Some(id));
        self.last = only;
        agreed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LastUsed, ListedKey, MintedBy, Overlap, Refusals};

    fn capabilities() -> Capabilities {
        Capabilities {
            minted_by: MintedBy::Us,
            overlap: Overlap::Independent { max: 0 },
            disable: false,
            label: false,
            mint_replaces: false,
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

    fn list(ids: &[&str], complete: bool) -> KeyList {
        let key = |id: &&str| ListedKey { credential: CredId::new(id), intent: None, disabled: false };
        KeyList { keys: ids.iter().map(key).collect(), complete }
    }

    #[test]
    fn an_id_counts_that_two_complete_lists_in_a_row_show_alone_once_every_new_one_shows() {
        let (old, listed) = (CredId::new("old"), BTreeSet::from(["colleague".to_owned()]));
        let before = ListedBefore { old: Some(&old), listed: &listed };
        let mut diff = ListDiff::new(1, 0, &capabilities());
        let mut compare =
            |ids: &[&str], complete, now_ms| diff.compare(&before, &list(ids, complete), now_ms);
        assert_eq!(compare(&["old", "new"], true, 99), None, "too early");
        assert_eq!(compare(&["old", "new"], true, 100), None, "one list");
        assert_eq!(compare(&["old", "new", "another"], true, 200), None, "two new ids");
        assert_eq!(compare(&["old", "new"], true, 300), None, "the list before showed two");
        assert_eq!(compare(&["old", "new"], false, 400), None, "an incomplete list");
        assert_eq!(compare(&["old", "new"], true, 500), None);
        assert_eq!(compare(&["new", "colleague"], true, 600), Some(CredId::new("new")));
        let unbound = ListedBefore { old: None, listed: &listed };
        assert_eq!(
            diff.compare(&unbound, &list(&["new"], true), 700),
            None,
            "which one is the old is unknown"
        );
    }
}
