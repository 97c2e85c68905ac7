//! A request as the issuer reads it: without its credential, of which a digest and masked bytes are kept.

use std::collections::BTreeMap;
use std::collections::hash_map::{DefaultHasher, RandomState};
use std::hash::{BuildHasher as _, Hasher as _};

use serde_json::Value;

use super::Ask;

/// The longest request, bytes: an agent sends a model what it is told about itself, and its tools.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where credentials stand in the requests of one issuer. They are digested as they pass by.
#[derive(Clone)]
pub(super) struct Shown {
    /// What stands before one in a header, in small letters.
    pub(super) headers: Vec<Vec<u8>>,
    /// It is the base64 of a user, a colon and the value.
    pub(super) basic: bool,
    /// What stands before one in a body, where callers choose values.
    pub(super) body: Option<Vec<u8>>,
}

impl Default for Shown {
    fn default() -> Self {
        let headers = vec![b"authorization: bearer ".to_vec(), b"x-api-key: ".to_vec()];
        Self { headers, basic: false, body: None }
    }
}

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
    /// The digest of what was shown, as it stood there.
    pub(super) bearer: u64,
    /// The digest of the value in it.
    pub(super) value: u64,
    /// The digest of the value in the body, where there is one.
    pub(super) chosen: Option<u64>,
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

    /// Its query by name, as it was written.
    pub(super) fn queries(&self) -> BTreeMap<String, String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    /// Whether its body switches off or on.
    pub(super) fn off(&self) -> Option<bool> {
        self.body.as_ref()?.get("disabled")?.as_bool()
    }
}

/// Undoes base64 byte by byte, and tells what stands behind the first colon.
#[derive(Default)]
struct Password {
    bits: u32,
    count: u32,
    behind: bool,
}

impl Password {
    fn take(&mut self, byte: u8) -> Option<u8> {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        self.bits = (self.bits << 6) | u32::from(six);
        self.count += 6;
        let whole = self.count.checked_sub(8)?;
        let plain = (self.bits >> whole) as u8;
        self.bits &= (1 << whole) - 1;
        self.count = whole;
        if !self.behind {
            self.behind = plain == b':';
            return None;
        }
        Some(plain)
    }
}

/// A request as far as it was read: its lines without the credential, and the credential's digest.
pub(super) struct Reading<'a> {
    shown: &'a Shown,
    hasher: DefaultHasher,
    password: Password,
    value: DefaultHasher,
    chosen: Option<DefaultHasher>,
    masked: Vec<u8>,
    line: Vec<u8>,
    /// In a credential: of a header, or of the body.
    inside: bool,
    head: Vec<Vec<u8>>,
    left: Option<usize>,
    body: Vec<u8>,
    count: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(digests: &Digests, shown: &'a Shown) -> Self {
        let (masked, line, head, body) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let hasher = || digests.0.build_hasher();
        let chosen = shown.body.is_some().then(hasher);
        let (password, inside, left, count) = (Password::default(), false, None, 0);
        let (hasher, value) = (hasher(), hasher());
        Self { shown, hasher, password, value, chosen, masked, line, inside, head, left, body, count }
    }

    /// Takes one byte; whether the request is whole. `None` where it is too long.
    pub(super) fn take(&mut self, byte: u8) -> Option<bool> {
        self.count += 1;
        if self.count > REQUEST_BYTES_MAX {
            return None;
        }
        if let Some(left) = self.left.as_mut() {
            *left -= 1;
            let whole = *left == 0;
            self.in_body(byte);
            return Some(whole);
        }
        match byte {
            b'\r' => {}
            b'\n' if self.line.is_empty() => {
                let length = self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                self.left = Some(length);
                return Some(length == 0);
            }
            b'\n' => {
                self.inside = false;
                self.head.push(std::mem::take(&mut self.line));
            }
            byte if self.inside => {
                self.hasher.write(&[byte]);
                self.masked.extend(masked(&[byte]));
                if self.shown.basic
                    && let Some(plain) = self.password.take(byte)
                {
                    self.value.write(&[plain]);
                }
            }
            byte => {
                self.line.push(byte);
                self.inside = self.shown.headers.iter().any(|mark| self.line.eq_ignore_ascii_case(mark));
            }
        }
        Some(false)
    }

    fn in_body(&mut self, byte: u8) {
        let Some(mark) = &self.shown.body else { return self.body.push(byte) };
        self.inside &= byte != b'"';
        match self.chosen.as_mut().filter(|_| self.inside) {
            Some(chosen) => chosen.write(&[byte]),
            None => {
                self.body.push(byte);
                self.inside = self.body.ends_with(mark);
            }
        }
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
            value: if self.shown.basic { self.value.finish() } else { self.hasher.finish() },
            chosen: self.chosen.as_ref().filter(|_| !self.body.is_empty()).map(DefaultHasher::finish),
            masked: self.masked,
            body: serde_json::from_slice(&self.body).ok(),
        }
    }
}
