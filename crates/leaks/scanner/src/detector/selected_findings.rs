use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use keyroll_secret::FingerprintKey;

use crate::Identity;

/// Findings that a user has named by their identities under another key, or by the first digits of these.
pub(crate) struct SelectedFindings {
    key: FingerprintKey,
    begins: Vec<String>,
    /// The identities of this scan, by those under the other key.
    found: Mutex<BTreeMap<Identity, Identity>>,
}

impl SelectedFindings {
    pub(crate) fn of(key: FingerprintKey, begins: Vec<String>) -> Self {
        Self { key, begins, found: Mutex::default() }
    }

    pub(crate) fn sought(&self) -> (&FingerprintKey, &[String]) {
        (&self.key, &self.begins)
    }

    /// `make` computes the identity of the finding `here` under a key.
    pub(crate) fn look(&self, here: &Identity, make: impl Fn(&FingerprintKey) -> Identity) {
        let there = make(&self.key);
        if self.begins.iter().any(|begin| there.as_str().starts_with(begin)) {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(there, here.clone());
        }
    }

    pub(crate) fn take(&self) -> BTreeMap<Identity, Identity> {
        std::mem::take(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_picked_by_how_its_identity_begins() {
        let identity = |digits: &str| Identity::read(&digits.repeat(16)).unwrap();
        let (here, there) = (identity("0a"), identity("bc"));
        for (begin, is_picked) in [("bcb", true), ("cb", false), ("0a", false)] {
            let picked = SelectedFindings::of(FingerprintKey::new(&[1; 32]), vec![begin.to_owned()]);
            picked.look(&here, |_| there.clone());
            assert_eq!(picked.take().get(&there) == Some(&here), is_picked, "{begin}");
        }
    }
}
