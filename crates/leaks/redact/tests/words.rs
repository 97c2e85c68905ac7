//! A value that is an ordinary word is replaced as a whole word and stays in longer ones; a strong value is replaced
//! inside of any text.

use std::sync::Arc;

use keyroll_needle::{HEAD_BYTES_MAX, NeedleId, Needles};
use keyroll_redact::{Patterns, RedactingEvents, RedactingStream, Report, replace_json};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::common::rules;

const STRONG: &str = "kD93hfQ0plm4Xy";

/// The word, and a strong value.
fn needles(word: &str) -> Arc<Needles> {
    let value = |text: &str| SecretBytes::from(text.to_owned());
    let builder = Needles::builder().add_word(NeedleId(0), &value(word)).name(NeedleId(0), "word");
    Arc::new(builder.add(NeedleId(1), &value(STRONG)).name(NeedleId(1), "key").build().unwrap())
}

fn whole(patterns: &Patterns, text: &str) -> String {
    let redacted = patterns.replace(text.as_bytes(), &mut Report::default());
    redacted.map_or_else(|| text.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
}

/// The output of a stream that is cut at these places, without the heads before markers.
fn streamed(patterns: &Patterns, text: &str, cuts: &[usize], word: &str) -> String {
    let mut stream = RedactingStream::new(patterns);
    let mut out = Vec::new();
    let ends = cuts.iter().copied().chain([text.len()]);
    let mut from = 0;
    for end in ends {
        stream.push(&text.as_bytes()[from..end], &mut out);
        from = end;
    }
    stream.finish(&mut out);
    assert_eq!(stream.held_back(), 0);
    let mut out = String::from_utf8(out).unwrap();
    for (value, marker) in [(word, "[redacted:word]"), (STRONG, "[redacted:key]")] {
        for head in (1..=HEAD_BYTES_MAX).rev() {
            out = out.replace(&format!("{}{marker}", &value[..head]), marker);
        }
    }
    out
}

#[test]
fn a_text_keeps_the_words_that_contain_a_value() {
    for (word, text, expected) in [
        (
            "optimize",
            "What optimized: the optimize step.\nprofiles.optimize.default\nhelp-optimize.md\nReoptimize, optimizers.\npassword=optimize\n",
            "What optimized: the [redacted:word] step.\nprofiles.[redacted:word].default\nhelp-[redacted:word].md\nReoptimize, optimizers.\npassword=[redacted:word]\n",
        ),
        (
            "postgres",
            "postgresql://app:postgres@db/postgres_data",
            "postgresql://app:[redacted:word]@db/[redacted:word]_data",
        ),
        (
            "optimize",
            "xkD93hfQ0plm4Xyz kD93hfQ0plm4Xyoptimize",
            "x[redacted:key]z [redacted:key][redacted:word]",
        ),
        (
            "optimize",
            "a \u{1b}[31moptimize\u{1b}[0m -poptimize a\\noptimize",
            "a \u{1b}[31m[redacted:word]\u{1b}[0m -p[redacted:word] a\\n[redacted:word]",
        ),
    ] {
        for rules in [None, Some(rules())] {
            let patterns = Patterns::new(needles(word), rules);
            assert_eq!(whole(&patterns, text), expected, "{word}");
            for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                assert_eq!(streamed(&patterns, text, &[cut], word), expected, "{word} cut at {cut}");
            }
            let every: Vec<usize> = (1..text.len()).collect();
            assert_eq!(streamed(&patterns, text, &every, word), expected, "{word} byte by byte");
        }
    }
}

#[test]
fn a_word_is_held_back_until_the_byte_after_it_and_no_longer() {
    let patterns = Patterns::new(needles("optimize"), None);
    for (next, expected) in [("d", "the optimized"), (" ", "the [redacted:word] ")] {
        let mut stream = RedactingStream::new(&patterns);
        let mut out = Vec::new();
        stream.push(b"the optimize", &mut out);
        assert_eq!((out.as_slice(), stream.held_back()), (b"the ".as_slice(), 8));
        stream.push(next.as_bytes(), &mut out);
        assert_eq!((String::from_utf8(out).unwrap().as_str(), stream.held_back()), (expected, 0));
    }
    let mut stream = RedactingStream::new(&patterns);
    let mut out = Vec::new();
    stream.push(b"the optimize", &mut out);
    stream.finish(&mut out);
    assert_eq!(out, b"the [redacted:word]");
}

#[test]
fn a_word_in_an_encoding_is_replaced_wherever_it_is() {
    let patterns = Patterns::new(needles("optimize"), None);
    for text in
        ["6f7074696d697a65", "x6f7074696d697a6564", "Basic dXNlcjpvcHRpbWl6ZQ==", "%6f%70%74%69%6d%69%7a%65"]
    {
        assert!(whole(&patterns, text).contains("[redacted:word]"), "{text}");
    }
}

#[test]
fn a_word_within_json_is_a_whole_text_or_a_word_of_one() {
    let patterns = Patterns::new(needles("optimize"), None);
    let body = br#"{"password":"optimize","why":"optimized","all":"a\noptimize"}"#;
    let clean = replace_json(&patterns, body, &mut Report::default());
    let expected = r#"{"password":"[redacted:word]","why":"optimized","all":"a\n[redacted:word]"}"#;
    assert_eq!(String::from_utf8(clean).unwrap(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn cuts_do_not_change_which_words_are_replaced(
        parts in prop::collection::vec(prop::sample::select(vec![
            "optimize", "optimize", STRONG, "d", " ", "_", "é", "\n", "\u{1b}[31m", "\\n", "-p", "%20", "7", "是", "re", "RE", "h",
        ]), 1..12),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let text = parts.concat();
        let patterns = Patterns::new(needles("optimize"), None);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(streamed(&patterns, &text, &cuts, "optimize"), whole(&patterns, &text));
    }
}

/// The texts of the events' deltas, joined.
fn content(events: &[u8]) -> String {
    let text = String::from_utf8(events.to_vec()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| {
        let event: serde_json::Value = serde_json::from_str(data).unwrap();
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    })
    .collect()
}

#[test]
fn the_next_event_says_whether_a_word_has_ended() {
    let patterns = Patterns::new(needles("optimize"), None);
    for (next, expected) in [("d", "the optimized"), (" now", "the [redacted:word] now")] {
        let mut events = RedactingEvents::new(&patterns);
        let mut out = Vec::new();
        for piece in ["the optimize", next] {
            let event =
                format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{piece}\"}}}}]}}\n\n");
            events.push(event.as_bytes(), &mut out);
        }
        events.finish(&mut out);
        assert_eq!(content(&out), expected);
    }
}

#[test]
fn a_word_that_is_the_whole_text_of_an_event_is_replaced_in_it() {
    let patterns = Patterns::new(needles("optimize"), None);
    let mut events = RedactingEvents::new(&patterns);
    let mut out = Vec::new();
    events.push(b"data: {\"text\":\"optimize\"}\n\n", &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "data: {\"text\":\"[redacted:word]\"}\n\n");
}
