use zeroize::Zeroizing;

use crate::encoding::radix::{hex_lower, hex_upper};

/// The longest escape of one byte, bytes: `\u001f`, `&quot;`.
const ESCAPE_BYTES_MAX: usize = 6;

/// The characters that percent-encoding keeps, besides letters and digits, and the encoding of a space.
pub(crate) struct PercentStyle {
    kept: &'static [u8],
    space_is_plus: bool,
}

/// RFC 3986's unreserved characters, or of them only letters and digits; both also with `/` (paths); the characters
/// that `encodeURIComponent` keeps; those of a user name or password in a URL.
pub(crate) const PERCENT: [PercentStyle; 5] = [
    PercentStyle { kept: b"-._~", space_is_plus: false },
    PercentStyle { kept: b"-._~/", space_is_plus: false },
    PercentStyle { kept: b"-._~!*'()", space_is_plus: false },
    PercentStyle { kept: b"-._~$&+,;=", space_is_plus: false },
    PercentStyle { kept: b"", space_is_plus: false },
];

/// Forms as the URL standard, Python and Go write them.
pub(crate) const FORM: [PercentStyle; 2] = [
    PercentStyle { kept: b"*-._", space_is_plus: true },
    PercentStyle { kept: b"-._~", space_is_plus: true },
];

/// Percent-encodes; `upper` chooses the case of the hexadecimal digits.
pub(crate) fn percent(value: &[u8], style: &PercentStyle, upper: bool) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    for &byte in value {
        if byte.is_ascii_alphanumeric() || style.kept.contains(&byte) {
            out.push(byte);
        } else if byte == b' ' && style.space_is_plus {
            out.push(b'+');
        } else {
            out.push(b'%');
            out.extend_from_slice(&if upper { hex_upper(&[byte]) } else { hex_lower(&[byte]) });
        }
    }
    out
}

/// Each byte as hexadecimal digits between `before` and `behind`.
pub(crate) fn each_byte(value: &[u8], (before, behind): (&str, &str), upper: bool) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    for &byte in value {
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(&if upper { hex_upper(&[byte]) } else { hex_lower(&[byte]) });
        out.extend_from_slice(behind.as_bytes());
    }
    out
}

/// Each byte as a decimal reference of XML.
pub(crate) fn decimal(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    for byte in value {
        out.extend_from_slice(b"&#");
        let digits = [byte / 100, byte / 10 % 10, byte % 10];
        let lead = digits.iter().take(2).take_while(|digit| **digit == 0).count();
        out.extend(digits.iter().skip(lead).map(|digit| b'0' + digit));
        out.push(b';');
    }
    out
}

/// The optional escapes of a JSON writer.
#[derive(Clone, Copy)]
pub(crate) struct JsonStyle {
    /// `/` as `\/`.
    slash: bool,
    /// These characters as `\u003c`.
    marks: &'static str,
    /// Non-ASCII characters as `\u00e9`.
    ascii: bool,
    /// `\u00E9` instead of `\u00e9`.
    upper: bool,
}

/// Writers with more escapes and otherwise one style: System.Text.Json, Gson, and the HTML modes of Json.NET and PHP.
const JSON_MARKS: [JsonStyle; 4] = [
    JsonStyle { slash: false, marks: "\"&'+<>`\u{7f}", ascii: true, upper: true },
    JsonStyle { slash: false, marks: "<>&='", ascii: false, upper: false },
    JsonStyle { slash: false, marks: "<>&'\"", ascii: false, upper: false },
    JsonStyle { slash: true, marks: "<>&'\"", ascii: true, upper: true },
];

impl JsonStyle {
    /// Only the escapes that RFC 8259 requires.
    pub(crate) const LEAST: Self = Self { slash: false, marks: "", ascii: false, upper: false };

    /// The styles of double quotes in compose files.
    pub(crate) const DOLLARS: [Self; 3] =
        [Self::LEAST, Self { ascii: true, ..Self::LEAST }, Self { ascii: true, upper: true, ..Self::LEAST }];

    /// Every combination, the one with the fewest escapes first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let combined = (0..16u8).map(|bits| Self {
            slash: bits & 1 != 0,
            marks: if bits & 2 != 0 { "<>&" } else { "" },
            ascii: bits & 4 != 0,
            upper: bits & 8 != 0,
        });
        combined.chain(JSON_MARKS)
    }
}

/// The inside of a JSON string.
pub(crate) fn json(text: &str, style: JsonStyle) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(text.as_bytes());
    for letter in text.chars() {
        match letter {
            _ if style.marks.contains(letter) => push_units(&mut out, letter, style.upper),
            '"' | '\\' => out.extend_from_slice(&[b'\\', letter as u8]),
            '/' if style.slash => out.extend_from_slice(b"\\/"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..' ' => push_units(&mut out, letter, style.upper),
            _ if style.ascii && !letter.is_ascii() => push_units(&mut out, letter, style.upper),
            _ => push_char(&mut out, letter),
        }
    }
    out
}

fn push_units(out: &mut Vec<u8>, letter: char, upper: bool) {
    for unit in letter.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        let bytes = unit.to_be_bytes();
        out.extend_from_slice(&if upper { hex_upper(&bytes) } else { hex_lower(&bytes) });
    }
}

fn push_char(out: &mut Vec<u8>, letter: char) {
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The characters that an XML or HTML writer escapes besides `&` and `<`, with their escapes.
pub(crate) type XmlStyle = &'static [(u8, &'static [u8])];

/// Text, attributes, and the escapers of common libraries; last those of .NET, Go's templates, Handlebars, Mustache
/// and OWASP.
pub(crate) const XML: [XmlStyle; 13] = [
    &[],
    &[(b'>', b"&gt;")],
    &[(b'"', b"&quot;")],
    &[(b'>', b"&gt;"), (b'"', b"&quot;")],
    &[(b'>', b"&gt;"), (b'"', b"&quot;"), (b'\'', b"&apos;")],
    &[(b'>', b"&gt;"), (b'"', b"&quot;"), (b'\'', b"&#39;")],
    &[(b'>', b"&gt;"), (b'"', b"&quot;"), (b'\'', b"&#x27;")],
    &[(b'>', b"&gt;"), (b'"', b"&#34;"), (b'\'', b"&#39;")],
    &[(b'>', b"&gt;"), (b'"', b"&quot;"), (b'\'', b"&#x27;"), (b'+', b"&#x2B;"), (b'`', b"&#x60;")],
    &[(b'>', b"&gt;"), (b'"', b"&#34;"), (b'\'', b"&#39;"), (b'+', b"&#43;")],
    &[(b'>', b"&gt;"), (b'"', b"&quot;"), (b'\'', b"&#x27;"), (b'`', b"&#x60;"), (b'=', b"&#x3D;")],
    &[
        (b'>', b"&gt;"),
        (b'"', b"&quot;"),
        (b'\'', b"&#39;"),
        (b'/', b"&#x2F;"),
        (b'`', b"&#x60;"),
        (b'=', b"&#x3D;"),
    ],
    &[(b'>', b"&gt;"), (b'"', b"&quot;"), (b'\'', b"&#x27;"), (b'/', b"&#x2F;")],
];

/// XML or HTML text.
pub(crate) fn xml(value: &[u8], style: XmlStyle) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    for byte in value {
        let entity = match byte {
            b'&' => Some(b"&amp;".as_slice()),
            b'<' => Some(b"&lt;".as_slice()),
            _ => style.iter().find(|(mark, _)| mark == byte).map(|(_, entity)| *entity),
        };
        out.extend_from_slice(entity.unwrap_or(std::slice::from_ref(byte)));
    }
    out
}

/// With these characters doubled.
pub(crate) fn doubled(value: &[u8], marks: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    for byte in value {
        if marks.contains(byte) {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out
}

/// With `\` before each `:` and `\`.
pub(crate) fn backslashed(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    for byte in value {
        if matches!(byte, b':' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

/// UTF-16; `unit` sets the byte order.
pub(crate) fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(text.as_bytes());
    text.encode_utf16().for_each(|code| out.extend_from_slice(&unit(code)));
    out
}

/// A buffer for the longest escape of every byte, allocated at once: a buffer that grows leaves copies of values
/// behind.
pub(crate) fn with_room_for(value: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(value.len() * ESCAPE_BYTES_MAX))
}
