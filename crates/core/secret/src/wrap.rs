use std::fmt::Write as _;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::seal::expand;
use crate::{SealError, SealingKey, SecretBytes};

/// The first line of a wrapped key. It is longer than a bare key, so that neither is taken for the other.
pub(crate) const WRAPPED: &str = "keyroll sealing key, wrapped, version 1\n";
/// The most bytes of a wrapped key.
pub(crate) const WRAPPED_BYTES_MAX: u64 = 8 * 1024;
/// A key from another store has at least as many bytes as the key that it wraps.
pub const WRAPPING_KEY_BYTES_MIN: usize = SealingKey::BYTES;

const SALT_BYTES: usize = 32;
/// RFC 9106, section 4, the second recommended option: 64 MiB, three passes, four lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// The most memory that a file may ask for: before it is opened, anyone may have written it.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 32;
const LANES_MAX: u32 = 16;

/// Why a sealing key could not be wrapped or unwrapped; never reveals either secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// The file is not of this form, or asks for more memory or time than the limit.
    #[error("the wrapped sealing key has a form that this version does not read")]
    Malformed,
    /// Too short to be a key.
    #[error("a key that wraps another has at least {WRAPPING_KEY_BYTES_MIN} bytes")]
    TooShort,
    /// Another passphrase or key, or an altered file.
    #[error("it is not what the sealing key was wrapped with")]
    Other,
    /// The library refused.
    #[error(transparent)]
    Seal(SealError),
}

/// The secret that wraps a sealing key.
pub enum Wrapping<'a> {
    /// A key with as much randomness as the sealing key.
    Key(&'a SecretBytes),
    /// A passphrase; the derivation makes it expensive to guess.
    Passphrase(&'a SecretBytes),
}

/// A sealing key that only its wrapping secret opens. Another wrapping leaves the key inside the same, and with it all
/// fingerprints and sealed records.
pub struct Wrapped {
    source: String,
    salt: [u8; SALT_BYTES],
    cost: Option<Cost>,
    sealed: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Wrapped {
    /// Wraps a key. `source` says where to find the wrapping secret: one line without a value, stored with the key and
    /// bound to it.
    ///
    /// Errors: a source of several lines or a key that is too short; the library.
    pub fn seal(key: &SealingKey, source: &str, with: &Wrapping<'_>) -> Result<Self, WrapError> {
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| WrapError::Seal(SealError::Library))?;
        let cost = match with {
            Wrapping::Key(_) => None,
            Wrapping::Passphrase(_) => Some(Cost { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES }),
        };
        let mut wrapped = Self { source: source.to_owned(), salt, cost, sealed: Vec::new() };
        if source.is_empty() || source.contains(['\n', '\r']) {
            return Err(WrapError::Malformed);
        }
        let outer = wrapped.outer(with)?;
        wrapped.sealed = outer.seal(wrapped.head().as_bytes(), key.expose()).map_err(WrapError::Seal)?;
        Ok(wrapped)
    }

    /// Where to find the wrapping secret, as recorded when the key was wrapped.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Opens the key. Errors: this is not the wrapping secret, or the file was altered.
    pub fn open(&self, with: &Wrapping<'_>) -> Result<SealingKey, WrapError> {
        let is_passphrase = matches!(with, Wrapping::Passphrase(_));
        if is_passphrase != self.cost.is_some() {
            return Err(WrapError::Other);
        }
        let opened = self.outer(with)?.open(self.head().as_bytes(), &self.sealed);
        let opened = opened.map_err(|error| match error {
            SealError::OtherKey { .. } | SealError::Altered => WrapError::Other,
            SealError::Truncated | SealError::UnknownVersion(_) => WrapError::Malformed,
            SealError::Library | SealError::TooLong => WrapError::Seal(error),
        })?;
        let mut bytes = Zeroizing::new([0; SealingKey::BYTES]);
        if opened.len() != bytes.len() {
            return Err(WrapError::Malformed);
        }
        bytes.copy_from_slice(opened.expose());
        Ok(SealingKey::from_bytes(bytes))
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        format!("{}sealed {}\n", self.head(), hex(&self.sealed))
    }

    /// Everything but the sealed bytes, which are bound to it.
    fn head(&self) -> String {
        let cost = self.cost.map_or_else(String::new, |cost| {
            format!("argon2id {} {} {}\n", cost.memory_kib, cost.passes, cost.lanes)
        });
        format!("{WRAPPED}source {}\nsalt {}\n{cost}", self.source, hex(&self.salt))
    }

    /// Reads what [`to_text`](Self::to_text) wrote, and nothing else.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_prefix(WRAPPED)?;
        let (mut source, mut salt, mut cost, mut sealed) = (None, None, None, None);
        for line in text.lines() {
            match line.split_once(' ')? {
                ("source", word) => source = Some(word.to_owned()),
                ("salt", word) => salt = unhex(word)?.try_into().ok(),
                ("argon2id", word) => cost = Some(Cost::parse(word)?),
                ("sealed", word) => sealed = unhex(word),
                _ => return None,
            }
        }
        Some(Self { source: source?, salt: salt?, cost, sealed: sealed? })
    }

    /// The key that the sealing key is sealed under.
    fn outer(&self, with: &Wrapping<'_>) -> Result<SealingKey, WrapError> {
        let mut bytes = Zeroizing::new([0; SealingKey::BYTES]);
        match (with, self.cost) {
            (Wrapping::Key(key), _) => {
                if key.len() < WRAPPING_KEY_BYTES_MIN {
                    return Err(WrapError::TooShort);
                }
                let root = Salt::new(HKDF_SHA256, &self.salt).extract(key.expose());
                expand(&root, b"keyroll sealing key wrapping v1", bytes.as_mut()).map_err(WrapError::Seal)?;
            }
            (Wrapping::Passphrase(text), Some(cost)) => {
                let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(bytes.len()));
                let argon2 = Argon2::new(
                    Algorithm::Argon2id,
                    Version::V0x13,
                    params.map_err(|_| WrapError::Malformed)?,
                );
                let hashed = argon2.hash_password_into(text.expose(), &self.salt, bytes.as_mut());
                hashed.map_err(|_| WrapError::Seal(SealError::Library))?;
            }
            (Wrapping::Passphrase(_), None) => return Err(WrapError::Other),
        }
        Ok(SealingKey::from_bytes(bytes))
    }
}

impl Cost {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').map(|word| word.parse::<u32>().ok());
        let mut next = || words.next().flatten();
        let cost = Self { memory_kib: next()?, passes: next()?, lanes: next()? };
        let fits = cost.memory_kib <= MEMORY_KIB_MAX && cost.passes <= PASSES_MAX && cost.lanes <= LANES_MAX;
        (fits && words.next().is_none()).then_some(cost)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    rest.is_empty().then(|| bytes.collect()).flatten()
}
