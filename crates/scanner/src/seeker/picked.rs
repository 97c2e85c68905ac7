use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use keyroll_secret::FingerprintKey;

use crate::Identity;

/// The findings that somebody has named by identities that another key gave them; or by the first digits of these.
pub(crate) struct Picked {
    key: FingerprintKey,
    begins: Vec<String>,
    /// By what they are called under that key: what they are called here.
    found: Mutex<BTreeMap<Identity, Identity>>,
}

impl Picked {
    pub(crate) fn of(key: FingerprintKey, begins: Vec<String>) -> Self {
        Self { key, begins, found: Mutex::default() }
    }

    /// `make` gives what is called `here` its identity under a key.
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
            let picked = Picked::of(FingerprintKey::new(&[1; 32]), vec![begin.to_owned()]);
            picked.look(&here, |_| there.clone());
            assert_eq!(picked.take().get(&there) == Some(&here), is_picked, "{begin}");
        }
    }
}
