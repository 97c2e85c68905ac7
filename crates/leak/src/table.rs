use std::ops::Range;

use crate::apart::{bare, word};
use crate::beside::Beside;
use crate::candidates::{By, LINE_BYTES_MAX};
use crate::likely::is_uuid;
use crate::names_a_secret;

/// The most columns of a table.
const COLUMNS_MAX: usize = 256;

/// What a text may begin with that says that it is UTF-8.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The head of a table, CSV and the like: a first line that names the columns, one of them as a secret. It decides about all
/// lines below it, however far away.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    sign: u8,
    columns: Vec<String>,
    /// Which of them are secrets.
    secrets: Vec<usize>,
}

impl Table {
    /// That of a text, by its first line.
    pub fn of(text: &[u8]) -> Option<Self> {
        let text = text.strip_prefix(MARK).unwrap_or(text);
        let near = text.get(..LINE_BYTES_MAX).unwrap_or(text);
        // Most first lines are none: they have a letter that no name has.
        let head = near.get(..memchr::memchr(b'\n', near)?)?;
        let sign = [b',', b'\t', b';'].into_iter().find(|sign| head.contains(sign))?;
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-. \"'`\r".contains(byte) || *byte == sign;
        if !head.iter().all(good) {
            return None;
        }
        let columns: Vec<String> = cells(head, sign).iter().map(|cell| word(head, cell)).collect();
        let named =
            |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte));
        let secrets: Vec<usize> =
            (0..).zip(&columns).filter(|(_, name)| names_a_secret(name)).map(|(at, _)| at).collect();
        let is_one = columns.len() >= 2 && columns.iter().all(named) && !secrets.is_empty();
        is_one.then_some(Self { sign, columns, secrets })
    }

    /// What stands below the name of a secret, in all rows of a text or of a part of one.
    pub(crate) fn rows(&self, text: &[u8], found: &mut Vec<Beside>) {
        let mut at = 0;
        while at < text.len() {
            let behind = text.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', behind).map_or(text.len(), |end| at + end + 1);
            let row = std::mem::replace(&mut at, end)..end;
            if row.len() > LINE_BYTES_MAX {
                continue;
            }
            let raw = text.get(row.clone()).unwrap_or_default();
            let all = cells(raw, self.sign);
            if all.len() != self.columns.len() {
                continue;
            }
            for column in &self.secrets {
                let (Some(name), Some(cell)) = (self.columns.get(*column), all.get(*column)) else {
                    continue;
                };
                let value = raw.get(cell.clone()).unwrap_or_default();
                // The head itself; and what tells one row from another.
                if value != name.as_bytes() && !is_uuid(value) {
                    found.push((name.clone(), row.start + cell.start..row.start + cell.end, By::Place));
                }
            }
        }
    }
}

/// The cells of a row, without quotes around them; none of one that has too many.
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
    fn what_stands_below_the_name_of_a_secret_in_a_table() {
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
    fn a_table_is_known_by_its_head_alone() {
        let of = |text: &str| Table::of(text.as_bytes());
        assert_eq!(of("user,token\na,b\n"), of("user,token\r\nc\n"));
        assert_ne!(of("user,token\n"), of("token,user\n"));
        assert_ne!(of("user,token\n"), of("user,token"), "a first line ends");
        assert_eq!(of("user,name\n"), None);
    }
}
