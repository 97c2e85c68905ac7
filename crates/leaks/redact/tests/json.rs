//! JSON bodies: their decoded content is scanned, and they stay valid JSON.

use keyroll_redact::{
    BodyForm, EVENT_BYTES_MAX, GuardMode, JSON_BYTES_MAX, JSON_DEPTH_MAX, Patterns, Report, guard,
    replace_json,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::common::{needles, rules};

const VALUE: &str = "k\u{e9}y/\"0123456789\"";

fn patterns() -> Patterns {
    Patterns::new(needles(&[("api", VALUE), ("pin", "1234567890123456")]), Some(rules()))
}

fn replaced(body: &str) -> (String, Report) {
    let mut report = Report::default();
    let out = replace_json(&patterns(), body.as_bytes(), &mut report);
    (String::from_utf8(out).unwrap(), report)
}

#[test]
fn texts_names_and_numbers_are_replaced_and_the_rest_stays_byte_for_byte() {
    for (body, wanted) in [
        (
            r#" {"a" : 1.0e5,"b":[ true,null ,"x\u0041\/"] }  "#,
            r#" {"a" : 1.0e5,"b":[ true,null ,"x\u0041\/"] }  "#,
        ),
        (r#"{"a":"x k\u00e9y\/\"0123456789\" y\n"}"#, r#"{"a":"x [redacted:api] y\n"}"#),
        (r#"{"a":"\u006b\u00e9y/\"012345\u003689\""}"#, r#"{"a":"k\u00e9y/\"0123456\u0037\u003889\""}"#),
        (
            r#"{"kéy/\"0123456789\"":{"pin":1234567890123456}}"#,
            r#"{"[redacted:api]":{"pin":"[redacted:pin]"}}"#,
        ),
        (r#"["tok_0123456789"]"#, r#"["[redacted:form]"]"#),
        (r#"{"mine_key":"0123456789abcdef"}"#, r#"{"mine_key":"[redacted:near]"}"#),
        (r#"{"mine":[6543210987654321, 12]}"#, r#"{"mine":["[redacted:near]", 12]}"#),
        ("tok_0123456789 is no JSON", "[redacted:form] is no JSON"),
    ] {
        let (out, _) = replaced(body);
        if body.contains(r"\u006b") {
            // Letters are escaped without need: only the decoded text contains the value.
            assert_eq!(out, body, "one digit is another");
            let (out, report) = replaced(&body.replace(r"012345\u003689", r"0123456\u003789"));
            assert_eq!((out.as_str(), report.count()), (r#"{"a":"[redacted:api]"}"#, 1));
        } else {
            assert_eq!(out, wanted, "{body}");
        }
    }
}

#[test]
fn a_value_that_goes_over_texts_and_signs_takes_the_whole_body() {
    let patterns = Patterns::new(needles(&[("account", r#""id":"0123456789","n":7"#)]), None);
    let out = replace_json(&patterns, br#"{"id":"0123456789","n":7}"#, &mut Report::default());
    assert_eq!(out, br#""[redacted]""#);
}

#[test]
fn no_rule_scans_the_name_in_a_marker() {
    let patterns = Patterns::new(needles(&[("mine-0123456789abcdef", "9876543210fedcba")]), Some(rules()));
    let mut report = Report::default();
    let out = replace_json(
        &patterns,
        br#"{"mine":"9876543210fedcba", "n": "[redacted:0123456789abcdef"}"#,
        &mut report,
    );
    let wanted = r#"{"mine":"[redacted:mine-0123456789abcdef]", "n": "[redacted:[redacted:near]"}"#;
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
    assert_eq!(report.to_string(), "2 (secret mine-0123456789abcdef: 1, rule near: 1)");
}

#[test]
fn a_body_that_is_too_long_is_withheld() {
    let body = format!("[\"{}\"]", "x".repeat(JSON_BYTES_MAX));
    assert_eq!(replaced(&body).0, r#""[redacted]""#);
}

#[test]
fn tokens_of_a_text_that_is_replaced_are_not_repeated_one_by_one() {
    let body = r#"{"choices":[{"message":{"content":"PIN"},"logprobs":{"content":[{"token":"12345678","logprob":-0.5,"bytes":[49,50],"top_logprobs":[]},{"token":"90123456","bytes":null}]}}]}"#;
    assert_eq!(replaced(body).0, body);
    let (out, _) = replaced(&body.replace("PIN", "1234567890123456"));
    let wanted = r#"{"choices":[{"message":{"content":"[redacted:pin]"},"logprobs":{"content":[{"token":"","logprob":0,"bytes":[0,0],"top_logprobs":[]},{"token":"","bytes":null}]}}]}"#;
    assert_eq!(out, wanted);
}

/// Legacy completions name the tokens in keys, Gemini and vLLM under names of their own.
#[test]
fn tokens_are_not_repeated_in_names_or_under_other_names() {
    for (body, wanted) in [
        (
            r#"{"choices":[{"text":"PIN","logprobs":{"tokens":["12345678"],"token_logprobs":[-1],"top_logprobs":[{"12345678":-0.5,"1234":-2}],"text_offset":[3]}}]}"#,
            r#"{"choices":[{"text":"[redacted:pin]","logprobs":{"tokens":[""],"token_logprobs":[0],"top_logprobs":[{"5":0,"7":0}],"text_offset":[0]}}]}"#,
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"text":"PIN"}]},"avgLogprobs":-0.5,"logprobsResult":{"chosenCandidates":[{"token":"12345678","tokenId":7,"logProbability":-0.5}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"[redacted:pin]"}]},"avgLogprobs":0,"logprobsResult":{"chosenCandidates":[{"token":"","tokenId":0,"logProbability":0}]}}]}"#,
        ),
        (
            r#"{"prompt":"PIN","prompt_logprobs":[null,{"4711":{"logprob":-1,"rank":1,"decoded_token":"12345678"}}]}"#,
            r#"{"prompt":"[redacted:pin]","prompt_logprobs":[null,{"1":{"logprob":0,"rank":0,"decoded_token":""}}]}"#,
        ),
    ] {
        assert_eq!(replaced(body).0, body);
        let (out, _) = replaced(&body.replace("PIN", "1234567890123456"));
        assert_eq!(out.len(), wanted.len(), "{out}");
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{out}");
        assert!(!out.contains("1234") && !out.contains("4711"), "{out}");
    }
}

/// What only the bytes show, by its name: there is no escape, so its text alone says nothing.
#[test]
fn tokens_are_not_repeated_of_what_only_its_name_tells() {
    let body = r#"{"NAME":"0123456789abcdef","n":1.50,"logprobs":{"content":[{"token":"01234567"},{"token":"89abcdef","bytes":[56, 57]}]}}"#;
    for ending in ["}", ",}"] {
        let body = body.strip_suffix('}').unwrap().to_owned() + ending;
        assert_eq!(replaced(&body.replace("NAME", "other")).0, body.replace("NAME", "other"));
        let body = body.replace("NAME", "mine_key");
        let (out, report) = replaced(&body);
        let wanted = body
            .replace("\"0123456789abcdef\"", "\"[redacted:near]\"")
            .replace("\"01234567\"", "\"\"")
            .replace("\"89abcdef\"", "\"\"")
            .replace("56, 57", "0, 0");
        assert_eq!((out.as_str(), report.count()), (wanted.as_str(), 1));
        let event = format!("id: 1\ndata: {body}\n\n");
        let shown = guard(&patterns(), GuardMode::Redact, BodyForm::Events, event.as_bytes());
        assert_eq!(String::from_utf8(shown.body).unwrap(), event.replace(&body, &wanted));
    }
}

#[test]
fn what_is_nearly_json_is_scanned_decoded() {
    let bad: Vec<u8> =
        [br#"{"b":""#.as_slice(), b"\xff", br#"","a":"x \u006b\u00e9y\/\"0123456789\" y"}"#].concat();
    for body in [
        br#"{"a":"x \u006b\u00e9y\/\"0123456789\" y",}"#.as_slice(),
        br#"{"n":NaN,"a":"x \u006b\u00e9y\/\"0123456789\" y"}"#,
        br#"{"a":"x \u006b\u00e9y\/\"0123456789\" y"}{"b":-Infinity}"#,
        &bad,
    ] {
        let mut report = Report::default();
        let out = replace_json(&patterns(), body, &mut report);
        let out = String::from_utf8_lossy(&out).into_owned();
        assert!(out.contains(r#""x [redacted:api] y""#), "{out}");
        assert_eq!(report.to_string(), "1 (secret api: 1)");
    }
}

/// Not between quotes, or without a closing quote: there is no position for a marker.
#[test]
fn what_is_found_only_by_unescaping_takes_the_whole_body() {
    for body in [
        r#"{"a":"x \u006b\u00e9y\/\"0123456789\" y"#,
        r#"{"a":"tok_0123456\u003789"#,
        r"{'a': 'tok_\x30123456789'}",
        r"tok\u005f0123456789 and \u12 \x",
    ] {
        let (out, report) = replaced(body);
        assert_eq!((out.as_str(), report.count()), (r#""[redacted]""#, 1), "{body}");
    }
    for body in [r"C:\tmp\u1 \x4 is none", r#"{"a":"tok_"#] {
        let (out, report) = replaced(body);
        assert_eq!((out.as_str(), report.count()), (body, 0));
    }
}

#[test]
fn what_is_too_deep_is_withheld() {
    let deep = |depth: usize| format!("{}\"tok_0123456789\"{}", "[".repeat(depth), "]".repeat(depth));
    let body = deep(JSON_DEPTH_MAX);
    assert_eq!(replaced(&body).0, body.replace("tok_0123456789", "[redacted:form]"));
    for body in [deep(JSON_DEPTH_MAX + 1), "[".repeat(JSON_BYTES_MAX), "{\"a\":".repeat(100_000)] {
        assert_eq!(replaced(&body).0, r#""[redacted]""#);
        let given = guard(&patterns(), GuardMode::Block, BodyForm::Json, body.as_bytes());
        assert!(given.withheld);
        let events = format!("data: {}\n\n", &body[..body.len().min(EVENT_BYTES_MAX / 2)]);
        assert!(guard(&patterns(), GuardMode::Redact, BodyForm::Events, events.as_bytes()).withheld);
    }
    let wide = format!("[{}1]", "[[]],".repeat(10_000));
    assert_eq!(replaced(&wide).0, wide);
}

/// As PHP and others write signs that need no escape, beside a name that says what the text is.
#[test]
fn a_text_with_an_escape_is_reported_by_its_name() {
    for (body, wanted) in [
        (r#"{"mine_key":"0123456789\u0061bcdef"}"#, r#"{"mine_key":"[redacted:near]"}"#),
        (r#"{"mine_key" : "x\/ 0123456789abcde\u0066 y"}"#, r#"{"mine_key" : "x/ [redacted:near] y"}"#),
        (r#"{"\u006dine":"0123456789abcdef"}"#, r#"{"\u006dine":"[redacted:near]"}"#),
        (r#"{"m\u0069ne":6543210987654321}"#, r#"{"m\u0069ne":"[redacted:near]"}"#),
        (r#"{"mined":"","so":"0123456789\u0061bcdef"}"#, r#"{"mined":"","so":"[redacted:near]"}"#),
        (r#"{"amined":"","so":"0123456789\u0061bcdef"}"#, r#"{"amined":"","so":"0123456789\u0061bcdef"}"#),
        (r#"{"m":"0123456789\u0061bcdef"}"#, r#"{"m":"0123456789\u0061bcdef"}"#),
    ] {
        assert_eq!(replaced(body).0, wanted, "{body}");
        let blocked = guard(&patterns(), GuardMode::Block, BodyForm::Json, body.as_bytes()).withheld;
        assert_eq!(blocked, body != wanted, "{body}");
        for events in [format!("data: {body}\n\n"), format!("data: {{\"text\":[{body}]}}\n\n")] {
            let shown = guard(&patterns(), GuardMode::Redact, BodyForm::Events, events.as_bytes());
            assert_eq!(String::from_utf8(shown.body).unwrap(), events.replace(body, wanted));
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(VALUE.to_owned()),
        Just("tok_0123456789".to_owned()),
        Just("mine ".to_owned()),
        Just("\u{1f511}\u{0}\n\"\\".to_owned()),
        "[a-zé ]{0,6}",
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same text with signs written otherwise.
fn escaped(body: &str) -> String {
    body.chars()
        .map(|letter| match letter {
            'k' | 't' | 'é' => format!("\\u{:04x}", u32::from(letter)),
            '/' => "\\/".to_owned(),
            _ => letter.to_string(),
        })
        .collect()
}

fn texts(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| texts(one, all)),
        Value::Object(map) => map.iter().for_each(|(name, one)| {
            all.push(name.clone());
            texts(one, all);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

proptest! {
    #[test]
    fn valid_json_stays_valid_and_no_text_of_it_holds_a_value(value in value(), pretty: bool, strange: bool) {
        let mut body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        if strange && !body.contains("true") && !body.contains("null") && !body.contains('\\') {
            body = escaped(&body);
        }
        let (out, report) = replaced(&body);
        let there: Value = serde_json::from_str(&out).expect("valid");
        let mut all = Vec::new();
        texts(&there, &mut all);
        for text in &all {
            prop_assert!(!text.contains(VALUE), "{out}");
            let mut found = 0;
            rules().find(text.as_bytes(), &mut |_| found += 1);
            prop_assert_eq!(found, 0, "{}", &out);
            prop_assert!(needles(&[("api", VALUE)]).is_clean(text.as_bytes()));
        }
        if report.is_empty() {
            prop_assert_eq!(out, body);
        }
    }
}
