use zeroize::Zeroizing;

use crate::radix::{hex_lower, hex_upper};

/// The longest escape of one byte: `\u001f`, `&quot;`.
const ESCAPE_BYTES_MAX: usize = 6;

/// What percent-encoding leaves as it is, besides letters and digits, and what it makes of a space.
pub(crate) struct PercentStyle {
    kept: &'static [u8],
    space_is_plus: bool,
}

/// RFC 3986's unreserved characters, or only letters and digits of them; the same with `/` (paths); what `encodeURIComponent` keeps; what may stand in a
/// user name or password of a URL.
pub(crate) const PERCENT: [PercentStyle; 5] = [
    PercentStyle { kept: b"-._~", space_is_plus: false },
    PercentStyle { kept: b"-._~/", space_is_plus: false },
    PercentStyle { kept: b"-._~!*'()", space_is_plus: false },
    PercentStyle { kept: b"-._~$&+,;=", space_is_plus: false },
    PercentStyle { kept: b"", space_is_plus: false },
];

/// Forms: as the URL standard serialises them, and as Python's and Go's libraries do.
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

/// Each byte in hexadecimal digits, with what a writer puts before and behind them.
pub(crate) fn each_byte(value: &[u8], (before, behind): (&str, &str), upper: bool) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(value);
    for &byte in value {
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(&if upper { hex_upper(&[byte]) } else { hex_lower(&[byte]) });
        out.extend_from_slice(behind.as_bytes());
    }
    out
}

/// Each byte as XML's decimal reference.
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

/// What a JSON writer escapes beyond what it must.
#[derive(Clone, Copy)]
pub(crate) struct JsonStyle {
    /// `/` as `\/`.
    slash: bool,
    /// These as `\u003c`.
    marks: &'static str,
    /// What is not ASCII as `\u00e9`.
    ascii: bool,
    /// `\u00E9` instead of `\u00e9`.
    upper: bool,
}

/// Writers that escape more marks, which do not differ in all else: System.Text.Json, Gson, Json.NET and PHP where they are told
/// that it goes into HTML.
const JSON_MARKS: [JsonStyle; 4] = [
    JsonStyle { slash: false, marks: "\"&'+<>`\u{7f}", ascii: true, upper: true },
    JsonStyle { slash: false, marks: "<>&='", ascii: false, upper: false },
    JsonStyle { slash: false, marks: "<>&'\"", ascii: false, upper: false },
    JsonStyle { slash: true, marks: "<>&'\"", ascii: true, upper: true },
];

impl JsonStyle {
    /// Only what RFC 8259 demands.
    pub(crate) const LEAST: Self = Self { slash: false, marks: "", ascii: false, upper: false };

    /// What a compose file in double quotes may be written with.
    pub(crate) const DOLLARS: [Self; 3] =
        [Self::LEAST, Self { ascii: true, ..Self::LEAST }, Self { ascii: true, upper: true, ..Self::LEAST }];

    /// Every combination, the least first.
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

/// What an XML or HTML writer makes of these characters, besides `&` and `<`.
pub(crate) type XmlStyle = &'static [(u8, &'static [u8])];

/// Text, attributes, and the escapers of the common libraries; those of .NET, Go's templates, Handlebars, Mustache and OWASP last.
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

/// Each of these marks written twice.
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

/// A `\` before each `:` and `\`.
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

/// UTF-16; `unit` gives the order of the two bytes.
pub(crate) fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Zeroizing<Vec<u8>> {
    let mut out = with_room_for(text.as_bytes());
    text.encode_utf16().for_each(|code| out.extend_from_slice(&unit(code)));
    out
}

/// Room for the longest escape of every byte, taken at once: a buffer that grows leaves copies of values behind.
pub(crate) fn with_room_for(value: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(value.len() * ESCAPE_BYTES_MAX))
}
