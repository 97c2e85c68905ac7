//! Whether a message comes from whom it says: a signature over the raw body, or a token. Every comparison takes the same
//! time, whatever is compared.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_secret::is_private;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::guard::only;
use crate::tokens::unhex;

/// How far the time of a message may be from this machine's, seconds.
pub(crate) const SKEW_S_MAX: u64 = 300;
/// The largest file of a secret, or of public keys, bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The shortest secret, bytes.
const SECRET_BYTES_MIN: usize = 12;

/// Why a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has no signature.
    Missing(&'static str),
    /// Its signature is wrong.
    Wrong,
    /// It is signed, and too old: seconds.
    Old(u64),
    /// It is signed, and from the future: seconds.
    Future(u64),
}

fn unread(path: &Path) -> Problem {
    Problem::new(Code::AdminTokenUnusable, format!("read the secret in {}", path.display()))
}

/// The content of a file that only its owner can read, without white space at its end; and the user id of its owner.
pub(crate) fn private(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), Problem> {
    let failed = || unread(path);
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| failed().because_of(&error))?;
    let meta = file.metadata().map_err(|error| failed().because_of(&error))?;
    let mode = meta.mode() & 0o7777;
    if !meta.is_file() || !is_private(mode, meta.uid(), meta.gid()) {
        return Err(failed()
            .because(format!("other users can access it, or it is not a file (mode {mode:04o})"))
            .help(format!("chmod 600 {}", path.display())));
    }
    let text = bounded(&file).map_err(|error| failed().because_of(&error))?;
    let end = text.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
    Ok((Zeroizing::new(text.get(..end).unwrap_or_default().to_vec()), meta.uid()))
}

/// The secret in a file that only its owner can read, without the line end.
pub(crate) fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let (text, _) = private(path)?;
    if text.len() < SECRET_BYTES_MIN {
        return Err(unread(path)
            .because(format!("it has fewer than {SECRET_BYTES_MIN} characters, which can be guessed"))
            .help(format!("openssl rand -hex 24 > {}", path.display())));
    }
    Ok(text)
}

/// The key of a secret of Standard Webhooks, which begins with `whsec_`.
pub(crate) fn webhook_key(secret: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let encoded = secret.strip_prefix(b"whsec_").unwrap_or(secret);
    let key = BASE64_STANDARD.decode(encoded).map(Zeroizing::new).ok();
    key.filter(|key| key.len() >= SECRET_BYTES_MIN).ok_or_else(|| {
        unread(path)
            .because(format!("it is not whsec_ and the base64 of at least {SECRET_BYTES_MIN} bytes"))
            .help(format!("printf 'whsec_%s' \"$(openssl rand -base64 24)\" > {}", path.display()))
    })
}

fn bounded(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    match u64::try_from(read).is_ok_and(|bytes| bytes > FILE_BYTES_MAX) {
        true => Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

/// GitHub's webhook: `X-Hub-Signature-256: sha256=<hex>` over the body.
/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
pub(crate) fn github(headers: &HeaderMap, body: &[u8], secret: &[u8]) -> Result<(), Refused> {
    let given = hex_header(headers, "x-hub-signature-256")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, body, &given).map_err(|_| Refused::Wrong)
}

/// GitGuardian's custom webhook: the key is the time of the message and the token, the message is the body.
/// <https://docs.gitguardian.com/platform/configure-alerting/notifiers-integrations/custom-webhook>
pub(crate) fn gitguardian(headers: &HeaderMap, body: &[u8], token: &[u8], now_s: u64) -> Result<(), Refused> {
    let given = hex_header(headers, "gitguardian-signature")?;
    let at = text(headers, "timestamp")?;
    // Only digits: a longer time and a shorter token would make the same key.
    let whole = at.split('.').next().unwrap_or_default();
    let numeric = at.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: u64 = whole.parse().ok().filter(|_| numeric).ok_or(Refused::Wrong)?;
    let key = Zeroizing::new([at.as_bytes(), token].concat());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    hmac::verify(&key, body, &given).map_err(|_| Refused::Wrong)?;
    fresh(seconds, now_s)
}

/// Standard Webhooks: `id.time.body`, signed with a secret that begins with `whsec_`.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
pub(crate) fn standard(headers: &HeaderMap, body: &[u8], key: &[u8], now_s: u64) -> Result<(), Refused> {
    let (id, at) = (text(headers, "webhook-id")?, text(headers, "webhook-timestamp")?);
    let given = text(headers, "webhook-signature")?;
    let seconds: u64 = at.parse().map_err(|_| Refused::Wrong)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    let fits = |one: &str| {
        let tag = one.strip_prefix("v1,").and_then(|tag| BASE64_STANDARD.decode(tag).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    };
    // A sender whose secret is being replaced sends a signature by each.
    match given.split(' ').take(8).any(fits) {
        true => fresh(seconds, now_s),
        false => Err(Refused::Wrong),
    }
}

#[derive(Deserialize)]
struct Keys {
    public_keys: Vec<PublicKey>,
}

#[derive(Deserialize)]
struct PublicKey {
    key_identifier: String,
    key: String,
}

/// GitHub's message to a partner: an ECDSA signature over the body, by one of GitHub's public keys.
/// <https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program>
pub(crate) fn partner(headers: &HeaderMap, body: &[u8], keys: &[u8]) -> Result<(), Refused> {
    let (id, given) =
        (text(headers, "github-public-key-identifier")?, text(headers, "github-public-key-signature")?);
    let given = BASE64_STANDARD.decode(given).map_err(|_| Refused::Wrong)?;
    let keys: Keys = serde_json::from_slice(keys).map_err(|_| Refused::Wrong)?;
    let key = keys.public_keys.iter().find(|key| key.key_identifier == id).ok_or(Refused::Wrong)?;
    let lines = key.key.lines().filter(|line| !line.starts_with("-----"));
    let der = BASE64_STANDARD.decode(lines.collect::<String>()).map_err(|_| Refused::Wrong)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der).verify(body, &given).map_err(|_| Refused::Wrong)
}

/// Whether it is a message to a partner.
pub(crate) fn is_partner(headers: &HeaderMap) -> bool {
    headers.contains_key("github-public-key-signature")
}

/// GitLab's token, which it sends as it is.
/// <https://docs.gitlab.com/development/sec/token_revocation_api>
pub(crate) fn gitlab(headers: &HeaderMap, token: &[u8]) -> Result<(), Refused> {
    let given = text(headers, "authorization")?;
    let given = given.strip_prefix("Bearer ").unwrap_or(given);
    let equal =
        verify_slices_are_equal(digest(&SHA256, given.as_bytes()).as_ref(), digest(&SHA256, token).as_ref());
    equal.map_err(|_| Refused::Wrong)
}

/// The token of a scanner: a bearer token, or the password of a login. The latter is what a program sends that can be
/// given only an address: `http://alerts:TOKEN@127.0.0.1:9090/alerts/kingfisher`.
pub(crate) fn token(headers: &HeaderMap) -> Option<Zeroizing<Vec<u8>>> {
    let given = only(headers, "authorization")?.to_str().ok()?;
    if let Some(token) = given.strip_prefix("Bearer ") {
        return Some(Zeroizing::new(token.as_bytes().to_vec()));
    }
    let login = Zeroizing::new(BASE64_STANDARD.decode(given.strip_prefix("Basic ")?).ok()?);
    let colon = login.iter().position(|byte| *byte == b':')?;
    Some(Zeroizing::new(login.get(colon + 1..)?.to_vec()))
}

fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Refused> {
    let value = only(headers, name).ok_or(Refused::Missing(name))?;
    value.to_str().map_err(|_| Refused::Wrong)
}

/// The bytes of `sha256=<hex>`.
fn hex_header(headers: &HeaderMap, name: &'static str) -> Result<[u8; SHA256_OUTPUT_LEN], Refused> {
    text(headers, name)?.strip_prefix("sha256=").and_then(unhex).ok_or(Refused::Wrong)
}

fn fresh(at_s: u64, now_s: u64) -> Result<(), Refused> {
    match at_s.abs_diff(now_s) {
        far if far > SKEW_S_MAX && at_s > now_s => Err(Refused::Future(far)),
        far if far > SKEW_S_MAX => Err(Refused::Old(far)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    /// The examples of the vendors' own pages.
    #[test]
    fn the_documented_signatures_are_accepted_and_no_others() {
        let (secret, body) = (b"It's a Secret to Everybody", b"Hello, World!");
        let signed = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let hub = headers(&[("x-hub-signature-256", signed)]);
        assert_eq!(github(&hub, body, secret), Ok(()));
        assert_eq!(github(&hub, b"Hello, World?", secret), Err(Refused::Wrong));
        assert_eq!(github(&hub, body, b"another"), Err(Refused::Wrong));
        assert_eq!(github(&HeaderMap::new(), body, secret), Err(Refused::Missing("x-hub-signature-256")));
        for bad in ["757107ea", "sha256=", "sha256=7", "sha256=zz", "sha1=757107ea"] {
            assert_eq!(github(&headers(&[("x-hub-signature-256", bad)]), body, secret), Err(Refused::Wrong));
        }
        let signed = signed.replacen("07", "+7", 1);
        assert_eq!(github(&headers(&[("x-hub-signature-256", &signed)]), body, secret), Err(Refused::Wrong));
        let signed = "sha256=172fe3d694b734aa53dc892fd3b8d62163fc240064de570ba006900bb54a0fc2";
        let guardian = headers(&[("gitguardian-signature", signed), ("timestamp", "0")]);
        assert_eq!(gitguardian(&guardian, b"bar", b"foo", 100), Ok(()));
        assert_eq!(gitguardian(&guardian, b"bar", b"foo", 301), Err(Refused::Old(301)));
        assert_eq!(gitguardian(&guardian, b"baz", b"foo", 0), Err(Refused::Wrong));
        // The time and the token are one text: this is the same key, split elsewhere.
        let moved = headers(&[("gitguardian-signature", signed), ("timestamp", "0f")]);
        assert_eq!(gitguardian(&moved, b"bar", b"oo", 0), Err(Refused::Wrong));
    }

    #[test]
    fn a_message_to_a_partner_is_signed_by_githubs_key() {
        let body: &[u8] = br#"[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]"#;
        let (id, signed) = (
            "bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c",
            "MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==",
        );
        let keys = serde_json::json!({"public_keys": [{"key_identifier": id, "is_current": true, "key":
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\n\
             AjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n"}]});
        let keys = serde_json::to_vec(&keys).unwrap();
        let sent = |id, signed| {
            headers(&[("github-public-key-identifier", id), ("github-public-key-signature", signed)])
        };
        assert_eq!(partner(&sent(id, signed), body, &keys), Ok(()));
        assert_eq!(partner(&sent(id, signed), b"[]", &keys), Err(Refused::Wrong));
        assert_eq!(partner(&sent("another", signed), body, &keys), Err(Refused::Wrong));
        assert_eq!(partner(&sent(id, "AAAA"), body, &keys), Err(Refused::Wrong));
        assert_eq!(partner(&sent(id, signed), body, b"{}"), Err(Refused::Wrong));
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_standard_webhook_is_fresh_and_signed() {
        let secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret = &webhook_key(secret, Path::new("a")).unwrap();
        for bad in [&b"whsec_"[..], b"whsec_AAAA", b"whsec_no base64 at all"] {
            assert!(webhook_key(bad, Path::new("a")).is_err());
        }
        let body: &[u8] = br#"{"test": 2432232314}"#;
        let sent = |signed: &str| {
            headers(&[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", signed),
            ])
        };
        let signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(standard(&sent(signed), body, secret, 1_614_265_330), Ok(()));
        let several = format!("v1,AAAA v1a,x {signed}");
        assert_eq!(standard(&sent(&several), body, secret, 1_614_265_330), Ok(()));
        assert_eq!(standard(&sent(signed), body, secret, 1_614_266_330), Err(Refused::Old(1_000)));
        assert_eq!(standard(&sent(signed), b"{}", secret, 1_614_265_330), Err(Refused::Wrong));
        assert_eq!(standard(&sent("v1,AAAA"), body, secret, 1_614_265_330), Err(Refused::Wrong));
    }

    #[test]
    fn a_token_is_a_bearer_or_the_password_of_a_login() {
        let given = |value| token(&headers(&[("authorization", value)])).map(|token| token.to_vec());
        assert_eq!(given("Bearer abc").unwrap(), b"abc");
        assert_eq!(given("Basic YWxlcnRzOmFiYw==").unwrap(), b"abc");
        for bad in ["abc", "Basic abc", "Basic YWJj", "bearer abc"] {
            assert_eq!(given(bad), None, "{bad}");
        }
        let lab = headers(&[("authorization", "abc")]);
        assert_eq!(gitlab(&lab, b"abc"), Ok(()));
        assert_eq!(gitlab(&lab, b"abd"), Err(Refused::Wrong));
    }
}
