//! What is nearly JSON: a comma too many, `NaN`, comments, bytes that are no UTF-8, several texts one behind the other.

use zeroize::Zeroizing;

use crate::json::{JSON_DEPTH_MAX, Kind, Step, Tell, decode};

/// Goes over any text as if it were JSON, and tells what stands between quotes in it, names and texts, and what stands behind a name
/// or in a list without quotes. `false` = it has no text, or ends within one.
pub(crate) fn visit(text: &[u8], tell: &mut Tell<'_>) -> bool {
    let mut way: Vec<Step> = Vec::new();
    let (mut at, mut any) = (0, false);
    while let Some(sign) = text.get(at) {
        match sign {
            b'{' => way.push(Step::Name(Zeroizing::default())),
            b'[' => way.push(Step::At(0)),
            b'}' | b']' => {
                way.pop();
            }
            b',' => {
                if let Some(Step::At(number)) = way.last_mut() {
                    *number += 1;
                }
            }
            b'"' => {
                let Some(end) = text_end(text, at) else { return false };
                let colon =
                    text.get(end..).and_then(|rest| rest.iter().find(|byte| !byte.is_ascii_whitespace()));
                let within = way.pop();
                match within {
                    Some(Step::Name(_)) if colon == Some(&b':') => {
                        tell(&way, Kind::Name, at..end);
                        way.push(Step::Name(decode(text.get(at..end).unwrap_or_default())));
                    }
                    within => {
                        way.extend(within);
                        tell(&way, Kind::Text, at..end);
                    }
                }
                at = end - 1;
            }
            _ => {
                let length = scalar(text.get(at..).unwrap_or_default());
                let told = match way.last() {
                    Some(Step::Name(name)) => !name.is_empty(),
                    Some(Step::At(_)) => true,
                    None => false,
                };
                if length > 0 && told {
                    tell(&way, Kind::Scalar, at..at + length);
                }
                at += length.saturating_sub(1);
            }
        }
        any |= *sign == b'"';
        at += 1;
    }
    any
}

/// Whether lists and objects stand so deep in each other that the way to what is in them is too long to be known.
pub(crate) fn is_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(sign) = text.get(at) {
        match sign {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => match text_end(text, at) {
                Some(end) => at = end - 1,
                None => return false,
            },
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return true;
        }
        at += 1;
    }
    false
}

fn scalar(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')).count()
}

/// Whether a text begins and ends as JSON that holds texts does.
pub(crate) fn looks_like_it(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    matches!((text.first(), text.last()), (Some(b'{' | b'[' | b'"'), Some(b'}' | b']' | b'"')))
}

/// Behind the closing quote of the text that begins here; whatever is in it.
fn text_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &[u8]) -> (bool, Vec<String>) {
        let mut all = Vec::new();
        let good = visit(text, &mut |way, kind, span| {
            let way: Vec<String> = way
                .iter()
                .map(|step| match step {
                    Step::Name(name) => String::from_utf8_lossy(name).into_owned(),
                    Step::At(at) => at.to_string(),
                })
                .collect();
            if kind == Kind::Text {
                all.push(format!("{}={}", way.join("."), String::from_utf8_lossy(&text[span])));
            }
        });
        (good, all)
    }

    #[test]
    fn what_is_nearly_json_is_read() {
        let (good, all) = told(br#"{"a": NaN, "b": ["x", Infinity, "y",], "c": {"d" : "z\"",},} {"e":"f"}"#);
        assert!(good);
        assert_eq!(all, [r#"b.0="x""#, r#"b.2="y""#, r#"c.d="z\"""#, r#"e="f""#]);
        assert_eq!(told(b"{\"a\":\"\xff\"}").1, ["a=\"\u{fffd}\""]);
        for text in ["", "plain text", r#"{"a":"b"#, r#"{"a":"b\"#] {
            assert!(!told(text.as_bytes()).0, "{text}");
        }
    }

    #[test]
    fn it_is_no_stricter_than_json_is() {
        for text in [r#"[1,"a",{"b":[],"c":"d"},"e"]"#, r#""a""#, r#"{"a":{"b":"c"},"d":"\\"}"#] {
            let (mut strict, mut loose) = (Vec::new(), Vec::new());
            let tell = |all: &mut Vec<_>, way: &[Step], kind, span| {
                if kind != Kind::Scalar {
                    all.push((way.to_vec(), kind, span));
                }
            };
            assert!(crate::json::visit(text.as_bytes(), &mut |way, kind, span| tell(
                &mut strict,
                way,
                kind,
                span
            )));
            assert!(visit(text.as_bytes(), &mut |way, kind, span| tell(&mut loose, way, kind, span)));
            assert_eq!(strict, loose, "{text}");
        }
    }
}
