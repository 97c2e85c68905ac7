use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::{Zeroize as _, Zeroizing};

/// The length of a line of Base64 in PEM (RFC 7468).
const LINE_CHARS: usize = 64;

/// The RSA key pair of a PEM text, in PKCS#8 or PKCS#1.
pub(crate) fn pair(pem: &str) -> Option<KeyPair> {
    let mut key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).ok(),
        PrivateKeyDer::Sec1(_) | _ => None,
    };
    key.zeroize();
    pair
}

/// A new private key in PEM, which no issuer knows.
pub(crate) fn generated() -> Option<Zeroizing<String>> {
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    let body = Zeroizing::new(STANDARD.encode(der.as_ref()));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE_CHARS + 64));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Some(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_again_and_no_two_are_equal() {
        let (one, two) = (generated().unwrap(), generated().unwrap());
        assert!(pair(&one).is_some() && one != two);
        assert!(one.lines().all(|line| line.len() <= LINE_CHARS), "RFC 7468");
        let cut = one.replace("-----END PRIVATE KEY-----\n", "");
        for wrong in ["", "no key", &cut, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(pair(wrong).is_none(), "{wrong}");
        }
    }
}
