use std::ops::Range;

use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::words::is_quote;

/// Endings of the names of calls with a quoted password, in lower case, and the index of the argument: in PHP, Java,
/// Perl, JavaScript, Go, Python and Ruby.
const CALLS: [(&[u8], usize); 11] = [
    (b"mysqli_connect", 3),
    (b"new mysqli", 3),
    (b"new pdo", 3),
    (b"getconnection", 3),
    (b"dbi->connect", 3),
    (b"new sequelize", 3),
    (b"basicauth", 2),
    (b"basic_auth", 2),
    (b"auth=", 2),
    (b"passwordauthentication", 2),
    (b"networkcredential", 2),
];

/// The longest name of a call, bytes.
const NAME_BYTES_MAX: usize = 32;

/// The most arguments that are read.
const GIVEN_MAX: usize = 4;

/// The most bytes of arguments that are read.
const GIVEN_BYTES_MAX: usize = 1_024;

/// `basic_auth("user", "value")`, `getConnection(url, "user", "value")`.
pub(crate) fn in_calls(line: &[u8], found: &mut Vec<NamedValue>) {
    for open in memchr::memchr_iter(b'(', line) {
        let before = line.get(open.saturating_sub(NAME_BYTES_MAX)..open).unwrap_or_default();
        let ends = |name: &[u8]| {
            let from = before.len().checked_sub(name.len());
            from.and_then(|from| before.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        let Some((_, number)) = CALLS.iter().find(|(name, _)| ends(name)) else { continue };
        let near = line.get(..line.len().min(open + GIVEN_BYTES_MAX)).unwrap_or_default();
        let last = given(near, open + 1).nth(number - 1);
        let quoted = last.and_then(|span| {
            let all = line.get(span.clone())?;
            let lead = all.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let text = all.trim_ascii();
            let [first, inner @ .., close] = text else { return None };
            let start = span.start + lead + 1;
            (first == close && is_quote(*first)).then(|| start..start + inner.len())
        });
        found.extend(quoted.map(|span| ("password".to_owned(), span, CandidateSource::Place)));
    }
}

/// The arguments after a bracket.
fn given(line: &[u8], from: usize) -> impl Iterator<Item = Range<usize>> {
    let (mut at, mut ended) = (from, false);
    std::iter::from_fn(move || {
        let start = at;
        let (mut quote, mut deep) = (None, 0_u32);
        while let Some(byte) = line.get(at).filter(|_| !ended) {
            at += 1;
            match (quote, byte) {
                (Some(open), byte) if open == *byte => quote = None,
                (Some(_), _) => {}
                (None, byte) if is_quote(*byte) => quote = Some(*byte),
                (None, b'(' | b'[' | b'{') => deep += 1,
                (None, b')') if deep == 0 => {
                    ended = true;
                    return Some(start..at - 1);
                }
                (None, b')' | b']' | b'}') => deep = deep.saturating_sub(1),
                (None, b',') if deep == 0 => return Some(start..at - 1),
                (None, _) => {}
            }
        }
        None
    })
    .take(GIVEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<&str> {
        let mut found = Vec::new();
        in_calls(line.as_bytes(), &mut found);
        found.into_iter().map(|one| &line[one.1]).collect()
    }

    #[test]
    fn a_call_is_given_a_password_at_its_place() {
        for line in [
            "$l = mysqli_connect('db', 'app', 'kD93hfQ0plm4', 'shop');",
            "$p = new PDO('mysql:host=db;dbname=x', 'app', 'kD93hfQ0plm4');",
            "DriverManager.getConnection(url(a, b), \"app\", \"kD93hfQ0plm4\")",
            "req.SetBasicAuth(\"app\", \"kD93hfQ0plm4\")",
            "get(url, auth=('app', 'kD93hfQ0plm4'))",
        ] {
            assert_eq!(shown(line), ["kD93hfQ0plm4"], "{line}");
        }
        for line in [
            "getConnection(\"kD93hfQ0plm4\")",
            "basic_auth(user, password)",
            "log('a', 'kD93hfQ0plm4')",
            "basic_auth('app', 'kD93",
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }
}
