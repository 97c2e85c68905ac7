//! Values that other redactors are known to miss, and public texts that they mask.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use keyroll_needle::HEAD_BYTES_MAX;
use keyroll_redact::{Patterns, RedactingStream, RedactingWriter};

use crate::common::{needles, private_key, rules};

const VALUE: &str = "xoxoxp-1/0123456789?abcdef";

fn patterns() -> Patterns {
    Patterns::new(needles(&[("api", VALUE), ("old", "0f1e2d3c4b5a6978")]), Some(rules()))
}

/// Written in these pieces, each flushed.
fn written(patterns: &Patterns, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = RedactingWriter::new(&mut out, patterns);
    for piece in pieces {
        writer.write_all(piece).unwrap();
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    out
}

/// The longest part of the value's form that is left, bytes.
fn left(form: &[u8], out: &[u8]) -> usize {
    (1..=form.len())
        .take_while(|length| {
            form.windows(*length).any(|part| out.windows(*length).any(|there| there == part))
        })
        .count()
}

/// With every cut into two pieces, only a head is shown before the marker.
fn is_hidden_at_every_cut(text: &[u8], form: &[u8]) {
    let patterns = patterns();
    let before = text.windows(form.len()).position(|part| part == form).unwrap();
    for cut in 0..=text.len() {
        let out = written(&patterns, &[&text[..cut], &text[cut..]]);
        let shown = &out[before..];
        let marker = shown.windows(14).position(|part| part == b"[redacted:api]").unwrap_or(usize::MAX);
        assert!(marker <= HEAD_BYTES_MAX, "cut at {cut}: {}", String::from_utf8_lossy(&out));
        assert!(left(form, &out[before + marker..]) <= 4, "cut at {cut}: {}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn a_value_split_over_writes_as_xoxo_and_the_rest() {
    let patterns = Patterns::new(needles(&[("slack", "xoxoxp-1")]), None);
    let out = written(&patterns, &[b"tok=xoxo", b"xoxoxp-1"]);
    assert_eq!(out, b"tok=xoxo[redacted:slack]");
    let out = written(&patterns, &[b"tok=xoxo", b"xp-1"]);
    assert_eq!(out, b"tok=xoxo[redacted:slack]");
    for cut in 0..16 {
        let text = b"tok=xoxoxoxoxp-1";
        let out = String::from_utf8(written(&patterns, &[&text[..cut], &text[cut..]])).unwrap();
        assert!(!out.contains("xoxoxp-1") && out.ends_with("[redacted:slack]"), "{cut}: {out}");
    }
}

#[test]
fn base64_at_three_alignments_with_and_without_padding() {
    for before in ["", "u", "u:", "u:x"] {
        for behind in ["", "y", "yz", "yz!"] {
            let whole = format!("{before}{VALUE}{behind}");
            for encoded in [STANDARD.encode(&whole), STANDARD_NO_PAD.encode(&whole), URL_SAFE.encode(&whole)]
            {
                let text = format!("Authorization: Basic {encoded}\n");
                for cut in 0..=text.len() {
                    let pieces = [&text.as_bytes()[..cut], &text.as_bytes()[cut..]];
                    let out = String::from_utf8(written(&patterns(), &pieces)).unwrap();
                    assert!(out.contains("[redacted:api]"), "{before:?} {behind:?} at {cut}: {out}");
                    assert!(
                        left(encoded.as_bytes(), out.as_bytes()) <= 9,
                        "{before:?} {behind:?} at {cut}: {out}"
                    );
                }
            }
        }
    }
}

#[test]
fn base32_hex_percent_and_escapes() {
    let base32 = base32(VALUE.as_bytes());
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02X}")).collect();
    let percent = VALUE.replace('/', "%2F").replace('?', "%3F");
    let json = VALUE.replace('/', "\\/");
    for form in [base32.as_str(), &hex, &percent, &percent.replace("%2F", "%2f").replace("%3F", "%3f"), &json]
    {
        is_hidden_at_every_cut(format!("a={form} ;").as_bytes(), form.trim_end_matches('=').as_bytes());
    }
}

/// RFC 4648 §6, with padding.
fn base32(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut out: String = bits
        .as_bytes()
        .chunks(5)
        .map(|five| {
            let digits = format!("{:0<5}", std::str::from_utf8(five).unwrap());
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from_str_radix(&digits, 2).unwrap()])
        })
        .collect();
    out.extend(std::iter::repeat_n('=', (8 - out.len() % 8) % 8));
    out
}

#[test]
fn an_empty_line_within_changes_nothing() {
    let patterns = patterns();
    assert_eq!(written(&patterns, &[b"a\n", b"", b"\n", b"b\n"]), b"a\n\nb\n");
    let text = format!("x {VALUE}\n\n{VALUE}\n");
    let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let out = String::from_utf8(written(&patterns, &single)).unwrap();
    assert_eq!(out.matches("[redacted:api]").count(), 2);
    assert!(out.contains("]\n\nxoxox[redacted:api]\n"), "{out}");
}

#[test]
fn lines_of_a_known_key_are_masked_and_its_public_lines_are_not() {
    let key = private_key("\n");
    let patterns = Patterns::new(needles(&[("key", &key)]), None);
    let header = "-----BEGIN RSA PRIVATE KEY-----\n";
    assert_eq!(written(&patterns, &[header.as_bytes()]), header.as_bytes());
    let lines: Vec<&str> = key.lines().collect();
    for line in &lines[1..lines.len() - 1] {
        let out = String::from_utf8(written(&patterns, &[format!("log: {line} end").as_bytes()])).unwrap();
        assert_eq!(out, "log: [redacted:key] end");
    }
    assert!(written(&patterns, &[b"log: -----END RSA PRIVATE KEY-----"]).ends_with(b"-----"));
}

#[test]
fn a_value_that_is_added_in_mid_stream_is_found_in_what_is_held_back_too() {
    let mut shield =
        RedactingStream::new(&Patterns::new(needles(&[("old", "0123456789abcdef")]), Some(rules())));
    let mut out = Vec::new();
    shield.push(b"a 01234567", &mut out);
    assert_eq!(out, b"a ");
    // Old and new together, as during a rotation.
    shield.set_needles(needles(&[("old", "0123456789abcdef"), ("new", "0123456789fedcba")]));
    shield.push(b"89fedcba 0123456789abcdef 0123456789fedcba ", &mut out);
    shield.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "a [redacted:new] [redacted:old] [redacted:new] ");
    assert_eq!(shield.report().to_string(), "3 (secret new: 2, secret old: 1)");
}

#[test]
fn old_and_new_side_by_side_and_overlapping_are_one_region() {
    let patterns = Patterns::new(needles(&[("old", "0123456789abcdef"), ("new", "abcdef0123456789")]), None);
    assert_eq!(written(&patterns, &[b"x0123456789abcdef0123456789x"]), b"x[redacted:old]x");
}

#[test]
fn a_flush_releases_no_half_a_value_and_the_end_does() {
    let mut writer = RedactingWriter::new(Vec::new(), &patterns());
    writer.write_all(b"tok_0 xoxoxp-1/012").unwrap();
    writer.flush().unwrap();
    assert_eq!(writer.get_ref(), b"tok_0 ");
    writer.finish().unwrap();
    assert_eq!(writer.get_ref(), b"tok_0 xoxoxp-1/012");
}
