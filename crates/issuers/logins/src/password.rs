use aws_lc_rs::rand;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

/// Letters and digits: every file format and URL carries them as they are.
pub(crate) const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 40 characters of 62 possible ones are 238 bits.
pub(crate) const LENGTH: usize = 40;
/// The largest multiple of 62 in a byte: a byte of this value or above is drawn again, so that every character is
/// equally likely.
const FAIR_BELOW: u8 = 248;

/// The system gave no random bytes.
pub(crate) fn no_randomness() -> Failure {
    Failure::new(Class::Retryable, Code::RequestFailed, "generate a password")
        .because("the system has no randomness")
}

/// A new password.
///
/// # Errors
/// [`no_randomness`]
pub(crate) fn generate() -> Result<SecretBytes, Failure> {
    let mut letters = Vec::with_capacity(LENGTH);
    // Each round fills 40 places with a chance of 31/32 each: far fewer rounds than this are ever needed.
    for _ in 0..64 {
        let mut seed = [0; LENGTH];
        rand::fill(&mut seed).map_err(|_| no_randomness())?;
        let fair = seed.iter().filter(|byte| **byte < FAIR_BELOW);
        letters.extend(fair.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len())));
        if letters.len() >= LENGTH {
            letters.truncate(LENGTH);
            return Ok(SecretBytes::new(letters));
        }
    }
    Err(no_randomness())
}

/// Whether a verifier can be made from a password without SASLprep (which changes nothing in printable ASCII).
pub(crate) fn is_plain(password: &SecretBytes) -> bool {
    !password.is_empty() && password.expose().iter().all(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_have_the_declared_form_and_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.len(), LENGTH);
        assert!(one.expose().iter().all(|byte| ALPHABET.contains(byte)));
        assert!(one != two);
    }
}
