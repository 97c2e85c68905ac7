use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyroll_secret::SecretBytes;

/// PostgreSQL's own default (`scram_iterations`, SCRAM_SHA_256_DEFAULT_ITERATIONS).
const ITERATIONS: u32 = 4096;
/// A stored verifier with more iterations is not compared: it would take too long.
const ITERATIONS_MAX: u32 = 1_000_000;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// A SCRAM-SHA-256 verifier as PostgreSQL stores it: it is sent to the server instead of the password, so that no
/// statement, log or `pg_stat_activity` shows the password. RFC 5802, RFC 7677; PostgreSQL's `scram_build_secret`.
///
/// The password must be printable ASCII: SASLprep leaves it as it is. `None` if the system has no randomness.
pub(crate) fn verifier(password: &SecretBytes) -> Option<String> {
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt).ok()?;
    let keys = keys(password, NonZeroU32::new(ITERATIONS)?, &salt);
    let [salt, stored, server] = [&salt[..], &keys.stored, &keys.server].map(|bytes| BASE64.encode(bytes));
    Some(format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"))
}

/// Whether a stored verifier was made from this password. Setting the same password again would only change the salt,
/// and that briefly breaks poolers that pass SCRAM keys through.
pub(crate) fn matches(stored: &str, password: &SecretBytes) -> bool {
    fn compare(stored: &str, password: &SecretBytes) -> Option<bool> {
        let (scheme, rest) = stored.split_once('$')?;
        let (salting, halves) = rest.split_once('$')?;
        let (iterations, salt) = salting.split_once(':')?;
        let (stored_key, server_key) = halves.split_once(':')?;
        let iterations: u32 = iterations.parse().ok()?;
        if scheme != "SCRAM-SHA-256" || iterations > ITERATIONS_MAX {
            return None;
        }
        let [salt, stored_key, server_key] = [salt, stored_key, server_key].map(|text| BASE64.decode(text));
        let keys = keys(password, NonZeroU32::new(iterations)?, &salt.ok()?);
        let same = verify_slices_are_equal(&keys.stored, &stored_key.ok()?).is_ok()
            & verify_slices_are_equal(&keys.server, &server_key.ok()?).is_ok();
        Some(same)
    }
    compare(stored, password).unwrap_or(false)
}

struct Keys {
    stored: [u8; KEY_BYTES],
    server: [u8; KEY_BYTES],
}

fn keys(password: &SecretBytes, iterations: NonZeroU32, salt: &[u8]) -> Keys {
    let mut salted = [0; KEY_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.expose(), &mut salted);
    let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&salted, b"Client Key");
    let mut keys = Keys { stored: [0; KEY_BYTES], server: [0; KEY_BYTES] };
    keys.stored.copy_from_slice(digest::digest(&digest::SHA256, client.as_ref()).as_ref());
    keys.server.copy_from_slice(hmac::sign(&salted, b"Server Key").as_ref());
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::from(text.to_owned())
    }

    #[test]
    fn the_example_of_rfc_7677_gives_its_keys() {
        // User `user`, password `pencil`; the salt and the iterations are the RFC's. The server signature over the
        // RFC's auth message is checked with the server key.
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = keys(&secret("pencil"), NonZeroU32::new(4096).unwrap(), &salt);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &keys.server), message.as_bytes());
        assert_eq!(BASE64.encode(signature.as_ref()), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_verifier_matches_its_password_and_no_other() {
        let made = verifier(&secret("correct")).unwrap();
        assert!(matches(&made, &secret("correct")));
        assert!(!matches(&made, &secret("wrong")));
        assert_ne!(made, verifier(&secret("correct")).unwrap(), "each has a salt of its own");
    }

    #[test]
    fn what_is_no_scram_verifier_matches_nothing() {
        for stored in [
            "",
            "md5abc",
            "SCRAM-SHA-256$0:AA==$AA==:AA==",
            "SCRAM-SHA-256$9999999:AA==$AA==:AA==",
            "SCRAM-SHA-256$1:!$!:!",
        ] {
            assert!(!matches(stored, &secret("x")), "{stored}");
        }
    }
}
