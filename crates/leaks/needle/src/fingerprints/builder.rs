use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::encoding::pem;
use crate::fingerprints::entropy;
use crate::fingerprints::key::{FingerprintFileKey, TAG_BITS};
use crate::fingerprints::label::{FINGERPRINT_NAME_BYTES_MAX, FingerprintLabel};
use crate::fingerprints::table::{ValueFingerprint, is_even, window_at};
use crate::line_wraps::join::JoinedText;
use crate::{FingerprintSet, VALUE_BYTES_MAX};

/// The unpredictable bits that a value must have; a tag reveals at most 24 of them.
pub const FINGERPRINT_ENTROPY_BITS_MIN: u32 = 128;
/// The shortest value, bytes: a shorter one cannot have enough unpredictable bits.
pub const FINGERPRINT_VALUE_BYTES_MIN: usize = 16;
/// The most fingerprints of a set. A value has one, a private key one more for each line.
pub const FINGERPRINTS_MAX: usize = 100_000;

/// Why a value was not added. Never contains the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotFingerprinted {
    /// It is shorter than [`FINGERPRINT_VALUE_BYTES_MIN`].
    #[error(
        "it has {length} bytes; a value of fewer than {FINGERPRINT_VALUE_BYTES_MIN} could be guessed from its fingerprint"
    )]
    TooShort {
        /// Its length in bytes.
        length: usize,
    },
    /// It is longer than [`VALUE_BYTES_MAX`].
    #[error("it has {length} bytes; the limit is {VALUE_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It may be guessed from its fingerprint: a password, words, an address with a short password.
    #[error(
        "about {bits} bits of it are unpredictable; with fewer than {needed} it could be guessed from its fingerprint"
    )]
    Guessable {
        /// The estimate.
        bits: u32,
        /// The minimum.
        needed: u32,
    },
    /// It contains spaces; its parts can be added instead.
    #[error("it contains spaces; export its parts one by one")]
    Blanks,
    /// Its window repeats a few bytes.
    #[error("it repeats the same few bytes")]
    Even,
    /// The set is full.
    #[error("a set has at most {FINGERPRINTS_MAX} fingerprints")]
    TooMany,
    /// The label's name cannot be written to the file.
    #[error(
        "its name is empty, longer than {FINGERPRINT_NAME_BYTES_MAX} bytes, or has control characters or a space at an end"
    )]
    Name,
}

/// The system has no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not generate a key for the fingerprints · the system has no random numbers")]
pub struct NoRandomKey;

/// Collects the fingerprints of a [`FingerprintSet`]. Keeps no value.
pub struct FingerprintSetBuilder {
    key: FingerprintFileKey,
    labels: Vec<FingerprintLabel>,
    prints: Vec<ValueFingerprint>,
}

impl FingerprintSetBuilder {
    pub(crate) fn new() -> Result<Self, NoRandomKey> {
        Ok(Self {
            key: FingerprintFileKey::fresh().ok_or(NoRandomKey)?,
            labels: Vec::new(),
            prints: Vec::new(),
        })
    }

    /// Adds a value; of PEM private keys the content between the first and last line, and each line.
    ///
    /// Errors: the reason why it was not added. The caller must report it, because the value will not be found.
    pub fn add(&mut self, label: FingerprintLabel, value: &SecretBytes) -> Result<(), NotFingerprinted> {
        if !label.is_valid() {
            return Err(NotFingerprinted::Name);
        }
        let length = value.len();
        if length > VALUE_BYTES_MAX {
            return Err(NotFingerprinted::TooLong { length });
        }
        let number = u32::try_from(self.labels.len()).map_err(|_| NotFingerprinted::TooMany)?;
        let forms = forms(value.expose())?;
        if self.prints.len() + forms.len() > FINGERPRINTS_MAX {
            return Err(NotFingerprinted::TooMany);
        }
        self.prints.extend(forms.iter().filter_map(|form| ValueFingerprint::of(&self.key, form, number)));
        self.labels.push(label);
        Ok(())
    }

    /// The number of values added.
    pub fn values(&self) -> usize {
        self.labels.len()
    }

    /// Builds the set.
    pub fn build(self) -> FingerprintSet {
        FingerprintSet::new(self.key, self.labels, self.prints)
    }
}

/// The byte strings of a value that get fingerprints. Encodings get none: the text is decoded, so that the file
/// reveals no more than necessary.
fn forms(value: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, NotFingerprinted> {
    let mut all = Vec::new();
    let bodies = pem::of(value).bodies;
    if bodies.is_empty() {
        if entropy::is_text(value) && value.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(NotFingerprinted::Blanks);
        }
        whole(value, &mut all)?;
    }
    for body in bodies {
        whole(body, &mut all)?;
        // The first line is mostly the same in all keys of a kind.
        let lines = pem::lines(body).skip(1);
        let lines = lines
            .filter(|line| line.len() < body.len() && is_printed(line, FINGERPRINT_ENTROPY_BITS_MIN).is_ok());
        all.extend(lines.map(|line| Zeroizing::new(line.to_vec())));
    }
    Ok(all)
}

/// The value with and without its line ends: a text may wrap it elsewhere.
fn whole(value: &[u8], all: &mut Vec<Zeroizing<Vec<u8>>>) -> Result<(), NotFingerprinted> {
    let joined = JoinedText::of(value).map(|joined| joined.bytes);
    // Two fingerprints of one value each reveal a tag.
    let needed = FINGERPRINT_ENTROPY_BITS_MIN + if joined.is_some() { TAG_BITS } else { 0 };
    is_printed(value, needed)?;
    if let Some(joined) = &joined {
        is_printed(joined, needed)?;
    }
    all.push(Zeroizing::new(value.to_vec()));
    all.extend(joined);
    Ok(())
}

fn is_printed(value: &[u8], needed: u32) -> Result<(), NotFingerprinted> {
    let length = value.len();
    if length < FINGERPRINT_VALUE_BYTES_MIN {
        return Err(NotFingerprinted::TooShort { length });
    }
    let bits = entropy::bits(value);
    if bits < needed {
        return Err(NotFingerprinted::Guessable { bits, needed });
    }
    match window_at(length) {
        Some(at) if !is_even(value, at) => Ok(()),
        Some(_) | None => Err(NotFingerprinted::Even),
    }
}
