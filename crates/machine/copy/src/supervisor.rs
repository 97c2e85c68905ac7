//! supervisord's configuration, and in it the lists `NAME="value",OTHER='v,w'` of `environment=`.
//!
//! Source: supervisor 4.3.0, options.py (`UnhosedConfigParser`, `expand`) and datatypes.py (`dict_of_key_value_pairs`),
//! with configparser.py and shlex.py of Python 3.11.

use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::slot::Pointer;
use crate::spot::{MADE_OF_OTHERS, Spelling, Spot, ambiguous, line_of, lines};
use crate::{CopyError, quoted};

/// The key of these lists.
const KEY: &str = "environment";

/// The sections that have them, each with what follows its name.
const SECTIONS: [&str; 4] = ["supervisord", "program:", "fcgi-program:", "eventlistener:"];

const NO_LIST: &str = "supervisord cannot read the list: a value with more than letters and digits needs quotes, and a comma follows it";

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
        let mut all = Vec::new();
        let mut at = 0;
        loop {
            at = skip(text, at, |byte| byte.is_ascii_whitespace());
            let name = at..skip(text, at, in_word);
            let equals = skip(text, name.end, |byte| byte.is_ascii_whitespace());
            if name.is_empty() || text.get(equals) != Some(&b'=') {
                return all;
            }
            let value = skip(text, equals + 1, |byte| byte.is_ascii_whitespace());
            let (end, quote) = token(text, value);
            let inner =
                if quote.is_some() { value + 1..end.saturating_sub(1).max(value + 1) } else { value..end };
            let comma = skip(text, end, |byte| byte.is_ascii_whitespace());
            let closed = quote.is_none_or(|quote| end > value + 1 && text.get(end - 1) == Some(&quote));
            let good = closed && end > value && matches!(text.get(comma), None | Some(b','));
            all.push(SupervisorVariable {
                name: String::from_utf8_lossy(text.get(name).unwrap_or_default()).into_owned(),
                line: line_of(file, self.in_file(value)),
                span: self.in_file(value)
                    ..self.in_file(end.saturating_sub(1).max(value)) + usize::from(end > value),
                quote,
                text: SecretBytes::new(text.get(inner).unwrap_or_default().to_vec()),
                wrong: (!good).then_some(NO_LIST),
            });
            if !good {
                return all;
            }
            at = comma + 1;
        }
    }
}

impl SupervisorVariable {
    /// The value, with the value of each variable that it refers to (`%(ENV_NAME)s`).
    ///
    /// # Errors
    /// supervisord cannot read the list, or a name is not known.
    pub fn value(&self, of: &dyn Fn(&str) -> Option<SecretBytes>) -> Result<SecretBytes, &'static str> {
        if let Some(why) = self.wrong {
            return Err(why);
        }
        let mut out = Vec::with_capacity(self.text.len());
        for part in parts(self.text.expose()) {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Name(name) => {
                    let known = name.strip_prefix("ENV_").and_then(of);
                    // What was gathered may hold a value.
                    let Some(known) = known else {
                        drop(SecretBytes::new(out));
                        return Err(MADE_OF_OTHERS);
                    };
                    out.extend_from_slice(known.expose());
                }
                Part::Wrong => {
                    drop(SecretBytes::new(out));
                    return Err(MADE_OF_OTHERS);
                }
            }
        }
        let out = SecretBytes::new(out);
        let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'');
        let start = out.expose().iter().take_while(|byte| is_quote(byte)).count();
        let end = out.expose().iter().rposition(|byte| !is_quote(byte)).map_or(start, |last| last + 1);
        Ok(SecretBytes::new(out.expose().get(start..end).unwrap_or_default().to_vec()))
    }

    /// The variables that it refers to.
    pub fn refers(&self) -> Vec<String> {
        let names = parts(self.text.expose()).filter_map(|part| match part {
            Part::Name(name) => name.strip_prefix("ENV_").map(str::to_owned),
            Part::Text(_) | Part::Wrong => None,
        });
        names.collect()
    }

    /// Whether it is nothing but a reference: no value is written there.
    fn is_reference(&self) -> bool {
        let mut parts = parts(self.text.expose());
        matches!((parts.next(), parts.next()), (Some(Part::Name(_)), None))
    }

    fn spot(&self) -> Spot {
        match self.value(&|_| None) {
            Ok(value) => Spot::new(self.span.clone(), Ok(value), InList { quote: self.quote }),
            Err(why) => Spot::doubtful(self.span.clone(), why),
        }
    }
}

/// A part of a format string of Python.
enum Part<'t> {
    Text(&'t [u8]),
    /// `%(NAME)s`
    Name(&'t str),
    /// Another `%`.
    Wrong,
}

/// `%%` is one `%`.
fn parts(text: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let percent = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        let (part, length) = match (percent, rest.get(1), rest.get(..2)) {
            (0, Some(b'%'), Some(_)) => (Part::Text(b"%"), 2),
            (0, Some(b'('), _) => {
                let end = rest.iter().position(|byte| *byte == b')');
                let name = end.and_then(|end| std::str::from_utf8(rest.get(2..end)?).ok());
                match end.zip(name).filter(|(end, _)| matches!(rest.get(end + 1), Some(b's' | b'd'))) {
                    Some((end, name)) => (Part::Name(name), end + 2),
                    None => (Part::Wrong, rest.len()),
                }
            }
            (0, _, _) => (Part::Wrong, rest.len()),
            (length, _, _) => (Part::Text(rest.get(..length).unwrap_or_default()), length),
        };
        rest = rest.get(length..).unwrap_or_default();
        Some(part)
    })
}

fn skip(text: &[u8], at: usize, over: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !over(*byte)).unwrap_or(rest.len())
}

/// The letters of a word for shlex, as supervisord sets it.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_/.+-():".contains(&byte)
}

/// The end of the token that begins here, and its quote. In an unquoted one a reference counts as the text that it
/// becomes.
fn token(text: &[u8], start: usize) -> (usize, Option<u8>) {
    let quote = text.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\''));
    if let Some(quote) = quote {
        let rest = text.get(start + 1..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == quote).map_or(text.len(), |end| start + end + 2);
        return (end, Some(quote));
    }
    let mut at = start;
    loop {
        at = skip(text, at, in_word);
        let rest = text.get(at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b')').filter(|_| rest.starts_with(b"%("));
        let Some(end) = end.filter(|end| matches!(rest.get(end + 1), Some(b's' | b'd'))) else {
            return (at, None);
        };
        at += end + 2;
    }
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
