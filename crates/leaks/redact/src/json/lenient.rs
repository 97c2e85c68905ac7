//! Parses malformed JSON: extra commas, `NaN`, comments, invalid UTF-8, several documents in a row.

use zeroize::Zeroizing;

use crate::json::parse::{JSON_DEPTH_MAX, JsonKind, JsonStep, JsonVisitor};
use crate::json::text::decode;

/// Visits the names and texts in quotes of any text, and the scalars after a name or in a list. Returns false if it
/// has no text or ends inside one.
pub(crate) fn visit(text: &[u8], tell: &mut JsonVisitor<'_>) -> bool {
    let mut way: Vec<JsonStep> = Vec::new();
    let (mut at, mut any) = (0, false);
    while let Some(sign) = text.get(at) {
        match sign {
            b'{' => way.push(JsonStep::Name(Zeroizing::default())),
            b'[' => way.push(JsonStep::At(0)),
            b'}' | b']' => {
                way.pop();
            }
            b',' => {
                if let Some(JsonStep::At(number)) = way.last_mut() {
                    *number += 1;
                }
            }
            b'"' => {
                let Some(end) = text_end(text, at) else { return false };
                let colon =
                    text.get(end..).and_then(|rest| rest.iter().find(|byte| !byte.is_ascii_whitespace()));
                let within = way.pop();
                match within {
                    Some(JsonStep::Name(_)) if colon == Some(&b':') => {
                        tell(&way, JsonKind::Name, at..end);
                        way.push(JsonStep::Name(decode(text.get(at..end).unwrap_or_default())));
                    }
                    within => {
                        way.extend(within);
                        tell(&way, JsonKind::Text, at..end);
                    }
                }
                at = end - 1;
            }
            _ => {
                let length = scalar(text.get(at..).unwrap_or_default());
                let told = match way.last() {
                    Some(JsonStep::Name(name)) => !name.is_empty(),
                    Some(JsonStep::At(_)) => true,
                    None => false,
                };
                if length > 0 && told {
                    tell(&way, JsonKind::Scalar, at..at + length);
                }
                at += length.saturating_sub(1);
            }
        }
        any |= *sign == b'"';
        at += 1;
    }
    any
}

/// Whether a text is nested deeper than [`JSON_DEPTH_MAX`].
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

/// Whether a text begins and ends like JSON that contains texts.
pub(crate) fn looks_like_it(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    matches!((text.first(), text.last()), (Some(b'{' | b'[' | b'"'), Some(b'}' | b']' | b'"')))
}

/// The end of the text that begins here, after its closing quote; accepts any content.
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
                    JsonStep::Name(name) => String::from_utf8_lossy(name).into_owned(),
                    JsonStep::At(at) => at.to_string(),
                })
                .collect();
            if kind == JsonKind::Text {
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
            let tell = |all: &mut Vec<_>, way: &[JsonStep], kind, span| {
                if kind != JsonKind::Scalar {
                    all.push((way.to_vec(), kind, span));
                }
            };
            assert!(crate::json::parse::visit(text.as_bytes(), &mut |way, kind, span| tell(
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
