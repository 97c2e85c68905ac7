//! The values that are searched for, and the names of what is found.

use std::path::Path;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_needle::{NeedleId, Needles};
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::{ConsumerId, Incarnation, Life};
use keyroll_secret::SecretBytes;

use super::Local;
use super::identity::LOCAL;
use crate::Digest;

/// The old value's number among the needles.
pub(super) const OLD: u32 = 0;
/// The new value's number.
pub(super) const NEW: u32 = 1;

/// The secret fields in which both versions differ: only these distinguish one version from the other.
fn differing(values: Values<'_>) -> impl Iterator<Item = (&SecretBytes, Option<&SecretBytes>)> {
    values.old.secrets().filter_map(move |(name, old)| {
        let new = values.new.and_then(|new| new.get(name)).map(|field| &field.value);
        (new != Some(old)).then_some((old, new))
    })
}

/// The search for these values, with [`OLD`] and [`NEW`] as their numbers.
pub(super) fn needles(values: Values<'_>) -> Result<Needles, Failure> {
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
        let needles = Arc::new(needles(values)?);
        self.memo().needles = Some((of, Arc::clone(&needles)));
        Ok(needles)
    }
}

/// A digest of the values that distinguish the versions, each with its length.
fn digest(values: Values<'_>) -> Digest {
    let parts = || differing(values).flat_map(|(old, new)| [Some(old), new]);
    let length = |part: Option<&SecretBytes>| part.map_or(0, SecretBytes::len);
    // Reserved in full, since a vector that grows leaves a copy behind in freed memory.
    let mut all = Vec::with_capacity(parts().map(|part| length(part) + size_of::<u64>()).sum());
    for part in parts() {
        all.extend((length(part) as u64).to_be_bytes());
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

/// A consumer with nothing running.
pub(super) fn at_rest(id: ConsumerId) -> Incarnation {
    Incarnation { host: LOCAL, life: Life::AtRest(id) }
}
