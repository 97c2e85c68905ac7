use aws_lc_rs::rand;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::{Credential, Fields, SecretBytes};

/// The field of the key's id. It is not secret, and changes with every version.
pub const ACCESS_KEY_ID: &str = "access_key_id";
/// The field of the secret access key.
pub const SECRET_ACCESS_KEY: &str = "secret_access_key";

/// What ids consist of behind their prefix, as far as AWS has given any: Base32.
const ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// What secret access keys consist of.
const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// How long a secret access key is. Source:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html>, its example.
const SECRET_BYTES: usize = 40;
/// What the id of a long-term key of a user begins with. Source:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes>.
const PREFIX: &str = "AKIA";
/// What the id of temporary credentials begins with; the same source.
const TEMPORARY_PREFIX: &str = "ASIA";
const ID_BYTES: usize = 20;
/// The shortest and the longest id. Source:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html>, `AccessKeyId`.
const ID_BYTES_MIN: usize = 16;
const ID_BYTES_MAX: usize = 128;

/// Whether a text has the form of an id. Only such a text is printed in a command.
pub(super) fn is_id(text: &str) -> bool {
    (ID_BYTES_MIN..=ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The id and the secret access key of a credential.
///
/// # Errors
/// A field is missing or has another form; the key is a temporary one, which AWS refuses without its session token; the id
/// that the value is bound to is another one.
pub(super) fn parts(credential: &Credential) -> Result<(&str, &str), Failure> {
    let wrong = |field: &str, why: &str| {
        let attempted = format!("read the field `{field}` of the credential");
        Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
            .because(why.to_owned())
            .help(format!("an access key has the fields {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}"))
    };
    let text = |field: &'static str| {
        let found = credential.fields.get(field).filter(|found| !found.value.is_empty());
        let found = found.ok_or_else(|| wrong(field, "it is missing or empty"))?;
        std::str::from_utf8(found.value.expose()).map_err(|_| wrong(field, "it is no text"))
    };
    let (id, secret) = (text(ACCESS_KEY_ID)?, text(SECRET_ACCESS_KEY)?);
    if !is_id(id) {
        return Err(wrong(ACCESS_KEY_ID, "it has not the form of an access key id, such as AKIA…"));
    }
    if id.starts_with(TEMPORARY_PREFIX) {
        return Err(wrong(
            ACCESS_KEY_ID,
            &format!("{id} is temporary: temporary credentials are not rotated"),
        ));
    }
    match &credential.id {
        Some(bound) if bound.as_str() != id => {
            Err(wrong(ACCESS_KEY_ID, &format!("it is {id}, and the value is bound to {bound}")))
        }
        Some(_) | None => Ok((id, secret)),
    }
}

/// The fields of a key.
pub(super) fn fields(id: &str, secret: SecretBytes) -> Fields {
    let mut fields = Fields::new();
    fields.insert(ACCESS_KEY_ID, SecretBytes::from(id.to_owned()), false);
    fields.insert(SECRET_ACCESS_KEY, secret, true);
    fields
}

/// What a secret access key can consist of.
pub(super) fn alphabet() -> Vec<u8> {
    SECRET_ALPHABET.to_vec()
}

/// A key that nobody has: both fields are wrong. With the right id, a wrong secret would be refused as a wrong signature,
/// which says nothing of a dead key, and could spoil a right request of the same moment.
pub(super) fn decoy() -> Credential {
    let id = format!("{PREFIX}{}", drawn(ID_ALPHABET, ID_BYTES - PREFIX.len()));
    let secret = drawn(SECRET_ALPHABET, SECRET_BYTES);
    Credential { id: None, fields: fields(&id, SecretBytes::from(secret)) }
}

/// A random text of these letters; without randomness the first letter alone, which is no key of anybody either.
fn drawn(from: &[u8], length: usize) -> String {
    let mut seed = vec![0; length];
    if rand::fill(&mut seed).is_err() {
        seed.fill(0);
    }
    let letters = seed.iter().filter_map(|byte| from.get(usize::from(*byte) % from.len().max(1)));
    letters.map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use keyroll_secret::CredentialId;

    use super::*;

    #[test]
    fn a_credential_needs_both_fields_and_its_own_id() {
        let key = |id: &str, bound: Option<&str>| Credential {
            id: bound.map(CredentialId::new),
            fields: fields(id, SecretBytes::from("canary".to_owned())),
        };
        assert!(parts(&key("AKIAIOSFODNN7EXAMPLE", None)).is_ok());
        assert!(parts(&key("AKIAIOSFODNN7EXAMPLE", Some("AKIAIOSFODNN7EXAMPLE"))).is_ok());
        for wrong in [
            key("AKIAIOSFODNN7EXAMPLE", Some("AKIAI44QH8DHBEXAMPLE")),
            key("", None),
            key("ASIAIOSFODNN7EXAMPLE", None),
            key("AKIA; rm -rf .......", None),
            Credential { id: None, fields: Fields::single(SecretBytes::from("canary".to_owned())) },
        ] {
            let failure = parts(&wrong).err().unwrap();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
    }

    #[test]
    fn a_decoy_has_the_form_of_a_key_and_is_a_new_one_each_time() {
        let [one, other] = [decoy(), decoy()];
        let ((id, secret), (again, _)) = (parts(&one).unwrap(), parts(&other).unwrap());
        assert!(id.len() == ID_BYTES && secret.len() == SECRET_BYTES && id.starts_with(PREFIX), "{id}");
        assert_ne!(id, again);
    }
}
