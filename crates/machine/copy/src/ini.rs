//! Files of `name = value` lines under `[section]` heads. What their readers do, by their own documents: Python's
//! configparser (AWS credentials, supervisord), MySQL's option files, npm's `ini` package.

use std::collections::BTreeMap;
use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::slot::Pointer;
use crate::spot::{Spelling, Spot, ambiguous, lines};
use crate::{CopyError, quoted, supervisor};

const TWICE: &str = "a name that stands there twice, or is written in another way";

const TWICE_SECTION: &str = "a section that stands there twice";

/// The quotes around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
}

impl Spelling for Quotes {
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let text = quoted::text(new)?;
        carries(text.as_bytes())?;
        // npm reads these words not as texts, even in quotes, and also a number in single quotes.
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

    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        carries(alphabet)
    }
}

/// Bytes that stand for themselves for every reader. `%` is a reference for configparser, `$` for npm; `#` and `;`
/// begin a comment; `\` is an escape; quotes and blanks at the ends are stripped; and a bracket at the start begins a
/// section. The three words that npm does not read as texts are refused only for an actual value: every issuer's
/// alphabet has their letters.
fn carries(alphabet: &[u8]) -> Result<(), &'static str> {
    let means_itself = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:+=@,^~!*?&|()<>".contains(byte);
    match alphabet.iter().all(means_itself) {
        true => Ok(()),
        false => Err("it has bytes that some readers of such files take for something else"),
    }
}

/// The dialect of these files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IniDialect {
    /// A name ends at `=` or `:`; sections.
    Ini,
    /// A name ends at `=` and may have `:` and `/` in it; keys before any section.
    Npmrc,
}

/// The value of a name: `/section/name`, or `/name` before any section.
pub(crate) fn find(file: &[u8], pointer: &Pointer, kind: IniDialect) -> Result<Option<Spot>, CopyError> {
    let (wanted, name) = match pointer.steps() {
        [name] => (None, name),
        [section, name] => (Some(section.as_str()), name),
        [section, list, name] if kind == IniDialect::Ini && supervisor::is_list(section, list) => {
            return supervisor::find(file, section, name);
        }
        _ => {
            let slot = crate::Slot::At(pointer.clone()).to_string();
            return Err(CopyError::WrongSlot {
                slot,
                why: "such a file has sections and names, no deeper tables",
            });
        }
    };
    let (mut section, mut sections_seen, mut found) = (None, 0, None);
    for line in scan(file, kind) {
        match line {
            Line::Head(head) => {
                let text = file.get(head.clone());
                sections_seen += usize::from(wanted.is_some_and(|wanted| text == Some(wanted.as_bytes())));
                if sections_seen > 1 {
                    return Err(ambiguous(file, head.start, TWICE_SECTION));
                }
                section = Some(head);
            }
            Line::Setting(setting) => {
                let current = section.clone().and_then(|section: Range<usize>| file.get(section));
                let there = file.get(setting.name.clone()).unwrap_or_default();
                if current != wanted.map(str::as_bytes) || !same(there, name.as_bytes()) {
                    continue;
                }
                if found.is_some() || there != name.as_bytes() {
                    return Err(ambiguous(file, setting.name.start, TWICE));
                }
                found = Some(setting.spot(file));
            }
        }
    }
    Ok(found)
}

/// Every setting with its place.
pub(crate) fn all(file: &[u8], kind: IniDialect) -> Vec<(Pointer, Spot)> {
    let mut sections: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut names: BTreeMap<(Option<&[u8]>, Vec<u8>), usize> = BTreeMap::new();
    let mut section = None;
    let lines: Vec<Line> = scan(file, kind).collect();
    for line in &lines {
        match line {
            Line::Head(head) => {
                section = file.get(head.clone());
                *sections.entry(section.unwrap_or_default()).or_default() += 1;
            }
            Line::Setting(setting) => *names.entry(setting.known_as(section, file)).or_default() += 1,
        }
    }
    let mut found = Vec::new();
    section = None;
    for line in lines {
        let setting = match line {
            Line::Head(head) => {
                section = file.get(head);
                continue;
            }
            Line::Setting(setting) => setting,
        };
        let mut spot = setting.spot(file);
        if section.is_some_and(|section| sections.get(section).is_some_and(|times| *times > 1)) {
            spot.value = Err(TWICE_SECTION);
        } else if names.get(&setting.known_as(section, file)).is_some_and(|times| *times > 1) {
            spot.value = Err(TWICE);
        }
        found.extend(setting.pointer(section, file, kind).map(|pointer| (pointer, spot)));
    }
    if kind == IniDialect::Ini && sections.keys().any(|name| is_supervisors(name)) {
        // A list is no value itself, and an indented line of it looks like a setting of its own.
        let lists = supervisor::lists(file);
        found.retain(|(_, spot)| !lists.iter().any(|list| list.contains(&spot.span.start)));
        found.extend(supervisor::all(file));
    }
    found
}

fn is_supervisors(section: &[u8]) -> bool {
    std::str::from_utf8(section).is_ok_and(supervisor::is_section)
}

/// The kinds of lines, without blank lines and comments.
enum Line {
    /// The name of a section.
    Head(Range<usize>),
    Setting(Setting),
}

/// A name with its value.
struct Setting {
    name: Range<usize>,
    value: Range<usize>,
    /// What readers disagree about.
    doubt: Option<&'static str>,
}

impl Setting {
    fn spot(&self, file: &[u8]) -> Spot {
        match self.doubt {
            Some(why) => Spot::doubtful(self.value.clone(), why),
            None => spot(file, self.value.clone()),
        }
    }

    /// The identity of a setting: two settings that some reader takes for the same one are equal by it.
    fn known_as<'a>(&self, section: Option<&'a [u8]>, file: &[u8]) -> (Option<&'a [u8]>, Vec<u8>) {
        let name = file.get(self.name.clone()).unwrap_or_default();
        (section, name.iter().map(alike).collect())
    }

    fn pointer(&self, section: Option<&[u8]>, file: &[u8], kind: IniDialect) -> Option<Pointer> {
        let name = std::str::from_utf8(file.get(self.name.clone())?).ok()?;
        match (kind, section) {
            (IniDialect::Npmrc, None) => Some(Pointer::key(name)),
            // npm's settings have no sections.
            (IniDialect::Npmrc, Some(_)) => None,
            (IniDialect::Ini, section) => {
                let section = section.map(|section| std::str::from_utf8(section)).transpose().ok()?;
                let way = section.map_or_else(String::new, |section| Pointer::behind("", section));
                Pointer::parse(&Pointer::behind(&way, name)).ok()
            }
        }
    }
}

/// The lines of a file, without blank lines and comments.
fn scan(file: &[u8], kind: IniDialect) -> impl Iterator<Item = Line> {
    let mut rest = lines(file);
    std::iter::from_fn(move || {
        loop {
            let span = rest.next()?;
            if let Some(line) = read(file, span, rest.clone(), kind) {
                return Some(line);
            }
        }
    })
}

fn read(
    file: &[u8],
    span: Range<usize>,
    rest: impl Iterator<Item = Range<usize>>,
    kind: IniDialect,
) -> Option<Line> {
    let line = file.get(span.clone()).unwrap_or_default();
    let inner = trimmed(line);
    let text = line.get(inner.clone()).unwrap_or_default();
    if is_nothing(text) {
        return None;
    }
    let at = span.start + inner.start;
    let head = text.strip_prefix(b"[").and_then(|rest| rest.iter().position(|byte| *byte == b']'));
    if let Some(length) = head {
        return Some(Line::Head(at + 1..at + 1 + length));
    }
    let ends = |byte: &u8| *byte == b'=' || kind == IniDialect::Ini && *byte == b':';
    let end = text.iter().position(ends)?;
    let name = trimmed(text.get(..end).unwrap_or_default());
    let value = trimmed(text.get(end + 1..).unwrap_or_default());
    // Blank lines and comments do not end a value that continues on an indented line.
    let mut rest = rest.filter_map(|next| file.get(next));
    let next = rest.find(|next| !is_nothing(next.trim_ascii()));
    let continued = next.is_some_and(|next| next.starts_with(b" ") || next.starts_with(b"\t"));
    let doubt = match (kind, inner.start > 0, continued) {
        (IniDialect::Npmrc, _, _) | (IniDialect::Ini, false, false) => None,
        (IniDialect::Ini, true, _) => {
            Some("an indented line, which some readers take for more of the one before")
        }
        (IniDialect::Ini, false, true) => {
            Some("an indented line behind the value, which some readers take for more of it")
        }
    };
    Some(Line::Setting(Setting {
        name: at + name.start..at + name.end,
        value: at + end + 1 + value.start..at + end + 1 + value.end,
        doubt,
    }))
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
    Spot::new(span, Ok(SecretBytes::new(text.to_vec())), quotes)
}

/// Equal for a reader that ignores case (configparser) or the difference between `-` and `_` (MySQL).
fn same(one: &[u8], other: &[u8]) -> bool {
    one.iter().map(alike).eq(other.iter().map(alike))
}

fn alike(byte: &u8) -> u8 {
    if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
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
