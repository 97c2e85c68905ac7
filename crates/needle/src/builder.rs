use std::collections::BTreeMap;

use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::arena::Arena;
use crate::{Encoding, NeedleId, Needles, variants};

/// Shorter values are refused: they occur everywhere by chance.
pub const VALUE_BYTES_MIN: usize = 8;
/// Longer values are refused: no credential is so long, and all its encodings are kept in memory. 64 KiB.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Why a set of needles could not be built; never shows a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A value has fewer than [`VALUE_BYTES_MIN`] bytes.
    #[error("value {} has {length} bytes; fewer than {VALUE_BYTES_MIN} occur everywhere by chance", id.0)]
    TooShort {
        /// The value.
        id: NeedleId,
        /// Its length in bytes.
        length: usize,
    },
    /// A value has more than [`VALUE_BYTES_MAX`] bytes.
    #[error("value {} has {length} bytes; at most {VALUE_BYTES_MAX} are looked for", id.0)]
    TooLong {
        /// The value.
        id: NeedleId,
        /// Its length in bytes.
        length: usize,
    },
    /// All encodings of all values together exceed 4 GiB.
    #[error("the values are too many: all their encodings together exceed 4 GiB")]
    TooMany,
}

/// Collects the values of a [`Needles`].
#[derive(Default)]
pub struct NeedlesBuilder {
    /// The last says whether the plain bytes alone are looked for.
    values: Vec<(NeedleId, SecretBytes, bool)>,
    names: BTreeMap<NeedleId, String>,
    raw_only: bool,
}

impl NeedlesBuilder {
    /// Adds a value; several may have one id. The same value twice under one id is reported twice.
    pub fn add(mut self, id: NeedleId, value: &SecretBytes) -> Self {
        self.values.push((id, value.duplicate(), false));
        self
    }

    /// The same, looked for in its plain bytes alone.
    pub fn add_raw(mut self, id: NeedleId, value: &SecretBytes) -> Self {
        self.values.push((id, value.duplicate(), true));
        self
    }

    /// The name that a redaction shows for this id; without one it shows the number.
    pub fn name(mut self, id: NeedleId, name: impl Into<String>) -> Self {
        self.names.insert(id, name.into());
        self
    }

    /// Looks for the plain bytes of all of them alone, in no other encoding.
    pub fn raw_only(mut self) -> Self {
        self.raw_only = true;
        self
    }

    /// Prepares the search. Errors: a value too short or too long, or too many of them.
    pub fn build(self) -> Result<Needles, BuildError> {
        let mut all = Vec::new();
        for (id, value, raw) in &self.values {
            let (id, length) = (*id, value.len());
            if length < VALUE_BYTES_MIN {
                return Err(BuildError::TooShort { id, length });
            }
            if length > VALUE_BYTES_MAX {
                return Err(BuildError::TooLong { id, length });
            }
            if self.raw_only || *raw {
                all.push((id, Encoding::Raw, Zeroizing::new(value.expose().to_vec())));
            } else {
                all.extend(
                    variants::of(value.expose()).into_iter().map(|(encoding, bytes)| (id, encoding, bytes)),
                );
            }
        }
        let arena = Arena::new(all).ok_or(BuildError::TooMany)?;
        Ok(Needles::new(arena, self.names))
    }
}
