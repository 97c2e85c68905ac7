//! New credentials of the form that a spec declares.

#![allow(clippy::indexing_slicing, reason = "what a spec does not have is null")]

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::proof::{Proof, key_pair};
use super::body::put;
use super::template::slots_in;
use super::{HERE, LENGTH_MAX};
use crate::chance;

/// Letters and digits of a text of a document.
const TEXT_CHARS: usize = 24;

/// A new value, and what is kept of it beside its digest.
pub(in super::super) struct Made {
    pub(in super::super) value: Zeroizing<String>,
    pub(in super::super) proof: Option<Proof>,
}

/// A value of the field of this name.
pub(super) fn made(spec: &Value, field: &str) -> Made {
    let form = &spec["fields"][field];
    match form["form"].as_str() {
        Some("pem") => {
            let (value, public) = key_pair();
            Made { value, proof: Some(Proof::Rsa(public)) }
        }
        Some("json") => document(spec, field),
        Some(_) | None => {
            let value = line(form);
            let proof =
                algorithm(spec).map(|algorithm| Box::new(hmac::Key::new(algorithm, value.as_bytes())));
            Made { proof: proof.map(Proof::Hmac), value }
        }
    }
}

/// The function of the spec's HMAC.
fn algorithm(spec: &Value) -> Option<hmac::Algorithm> {
    match spec["auth"]["self"]["hmac"]["hash"].as_str()? {
        "sha512" => Some(hmac::HMAC_SHA512),
        _ => Some(hmac::HMAC_SHA256),
    }
}

/// A JSON document with a text at every place that the spec reads, and a private key at that of its JWT.
fn document(spec: &Value, field: &str) -> Made {
    let (pem, public) = key_pair();
    let key = spec["auth"]["self"]["jwt"]["key"].as_str();
    let mut root = json!({});
    for slot in slots_in(&json!([spec["auth"]["self"], spec["op"]])) {
        let Some(place) = slot.strip_prefix(&format!("{{cred.{field}")).and_then(|at| at.strip_suffix('}'))
        else {
            continue;
        };
        if place.starts_with('/') {
            let is_key = key == Some(slot.as_str());
            let text = if is_key { HERE.to_owned() } else { chance::alphanumeric(TEXT_CHARS) };
            put(&mut root, place, json!(text));
        }
    }
    Made { value: filled(&root.to_string(), &escaped(&pem)), proof: Some(Proof::Rsa(public)) }
}

/// A text with a value in its place; nothing else holds the value.
pub(in super::super) fn filled(body: &str, value: &str) -> Zeroizing<String> {
    let mut whole = Zeroizing::new(String::with_capacity(body.len() + value.len()));
    let (before, after) = body.split_once(HERE).unwrap_or((body, ""));
    [before, value, after].iter().for_each(|part| whole.push_str(part));
    whole
}

/// A value as it is written in a text of JSON.
pub(in super::super) fn escaped(value: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * value.len()));
    for letter in value.chars() {
        match letter {
            '\n' => text.push_str("\\n"),
            '"' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            _ => text.push(letter),
        }
    }
    text
}

/// A value of one line: letters of every alphabet.
fn line(form: &Value) -> Zeroizing<String> {
    let prefix = form["prefix"].as_str().unwrap_or_default();
    let most = form["length_max"].as_u64().unwrap_or(LENGTH_MAX);
    let length = if most > LENGTH_MAX { form["length_min"].as_u64().unwrap_or(LENGTH_MAX) } else { most };
    let summed = form["checksum"] == "github-crc32";
    let sum = if summed { SUM_LETTERS } else { 0 };
    let length = usize::try_from(length).unwrap_or(0).saturating_sub(prefix.len() + sum);
    let drawn = Zeroizing::new(chance::hexadecimal(length));
    let mut value = Zeroizing::new(String::with_capacity(prefix.len() + length + sum));
    value.push_str(prefix);
    value.push_str(&drawn);
    if summed {
        value.push_str(&checksum(drawn.as_bytes()));
    }
    value
}

/// Letters of GitHub's checksum.
const SUM_LETTERS: usize = 6;

/// CRC-32 in base 62: <https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>.
fn checksum(body: &[u8]) -> String {
    let mut sum = u32::MAX;
    for byte in body {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { 0xEDB8_8320 ^ (sum >> 1) } else { sum >> 1 };
        }
    }
    let mut left = !sum;
    let digits: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let mut text = String::new();
    for _ in 0..SUM_LETTERS {
        text.extend(digits.get((left % 62) as usize));
        left /= 62;
    }
    text.chars().rev().collect()
}

/// The id of a credential that is a document with its id in it.
pub(super) fn id_in(spec: &Value, value: &str) -> Option<String> {
    let (_, place) = spec["id_in"].as_str()?.split_once('/')?;
    let document: Value = serde_json::from_str(value).ok()?;
    document.pointer(&format!("/{}", place.trim_end_matches('}')))?.as_str().map(str::to_owned)
}
