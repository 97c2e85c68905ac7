use std::ops::Range;

/// The deepest nesting of objects and lists. Kubernetes has ten levels.
const DEPTH_MAX: usize = 16;

/// A member of a JSON object: the range of its name without quotes, and of its value with quotes.
pub(crate) type Member = (Range<usize>, Range<usize>);

/// The opening brace of the object around a position that is not in a string; `None` if it is before `from`, or if
/// `earlier` is in the same object.
pub(crate) fn opened(text: &[u8], from: usize, at: usize, earlier: Option<usize>) -> Option<usize> {
    let (mut depth, mut quoted) = (0_usize, false);
    for place in (from..at).rev() {
        if depth == 0 && earlier == Some(place) {
            return None;
        }
        match text.get(place)? {
            b'"' if !is_escaped(text, place) => quoted = !quoted,
            _ if quoted => {}
            b'}' | b']' if depth == DEPTH_MAX => return None,
            b'}' | b']' => depth += 1,
            b'{' if depth == 0 => return Some(place),
            b'{' | b'[' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The members of an object. Of a truncated object those up to the end, the last one incomplete.
pub(crate) fn members(text: &[u8], open: usize) -> Vec<Member> {
    let mut found = Vec::new();
    let mut at = open;
    while let Some((name, value)) = member(text, at + 1) {
        at = behind_blanks(text, value.end);
        found.push((name, value));
        if text.get(at) != Some(&b',') {
            break;
        }
    }
    found
}

fn member(text: &[u8], at: usize) -> Option<Member> {
    let start = behind_blanks(text, at);
    let name = string(text, start)?;
    let sign = behind_blanks(text, name.end);
    let value = behind_blanks(text, sign + 1);
    (text.get(sign) == Some(&b':')).then(|| (name.start + 1..name.end - 1, value..value_end(text, value)))
}

/// The content of a string, without quotes.
pub(crate) fn inner(text: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    string(text, value.start).map(|all| all.start + 1..all.end - 1)
}

/// A complete string, with quotes.
fn string(text: &[u8], start: usize) -> Option<Range<usize>> {
    let within = text.get(start..)?.strip_prefix(b"\"")?;
    let mut quotes = memchr::memchr_iter(b'"', within).map(|at| start + 1 + at);
    let close = quotes.find(|at| !is_escaped(text, *at))?;
    Some(start..close + 1)
}

/// The end of a string, list, object or word.
fn value_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let word = || rest.iter().position(|byte| b",}] \t\r\n".contains(byte)).map(|at| start + at);
    let end = match rest.first() {
        Some(b'"') => string(text, start).map(|all| all.end),
        Some(b'{' | b'[') => closed(text, start).map(|close| close + 1),
        _ => word(),
    };
    end.unwrap_or(text.len())
}

/// The end of a list or object.
fn closed(text: &[u8], open: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, open);
    loop {
        match text.get(at)? {
            b'"' => at = string(text, at)?.end - 1,
            b'{' | b'[' if depth == DEPTH_MAX => return None,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at),
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
}

/// Whether a backslash that is not itself escaped precedes a quote.
fn is_escaped(text: &[u8], quote: usize) -> bool {
    let before = text.get(..quote).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn behind_blanks(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, open: usize) -> Vec<(&str, &str)> {
        members(text.as_bytes(), open).into_iter().map(|(name, value)| (&text[name], &text[value])).collect()
    }

    fn around(text: &str) -> Option<usize> {
        opened(text.as_bytes(), 0, text.find('@').unwrap(), None)
    }

    #[test]
    fn an_object_is_opened_by_the_brace_that_nothing_closes_before_it() {
        assert_eq!(around(r#"{"a":{"b":[1,{"c":"{"}]},"d":"x\"{y", @"#), Some(0));
        assert_eq!(around(r#"[{"a":1},{"b":2, @"#), Some(9));
        assert_eq!(around(r#"{"a":[1, @"#), None);
        assert_eq!(around(r#""a":1, @"#), None);
        assert_eq!(around(&format!("{{{}@", "}".repeat(DEPTH_MAX + 1))), None);
        assert_eq!(opened(br#"{"k":1,"k":2"#, 0, 7, Some(1)), None, "of the same object");
        assert_eq!(opened(br#"{"a":{"k":1},"k":2"#, 0, 13, Some(6)), Some(0));
        assert_eq!(opened(br#"{"k":1"#, 1, 5, None), None, "too far");
    }

    #[test]
    fn members_are_between_commas() {
        let text = r#"x{"a":"one","b" : {"c":[{"d":"}"}]} , "e":1,"f\"":"t\\"}, "g":"h""#;
        let all = [("a", r#""one""#), ("b", r#"{"c":[{"d":"}"}]}"#), ("e", "1"), (r#"f\""#, r#""t\\""#)];
        assert_eq!(shown(text, 1), all);
        assert_eq!(shown(r#"{"a":"one","b":{"c":"d","#, 0), [("a", r#""one""#), ("b", r#"{"c":"d","#)]);
        assert_eq!(shown(r#"{"a":"one","b":"tw"#, 0), [("a", r#""one""#), ("b", r#""tw"#)]);
        assert!(shown("{}", 0).is_empty() && shown("{a:1}", 0).is_empty() && shown("{", 0).is_empty());
        let deep = format!("{{\"a\":{}", "[".repeat(100));
        assert_eq!(shown(&deep, 0), [("a", &deep[5..])]);
    }

    #[test]
    fn the_text_of_a_string_is_between_its_quotes() {
        let of = |text: &'static str| inner(text.as_bytes(), &(0..text.len())).map(|span| &text[span]);
        assert_eq!(of(r#""a\"b""#), Some(r#"a\"b"#));
        assert_eq!(of(r#""a"#), None);
        assert_eq!(of("{}"), None);
        assert_eq!(of(r#"""#), None);
    }
}
