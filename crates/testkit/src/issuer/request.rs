//! A request as the issuer reads it: without its credentials, of which digests and masked bytes are kept.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Ask;
use super::digest::Digests;
use super::mark::{Mark, Stretch, percent_decoded};

/// The longest request, bytes: an agent sends a model what it is told about itself, and its tools.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is read of one request.
#[derive(Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    /// The digests of every credential in it: as it was written, and of a user and a password each.
    pub(super) digests: Vec<u64>,
    /// The JWTs among them.
    pub(super) jwts: Vec<String>,
    /// The digest of the value in the body, where there is one.
    pub(super) chosen: Option<u64>,
    pub(super) masked: Vec<Vec<u8>>,
    pub(super) worker: Option<String>,
    /// Its lines after the first, without credentials.
    pub(super) headers: Vec<String>,
    /// A form as an object of texts.
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

    /// Its query by name.
    pub(super) fn queries(&self) -> BTreeMap<String, String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, text)| (percent_decoded(name), percent_decoded(text))).collect()
    }

    /// Whether its body switches off or on.
    pub(super) fn off(&self) -> Option<bool> {
        self.body.as_ref()?.get("disabled")?.as_bool()
    }

    /// A header's value, by its name.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

fn form(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let pairs = text.split('&').map(|pair| {
        let (name, text) = pair.split_once('=')?;
        Some((percent_decoded(name), Value::String(percent_decoded(text))))
    });
    pairs.collect::<Option<Map<String, Value>>>().map(Value::Object)
}

/// A request as far as it was read: its lines without credentials, and the digests of these.
pub(super) struct Reading<'a> {
    digests: &'a Digests,
    shown: &'a [Mark],
    /// Credentials that are being read: several in a header, where one mark begins with another.
    open: Vec<Stretch<'a>>,
    ended: Vec<Stretch<'a>>,
    line: Vec<u8>,
    /// Nothing more of this line is kept.
    is_hidden: bool,
    head: Vec<Vec<u8>>,
    left: Option<usize>,
    body: Vec<u8>,
    count: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(digests: &'a Digests, shown: &'a [Mark]) -> Self {
        let (open, ended, line, head, body) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { digests, shown, open, ended, line, is_hidden: false, head, left: None, body, count: 0 }
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
            self.in_text(byte, true);
            return Some(whole);
        }
        match byte {
            b'\r' => {}
            b'\n' if self.line.is_empty() => {
                let length = self.length();
                self.left = Some(length);
                return Some(length == 0);
            }
            b'\n' => {
                self.ended.append(&mut self.open);
                self.is_hidden = false;
                self.head.push(std::mem::take(&mut self.line));
            }
            byte if self.head.is_empty() => self.in_text(byte, false),
            byte => self.in_header(byte),
        }
        Some(false)
    }

    /// A byte of the first line, or of the body.
    fn in_text(&mut self, byte: u8, is_body: bool) {
        if let Some(mut stretch) = self.open.pop() {
            if stretch.take(byte) {
                return self.open.push(stretch);
            }
            self.ended.push(stretch);
        }
        let read = if is_body { &mut self.body } else { &mut self.line };
        read.push(byte);
        let is_here = |mark: &&Mark| if is_body { mark.is_in_body() } else { mark.is_in_target() };
        let mark = self.shown.iter().filter(is_here).find(|mark| mark.is_met(read));
        self.open.extend(mark.map(|mark| Stretch::new(mark, self.digests)));
    }

    fn in_header(&mut self, byte: u8) {
        for mut stretch in std::mem::take(&mut self.open) {
            let goes_on = stretch.take(byte);
            if goes_on { self.open.push(stretch) } else { self.ended.push(stretch) }
        }
        if self.is_hidden {
            return;
        }
        self.line.push(byte);
        let marks = self.shown.iter().filter(|mark| mark.is_in_header());
        let met = marks.clone().filter(|mark| mark.is_met(&self.line));
        self.open.extend(met.map(|mark| Stretch::new(mark, self.digests)));
        self.is_hidden = !self.open.is_empty() && !marks.clone().any(|mark| mark.may_follow(&self.line));
    }

    /// The length of the body.
    fn length(&self) -> usize {
        let mut lengths = self.head.iter().filter_map(|line| {
            let text = String::from_utf8_lossy(line);
            let (name, length) = text.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| length.trim().parse().ok())?
        });
        lengths.next().unwrap_or(0)
    }

    pub(super) fn request(mut self) -> Request {
        self.ended.append(&mut self.open);
        let mut lines = self.head.iter().map(|line| String::from_utf8_lossy(line).into_owned());
        let first = lines.next().unwrap_or_default();
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let chosen = self.ended.iter().find(|stretch| stretch.is_in_body());
        let mut request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            digests: self.ended.iter().flat_map(Stretch::digests).collect(),
            jwts: self.ended.iter().filter_map(Stretch::jwt).collect(),
            chosen: chosen.and_then(|stretch| stretch.digests().first().copied()),
            masked: self.ended.iter().map(|stretch| stretch.masked().to_vec()).collect(),
            worker: None,
            headers: lines.collect(),
            body: serde_json::from_slice(&self.body).ok().or_else(|| form(&self.body)),
        };
        request.worker = request.header("x-worker");
        request
    }
}
