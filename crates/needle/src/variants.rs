use zeroize::Zeroizing;

use crate::Encoding;
use crate::escape::{self, JsonStyle};
use crate::radix;

/// One form of a value.
pub(crate) type Variant = (Encoding, Zeroizing<Vec<u8>>);

/// Every form in which a value is looked for, the plain one first; no two have the same bytes.
pub(crate) fn of(value: &[u8]) -> Vec<Variant> {
    let mut all = Distinct(vec![(Encoding::Raw, Zeroizing::new(value.to_vec()))]);
    all.extend(Encoding::Base64, radix::base64(value));
    all.extend(Encoding::Base64Url, radix::base64_url(value));
    all.extend(Encoding::HexLower, [radix::hex_lower(value)]);
    all.extend(Encoding::HexUpper, [radix::hex_upper(value)]);
    all.extend(Encoding::Base32, radix::base32(value));
    for upper in [true, false] {
        all.extend(
            Encoding::Percent,
            escape::PERCENT.iter().map(|style| escape::percent(value, style, upper)),
        );
        all.extend(Encoding::Form, escape::FORM.iter().map(|style| escape::percent(value, style, upper)));
    }
    all.extend(Encoding::Xml, escape::XML.iter().map(|style| escape::xml(value, style)));
    if let Ok(text) = std::str::from_utf8(value) {
        all.extend(Encoding::Json, JsonStyle::all().map(|style| escape::json(text, style)));
        all.extend(Encoding::JsonTwice, JsonStyle::all().flat_map(|style| json_twice(text, style)));
        all.extend(Encoding::Utf16Le, [escape::utf16(text, u16::to_le_bytes)]);
        all.extend(Encoding::Utf16Be, [escape::utf16(text, u16::to_be_bytes)]);
    }
    all.extend(Encoding::Quoted, [b"'", b"\""].map(|quote| escape::doubled(value, quote)));
    let dollars = escape::doubled(value, b"$");
    all.extend(Encoding::Dollars, [escape::doubled(value, b"$'")]);
    if let Ok(text) = std::str::from_utf8(&dollars) {
        all.extend(Encoding::Dollars, [escape::json(text, JsonStyle::LEAST)]);
    }
    all.extend(Encoding::Dollars, [dollars]);
    all.extend(Encoding::Pgpass, [escape::backslashed(value)]);
    all.0
}

/// Escaped again by the same writer, or by one that escapes as little as it may.
fn json_twice(text: &str, style: JsonStyle) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    let once = escape::json(text, style);
    [style, JsonStyle::LEAST].into_iter().map(move |again| {
        let inner = std::str::from_utf8(&once).unwrap_or_default();
        escape::json(inner, again)
    })
}

struct Distinct(Vec<Variant>);

impl Distinct {
    fn extend(&mut self, encoding: Encoding, forms: impl IntoIterator<Item = Zeroizing<Vec<u8>>>) {
        for form in forms {
            if !self.0.iter().any(|(_, known)| *known == form) {
                self.0.push((encoding, form));
            }
        }
    }
}
