//! A request as the issuer reads it: without its credential, of which only a digest is kept.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;

use serde_json::Value;

/// The longest request, bytes.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// What a credential stands behind.
const BEARER: &[u8] = b"authorization: bearer ";

/// What is read of one request.
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub bearer: u64,
    pub worker: Option<String>,
    pub body: Option<Value>,
}

/// A request as far as it was read: its lines without the credential, and the credential's digest.
pub struct Reading {
    hasher: DefaultHasher,
    line: Vec<u8>,
    in_bearer: bool,
    head: Vec<Vec<u8>>,
    left: Option<usize>,
    body: Vec<u8>,
    count: usize,
}

impl Reading {
    pub fn new(hasher: DefaultHasher) -> Self {
        let (line, head, body) = (Vec::new(), Vec::new(), Vec::new());
        Self { hasher, line, in_bearer: false, head, left: None, body, count: 0 }
    }

    /// Takes one byte; whether the request is whole. `None` where it is too long.
    pub fn take(&mut self, byte: u8) -> Option<bool> {
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
            byte if self.in_bearer => self.hasher.write(&[byte]),
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

    pub fn request(self) -> Request {
        let first =
            self.head.first().map(|line| String::from_utf8_lossy(line).into_owned()).unwrap_or_default();
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            worker: self.header("x-worker"),
            bearer: self.hasher.finish(),
            body: serde_json::from_slice(&self.body).ok(),
        }
    }
}
