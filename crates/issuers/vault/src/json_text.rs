use std::str::Chars;

use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

/// The text that stands in JSON, with its quotation marks, as a secret. It is copied once: a parser would first unescape it
/// into memory of its own. `None` where it is no text.
pub(crate) fn secret(raw: &str) -> Option<SecretBytes> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    // In one buffer of the full size: no escape is shorter than what it stands for.
    let mut text = Zeroizing::new(Vec::with_capacity(inside.len()));
    let mut utf8 = Zeroizing::new([0_u8; 4]);
    let mut rest = inside.chars();
    while let Some(next) = rest.next() {
        let one = if next == '\\' { escaped(&mut rest)? } else { next };
        text.extend_from_slice(one.encode_utf8(&mut *utf8).as_bytes());
    }
    Some(SecretBytes::new(std::mem::take(&mut *text)))
}

/// What an escape stands for, behind its backslash. Source: RFC 8259, 7.
fn escaped(rest: &mut Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        plain @ ('"' | '\\' | '/') => plain,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => by_number(rest)?,
        _ => return None,
    })
}

fn by_number(rest: &mut Chars<'_>) -> Option<char> {
    let first = unit(rest)?;
    // The first half of a pair.
    if !(0xD800..=0xDBFF).contains(&first) {
        return char::from_u32(u32::from(first));
    }
    if (rest.next()?, rest.next()?) != ('\\', 'u') {
        return None;
    }
    let pair = [first, unit(rest)?];
    char::decode_utf16(pair).next()?.ok()
}

/// Four hexadecimal digits.
fn unit(rest: &mut Chars<'_>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = (unit << 4) | u16::try_from(rest.next()?.to_digit(16)?).ok()?;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Option<Vec<u8>> {
        secret(raw).map(|text| text.expose().to_vec())
    }

    #[test]
    fn a_text_is_what_it_stands_for() {
        for text in ["", "Ab1-", "a\"b\\c/d", "\u{8}\u{c}\n\r\t\u{1}", "é😀", "<&>\u{2028}"] {
            let raw = serde_json::to_string(text).unwrap();
            assert_eq!(read(&raw).as_deref(), Some(text.as_bytes()), "{raw}");
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            let raw = format!("\"{}\"", units.collect::<String>());
            assert_eq!(read(&raw).as_deref(), Some(text.as_bytes()), "{raw}");
        }
        assert_eq!(read(r#""\u003c\/\u00e9""#).as_deref(), Some("</é".as_bytes()));
    }

    #[test]
    fn what_is_no_text_is_none() {
        for raw in [
            "",
            "\"",
            "1",
            "null",
            "{}",
            "[\"a\"]",
            "\"a",
            r#""\""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\ud83d""#,
            r#""\ud83d\n""#,
            r#""\ud83d\u0041""#,
            r#""\ude00""#,
        ] {
            assert!(read(raw).is_none(), "{raw}");
        }
    }
}
