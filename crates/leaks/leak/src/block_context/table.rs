use std::ops::Range;

use crate::block_context::lines::{bare, word};
use crate::candidate::{CandidateSource, LINE_BYTES_MAX, NamedValue};
use crate::confidence::is_uuid;
use crate::names_a_secret;

/// The most columns of a table.
const COLUMNS_MAX: usize = 256;

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The head of a table such as CSV: a first line that names the columns, at least one of them a secret. It decides
/// about all lines below.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    sign: u8,
    columns: Vec<String>,
    /// The indices of the secret columns.
    secrets: Vec<usize>,
}

impl Table {
    /// The head of a text: its first line that is not empty.
    pub fn of(text: &[u8]) -> Option<Self> {
        let text = text.strip_prefix(MARK).unwrap_or(text);
        let near = text.get(..LINE_BYTES_MAX).unwrap_or(text);
        let (mut rest, mut told) = (near, None);
        let head = loop {
            let head = rest.get(..memchr::memchr(b'\n', rest)?)?;
            let said = head.trim_ascii();
            let said = said.strip_prefix(b"\"").and_then(|said| said.strip_suffix(b"\"")).unwrap_or(said);
            // Excel's declaration of the separator.
            match said.strip_prefix(b"sep=") {
                Some([sign]) => told = Some(*sign),
                _ if said.is_empty() => {}
                _ => break head,
            }
            rest = rest.get(head.len() + 1..)?;
        };
        let sign = told.or_else(|| [b',', b'\t', b';'].into_iter().find(|sign| head.contains(sign)))?;
        let columns: Vec<String> = cells(head, sign).iter().map(|cell| word(head, cell)).collect();
        let secrets: Vec<usize> =
            (0..).zip(&columns).filter(|(_, name)| is_secret(name)).map(|(at, _)| at).collect();
        let is_one = columns.len() >= 2 && !secrets.is_empty() && columns.iter().all(|name| is_title(name));
        is_one.then_some(Self { sign, columns, secrets })
    }

    /// A table of a single cell under this name, if it is the name of a secret.
    pub fn of_cell(name: &str) -> Option<Self> {
        // A separator that text does not contain.
        is_secret(name).then(|| Self { sign: 0, columns: vec![name.to_owned()], secrets: vec![0] })
    }

    /// Whether each row is one line: no quote stays open at a line end.
    pub fn is_in_lines(text: &[u8]) -> bool {
        text.split(|byte| *byte == b'\n')
            .all(|line| memchr::memchr_iter(b'"', line).count().is_multiple_of(2))
    }

    /// The cells of a row, if it has all columns.
    fn row(&self, text: &[u8], row: Range<usize>) -> Option<(Range<usize>, Vec<Range<usize>>)> {
        let all = cells(text.get(row.clone())?, self.sign);
        (all.len() == self.columns.len()).then_some((row, all))
    }

    /// Finds the values of the secret columns in all rows of a text or a part of one.
    pub(crate) fn rows(&self, text: &[u8], found: &mut Vec<NamedValue>) {
        let mut at = 0;
        while at < text.len() {
            let behind = text.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', behind).map_or(text.len(), |end| at + end + 1);
            let line = std::mem::replace(&mut at, end)..end;
            if line.len() > LINE_BYTES_MAX {
                continue;
            }
            // The following lines are also read as rows, so that it does not matter where a part of a text begins.
            let Some((row, all)) =
                self.row(text, line.clone()).or_else(|| self.row(text, closed(text, line)?))
            else {
                continue;
            };
            let raw = text.get(row.clone()).unwrap_or_default();
            for column in &self.secrets {
                let (Some(name), Some(cell)) = (self.columns.get(*column), all.get(*column)) else {
                    continue;
                };
                let value = raw.get(cell.clone()).unwrap_or_default();
                // Neither the head itself nor identifiers of rows.
                if !value.is_empty() && value != name.as_bytes() && !is_uuid(value) {
                    found.push((
                        name.clone(),
                        row.start + cell.start..row.start + cell.end,
                        CandidateSource::Place,
                    ));
                }
            }
        }
    }
}

/// Whether a column has the name of a secret, in usual characters.
fn is_secret(name: &str) -> bool {
    let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte));
    named && names_a_secret(name)
}

/// Whether a text may be the name of a column. The first line of a program has quotes or unbalanced brackets.
fn is_title(name: &str) -> bool {
    let count = |byte: char| name.matches(byte).count();
    let closed = [('(', ')'), ('[', ']'), ('{', '}')].iter().all(|(open, end)| count(*open) == count(*end));
    closed && !name.contains(|byte: char| byte.is_control() || matches!(byte, '"' | '\'' | '`'))
}

/// A line extended until its open quote is closed; `None` if it has no open quote, or the end is far.
fn closed(text: &[u8], line: Range<usize>) -> Option<Range<usize>> {
    let near = text.get(line.start..text.len().min(line.start + LINE_BYTES_MAX))?;
    let first = near.get(..line.len())?;
    if memchr::memchr_iter(b'"', first).count().is_multiple_of(2) {
        return None;
    }
    let mut end = line.len();
    loop {
        let rest = near.get(end..)?;
        end += memchr::memchr(b'"', rest)?;
        let behind = near.get(end..)?;
        let upto = memchr::memchr(b'\n', behind);
        let quotes = memchr::memchr_iter(b'"', behind.get(..upto.unwrap_or(behind.len()))?).count();
        let whole = upto.is_some() || line.start + near.len() == text.len();
        end += upto.map_or(behind.len(), |upto| upto + 1);
        if quotes % 2 == 1 {
            return whole.then_some(line.start..line.start + end);
        }
    }
}

/// The cells of a row, without quotes; empty if there are too many.
fn cells(row: &[u8], sign: u8) -> Vec<Range<usize>> {
    let row = row.trim_ascii_end();
    let (mut found, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in row.iter().chain([&sign]).enumerate() {
        if *byte == b'"' {
            quoted = !quoted;
        } else if *byte == sign && (!quoted || at == row.len()) {
            found.push(bare(row, start..at));
            start = at + 1;
        }
        if found.len() > COLUMNS_MAX {
            return Vec::new();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        if let Some(table) = Table::of(text.as_bytes()) {
            table.rows(text.as_bytes(), &mut found);
        }
        found.into_iter().map(|one| (one.0, &text[one.1])).collect()
    }

    #[test]
    fn what_is_below_the_name_of_a_secret_in_a_table() {
        let long = "x".repeat(LINE_BYTES_MAX);
        let text = format!(
            "site,user,password\r\na,b,kD93hfQ0plm4\n\"c,d\",\"e\",\"kD93,fQ0\"\n{long}\nshort,row\na,b,last0plm4"
        );
        let name = || "password".to_owned();
        let all = [(name(), "kD93hfQ0plm4"), (name(), "kD93,fQ0"), (name(), "last0plm4")];
        assert_eq!(shown(&text), all);
        assert_eq!(shown(&format!("\u{FEFF}{text}")), all);
        assert!(shown("let x = password, y\na,b,kD93hfQ0plm4\n").is_empty());
        assert!(shown("user,password_hash\nb,kD93hfQ0plm4\n").is_empty());
        assert!(shown("password\nkD93hfQ0plm4\n").is_empty());
    }

    #[test]
    fn a_cell_between_quotes_may_have_line_ends() {
        let name = || "password".to_owned();
        let all = [(name(), "kD93hfQ0plm4"), (name(), "second0plm4"), (name(), "last0plm4")];
        let text = "note,user,password\n\"one\n, two\n\"\"three\"\"\nfour\",a,kD93hfQ0plm4\nx,b,second0plm4\n\"a\nb\",c,last0plm4";
        assert_eq!(shown(text), all);
        assert!(!Table::is_in_lines(text.as_bytes()) && Table::is_in_lines(b"a,\"b\"\nc\n"));
        // An unclosed quote does not hide other rows.
        let open = format!("note,user,password\n\"one,{}\nx,b,kD93hfQ0plm4\n", "x\n".repeat(LINE_BYTES_MAX));
        assert_eq!(shown(&open), all[..1]);
    }

    #[test]
    fn a_head_may_have_any_signs_in_other_columns_and_lines_before_it() {
        let all = [("password".to_owned(), "kD93hfQ0plm4")];
        for text in [
            "#id,password\n1,kD93hfQ0plm4\n",
            "password,pass\u{e9}\nkD93hfQ0plm4,1\n",
            "password (old),password\nx,kD93hfQ0plm4\n",
            "\n\r\nid;password\n1;kD93hfQ0plm4\n",
            "sep=;\r\nid, or so;password\r\n1,2;kD93hfQ0plm4\r\n",
            "\"sep=|\"\nid|password\n1|kD93hfQ0plm4\n",
        ] {
            assert_eq!(shown(text), all, "{text}");
        }
        for text in ["def f(a, password, b):\nx,kD93hfQ0plm4,z\n", "import 'x', password\n1,kD93hfQ0plm4\n"] {
            assert!(shown(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_cell_under_the_name_of_a_secret_is_one() {
        let under = |name: &str, text: &'static str| {
            let mut found = Vec::new();
            if let Some(table) = Table::of_cell(name) {
                table.rows(text.as_bytes(), &mut found);
            }
            found.into_iter().map(|one| (one.0, &text[one.1])).collect::<Vec<_>>()
        };
        assert_eq!(under("api_token", "kD93,hfQ0\tplm4"), [("api_token".to_owned(), "kD93,hfQ0\tplm4")]);
        for name in ["login", "password_hash", "(password"] {
            assert!(under(name, "kD93hfQ0plm4").is_empty(), "{name}");
        }
        assert!(under("token", "8f14e45f-ceea-4a7c-9b1d-3c2f5a6b7d8e").is_empty());
    }

    #[test]
    fn a_table_is_known_by_its_head_alone() {
        let of = |text: &str| Table::of(text.as_bytes());
        assert_eq!(of("user,token\na,b\n"), of("user,token\r\nc\n"));
        assert_ne!(of("user,token\n"), of("token,user\n"));
        assert_ne!(of("user,token\n"), of("user,token"), "a first line ends");
        assert_eq!(of("user,name\n"), None);
    }
}
