//! The values that are searched for, and the names of what is found.

use std::path::Path;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_needle::{NeedleId, Needles};
use keyroll_observe::Search;
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::Which;
use keyroll_secret::SecretBytes;

use super::Local;
use crate::Digest;

/// The old value's number among the needles.
pub(super) const OLD: u32 = 0;
/// The new value's number.
pub(super) const NEW: u32 = 1;

/// A version's number among the needles.
pub(super) fn needle(which: Which) -> u32 {
    match which {
        Which::Old => OLD,
        Which::New => NEW,
    }
}

/// What a look searches for.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    /// The search, with [`OLD`] and [`NEW`] as its ids.
    pub(super) by: &'a dyn Search,
    /// What files and the answers of consumers are compared with; without fields where there are neither.
    pub(super) values: Values<'a>,
}

/// The secret fields in which both versions differ: only these distinguish one version from the other.
pub(super) fn differing(values: Values<'_>) -> impl Iterator<Item = (&SecretBytes, Option<&SecretBytes>)> {
    values.old.secrets().filter_map(move |(name, old)| {
        let new = values.new.and_then(|new| new.get(name)).map(|field| &field.value);
        (new != Some(old)).then_some((old, new))
    })
}

/// The search for these values, with [`OLD`] and [`NEW`] as their numbers.
pub(super) fn build_needles(values: Values<'_>) -> Result<Needles, Failure> {
    let mut builder = Needles::builder();
    for (old, new) in differing(values) {
        builder = builder.add(NeedleId(OLD), old);
        if let Some(new) = new {
            builder = builder.add(NeedleId(NEW), new);
        }
    }
    builder.build().map_err(|error| {
        Failure::new(Class::Permanent, Code::ValueRefused, "search for a value").because(error.to_string())
    })
}

impl Local {
    /// The search for these values. It is kept for the next call with the same values: an index takes longer to build
    /// than many a search.
    pub(super) fn needles(&self, values: Values<'_>) -> Result<Arc<Needles>, Failure> {
        let of = digest(values);
        if let Some((known, needles)) = &self.memo().needles
            && *known == of
        {
            return Ok(Arc::clone(needles));
        }
        let needles = Arc::new(build_needles(values)?);
        self.memo().needles = Some((of, Arc::clone(&needles)));
        Ok(needles)
    }
}

/// A digest of the values that distinguish the versions, each with its length.
fn digest(values: Values<'_>) -> Digest {
    let parts = || differing(values).flat_map(|(old, new)| [Some(old), new]);
    // Of no value it is larger than any length.
    let length = |part: Option<&SecretBytes>| part.map_or(u64::MAX, |value| value.len() as u64);
    // Reserved in full, since a vector that grows leaves a copy behind in freed memory.
    let bytes = |part: Option<&SecretBytes>| part.map_or(0, SecretBytes::len) + size_of::<u64>();
    let mut all = Vec::with_capacity(parts().map(bytes).sum());
    for part in parts() {
        all.extend(length(part).to_be_bytes());
        all.extend_from_slice(part.map(SecretBytes::expose).unwrap_or_default());
    }
    Digest::of(&SecretBytes::new(all))
}

/// A digest of a place, the same in every run: the first 8 bytes of its path's SHA-256.
pub fn place_digest(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes().to_vec();
    let digest = Digest::of(&SecretBytes::new(bytes));
    let first = digest.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use keyroll_secret::Fields;

    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in all {
            fields.insert(*name, SecretBytes::from((*value).to_owned()), true);
        }
        fields
    }

    #[test]
    fn only_the_same_values_in_the_same_roles_have_the_same_digest() {
        let (one, two) = (fields(&[("value", "one-value")]), fields(&[("value", "two-value")]));
        let pair = fields(&[("first", "one"), ("second", "-value")]);
        let other = fields(&[("first", "one-"), ("second", "value")]);
        let empty = fields(&[("value", "")]);
        let all = [
            (&one, Some(&two)),
            (&two, Some(&one)),
            (&one, None),
            (&one, Some(&empty)),
            (&pair, None),
            (&other, None),
            (&pair, Some(&other)),
        ];
        let of = |(old, new)| digest(Values { old, new, old_ended: false });
        for (at, pair) in all.into_iter().enumerate() {
            assert!(of(pair) == of(pair));
            assert!(all.into_iter().take(at).all(|before| of(before) != of(pair)), "{at}");
        }
    }
}
