use std::cmp::Reverse;
use std::collections::BTreeMap;

use keyroll_needle::{Hit, NeedleId};

/// The most bytes between two lines of one key: a line end in any spelling, and the indentation after it.
const BETWEEN_BYTES_MAX: usize = 64;

/// The longest first line of a private key in PEM (RFC 7468), bytes.
const FIRST_LINE_BYTES_MAX: usize = 64;

const BEGIN: &[u8] = b"-----BEGIN ";

/// One hit for each copy, in the order of their places. A private key in PEM is also found line by line: a hit inside a
/// hit of the same value, or right after it with nothing but punctuation and blanks between, is no copy of its own. A
/// key begins with its first line, which is public and not part of the searched value.
pub(crate) fn copies(bytes: &[u8], mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by_key(|hit| (hit.start, Reverse(hit.end), hit.id));
    let mut ends: BTreeMap<NeedleId, usize> = BTreeMap::new();
    hits.retain_mut(|hit| {
        let end = ends.entry(hit.id).or_insert(usize::MAX);
        let goes_on = match bytes.get(*end..hit.start) {
            Some(between) => {
                between.len() <= BETWEEN_BYTES_MAX && !between.iter().any(u8::is_ascii_alphanumeric)
            }
            // It overlaps an earlier hit; or it is the first one.
            None => *end != usize::MAX,
        };
        *end = if *end == usize::MAX { hit.end } else { hit.end.max(*end) };
        hit.start = first_line(bytes, hit.start);
        !goes_on
    });
    hits
}

/// Where the first line of a private key begins, if this follows one.
fn first_line(bytes: &[u8], start: usize) -> usize {
    let before = bytes.get(..start).unwrap_or_default().trim_ascii_end();
    let from = before.len().saturating_sub(FIRST_LINE_BYTES_MAX);
    let line = before.get(from..).unwrap_or_default();
    let mut begins = line.windows(BEGIN.len());
    let begin = begins.rposition(|part| part == BEGIN).filter(|_| line.ends_with(b"PRIVATE KEY-----"));
    begin.map_or(start, |begin| from + begin)
}

#[cfg(test)]
mod tests {
    use keyroll_needle::Needles;
    use keyroll_secret::SecretBytes;
    use keyroll_testkit::alphanumeric;

    use super::*;

    fn lines_of(text: &str, value: &str) -> Vec<usize> {
        let value = SecretBytes::from(value.to_owned());
        let needles = Needles::builder().add(NeedleId(0), &value).build().unwrap();
        let mut hits = Vec::new();
        needles.find(text.as_bytes(), &mut |hit| hits.push(hit));
        let line = |hit: &Hit| text[..hit.start].matches('\n').count() + 1;
        copies(text.as_bytes(), hits).iter().map(line).collect()
    }

    #[test]
    fn a_private_key_is_one_copy_however_its_lines_are_written() {
        let body: Vec<String> = (0..26).map(|_| alphanumeric(64)).collect();
        let key = |line_end: &str| {
            let body = body.join(line_end);
            format!(
                "-----BEGIN PRIVATE KEY-----{line_end}{body}{line_end}-----END PRIVATE KEY-----{line_end}"
            )
        };
        let value = key("\n");
        assert_eq!(lines_of(&value, &value), [1]);
        assert_eq!(lines_of(&format!("a: 1\nkey: |\n  {}b: 2\n", key("\n  ")), &value), [3]);
        assert_eq!(lines_of(&key("\r\n"), &value), [1]);
        assert_eq!(lines_of(&key("\\n"), &value).len(), 1);
        assert_eq!(lines_of(&format!("{value}\nx\n{value}"), &value), [1, 31]);
    }

    #[test]
    fn a_value_that_stands_there_twice_is_two_copies() {
        let value = alphanumeric(24);
        assert_eq!(lines_of(&format!("OLD={value}\nNEW={value}\n"), &value), [1, 2]);
    }
}
