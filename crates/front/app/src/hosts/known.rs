use std::collections::{BTreeMap, BTreeSet};

use keyroll_inventory::{DraftShown, KnownSecrets};
use keyroll_link::{ManagedHere, VersionHere, digits_of};
use keyroll_secret::{Fingerprint, FingerprintKey, SecretBytes};

use super::seen::DraftReport;
use crate::installation::Installation;
use crate::inventory::{self, label_key, stored};
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::records::versions::label;
use crate::stored_values::StoredValues;

/// What the key of the hosts' fingerprints is derived with. Hosts never get the key that it is derived from.
const PURPOSE: &str = "keyroll labels of hosts v1";

/// How many digits a host gets of the label that a value has here.
const DIGITS: usize = 12;

/// What is known here of values, by the fingerprints that hosts give.
pub(super) struct Known {
    /// The key of the fingerprints on all hosts. It stays the same from command to command.
    pub(super) key: FingerprintKey,
    /// The same, as it is sent.
    pub(super) key_hex: String,
    /// The digits of the labels that values have here.
    digits: BTreeMap<Fingerprint, String>,
    versions: BTreeMap<Fingerprint, Vec<Owner>>,
    /// There is a store that could not be opened.
    closed: bool,
}

/// A version of a stored secret.
#[derive(Debug, Clone)]
struct Owner {
    secret: String,
    number: u32,
    state: &'static str,
}

impl Known {
    fn new(key: &FingerprintKey) -> Self {
        let derived = key.fingerprint(&SecretBytes::from(PURPOSE.to_owned()));
        Self {
            key: FingerprintKey::new(derived.as_bytes()),
            key_hex: digits_of(derived.as_bytes()),
            digits: BTreeMap::new(),
            versions: BTreeMap::new(),
            closed: false,
        }
    }

    /// The digits with which this value is shown here.
    pub(super) fn shown_here(&mut self, print: Fingerprint, here: &Fingerprint) {
        self.digits.insert(print, digits_of(here.as_bytes()).chars().take(DIGITS).collect());
    }

    /// The digits with which a value is shown on each host.
    pub(super) fn digits(&self, print: &Fingerprint) -> String {
        self.digits.get(print).cloned().unwrap_or_else(|| digits_of(print.as_bytes()))
    }

    /// Whether a value of the store could be on a host, and not be found there.
    pub(super) fn has_stored(&self) -> bool {
        !self.versions.is_empty()
    }

    /// Whether this is a stored value. Not all of them are among the redacted ones: short ones, and those beyond a number,
    /// are not.
    pub(super) fn is_stored(&self, word: &str) -> bool {
        self.versions.contains_key(&self.key.fingerprint(&SecretBytes::from(word.to_owned())))
    }

    /// What a machine would add, with what is known here of it. A secret there is a configured one only if a value that it
    /// has is a version of that one: what else a host says of it would bring the next version there.
    pub(super) fn drafted(
        &self,
        mut drafts: Vec<DraftShown>,
        left_out: Vec<String>,
        values: &BTreeMap<u32, Fingerprint>,
    ) -> DraftReport {
        let owners = |id: &u32| values.get(id).and_then(|print| self.versions.get(print));
        for draft in &mut drafts {
            let is_of = |owner: &Owner| owner.secret == draft.secret;
            let shown = draft.values.iter().filter_map(owners).flatten().any(is_of);
            draft.managed &= shown;
        }
        DraftReport { drafts, left_out, stored: self.stored() }
    }

    /// The secrets that have a stored value; `None` if the store could not be opened.
    pub(super) fn stored(&self) -> Option<BTreeSet<String>> {
        let owners = self.versions.values().flatten();
        (!self.closed).then(|| owners.map(|owner| owner.secret.clone()).collect())
    }

    /// What a host is told: the names and versions of the values that it has, and the digits of their labels. Nothing of a
    /// value that it does not have.
    pub(super) fn of_host(
        &self,
        values: &BTreeMap<u32, Fingerprint>,
    ) -> (Vec<ManagedHere>, Vec<(u32, String)>) {
        let mut secrets: BTreeMap<&str, BTreeMap<u32, VersionHere>> = BTreeMap::new();
        for (id, print) in values {
            for Owner { secret, number, state } in self.versions.get(print).into_iter().flatten() {
                let version = secrets.entry(secret).or_default().entry(*number).or_insert_with(|| {
                    VersionHere { number: *number, state: (*state).to_owned(), values: Vec::new() }
                });
                version.values.push(*id);
            }
        }
        let managed = |(name, versions): (&str, BTreeMap<u32, VersionHere>)| ManagedHere {
            name: name.to_owned(),
            versions: versions.into_values().collect(),
        };
        let digits = values.iter().filter_map(|(id, print)| Some((*id, self.digits.get(print)?.clone())));
        (secrets.into_iter().map(managed).collect(), digits.collect())
    }
}

/// What the store has, for the hosts and for this machine. Without a store that can be opened, only labels are kept the
/// same.
///
/// # Errors
/// There is no key for labels.
pub(super) fn known(
    on_hosts: bool,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(Known, KnownSecrets), Problem> {
    let Some(StoredValues { key, secrets, .. }) = stored(installation, operator) else {
        let (key, _) = label_key()?;
        let closed = installation.places().is_ok_and(|places| places.sealed().exists());
        let known = Known { closed, ..Known::new(&key) };
        return Ok((known, KnownSecrets { key, managed: Vec::new(), values: Vec::new() }));
    };
    let mut known = Known::new(&key);
    let mut forgotten = false;
    for (secret, version) in secrets.iter().flat_map(|one| one.versions.iter().map(move |it| (one, it))) {
        forgotten |= version.values.is_empty();
        for value in &version.values {
            let print = known.key.fingerprint(value);
            known.shown_here(print, &key.fingerprint(value));
            let (number, state) = (version.number, label(version.label));
            let owner = Owner { secret: secret.name.clone(), number, state };
            known.versions.entry(print).or_default().push(owner);
        }
    }
    if forgotten && on_hosts {
        operator.event(Event::NotVisible {
            what: "retired versions of configured secrets on hosts".to_owned(),
            why: "the store does not keep their values (keep_retired)".to_owned(),
        });
    }
    Ok((known, inventory::known(key, secrets)))
}

#[cfg(test)]
impl Known {
    /// A store with these values, each with its secret and version.
    pub(super) fn with(values: &[(&str, &str, u32)]) -> Self {
        let store = FingerprintKey::new(&[7; 32]);
        let mut known = Self::new(&store);
        for (text, secret, number) in values {
            let value = SecretBytes::from((*text).to_owned());
            let print = known.key.fingerprint(&value);
            known.shown_here(print, &store.fingerprint(&value));
            let owner = Owner { secret: (*secret).to_owned(), number: *number, state: "current" };
            known.versions.entry(print).or_default().push(owner);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretBytes {
        SecretBytes::from(text.to_owned())
    }

    #[test]
    fn a_host_is_told_of_the_values_that_it_has_and_of_no_other() {
        let known = Known::with(&[
            ("first-value-of-a", "a", 1),
            ("second-value-of-a", "a", 2),
            ("value-of-b", "b", 1),
        ]);
        let there = |text: &str| known.key.fingerprint(&value(text));
        let values =
            BTreeMap::from([(4, there("second-value-of-a")), (5, there("a-value-that-is-not-stored"))]);
        let (managed, digits) = known.of_host(&values);
        let version = VersionHere { number: 2, state: "current".to_owned(), values: vec![4] };
        assert_eq!(managed, [ManagedHere { name: "a".to_owned(), versions: vec![version] }]);
        let here =
            digits_of(FingerprintKey::new(&[7; 32]).fingerprint(&value("second-value-of-a")).as_bytes());
        assert_eq!(digits, [(4, here[..12].to_owned())]);
        assert_eq!(known.digits(&there("a-value-that-is-not-stored")).len(), 64);
    }

    #[test]
    fn hosts_get_a_key_of_their_own_that_stays_the_same() {
        let store = FingerprintKey::new(&[7; 32]);
        let (one, again) = (Known::new(&store), Known::new(&store));
        assert_eq!(one.key_hex, again.key_hex);
        assert_ne!(one.key.fingerprint(&value("a-value")), store.fingerprint(&value("a-value")));
        assert_ne!(one.key_hex, Known::new(&FingerprintKey::new(&[8; 32])).key_hex);
    }
}
