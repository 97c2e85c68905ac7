//! JSON in which no object has a key twice. Readers differ on which of the two counts: an answer with both proves
//! nothing, and the id or the value in it may be another key's.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The longest word of a key that is repeated in a message. A longer one may be a value that the server used as a key.
const WORD_BYTES_MAX: usize = 20;

/// Why a text is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonDefect {
    /// It is no JSON, nested too deeply for the parser (128 levels), or has another form than the caller expects.
    Broken,
    /// An object in it has a key twice.
    RepeatedKey(RepeatedKey),
}

/// A key that an object has twice, and where. It displays names alone: `the key "id" twice in one object, at /keys/0/id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedKey {
    /// From the key up to the root.
    path: Vec<String>,
}

/// Checks a whole text, at any depth. Nothing of it is kept but the names of the keys of the objects that are open.
///
/// # Errors
/// The first defect.
pub fn check(text: &[u8]) -> Result<(), JsonDefect> {
    let mut repeated = None;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Part { repeated: &mut repeated }.deserialize(&mut reader).and_then(|()| reader.end());
    match (repeated, read) {
        (Some(repeated), _) => Err(JsonDefect::RepeatedKey(repeated)),
        (None, Err(_)) => Err(JsonDefect::Broken),
        (None, Ok(())) => Ok(()),
    }
}

/// Reads a text that [`check`] passes.
///
/// # Errors
/// A defect. The parser's own message is dropped, because it repeats a part of the text.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonDefect> {
    check(text)?;
    serde_json::from_slice(text).map_err(|_| JsonDefect::Broken)
}

impl RepeatedKey {
    /// Does not show the names that the request contained: a server may use the value that it received as a key.
    #[must_use]
    pub fn without_echo(mut self, sent: impl Fn(&str) -> bool) -> Self {
        self.path.iter_mut().filter(|name| sent(name)).for_each(String::clear);
        self
    }
}

impl fmt::Display for RepeatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.path.first().map_or("", |name| shown(name));
        write!(f, "the key \"{key}\" twice in one object, at ")?;
        self.path.iter().rev().try_for_each(|name| write!(f, "/{}", shown(name)))
    }
}

impl fmt::Display for JsonDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str("no JSON of the expected form"),
            Self::RepeatedKey(repeated) => write!(f, "JSON with {repeated}"),
        }
    }
}

impl std::error::Error for JsonDefect {}

/// A name as a message shows it: short words of letters, and the numbers of a list. Anything else may be a value.
fn shown(name: &str) -> &str {
    let number = (1..=9).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_digit());
    let word = |word: &str| {
        (1..=WORD_BYTES_MAX).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    if number || name.split(['_', '-']).all(word) { name } else { "…" }
}

/// One value of the text, read and not kept.
struct Part<'a> {
    repeated: &'a mut Option<RepeatedKey>,
}

impl Part<'_> {
    fn inner(&mut self) -> Part<'_> {
        Part { repeated: self.repeated }
    }

    /// The name under which the value with the repeated key is, if one was found in it.
    fn is_under(&mut self, name: impl FnOnce() -> String) {
        if let Some(repeated) = self.repeated {
            repeated.path.push(name());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for at in 0_usize.. {
            match items.next_element_seed(self.inner()) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    self.is_under(|| at.to_string());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                *self.repeated = Some(RepeatedKey { path: vec![key] });
                return Err(A::Error::custom("a key twice"));
            }
            if let Err(error) = entries.next_value_seed(self.inner()) {
                self.is_under(|| key);
                return Err(error);
            }
            keys.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn told(text: &str) -> String {
        read::<Value>(text.as_bytes()).map_or_else(|defect| defect.to_string(), |value| value.to_string())
    }

    #[test]
    fn what_is_unambiguous_is_read_as_it_is_written() {
        let text = r#"{"a": [1, -2, 2.5, 18446744073709551615, true, null, "é\n"], "b": {"a": {}}}"#;
        assert_eq!(read::<Value>(text.as_bytes()), Ok(serde_json::from_str(text).unwrap()));
        for text in ["", "{\"a\": 1", "{\"a\": 1} {}", "{\"a\": tru}", "[1e999]", "\"\\ud800\"", "{1: 2}"] {
            assert_eq!(check(text.as_bytes()), Err(JsonDefect::Broken), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        }
        assert_eq!(check(b"[\"\xff\"]"), Err(JsonDefect::Broken));
        let deep = "[".repeat(100_000);
        assert_eq!(check(deep.as_bytes()), Err(JsonDefect::Broken), "the depth is limited");
    }

    #[test]
    fn a_key_twice_is_found_wherever_it_is_and_named_with_its_place() {
        for (text, at) in [
            (r#"{"id":"a","id":"b"}"#, "\"id\" twice in one object, at /id"),
            (r#"{"id":"a","x":1,"id":"a"}"#, "\"id\" twice in one object, at /id"),
            (r#"[0,{"x":{"i":1,"\u0069":2}}]"#, "\"i\" twice in one object, at /1/x/i"),
            (
                r#"{"key":{"id":1},"a":[[{"k_v":{}, "k_v":[]}]]}"#,
                "\"k_v\" twice in one object, at /a/0/0/k_v",
            ),
            (r#"{"":1,"":2}"#, "\"…\" twice in one object, at /…"),
        ] {
            assert_eq!(told(text), format!("JSON with the key {at}"), "{text}");
        }
        for text in [r#"[{"i":1},{"i":2}]"#, r#"{"i":{"i":1}}"#, r#"{"i":1,"I":2}"#] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_name_that_may_be_a_value_is_not_shown() {
        let value = "q7Zk".repeat(10);
        let letters = "abcdefghij".repeat(4);
        for name in [value.as_str(), letters.as_str(), "a b", "12345678901234567890"] {
            let text = format!(r#"{{"{name}":{{"{name}":"{value}","{name}":"{value}"}}}}"#);
            assert_eq!(told(&text), "JSON with the key \"…\" twice in one object, at /…/…");
        }
        let Err(JsonDefect::RepeatedKey(echo)) = check(br#"{"correct_horse":{"id":1,"id":2}}"#) else {
            panic!("a key twice")
        };
        assert!(echo.to_string().ends_with("/correct_horse/id"));
        let echo = echo.without_echo(|name| name == "correct_horse").to_string();
        assert!(echo.ends_with("at /…/id"), "{echo}");
    }
}
