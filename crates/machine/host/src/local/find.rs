//! The values that are searched for, and the names of what is found.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_needle::{NeedleId, Needles};
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::{ConsumerId, Incarnation, Life};
use keyroll_secret::SecretBytes;

use super::identity::LOCAL;
use crate::Digest;

/// The old value's number among the needles.
pub(super) const OLD: u32 = 0;
/// The new value's number.
pub(super) const NEW: u32 = 1;

/// The secret fields in which both versions differ: only these distinguish one version from the other.
pub(super) fn needles(values: Values<'_>) -> Result<Needles, Failure> {
    let mut builder = Needles::builder();
    for (name, old) in values.old.secrets() {
        let new = values.new.and_then(|new| new.get(name)).map(|field| &field.value);
        if new == Some(old) {
            continue;
        }
        builder = builder.add(NeedleId(OLD), old);
        if let Some(new) = new {
            builder = builder.add(NeedleId(NEW), new);
        }
    }
    builder.build().map_err(|error| {
        Failure::new(Class::Permanent, Code::ValueRefused, "search for a value").because(error.to_string())
    })
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
