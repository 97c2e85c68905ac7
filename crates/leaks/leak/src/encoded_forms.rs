//! Credentials in another encoding: a token in base64 or hex, alone or in a text that was encoded as a whole
//! (`user:token`, JSON, a settings file); and with escapes: `%5F`, `\u005f`, `\x5f`, `&#95;`, `\\\"`.

pub(crate) mod decoded_text;
pub(crate) mod digits;
pub(crate) mod escapes;

use zeroize::Zeroizing;

use crate::candidate::{Candidate, DecodedValue};
use crate::confidence::TextKind;
use crate::encoded_forms::decoded_text::DecodedText;
use crate::encoded_forms::digits::each_digits;
use crate::encoded_forms::escapes::each_escaped;

/// How often a text may be encoded: the login of an image registry is base64 in JSON, which a Secret of Kubernetes
/// encodes again.
pub(crate) const LAYERS_MAX: u8 = 3;

/// Finds likely credentials in encoded texts, which `search` searches like programs, in the order of their positions.
///
/// Looks only at nearby text, so a part of a text gives the same results as the whole.
pub(crate) fn in_encodings<'r>(
    text: &[u8],
    search: &dyn Fn(&[u8]) -> Vec<Candidate<'r>>,
) -> Vec<Candidate<'r>> {
    let mut found = Vec::new();
    let mut take = |plain: &DecodedText| {
        for one in search(&plain.bytes) {
            let bytes = Zeroizing::new(one.value(&plain.bytes).to_vec());
            let likely = one.is_likely(&plain.bytes, TextKind::Program);
            if let Some(span) = plain.in_text(&one.span).filter(|_| likely) {
                let decoded = Some(DecodedValue { bytes, encoding: plain.encoding });
                found.push(Candidate { span, decoded, ..one });
            }
        }
    };
    each_digits(text, &mut take);
    each_escaped(text, &mut take);
    found.sort_by_key(|one| (one.span.start, std::cmp::Reverse(one.span.end)));
    found
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use crate::{Rules, TextKind, in_anything};

    /// A token in the format of GitLab.
    fn token() -> String {
        format!("glpat-{}1234", "kD93hfQ0plm4XyT7")
    }

    fn escaped(text: &str, write: impl Fn(u8) -> String) -> String {
        text.bytes().map(write).collect()
    }

    /// Every likely value, decoded, with its encoding and its text.
    fn shown(text: &str) -> Vec<(String, Option<&'static str>, String)> {
        let rules = Rules::shipped().unwrap();
        let all = in_anything(text.as_bytes(), rules).into_iter();
        let all = all.filter(|one| one.is_likely(text.as_bytes(), TextKind::Program));
        let value = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        all.map(|one| {
            let encoding = one.decoded.as_ref().map(|decoded| decoded.encoding);
            (value(one.value(text.as_bytes())), encoding, text[one.span].to_owned())
        })
        .collect()
    }

    #[test]
    fn a_token_is_found_in_every_usual_encoding() {
        let token = token();
        let base64 = STANDARD.encode(&token);
        let hex = escaped(&token, |byte| format!("{byte:02x}"));
        for (written, encoding) in [
            (base64.clone(), "base64"),
            (URL_SAFE_NO_PAD.encode(&token), "base64"),
            (STANDARD.encode(&base64), "base64"),
            (hex.clone(), "hex"),
            (hex.to_ascii_uppercase(), "hex"),
            (STANDARD.encode(&hex), "base64"),
            (escaped(&token, |byte| format!("%{byte:02X}")), "escapes"),
            (escaped(&token, |byte| format!("\\u{byte:04x}")), "escapes"),
            (escaped(&token, |byte| format!("\\x{byte:02x}")), "escapes"),
            (escaped(&token, |byte| format!("&#{byte};")), "escapes"),
            (token.replace('-', "%2D"), "escapes"),
            (token.replace('-', "\\u002d"), "escapes"),
        ] {
            for (before, behind) in
                [("X=", "\n"), ("{\"a\": \"", "\", \"b\": 1}\n"), ("a ", " b"), ("0x", "\n")]
            {
                if before == "0x" && encoding != "hex" || written.contains('u') && before == "a " {
                    continue;
                }
                let text = format!("{before}{written}{behind}");
                assert_eq!(shown(&text), [(token.clone(), Some(encoding), written.clone())], "{text}");
            }
        }
    }

    #[test]
    fn a_token_is_found_in_a_text_that_was_encoded_as_a_whole() {
        let token = token();
        // The end of a line is before, in and after the token.
        let long = |count: usize| {
            let (before, behind) = ("z".repeat(count), "y".repeat(100));
            format!("{{\n  \"z\": \"{before}\",\n  \"a\": \"{token}\",\n  \"y\": \"{behind}\"\n}}\n")
        };
        let all = [format!("oauth2:{token}"), format!("MODE=x\nGITLAB={token}\n")];
        for inner in all.into_iter().chain((10..90).map(long)) {
            let whole = STANDARD.encode(&inner);
            let wrapped: Vec<&str> =
                (0..whole.len()).step_by(76).map(|at| &whole[at..whole.len().min(at + 76)]).collect();
            for text in [
                format!("AUTH={whole}\n"),
                format!("data: |\n  {}\nnext: 1\n", wrapped.join("\n  ")),
                format!("{}\r\n", wrapped.join("\r\n")),
            ] {
                let all = shown(&text);
                assert!(all.iter().any(|one| one.0 == token && one.1 == Some("base64")), "{text}: {all:?}");
            }
        }
    }

    #[test]
    fn a_name_before_its_value_is_read_in_every_layer() {
        let value = "kD93hfQ0plm4";
        for (text, encoding) in [
            (STANDARD.encode(format!("MODE=x\nDB_PASSWORD={value}\n")), "base64"),
            (format!("{{\"m\":\"{{\\\\\\\"password\\\\\\\":\\\\\\\"{value}\\\\\\\"}}\"}}"), "escapes"),
            (format!("{{\"m\":\"{{\\\\\\\"password\\\\\\\": \\\\\\\"{value}\\\\\\\"}}\"}}"), "escapes"),
            (format!("{{\"m\":\"{{\\u0022password\\u0022:\\u0022{value}\\u0022}}\"}}"), "escapes"),
            (format!("<x a=\"{{&quot;password&quot;: &quot;{value}&quot;}}\">"), "escapes"),
            (format!("q=%7B%22password%22%3A%22{value}%22%7D"), "escapes"),
            (format!("next=postgres%3A%2F%2Fapp%3A{value}%40db%2Fx"), "escapes"),
        ] {
            let all: Vec<_> = shown(&text).into_iter().map(|one| (one.0, one.1)).collect();
            assert_eq!(all, [(value.to_owned(), Some(encoding))], "{text}");
        }
    }

    #[test]
    fn what_is_no_encoded_text_has_none() {
        let random = STANDARD.encode([0x30, 0x82, 0x9f, 0xd1].repeat(24));
        for text in [
            format!("integrity = \"sha512-{random}\"\n"),
            format!("sum = {}\n", "9f86d081884c7d659a2feaa0c55ad015".repeat(2)),
            "printf(\"%3d %02x %5f of password %5F\", a)\n".to_owned(),
            STANDARD.encode(format!("\x01\x02{}", token())),
        ] {
            assert!(shown(&text).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_very_long_is_not_decoded() {
        let inner = format!("{} {}", "x".repeat(20_000), token());
        assert!(shown(&STANDARD.encode(inner)).is_empty());
    }
}
