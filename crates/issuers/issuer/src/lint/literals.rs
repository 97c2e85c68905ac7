use std::collections::BTreeMap;

use super::remark::Remark;
use crate::document::Document;
use crate::operation::Request;
use crate::template::{JsonTemplate, Part, Template};

/// The shortest word that may be a secret by its characters.
const WORD_BYTES_MIN: usize = 24;

/// The shortest hexadecimal word that may be a secret outside of a header: ids have 32 digits.
const HEX_BYTES_MIN: usize = 40;

/// The shortest text after the scheme of a header that is taken for a credential.
const CREDENTIAL_BYTES_MIN: usize = 8;

/// Texts in requests that look like a secret: a spec is read by many, and takes each secret from a placeholder.
pub(crate) fn judge(document: &Document) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (key, request) in requests(document) {
        let suspects = texts(request).into_iter().filter(|text| text.looks_secret());
        remarks.extend(suspects.map(|text| {
            Remark {
            rule: "secret-in-spec",
            key: format!("{key}.request.{}", text.key),
            message: "this looks like a secret, and everybody can read it who can read the spec".to_owned(),
            help: "take it from a placeholder, such as {current.FIELD}; if it is a real credential, revoke it"
                .to_owned(),
        }
        }));
    }
    remarks
}

fn requests(document: &Document) -> Vec<(&'static str, &Request)> {
    let mut all = document.op.requests();
    let exchange = document.auth.admin.iter().filter_map(|admin| admin.token.as_ref());
    all.extend(exchange.map(|exchange| ("auth.admin.token", &exchange.request)));
    all
}

/// A text of a request, with its position in it.
struct Text<'a> {
    key: String,
    header: bool,
    template: &'a Template,
}

fn texts(request: &Request) -> Vec<Text<'_>> {
    let mut all = named("header", true, &request.header);
    all.extend(named("query", false, &request.query));
    all.extend(request.form.iter().flat_map(|form| named("form", false, form)));
    if let Some(json) = &request.json {
        in_json(json, "json".to_owned(), &mut all);
    }
    all
}

fn named<'a>(part: &str, header: bool, texts: &'a BTreeMap<String, Template>) -> Vec<Text<'a>> {
    let text =
        |(name, template): (&String, &'a Template)| Text { key: format!("{part}.{name}"), header, template };
    texts.iter().map(text).collect()
}

fn in_json<'a>(json: &'a JsonTemplate, key: String, all: &mut Vec<Text<'a>>) {
    match json {
        JsonTemplate::Text(template) => all.push(Text { key, header: false, template }),
        JsonTemplate::Plain(_) => {}
        JsonTemplate::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                in_json(item, format!("{key}.{number}"), all);
            }
        }
        JsonTemplate::Object(entries) => {
            for (name, value) in entries {
                in_json(value, format!("{key}.{name}"), all);
            }
        }
    }
}

impl Text<'_> {
    fn looks_secret(&self) -> bool {
        self.template.parts().iter().any(|part| match part {
            Part::Literal(text) => follows_scheme(text) || self.has_random_word(text),
            Part::Slot(_) => false,
        })
    }

    fn has_random_word(&self, text: &str) -> bool {
        let shortest_hex = if self.header { WORD_BYTES_MIN } else { HEX_BYTES_MIN };
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        text.split(|c: char| !joins(c)).any(|word| is_mixed(word) || has_hex(word, shortest_hex))
    }
}

/// Whether a credential follows the name of a scheme: `Bearer 3f9c…`.
fn follows_scheme(text: &str) -> bool {
    let after = ["Bearer ", "Basic ", "Token "].iter().find_map(|scheme| text.strip_prefix(scheme));
    after.is_some_and(|credential| credential.trim().len() >= CREDENTIAL_BYTES_MIN)
}

/// Capitals, small letters and digits in a long word. Names of scopes and media types do not have all three.
fn is_mixed(word: &str) -> bool {
    let count = |is: fn(&u8) -> bool| word.bytes().filter(is).count();
    word.len() >= WORD_BYTES_MIN
        && count(u8::is_ascii_uppercase) >= 2
        && count(u8::is_ascii_lowercase) >= 2
        && count(u8::is_ascii_digit) >= 3
}

/// A long run of hexadecimal digits. A UUID has none, and is an id more often than a secret.
fn has_hex(word: &str, shortest: usize) -> bool {
    word.split(|c: char| !c.is_ascii_hexdigit()).any(|run| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        run.len() >= shortest && digits >= 4 && run.len() - digits >= 4
    })
}
