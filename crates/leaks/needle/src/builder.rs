use std::collections::BTreeMap;

use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::encoding::variants;
use crate::index::arena::Arena;
use crate::{Encoding, NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};

/// Why a set of needles could not be built. Never contains a value.
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
    #[error("value {} has {length} bytes; the limit is {VALUE_BYTES_MAX}", id.0)]
    TooLong {
        /// The value.
        id: NeedleId,
        /// Its length in bytes.
        length: usize,
    },
    /// All encodings of all values together exceed 4 GiB.
    #[error("there are too many values: their encodings exceed 4 GiB together")]
    TooMany,
}

/// How a value is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SearchedAs {
    /// In every encoding.
    Anything,
    /// In plain form.
    Raw,
    /// In plain form as a whole word, and in every encoding.
    Word,
}

/// Collects the values of a [`Needles`].
#[derive(Default)]
pub struct NeedlesBuilder {
    values: Vec<(NeedleId, SecretBytes, SearchedAs)>,
    names: BTreeMap<NeedleId, String>,
    raw_only: bool,
}

impl Needles {
    /// Starts an empty set.
    pub fn builder() -> NeedlesBuilder {
        NeedlesBuilder::default()
    }
}

impl NeedlesBuilder {
    /// Adds a value; several may have one id. The same value twice under one id is reported twice.
    pub fn add(mut self, id: NeedleId, value: &SecretBytes) -> Self {
        self.values.push((id, value.duplicate(), SearchedAs::Anything));
        self
    }

    /// Adds a value that is searched for only in plain form.
    pub fn add_raw(mut self, id: NeedleId, value: &SecretBytes) -> Self {
        self.values.push((id, value.duplicate(), SearchedAs::Raw));
        self
    }

    /// Adds a value that ordinary text has within longer words. In plain form it is replaced only where it stands as a
    /// whole word, by [`find_all`](Needles::find_all) and what is built on it. [`find`](Needles::find) and
    /// [`ChunkedSearch`](crate::ChunkedSearch) see no text around it and report it everywhere.
    pub fn add_word(mut self, id: NeedleId, value: &SecretBytes) -> Self {
        self.values.push((id, value.duplicate(), SearchedAs::Word));
        self
    }

    /// Sets the name in the marker for this id; without one the marker has the number.
    pub fn name(mut self, id: NeedleId, name: impl Into<String>) -> Self {
        self.names.insert(id, name.into());
        self
    }

    /// Searches for all values only in plain form.
    pub fn raw_only(mut self) -> Self {
        self.raw_only = true;
        self
    }

    /// Builds the index. Errors: a value is too short or too long, or there are too many.
    pub fn build(self) -> Result<Needles, BuildError> {
        let mut all = Vec::new();
        for (id, value, searched) in &self.values {
            let (id, length) = (*id, value.len());
            if length < VALUE_BYTES_MIN {
                return Err(BuildError::TooShort { id, length });
            }
            if length > VALUE_BYTES_MAX {
                return Err(BuildError::TooLong { id, length });
            }
            let plain = match searched {
                SearchedAs::Word => Encoding::Word,
                SearchedAs::Anything | SearchedAs::Raw => Encoding::Raw,
            };
            if self.raw_only || *searched == SearchedAs::Raw {
                all.push((id, plain, Zeroizing::new(value.expose().to_vec())));
                continue;
            }
            let variants = variants::of(value.expose()).into_iter();
            all.extend(variants.map(|(encoding, bytes)| {
                (id, if encoding == Encoding::Raw { plain } else { encoding }, bytes)
            }));
        }
        let arena = Arena::new(all).ok_or(BuildError::TooMany)?;
        Ok(Needles::new(arena, self.names))
    }
}
