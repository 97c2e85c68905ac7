use keyroll_codes::Code;
use keyroll_copy::{CopyError, Edit, Format, Pointer, Slot, strict_json};
use keyroll_secret::SecretBytes;
use thiserror::Error;

/// The shortest value that is searched for beside its own place, bytes.
const ELSEWHERE_BYTES_MIN: usize = 8;

/// Why a value was not read from a document, or not written into it. It holds names and reasons, never a byte of the
/// document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// A key is wanted of a text that has none.
    #[error("it is not a JSON object")]
    NoObject,
    /// The object has no such key.
    #[error("its JSON object has no key {key}")]
    NoKey {
        /// The key.
        key: String,
    },
    /// Readers disagree about the value, or it is no text.
    #[error("its key {key} cannot be used: {why}")]
    Unclear {
        /// The key.
        key: String,
        /// What is there.
        why: &'static str,
    },
    /// The value cannot be written there.
    #[error("the value cannot be written there: {why}")]
    NotCarried {
        /// What prevents it.
        why: &'static str,
    },
    /// A place of a file cannot be read or written.
    #[error("{0}")]
    Place(CopyError),
    /// Another place of the document has the value, too.
    #[error("the value stands at another place of it, too")]
    Twice,
    /// The document is, or would become, longer than any that is written.
    #[error("it is too long")]
    TooLong,
}

impl DocumentError {
    /// The code of the page under docs/errors.
    pub fn code(&self) -> Code {
        match self {
            Self::NotCarried { .. } => Code::ValueNotWritable,
            Self::NoObject
            | Self::NoKey { .. }
            | Self::Unclear { .. }
            | Self::Place(_)
            | Self::Twice
            | Self::TooLong => Code::TruthUnsuitable,
        }
    }

    /// The next step for a person.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoObject => {
                "leave out #KEY in `store` if the whole text is the value, or store a JSON object there"
            }
            Self::NoKey { .. } => "correct the key behind # in `store`; capitals count",
            Self::Unclear { .. } => {
                "store the value there once, as a text in quotes at the top of the JSON object"
            }
            Self::Twice => {
                "whoever reads it there would keep the old value: let it be read at the place that `store` names, and remove the \
                 other one"
            }
            Self::NotCarried { .. } => "choose a value of letters and digits",
            Self::Place(_) => {
                "correct the place behind # in `store`, or write the value there once, as plain text on one line"
            }
            Self::TooLong => "keep this value in a secret of its own",
        }
    }
}

/// The text of one version, in which one value is keyroll's.
pub(crate) struct Document {
    text: SecretBytes,
    form: Form,
}

/// Which part of a text is the value.
#[derive(Clone)]
enum Form {
    /// The whole text.
    Whole,
    /// A key at the top of a JSON object, for readers that parse strictly.
    Key(String),
    /// A slot of a file, as the readers of such files see it.
    Slot(Format, Slot),
}

impl Document {
    pub(crate) fn new(text: SecretBytes, key: Option<&str>) -> Self {
        Self { text, form: key.map_or(Form::Whole, |key| Form::Key(key.to_owned())) }
    }

    /// The content of a file.
    pub(crate) fn of_file(text: SecretBytes, format: Format, slot: Slot) -> Self {
        Self { text, form: Form::Slot(format, slot) }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &SecretBytes {
        &self.text
    }

    /// The value.
    pub(crate) fn value(&self) -> Result<SecretBytes, DocumentError> {
        let Some((format, slot)) = self.place()? else { return Ok(self.text.duplicate()) };
        if let Form::Key(_) = self.form {
            self.object()?;
        }
        let value = format.read(self.text.expose(), &slot).map_err(|error| self.refused(error))?;
        value.ok_or_else(|| self.refused(CopyError::Absent { slot: slot.to_string() }))
    }

    /// The same document with another value. Every other byte stays.
    pub(crate) fn with(&self, value: &SecretBytes) -> Result<Self, DocumentError> {
        let text = match self.place()? {
            None => whole(value)?,
            Some((format, slot)) => {
                let edit = Edit { slot, expect_old: &self.value()?, new: value };
                format.replace(self.text.expose(), &[edit]).map_err(|error| self.refused(error))?
            }
        };
        Ok(Self { text, form: self.form.clone() })
    }

    /// Where the value stands in the text; `None` where it is all of it.
    fn place(&self) -> Result<Option<(Format, Slot)>, DocumentError> {
        match &self.form {
            Form::Whole => Ok(None),
            Form::Key(key) => {
                let pointer = Pointer::parse(&Pointer::behind("", key));
                let pointer = pointer.map_err(|error| self.refused(error))?;
                Ok(Some((Format::Json, Slot::At(pointer))))
            }
            Form::Slot(format, slot) => Ok(Some((*format, slot.clone()))),
        }
    }

    fn refused(&self, error: CopyError) -> DocumentError {
        match &self.form {
            Form::Key(key) => refused(key, error),
            Form::Whole | Form::Slot(..) => refused_slot(error),
        }
    }

    /// The document without the value.
    fn around(&self) -> Result<Self, DocumentError> {
        self.with(&SecretBytes::from("0".to_owned()))
    }

    /// Whether the value stands at another place of the document, too: its readers there would keep the old one. A value of a
    /// few bytes may stand anywhere by chance.
    pub(crate) fn holds_elsewhere(&self) -> bool {
        let (Ok(value), Ok(around)) = (self.value(), self.around()) else { return false };
        let bytes = value.expose();
        bytes.len() >= ELSEWHERE_BYTES_MIN
            && around.text.expose().windows(bytes.len()).any(|window| window == bytes)
    }

    /// Whether the other document has the same value and the same bytes around it. The value may be spelled in another
    /// way, with other escapes.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        match (self.value(), other.value(), self.around(), other.around()) {
            (Ok(own), Ok(others), Ok(around), Ok(around_others)) => {
                own == others && around.text == around_others.text
            }
            _ => false,
        }
    }

    /// Refuses what only lenient readers take: consumers parse strictly.
    fn object(&self) -> Result<(), DocumentError> {
        let text = std::str::from_utf8(self.text.expose()).map_err(|_| DocumentError::NoObject)?;
        let object = text.trim_start().starts_with('{');
        if object && strict_json(text) == self.text { Ok(()) } else { Err(DocumentError::NoObject) }
    }
}

fn whole(value: &SecretBytes) -> Result<SecretBytes, DocumentError> {
    match std::str::from_utf8(value.expose()) {
        Ok("") => Err(DocumentError::NotCarried { why: "it is empty" }),
        Ok(_) => Ok(value.duplicate()),
        Err(_) => Err(DocumentError::NotCarried { why: "it is not UTF-8" }),
    }
}

fn refused(key: &str, error: CopyError) -> DocumentError {
    match error {
        CopyError::Absent { .. } => DocumentError::NoKey { key: key.to_owned() },
        CopyError::Ambiguous { why, .. } => DocumentError::Unclear { key: key.to_owned(), why },
        CopyError::NotCarried { why, .. } => DocumentError::NotCarried { why },
        CopyError::TooLarge { .. } => DocumentError::TooLong,
        CopyError::Malformed { .. } => DocumentError::NoObject,
        CopyError::Drifted { .. }
        | CopyError::WrongSlot { .. }
        | CopyError::Pointer { .. }
        | CopyError::Template { .. }
        | CopyError::Verifier { .. }
        | CopyError::Taken { .. }
        | CopyError::NoField { .. }
        | CopyError::FieldNotCarried { .. } => {
            DocumentError::Unclear { key: key.to_owned(), why: "it is no place for a value" }
        }
    }
}

fn refused_slot(error: CopyError) -> DocumentError {
    match error {
        CopyError::NotCarried { why, .. } => DocumentError::NotCarried { why },
        CopyError::TooLarge { .. } => DocumentError::TooLong,
        CopyError::Absent { .. }
        | CopyError::Ambiguous { .. }
        | CopyError::Malformed { .. }
        | CopyError::Drifted { .. }
        | CopyError::WrongSlot { .. }
        | CopyError::Pointer { .. }
        | CopyError::Template { .. }
        | CopyError::Verifier { .. }
        | CopyError::Taken { .. }
        | CopyError::NoField { .. }
        | CopyError::FieldNotCarried { .. } => DocumentError::Place(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::from(text.to_owned())
    }

    fn document(text: &str) -> Document {
        Document::new(secret(text), Some("K"))
    }

    fn read(text: &str) -> Result<String, DocumentError> {
        let value = document(text).value()?;
        Ok(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    #[test]
    fn only_the_bytes_of_the_value_change() {
        for (before, after) in [
            (r#"{"K":"old"}"#, r#"{"K":"n\"w"}"#),
            (
                "{ \"a\" : 1.50,\r\n\t\"K\" :\"old\", \"z\":[ {\"K\":\"old\"} ] }\n",
                "{ \"a\" : 1.50,\r\n\t\"K\" :\"n\\\"w\", \"z\":[ {\"K\":\"old\"} ] }\n",
            ),
            (r#"{"K":"\u006fld","b":"\u00e9","b":"twice"}"#, r#"{"K":"n\"w","b":"\u00e9","b":"twice"}"#),
        ] {
            let replaced = document(before).with(&secret("n\"w")).unwrap();
            assert_eq!(replaced.text().expose(), after.as_bytes());
            let back = replaced.with(&secret("old")).unwrap();
            assert!(back.says_the_same(&document(before)), "{before}");
            assert!(!replaced.says_the_same(&document(before)), "{before}");
        }
    }

    #[test]
    fn a_change_beside_the_value_is_another_document() {
        let one = document(r#"{"K":"v","other":"a"}"#);
        assert!(one.says_the_same(&document(r#"{"K":"\u0076","other":"a"}"#)));
        assert!(!one.says_the_same(&document(r#"{"K":"v","other":"b"}"#)));
        assert!(!one.says_the_same(&document(r#"{"K":"v", "other":"a"}"#)));
    }

    #[test]
    fn a_key_is_a_name_and_not_a_path() {
        let odd = Document::new(secret(r#"{"a/b~c":"v","a":{"b~c":"w"}}"#), Some("a/b~c"));
        assert!(odd.value().unwrap() == secret("v"));
    }

    #[test]
    fn a_value_that_readers_could_take_for_another_is_refused() {
        let unclear = |text: &str| matches!(read(text), Err(DocumentError::Unclear { .. }));
        assert_eq!(read(r#"{"K":"v"}"#).unwrap(), "v");
        assert!(unclear(r#"{"K":"v","K":"w"}"#), "twice");
        assert!(unclear(r#"{"K":7}"#) && unclear(r#"{"K":null}"#), "no text");
        assert!(unclear(r#"{"K":{"K":"v"}}"#) && unclear(r#"{"K":["v"]}"#), "nested");
        assert_eq!(read(r#"{"k":"v"}"#), Err(DocumentError::NoKey { key: "K".to_owned() }));
        for text in [
            "v",
            "",
            "[\"K\"]",
            "\"K\"",
            "{\"K\":\"v\"",
            "{\"K\":\"v\",}",
            "{\"K\":\"v\"} // x",
            "\u{feff}{\"K\":\"v\"}",
        ] {
            assert_eq!(read(text), Err(DocumentError::NoObject), "{text}");
        }
        let nul = document(r#"{"K":"v"}"#).with(&secret("a\0b")).err();
        assert!(matches!(nul, Some(DocumentError::NotCarried { .. })), "{nul:?}");
    }

    #[test]
    fn the_whole_text_is_the_value_where_no_key_is_named() {
        let plain = Document::new(secret("v\n"), None);
        assert!(plain.value().unwrap() == secret("v\n"));
        assert!(plain.with(&secret("w")).unwrap().text() == &secret("w"));
        assert!(plain.says_the_same(&Document::new(secret("v\n"), None)));
        assert!(plain.with(&secret("")).is_err());
    }

    #[test]
    fn a_slot_of_a_file_is_replaced_and_nothing_else() {
        let at = |text: &str| Format::Json.slot(text, None).unwrap();
        let line = |text: &str| Slot::Variable(text.to_owned());
        for (format, slot, before, after) in [
            (Format::Dotenv, line("K"), "# a\r\nK='old' # b\nL=old", "# a\r\nK='new' # b\nL=old"),
            (Format::Json, at("/a/K"), "{ \"a\": {\"K\" : \"old\"}, }", "{ \"a\": {\"K\" : \"new\"}, }"),
            (Format::Yaml, at("/a/K"), "a:\n  K: old # b\n", "a:\n  K: new # b\n"),
            (Format::Toml, at("/a/K"), "[a]\nK = 'old'\n", "[a]\nK = 'new'\n"),
            (Format::Ini, at("/a/K"), "[a]\nK = old\n", "[a]\nK = new\n"),
            (Format::Whole, Slot::Whole, "old\n", "new\n"),
            (Format::Whole, Slot::Whole, "old", "new"),
        ] {
            let document = Document::of_file(secret(before), format, slot);
            assert!(document.value().unwrap() == secret("old"), "{before}");
            let next = document.with(&secret("new")).unwrap();
            assert_eq!(String::from_utf8_lossy(next.text().expose()), after);
            assert!(next.with(&secret("old")).unwrap().says_the_same(&document), "{before}");
        }
        let none = Document::of_file(secret("K=canary0017\n"), Format::Dotenv, line("L")).value().err();
        assert_eq!(none.as_ref().map(DocumentError::code), Some(Code::TruthUnsuitable));
        assert!(!format!("{none:?}").contains("canary0017"));
    }

    #[test]
    fn a_value_at_another_place_of_the_document_is_seen() {
        let twice = |text: &str| document(text).holds_elsewhere();
        assert!(twice(r#"{"K":"sk-0123456789","L":"sk-0123456789"}"#));
        assert!(twice(r#"{"K":"sk-0123456789","url":"https://a:sk-0123456789@b"}"#));
        assert!(!twice(r#"{"K":"sk-0123456789","L":"sk-0123456780"}"#));
        assert!(!twice(r#"{"K":"short","L":"short"}"#), "that may be chance");
    }

    #[test]
    fn no_error_shows_the_document() {
        let canary = "canary0017";
        let texts = [
            format!(r#"{{"K":"{canary}","K":"{canary}"}}"#),
            format!(r#"{{"K":{{"x":"{canary}"}}}}"#),
            format!(r#"{{"k":"{canary}"}}"#),
            format!(r#"{{"K":"{canary}""#),
            canary.to_owned(),
        ];
        for text in &texts {
            let error = document(text).value().err().unwrap();
            assert!(!format!("{error} {error:?} {}", error.help()).contains(canary), "{error:?}");
        }
    }
}
