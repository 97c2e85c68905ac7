//! What a credential is proven by that is only computed with: a signed JWT, or an HMAC. The private key and the value are
//! not kept.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use zeroize::Zeroizing;

/// The length of a line of Base64 in PEM (RFC 7468).
const LINE_CHARS: usize = 64;

/// What is kept of a credential that computes.
pub(super) enum Proof {
    /// The public key, in DER.
    Rsa(Vec<u8>),
    /// The state of the HMAC after its key, which does not contain the key.
    Hmac(Box<hmac::Key>),
}

/// A new private key in PEM, without a line break at its end, and its public key.
#[allow(clippy::expect_used, reason = "a test without its key cannot go on")]
pub(super) fn key_pair() -> (Zeroizing<String>, Vec<u8>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key pair");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("a private key in DER");
    let body = Zeroizing::new(STANDARD.encode(der.as_ref()));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE_CHARS + LINE_CHARS));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----");
    (pem, pair.public_key().as_ref().to_vec())
}

/// Whether a JWT is signed with the private key of this public key, and valid now.
pub(super) fn is_signed(jwt: &str, public: &[u8]) -> bool {
    let parts = || {
        let (signed, signature) = jwt.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| {
            let text = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Value>(&text).ok()
        };
        Some((signed, URL_SAFE_NO_PAD.decode(signature).ok()?, json(header)?, json(claims)?))
    };
    let Some((signed, signature, header, claims)) = parts() else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let second = |name: &str| claims.get(name).and_then(Value::as_u64);
    let in_time = second("iat").is_some_and(|from| from <= now) && second("exp").is_some_and(|to| now < to);
    let is_rs256 = header.get("alg").and_then(Value::as_str) == Some("RS256");
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    in_time && is_rs256 && key.verify(signed.as_bytes(), &signature).is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    use serde_json::json;

    use super::*;

    /// A JWT that ends so many seconds from now.
    pub(in super::super) fn signed(pem: &str, alg: &str, ends_s: i64) -> String {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let pair = KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let parts = [json!({ "alg": alg, "typ": "JWT" }), json!({ "iat": now - 600, "exp": now + ends_s })];
        let text = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn a_jwt_counts_only_with_its_own_key_in_its_time_and_whole() {
        let ((one, public), (other, _)) = (key_pair(), key_pair());
        let good = signed(&one, "RS256", 60);
        assert!(is_signed(&good, &public));
        let (start, signature) = good.rsplit_once('.').unwrap();
        let (header, _) = start.split_once('.').unwrap();
        let claims = URL_SAFE_NO_PAD.encode(json!({ "iat": 1, "exp": u32::MAX }).to_string());
        for wrong in [
            signed(&other, "RS256", 60),
            signed(&one, "RS256", -1),
            signed(&one, "none", 60),
            format!("{header}.{claims}.{signature}"),
            format!("{start}."),
            start.to_owned(),
            String::new(),
        ] {
            assert!(!is_signed(&wrong, &public), "{wrong}");
        }
    }
}
