//! Rules find in a stream, however it is cut, what they find in the whole text, except for heads.

use keyroll_leak::{BLOCK_BYTES_MAX, MATCH_BYTES_MAX};
use keyroll_redact::{Patterns, RedactingStream, Report};
use proptest::prelude::*;

use crate::common::{head_max, needles, private_key, rules};

fn by_rules() -> Patterns {
    Patterns::new(needles(&[]), Some(rules()))
}

fn streamed(patterns: &Patterns, pieces: &[&[u8]]) -> (String, Report) {
    let mut shield = RedactingStream::new(patterns);
    let mut out = Vec::new();
    for piece in pieces {
        shield.push(piece, &mut out);
    }
    shield.finish(&mut out);
    assert_eq!(shield.held_back(), 0);
    (String::from_utf8(out).unwrap(), shield.report().clone())
}

/// The expected output: text, or a value with the rule that finds it.
fn wanted(text: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let mut all = Vec::new();
    let mut at = 0;
    rules().find(text, &mut |finding| {
        all.push((None, text[at..finding.span.start].to_vec()));
        at = finding.span.end;
        all.push((Some(finding.rule.id.clone()), text[finding.span].to_vec()));
    });
    all.push((None, text[at..].to_vec()));
    all
}

fn alike(wanted: &[(Option<String>, Vec<u8>)], out: &[u8]) -> bool {
    let mut rest = out;
    for (rule, bytes) in wanted {
        let Some(rule) = rule else {
            let Some(behind) = rest.strip_prefix(bytes.as_slice()) else { return false };
            rest = behind;
            continue;
        };
        let marker = format!("[redacted:{rule}]");
        let behind = (0..=head_max(rule)).find_map(|head| {
            rest.strip_prefix(&bytes[..head]).and_then(|rest| rest.strip_prefix(marker.as_bytes()))
        });
        let Some(behind) = behind else { return false };
        rest = behind;
    }
    rest.is_empty()
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "tok_",
            "tok_01234567",
            "tok_0123456789abcdef",
            "tok",
            "01234567.mid.01234567",
            ".mid.",
            "mine",
            "mine=",
            "=",
            "\"",
            "0123456789abcdef",
            "-----BEGIN ",
            "PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\n",
            " ",
            "\n",
            "\0",
            "0",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9 ._\n-]{0,12}",
        Just(private_key("\n")),
        Just(private_key("\\n")),
        Just("0 ".repeat(40)),
    ];
    prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_cut_gives_what_the_whole_gives(text in text()) {
        let bytes = text.as_bytes();
        let wanted = wanted(bytes);
        let patterns = by_rules();
        for cut in 0..=bytes.len() {
            let (out, _) = streamed(&patterns, &[&bytes[..cut], &bytes[cut..]]);
            prop_assert!(alike(&wanted, out.as_bytes()), "cut at {cut}: {text:?} gave {out:?}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let (out, _) = streamed(&patterns, &single);
        prop_assert!(alike(&wanted, out.as_bytes()), "byte by byte: {text:?} gave {out:?}");
    }

    #[test]
    fn many_cuts_give_what_the_whole_gives(text in text(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (out, report) = streamed(&by_rules(), &pieces);
        let wanted = wanted(bytes);
        prop_assert!(alike(&wanted, out.as_bytes()), "{text:?} gave {out:?}");
        prop_assert_eq!(report.count() as usize, wanted.iter().filter(|(rule, _)| rule.is_some()).count());
    }

    #[test]
    fn clean_text_is_shown_at_once_and_unchanged(text in "([a-z]{0,9}|[0-9a-f]{0,9}|[ :$>\n\"]){0,20}") {
        prop_assume!(!text.contains("mine"));
        let mut shield = RedactingStream::new(&by_rules());
        let mut out = Vec::new();
        for (number, piece) in text.as_bytes().chunks(7).enumerate() {
            shield.push(piece, &mut out);
            let run = text[..text.len().min(7 * number + 7)].rsplit([' ', '"', '\n']).next().unwrap();
            // A rule may find a value that eight letters and digits begin.
            let word = run.rsplit([':', '$', '>']).next().unwrap();
            let head = (6..=8).contains(&word.len()) && word.contains(|letter: char| letter.is_ascii_digit());
            prop_assert!(shield.held_back() <= if head { word.len() } else { 0 }, "{word}");
        }
        shield.finish(&mut out);
        prop_assert_eq!(out, text.into_bytes());
    }
}

#[test]
fn a_prefix_is_held_until_its_run_ends_and_half_a_prefix_is_not() {
    let mut shield = RedactingStream::new(&by_rules());
    let mut out = Vec::new();
    for (piece, shown) in [
        ("a tok", "a tok"),
        ("_0123", "a tok"),
        ("4567", "a tok"),
        (" ", "a tok[redacted:form] "),
        ("tok_x ", "a tok[redacted:form] tok_x "),
        ("01234", "a tok[redacted:form] tok_x 01234"),
        ("567.mid", "a tok[redacted:form] tok_x 01234"),
        (".0123456", "a tok[redacted:form] tok_x 01234"),
        ("7\n", "a tok[redacted:form] tok_x 01234[redacted:within]\n"),
        ("mine: ", "a tok[redacted:form] tok_x 01234[redacted:within]\nmine: "),
        ("01234", "a tok[redacted:form] tok_x 01234[redacted:within]\nmine: 01234"),
        ("56789", "a tok[redacted:form] tok_x 01234[redacted:within]\nmine: 01234"),
        ("abcdef", "a tok[redacted:form] tok_x 01234[redacted:within]\nmine: 01234"),
        ("\n", "a tok[redacted:form] tok_x 01234[redacted:within]\nmine: 01234[redacted:near]\n"),
        (
            "password: ",
            "a tok[redacted:form] tok_x 01234[redacted:within]\nmine: 01234[redacted:near]\npassword: ",
        ),
    ] {
        shield.push(piece.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), shown, "behind {piece:?}");
    }
}

#[test]
fn a_run_without_end_is_held_in_bounded_memory() {
    let patterns = by_rules();
    for (begin, max) in [
        ("tok_", MATCH_BYTES_MAX),
        ("mine=", MATCH_BYTES_MAX),
        ("01234567.mid.", MATCH_BYTES_MAX),
        ("-----BEGIN PRIVATE KEY-----\n", BLOCK_BYTES_MAX),
        ("tok_tok_", MATCH_BYTES_MAX),
    ] {
        let mut shield = RedactingStream::new(&patterns);
        let mut out = Vec::new();
        shield.push(begin.as_bytes(), &mut out);
        for _ in 0..300 {
            shield.push(&[b'.'; 997], &mut out);
            assert!(shield.held_back() <= max, "{begin}");
        }
        shield.finish(&mut out);
        assert_eq!(out.len(), begin.len() + 300 * 997, "{begin}");
    }
}

/// Many prompts contain a rule's word, and the answer follows it.
#[test]
fn what_no_value_can_come_of_is_shown_after_a_word() {
    let shipped = Patterns::new(needles(&[]), Some(keyroll_leak::Rules::shipped().unwrap()));
    for (patterns, prompt) in [
        (by_rules(), "set mine (y/n)?"),
        (by_rules(), "mine 45%"),
        (by_rules(), "mine: 01234"),
        (by_rules(), "mine: 0123456789/"),
        (shipped.clone(), "Deploy aws (y/n)?"),
        (shipped.clone(), "uploading to cloudflare 45%"),
        (shipped.clone(), "Okta MFA code:"),
        (shipped.clone(), "okta passcode:"),
        (shipped, "aws [us-east-1]:"),
    ] {
        let mut shield = RedactingStream::new(&patterns);
        let mut out = Vec::new();
        for byte in prompt.as_bytes() {
            shield.push(&[*byte], &mut out);
        }
        assert_eq!(String::from_utf8_lossy(&out), prompt);
    }
}

/// Imported rules may have spaces in their values; nothing more is guaranteed for these.
#[test]
fn a_match_that_ends_where_the_piece_does_waits() {
    let rule = "[[rule]]\nid='words'\nprovider='p'\ntitle='t'\nsource='https://x.y'\nbegins=['say ']\nregex='say [a-z]{2} [a-z]{2,4}'\n";
    let rules = Box::leak(Box::new(keyroll_leak::Rules::read(&[("mine", rule)]).unwrap()));
    let patterns = Patterns::new(needles(&[]), Some(rules));
    assert_eq!(streamed(&patterns, &[b"a say ab cd", b"ef b"]).0, "a [redacted:words] b");
}

#[test]
fn every_value_in_a_long_run_is_replaced() {
    let patterns = by_rules();
    let text = format!("{}.tok_0123456789abcdef.", "x-".repeat(50)).repeat(200);
    for size in [1, 7, 4096, 70_000] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let (out, report) = streamed(&patterns, &pieces);
        assert!(!out.contains("0123456789") && report.rules["form"] == 200, "{size}");
    }
}

#[test]
fn a_known_value_within_a_value_of_a_rule_is_named_once_and_no_marker_is_searched() {
    let patterns = Patterns::new(needles(&[("mine-0123456789abcdef", "9876543210fedcba")]), Some(rules()));
    let marker = "[redacted:mine-0123456789abcdef]";
    assert_eq!(streamed(&patterns, &[b"mine 9876543210fedcba 1"]).0, format!("mine {marker} 1"));
    let key = private_key("\n").replace("02abcdefghijklmnopqrstuvwxyz", "9876543210fedcba");
    let (out, report) = streamed(&patterns, &[format!("a {key}\nb").as_bytes()]);
    assert_eq!(out, "a [redacted:private-key]\nb");
    assert_eq!(report.to_string(), "3 (secret mine-0123456789abcdef: 2, rule private-key: 1)");
    assert_eq!(streamed(&patterns, &[b"tok_9876543210fedcba tok_0"]).0, format!("tok_{marker} tok_0"));
    let (out, _) = streamed(&patterns, &[b"tok_01239876543210fedcba45678 "]);
    assert_eq!(out, "[redacted:form] ");
}

#[test]
fn a_value_that_is_added_is_found_in_what_rules_hold_back() {
    let patterns = Patterns::new(needles(&[]), Some(rules()));
    let mut shield = RedactingStream::new(&patterns);
    let mut out = Vec::new();
    shield.push(b"x tok_.9876543210fedcba.", &mut out);
    assert_eq!(out, b"x ");
    shield.set_needles(needles(&[("new", "9876543210fedcba")]));
    shield.push(b" 9876543210fedcba", &mut out);
    shield.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "x tok_.[redacted:new]. [redacted:new]");
}

/// A word that another letter stands before is none, also where only the last bytes of a line are kept.
#[test]
fn the_byte_before_a_word_is_kept() {
    let patterns = by_rules();
    for dots in 50..70 {
        for before in ["a", "9", ".", ""] {
            let text = format!("zz {before}mine {}: 0123456789abcdef x", ".".repeat(dots));
            let (whole, _) = streamed(&patterns, &[text.as_bytes()]);
            let value = text.find("0123").unwrap();
            for cut in 0..text.len() {
                let pieces = [&text.as_bytes()[..cut], &text.as_bytes()[cut..]];
                let head = if cut <= value + 5 { text.get(value..cut).unwrap_or_default() } else { "" };
                assert_eq!(
                    streamed(&patterns, &pieces).0,
                    whole.replace("[redacted:near]", &format!("{head}[redacted:near]")),
                    "{dots} dots behind {before:?}, cut at {cut}"
                );
            }
        }
    }
}

/// A value that is added while rules hold its beginning back.
#[test]
fn a_value_that_is_added_is_found_where_it_begins_in_what_rules_hold_back() {
    let value = "9876543210fedcba/xyz";
    let mut looked = 0;
    for before in ["your mine is ", "tok_", "tok_012.", "\u{e9} mine: x-", "a 0f1e2d3c4b5a6978 mine="] {
        for cut in 1..value.len() {
            let patterns = Patterns::new(needles(&[("old", "0f1e2d3c4b5a6978")]), Some(rules()));
            let mut shield = RedactingStream::new(&patterns);
            let mut out = Vec::new();
            shield.push(format!("{before}{}", &value[..cut]).as_bytes(), &mut out);
            let shown = String::from_utf8(out.clone()).unwrap();
            shield.set_needles(needles(&[("old", "0f1e2d3c4b5a6978"), ("new", value)]));
            for byte in value.as_bytes()[cut..].iter().chain(b" x 0f1e2d3c4b5a6978 tok_0123456789 x") {
                shield.push(&[*byte], &mut out);
            }
            shield.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            let before = before.replace("0f1e2d3c4b5a6978", "[redacted:old]");
            // Bytes that were shown before the value was known cannot be redacted; nor can a head after a word.
            if shown.strip_prefix(&before).is_some_and(|head| !head.is_empty()) {
                continue;
            }
            looked += 1;
            let behind = out.strip_prefix(before.as_str()).expect("what stands before");
            let at = behind.find("[redacted:new]").expect("found");
            assert!(at <= 5 && value.starts_with(&behind[..at]), "{before:?} cut at {cut}: {out}");
            let rest = &behind[at + "[redacted:new]".len()..];
            assert!(rest.ends_with("[redacted:form] x") && rest.contains("[redacted:old] "), "{out}");
            for part in ["5a6978", "456789", "fedcba"] {
                assert!(!rest.contains(part), "{out}");
            }
        }
    }
    assert!(looked > 70, "{looked}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_same_values_searched_for_again_change_nothing(parts in prop::collection::vec(prop::sample::select(vec![
        "9876543210fedcba", "fedcba98 7654321", "tok_", "0123", "01234567", ".mid.", "mine=", " ", "\n", "-", "987654", "3210fedcba", "fed", "cba98 7654", "\u{e9}",
    ]), 0..9), size in 1..9usize) {
        let text = parts.concat().into_bytes();
        let values = [("api", "9876543210fedcba"), ("other", "fedcba98 7654321")];
        let patterns = Patterns::new(needles(&values), Some(rules()));
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        let (wanted, report) = streamed(&patterns, &pieces);
        let mut shield = RedactingStream::new(&patterns);
        let mut out = Vec::new();
        for piece in pieces {
            shield.push(piece, &mut out);
            shield.set_needles(needles(&values));
        }
        shield.finish(&mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), wanted);
        prop_assert_eq!(shield.report(), &report);
    }
}

/// A first line that is cut off before a key makes other bytes those before each of its lines.
#[test]
fn a_key_that_was_shown_is_not_read_again_with_less_before_it() {
    let (before, key, token) = ("0 ".repeat(40), private_key("\n"), "tok_0123456789abcdef");
    // The marks of the second key are 318 or 319 bytes behind those of the first.
    let far = |bytes: usize| format!("{before}{key}tok{}\n{key}x{key}", "x".repeat(bytes));
    for text in [
        format!("{before}{key}{token}{key}"),
        format!("{before}{key}{key}"),
        format!("{before}{key}{token}\n{key}"),
        far(25),
        far(26),
    ] {
        let wanted = wanted(text.as_bytes());
        for cut in 0..=text.len() {
            let (out, _) = streamed(&by_rules(), &[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
            assert!(alike(&wanted, out.as_bytes()), "cut at {cut}: {text:?} gave {out:?}");
        }
    }
}

/// No rule finds the second key by its own first line, which is behind a letter; its lines are content of the first.
#[test]
fn a_first_line_is_kept_as_long_as_a_line_behind_it_waits() {
    let key = private_key("\n");
    let text = format!("0 {key}x{}", key.replace('\n', "\n9 "));
    let wanted = wanted(text.as_bytes());
    for cut in 0..=text.len() {
        let (out, _) = streamed(&by_rules(), &[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
        assert!(alike(&wanted, out.as_bytes()), "cut at {cut}: {text:?} gave {out:?}");
        assert!(!out.contains("abcdef"), "cut at {cut}: {out:?}");
    }
}

/// More of a value is held back than is kept for rules: nothing of it is lost.
#[test]
fn a_long_value_that_is_held_back_while_values_are_added_is_whole() {
    let digits: String = (0..10_000).map(|number| format!("{number:06}")).collect();
    let value: String =
        digits.bytes().map(|digit| char::from(b"/?#[]@&=+;"[usize::from(digit - b'0')])).collect();
    let patterns = Patterns::new(needles(&[("long", &value)]), Some(rules()));
    // Percent-encoded twice.
    let form: String = value.bytes().map(|byte| format!("%25{byte:02X}")).collect();
    for (upto, wanted) in [(form.len(), "mine=x[redacted:long] x"), (form.len() - 1, "")] {
        let mut shield = RedactingStream::new(&patterns);
        let mut out = Vec::new();
        let text = format!("mine=x{} x", &form[..upto]);
        for piece in text.as_bytes().chunks(150_000) {
            shield.push(piece, &mut out);
            shield.set_needles(needles(&[("long", &value), ("new", "0f1e2d3c4b5a6978")]));
        }
        shield.finish(&mut out);
        let wanted = if wanted.is_empty() { text.as_str() } else { wanted };
        assert!(out == wanted.as_bytes(), "{}", out.len());
    }
}
