//! Values with interruptions: wrapped, continued, coloured.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_needle::{HEAD_BYTES_MAX, NeedleId, Needles, Redactor};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;

fn build(value: &[u8]) -> Arc<Needles> {
    let id = NeedleId(0);
    let builder = Needles::builder().add(id, &SecretBytes::new(value.to_vec()));
    Arc::new(builder.name(id, "api").build().expect("build"))
}

/// Those that hold others first.
const BREAKS: [&str; 20] = [
    "\x1b]8;;https://example.com/a\x07",
    "\x1b]8;;\x1b\\",
    "\x1b[38;5;208m",
    "\x1b[1;31m",
    "\x1b[0m",
    "\x1b(B",
    "\x1b7",
    "\x1b8",
    "\n\x1b[2K",
    "\r\r\n",
    "\\\r\n  ",
    "\\\n",
    "\r\n",
    "\n    ",
    "\n\t",
    "\n",
    "\r",
    "\\r\\n",
    "\\\\n",
    "\\n",
];

fn breaks() -> impl Strategy<Value = &'static str> {
    prop::sample::select(BREAKS.to_vec())
}

/// The bytes of a head that belong to the value itself.
fn own(head: &str) -> String {
    let own = BREAKS.iter().fold(head.to_owned(), |own, part| own.replace(part, ""));
    // The end may be the start of an interruption.
    let end = own.find(['\x1b', '\\', '\r', '\n']).unwrap_or(own.len());
    own[..end].replace(' ', "")
}

/// A value in one of its encodings, with interruptions.
fn planted() -> impl Strategy<Value = (String, String)> {
    let value = "[A-Za-z0-9_/+-]{12,40}";
    (value, 0..4_usize, prop::collection::vec((any::<prop::sample::Index>(), breaks()), 1..6)).prop_map(
        |(value, form, breaks)| {
            let mut form = match form {
                0 => value.clone(),
                1 => value.bytes().map(|byte| format!("{byte:02x}")).collect(),
                2 => value.bytes().map(|byte| format!("{byte:02X}")).collect(),
                _ => value.replace('/', "%2F").replace('+', "%2B"),
            };
            let length = form.len();
            let mut breaks: Vec<(usize, &str)> =
                breaks.into_iter().map(|(at, part)| (1 + at.index(length - 1), part)).collect();
            breaks.sort_unstable();
            for (at, part) in breaks.into_iter().rev() {
                // The following text must not make it another interruption.
                if !form[at..].starts_with(['n', 'r', ' ']) && !form[..at].ends_with('\\') {
                    form.insert_str(at, part);
                }
            }
            (value, form)
        },
    )
}

/// The output in pieces of these lengths, and the most bytes of a value that were shown before it was recognised.
fn written(needles: &Arc<Needles>, text: &str, lengths: &[usize]) -> String {
    let mut redactor = Redactor::new(Arc::clone(needles));
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    for length in lengths {
        let (piece, behind) = rest.split_at((*length).min(rest.len()));
        redactor.push(piece, &mut out);
        rest = behind;
    }
    redactor.push(rest, &mut out);
    redactor.finish(&mut out);
    String::from_utf8(out).expect("text")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn nothing_of_it_is_left_however_it_is_interrupted_and_cut(
        (value, form) in planted(),
        lengths in prop::collection::vec(0..30_usize, 0..12),
    ) {
        let needles = build(value.as_bytes());
        let text = format!("<{form}>");
        prop_assert_eq!(needles.redact_text(&text), "<[redacted:api]>", "{:?}", text);
        let out = written(&needles, &text, &lengths);
        let head = out.strip_prefix('<').and_then(|out| out.strip_suffix("[redacted:api]>"));
        prop_assert!(head.is_some_and(|head| form.starts_with(head)), "{out:?} of {text:?}");
        prop_assert!(own(head.unwrap()).len() <= HEAD_BYTES_MAX, "{out:?} of {text:?}");
    }

    #[test]
    fn nothing_of_words_is_left_however_they_are_wrapped_and_cut(
        words in prop::collection::vec("[a-z]{2,9}", 3..8),
        ends in prop::collection::vec(prop::sample::select(vec!["", "", "\n", "\r\n", "\\n", "\x1b[0m\n", "\r"]), 8),
        (indent, instead) in prop::sample::select(vec![("", true), ("    ", true), ("", false)]),
        lengths in prop::collection::vec(0..30_usize, 0..12),
    ) {
        let value = words.join(" ");
        prop_assume!(value.len() >= 12);
        let needles = build(value.as_bytes());
        let mut form = words[0].clone();
        for (word, end) in words[1..].iter().zip(&ends) {
            // Only a line feed can be followed by indentation.
            let own = end.is_empty() || !instead;
            let blank = if own { " " } else if end.ends_with('\n') { indent } else { "" };
            form.extend([end, blank, word]);
        }
        let text = format!("<{form}>");
        prop_assert_eq!(needles.redact_text(&text), "<[redacted:api]>", "{:?}", text);
        let out = written(&needles, &text, &lengths);
        let head = out.strip_prefix('<').and_then(|out| out.strip_suffix("[redacted:api]>"));
        prop_assert!(head.is_some_and(|head| form.starts_with(head)), "{out:?} of {text:?}");
        prop_assert!(own(head.unwrap()).len() <= HEAD_BYTES_MAX, "{out:?} of {text:?}");
    }

    #[test]
    fn a_text_without_a_value_is_unchanged(
        parts in prop::collection::vec(prop_oneof!["[a-z ]{0,12}", breaks().prop_map(str::to_owned)], 0..20),
        lengths in prop::collection::vec(0..30_usize, 0..12),
    ) {
        let text = parts.concat();
        prop_assert_eq!(written(&build(b"0123-4567-89AB"), &text, &lengths), text);
    }
}

#[test]
fn wrapped_base64_is_found_at_every_alignment() {
    let value = b"k7Q-v9x_2LmZ+wT4/rB8sJ1y";
    let needles = build(value);
    for before in 0..60 {
        for columns in [60, 64, 70, 76] {
            let plain =
                [vec![b'.'; before], value.to_vec(), b" and more behind it, as files have it".repeat(3)]
                    .concat();
            let text: String = STANDARD
                .encode(plain)
                .as_bytes()
                .chunks(columns)
                .fold(String::new(), |text, line| text + std::str::from_utf8(line).unwrap() + "\n");
            let out = needles.redact_text(&text);
            assert!(out.contains("[redacted:api]"), "{before} before it, {columns} columns");
        }
    }
}

#[test]
fn the_first_and_the_last_line_of_a_private_key_are_shown() {
    let lines = ["MIIEvQIBADANBgkq", "x7Q9v2LmZwT4rB8sJ1yK5nH3", "pD6fG0cV8bN2mQ4w", "Zx1="];
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let needles = build(key.as_bytes());
    let public = "-----BEGIN PRIVATE KEY-----\n[redacted:api]\n-----END PRIVATE KEY-----\n";
    assert_eq!(needles.redact_text(&key), public);
    assert_eq!(needles.redact_text(&key.replace('\n', "\r\n")), public.replace('\n', "\r\n"));
    assert_eq!(needles.redact_text(&key.replace('\n', "\\n")), public.replace('\n', "\\n"));
    assert_eq!(needles.redact_text(&key.replace('\n', "\n    ")), public.replace('\n', "\n    "));
    // Rewrapped, and one line of it alone.
    assert_eq!(needles.redact_text(&lines.concat()), "[redacted:api]");
    assert_eq!(needles.redact_text(lines[1]), "[redacted:api]");
    for short in ["-----BEGIN PRIVATE KEY-----", "Zx1="] {
        assert_eq!(needles.redact_text(short), short);
    }
}

#[test]
fn what_is_beside_a_private_key_in_one_value_is_masked_with_it() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nx7Q9v2LmZwT4rB8sJ1yK5nH3\n-----END PRIVATE KEY-----\n";
    let json = format!(
        r#"{{"clientSecret":"k7Q-v9x_2LmZ","privateKey":"{}","passphrase":"w0T4-rB8s"}}"#,
        key.replace('\n', "\\n"),
    );
    let file = format!("DB_PASSWORD=k7Q-v9x_2LmZ\nTLS_KEY={key}API=w0T4-rB8s\n");
    for value in [&json, &file] {
        let needles = build(value.as_bytes());
        assert_eq!(needles.redact_text(value), "[redacted:api]");
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        assert_eq!(needles.redact_text(&escaped), "[redacted:api]");
        // The key alone, too.
        assert!(needles.redact_text(key).starts_with("-----BEGIN PRIVATE KEY-----\n[redacted:api]\n--"));
    }
}

/// A text that goes in whole, and one that comes in two pieces.
fn is_masked_however_it_is_cut(needles: &Arc<Needles>, text: &str, masked: &str) {
    assert_eq!(needles.redact_text(text), masked, "{text:?}");
    for cut in 0..text.len() {
        let out = written(needles, text, &[cut]);
        let head = (0..=HEAD_BYTES_MAX + 1).find(|head| {
            let at = masked.find("[redacted").unwrap();
            out.len() >= at + head && format!("{}{}", &out[..at], &out[at + head..]) == masked
        });
        assert!(head.is_some(), "{out:?} of {text:?} cut at {cut}");
    }
}

#[test]
fn a_value_with_spaces_is_found_where_its_own_stand_beside_a_line_end() {
    let needles = build(b"correct horse battery staple");
    for value in [
        "correct horse\n battery staple",
        "correct horse\nbattery staple",
        "correct\nhorse\r\nbattery\\nstaple",
        "correct horse\n    battery\n staple",
        "correct horse \n  battery staple",
        "correct hor\n  se battery staple",
        "correct\x1b[0m\n\x1b[1mhorse battery staple",
    ] {
        is_masked_however_it_is_cut(&needles, &format!("x <{value}> y\n z"), "x <[redacted:api]> y\n z");
    }
    let mut hits = 0;
    needles.find_all(b"correct horse\n battery staple", &mut |_| hits += 1);
    assert_eq!(hits, 1);
    let other = "correct horse\n> battery staple";
    assert_eq!(needles.redact_text(other), other);
}

/// As PowerShell writes a file, and how it looks in a process's memory.
#[test]
fn what_is_split_in_utf_16_is_found_where_it_is() {
    type Unit = fn(u16) -> [u8; 2];
    let value = "k7Q-v9x_2LmZ+wT4/rB8sJ1y";
    let needles = build(value.as_bytes());
    for unit in [u16::to_le_bytes as Unit, u16::to_be_bytes] {
        let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(unit).collect() };
        for end in ["\n", "\r\n", "\r\n   ", "\n\t", ""] {
            for at in 0..=value.len() {
                let (head, tail) = value.split_at(at);
                let (before, behind) = ("a line\r\n", "\r\n\r\nothers\r\n");
                let text = [wide(before), wide(head), wide(end), wide(tail), wide(behind)].concat();
                let masked = |before: &[u8], behind: &[u8]| [before, b"[redacted:api]", behind].concat();
                let wanted = match at {
                    0 => masked(&wide(&format!("{before}{end}")), &wide(behind)),
                    24 => masked(&wide(before), &wide(&format!("{end}{behind}"))),
                    _ => masked(&wide(before), &wide(behind)),
                };
                // Text in one byte order looks like the other order if it is read from the next zero byte on.
                let bare = |text: &[u8]| text.iter().copied().filter(|byte| *byte > 0).collect::<Vec<u8>>();
                assert_eq!(bare(&needles.redact(&text)), bare(&wanted), "{end:?} at {at}");
                for cut in (0..text.len()).step_by(3) {
                    let (mut redactor, mut out) = (Redactor::new(Arc::clone(&needles)), Vec::new());
                    redactor.push(&text[..cut], &mut out);
                    redactor.push(&text[cut..], &mut out);
                    redactor.finish(&mut out);
                    // A head may precede the marker, with a part of an interruption.
                    let more = out.len().saturating_sub(wanted.len());
                    assert!(
                        more <= HEAD_BYTES_MAX + 2 * end.len() + 2,
                        "{end:?} at {at} cut at {cut}: {out:?}"
                    );
                    assert!(
                        needles.is_clean(&out)
                            && out.windows(6).filter(|part| *part == b"[redac").count() == 1
                    );
                }
            }
        }
    }
}

/// Browsers send line ends of their own.
#[test]
fn a_private_key_in_a_form_is_masked_whatever_its_line_ends() {
    let lines = ["MIIEvQ/BADANBgkq", "x7Q9v2+mZwT4rB8sJ1yK5nH3", "pD6fG0cV8bN2mQ4w+/x="];
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let needles = build(key.as_bytes());
    let percent = |text: &str| text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    for end in ["%0D%0A", "%0A", "%0d%0a"] {
        let text = format!(
            "key=-----BEGIN+PRIVATE+KEY-----{end}{}{end}&x=1",
            percent(&lines.join("\n")).replace('\n', end)
        );
        let out = needles.redact_text(&text);
        for line in lines {
            assert!(!out.contains(&percent(line)[..8]) && out.ends_with("&x=1"), "{out}");
        }
    }
}

#[test]
fn a_value_after_an_unfinished_terminal_code_is_found() {
    let value = "k7Q-v9x_2LmZ+wT4/rB8sJ1y";
    let needles = build(value.as_bytes());
    let (head, tail) = value.split_at(11);
    for (before, behind) in [("\x1b]x ", " end"), ("\x1b]8;;https://host/", "\x07 end"), ("\x1b]x ", "")] {
        for between in ["\\n", "\\\\n", "\\r\\n", "\r", ""] {
            let text = format!("{before}{head}{between}{tail}{behind}");
            is_masked_however_it_is_cut(&needles, &text, &format!("{before}[redacted:api]{behind}"));
        }
    }
}

#[test]
fn line_ends_without_end_are_not_held_back_for_ever() {
    let needles = build(b"0123456789abcdef");
    let mut redactor = Redactor::new(Arc::clone(&needles));
    let mut out = Vec::new();
    redactor.push(b"01234567", &mut out);
    for _ in 0..10 {
        redactor.push(&vec![b'\n'; needles.span_max()], &mut out);
        assert!(redactor.held_back() <= 2 * needles.span_max());
    }
    assert!(out.starts_with(b"01234567\n"));
}
