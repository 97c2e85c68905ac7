use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::dialect::{DotenvReader, Form, differ, is_given, is_plain, is_refused};
use crate::spelling::{self, Style};
use crate::spot::{Spelling, Spot};
use crate::{CopyError, Slot};

/// The variables of a file with their values; where readers disagree about one, the error says how.
pub type Variables = Vec<(String, Result<SecretBytes, CopyError>)>;

impl Spelling for Style {
    fn spell(&self, old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        spelling::spell(old, *self, new)
    }

    fn carries(&self, alphabet: &[u8], len_max: usize) -> Result<(), &'static str> {
        spelling::carries(*self, alphabet, len_max)
    }
}

/// Every assignment of a variable, in order; the last wins for every reader.
pub(crate) fn spots(file: &[u8], name: &str) -> Result<Vec<Spot>, CopyError> {
    let spots = assignments(file, name)?.into_iter().map(|assignment| {
        let value = assignment.decoded(file);
        Spot::new(assignment.raw, value, assignment.style)
    });
    Ok(spots.collect())
}

/// Every assignment of every variable.
pub(crate) fn all(file: &[u8]) -> Vec<(Slot, Spot)> {
    let scan = Scan::of(file);
    let spot = |assignment: &Assignment| {
        let name = std::str::from_utf8(file.get(assignment.name.clone())?).ok()?;
        let value = match scan.open_quote {
            Some((line, why)) if assignment.line >= line => Err(why),
            Some(_) | None => assignment.decoded(file),
        };
        let spot = Spot::new(assignment.raw.clone(), value, assignment.style);
        Some((Slot::Variable(name.to_owned()), spot))
    };
    scan.assignments.iter().filter_map(spot).collect()
}

/// Every variable with the value of its last assignment, or why the value is unknown: where readers expand it, the
/// running process does not show the text of the file.
pub(crate) fn variables(file: &[u8], reader: Option<DotenvReader>) -> Variables {
    let scan = Scan::of(file);
    let refuses = |reader| {
        scan.assignments.iter().find_map(|one| Some((one.line, differ(one.refused_by(file, reader)?))))
    };
    let refused = reader.and_then(refuses);
    let mut found = Variables::new();
    for assignment in &scan.assignments {
        let name = file.get(assignment.name.clone()).unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        let doubtful = |line, why| Err(CopyError::Ambiguous { line, why });
        let value = match (refused, scan.open_quote) {
            (Some((line, why)), _) => doubtful(line, why),
            (None, Some((line, why))) if assignment.line >= line => doubtful(line, why),
            (None, Some(_) | None) => {
                assignment.value_for(file, reader).or_else(|why| doubtful(assignment.line, why))
            }
        };
        found.retain(|(known, _)| *known != name);
        found.push((name, value));
    }
    found
}

/// One assignment of the file.
struct Assignment {
    name: Range<usize>,
    /// The spelling of the value, quotes included.
    raw: Range<usize>,
    style: Style,
    line: usize,
    /// The forms of the line around the value: some readers do not see such a line, or take more for the value.
    around: Vec<Form>,
    /// What readers disagree about, if they do.
    doubt: Option<&'static str>,
}

impl Assignment {
    /// What in the spelling a reader expands, or ends the value at: `$NAME`, a command, a home folder, an escape, a
    /// comment. `None` = of a kind that is not compared reader by reader.
    fn forms(&self, file: &[u8]) -> Vec<Option<Form>> {
        let raw = file.get(self.raw.clone()).unwrap_or_default();
        let dollar = |next: Option<&u8>| match (self.style, next) {
            (Style::Single, Some(b'{')) => Some(Some(Form::BracesSingle)),
            (Style::Single, _) => None,
            (Style::Double, Some(byte)) if byte.is_ascii_alphabetic() => Some(Some(Form::DollarDouble)),
            (Style::Double, _) => Some(None),
            (Style::Unquoted, Some(b'{')) => Some(Some(Form::Braces)),
            (Style::Unquoted, Some(b'$')) => Some(Some(Form::Dollars)),
            (Style::Unquoted, Some(byte)) if byte.is_ascii_digit() => Some(Some(Form::DollarDigit)),
            (Style::Unquoted, _) => Some(Some(Form::Dollar)),
        };
        let form = |(at, byte): (usize, &u8)| match (self.style, *byte) {
            (_, b'$') => dollar(raw.get(at + 1)),
            (Style::Unquoted, b'#') => Some(Some(Form::Hash)),
            (Style::Unquoted, b'\\') if at + 1 == raw.len() => Some(Some(Form::Continued)),
            (Style::Unquoted, b'\\') => Some(Some(Form::Backslash)),
            (Style::Unquoted, b' ' | b'\t') => Some(Some(Form::BlankInside)),
            (Style::Unquoted, b';') => Some(Some(Form::Semicolon)),
            (Style::Unquoted, b'&') => Some(Some(Form::Ampersand)),
            (Style::Unquoted, b'~') => Some(Some(Form::Tilde)),
            (Style::Unquoted, b'\'' | b'"') => Some(Some(Form::QuoteInside)),
            (Style::Unquoted, b'`') if at == 0 => Some(Some(Form::Backticks)),
            (Style::Unquoted, b'*' | b'?' | b'[' | b'|' | b'<' | b'>' | b'(' | b')' | b'`') => Some(None),
            (Style::Double, b'\\') => Some(Some(Form::BackslashDouble)),
            (Style::Double, b'`') => Some(None),
            (Style::Unquoted | Style::Single | Style::Double, _) => None,
        };
        raw.iter().enumerate().filter_map(form).collect()
    }

    /// The value for every reader, or for this one; an error says how readers differ.
    fn value_for(&self, file: &[u8], reader: Option<DotenvReader>) -> Result<SecretBytes, &'static str> {
        let unread = reader.and_then(|reader| self.around.iter().find(|form| !is_given(**form, reader)));
        if let Some(form) = unread {
            return Err(differ(*form));
        }
        let forms = self.forms(file);
        let Some(first) = forms.first() else { return self.decoded(file) };
        let plain =
            |form: &Option<Form>| reader.zip(*form).is_some_and(|(reader, form)| is_plain(form, reader));
        if self.doubt.is_none() && forms.iter().all(plain) {
            let quote = usize::from(self.style != Style::Unquoted);
            let inner = self.raw.start + quote..self.raw.end.saturating_sub(quote);
            return Ok(SecretBytes::new(file.get(inner).unwrap_or_default().to_vec()));
        }
        Err(first.map_or("some readers expand the value", differ))
    }

    /// The form of this line with which a reader refuses the file. A shell goes on behind a quote inside a value until
    /// it finds another one.
    fn refused_by(&self, file: &[u8], reader: DotenvReader) -> Option<Form> {
        let raw = file.get(self.raw.clone()).unwrap_or_default();
        let quotes = raw.iter().filter(|byte| matches!(byte, b'\'' | b'"')).count();
        let open = (self.style == Style::Unquoted && !quotes.is_multiple_of(2)).then_some(Form::QuoteInside);
        self.around.iter().copied().chain(open).find(|form| is_refused(*form, reader))
    }

    fn decoded(&self, file: &[u8]) -> Result<SecretBytes, &'static str> {
        if let Some(why) = self.doubt {
            return Err(why);
        }
        let quote = usize::from(self.style != Style::Unquoted);
        let inner = self.raw.start + quote..self.raw.end.saturating_sub(quote);
        spelling::decode(file.get(inner).unwrap_or_default(), self.style)
    }
}

/// All assignments of one variable in their order; an error if quotes before the last of them are not closed.
fn assignments(file: &[u8], name: &str) -> Result<Vec<Assignment>, CopyError> {
    let scan = Scan::of(file);
    let mut found = scan.assignments;
    found.retain(|assignment| file.get(assignment.name.clone()) == Some(name.as_bytes()));
    match (scan.open_quote, found.last()) {
        (Some((line, why)), Some(last)) if last.line >= line => Err(CopyError::Ambiguous { line, why }),
        (Some(_) | None, Some(_) | None) => Ok(found),
    }
}

/// One pass over a file. Lines without an assignment are skipped; every reader but the shell skips them.
struct Scan<'a> {
    file: &'a [u8],
    at: usize,
    line: usize,
    assignments: Vec<Assignment>,
    /// The first line from which readers disagree about where quotes end.
    open_quote: Option<(usize, &'static str)>,
}

impl<'a> Scan<'a> {
    fn of(file: &'a [u8]) -> Self {
        let mut scan = Self { file, at: 0, line: 1, assignments: Vec::new(), open_quote: None };
        let mark = file.starts_with("\u{feff}".as_bytes());
        scan.at = if mark { "\u{feff}".len() } else { 0 };
        while scan.at < file.len() {
            let start = scan.at;
            let line = scan.line;
            match scan.assignment() {
                Some(mut assignment) => {
                    if scan.continues(start) {
                        assignment.doubt = Some(differ(Form::Continued));
                    }
                    if mark && line == 1 {
                        assignment.doubt = Some(differ(Form::ByteOrderMark));
                    }
                    scan.assignments.push(assignment);
                }
                None => scan.at = start,
            }
            // The rest of the line is a comment or nothing. A quote there may begin a quoted text for a shell, and a
            // quoted name for python-dotenv, each over several lines.
            let rest = scan.at;
            scan.skip_line();
            if has_stray_quote(file.get(rest..scan.at).unwrap_or_default()) {
                scan.disagree(line, "a quote outside of a value");
            }
        }
        scan
    }

    fn peek(&self) -> Option<u8> {
        self.file.get(self.at).copied()
    }

    /// Steps over bytes of one kind and returns their span.
    fn take_while(&mut self, kind: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        while self.peek().is_some_and(&kind) {
            self.at += 1;
        }
        start..self.at
    }

    fn assignment(&mut self) -> Option<Assignment> {
        self.take_while(blank);
        let line = self.line;
        let mut name = self.take_while(in_name);
        let mut exports = false;
        if self.file.get(name.clone()) == Some(b"export") && !self.take_while(blank).is_empty() {
            let exported = self.take_while(in_name);
            // Without a second word, the variable itself is called `export`.
            exports = !exported.is_empty();
            name = if exports { exported } else { name };
        }
        let mut blanks = !self.take_while(blank).is_empty();
        let colon = self.colon(&name).filter(|_| blanks && self.peek() != Some(b'='));
        match (&colon, self.peek()) {
            (Some(before), _) => name = before.clone(),
            (None, Some(b'=')) if !name.is_empty() => {
                self.at += 1;
                let behind = !self.take_while(blank).is_empty();
                blanks |= behind && !matches!(self.peek(), None | Some(b'\n' | b'\r'));
            }
            (None, _) => return None,
        }
        let mut assignment = match self.peek() {
            Some(b'\'') => self.quoted(b'\'', Style::Single)?,
            Some(b'"') => self.quoted(b'"', Style::Double)?,
            Some(_) | None => self.unquoted(),
        };
        if colon.is_some() {
            assignment.doubt = Some(differ(Form::Colon));
        }
        let blanks = blanks && colon.is_none();
        let before = [exports.then_some(Form::Export), blanks.then_some(Form::Blanks)];
        assignment.around.extend(before.into_iter().flatten());
        Some(Assignment { name, line, ..assignment })
    }

    /// The name of `NAME: value`, which only some readers take for an assignment.
    fn colon(&self, name: &Range<usize>) -> Option<Range<usize>> {
        let text = self.file.get(name.clone())?.strip_suffix(b":")?;
        let first = text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        let good =
            first && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        (good && !matches!(self.peek(), None | Some(b'\n' | b'\r'))).then_some(name.start..name.end - 1)
    }

    fn unquoted(&mut self) -> Assignment {
        let rest = self.take_while(|byte| byte != b'\n' && byte != b'\r');
        let text = self.file.get(rest.clone()).unwrap_or_default();
        let comment = text.windows(2).position(|pair| matches!(pair, [first, b'#'] if blank(*first)));
        let text = text.get(..comment.unwrap_or(text.len())).unwrap_or_default();
        let mut around: Vec<Form> = comment.map(|_| Form::Comment).into_iter().collect();
        let length = text.iter().rposition(|byte| !blank(*byte)).map_or(0, |last| last + 1);
        let trailing = comment.is_none() && length < text.len();
        around.extend(trailing.then_some(Form::TrailingBlanks));
        around.extend(self.carriage_return(trailing, Form::CrLf).into_iter().flatten());
        let lone_return =
            self.peek() == Some(b'\r') && !matches!(self.file.get(self.at + 1), Some(b'\n') | None);
        let doubt = lone_return.then_some("a carriage return inside the line");
        Assignment {
            name: 0..0,
            raw: rest.start..rest.start + length,
            style: Style::Unquoted,
            line: 0,
            around,
            doubt,
        }
    }

    /// The forms of a line that ends here with a carriage return. Behind a blank it is a word of its own for a shell.
    fn carriage_return(&self, behind_blank: bool, form: Form) -> [Option<Form>; 2] {
        let there = self.peek() == Some(b'\r');
        [there.then_some(form), (there && behind_blank).then_some(Form::BlankInside)]
    }

    /// A quoted value, which may span lines. `None` means that the rest of the line must be skipped.
    fn quoted(&mut self, quote: u8, style: Style) -> Option<Assignment> {
        let (start, line) = (self.at, self.line);
        self.at += 1;
        loop {
            match self.peek() {
                None => {
                    self.disagree(line, "a quote is not closed");
                    (self.at, self.line) = (start, line);
                    return None;
                }
                Some(b'\\') if style == Style::Double => {
                    self.count_line();
                    self.at += 1;
                    self.count_line();
                }
                Some(byte) if byte == quote => break,
                Some(_) => self.count_line(),
            }
            self.at += 1;
        }
        self.at = (self.at + 1).min(self.file.len());
        // python-dotenv takes a backslash and the quote after it as one character, whatever comes before.
        let escaped = self.at.checked_sub(2).and_then(|at| self.file.get(at)) == Some(&b'\\');
        if escaped {
            self.disagree(line, "a backslash before the closing quote");
        }
        let raw = start..self.at;
        let behind = self.at;
        let doubt = (!self.ends_cleanly()).then_some(differ(Form::BehindQuote));
        let of_style = if style == Style::Single { Form::Single } else { Form::Double };
        let mut around = vec![of_style];
        around.extend((self.line > line).then_some(Form::TwoLines));
        around.extend((self.peek() == Some(b'#')).then_some(Form::QuotedComment));
        around.extend(self.carriage_return(self.at > behind, Form::QuotedCrLf).into_iter().flatten());
        Some(Assignment { name: 0..0, raw, style, line: 0, around, doubt })
    }

    /// Whether only blanks or a comment follow on the line.
    fn ends_cleanly(&mut self) -> bool {
        let blanks = self.take_while(blank);
        match self.peek() {
            None | Some(b'\n') => true,
            Some(b'\r') => matches!(self.file.get(self.at + 1), Some(b'\n') | None),
            Some(b'#') => !blanks.is_empty(),
            Some(_) => false,
        }
    }

    fn disagree(&mut self, line: usize, why: &'static str) {
        self.open_quote.get_or_insert((line, why));
    }

    fn count_line(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
        }
    }

    fn skip_line(&mut self) {
        self.take_while(|byte| byte != b'\n' && byte != b'\r');
        self.count_line();
        self.at += 1;
    }

    /// Whether the line before ends with a backslash. Some readers then join the lines, even in comments.
    fn continues(&self, start: usize) -> bool {
        let before = self.file.get(..start).unwrap_or_default();
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        let before = before.strip_suffix(b"\r").unwrap_or(before);
        before.last() == Some(&b'\\')
    }
}

fn has_stray_quote(line: &[u8]) -> bool {
    let comment = line.iter().find(|byte| !blank(**byte)) == Some(&b'#');
    !comment && line.iter().any(|byte| matches!(byte, b'\'' | b'"'))
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'=' | b'#' | b'\'' | b'"')
}
