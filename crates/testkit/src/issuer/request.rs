//! A request as the issuer reads it: without its credential, of which a digest and masked bytes are kept.

use std::collections::hash_map::{DefaultHasher, RandomState};
use std::hash::{BuildHasher as _, Hasher as _};

use serde_json::Value;

use super::Ask;

/// The longest request, bytes.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// What a credential stands behind.
const BEARER: &[u8] = b"authorization: bearer ";

/// The digests of one issuer: nobody else can make them.
#[derive(Clone, Default)]
pub(super) struct Digests(RandomState);

impl Digests {
    /// Byte by byte, as it is read.
    pub(super) fn of(&self, value: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        value.iter().for_each(|byte| hasher.write(&[*byte]));
        hasher.finish()
    }
}

/// So that a search of this process finds no value; masked twice it is itself.
pub(super) fn masked(value: &[u8]) -> Vec<u8> {
    value.iter().map(|byte| byte ^ 0x5a).collect()
}

/// What is read of one request.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) bearer: u64,
    pub(super) masked: Vec<u8>,
    pub(super) worker: Option<String>,
    pub(super) body: Option<Value>,
}

impl Request {
    /// What it asks for, if that is known here.
    pub(super) fn asks(&self) -> Option<Ask> {
        let parts = self.path.trim_matches('/').split('/').count();
        Some(match (self.method.as_str(), self.path.as_str(), parts) {
            ("GET", "/v1/me", _) => Ask::Me,
            ("GET", "/v1/keys", _) => Ask::List,
            ("POST", "/v1/keys", _) => Ask::Mint,
            ("PATCH", _, 3) => match self.off() {
                Some(true) => Ask::Disable,
                Some(false) | None => Ask::Enable,
            },
            ("DELETE", _, 3) => Ask::Delete,
            ("GET", path, 4) if path.ends_with("/refusals") => Ask::Refusals,
            ("GET", _, 4) => Ask::Sessions,
            ("DELETE", _, 5) => Ask::EndSession,
            _ => return None,
        })
    }

    /// Whether its body switches off or on.
    pub(super) fn off(&self) -> Option<bool> {
        self.body.as_ref()?.get("disabled")?.as_bool()
    }
}

/// A request as far as it was read: its lines without the credential, and the credential's digest.
pub(super) struct Reading {
    hasher: DefaultHasher,
    masked: Vec<u8>,
    line: Vec<u8>,
    in_bearer: bool,
    head: Vec<Vec<u8>>,
    left: Option<usize>,
    body: Vec<u8>,
    count: usize,
}

impl Reading {
    pub(super) fn new(digests: &Digests) -> Self {
        let (masked, line, head, body) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let hasher = digests.0.build_hasher();
        Self { hasher, masked, line, in_bearer: false, head, left: None, body, count: 0 }
    }

    /// Takes one byte; whether the request is whole. `None` where it is too long.
    pub(super) fn take(&mut self, byte: u8) -> Option<bool> {
        self.count += 1;
        if self.count > REQUEST_BYTES_MAX {
            return None;
        }
        if let Some(left) = self.left.as_mut() {
            self.body.push(byte);
            *left -= 1;
            return Some(*left == 0);
        }
        match byte {
            b'\r' => {}
            b'\n' if self.line.is_empty() => {
                let length = self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                self.left = Some(length);
                return Some(length == 0);
            }
            b'\n' => {
                self.in_bearer = false;
                self.head.push(std::mem::take(&mut self.line));
            }
            byte if self.in_bearer => {
                self.hasher.write(&[byte]);
                self.masked.extend(masked(&[byte]));
            }
            byte => {
                self.line.push(byte);
                self.in_bearer = self.line.eq_ignore_ascii_case(BEARER);
            }
        }
        Some(false)
    }

    /// A header's value, by its name in lower case.
    fn header(&self, name: &str) -> Option<String> {
        self.head.iter().skip(1).find_map(|line| {
            let text = String::from_utf8_lossy(line);
            let (key, value) = text.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    pub(super) fn request(self) -> Request {
        let worker = self.header("x-worker");
        let first = self.head.first().map(|line| String::from_utf8_lossy(line).into_owned());
        let first = first.unwrap_or_default();
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            worker,
            bearer: self.hasher.finish(),
            masked: self.masked,
            body: serde_json::from_slice(&self.body).ok(),
        }
    }
}
