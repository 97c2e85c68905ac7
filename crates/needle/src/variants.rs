use zeroize::Zeroizing;

use crate::breaks::Joined;
use crate::escape::{self, JsonStyle};
use crate::{Encoding, VALUE_BYTES_MIN, pem, radix, shell};

/// One form of a value.
pub(crate) type Variant = (Encoding, Zeroizing<Vec<u8>>);

/// Every form in which a value is looked for, the plain one first; no two have the same bytes. Of a private key that stands in
/// PEM its first and last line are public: what is between them is looked for, whole and line by line; and all of the value where
/// it has more than PEM.
pub(crate) fn of(value: &[u8]) -> Vec<Variant> {
    let mut all = Distinct(Vec::new());
    let pem = pem::of(value);
    if pem.has_more || pem.bodies.is_empty() {
        all.texts(value);
    }
    pem.bodies.iter().for_each(|body| all.texts(body));
    for line in pem.bodies.into_iter().flat_map(pem::lines) {
        all.extend(Encoding::Raw, [Zeroizing::new(line.to_vec())]);
        // In a URL or a form their ends are of another kind than those that are kept.
        all.percents(line);
    }
    all.digits(value);
    all.join();
    all.0
}

/// The inside of a JSON string as each writer has it, with the first of those who write the same.
fn json(text: &str) -> Vec<(JsonStyle, Zeroizing<Vec<u8>>)> {
    let mut all: Vec<(JsonStyle, Zeroizing<Vec<u8>>)> = Vec::new();
    for style in JsonStyle::all() {
        let written = escape::json(text, style);
        if !all.iter().any(|(_, known)| *known == written) {
            all.push((style, written));
        }
    }
    all
}

/// Escaped again by the same writer, or by one that escapes as little as it may.
fn json_again((style, once): &(JsonStyle, Zeroizing<Vec<u8>>)) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    let inner = std::str::from_utf8(once).unwrap_or_default();
    [*style, JsonStyle::LEAST].into_iter().map(move |again| escape::json(inner, again))
}

struct Distinct(Vec<Variant>);

impl Distinct {
    /// The bytes themselves, and what they are written as in other texts.
    fn texts(&mut self, value: &[u8]) {
        self.extend(Encoding::Raw, [Zeroizing::new(value.to_vec())]);
        self.percents(value);
        self.extend(Encoding::Xml, escape::XML.iter().map(|style| escape::xml(value, style)));
        self.escaped_whole(value);
        if let Ok(text) = std::str::from_utf8(value) {
            let once = json(text);
            let twice: Vec<_> =
                once.iter().filter(|(_, form)| **form != value).flat_map(json_again).collect();
            self.extend(Encoding::Json, once.into_iter().map(|(_, form)| form));
            self.extend(Encoding::JsonTwice, twice);
            self.extend(Encoding::Utf16Le, [escape::utf16(text, u16::to_le_bytes)]);
            self.extend(Encoding::Utf16Be, [escape::utf16(text, u16::to_be_bytes)]);
        }
        self.extend(Encoding::Quoted, [b"'", b"\""].map(|quote| escape::doubled(value, quote)));
        let dollars = escape::doubled(value, b"$");
        self.extend(Encoding::Dollars, [escape::doubled(value, b"$'")]);
        if let Ok(text) = std::str::from_utf8(&dollars) {
            self.extend(Encoding::Dollars, JsonStyle::DOLLARS.map(|style| escape::json(text, style)));
        }
        self.extend(Encoding::Dollars, [dollars]);
        self.extend(Encoding::Pgpass, [escape::backslashed(value)]);
        self.extend(Encoding::Shell, shell::all(value));
    }

    /// In URLs and forms; also in those that stand in another one.
    fn percents(&mut self, value: &[u8]) {
        let styles = || {
            let percent = escape::PERCENT.iter().map(|style| (Encoding::Percent, style));
            percent.chain(escape::FORM.iter().map(|style| (Encoding::Form, style)))
        };
        for upper in [true, false] {
            for (encoding, style) in styles() {
                let once = escape::percent(value, style, upper);
                if *once != *value {
                    let again = styles().map(|(_, style)| escape::percent(&once, style, upper));
                    self.extend(encoding, again.collect::<Vec<_>>());
                }
                self.extend(encoding, [once]);
            }
        }
    }

    /// Where a writer leaves nothing as it is, letters neither.
    fn escaped_whole(&mut self, value: &[u8]) {
        for upper in [true, false] {
            let each = |around| escape::each_byte(value, around, upper);
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
            self.extend(Encoding::Xml, [escape::decimal(value)]);
        }
    }

    /// The bytes in digits.
    fn digits(&mut self, value: &[u8]) {
        self.extend(Encoding::Base64, radix::base64(value));
        self.extend(Encoding::Base64Url, radix::base64_url(value));
        // Only where the value was encoded by itself first: at all nine alignments these would be a quarter of all forms.
        let once = radix::base64(value).next();
        self.extend(Encoding::Base64Twice, once.iter().flat_map(|once| radix::base64(once)));
        self.extend(Encoding::HexLower, [radix::hex_lower(value)]);
        self.extend(Encoding::HexUpper, [radix::hex_upper(value)]);
        self.extend(Encoding::Base32, radix::base32(value));
    }

    /// What has lines of its own may be wrapped elsewhere: it is looked for without them, too.
    fn join(&mut self) {
        let joined = self.0.iter().filter_map(|(encoding, form)| Some((*encoding, Joined::of(form)?.bytes)));
        let joined: Vec<Variant> = joined.collect();
        joined.into_iter().for_each(|(encoding, form)| self.extend(encoding, [form]));
    }

    /// None is kept that is too short to be told from chance.
    fn extend(&mut self, encoding: Encoding, forms: impl IntoIterator<Item = Zeroizing<Vec<u8>>>) {
        for form in forms {
            if form.len() >= VALUE_BYTES_MIN && !self.0.iter().any(|(_, known)| *known == form) {
                self.0.push((encoding, form));
            }
        }
    }
}
