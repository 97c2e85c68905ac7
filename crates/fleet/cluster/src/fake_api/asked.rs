//! A request, as it arrived.

use hyper::Method;
use hyper::http::request::Parts;
use serde_json::Value;

/// A request.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(super) query: Vec<(String, String)>,
    /// Only metadata is asked for.
    pub(super) metadata: bool,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn of(head: &Parts, body: Vec<u8>) -> Self {
        let accept = head.headers.get("accept").and_then(|accept| accept.to_str().ok());
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        };
        let query = head.uri.query().unwrap_or_default();
        Self {
            metadata: accept.is_some_and(|accept| accept.contains("PartialObjectMetadata")),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: query.split('&').filter(|part| !part.is_empty()).map(pair).collect(),
            body,
        }
    }

    /// What the request says under a name.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// As whom it writes.
    pub(super) fn manager(&self) -> &str {
        self.query("fieldManager").unwrap_or("unknown")
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.query("dryRun") == Some("All")
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A part of a query, decoded.
pub(super) fn decoded(text: &str) -> String {
    let (bytes, mut plain, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            _ => plain.push(*byte),
        }
        at += 1;
    }
    String::from_utf8(plain).unwrap()
}
