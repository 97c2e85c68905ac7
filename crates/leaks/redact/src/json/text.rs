use zeroize::Zeroizing;

/// Decodes a text in quotes.
pub(crate) fn decode(quoted: &[u8]) -> Zeroizing<Vec<u8>> {
    unescaped(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
}

/// Unescapes a text. Keeps half a surrogate pair as the three bytes that UTF-8 would have for it, and anything that
/// is not an escape.
pub(crate) fn unescaped(raw: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut rest = raw;
    loop {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        let (text, escape) = rest.split_at_checked(plain).unwrap_or_default();
        out.extend_from_slice(text);
        rest = match escape {
            [b'\\', b'u', rest @ ..] => unicode(rest, &mut out),
            // Not JSON, but common in other languages.
            [b'\\', b'x', rest @ ..] => byte(rest, &mut out),
            [b'\\', sign, rest @ ..] => {
                out.push(match sign {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    sign => *sign,
                });
                rest
            }
            _ => return out,
        };
    }
}

/// Decodes the digits after `\x`; returns the rest.
fn byte<'t>(rest: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let digits = rest.split_at_checked(2);
    let byte = digits.and_then(|(digits, rest)| Some((u8::try_from(hexadecimal(digits)?).ok()?, rest)));
    out.push(byte.map_or(b'x', |(byte, _)| byte));
    byte.map_or(rest, |(_, rest)| rest)
}

/// Decodes the digits after `\u`; returns the rest.
fn unicode<'t>(rest: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let unit = |digits: &[u8]| hexadecimal(digits.get(..4)?);
    let Some(first) = unit(rest) else {
        out.extend_from_slice(br"\u");
        return rest;
    };
    let behind = rest.get(4..).unwrap_or_default();
    let second = behind.strip_prefix(br"\u").and_then(unit).filter(|unit| (0xDC00..0xE000).contains(unit));
    let (code, behind) = match second {
        Some(second) if (0xD800..0xDC00).contains(&first) => {
            (0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00), behind.get(6..).unwrap_or_default())
        }
        _ => (first, behind),
    };
    match char::from_u32(code) {
        Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let low = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
            out.extend([0xED, low(6), low(0)]);
        }
    }
    behind
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// Writes a text as JSON, with quotes; valid for any bytes.
pub(crate) fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let good = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        for letter in good.chars() {
            match letter {
                '"' => out.extend_from_slice(br#"\""#),
                '\\' => out.extend_from_slice(br"\\"),
                '\n' => out.extend_from_slice(br"\n"),
                '\r' => out.extend_from_slice(br"\r"),
                '\t' => out.extend_from_slice(br"\t"),
                '\0'..' ' => out.extend(format!("\\u{:04x}", u32::from(letter)).bytes()),
                _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        rest = rest.get(good.len()..).unwrap_or_default();
        rest = match rest {
            [0xED, high @ 0xA0..=0xBF, low @ 0x80..=0xBF, rest @ ..] => {
                let unit = 0xD000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f);
                out.extend(format!("\\u{unit:04x}").bytes());
                rest
            }
            [_, rest @ ..] => {
                out.extend_from_slice("\u{fffd}".as_bytes());
                rest
            }
            [] => rest,
        };
    }
    out.push(b'"');
    out
}
