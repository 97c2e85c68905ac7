use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use keyroll_secret::SecretBytes;

use crate::Identity;

/// The most values that are kept. This is more than one run asks about, so that open findings can be asked about first.
const VALUES_HELD_MAX: usize = 1_000;

/// The values of findings whose issuers will be asked; wiped on drop.
pub(crate) struct CapturedValues {
    /// The rules whose values are kept; none = all.
    rules: Option<BTreeSet<String>>,
    values: Mutex<BTreeMap<Identity, SecretBytes>>,
}

impl CapturedValues {
    pub(crate) fn of(rules: BTreeSet<String>) -> Self {
        Self { rules: Some(rules), values: Mutex::default() }
    }

    pub(crate) fn all() -> Self {
        Self { rules: None, values: Mutex::default() }
    }

    /// Keeps a value once, if its rule is one of those.
    pub(crate) fn hold(&self, rule: &str, identity: &Identity, value: &[u8]) {
        if self.rules.as_ref().is_some_and(|rules| !rules.contains(rule)) {
            return;
        }
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() < VALUES_HELD_MAX && !values.contains_key(identity) {
            values.insert(identity.clone(), SecretBytes::new(value.to_vec()));
        }
    }

    pub(crate) fn take(&self) -> BTreeMap<Identity, SecretBytes> {
        std::mem::take(&mut self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_those_rules_alone_are_held_up_to_a_bound() {
        let held = CapturedValues::of(BTreeSet::from(["a".to_owned()]));
        let identity = |number: usize| Identity::read(&format!("{number:032x}")).unwrap();
        held.hold("b", &identity(0), b"x");
        assert!(held.take().is_empty());
        (0..=VALUES_HELD_MAX).for_each(|number| held.hold("a", &identity(number), b"x"));
        assert_eq!(held.take().len(), VALUES_HELD_MAX);
    }
}
