//! Private keys in the forms that programs write them in.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::providers::formed;
use super::random::{self, Random};

/// Digits in a line of PEM (RFC 7468), of OpenSSH's form.
const PEM_LINE_DIGITS: usize = 64;
const SSH_LINE_DIGITS: usize = 70;

/// A private key; `None` for a kind that is not known here.
pub fn value(kind: &str, random: &mut Random) -> Option<String> {
    Some(match kind {
        // The beginnings of DER are those of real keys of 2048 bits, and of P-256.
        "pem-rsa" => pem(
            "RSA PRIVATE KEY",
            &der(random, &[0x30, 0x82, 4, 0xa4, 2, 1, 0, 2, 0x82, 1, 1, 0], 1192),
            PEM_LINE_DIGITS,
        ),
        "pem-pkcs8" => {
            let start = [
                0x30, 0x82, 4, 0xbe, 2, 1, 0, 0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1,
                5, 0,
            ];
            pem("PRIVATE KEY", &der(random, &start, 1218), PEM_LINE_DIGITS)
        }
        "pem-ec" => {
            pem("EC PRIVATE KEY", &der(random, &[0x30, 0x77, 2, 1, 1, 4, 0x20], 121), PEM_LINE_DIGITS)
        }
        "pem-ed25519" => {
            let start = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
            pem("PRIVATE KEY", &der(random, &start, 48), PEM_LINE_DIGITS)
        }
        "openssh" => {
            let start = b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01\0\0\x003\0\0\0\x0bssh-ed25519\0\0\0 ";
            pem("OPENSSH PRIVATE KEY", &der(random, start, 290), SSH_LINE_DIGITS)
        }
        "pgp" => {
            let body = wrapped(&STANDARD.encode(der(random, &[0x94, 0x86, 4, 0x66], 540)), PEM_LINE_DIGITS);
            format!(
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{body}\n={}\n-----END PGP PRIVATE KEY BLOCK-----",
                random.letters(random::BASE64, 4)
            )
        }
        "age" => age(random),
        // Of `wg genkey`: 32 bytes.
        "wireguard" => STANDARD.encode(random.bytes(32)),
        // The secret half of a JSON Web Key (RFC 7517).
        "jwk" => URL_SAFE_NO_PAD.encode(random.bytes(32)),
        "laravel" => format!("base64:{}", STANDARD.encode(random.bytes(32))),
        "django" => format!(
            "django-insecure-{}",
            random.letters("abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)", 50)
        ),
        "fernet" => format!("{}=", URL_SAFE_NO_PAD.encode(random.bytes(32))),
        "rails" => formed("{h:32}", random),
        "ethereum" => formed("0x{h:64}", random),
        "kube" => STANDARD.encode(
            pem("EC PRIVATE KEY", &der(random, &[0x30, 0x77, 2, 1, 1, 4, 0x20], 121), PEM_LINE_DIGITS) + "\n",
        ),
        _ => return None,
    })
}

fn der(random: &mut Random, start: &[u8], bytes: usize) -> Vec<u8> {
    let mut all = start.to_vec();
    all.extend(random.bytes(bytes.saturating_sub(start.len())));
    all
}

/// A block of PEM.
pub fn pem(label: &str, bytes: &[u8], digits: usize) -> String {
    let dashes = "-----";
    format!(
        "{dashes}BEGIN {label}{dashes}\n{}\n{dashes}END {label}{dashes}",
        wrapped(&STANDARD.encode(bytes), digits)
    )
}

fn wrapped(digits: &str, line: usize) -> String {
    digits.as_bytes().chunks(line).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n")
}

/// Source: https://github.com/C2SP/C2SP/blob/main/age.md, and BIP 173 for its checksum.
fn age(random: &mut Random) -> String {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const FACTORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let name = b"age-secret-key-";
    // 32 bytes are 51 digits of five bits and one more.
    let mut data: Vec<u8> = (0..51).map(|_| random.below(32) as u8).collect();
    data.push(16 * random.below(2) as u8);
    let expanded = name.iter().map(|byte| byte >> 5).chain([0]).chain(name.iter().map(|byte| byte & 31));
    let sum = expanded.chain(data.iter().copied()).chain([0; 6]).fold(1_u32, |sum, digit| {
        let top = sum >> 25;
        let shifted = (sum & 0x01ff_ffff) << 5 ^ u32::from(digit);
        FACTORS
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |sum, (_, factor)| sum ^ factor)
    }) ^ 1;
    data.extend((0..6).map(|place| (sum >> (5 * (5 - place)) & 31) as u8));
    let digits: String = data.iter().map(|digit| char::from(LETTERS[usize::from(*digit)])).collect();
    format!("AGE-SECRET-KEY-1{}", digits.to_uppercase())
}
