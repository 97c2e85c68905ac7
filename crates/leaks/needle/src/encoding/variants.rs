use zeroize::Zeroizing;

use crate::encoding::escapes::{self, JsonStyle};
use crate::encoding::{pem, radix, shell};
use crate::line_wraps::join::JoinedText;
use crate::{Encoding, VALUE_BYTES_MIN};

/// One encoded form of a value.
pub(crate) type Variant = (Encoding, Zeroizing<Vec<u8>>);

/// All forms of a value, the plain one first, without duplicates. The first and last line of a PEM private key are
/// public: the content between them is searched for, whole and line by line; the whole value too if it contains more
/// than PEM.
pub(crate) fn of(value: &[u8]) -> Vec<Variant> {
    let mut all = DistinctForms(Vec::new());
    let pem = pem::of(value);
    if pem.has_more || pem.bodies.is_empty() {
        all.texts(value);
    }
    pem.bodies.iter().for_each(|body| all.texts(body));
    for line in pem.bodies.into_iter().flat_map(pem::lines) {
        all.extend(Encoding::Raw, [Zeroizing::new(line.to_vec())]);
        // In URLs and forms the line ends between them differ from those in the value.
        all.percents(line);
    }
    all.digits(value);
    all.join();
    all.0
}

/// The inside of a JSON string in each distinct style, with the first style that writes it so.
fn json(text: &str) -> Vec<(JsonStyle, Zeroizing<Vec<u8>>)> {
    let mut all: Vec<(JsonStyle, Zeroizing<Vec<u8>>)> = Vec::new();
    for style in JsonStyle::all() {
        let written = escapes::json(text, style);
        if !all.iter().any(|(_, known)| *known == written) {
            all.push((style, written));
        }
    }
    all
}

/// Escaped again in the same style, or in the one with the fewest escapes.
fn json_again((style, once): &(JsonStyle, Zeroizing<Vec<u8>>)) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    let inner = std::str::from_utf8(once).unwrap_or_default();
    [*style, JsonStyle::LEAST].into_iter().map(move |again| escapes::json(inner, again))
}

struct DistinctForms(Vec<Variant>);

impl DistinctForms {
    /// The plain form and its escaped forms.
    fn texts(&mut self, value: &[u8]) {
        self.extend(Encoding::Raw, [Zeroizing::new(value.to_vec())]);
        self.percents(value);
        self.extend(Encoding::Xml, escapes::XML.iter().map(|style| escapes::xml(value, style)));
        self.escaped_whole(value);
        if let Ok(text) = std::str::from_utf8(value) {
            let once = json(text);
            let twice: Vec<_> =
                once.iter().filter(|(_, form)| **form != value).flat_map(json_again).collect();
            self.extend(Encoding::Json, once.into_iter().map(|(_, form)| form));
            self.extend(Encoding::JsonTwice, twice);
            self.extend(Encoding::Utf16Le, [escapes::utf16(text, u16::to_le_bytes)]);
            self.extend(Encoding::Utf16Be, [escapes::utf16(text, u16::to_be_bytes)]);
        }
        self.extend(Encoding::Quoted, [b"'", b"\""].map(|quote| escapes::doubled(value, quote)));
        let dollars = escapes::doubled(value, b"$");
        self.extend(Encoding::Dollars, [escapes::doubled(value, b"$'")]);
        if let Ok(text) = std::str::from_utf8(&dollars) {
            self.extend(Encoding::Dollars, JsonStyle::DOLLARS.map(|style| escapes::json(text, style)));
        }
        self.extend(Encoding::Dollars, [dollars]);
        self.extend(Encoding::Pgpass, [escapes::backslashed(value)]);
        self.extend(Encoding::Shell, shell::all(value));
    }

    /// Percent-encoded and form-encoded, also twice.
    fn percents(&mut self, value: &[u8]) {
        let styles = || {
            let percent = escapes::PERCENT.iter().map(|style| (Encoding::Percent, style));
            percent.chain(escapes::FORM.iter().map(|style| (Encoding::Form, style)))
        };
        for upper in [true, false] {
            for (encoding, style) in styles() {
                let once = escapes::percent(value, style, upper);
                if *once != *value {
                    let again = styles().map(|(_, style)| escapes::percent(&once, style, upper));
                    self.extend(encoding, again.collect::<Vec<_>>());
                }
                self.extend(encoding, [once]);
            }
        }
    }

    /// Escaped completely, letters included.
    fn escaped_whole(&mut self, value: &[u8]) {
        for upper in [true, false] {
            let each = |around| escapes::each_byte(value, around, upper);
            self.extend(Encoding::Percent, [each(("%", "")), each(("%25", ""))]);
            if !value.is_ascii() {
                continue;
            }
            self.extend(Encoding::Json, [each(("\\u00", ""))]);
            self.extend(Encoding::Xml, [each(("&#x", ";"))]);
            let hex = if upper { Encoding::HexUpper } else { Encoding::HexLower };
            self.extend(hex, [each(("\\x", ""))]);
        }
        if value.is_ascii() {
            self.extend(Encoding::Xml, [escapes::decimal(value)]);
        }
    }

    /// In hexadecimal, base64 and base32.
    fn digits(&mut self, value: &[u8]) {
        self.extend(Encoding::Base64, radix::base64(value));
        self.extend(Encoding::Base64Url, radix::base64_url(value));
        // Only if the inner base64 begins with the value: all nine alignments would be a quarter of all forms.
        let once = radix::base64(value).next();
        self.extend(Encoding::Base64Twice, once.iter().flat_map(|once| radix::base64(once)));
        self.extend(Encoding::HexLower, [radix::hex_lower(value)]);
        self.extend(Encoding::HexUpper, [radix::hex_upper(value)]);
        self.extend(Encoding::Base32, radix::base32(value));
    }

    /// Forms with line ends may be wrapped elsewhere, so they are searched for without line ends too.
    fn join(&mut self) {
        let joined =
            self.0.iter().filter_map(|(encoding, form)| Some((*encoding, JoinedText::of(form)?.bytes)));
        let joined: Vec<Variant> = joined.collect();
        joined.into_iter().for_each(|(encoding, form)| self.extend(encoding, [form]));
    }

    /// Adds forms that are long enough not to occur by chance.
    fn extend(&mut self, encoding: Encoding, forms: impl IntoIterator<Item = Zeroizing<Vec<u8>>>) {
        for form in forms {
            if form.len() >= VALUE_BYTES_MIN && !self.0.iter().any(|(_, known)| *known == form) {
                self.0.push((encoding, form));
            }
        }
    }
}
