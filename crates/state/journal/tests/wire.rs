//! The persisted forms: a written entry reads back the same, foreign entries are refused, and old logs keep loading.

use std::collections::BTreeSet;

use keyroll_journal::{WireError, decode_event, decode_opening, encode_event, encode_opening};
use keyroll_rotation::PROTOCOL;
use proptest::prelude::*;

use crate::sample::facts;

const OLD_EVENTS: &str = include_str!("fixtures/v1-events.jsonl");
const OLD_OPENINGS: &str = include_str!("fixtures/v1-openings.jsonl");

proptest! {
    #[test]
    fn every_event_is_read_back(event in facts::events()) {
        let bytes = encode_event(&event).unwrap();
        prop_assert_eq!(decode_event(&bytes).unwrap(), event);
    }

    #[test]
    fn every_opening_is_read_back(opening in facts::openings()) {
        let read = decode_opening(&encode_opening(&opening).unwrap()).unwrap();
        prop_assert_eq!(read.plan, opening.plan);
        prop_assert_eq!((read.secret, read.from_version), (opening.secret, opening.from_version));
        prop_assert_eq!((read.names, read.at, read.unix_ms), (opening.names, opening.at, opening.unix_ms));
    }

    #[test]
    fn a_cut_or_changed_entry_is_refused_or_another_entry(
        event in facts::events(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let bytes = encode_event(&event).unwrap();
        let at = at.index(bytes.len());
        prop_assert!(decode_event(&bytes[..at]).is_err());
        let mut changed = bytes.clone();
        changed[at] ^= 1_u8 << bit;
        if let Ok(read) = decode_event(&changed) {
            // The digits of an escape (`\u000b`) may be of either case.
            let one_escape = changed.eq_ignore_ascii_case(&bytes);
            prop_assert!(read != event || one_escape, "two entries mean the same");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode_event(&bytes).is_err());
        prop_assert!(decode_opening(&bytes).is_err());
    }
}

#[test]
fn old_logs_load_and_mean_the_same() {
    let mut names = BTreeSet::new();
    for line in OLD_EVENTS.lines() {
        let event = decode_event(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        names.insert(facts::name(&event.fact));
        assert_eq!(String::from_utf8(encode_event(&event).unwrap()).unwrap(), line);
    }
    assert_eq!(names.len(), facts::NAMES, "a fact has no old entry yet: {names:?}");
    for line in OLD_OPENINGS.lines() {
        let opening = decode_opening(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        // Openings of protocol 1 did not name it; the rest is written as it was.
        let written = String::from_utf8(encode_opening(&opening).unwrap()).unwrap();
        let (before, _) = written.split_once(",\"protocol\":").expect("the protocol is named");
        assert_eq!(format!("{before}}}"), line);
    }
    assert!(OLD_OPENINGS.lines().count() >= 4);
}

#[test]
fn a_newer_protocol_is_refused_by_the_name_of_who_finishes_it() {
    let line = OLD_OPENINGS.lines().next().unwrap();
    let with = |number: u32| {
        let protocol = format!(",\"protocol\":{{\"number\":{number},\"keyroll\":\"9.9.9\"}}}}");
        decode_opening((line[..line.len() - 1].to_owned() + &protocol).as_bytes())
    };
    assert!(with(PROTOCOL).is_ok());
    // The rest of it may have an unknown form.
    let newer = line.replacen(
        "\"v\":1,",
        "\"v\":1,\"tomorrow\":[],\"protocol\":{\"number\":99,\"keyroll\":\"9.9.9\",\"x\":1},",
        1,
    );
    for refused in [with(PROTOCOL + 1), decode_opening(newer.as_bytes())] {
        assert!(
            matches!(&refused, Err(WireError::Protocol { keyroll, .. }) if keyroll == "9.9.9"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_plan_has_the_protocol_of_its_opening_and_an_opening_that_names_none_is_of_the_first() {
    for line in OLD_OPENINGS.lines() {
        let mut opening = decode_opening(line.as_bytes()).unwrap();
        assert!(!line.contains("\"protocol\":"));
        assert_eq!(opening.plan.protocol, 1);
        opening.plan.protocol = PROTOCOL;
        let written = encode_opening(&opening).unwrap();
        assert_eq!(decode_opening(&written).unwrap().plan.protocol, PROTOCOL);
        let number = format!("\"protocol\":{{\"number\":{PROTOCOL},");
        let written = String::from_utf8(written).unwrap();
        assert!(written.contains(&number) && written.matches("\"protocol\":").count() == 1, "{written}");
    }
}

#[test]
fn a_plan_that_says_nothing_of_it_trusts_no_process() {
    for line in OLD_OPENINGS.lines() {
        let mut opening = decode_opening(line.as_bytes()).unwrap();
        assert!(!line.contains("own_word") && opening.plan.consumers.iter().all(|it| !it.own_word));
        opening.plan.consumers.iter_mut().for_each(|it| it.own_word = true);
        let written = encode_opening(&opening).unwrap();
        let words = String::from_utf8(written.clone()).unwrap().matches("\"own_word\":true").count();
        assert_eq!(words, opening.plan.consumers.len());
        assert_eq!(decode_opening(&written).unwrap().plan, opening.plan);
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    let good = r#"{"v":1,"at":{"ms":1,"boot":2,"epoch":3},"fact":{"refusals":{"count":4}}}"#;
    assert!(decode_event(good.as_bytes()).is_ok());
    for (from, to) in [
        ("\"v\":1,", ""),
        ("\"v\":1,", "\"v\":1,\"w\":1,"),
        ("\"epoch\":3", "\"epoch\":3,\"extra\":0"),
        ("\"count\":4", "\"count\":4,\"extra\":0"),
        ("\"count\":4", "\"count\":4294967296"),
        ("\"count\":4", "\"count\":4,\"count\":5"),
        ("\"count\":4", "\"count\":-1"),
        ("refusals", "refusal"),
        ("}}}", "}}} "),
        ("}}}", "}}}x"),
    ] {
        let bad = good.replacen(from, to, 1);
        let result = decode_event(bad.as_bytes());
        // JSON allows white space after a value, and nothing else.
        assert!(matches!(result, Err(WireError::Malformed(_))) != bad.ends_with(' '), "{bad}");
    }
    let newer = good.replace("\"v\":1", "\"v\":2,\"new\":[]");
    assert!(matches!(decode_event(newer.as_bytes()), Err(WireError::Version(2))));
    let kinds = r#"{"v":1,"at":{"ms":1,"boot":2,"epoch":3},"fact":{"proved":{"consumer":0,"proofs":[{"who":{"host":0,"life":{"at_rest":0}},"slot":0,"version":"old","paths":[128,0,0,0,0,0,0,0],"other_session":"yes"}],"trouble":false}}}"#;
    assert!(matches!(decode_event(kinds.as_bytes()), Err(WireError::Unsound(_))));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(decode_event(deep.as_bytes()).is_err());
}
