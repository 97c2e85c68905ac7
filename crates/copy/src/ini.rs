//! Files of `name = value` lines under `[section]` heads. What their readers do, by their own documents: Python's
//! configparser (AWS credentials, supervisord), MySQL's option files, npm's `ini` package.

use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::slot::Pointer;
use crate::spot::{Spot, Style, ambiguous};
use crate::{CopyError, quoted};

/// What stands around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    None,
    Single,
    Double,
}

impl Quotes {
    pub(crate) fn spell(self, value: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let text = quoted::text(value)?;
        carries(text.as_bytes())?;
        // npm takes these words for no text, quoted too, and a number in single quotes.
        if matches!(text, "true" | "false" | "null") {
            return Err("it is a word that some readers take for no text");
        }
        let number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        Ok(match self {
            Self::None => SecretBytes::new(text.as_bytes().to_vec()),
            Self::Single if !number => quoted::around(b'\'', text.as_bytes()),
            Self::Single | Self::Double => quoted::around(b'"', text.as_bytes()),
        })
    }
}

/// Bytes that mean themselves to every reader: `%` is a reference to configparser, `$` to npm, `#` and `;` begin a
/// comment, `\` is an escape, quotes and blanks at the ends are taken off, and a bracket at the start is a section.
/// Three words are refused when such a value is there: no alphabet of an issuer lacks their letters.
pub(crate) fn carries(alphabet: &[u8]) -> Result<(), &'static str> {
    let means_itself = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:+=@,^~!*?&|()<>".contains(byte);
    match alphabet.iter().all(means_itself) {
        true => Ok(()),
        false => Err("it has bytes that some readers of such files take for something else"),
    }
}

/// How a kind of these files is taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name ends at `=` or `:`; sections.
    Ini,
    /// A name ends at `=` and may have `:` and `/` in it; keys before any section.
    Npmrc,
}

/// The value of a name: `/section/name`, or `/name` before any section.
pub(crate) fn find(file: &[u8], pointer: &Pointer, kind: Kind) -> Result<Option<Spot>, CopyError> {
    let (wanted, name) = match pointer.steps() {
        [name] => (None, name),
        [section, name] => (Some(section.as_str()), name),
        _ => {
            let slot = crate::Slot::At(pointer.clone()).to_string();
            return Err(CopyError::WrongSlot {
                slot,
                why: "such a file has sections and names, no deeper tables",
            });
        }
    };
    let mut scan = Scan { section: None, sections_seen: 0, found: None };
    let mut lines = lines(file);
    while let Some(span) = lines.next() {
        scan.line(file, span, lines.clone(), (wanted, name), kind)?;
    }
    Ok(scan.found)
}

struct Scan {
    section: Option<Range<usize>>,
    sections_seen: usize,
    found: Option<Spot>,
}

impl Scan {
    fn line(
        &mut self,
        file: &[u8],
        span: Range<usize>,
        rest: impl Iterator<Item = Range<usize>>,
        (wanted, name): (Option<&str>, &str),
        kind: Kind,
    ) -> Result<(), CopyError> {
        let line = file.get(span.clone()).unwrap_or_default();
        let inner = trimmed(line);
        let text = line.get(inner.clone()).unwrap_or_default();
        if is_nothing(text) {
            return Ok(());
        }
        if let Some(head) = text
            .strip_prefix(b"[")
            .and_then(|rest| rest.iter().position(|byte| *byte == b']').and_then(|end| rest.get(..end)))
        {
            let at = span.start + inner.start + 1;
            self.section = Some(at..at + head.len());
            self.sections_seen += usize::from(wanted.is_some_and(|wanted| wanted.as_bytes() == head));
            if self.sections_seen > 1 {
                return Err(ambiguous(file, at, "a section that stands there twice"));
            }
            return Ok(());
        }
        let current = self.section.clone().and_then(|section| file.get(section));
        if current != wanted.map(str::as_bytes) {
            return Ok(());
        }
        let ends = |byte: &u8| *byte == b'=' || kind == Kind::Ini && *byte == b':';
        let Some(end) = text.iter().position(ends) else { return Ok(()) };
        let found = text.get(..end).map(|name| name.trim_ascii()).unwrap_or_default();
        if !same(found, name.as_bytes()) {
            return Ok(());
        }
        let at = span.start + inner.start;
        if self.found.is_some() || found != name.as_bytes() {
            return Err(ambiguous(file, at, "a name that stands there twice, or is written in another way"));
        }
        let value = trimmed(text.get(end + 1..).unwrap_or_default());
        let value = at + end + 1 + value.start..at + end + 1 + value.end;
        let indented = inner.start > 0 && kind == Kind::Ini;
        // Blank lines and comments do not end a value that goes on with an indented line.
        let mut rest = rest.filter_map(|next| file.get(next));
        let next = rest.find(|next| !is_nothing(next.trim_ascii()));
        let continued =
            kind == Kind::Ini && next.is_some_and(|next| next.starts_with(b" ") || next.starts_with(b"\t"));
        self.found = Some(match (indented, continued) {
            (true, _) => {
                Spot::doubtful(value, "an indented line, which some readers take for more of the one before")
            }
            (_, true) => Spot::doubtful(
                value,
                "an indented line behind the value, which some readers take for more of it",
            ),
            (false, false) => spot(file, value),
        });
        Ok(())
    }
}

fn spot(file: &[u8], span: Range<usize>) -> Spot {
    let raw = file.get(span.clone()).unwrap_or_default();
    let inner = |quote: u8| {
        let rest = raw.strip_prefix(&[quote])?.strip_suffix(&[quote])?;
        (!rest.is_empty()).then_some(rest)
    };
    let (quotes, text) = match (inner(b'\''), inner(b'"')) {
        (Some(text), _) => (Quotes::Single, text),
        (None, Some(text)) => (Quotes::Double, text),
        (None, None) => (Quotes::None, raw),
    };
    if text.windows(2).any(|pair| matches!(pair, [b' ' | b'\t', b'#' | b';'])) {
        return Spot::doubtful(span, "a comment behind the value, which is a part of it for some readers");
    }
    let doubtful = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\' | b'#' | b';');
    if text.iter().any(doubtful) {
        return Spot::doubtful(span, "quotes, a backslash or a mark of a comment inside the value");
    }
    Spot { span, value: Ok(SecretBytes::new(text.to_vec())), style: Style::Ini(quotes) }
}

/// configparser does not distinguish capitals, MySQL does not distinguish `-` and `_`.
fn same(one: &[u8], other: &[u8]) -> bool {
    let plain = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    one.iter().map(plain).eq(other.iter().map(plain))
}

/// An empty line or a comment.
fn is_nothing(text: &[u8]) -> bool {
    text.is_empty() || text.starts_with(b"#") || text.starts_with(b";")
}

/// The part of a line without blanks at its ends.
fn trimmed(line: &[u8]) -> Range<usize> {
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(start, |last| last + 1);
    start..end
}

/// The lines of a file, without their ends.
pub(crate) fn lines(file: &[u8]) -> impl Iterator<Item = Range<usize>> + Clone {
    let mut at = 0;
    file.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let start = at;
        at += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        start..start + line.strip_suffix(b"\r").unwrap_or(line).len()
    })
}
