//! The words of the socket: one JSON object per line.

use std::path::PathBuf;

use keyroll_secret::{Fields, SecretBytes};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest request, bytes.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// What a program asks or says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// The value. With `have` it is answered when the version is another one, after `wait` seconds at the latest.
    Get {
        /// The secret.
        secret: String,
        /// The version that the program has.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        have: Option<u32>,
        /// How long to wait at most, seconds.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        wait: Option<u64>,
        /// The program uses the value no longer than this, seconds.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        keeps: Option<u32>,
        /// The program that `keyroll run` starts with the value. Nobody else says this.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        runs: Option<PathBuf>,
        /// `keyroll get` uses the value itself, for a moment, and gives it to nobody. Nobody else says this.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        itself: bool,
    },
    /// The program uses this version from now on.
    Loaded {
        /// The secret.
        secret: String,
        /// The version.
        version: u32,
    },
    /// A call with this version was accepted or refused.
    Used {
        /// The secret.
        secret: String,
        /// The version.
        version: u32,
        /// Whether it was accepted.
        ok: bool,
        /// The flow that it belongs to.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        path: Option<String>,
    },
    /// The program uses no version any more.
    Bye {
        /// The secret.
        secret: String,
    },
}

/// An answer without a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answered {
    /// The version is still this one.
    Unchanged {
        /// The version.
        unchanged: u32,
    },
    /// The word was written down.
    Done {
        /// `true`.
        done: bool,
    },
    /// The request was refused.
    Refused {
        /// Why, a sentence.
        error: String,
        /// The code of the error.
        code: String,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        help: Option<String>,
    },
}

/// The line that gives a version out; `None` if a field is no text.
pub fn answer_of(secret: &str, version: u32, fields: &Fields) -> Option<SecretBytes> {
    // Reserved in full, since a buffer that grows leaves copies behind. A byte takes six at most.
    let length: usize = fields.iter().map(|(name, field)| name.len() + field.value.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity((length * 2 + secret.len()) * 6 + 256));
    let mut secrets = fields.secrets();
    let only = match (secrets.next(), secrets.next()) {
        (Some((_, only)), None) => Some(only),
        (_, _) => None,
    };
    out.extend_from_slice(b"{\"secret\":");
    serde_json::to_writer(&mut *out, secret).ok()?;
    out.extend_from_slice(format!(",\"version\":{version}").as_bytes());
    if let Some(only) = only {
        out.extend_from_slice(b",\"value\":");
        text(&mut out, only)?;
    }
    out.extend_from_slice(b",\"fields\":{");
    for (at, (name, field)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, name).ok()?;
        out.push(b':');
        text(&mut out, &field.value)?;
    }
    out.extend_from_slice(b"}}\n");
    Some(SecretBytes::new(std::mem::take(&mut *out)))
}

fn text(out: &mut Vec<u8>, value: &SecretBytes) -> Option<()> {
    serde_json::to_writer(out, std::str::from_utf8(value.expose()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_the_page_says() {
        let read = |text: &str| serde_json::from_str::<Request>(text).ok();
        let get = |have, wait| {
            Some(Request::Get {
                secret: "one".to_owned(),
                have,
                wait,
                keeps: None,
                runs: None,
                itself: false,
            })
        };
        assert_eq!(read(r#"{"get":{"secret":"one"}}"#), get(None, None));
        assert_eq!(read(r#"{"get":{"secret":"one","have":3,"wait":60}}"#), get(Some(3), Some(60)));
        let used = Request::Used { secret: "one".to_owned(), version: 4, ok: true, path: None };
        assert_eq!(read(r#"{"used":{"secret":"one","version":4,"ok":true}}"#), Some(used));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"get":{}}"#,
            r#"{"put":{"secret":"one"}}"#,
            r#"{"get":{"secret":"one","pid":1}}"#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_has_each_field_and_the_only_secret_one_as_value() {
        let mut fields = Fields::new();
        fields.insert("user", SecretBytes::from("app_1".to_owned()), false);
        fields.insert("password", SecretBytes::from("p\"\\\u{1}ä".to_owned()), true);
        let line = answer_of("db", 2, &fields).expect("text");
        let read: serde_json::Value = serde_json::from_slice(line.expose()).expect("json");
        assert_eq!((&read["secret"], &read["version"]), (&"db".into(), &2.into()));
        assert_eq!(read["value"], "p\"\\\u{1}ä");
        assert_eq!((&read["fields"]["user"], &read["fields"]["password"]), (&"app_1".into(), &read["value"]));
        fields.insert("token", SecretBytes::from("t".to_owned()), true);
        let two: serde_json::Value =
            serde_json::from_slice(answer_of("db", 2, &fields).expect("text").expose()).expect("json");
        assert!(two.get("value").is_none(), "which of the two?");
        fields.insert("raw", SecretBytes::new(vec![0xff]), true);
        assert!(answer_of("db", 2, &fields).is_none(), "bytes that are no text");
    }
}
