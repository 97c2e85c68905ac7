//! The sealed content: the id and the fields together, so that neither can be exchanged alone.

use keyroll_secret::{Binding, Credential, CredentialId, Fields, Fingerprint, SealingKey, SecretBytes};

use crate::fail::Attempt;
use keyroll_port::Failure;

/// The owner of the records; a server would have more than one.
const TENANT: &str = "local";

/// The form of the sealed bytes: version, length of the id plus 1 (0 = none), id, fields.
const PAYLOAD_VERSION: u8 = 1;

/// Names and fingerprints of the secret fields, in the names' order.
pub(crate) type Fingerprints = Vec<(String, Fingerprint)>;

/// The place of a sealed record; a record that is opened for any other place is refused.
pub(crate) enum Place<'a> {
    /// A version of the secret.
    Version(u32),
    /// A retired version, sealed for searching alone.
    Needle(u32),
    /// Under an intent.
    Intent(&'a str, u64),
}

impl Place<'_> {
    fn name(&self) -> String {
        match self {
            Self::Version(number) => format!("v{number}"),
            Self::Needle(number) => format!("needle v{number}"),
            Self::Intent(rotation, intent) => format!("intent {rotation} {intent}"),
        }
    }
}

/// Seals a credential for its place.
pub(crate) fn seal(
    key: &SealingKey,
    secret: &str,
    place: &Place<'_>,
    credential: &Credential,
    attempt: Attempt<'_>,
) -> Result<Vec<u8>, Failure> {
    let fields = credential.fields.encode();
    let id = credential.id.as_ref().map(CredentialId::as_str);
    let length = id.map_or(0, |id| id.len() as u64 + 1);
    // The whole buffer is allocated at once: a buffer that grows leaves copies of values behind.
    let mut plain = Vec::with_capacity(9 + id.map_or(0, str::len) + fields.len());
    plain.push(PAYLOAD_VERSION);
    plain.extend_from_slice(&length.to_le_bytes());
    plain.extend_from_slice(id.unwrap_or_default().as_bytes());
    plain.extend_from_slice(fields.expose());
    let plain = SecretBytes::new(plain);
    let version = place.name();
    let binding = Binding { tenant: TENANT, secret, version: &version };
    key.seal(&binding.to_aad(), plain.expose()).map_err(|error| attempt.seal(error))
}

/// Opens what [`seal`] made for the same place.
pub(crate) fn open(
    key: &SealingKey,
    secret: &str,
    place: &Place<'_>,
    sealed: &[u8],
    attempt: Attempt<'_>,
) -> Result<Credential, Failure> {
    let version = place.name();
    let binding = Binding { tenant: TENANT, secret, version: &version };
    let plain = key.open(&binding.to_aad(), sealed).map_err(|error| attempt.seal(error))?;
    parse(plain.expose()).ok_or_else(|| attempt.altered("a sealed record has an unknown form"))
}

fn parse(plain: &[u8]) -> Option<Credential> {
    let (version, rest) = plain.split_first()?;
    if *version != PAYLOAD_VERSION {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (id, fields) = match length.checked_sub(1) {
        None => (None, rest),
        Some(length) => {
            let (id, fields) = rest.split_at_checked(length)?;
            (Some(CredentialId::new(std::str::from_utf8(id).ok()?)), fields)
        }
    };
    Some(Credential { id, fields: Fields::decode(fields).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_in_its_own_place_alone() {
        let key = SealingKey::generate().unwrap();
        let attempt = Attempt("test");
        let credential = Credential {
            id: Some(CredentialId::new("key-1")),
            fields: Fields::single(SecretBytes::new(vec![7; 30])),
        };
        let sealed = seal(&key, "a", &Place::Version(1), &credential, attempt).unwrap();
        let opened = open(&key, "a", &Place::Version(1), &sealed, attempt).unwrap();
        assert!(opened.id == credential.id && opened.fields.encode() == credential.fields.encode());
        for (secret, place) in [
            ("b", Place::Version(1)),
            ("a", Place::Version(2)),
            ("a", Place::Needle(1)),
            ("a", Place::Intent("1", 1)),
            ("a", Place::Intent("v1", 1)),
        ] {
            assert!(open(&key, secret, &place, &sealed, attempt).is_err());
        }
    }

    #[test]
    fn bytes_that_are_no_payload_are_refused() {
        for bad in
            [&[][..], &[1], &[2, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 255, 255, 255, 255, 255, 255, 255, 255, 1]]
        {
            assert!(parse(bad).is_none());
        }
    }
}
