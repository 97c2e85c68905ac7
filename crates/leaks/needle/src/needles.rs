use std::collections::BTreeMap;

use crate::index::arena::Arena;
use crate::index::tier::{self, Tier};
use crate::{Hit, NeedleId};

/// The shortest value, bytes: shorter ones occur everywhere by chance.
pub const VALUE_BYTES_MIN: usize = 8;
/// The longest value, bytes: no credential is longer, and all its encodings are in memory. 64 KiB.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Values to search for, in every encoding; their memory is wiped on drop.
pub struct Needles {
    arena: Arena,
    tiers: Vec<Tier>,
    longest: usize,
    /// Whether a form has spaces or line ends.
    blanks: bool,
    /// Only the forms with spaces.
    spaced: Vec<Tier>,
    names: BTreeMap<NeedleId, String>,
}

impl Needles {
    pub(crate) fn new(arena: Arena, names: BTreeMap<NeedleId, String>) -> Self {
        let tiers = tier::split(&arena, |_| true);
        let spaced = tier::split(&arena, |form| form.iter().any(|byte| matches!(byte, b' ' | b'\t')));
        let longest = arena.forms().iter().map(|form| form.len()).max().unwrap_or(0);
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let blanks = arena.forms().iter().any(|form| arena.bytes(*form).iter().any(blank));
        Self { arena, tiers, longest, blanks, spaced, names }
    }

    /// Calls `on_hit` once for every occurrence of every encoding of every value, overlapping ones included.
    ///
    /// The order is not that of the haystack. No allocation, no copy of the haystack.
    pub fn find(&self, haystack: &[u8], on_hit: &mut impl FnMut(Hit)) {
        for tier in &self.tiers {
            tier.find(&self.arena, haystack, on_hit);
        }
    }

    /// Whether nothing is found. It scans everything, so it costs one [`find`](Self::find).
    pub fn is_clean(&self, haystack: &[u8]) -> bool {
        let mut clean = true;
        self.find(haystack, &mut |_| clean = false);
        clean
    }

    /// The length of the longest encoding, bytes: chunks that a caller cuts must overlap by one byte less, as in
    /// [`ChunkedSearch`](crate::ChunkedSearch). 0 without needles.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The number of byte strings in the index: values times encodings.
    pub fn forms(&self) -> usize {
        self.arena.forms().len()
    }

    /// The name of an id.
    pub fn name(&self, id: NeedleId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(crate) fn has_blanks(&self) -> bool {
        self.blanks
    }

    /// Whether a form has a space or tab.
    pub(crate) fn has_spaces(&self) -> bool {
        !self.spaced.is_empty()
    }

    /// [`find`](Self::find) for only those forms.
    pub(crate) fn find_with_spaces(&self, haystack: &[u8], on_hit: &mut impl FnMut(Hit)) {
        for tier in &self.spaced {
            tier.find(&self.arena, haystack, on_hit);
        }
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;
    use proptest::prelude::*;

    use super::*;
    use crate::encoding::variants;

    /// Values that every encoding changes, and a haystack of their forms, whole and cut.
    fn values_and_haystack() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
        let letter = prop::sample::select(b"a\"/ <\\\n\x00\xc3".to_vec());
        let value = prop_oneof![
            prop::collection::vec(letter, 8..24),
            "[aé&%]{8,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 8..20),
        ];
        prop::collection::vec(value, 1..4).prop_flat_map(|values| {
            let forms: Vec<Vec<u8>> =
                values.iter().flat_map(|value| variants::of(value)).map(|(_, form)| form.to_vec()).collect();
            let part =
                (prop::sample::select(forms), 0..40usize, any::<bool>()).prop_map(|(form, cut, whole)| {
                    let length = if whole { form.len() } else { cut.min(form.len()) };
                    form[..length].to_vec()
                });
            (Just(values), prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat()))
        })
    }

    proptest! {
        #[test]
        fn every_form_of_every_value_is_found_once((values, haystack) in values_and_haystack()) {
            let mut builder = Needles::builder();
            let mut expected = Vec::new();
            for (id, value) in (0..).map(NeedleId).zip(&values) {
                builder = builder.add(id, &SecretBytes::new(value.clone()));
                for (encoding, form) in variants::of(value) {
                    let places = haystack.windows(form.len()).enumerate().filter(|(_, window)| *window == form.as_slice());
                    expected.extend(places.map(|(start, _)| Hit { id, encoding, start, end: start + form.len() }));
                }
            }
            let needles = builder.build().unwrap();
            let mut found = Vec::new();
            needles.find(&haystack, &mut |hit| found.push(hit));
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
