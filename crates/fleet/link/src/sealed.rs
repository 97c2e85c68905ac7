//! Values that travel to a host, sealed so that only one process there can open them, for one order.
//!
//! HPKE (RFC 9180) carries a key that seals one set of values. The library leaves what it seals and opens itself in memory
//! that it does not overwrite: that is only this key, never a value.

use aws_lc_rs::rand;
use keyroll_port::Values;
use keyroll_secret::{Fields, SealError, SealingKey, SecretBytes};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as HPKE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::digits::{bytes_of, bytes_of_hex, hex_of};

/// What the bytes of a context begin with.
const LABEL: &[u8] = b"keyroll order v1";

/// How long the part of a sealed text is that the key agreement needs, bytes.
const SHARE_BYTES: usize = 32;

/// The bits of the first byte of what is sealed.
const HAS_NEW: u8 = 1;
const OLD_ENDED: u8 = 1 << 1;

/// Why values could not be sealed or opened. Nothing of them is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// The system gave no random bytes, or the library refused to work.
    #[error("the cryptographic library refused to work")]
    Library,
    /// What the host says is no key.
    #[error("the host's key has another form")]
    BadKey,
    /// The values are longer than may be sealed.
    #[error("the values are too long to be sealed")]
    TooLong,
    /// It is not what [`seal`] wrote.
    #[error("the sealed values have another form")]
    Malformed,
    /// Another process, order, rotation or secret has them, or they were changed on their way.
    #[error("the values are not sealed to this process for this order")]
    NotForThis,
}

/// What values are sealed for. They open for exactly the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The driver's installation.
    pub installation: &'a str,
    /// The digest of the host's machine-id that its greeting says; empty without one.
    pub host: &'a str,
    /// The secret's name.
    pub secret: &'a str,
    /// The rotation's id; empty without one.
    pub rotation: &'a str,
    /// The driver's epoch.
    pub epoch: u64,
    /// The connection's turn.
    pub turn: u64,
    /// The word of the order.
    pub order: &'a str,
    /// The intent; 0 without one.
    pub intent: u64,
}

impl Context<'_> {
    /// Each part follows its own length, so that no two contexts give the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let Self { installation, host, secret, rotation, epoch, turn, order, intent } = self;
        let (epoch, turn, intent) = (epoch.to_le_bytes(), turn.to_le_bytes(), intent.to_le_bytes());
        let parts = [
            installation.as_bytes(),
            host.as_bytes(),
            secret.as_bytes(),
            rotation.as_bytes(),
            epoch.as_slice(),
            turn.as_slice(),
            order.as_bytes(),
            intent.as_slice(),
        ];
        let mut bytes = LABEL.to_vec();
        for part in parts {
            bytes.extend_from_slice(&length(part.len()));
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// Sealed values, in hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The key of `text`, sealed to the host's process.
    pub enc: String,
    /// The values, sealed under that key.
    pub text: String,
}

/// Values that were opened. They are overwritten when this is dropped.
pub struct OwnedValues {
    /// The version that is being replaced.
    pub old: Fields,
    /// The version that replaces it.
    pub new: Option<Fields>,
    /// The old version was ended for good.
    pub old_ended: bool,
}

impl OwnedValues {
    /// For one call.
    pub fn values(&self) -> Values<'_> {
        Values { old: &self.old, new: self.new.as_ref(), old_ended: self.old_ended }
    }
}

/// The key of one process of a host. It is nowhere else, and overwritten when it is dropped.
pub struct HostKey {
    /// The part that seals, in hex digits.
    public: String,
    /// The part that opens.
    private: HpkePrivateKey,
}

impl HostKey {
    /// A new key.
    ///
    /// # Errors
    /// The library refuses to work.
    pub fn new() -> Result<Self, SealedError> {
        let (public, private) = HPKE.generate_key_pair().map_err(|_| SealedError::Library)?;
        Ok(Self { public: hex_of(&public.0), private })
    }

    /// What the greeting says: the part of the key that seals, in hex digits.
    pub fn public(&self) -> String {
        self.public.clone()
    }

    /// Opens values that were sealed to this key for this context.
    ///
    /// # Errors
    /// They were sealed to another key or for another context, or changed on their way, or have another form.
    pub fn open(&self, sealed: &Sealed, context: &Context<'_>) -> Result<OwnedValues, SealedError> {
        let bytes = |digits: &str| bytes_of_hex(digits).ok_or(SealedError::Malformed);
        let (enc, text, context) = (bytes(&sealed.enc)?, bytes(&sealed.text)?, context.bytes());
        let (share, key) = enc.split_at_checked(SHARE_BYTES).ok_or(SealedError::Malformed)?;
        let share = EncapsulatedSecret(share.to_vec());
        let key = HPKE.open(&share, &context, &[], key, &self.private);
        let key = Zeroizing::new(key.map_err(|_| SealedError::NotForThis)?);
        let key = <[u8; SealingKey::BYTES]>::try_from(key.as_slice()).map(Zeroizing::new);
        let key = key.map_err(|_| SealedError::Malformed)?;
        let plain = SealingKey::from_bytes(key).open(&context, &text);
        read(plain.map_err(|_| SealedError::NotForThis)?.expose()).ok_or(SealedError::Malformed)
    }
}

/// Seals values to the process of the host that said this key, for this context.
///
/// # Errors
/// It is no key, the values are too long, or the library refuses to work.
pub fn seal(public: &str, context: &Context<'_>, values: &Values<'_>) -> Result<Sealed, SealedError> {
    let public = HpkePublicKey(bytes_of(public).ok_or(SealedError::BadKey)?.to_vec());
    let mut key = Zeroizing::new([0_u8; SealingKey::BYTES]);
    rand::fill(key.as_mut_slice()).map_err(|_| SealedError::Library)?;
    let context = context.bytes();
    // The form of the key is right: only a key that nobody has is refused here.
    let (EncapsulatedSecret(mut enc), sealed_key) =
        HPKE.seal(&context, &[], key.as_slice(), &public).map_err(|_| SealedError::BadKey)?;
    enc.extend_from_slice(&sealed_key);
    let text = SealingKey::from_bytes(key).seal(&context, plain(values).expose());
    let text = text.map_err(|error| match error == SealError::TooLong {
        true => SealedError::TooLong,
        false => SealedError::Library,
    })?;
    Ok(Sealed { enc: hex_of(&enc), text: hex_of(&text) })
}

/// The values as bytes. The whole buffer is allocated at once: a buffer that grows leaves copies of values behind.
fn plain(values: &Values<'_>) -> SecretBytes {
    let Values { old, new, old_ended } = values;
    let all: Vec<SecretBytes> = [Some(*old), *new].into_iter().flatten().map(Fields::encode).collect();
    let each = |fields: &SecretBytes| size_of::<u64>().saturating_add(fields.len());
    let mut bytes = Vec::with_capacity(all.iter().map(each).sum::<usize>().saturating_add(1));
    let new = if new.is_some() { HAS_NEW } else { 0 };
    let ended = if *old_ended { OLD_ENDED } else { 0 };
    bytes.push(new | ended);
    for fields in &all {
        bytes.extend_from_slice(&length(fields.len()));
        bytes.extend_from_slice(fields.expose());
    }
    SecretBytes::new(bytes)
}

/// Reads what [`plain`] wrote, and nothing else.
fn read(plain: &[u8]) -> Option<OwnedValues> {
    let (&flags, mut rest) = plain.split_first()?;
    let old = fields(&mut rest)?;
    let new = match flags & HAS_NEW {
        0 => None,
        _ => Some(fields(&mut rest)?),
    };
    let known = flags & !(HAS_NEW | OLD_ENDED) == 0;
    (known && rest.is_empty()).then_some(OwnedValues { old, new, old_ended: flags & OLD_ENDED != 0 })
}

fn fields(rest: &mut &[u8]) -> Option<Fields> {
    let (length, left) = rest.split_first_chunk::<8>()?;
    let (fields, left) = left.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *rest = left;
    Fields::decode(fields).ok()
}

fn length(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context<'_> = Context {
        installation: "0f0f",
        host: "9f3c21",
        secret: "openai",
        rotation: "17ab",
        epoch: 3,
        turn: 2,
        order: "deliver",
        intent: 41,
    };

    fn fields_of(value: &str) -> Fields {
        let mut fields = Fields::new();
        fields.insert("password", SecretBytes::from(value.to_owned()), true);
        fields.insert("user", SecretBytes::from("app".to_owned()), false);
        fields
    }

    fn is(fields: &Fields, value: &str) -> bool {
        let field = fields.get("password").unwrap();
        field.secret && field.value.expose() == value.as_bytes() && fields.iter().count() == 2
    }

    /// A key, two values, and both sealed to it.
    fn scene() -> (HostKey, [String; 2], Sealed) {
        let key = HostKey::new().unwrap();
        let all = [keyroll_testkit::alphanumeric(24), keyroll_testkit::alphanumeric(24)];
        let (old, new) = (fields_of(&all[0]), fields_of(&all[1]));
        let values = Values { old: &old, new: Some(&new), old_ended: true };
        let sealed = seal(&key.public(), &CONTEXT, &values).unwrap();
        (key, all, sealed)
    }

    #[test]
    fn values_open_for_the_process_and_the_order_that_they_were_sealed_for() {
        let (key, all, sealed) = scene();
        let opened = key.open(&sealed, &CONTEXT).unwrap();
        let values = opened.values();
        assert!(is(values.old, &all[0]) && is(values.new.unwrap(), &all[1]) && values.old_ended);
        let old = fields_of(&all[0]);
        let values = Values { old: &old, new: None, old_ended: false };
        let opened = key.open(&seal(&key.public(), &CONTEXT, &values).unwrap(), &CONTEXT).unwrap();
        assert!(is(&opened.old, &all[0]) && opened.new.is_none() && !opened.old_ended);
    }

    #[test]
    fn values_open_for_no_other_context_and_no_other_process() {
        let (key, _, sealed) = scene();
        let others = [
            Context { installation: "0f0e", ..CONTEXT },
            Context { host: "", ..CONTEXT },
            Context { secret: "openai2", ..CONTEXT },
            Context { rotation: "17ac", ..CONTEXT },
            Context { epoch: 4, ..CONTEXT },
            Context { turn: 3, ..CONTEXT },
            Context { order: "delivered", ..CONTEXT },
            Context { intent: 42, ..CONTEXT },
            // The same letters and digits, parted elsewhere.
            Context { installation: "0f0f9", host: "f3c21", ..CONTEXT },
            Context { epoch: 2, turn: 3, ..CONTEXT },
        ];
        for other in others {
            assert_eq!(key.open(&sealed, &other).err(), Some(SealedError::NotForThis), "{other:?}");
        }
        let other = HostKey::new().unwrap();
        assert_ne!(other.public(), key.public());
        assert_eq!(other.open(&sealed, &CONTEXT).err(), Some(SealedError::NotForThis));
    }

    #[test]
    fn values_that_were_changed_or_cut_on_their_way_do_not_open() {
        let (key, _, sealed) = scene();
        let flipped = |text: &str, at: usize| {
            let mut bytes = bytes_of_hex(text).unwrap();
            bytes[at] ^= 0x80;
            hex_of(&bytes)
        };
        for at in 0..sealed.enc.len() / 2 {
            let changed = Sealed { enc: flipped(&sealed.enc, at), text: sealed.text.clone() };
            assert!(key.open(&changed, &CONTEXT).is_err(), "byte {at} of the key");
        }
        for at in 0..sealed.text.len() / 2 {
            let changed = Sealed { enc: sealed.enc.clone(), text: flipped(&sealed.text, at) };
            assert!(key.open(&changed, &CONTEXT).is_err(), "byte {at} of the text");
        }
        for end in (0..sealed.enc.len()).step_by(7) {
            let cut = Sealed { enc: sealed.enc[..end].to_owned(), text: sealed.text.clone() };
            assert!(key.open(&cut, &CONTEXT).is_err(), "{end} digits of the key");
        }
        for end in (0..sealed.text.len()).step_by(7) {
            let cut = Sealed { enc: sealed.enc.clone(), text: sealed.text[..end].to_owned() };
            assert!(key.open(&cut, &CONTEXT).is_err(), "{end} digits of the text");
        }
        // The key of one set of values does not open another set.
        let (_, _, another) = scene();
        let mixed = Sealed { enc: sealed.enc.clone(), text: another.text };
        assert_eq!(key.open(&mixed, &CONTEXT).err(), Some(SealedError::NotForThis));
        let no_digits = Sealed { enc: "é".to_owned(), text: sealed.text };
        assert_eq!(key.open(&no_digits, &CONTEXT).err(), Some(SealedError::Malformed));
    }

    #[test]
    fn nothing_of_a_value_is_in_what_is_sealed_and_no_two_are_alike() {
        let (key, all, sealed) = scene();
        let shown = format!("{sealed:?}{}", serde_json::to_string(&sealed).unwrap());
        for value in &all {
            assert!(!shown.contains(value) && !shown.contains(&hex_of(value.as_bytes())), "{shown}");
        }
        let opened = key.open(&sealed, &CONTEXT).unwrap();
        let again = seal(&key.public(), &CONTEXT, &opened.values()).unwrap();
        assert!(again.enc != sealed.enc && again.text != sealed.text);
    }

    #[test]
    fn what_is_no_key_of_a_host_is_refused() {
        let (_, all, _) = scene();
        let old = fields_of(&all[0]);
        let values = Values { old: &old, new: None, old_ended: false };
        // With the last one everybody could open it.
        for public in [String::new(), "0f".repeat(31), "0g".repeat(32), "00".repeat(32)] {
            assert_eq!(seal(&public, &CONTEXT, &values).err(), Some(SealedError::BadKey), "{public}");
        }
    }

    #[test]
    fn only_what_was_written_is_read() {
        let old = fields_of("hunter2-hunter2");
        let plain = plain(&Values { old: &old, new: Some(&old), old_ended: false });
        let bytes = plain.expose();
        assert!(read(bytes).is_some());
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_none(), "{end} bytes");
        }
        assert!(read(&[bytes, &[0]].concat()).is_none(), "something follows");
        let mut later = bytes.to_vec();
        later[0] |= 1 << 2;
        assert!(read(&later).is_none(), "a flag of a later version");
    }
}
