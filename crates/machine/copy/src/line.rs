//! Files of credentials with one entry each: libpq's `.pgpass`, `.netrc`, git's `.git-credentials`.

use std::collections::BTreeMap;
use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::slot::Part;
use crate::spot::{Spelling, Spot, ambiguous, lines};
use crate::{CopyError, Slot, percent, quoted};

const TWICE: &str = "an entry that stands there twice";

const STRANGE: &str = "a word that is not of such a file";

/// A line of `.pgpass`: `host:port:database:user:password`, a `\` before `:` and `\` in a field (libpq, "The Password
/// File"). The first line that fits wins, and `*` fits everything.
pub(crate) fn pgpass(file: &[u8], name: &str, part: Part) -> Result<Option<Spot>, CopyError> {
    let wanted: Vec<Vec<u8>> = fields(name.as_bytes()).into_iter().map(|(_, text)| text).collect();
    if wanted.len() != 3 && wanted.len() != 4 {
        let why = "a line is named by host:port:database or host:port:database:user";
        return Err(CopyError::Pointer { at: name.to_owned(), why });
    }
    let mut found: Option<Spot> = None;
    let mut before: Vec<Vec<Vec<u8>>> = Vec::new();
    for span in lines(file) {
        let line = file.get(span.clone()).unwrap_or_default();
        if line.starts_with(b"#") {
            continue;
        }
        let parts = fields(line);
        if parts.len() < 5 {
            continue;
        }
        let texts: Vec<Vec<u8>> = parts.iter().take(4).map(|(_, text)| text.clone()).collect();
        if wanted.iter().zip(&texts).all(|(wanted, text)| wanted == text) {
            if found.is_some() {
                return Err(ambiguous(file, span.start, TWICE));
            }
            let fits = |one: &Vec<Vec<u8>>| {
                one.iter().zip(&texts).all(|(pattern, text)| pattern == b"*" || pattern == text)
            };
            if before.iter().any(fits) {
                return Err(ambiguous(file, span.start, "a line before it that fits too, and wins"));
            }
            let at = if part == Part::User { 3 } else { 4 };
            let more = parts.len() > 5;
            found = parts.into_iter().nth(at).map(|(inner, text)| {
                let span = span.start + inner.start..span.start + inner.end;
                match more {
                    true => Spot::doubtful(span, "a : in the password without a \\ before it"),
                    false => Spot::new(span, Ok(SecretBytes::new(text)), PgpassField),
                }
            });
        }
        before.push(texts);
    }
    Ok(found)
}

/// How many lines with a `*` are searched for one that fits; real files have fewer.
const PATTERNS_MAX: usize = 256;

/// The fields of a line, each with its place and its unescaped text.
type Fields = Vec<(Range<usize>, Vec<u8>)>;

/// Every login of a `.pgpass`.
pub(crate) fn pgpass_all(file: &[u8]) -> Vec<(Slot, Spot)> {
    let parted = lines(file).filter_map(|span| {
        let line = file.get(span.clone()).filter(|line| !line.starts_with(b"#"))?;
        Some((span.start, fields(line))).filter(|(_, parts)| parts.len() >= 5)
    });
    let parted: Vec<(usize, Fields)> = parted.collect();
    let texts = |parts: &[(Range<usize>, Vec<u8>)]| -> Vec<Vec<u8>> {
        parts.iter().take(4).map(|(_, text)| text.clone()).collect()
    };
    let mut times: BTreeMap<Vec<Vec<u8>>, usize> = BTreeMap::new();
    for (_, parts) in &parted {
        *times.entry(texts(parts)).or_default() += 1;
    }
    let mut patterns: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut found = Vec::new();
    for (start, parts) in parted {
        let texts = texts(&parts);
        let fits = |one: &Vec<Vec<u8>>| one.iter().zip(&texts).all(|(one, text)| one == b"*" || one == text);
        let doubt = if times.get(&texts).is_some_and(|times| *times > 1) {
            Some(TWICE)
        } else if patterns.len() >= PATTERNS_MAX || patterns.iter().any(fits) {
            Some("a line before it that fits too, and wins")
        } else {
            (parts.len() > 5).then_some("a : in the password without a \\ before it")
        };
        if texts.iter().any(|text| text == b"*") {
            patterns.push(texts);
        }
        let end = parts.get(3).map_or(0, |(inner, _)| inner.end);
        let name = file.get(start..start + end).and_then(|name| std::str::from_utf8(name).ok());
        let (Some(name), Some((inner, text))) = (name, parts.into_iter().nth(4)) else { continue };
        let span = start + inner.start..start + inner.end;
        let spot = match doubt {
            Some(why) => Spot::doubtful(span, why),
            None => Spot::new(span, Ok(SecretBytes::new(text)), PgpassField),
        };
        found.push((Slot::Entry { name: name.to_owned(), part: Part::Password }, spot));
    }
    found
}

/// The fields of a line, with their unescaped texts.
fn fields(line: &[u8]) -> Fields {
    let mut all = Vec::new();
    let (mut start, mut text, mut at) = (0, Vec::with_capacity(line.len()), 0);
    while let Some(&byte) = line.get(at) {
        match (byte, line.get(at + 1)) {
            (b'\\', Some(&escaped)) => {
                text.push(escaped);
                at += 1;
            }
            (b':', _) => {
                all.push((start..at, std::mem::replace(&mut text, Vec::with_capacity(line.len()))));
                start = at + 1;
            }
            (byte, _) => text.push(byte),
        }
        at += 1;
    }
    all.push((start..at, text));
    all
}

/// A field of `.pgpass`, with `\` before `:` and `\`.
struct PgpassField;

impl Spelling for PgpassField {
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let text = quoted::text(new)?;
        if text.contains(|c: char| c.is_whitespace() || quoted::special(c)) {
            return Err("it has blanks or control characters");
        }
        let mut out = Vec::with_capacity(text.len() * 2);
        for byte in text.bytes() {
            if matches!(byte, b':' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        Ok(SecretBytes::new(out))
    }

    /// Some readers strip blanks from a line, others do not.
    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        match alphabet.iter().all(u8::is_ascii_graphic) {
            true => Ok(()),
            false => Err("its alphabet has blanks, control characters or bytes beyond ASCII"),
        }
    }
}

/// An entry of `.netrc`: words between blanks, over one line or several. Readers differ on quotes, escapes and
/// comments, so there are none in a value.
pub(crate) fn netrc(file: &[u8], name: &str, part: Part) -> Result<Option<Spot>, CopyError> {
    let mut words = Words { file, at: 0 };
    let (mut found, mut inside, mut entries) = (None::<Spot>, false, 0);
    while let Some(word) = words.next() {
        let text = file.get(word.clone()).unwrap_or_default();
        match text {
            [b'#', ..] => words.skip_line(),
            b"macdef" => words.skip_macro(),
            b"default" => inside = false,
            b"machine" | b"login" | b"password" | b"account" => {
                let Some(value) = words.next() else { break };
                let there = file.get(value.clone()).unwrap_or_default();
                let asked = if part == Part::User { b"login".as_slice() } else { b"password" };
                if text == b"machine" {
                    inside = there == name.as_bytes();
                    entries += usize::from(inside);
                    if entries > 1 {
                        return Err(ambiguous(file, value.start, TWICE));
                    }
                } else if inside && text == asked {
                    if found.is_some() {
                        return Err(ambiguous(file, value.start, TWICE));
                    }
                    found = Some(netrc_spot(there, value));
                }
            }
            _ => return Err(ambiguous(file, word.start, STRANGE)),
        }
    }
    Ok(found)
}

/// Every login of a `.netrc`.
pub(crate) fn netrc_all(file: &[u8]) -> Vec<(Slot, Spot)> {
    let mut words = Words { file, at: 0 };
    let mut machine: Option<&str> = None;
    let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found: Vec<(&str, Part, Spot)> = Vec::new();
    let mut strange = false;
    while let Some(word) = words.next() {
        let text = file.get(word).unwrap_or_default();
        match text {
            [b'#', ..] => words.skip_line(),
            b"macdef" => words.skip_macro(),
            b"default" => machine = None,
            b"machine" | b"login" | b"password" | b"account" => {
                let Some(value) = words.next() else { break };
                let there = file.get(value.clone()).unwrap_or_default();
                match (text, machine) {
                    (b"machine", _) => {
                        machine = std::str::from_utf8(there).ok();
                        *entries.entry(machine.unwrap_or_default()).or_default() += 1;
                    }
                    (b"login", Some(name)) => found.push((name, Part::User, netrc_spot(there, value))),
                    (b"password", Some(name)) => {
                        found.push((name, Part::Password, netrc_spot(there, value)));
                    }
                    (_, Some(_) | None) => {}
                }
            }
            _ => {
                strange = true;
                break;
            }
        }
    }
    let mut times: BTreeMap<(&str, Part), usize> = BTreeMap::new();
    for (name, part, _) in &found {
        *times.entry((name, *part)).or_default() += 1;
    }
    let told = |(name, part, mut spot): (&str, Part, Spot)| {
        let twice = entries.get(name).is_some_and(|entries| *entries > 1);
        if strange {
            spot.value = Err(STRANGE);
        } else if twice || times.get(&(name, part)).is_some_and(|times| *times > 1) {
            spot.value = Err(TWICE);
        }
        (Slot::Entry { name: name.to_owned(), part }, spot)
    };
    found.into_iter().map(told).collect()
}

fn netrc_spot(text: &[u8], span: Range<usize>) -> Spot {
    match text.first() == Some(&b'#') || text.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\\')) {
        true => Spot::doubtful(span, "quotes, a backslash or a comment in the place of a plain word"),
        false => Spot::new(span, Ok(SecretBytes::new(text.to_vec())), NetrcWord),
    }
}

struct Words<'a> {
    file: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn skip_line(&mut self) {
        while self.file.get(self.at).is_some_and(|byte| *byte != b'\n') {
            self.at += 1;
        }
    }

    /// A macro ends at an empty line.
    fn skip_macro(&mut self) {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let end = rest.windows(2).position(|pair| pair == b"\n\n");
        self.at += end.unwrap_or(rest.len());
    }
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while self.file.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        let start = self.at;
        while self.file.get(self.at).is_some_and(|byte| !byte.is_ascii_whitespace()) {
            self.at += 1;
        }
        (start < self.at).then_some(start..self.at)
    }
}

/// A word of `.netrc`, as it is.
struct NetrcWord;

impl Spelling for NetrcWord {
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let text = quoted::text(new)?;
        self.carries(text.as_bytes(), 0)?;
        Ok(SecretBytes::new(text.as_bytes().to_vec()))
    }

    /// `#` at the start would begin a comment, and some readers strip quotes and backslashes.
    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'\'' | b'\\');
        match alphabet.iter().all(plain) {
            true => Ok(()),
            false => Err("it has blanks, quotes, a backslash, # or bytes beyond ASCII"),
        }
    }
}

/// A line of `.git-credentials`: `https://user:password@host[:port][/path]`, percent-encoded (git-credential-store).
pub(crate) fn git(file: &[u8], name: &str, part: Part) -> Result<Option<Spot>, CopyError> {
    let why = "a line is named by https://host or https://user@host, with its path if it has one";
    let wrong = || CopyError::Pointer { at: name.to_owned(), why };
    let wanted = Address::of(name.as_bytes(), 0..name.len()).ok_or_else(wrong)?;
    let text = |all: &[u8], span: &Range<usize>| percent::decode(all.get(span.clone()).unwrap_or_default());
    let mut found: Option<Spot> = None;
    for span in lines(file) {
        let Some(address) = Address::of(file, span.clone()) else { continue };
        let same = |one: &Range<usize>, other: &Range<usize>| text(file, one) == text(name.as_bytes(), other);
        let (Some(user), Some(password)) = (&address.user, &address.password) else { continue };
        let place =
            [(&address.scheme, &wanted.scheme), (&address.host, &wanted.host), (&address.path, &wanted.path)];
        if !place.iter().all(|(one, other)| same(one, other))
            || wanted.user.as_ref().is_some_and(|one| !same(user, one))
        {
            continue;
        }
        if found.is_some() {
            return Err(ambiguous(file, span.start, TWICE));
        }
        let span = if part == Part::User { user } else { password }.clone();
        found = Some(match text(file, &span) {
            Some(value) => Spot::new(span, Ok(SecretBytes::new(value)), UrlPart),
            None => Spot::doubtful(span, "a % that no two digits follow"),
        });
    }
    Ok(found)
}

/// Every login of a `.git-credentials`.
pub(crate) fn git_all(file: &[u8]) -> Vec<(Slot, Spot)> {
    let mut times: BTreeMap<[Option<Vec<u8>>; 4], usize> = BTreeMap::new();
    let mut found = Vec::new();
    for line in lines(file) {
        let Some(address) = Address::of(file, line.clone()) else { continue };
        let (Some(user), Some(password)) = (address.user, address.password) else { continue };
        let part = |span: &Range<usize>| file.get(span.clone()).unwrap_or_default();
        let name = [part(&(line.start..user.end)), b"@", part(&(address.host.start..line.end))].concat();
        let known =
            [&address.scheme, &user, &address.host, &address.path].map(|span| percent::decode(part(span)));
        let Ok(name) = String::from_utf8(name) else { continue };
        *times.entry(known.clone()).or_default() += 1;
        for (part, span) in [(Part::User, user), (Part::Password, password)] {
            let spot = match percent::decode(file.get(span.clone()).unwrap_or_default()) {
                Some(value) => Spot::new(span, Ok(SecretBytes::new(value)), UrlPart),
                None => Spot::doubtful(span, "a % that no two digits follow"),
            };
            found.push((known.clone(), Slot::Entry { name: name.clone(), part }, spot));
        }
    }
    let told = |(known, slot, mut spot): ([Option<Vec<u8>>; 4], Slot, Spot)| {
        if times.get(&known).is_some_and(|times| *times > 1) {
            spot.value = Err(TWICE);
        }
        (slot, spot)
    };
    found.into_iter().map(told).collect()
}

/// The spans of a URL.
struct Address {
    scheme: Range<usize>,
    user: Option<Range<usize>>,
    password: Option<Range<usize>>,
    host: Range<usize>,
    path: Range<usize>,
}

impl Address {
    fn of(all: &[u8], span: Range<usize>) -> Option<Self> {
        let line = all.get(span.clone())?;
        let colon = line.windows(3).position(|three| three == b"://")?;
        let scheme = span.start..span.start + colon;
        let rest = scheme.end + 3..span.end;
        let behind = all.get(rest.clone())?;
        let end = behind.iter().position(|byte| *byte == b'/').unwrap_or(behind.len());
        let path = rest.start + end..rest.end;
        let authority = all.get(rest.start..path.start)?;
        let (login, host) = match authority.iter().rposition(|byte| *byte == b'@') {
            Some(at) => (Some(rest.start..rest.start + at), rest.start + at + 1..path.start),
            None => (None, rest.start..path.start),
        };
        let (user, password) = match login {
            None => (None, None),
            Some(login) => match all.get(login.clone())?.iter().position(|byte| *byte == b':') {
                Some(at) => (Some(login.start..login.start + at), Some(login.start + at + 1..login.end)),
                None => (Some(login), None),
            },
        };
        (!scheme.is_empty() && !host.is_empty()).then_some(Self { scheme, user, password, host, path })
    }
}

/// A user or a password of a URL, percent-encoded.
struct UrlPart;

impl Spelling for UrlPart {
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        if new.expose().is_empty() {
            return Err("it is empty");
        }
        self.carries(new.expose(), 0)?;
        let mut out = Vec::with_capacity(new.len() * 3);
        percent::encode(new.expose(), &mut out);
        Ok(SecretBytes::new(out))
    }

    /// Git refuses an encoded line end.
    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        match alphabet.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r')) {
            true => Err("it has a NUL or a line end, which git refuses"),
            false => Ok(()),
        }
    }
}
