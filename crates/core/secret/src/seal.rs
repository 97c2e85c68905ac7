use std::fmt;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{FingerprintKey, SecretBytes};

/// The form of a sealed record: version, key id, salt, commitment, ciphertext, tag, in this order.
const SEALED_VERSION: u8 = 1;
const KID_BYTES: usize = 8;
const SALT_BYTES: usize = 32;
const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + KID_BYTES + SALT_BYTES + COMMITMENT_BYTES;

/// The largest plaintext that is sealed: anything larger is not a credential.
pub const SEALED_PLAINTEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a value could not be sealed or opened; never says anything about the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The system gave no random bytes, or the library refused an operation that only a broken library refuses.
    #[error("the cryptographic library refused to work")]
    Library,
    /// The plaintext is longer than [`SEALED_PLAINTEXT_BYTES_MAX`].
    #[error("the value is longer than {SEALED_PLAINTEXT_BYTES_MAX} bytes")]
    TooLong,
    /// The record is shorter than its fixed parts.
    #[error("the sealed record is cut short")]
    Truncated,
    /// The first byte names a form that this version does not know.
    #[error("the sealed record has form {0}, which this version does not read")]
    UnknownVersion(u8),
    /// The record was sealed under another key.
    #[error("the record was sealed under key {sealed_under}, not under this one ({this})")]
    OtherKey {
        /// The key that the record names.
        sealed_under: Kid,
        /// The key that was asked to open it.
        this: Kid,
    },
    /// The record was altered, or moved to the place of another record.
    #[error("the sealed record was altered, or belongs to another place")]
    Altered,
}

/// The short public id of a sealing key. It identifies the key and reveals nothing else about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid([u8; KID_BYTES]);

impl Kid {
    /// The 8 bytes.
    pub fn as_bytes(&self) -> &[u8; KID_BYTES] {
        &self.0
    }
}

/// 16 hex digits.
impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({self})")
    }
}

/// The place that a sealed record belongs to. A record that is opened for any other place is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Whose record it is.
    pub tenant: &'a str,
    /// The secret's name.
    pub secret: &'a str,
    /// The version's number or label.
    pub version: &'a str,
}

impl Binding<'_> {
    /// The bytes to pass as `aad`. Each part follows its own length, so that no two places give the same bytes.
    pub fn to_aad(&self) -> Vec<u8> {
        let mut aad = b"keyroll binding v1".to_vec();
        for part in [self.tenant, self.secret, self.version] {
            aad.extend_from_slice(&(part.len() as u64).to_le_bytes());
            aad.extend_from_slice(part.as_bytes());
        }
        aad
    }
}

/// The key under which all values at rest are sealed: 32 random bytes, overwritten on drop.
///
/// Each record has a key of its own, derived by HKDF-SHA-256 (RFC 5869) from a 256-bit random salt, so no nonce
/// can repeat under one key. ChaCha20-Poly1305 (RFC 8439) alone does not commit to its key: the record carries a
/// commitment, another output of the same derivation, which is compared before anything is decrypted.
pub struct SealingKey(SecretBytes);

impl SealingKey {
    /// The length of the key.
    pub const BYTES: usize = 32;

    /// A new random key. Errors: [`SealError::Library`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|_| SealError::Library)?;
        Ok(Self::from_bytes(bytes))
    }

    /// A key that was stored.
    pub fn from_bytes(bytes: Zeroizing<[u8; Self::BYTES]>) -> Self {
        Self(SecretBytes::new(bytes.to_vec()))
    }

    /// A second copy, on purpose: the operator is not asked twice for a passphrase.
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// The key itself, for the bare or wrapped file that stores it; no other code reads it.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The key's public id. Errors: [`SealError::Library`].
    pub fn kid(&self) -> Result<Kid, SealError> {
        let mut kid = [0; KID_BYTES];
        expand(&self.root(), b"keyroll kid v1", &mut kid)?;
        Ok(Kid(kid))
    }

    /// The key of the fingerprints, derived under its own label: it reveals nothing about the sealing key. Errors:
    /// [`SealError::Library`].
    pub fn fingerprint_key(&self) -> Result<FingerprintKey, SealError> {
        self.derived(b"keyroll fingerprint v1")
    }

    /// The key that gives leak findings their identity on this machine, derived under its own label. The identities are
    /// printed and sent, and reveal nothing about any fingerprint. Errors: [`SealError::Library`].
    pub fn identity_key(&self) -> Result<FingerprintKey, SealError> {
        self.derived(b"keyroll identity v1")
    }

    fn derived(&self, label: &[u8]) -> Result<FingerprintKey, SealError> {
        let mut bytes = Zeroizing::new([0; 32]);
        expand(&self.root(), label, bytes.as_mut())?;
        Ok(FingerprintKey::new(&bytes))
    }

    /// Seals `plaintext` for the place that `aad` names (see [`Binding`]); the key's id is bound too.
    ///
    /// The result is 89 bytes longer than the plaintext. Errors: too long, or the library.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > SEALED_PLAINTEXT_BYTES_MAX {
            return Err(SealError::TooLong);
        }
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| SealError::Library)?;
        let record = RecordKeys::derive(self.expose(), &salt)?;

        // The plaintext is encrypted in place: no copy of it stays in a buffer that grew.
        let mut sealed = Vec::with_capacity(HEADER_BYTES + plaintext.len() + TAG_BYTES);
        sealed.push(SEALED_VERSION);
        sealed.extend_from_slice(&self.kid()?.0);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(&record.commitment);
        let bound = bound_data(&sealed, aad);
        sealed.extend_from_slice(plaintext);
        let (_, body) = sealed.split_at_mut_checked(HEADER_BYTES).ok_or(SealError::Library)?;
        let tag = record
            .cipher
            .seal_in_place_separate_tag(only_nonce(), Aad::from(&bound), body)
            .map_err(|_| SealError::Library)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens the result of [`seal`](Self::seal) for the same `aad`.
    ///
    /// Errors: cut short, an unknown form, sealed under another key, or altered (which includes a record that was moved
    /// to another place). An error returns nothing of the plaintext.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, SealError> {
        let version = *sealed.first().ok_or(SealError::Truncated)?;
        if version != SEALED_VERSION {
            return Err(SealError::UnknownVersion(version));
        }
        let (header, body) = sealed.split_at_checked(HEADER_BYTES).ok_or(SealError::Truncated)?;
        if body.len() < TAG_BYTES {
            return Err(SealError::Truncated);
        }
        let (kid, rest) =
            header.get(1..).and_then(|rest| rest.split_first_chunk()).ok_or(SealError::Truncated)?;
        let (salt, commitment) = rest.split_first_chunk::<SALT_BYTES>().ok_or(SealError::Truncated)?;
        let (sealed_under, this) = (Kid(*kid), self.kid()?);
        if sealed_under != this {
            return Err(SealError::OtherKey { sealed_under, this });
        }
        let record = RecordKeys::derive(self.expose(), salt)?;
        if !bool::from(record.commitment.ct_eq(commitment)) {
            return Err(SealError::Altered);
        }
        let mut body = Zeroizing::new(body.to_vec());
        let bound = bound_data(header, aad);
        let length = record
            .cipher
            .open_in_place(only_nonce(), Aad::from(&bound), &mut body)
            .map_err(|_| SealError::Altered)?
            .len();
        body.truncate(length);
        Ok(SecretBytes::new(std::mem::take(&mut *body)))
    }

    /// The root of the derivations that need no salt; the labels keep them apart.
    fn root(&self) -> Prk {
        Salt::new(HKDF_SHA256, b"keyroll sealing key v1").extract(self.expose())
    }
}

/// What is derived from one record's salt: its cipher, and the commitment to the key.
struct RecordKeys {
    cipher: LessSafeKey,
    commitment: [u8; COMMITMENT_BYTES],
}

impl RecordKeys {
    fn derive(key: &[u8], salt: &[u8; SALT_BYTES]) -> Result<Self, SealError> {
        let root = Salt::new(HKDF_SHA256, salt).extract(key);
        let mut bytes = Zeroizing::new([0; 32]);
        expand(&root, b"keyroll record key v1", bytes.as_mut())?;
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, bytes.as_ref()).map_err(|_| SealError::Library)?;
        let mut commitment = [0; COMMITMENT_BYTES];
        expand(&root, b"keyroll record commitment v1", &mut commitment)?;
        Ok(Self { cipher: LessSafeKey::new(cipher), commitment })
    }
}

/// The only nonce: each record's key encrypts only once.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Everything that the tag covers besides the ciphertext: the whole header, then the place.
fn bound_data(header: &[u8], aad: &[u8]) -> Vec<u8> {
    [header, aad].concat()
}

struct OutputLength(usize);

impl KeyType for OutputLength {
    fn len(&self) -> usize {
        self.0
    }
}

pub(crate) fn expand(root: &Prk, label: &[u8], out: &mut [u8]) -> Result<(), SealError> {
    root.expand(&[label], OutputLength(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| SealError::Library)
}
