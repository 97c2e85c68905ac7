use std::ops::Range;

use crate::block_context::apart;
use crate::block_context::kubernetes::in_objects;
use crate::block_context::table::Table;
use crate::candidate::{Candidate, CandidateSource, LINE_BYTES_MAX, NamedValue, VALUE_BYTES_MAX};
use crate::encoded_forms::{LAYERS_MAX, in_encodings};
use crate::inline_context::beside;
use crate::rules::long_lines::pieces;
use crate::{
    RuleMatch, Rules, holds_a_secret, is_example, names_a_secret, no_secret_under, passwords_in, tokens_in,
};

/// How many previous findings may overlap a value.
const NEIGHBOURS: usize = 8;

/// The shortest published format of a credential, bytes.
pub const FORM_BYTES_MIN: usize = 16;

/// The header with a token.
const HEADER: &[u8] = b"authorization";

/// Finds values in settings that have the format of a credential or the name of a secret, in order.
pub fn in_text<'r>(text: &[u8], rules: &'r Rules) -> Vec<Candidate<'r>> {
    in_lines(text, rules, None, 0)
}

/// Does the same in a text of any kind: programs, logs, markup, where values are written in more ways. More of its
/// findings are false.
pub fn in_anything<'r>(text: &[u8], rules: &'r Rules) -> Vec<Candidate<'r>> {
    in_part(text, rules, Table::of(text).as_ref())
}

/// Does the same in a part of a text; `table` is that of the whole text. Findings within
/// [`FAR_BYTES_MAX`](crate::FAR_BYTES_MAX) of an end of the part may differ from those of the whole text.
pub fn in_part<'r>(part: &[u8], rules: &'r Rules, table: Option<&Table>) -> Vec<Candidate<'r>> {
    in_lines(part, rules, Some(table), LAYERS_MAX)
}

/// Searches settings, or with `anything` a text of any kind that may be a table, and may be encoded so often.
fn in_lines<'r>(
    text: &[u8],
    rules: &'r Rules,
    anything: Option<Option<&Table>>,
    layers: u8,
) -> Vec<Candidate<'r>> {
    let (anything, table) = (anything.is_some(), anything.flatten());
    let mut marks = Vec::new();
    let mut formed = marked_forms(text, rules, &mut |mark| marks.push(mark));
    // Names of formats are needed only in settings, and take long to find in long lines.
    if !anything {
        formed.iter_mut().for_each(|one| one.name = name_before(text, one.span.start));
    }
    marks.sort_unstable();
    let mut marks = marks.into_iter().peekable();
    let (mut found, mut further) = (Vec::new(), Vec::new());
    if let Some(table) = table {
        table.rows(text, &mut further);
    }
    let lines = LineSearch { text, rules, anything };
    let mut from = 0;
    // A line without a mark has only findings by format.
    while let Some(mark) = marks.find(|mark| *mark >= from && !is_plain_address(text, *mark)) {
        let (before, behind) = text.split_at_checked(mark).unwrap_or_default();
        let start = memchr::memrchr2(b'\n', 0, before).map_or(0, |last| last + 1).max(from);
        let end = memchr::memchr2(b'\n', 0, behind).map_or(text.len(), |first| mark + first + 1);
        let mut look = |line: Range<usize>| {
            let first = formed.partition_point(|one| one.span.end <= line.start);
            let here: Vec<&Candidate<'r>> =
                formed.iter().skip(first).take_while(|one| one.span.start < line.end).collect();
            lines.in_line(&line, &here, &mut found);
        };
        if end - start <= LINE_BYTES_MAX {
            look(start..end);
            if anything {
                further.extend(apart(text, &(start..end)));
            }
        } else if anything {
            in_objects(text, &(start..end), &mut further);
            let more = std::iter::from_fn(|| marks.next_if(|next| *next < end));
            pieces(text, start..end, [mark].into_iter().chain(more), &mut look);
        }
        from = end;
    }
    found.extend(formed);
    found.sort_by_key(|one| one.span.start);
    add_further(text, further, &mut found);
    if let Some(layers) = layers.checked_sub(1) {
        let search = |text: &[u8]| in_lines(text, rules, Some(None), layers);
        add_encoded(in_encodings(text, &search), &mut found);
    }
    found
}

/// Adds encoded values, where nothing else was found, or only a name: the format in another encoding says more.
fn add_encoded<'r>(encoded: Vec<Candidate<'r>>, found: &mut Vec<Candidate<'r>>) {
    let mut more: Vec<Candidate<'r>> = Vec::new();
    for one in encoded {
        let upto = found.partition_point(|other| other.span.start < one.span.end);
        let mut here = upto;
        while here
            .checked_sub(1)
            .and_then(|at| found.get(at))
            .is_some_and(|last| one.span.start < last.span.end)
        {
            here -= 1;
        }
        let overlapped = found.get(here..upto).unwrap_or_default();
        let says_more = one.rule.is_some() && overlapped.iter().all(|other| other.rule.is_none());
        let again = more.last().is_some_and(|last| one.span.start < last.span.end);
        if !again && (overlapped.is_empty() || says_more) {
            found.drain(here..upto);
            more.push(one);
        }
    }
    if !more.is_empty() {
        found.append(&mut more);
        found.sort_by_key(|one| one.span.start);
    }
}

/// Whether a mark belongs to an address without a login, as most addresses are.
fn is_plain_address(text: &[u8], mark: usize) -> bool {
    let rest = text.get(mark..).unwrap_or_default();
    let sign = || memchr::memchr2(b'@', b'\n', rest).and_then(|at| rest.get(at));
    rest.starts_with(b"://") && sign() != Some(&b'@')
}

/// Adds values with their names in other lines, where nothing else was found.
fn add_further(text: &[u8], mut further: Vec<NamedValue>, found: &mut Vec<Candidate<'_>>) {
    further.sort_by_key(|(_, span, _)| span.start);
    let mut more: Vec<Candidate<'_>> = Vec::new();
    for (name, span, by) in further {
        let upto = found.partition_point(|one| one.span.start < span.end);
        let here = found.get(..upto).unwrap_or_default().iter().rev().take(NEIGHBOURS);
        let seen = here.chain(more.last()).any(|one| span.start < one.span.end);
        let named = by == CandidateSource::Place || names_a_secret(&name);
        let value = text.get(span.clone()).unwrap_or_default();
        if named && !seen && no_secret_under(Some(&name), value).is_none() {
            more.push(Candidate::new(span, Some(name), None, by));
        }
    }
    if !more.is_empty() {
        found.append(&mut more);
        found.sort_by_key(|one| one.span.start);
    }
}

/// Finds values by their format, with the names before them.
pub fn by_form<'r>(text: &[u8], rules: &'r Rules) -> Vec<Candidate<'r>> {
    let mut found = marked_forms(text, rules, &mut |_| {});
    found.iter_mut().for_each(|one| one.name = name_before(text, one.span.start));
    found
}

/// Does the same without names, and in other encodings too.
pub fn forms_in<'r>(text: &[u8], rules: &'r Rules) -> Vec<Candidate<'r>> {
    forms_of(text, rules, LAYERS_MAX)
}

/// Does the same in a text that may be encoded so often.
fn forms_of<'r>(text: &[u8], rules: &'r Rules, layers: u8) -> Vec<Candidate<'r>> {
    let mut found = marked_forms(text, rules, &mut |_| {});
    if let Some(layers) = layers.checked_sub(1) {
        add_encoded(in_encodings(text, &|text: &[u8]| forms_of(text, rules, layers)), &mut found);
    }
    found
}

fn marked_forms<'r>(text: &[u8], rules: &'r Rules, mark: &mut dyn FnMut(usize)) -> Vec<Candidate<'r>> {
    let (mut found, mut last) = (Vec::new(), None);
    rules.find_marked(text, mark, &mut |finding| {
        let RuleMatch { mut span, block, .. } = finding;
        if let Some(start) = block {
            // A block in parts is one candidate, from its first line to the end of the first part.
            if last.replace(start) == block {
                return;
            }
            span.start = start;
        }
        if !text.get(span.clone()).is_some_and(is_example) {
            found.push(Candidate::new(span, None, Some(finding.rule), CandidateSource::Form));
        }
    });
    found
}

/// A search of single lines by the names and positions in them.
struct LineSearch<'t, 'r> {
    text: &'t [u8],
    rules: &'r Rules,
    /// Whether the text is of any kind, and not settings.
    anything: bool,
}

impl<'r> LineSearch<'_, 'r> {
    /// Adds the candidates of a line that do not overlap those found by a form.
    fn in_line(&self, line: &Range<usize>, formed: &[&Candidate<'r>], found: &mut Vec<Candidate<'r>>) {
        let bytes = self.text.get(line.clone()).unwrap_or_default();
        if !bytes.iter().any(|byte| matches!(byte, b'=' | b':' | b' ' | b'>')) {
            return;
        }
        let first = found.len();
        let mut add = |name: Option<String>, within: Range<usize>, by: CandidateSource| {
            // A longer value is found by its form. The length is limited: in a long line, everything after each name
            // could otherwise be its value.
            if self.anything && within.len() > VALUE_BYTES_MAX {
                return;
            }
            let span = line.start + within.start..line.start + within.end;
            let known = found.get(first..).unwrap_or_default().iter().chain(formed.iter().copied());
            found.extend(self.candidate(name, span, by, known));
        };
        let short = |within: &Range<usize>| !self.anything || within.len() <= VALUE_BYTES_MAX;
        for within in passwords_in(bytes).into_iter().chain(tokens_in(bytes)).filter(short) {
            // In a text of any kind the position is enough. Looking for the name would take long.
            let at = line.start + within.start;
            let name = if self.anything { None } else { name_before(self.text, at) };
            add(name, within, CandidateSource::Place);
        }
        let inline = if self.anything { beside(bytes) } else { Vec::new() };
        for (name, within, by) in inline {
            add(Some(name), within, by);
        }
        // Words come before assignments: the single words of a value say more than the whole value under one name.
        for (name, within) in settings_in(bytes).into_iter().chain(pairs_in(bytes)) {
            add(Some(name), within, CandidateSource::Name);
        }
        if let Some((name, within)) = assignment(bytes) {
            add(Some(name), within, CandidateSource::Name);
        }
    }

    /// The value at `span`, if it may be a secret and overlaps no known candidate.
    fn candidate<'k>(
        &self,
        name: Option<String>,
        span: Range<usize>,
        by: CandidateSource,
        mut known: impl Iterator<Item = &'k Candidate<'r>>,
    ) -> Option<Candidate<'r>>
    where
        'r: 'k,
    {
        let value = self.text.get(span.clone()).unwrap_or_default();
        let holds = |name: &str| holds_a_secret(name, value);
        let named = by == CandidateSource::Place || name.as_deref().is_some_and(holds);
        let rule = if value.len() < FORM_BYTES_MIN { None } else { self.rules.of(value) };
        let rule = rule.filter(|_| !is_example(value));
        let is_one = (rule.is_some() || named)
            && no_secret_under(name.as_deref(), value).is_none()
            && !known.any(|one| one.span.start < span.end && span.start < one.span.end);
        is_one.then_some(Candidate::new(span, name, rule, by))
    }
}

/// `NAME=value`, `name: "value"`, `export NAME='value'`: the name, and the range of the value.
fn assignment(line: &[u8]) -> Option<(String, Range<usize>)> {
    let sign = line.iter().position(|byte| matches!(byte, b'=' | b':'))?;
    // `:=` of make is one sign.
    let colons = line.get(sign..)?.iter().take_while(|byte| **byte == b':').count();
    let assigns = colons > 0 && line.get(sign + colons) == Some(&b'=');
    // An address has a word and a colon too.
    if line.get(sign..)?.starts_with(b"://") {
        return None;
    }
    let before = String::from_utf8_lossy(line.get(..sign)?).into_owned();
    let name = before.trim().trim_start_matches("- ").trim_start_matches("export ").trim();
    let name = name.trim_matches(['"', '\'']);
    if !looks_like_name(name) {
        return None;
    }
    let sign = if assigns { sign + colons } else { sign };
    let behind = line.get(sign + 1..)?;
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let lead = behind.iter().take_while(|byte| blank(byte)).count();
    let rest = behind.get(lead..)?;
    let rest = rest.get(..rest.iter().rposition(|byte| !blank(byte) && *byte != b',')? + 1)?;
    let (start, length) = match rest.split_first()? {
        (quote @ (b'"' | b'\''), inner) => (lead + 1, inner.iter().position(|byte| byte == quote)?),
        _ => (lead, rest.windows(2).position(|two| two == b" #").unwrap_or(rest.len())),
    };
    let start = sign + 1 + start;
    Some((name.to_owned(), start..start + length))
}

fn looks_like_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.bytes().all(good)
}

/// The text between a quoted name and its quoted value: in Python and JavaScript, in PHP and Ruby, in XML. After a
/// bracket also a comma: `define('NAME', 'value')`.
const BETWEEN: [&[u8]; 3] = [b":", b"=>", b"value="];

/// Quoted names with quoted values, anywhere in a line.
fn pairs_in(line: &[u8]) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut last: Option<Range<usize>> = None;
    let mut rest = 0;
    while let Some(open) = line.get(rest..).and_then(|rest| rest.iter().position(|byte| is_quote(*byte))) {
        let open = rest + open;
        let behind = line.get(open + 1..).unwrap_or_default();
        let Some(length) = behind.iter().position(|byte| Some(byte) == line.get(open)) else { break };
        let word = open + 1..open + 1 + length;
        if let Some(name) = last.take() {
            let between = line.get(name.end + 1..open).unwrap_or_default().trim_ascii();
            let called = name.start.checked_sub(2).and_then(|at| line.get(at)) == Some(&b'(');
            let text = String::from_utf8_lossy(line.get(name).unwrap_or_default()).into_owned();
            if (BETWEEN.contains(&between) || called && between == b",") && looks_like_name(&text) {
                found.push((text, word.clone()));
            }
        }
        rest = word.end + 1;
        last = Some(word);
    }
    found
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// Commands with a name and a value as arguments, in lower case: of a Dockerfile, csh and fish, Apache, nginx.
const SETTERS: [&[u8]; 4] = [b"env", b"setenv", b"set", b"fastcgi_param"];

/// The settings in the words of a line: `Environment="NAME=value"`, `docker run -e NAME=value`, `--api-key value`,
/// `ENV NAME value`.
pub fn settings_in(line: &[u8]) -> Vec<(String, Range<usize>)> {
    let any = line.contains(&b'=') || line.windows(2).any(|pair| pair == b"--");
    let first = line.trim_ascii_start().split(|byte| *byte == b' ').next().unwrap_or_default();
    let sets = SETTERS.iter().any(|word| first.eq_ignore_ascii_case(word));
    if !any && !sets {
        return Vec::new();
    }
    let words = words(line);
    let text = |span: &Range<usize>| {
        String::from_utf8_lossy(line.get(span.clone()).unwrap_or_default()).into_owned()
    };
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let raw = line.get(word.clone()).unwrap_or_default();
        let next = words.get(index + 1);
        if let Some(sign) = raw.iter().position(|byte| *byte == b'=') {
            // In a systemd unit the word is a list of such words: the innermost name counts.
            let name = text(&(word.start..word.start + sign));
            let inner = unquoted(line, word.start + sign + 1..word.end);
            let again = line.get(inner.clone()).unwrap_or_default();
            let inside = |sign: u8| again.iter().position(|byte| *byte == sign);
            let nested = match name.as_str() {
                "Environment" | "--from-literal" => inside(b'='),
                "SetCredential" => inside(b':'),
                _ => None,
            };
            let (name, value) = match nested {
                Some(at) => (text(&(inner.start..inner.start + at)), inner.start + at + 1..inner.end),
                None => (name, inner),
            };
            let name = name.trim_start_matches('-');
            if looks_like_name(name) {
                found.push((name.to_owned(), value));
            }
        } else if raw.starts_with(b"--")
            && let (Some(flag), Some(next)) = (text(word).strip_prefix("--"), next)
            && looks_like_name(flag)
            && line.get(next.start) != Some(&b'-')
        {
            found.push((flag.to_owned(), next.clone()));
        } else if index == 0 && sets {
            let mut given = words.iter().skip(1).skip_while(|word| line.get(word.start) == Some(&b'-'));
            if let (Some(name), Some(value)) = (given.next(), given.next())
                && looks_like_name(&text(name))
            {
                found.push((text(name), value.clone()));
            }
        }
    }
    found
}

/// The words of a line as a shell splits them, without quotes, also of a list.
fn words(line: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut quote, mut closed) = (None, None, false);
    for (at, byte) in line.iter().chain(b"\n").enumerate() {
        // In a list of quoted words the comma is no word.
        let listed = std::mem::take(&mut closed) && *byte == b',';
        match (quote, byte) {
            (Some(open), byte) if open == byte => {
                quote = None;
                closed = true;
            }
            (None, _) if listed => found.extend(start.take().map(|start| unquoted(line, start..at))),
            (Some(_), b'\n') | (None, b' ' | b'\t' | b'\r' | b'\n' | 0) => {
                if let Some(start) = start.take() {
                    found.push(unquoted(line, start..at));
                }
                quote = None;
            }
            (Some(_), _) => {}
            (None, byte) => {
                start.get_or_insert(at);
                quote = matches!(byte, b'"' | b'\'').then_some(byte);
            }
        }
    }
    found
}

/// Without surrounding quotes, and without a comma and the like after them.
fn unquoted(line: &[u8], span: Range<usize>) -> Range<usize> {
    let text = line.get(span.clone()).unwrap_or_default();
    let until = |marks: &[u8]| text.iter().rposition(|byte| !marks.contains(byte)).map_or(0, |last| last + 1);
    let end = until(b",;\\");
    // A bracket belongs to the word, unless it follows a quote.
    for end in [end, until(b",;\\)]}")] {
        if let Some([open @ (b'"' | b'\''), inner @ .., close]) = text.get(..end)
            && open == close
        {
            return span.start + 1..span.start + 1 + inner.len();
        }
    }
    span.start..span.start + end
}

/// The name before a value in the same line.
pub fn name_before(text: &[u8], at: usize) -> Option<String> {
    let before = text.get(..at)?;
    let near = before.get(before.len().saturating_sub(LINE_BYTES_MAX)..)?;
    let line = near.iter().rposition(|byte| matches!(byte, b'\n' | 0)).map_or(0, |last| last + 1);
    let near = near.get(line..)?;
    // The last word with `=` is nearer than the first name of the line.
    let word = near.rsplit(|byte| matches!(byte, b' ' | b'\t' | b'"' | b'\'')).next();
    let word = word.filter(|word| !word.contains(&b';'));
    let set =
        word.and_then(|word| word.iter().position(|byte| *byte == b'=').and_then(|sign| word.get(..sign)));
    let set = set.map(|name| String::from_utf8_lossy(name).trim_start_matches('-').to_owned());
    if let Some(name) = set.filter(|name| looks_like_name(name)) {
        return Some(name);
    }
    if near.windows(HEADER.len()).any(|part| part.eq_ignore_ascii_case(HEADER)) {
        return Some("Authorization".to_owned());
    }
    let mut upto = near.to_vec();
    // A placeholder for the value, whose end is unknown here.
    upto.push(b'x');
    let closing: Vec<u8> =
        upto.iter().rev().find(|byte| matches!(byte, b'"' | b'\'')).copied().into_iter().collect();
    upto.extend(closing);
    assignment(&upto).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "kD93hfQ0plm4";

    fn shown(text: &str) -> Vec<(Option<String>, String)> {
        let rules = Rules::shipped().unwrap();
        let all = in_text(text.as_bytes(), rules);
        all.into_iter().map(|one| (one.name, text[one.span].to_owned())).collect()
    }

    #[test]
    fn values_are_found_by_their_names_in_every_common_spelling() {
        for line in [
            format!("DB_PASSWORD={VALUE}\n"),
            format!("export DB_PASSWORD='{VALUE}' # mine\n"),
            format!("  \"DB_PASSWORD\": \"{VALUE}\",\n"),
            format!("- DB_PASSWORD={VALUE}"),
            format!("DB_PASSWORD = {VALUE} # mine\r\n"),
            format!("DB_PASSWORD := {VALUE}\n"),
            format!("DB_PASSWORD::={VALUE}\n"),
            format!("Environment=\"MODE=x y\" \"DB_PASSWORD={VALUE}\"\n"),
            format!("Environment=DB_PASSWORD={VALUE}\n"),
            format!("docker run -d -e DB_PASSWORD={VALUE} image\n"),
            format!("DB_PASSWORD={VALUE} ./run --fast\n"),
            format!("* * * * * root DB_PASSWORD={VALUE} /usr/bin/job\n"),
            format!("ENV DB_PASSWORD {VALUE}\n"),
            format!("  \"--DB_PASSWORD={VALUE}\",\n"),
        ] {
            assert_eq!(shown(&line), [(Some("DB_PASSWORD".to_owned()), VALUE.to_owned())], "{line}");
        }
        let flag = format!("ExecStart=/usr/bin/app --api-key {VALUE} --port 80\n");
        assert_eq!(shown(&flag), [(Some("api-key".to_owned()), VALUE.to_owned())]);
        assert!(shown("DB_PASSWORD=${OTHER}\nDB_PASSWORD=\nHOME=/root/of/all\n").is_empty());
        assert!(shown("mysql --password --host db.internal.net\n").is_empty());
    }

    #[test]
    fn a_connection_string_is_a_copy_of_its_password() {
        let text = format!("DATABASE_URL=postgres://app:{VALUE}@db/x\n");
        assert_eq!(shown(&text), [(Some("DATABASE_URL".to_owned()), VALUE.to_owned())]);
        let text = format!("DB=Server=db;User Id=app;Password={VALUE};\n");
        assert_eq!(shown(&text), [(Some("DB".to_owned()), VALUE.to_owned())]);
    }
}
