//! Where credentials are in the requests of one issuer. They are digested as they are read.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;

use super::digest::{Digests, masked};

/// The part of a request that a credential is in, and how it is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A header.
    Header,
    /// A header, as the Base64 of a user, a colon and a password.
    Basic,
    /// The path, percent-encoded.
    Path,
    /// The query, percent-encoded.
    Query,
    /// A form, percent-encoded.
    Form,
    /// A text of a JSON body.
    Json,
}

/// How a credential is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    place: Place,
    /// What is before it; for a header in small letters, from the start of its line.
    before: Vec<u8>,
    /// The bytes that end it.
    ends: Vec<u8>,
}

/// Those of the issuer without a spec.
pub(super) fn usual() -> Vec<Mark> {
    ["authorization: bearer ", "x-api-key: "].map(|before| Mark::new(Place::Header, before, "")).to_vec()
}

impl Mark {
    /// Between two texts.
    pub(super) fn new(place: Place, before: &str, after: &str) -> Self {
        let (before, ends) = match place {
            Place::Header | Place::Basic => (before.to_ascii_lowercase(), ""),
            Place::Path => (before.to_owned(), "/? "),
            Place::Query => (before.to_owned(), "& "),
            Place::Form => (before.to_owned(), "&"),
            Place::Json => (before.to_owned(), "\""),
        };
        let ends = ends.bytes().chain(after.bytes().next()).collect();
        Self { place, before: before.into_bytes(), ends }
    }

    /// A header up to the credential, which is the rest of it.
    pub(super) fn header(&self) -> Option<String> {
        let whole = self.place == Place::Header && self.ends.is_empty();
        whole.then(|| String::from_utf8_lossy(&self.before).into_owned())
    }

    pub(super) fn is_basic(&self) -> bool {
        self.place == Place::Basic
    }

    pub(super) fn is_in_header(&self) -> bool {
        matches!(self.place, Place::Header | Place::Basic)
    }

    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Form | Place::Json)
    }

    pub(super) fn is_in_target(&self) -> bool {
        matches!(self.place, Place::Path | Place::Query)
    }

    /// Whether the credential begins after what was read.
    pub(super) fn is_met(&self, read: &[u8]) -> bool {
        let before = read.strip_suffix(self.before.as_slice());
        match self.place {
            Place::Header | Place::Basic => read.eq_ignore_ascii_case(&self.before),
            Place::Path | Place::Json => before.is_some(),
            Place::Query => before.is_some_and(|before| before.ends_with(b"?") || before.ends_with(b"&")),
            Place::Form => before.is_some_and(|before| before.is_empty() || before.ends_with(b"&")),
        }
    }

    /// Whether a header that begins like this may still come to it.
    pub(super) fn may_follow(&self, read: &[u8]) -> bool {
        let start = self.before.get(..read.len()).is_some_and(|start| start.eq_ignore_ascii_case(read));
        self.is_in_header() && start && self.before.len() > read.len()
    }
}

/// Undoes Base64 byte by byte.
#[derive(Default)]
struct Base64 {
    bits: u32,
    count: u32,
}

impl Base64 {
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
        Some(plain)
    }
}

/// Undoes percent-encoding byte by byte.
#[derive(Default)]
struct Percent(Option<Option<u8>>);

impl Percent {
    fn take(&mut self, byte: u8) -> Option<u8> {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match self.0 {
            None if byte == b'%' => {
                self.0 = Some(None);
                None
            }
            None => Some(byte),
            Some(None) => {
                self.0 = Some(digit);
                None
            }
            Some(Some(high)) => {
                self.0 = None;
                Some((high << 4) | digit.unwrap_or_default())
            }
        }
    }
}

/// A text without its percent-encoding.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut percent = Percent::default();
    let plain: Vec<u8> = text.bytes().filter_map(|byte| percent.take(byte)).collect();
    String::from_utf8_lossy(&plain).into_owned()
}

/// A credential as far as it was read.
pub(super) struct Stretch<'a> {
    mark: &'a Mark,
    whole: DefaultHasher,
    user: DefaultHasher,
    password: DefaultHasher,
    /// Whether the colon was read.
    behind: bool,
    base64: Base64,
    percent: Percent,
    masked: Vec<u8>,
}

impl<'a> Stretch<'a> {
    pub(super) fn new(mark: &'a Mark, digests: &Digests) -> Self {
        let [whole, user, password] = [(); 3].map(|()| digests.hasher());
        let (base64, percent, masked) = (Base64::default(), Percent::default(), Vec::new());
        Self { mark, whole, user, password, behind: false, base64, percent, masked }
    }

    /// Takes one byte; false where the credential ended before it.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        if self.mark.ends.contains(&byte) {
            return false;
        }
        self.masked.extend(masked(&[byte]));
        match self.mark.place {
            Place::Header | Place::Json => self.whole.write(&[byte]),
            Place::Path | Place::Query | Place::Form => {
                if let Some(plain) = self.percent.take(byte) {
                    self.whole.write(&[plain]);
                }
            }
            Place::Basic => {
                self.whole.write(&[byte]);
                match self.base64.take(byte) {
                    Some(b':') if !self.behind => self.behind = true,
                    Some(plain) if self.behind => self.password.write(&[plain]),
                    Some(plain) => self.user.write(&[plain]),
                    None => {}
                }
            }
        }
        true
    }

    pub(super) fn is_in_body(&self) -> bool {
        self.mark.is_in_body()
    }

    /// As it was written; of a user and a password also each.
    pub(super) fn digests(&self) -> Vec<u64> {
        let halves = [&self.user, &self.password].into_iter().filter(|_| self.mark.place == Place::Basic);
        [&self.whole].into_iter().chain(halves).map(DefaultHasher::finish).collect()
    }

    pub(super) fn masked(&self) -> &[u8] {
        &self.masked
    }

    /// The JWT that it is, which is no value: it begins with `{"` in Base64.
    pub(super) fn jwt(&self) -> Option<String> {
        let is_jwt = self.masked.starts_with(&masked(b"eyJ"));
        is_jwt.then(|| String::from_utf8(masked(&self.masked)).ok()).flatten()
    }
}
