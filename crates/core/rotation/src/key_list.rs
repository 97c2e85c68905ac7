//! What a list of the issuer shows: the state of the old key, the labels, and the credential of a mint whose answer was
//! lost. This module decides; another one reads the list.

use crate::{CredId, Labelled, ListedState, NewVersion, Reconciled, Seq, State};

/// One credential as the issuer lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The issuer's id.
    pub credential: CredId,
    /// The intent that its label names; `None` if the label is not one of ours.
    pub intent: Option<Seq>,
    /// It is disabled.
    pub disabled: bool,
}

/// The credentials that the issuer lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// The credentials, each with what the list shows of it.
    pub keys: Vec<ListedKey>,
    /// Nothing is missing. An incomplete list proves no absence.
    pub complete: bool,
}

impl KeyList {
    /// The state of the old key. An entry that both versions share does not show it.
    pub fn standing(&self, old: Option<&CredId>, new: Option<&NewVersion>) -> ListedState {
        let Some(old) = old.filter(|old| new.is_none_or(|new| new.credential != **old)) else {
            return ListedState::NotVisible;
        };
        match self.keys.iter().find(|key| key.credential == *old) {
            Some(key) if key.disabled => ListedState::Off,
            Some(_) => ListedState::On,
            None if self.complete => ListedState::Gone,
            None => ListedState::NotVisible,
        }
    }

    /// The credentials that have a label of ours. The old key may have the label of an earlier rotation: it is a
    /// version of this secret, not an orphan.
    pub fn labelled(&self, old: Option<&CredId>) -> Vec<Labelled> {
        let others = self.keys.iter().filter(|key| Some(&key.credential) != old);
        let labelled = others.filter_map(|key| {
            key.intent.map(|intent| Labelled { intent, credential: key.credential.clone() })
        });
        labelled.collect()
    }

    /// What the mint with this label made, as far as the list alone shows: a credential whose value is lost, or
    /// nothing.
    pub fn find_mint(&self, mint: Seq) -> Reconciled {
        match self.keys.iter().find(|key| key.intent == Some(mint)) {
            Some(key) => Reconciled::ValueLost(key.credential.clone()),
            None if self.complete => Reconciled::Absent,
            None => Reconciled::Unclear,
        }
    }
}

impl Labelled {
    /// Whether a request that arrived twice made this credential and the new version under one label. Only the operator
    /// can see which of the two is the version.
    pub fn is_twin_of(&self, new: &NewVersion) -> bool {
        self.intent == new.mint && self.credential != new.credential
    }

    /// Whether this credential of a mint that seemed lost may be what consumers use: it was made with the value that we chose
    /// for the new version too, and the list, of which these have a label of ours, does not show the new version's own.
    pub fn stands_for_new(&self, labelled: &[Self], state: &State) -> bool {
        let Some(new) = state.new_version() else { return false };
        let chosen = state.chosen_for(new.mint);
        let made_with_it = self.intent != new.mint && state.closed_mints().contains(&self.intent);
        let has_its_value = made_with_it && chosen.is_some() && state.chosen_for(self.intent) == chosen;
        has_its_value && labelled.iter().all(|listed| listed.credential != new.credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CredId {
        CredId::new(text)
    }

    fn key(text: &str, intent: Option<Seq>) -> ListedKey {
        ListedKey { credential: id(text), intent, disabled: false }
    }

    fn list(keys: &[ListedKey], complete: bool) -> KeyList {
        KeyList { keys: keys.to_vec(), complete }
    }

    #[test]
    fn an_old_key_is_gone_only_from_a_complete_list_and_unless_it_shares_its_entry() {
        let (old, new) = (id("old"), NewVersion { mint: 4, credential: id("new") });
        let off = ListedKey { disabled: true, ..key("old", None) };
        let stands = |keys: &[ListedKey], complete| list(keys, complete).standing(Some(&old), Some(&new));
        assert_eq!(stands(&[key("old", None)], false), ListedState::On);
        assert_eq!(stands(&[off], true), ListedState::Off);
        assert_eq!(stands(&[key("new", None)], true), ListedState::Gone);
        assert_eq!(stands(&[key("new", None)], false), ListedState::NotVisible);
        let shared = NewVersion { mint: 4, credential: id("old") };
        let full = list(&[key("old", None)], true);
        assert_eq!(full.standing(Some(&old), Some(&shared)), ListedState::NotVisible);
        assert_eq!(full.standing(None, None), ListedState::NotVisible, "its id is not known");
        assert_eq!(full.standing(Some(&old), None), ListedState::On);
    }

    #[test]
    fn a_label_of_the_old_key_is_not_an_orphan_and_a_second_one_is_a_twin() {
        let new = NewVersion { mint: 4, credential: id("new") };
        let keys = [key("old", Some(9)), key("new", Some(4)), key("again", Some(4)), key("other", None)];
        let labelled = list(&keys, true).labelled(Some(&id("old")));
        let found: Vec<_> = labelled.iter().map(|it| (it.credential.as_str(), it.is_twin_of(&new))).collect();
        assert_eq!(found, [("new", false), ("again", true)]);
        assert_eq!(list(&keys, true).labelled(None).len(), 3);
    }

    #[test]
    fn a_lost_mint_is_absent_only_from_a_complete_list() {
        let keys = [key("old", None), key("new", Some(4))];
        assert_eq!(list(&keys, false).find_mint(4), Reconciled::ValueLost(id("new")));
        assert_eq!(list(&keys, true).find_mint(5), Reconciled::Absent);
        assert_eq!(list(&keys, false).find_mint(5), Reconciled::Unclear);
    }
}
