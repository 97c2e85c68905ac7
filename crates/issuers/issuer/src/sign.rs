//! What a caller computes from its credential for one request: a signed JWT, or an HMAC.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::alphabet::STANDARD as STANDARD_ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::caller::{Hash, Hmac, HmacForm, Jwt, KeyForm};
use crate::private_key;
use crate::render::{Unfit, Values, text};
use crate::template::Template;

/// How far in the past a JWT begins, in seconds: the issuer's clock may be behind this machine's.
const EARLY_S: u64 = 60;

/// Base64 without padding, whose last letter may have bits that stand for nothing: a decoy is drawn letter by letter.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD_ALPHABET, NO_PAD.with_decode_allow_trailing_bits(true));

impl Jwt {
    /// The signed token.
    pub(crate) fn signed(&self, values: &Values<'_>, now_s: u64) -> Result<Zeroizing<String>, Unfit> {
        let pair = private_key::pair(&text(&self.key, values)?).ok_or(Unfit::NoPrivateKey)?;
        let mut header = filled(&self.header, values)?;
        header.insert("alg".to_owned(), "RS256".into());
        header.insert("typ".to_owned(), "JWT".into());
        let mut claims = filled(&self.claims, values)?;
        let from = now_s.saturating_sub(EARLY_S);
        claims.insert("iat".to_owned(), from.into());
        claims.insert("exp".to_owned(), from.saturating_add(self.lasts.ms() / 1_000).into());
        let mut token = Zeroizing::new(String::with_capacity(2048));
        for part in [header, claims] {
            let part = Zeroizing::new(Value::Object(part).to_string());
            token.push_str(&URL_SAFE_NO_PAD.encode(part.as_bytes()));
            token.push('.');
        }
        let signed = token.strip_suffix('.').unwrap_or_default();
        let signature = signature(&pair, signed.as_bytes()).ok_or(Unfit::NoPrivateKey)?;
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

fn filled(entries: &BTreeMap<String, Template>, values: &Values<'_>) -> Result<Map<String, Value>, Unfit> {
    let entry = |(name, template): (&String, &Template)| {
        Ok((name.clone(), Value::from(text(template, values)?.as_str())))
    };
    entries.iter().map(entry).collect()
}

fn signature(pair: &KeyPair, message: &[u8]) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
    Some(signature)
}

impl Hmac {
    /// The HMAC; `values` contain the time. `prefix` is that of the field with the key.
    pub(crate) fn computed(&self, values: &Values<'_>, prefix: &str) -> Result<Zeroizing<String>, Unfit> {
        let algorithm = match self.hash {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        let value = text(&self.key, values)?;
        let key = match self.key_form {
            KeyForm::Text => Zeroizing::new(value.as_bytes().to_vec()),
            KeyForm::Base64 => {
                let encoded = value.strip_prefix(prefix).unwrap_or(&value);
                let decoded = LENIENT.decode(encoded.trim_end_matches('='));
                Zeroizing::new(
                    decoded.map_err(|_| Unfit::Unspeakable("the key of an HMAC, which is Base64"))?,
                )
            }
        };
        let key = hmac::Key::new(algorithm, &key);
        let tag = hmac::sign(&key, text(&self.text, values)?.as_bytes());
        Ok(Zeroizing::new(match self.form {
            HmacForm::Hex => tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            HmacForm::Base64 => STANDARD.encode(tag.as_ref()),
        }))
    }
}

/// Seconds since 1970 by this machine's clock: an issuer refuses a signature of another time.
#[expect(clippy::disallowed_methods, reason = "a signature contains the time; nothing is judged by it")]
pub(crate) fn unix_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs())
        .unwrap_or_default()
}
