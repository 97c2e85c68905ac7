//! supervisord's configuration, and in it the lists `NAME="value",OTHER='v,w'` of `environment=`.
//!
//! Source: supervisor 4.3.0, options.py (`UnhosedConfigParser`, `expand`) and datatypes.py (`dict_of_key_value_pairs`),
//! with configparser.py and shlex.py of Python 3.11.

use std::ops::Range;
use std::sync::Arc;

use keyroll_secret::SecretBytes;

use crate::slot::Pointer;
use crate::spot::{MADE_OF_OTHERS, Spelling, Spot, ambiguous, line_of, lines};
use crate::{CopyError, quoted};

/// The key of these lists.
const KEY: &str = "environment";

/// The sections that have them, each with what follows its name.
const SECTIONS: [&str; 4] = ["supervisord", "program:", "fcgi-program:", "eventlistener:"];

/// One bad entry is enough.
const NO_LIST: &str = "supervisord cannot read the list that it is in, or reads it otherwise than it looks: a value with more than letters and digits needs quotes, a comma follows it, and each % is doubled";

const CHANGES: &str =
    "a variable that the list refers to has a value that may change how supervisord splits it";

/// The names beside those of variables that supervisord knows. Source: supervisor 4.3.0, options.py,
/// `processes_from_section`.
const NAMES: [&str; 6] = ["here", "host_node_name", "program_name", "group_name", "process_num", "numprocs"];

/// The most references of one list that are followed.
const REFERENCES_MAX: usize = 256;

/// A name and its value in a section. A value continues on indented lines.
pub struct SupervisorSetting {
    /// The section, without its brackets.
    pub section: String,
    /// The name, in small letters.
    pub key: String,
    /// The lines of the value, without comments.
    pub text: SecretBytes,
    /// Offsets in the text with the same place in the file, ascending.
    starts: Vec<(usize, usize)>,
}

/// One variable of a list.
pub struct SupervisorVariable {
    /// Its name.
    pub name: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its spelling in the file, quotes included.
    span: Range<usize>,
    quote: Option<u8>,
    /// What is between the quotes.
    text: SecretBytes,
    wrong: Option<&'static str>,
    /// The variables that any entry of the list refers to, each with the quote around it.
    of_list: Arc<[(String, Option<u8>)]>,
}

/// The settings of a configuration, in the order of the file.
pub fn supervisor_settings(file: &[u8]) -> Vec<SupervisorSetting> {
    let mut all: Vec<SupervisorSetting> = Vec::new();
    let (mut section, mut open) = (String::new(), false);
    for span in lines(file) {
        let line = file.get(span.clone()).unwrap_or_default();
        let indented = line.first().is_some_and(u8::is_ascii_whitespace);
        let comment = |at: usize| {
            let before = at.checked_sub(1).and_then(|before| line.get(before));
            matches!(line.get(at), Some(b'#' | b';')) && before.is_none_or(u8::is_ascii_whitespace)
        };
        let end = (0..line.len()).find(|at| comment(*at)).unwrap_or(line.len());
        let line = line.get(..end).unwrap_or_default();
        let at = span.start + line.len() - line.trim_ascii_start().len();
        let line = line.trim_ascii();
        let first = line.strip_prefix(b"[").and_then(|rest| rest.iter().rposition(|byte| *byte == b']'));
        if line.is_empty() {
            continue;
        }
        if let (true, true, Some(last)) = (indented, open, all.last_mut()) {
            let text = [last.text.expose(), b"\n", line].concat();
            last.starts.push((last.text.len() + 1, at));
            last.text = SecretBytes::new(text);
        } else if let Some(length) = first {
            section = String::from_utf8_lossy(line.get(1..=length).unwrap_or_default()).into_owned();
            open = false;
        } else if let Some(equals) = line.iter().position(|byte| matches!(byte, b'=' | b':')) {
            let (key, rest) = (line.get(..equals).unwrap_or_default(), line.get(equals + 1..));
            let value = rest.unwrap_or_default().trim_ascii();
            all.push(SupervisorSetting {
                section: section.clone(),
                key: String::from_utf8_lossy(key.trim_ascii()).to_ascii_lowercase(),
                text: SecretBytes::new(value.to_vec()),
                starts: vec![(0, at + line.len() - value.len())],
            });
            open = true;
        }
    }
    all
}

/// Whether a section of this name belongs to supervisord.
pub(crate) fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|own| if own.ends_with(':') { name.starts_with(own) } else { name == *own })
}

/// Whether a key of a section is a list of variables.
pub(crate) fn is_list(section: &str, key: &str) -> bool {
    is_section(section) && key.eq_ignore_ascii_case(KEY)
}

/// Where the lists of a file are.
pub(crate) fn lists(file: &[u8]) -> Vec<Range<usize>> {
    let settings = supervisor_settings(file).into_iter().filter(|one| is_list(&one.section, &one.key));
    settings.map(|one| one.in_file(0)..one.in_file(one.text.len()) + 1).collect()
}

/// Every variable that has a value of its own, with its place.
pub(crate) fn all(file: &[u8]) -> Vec<(Pointer, Spot)> {
    let settings = supervisor_settings(file);
    let mut found = Vec::new();
    for setting in settings.iter().filter(|one| is_list(&one.section, &one.key)) {
        let variables = setting.variables(file);
        for one in &variables {
            let steps = [setting.section.as_str(), KEY, one.name.as_str()];
            let way = steps.iter().fold(String::new(), |way, step| Pointer::behind(&way, step));
            let Ok(pointer) = Pointer::parse(&way) else { continue };
            if one.is_reference() {
                continue;
            }
            let mut spot = one.spot();
            if variables.iter().filter(|other| other.name == one.name).count() > 1 {
                spot.value = Err("a name that stands there twice");
            }
            found.push((pointer, spot));
        }
    }
    found
}

/// The variable of a section's list.
pub(crate) fn find(file: &[u8], section: &str, name: &str) -> Result<Option<Spot>, CopyError> {
    let settings = supervisor_settings(file);
    let lists = settings.iter().filter(|one| one.section == section && is_list(section, &one.key));
    let mut found: Option<SupervisorVariable> = None;
    for one in lists.flat_map(|list| list.variables(file)).filter(|one| one.name == name) {
        if found.is_some() {
            return Err(ambiguous(file, one.span.start, "a name that stands there twice"));
        }
        found = Some(one);
    }
    Ok(found.map(|one| one.spot()))
}

impl SupervisorSetting {
    fn in_file(&self, at: usize) -> usize {
        let start = self.starts.iter().rev().find(|(own, _)| *own <= at);
        start.map_or(at, |(own, file)| file + (at - own))
    }

    /// The list of variables that a value is. `file` is the file that the setting was read from.
    pub fn variables(&self, file: &[u8]) -> Vec<SupervisorVariable> {
        let text = self.text.expose();
        let tokens = tokens(text);
        let (entries, good) = entries(text, &tokens.all);
        let of_list: Arc<[_]> = tokens.references.into();
        let good = good && tokens.good && of_list.len() <= REFERENCES_MAX;
        let variable = |(name, value): (Range<usize>, &Token)| {
            let Range { start, end } = value.span.clone();
            let inner = match value.quote {
                Some(_) => start + 1..end.saturating_sub(1).max(start + 1),
                None => start..end,
            };
            SupervisorVariable {
                name: String::from_utf8_lossy(text.get(name).unwrap_or_default()).into_owned(),
                line: line_of(file, self.in_file(start)),
                span: self.in_file(start)..self.in_file(end.saturating_sub(1).max(start)) + 1,
                quote: value.quote,
                text: SecretBytes::new(text.get(inner).unwrap_or_default().to_vec()),
                wrong: (!good).then_some(NO_LIST),
                of_list: Arc::clone(&of_list),
            }
        };
        entries.into_iter().map(variable).collect()
    }
}

impl SupervisorVariable {
    /// The value, with the value of each variable that it refers to (`%(ENV_NAME)s`).
    ///
    /// # Errors
    /// supervisord cannot read the list, a name is not known, or the value of one may change what the list is:
    /// supervisord puts in the values first, and splits the list then.
    pub fn value(&self, of: &dyn Fn(&str) -> Option<SecretBytes>) -> Result<SecretBytes, &'static str> {
        if let Some(why) = self.wrong {
            return Err(why);
        }
        let mut known = self.of_list.iter().filter_map(|(name, quote)| Some((of(name)?, *quote)));
        if known.any(|(value, quote)| !stays(&value, quote)) {
            return Err(CHANGES);
        }
        let mut pieces = Vec::new();
        for part in parts(self.text.expose()) {
            pieces.push(match part {
                Part::Text(text) => Piece::Own(text),
                Part::Variable(name) => Piece::Of(of(name).ok_or(MADE_OF_OTHERS)?),
                Part::Known | Part::Wrong => return Err(MADE_OF_OTHERS),
            });
        }
        // All of the room at once: a text that grew would leave a part of a value behind.
        let mut out = Vec::with_capacity(pieces.iter().map(|piece| piece.bytes().len()).sum());
        pieces.iter().for_each(|piece| out.extend_from_slice(piece.bytes()));
        let out = SecretBytes::new(out);
        let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'');
        let start = out.expose().iter().take_while(|byte| is_quote(byte)).count();
        let end = out.expose().iter().rposition(|byte| !is_quote(byte)).map_or(start, |last| last + 1);
        Ok(SecretBytes::new(out.expose().get(start..end).unwrap_or_default().to_vec()))
    }

    /// The variables that any entry of its list refers to: supervisord refuses the list if it does not know one of them.
    pub fn list_refers(&self) -> impl Iterator<Item = &str> {
        self.of_list.iter().map(|(name, _)| name.as_str())
    }

    /// The variables that it refers to.
    pub fn refers(&self) -> Vec<String> {
        let names = parts(self.text.expose()).filter_map(|part| match part {
            Part::Variable(name) => Some(name.to_owned()),
            Part::Text(_) | Part::Known | Part::Wrong => None,
        });
        names.collect()
    }

    /// Whether it is nothing but a reference: no value is written there.
    fn is_reference(&self) -> bool {
        let mut parts = parts(self.text.expose());
        matches!((parts.next(), parts.next()), (Some(Part::Variable(_) | Part::Known), None))
    }

    fn spot(&self) -> Spot {
        match self.value(&|_| None) {
            Ok(value) => Spot::new(self.span.clone(), Ok(value), InList { quote: self.quote }),
            Err(why) => Spot::doubtful(self.span.clone(), why),
        }
    }
}

/// A part of a value.
enum Piece<'t> {
    Own(&'t [u8]),
    Of(SecretBytes),
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(text) => text,
            Self::Of(value) => value.expose(),
        }
    }
}

/// A part of a format string of Python.
enum Part<'t> {
    Text(&'t [u8]),
    /// `%(ENV_NAME)s`
    Variable(&'t str),
    /// Another name that supervisord knows: `%(process_num)02d`.
    Known,
    /// Another `%`, which supervisord refuses.
    Wrong,
}

/// The parts of a format string. `%%` is one `%`.
fn parts(text: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let percent = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        let (part, length) = match percent {
            0 => percent_sign(rest),
            length => (Part::Text(rest.get(..length).unwrap_or_default()), length),
        };
        rest = rest.get(length..).unwrap_or_default();
        Some(part)
    })
}

/// What begins with this `%`.
fn percent_sign(text: &[u8]) -> (Part<'_>, usize) {
    let close = match text.get(1) {
        Some(b'%') => return (Part::Text(b"%"), 2),
        Some(b'(') => text.iter().position(|byte| *byte == b')'),
        Some(_) | None => return (Part::Wrong, 1),
    };
    let Some(close) = close else { return (Part::Wrong, text.len()) };
    let name = text.get(2..close).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
    let flags = skip(text, close + 1, |byte| byte.is_ascii_digit() || b"-+ #.".contains(&byte));
    let plain = flags == close + 1;
    let part = match (name.strip_prefix("ENV_"), text.get(flags)) {
        (Some(variable), Some(b's')) if plain => Part::Variable(variable),
        // Filled or cut; and a variable is no number.
        (Some(_), Some(b's' | b'r' | b'a')) => Part::Known,
        (None, Some(b's' | b'd' | b'i' | b'r' | b'a')) if NAMES.contains(&name) => Part::Known,
        (_, None) => return (Part::Wrong, text.len()),
        _ => Part::Wrong,
    };
    (part, flags + 1)
}

/// Whether a list is split in the same way with this value in it, in an entry with this quote.
fn stays(value: &SecretBytes, quote: Option<u8>) -> bool {
    match quote {
        Some(quote) => !value.expose().contains(&quote),
        None => !value.is_empty() && value.expose().iter().all(|byte| in_word(*byte)),
    }
}

fn skip(text: &[u8], at: usize, over: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !over(*byte)).unwrap_or(rest.len())
}

/// The letters of a word for shlex, as supervisord sets it.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_/.+-():".contains(&byte)
}

/// A word, a text in quotes, or one other character.
struct Token {
    span: Range<usize>,
    quote: Option<u8>,
}

/// The tokens of a list, as shlex of Python makes them. A reference counts as a part of a word.
#[derive(Default)]
struct Tokens {
    all: Vec<Token>,
    /// Each variable that is referred to, with the quote around it.
    references: Vec<(String, Option<u8>)>,
    /// Nothing is in it that supervisord refuses.
    good: bool,
}

/// What a list has at one place: a character, or of a longer one its first byte; or a reference.
enum Unit {
    Byte(u8),
    Word,
}

impl Tokens {
    /// What is at a place, and where it ends; `None` = the end of the text.
    fn unit(&mut self, text: &[u8], at: usize, quote: Option<u8>) -> Option<(Unit, usize)> {
        let rest = text.get(at..)?;
        match *rest.first()? {
            b'%' => {
                let (part, length) = percent_sign(rest);
                let unit = match part {
                    Part::Text(_) => Unit::Byte(b'%'),
                    Part::Variable(_) | Part::Known | Part::Wrong => Unit::Word,
                };
                match part {
                    Part::Variable(name) => self.references.push((name.to_owned(), quote)),
                    Part::Wrong => self.good = false,
                    Part::Text(_) | Part::Known => {}
                }
                Some((unit, at + length))
            }
            byte if byte.is_ascii() => Some((Unit::Byte(byte), at + 1)),
            byte => Some((Unit::Byte(byte), skip(text, at + 1, |next| (0x80..0xc0).contains(&next)))),
        }
    }

    /// The end of a text in quotes that begins behind its quote.
    fn quoted(&mut self, text: &[u8], mut at: usize, quote: u8) -> usize {
        while let Some((unit, end)) = self.unit(text, at, Some(quote)) {
            at = end;
            if matches!(unit, Unit::Byte(byte) if byte == quote) {
                return at;
            }
        }
        self.good = false;
        at
    }

    /// The end of a word. A quote within it is a letter.
    fn word(&mut self, text: &[u8], mut at: usize) -> usize {
        loop {
            match text.get(at) {
                // A comment. The word continues in the next line, if there is one.
                Some(b'#') => {
                    self.good &= !text.get(at..).unwrap_or_default().contains(&b'\n');
                    return at;
                }
                Some(byte) if in_word(*byte) || matches!(byte, b'"' | b'\'') => at += 1,
                Some(b'%') if text.get(at + 1) != Some(&b'%') => match self.unit(text, at, None) {
                    Some((_, end)) => at = end,
                    None => return at,
                },
                Some(_) | None => return at,
            }
        }
    }
}

/// Source: shlex.py of Python 3.11, `read_token`, without its mode for POSIX.
fn tokens(text: &[u8]) -> Tokens {
    let mut tokens = Tokens { good: std::str::from_utf8(text).is_ok(), ..Tokens::default() };
    let mut at = 0;
    while let Some(first) = text.get(at) {
        let (end, quote) = match *first {
            b' ' | b'\t' | b'\r' | b'\n' | b'#' => {
                at = if *first == b'#' { skip(text, at, |byte| byte != b'\n') } else { at + 1 };
                continue;
            }
            quote @ (b'"' | b'\'') => (tokens.quoted(text, at + 1, quote), Some(quote)),
            byte if in_word(byte) || (byte == b'%' && text.get(at + 1) != Some(&b'%')) => {
                (tokens.word(text, at), None)
            }
            _ => (tokens.unit(text, at, None).map_or(at + 1, |(_, end)| end), None),
        };
        tokens.all.push(Token { span: at..end, quote });
        at = end;
    }
    tokens
}

/// The names of a list and their values: each name, `=`, a value, and one token that separates it from the next. The
/// second is whether the whole list is so. Behind a bad entry it continues after the next comma.
fn entries<'t>(text: &[u8], tokens: &'t [Token]) -> (Vec<(Range<usize>, &'t Token)>, bool) {
    let is = |token: &Token, mark: &[u8]| text.get(token.span.clone()) == Some(mark);
    let (mut all, mut good) = (Vec::new(), true);
    let mut rest = tokens;
    while !rest.is_empty() {
        let behind = match rest {
            [name, equals, value, ..] if is(equals, b"=") => {
                all.push((name.span.clone(), value));
                4
            }
            _ => {
                good = false;
                rest.iter().position(|token| is(token, b",")).map_or(rest.len(), |comma| comma + 1)
            }
        };
        rest = rest.get(behind..).unwrap_or_default();
    }
    (all, good)
}

/// A value of a list.
struct InList {
    quote: Option<u8>,
}

impl Spelling for InList {
    fn spell(&self, _old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        let text = quoted::text(new)?;
        let bytes = text.as_bytes();
        if bytes.iter().any(|byte| !byte.is_ascii_graphic() && *byte != b' ') {
            return Err("it has a line end, a control character, or bytes beyond ASCII");
        }
        let comment = |pair: &[u8]| matches!(pair, [b' ', b';' | b'#']);
        let Some(quote) = self.quote else {
            return match bytes.iter().all(|byte| in_word(*byte)) {
                true => Ok(SecretBytes::new(bytes.to_vec())),
                false => Err("it has bytes that need quotes, and the present value has none"),
            };
        };
        let ends = [bytes.first(), bytes.last()];
        if bytes.contains(&quote) || ends.iter().any(|end| matches!(end, Some(b'"' | b'\''))) {
            return Err("it has a quote that supervisord would take off");
        }
        if bytes.windows(2).any(comment) {
            return Err("it has a blank and ; or # behind it, which begins a comment");
        }
        let mut out = Vec::with_capacity(bytes.len() * 2);
        for byte in bytes {
            out.push(*byte);
            if *byte == b'%' {
                out.push(*byte);
            }
        }
        let out = SecretBytes::new(out);
        Ok(quoted::around(quote, out.expose()))
    }

    fn carries(&self, alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        let quoted = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'');
        let good = match self.quote {
            Some(_) => alphabet.iter().all(quoted),
            None => alphabet.iter().all(|byte| in_word(*byte)),
        };
        if good { Ok(()) } else { Err("it has bytes that supervisord reads as something else there") }
    }
}
