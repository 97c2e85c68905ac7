//! Private keys of which another program changed every line: it put something before it, after it, or between two.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_leak::{BLOCK_BYTES_MAX, Rules};
use keyroll_redact::{Patterns, RedactingStream, Report};

use crate::common::needles;

/// The kinds: the label, the first bytes, the length of the content and of a line.
const KINDS: [(&str, &[u8], usize, usize); 5] = [
    ("PRIVATE KEY", &[0x30, 0x82, 4, 0xbe, 2, 1, 0, 0x30, 0x0d, 6, 9, 0x2a], 1218, 64),
    ("RSA PRIVATE KEY", &[0x30, 0x82, 4, 0xa4, 2, 1, 0, 2, 0x82, 1, 1, 0], 1192, 64),
    ("EC PRIVATE KEY", &[0x30, 0x77, 2, 1, 1, 4, 0x20], 121, 64),
    (
        "OPENSSH PRIVATE KEY",
        b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01\0\0\x003\0\0\0\x0bssh-ed25519\0\0\0 ",
        290,
        70,
    ),
    ("PGP PRIVATE KEY BLOCK", &[0x94, 0x86, 4, 0x66], 540, 64),
];
const EC: usize = 2;

fn shipped() -> Patterns {
    Patterns::new(needles(&[]), Some(Rules::shipped().unwrap()))
}

/// Bytes of no key (xorshift), after these.
fn der(start: &[u8], bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes as u64;
    let mut all = start.to_vec();
    all.resize_with(bytes, || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    });
    all
}

/// The lines of a block.
fn block(label: &str, der: &[u8], digits: usize) -> Vec<String> {
    let body = STANDARD.encode(der);
    let body = body.as_bytes().chunks(digits).map(|line| String::from_utf8(line.to_vec()).unwrap());
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    lines.extend(body);
    if label.starts_with("PGP") {
        lines.splice(1..1, ["Version: GnuPG v2".to_owned(), String::new()]);
        lines.push("=njUN".to_owned());
    }
    lines.push(format!("-----END {label}-----"));
    lines
}

fn key(kind: usize) -> Vec<String> {
    let (label, start, bytes, digits) = KINDS[kind];
    block(label, &der(start, bytes), digits)
}

/// The lines of the content.
fn body(lines: &[String]) -> impl Iterator<Item = &String> {
    lines.iter().filter(|line| line.len() >= 20 && !line.contains("-----"))
}

type Form = fn(usize, &str) -> String;

/// How programs show a line, by its number.
const FORMS: [(&str, Form); 38] = [
    ("docker compose logs", |_, line| format!("api-1  | {line}\n")),
    ("with colours", |_, line| format!("\x1b[36mapi-1  | \x1b[0m{line}\n")),
    ("with timestamps", |at, line| format!("api-1  | 2026-01-01T00:00:{at:02}.{}Z {line}\n", 17 * at)),
    ("docker compose in CRLF", |_, line| format!("api-1  | {line}\r\n")),
    ("kubectl logs --prefix", |_, line| format!("[pod/api-7c9/app] {line}\n")),
    ("stern", |_, line| format!("api-7c9 app › {line}\n")),
    ("CRI", |at, line| format!("2026-01-01T00:00:{at:02}.{:09}Z stdout F {line}\n", at * 7)),
    ("journald", |at, line| format!("Nov 27 06:41:{at:02} host app[12]: {line}\n")),
    ("dmesg", |at, line| format!("[{:5}.{:06}] app: {line}\n", at + 9998, at * 7)),
    ("foreman", |at, line| format!("06:41:{at:02} web.1  | {line}\n")),
    ("a quote", |_, line| format!("> {line}\n")),
    ("a quote of a quote", |_, line| format!("> > {line}\n")),
    ("an added line", |_, line| format!("+{line}\n")),
    ("a removed line", |_, line| format!("-{line}\n")),
    ("an added line with a space", |_, line| format!("+ {line}\n")),
    ("a removed line with a space", |_, line| format!("- {line}\n")),
    ("diff", |_, line| format!("< {line}\n")),
    ("grep", |at, line| format!("certs/server.key:{at}:{line}\n")),
    ("grep, context", |at, line| format!("certs/server.key-{at}-{line}\n")),
    ("cat -n", |at, line| format!("{:6}\t{line}\n", at + 1)),
    ("#", |_, line| format!("# {line}\n")),
    ("//", |_, line| format!("// {line}\n")),
    ("// without a space", |_, line| format!("//{line}\n")),
    (" *", |_, line| format!(" * {line}\n")),
    (";", |_, line| format!("; {line}\n")),
    ("--", |_, line| format!("-- {line}\n")),
    ("spaces", |_, line| format!("      {line}\n")),
    ("a frame", |_, line| format!("│ {line:<70} │\n")),
    ("a frame in ASCII", |_, line| format!("| {line:<72} |\n")),
    ("a narrow frame", |_, line| {
        line.as_bytes()
            .chunks(40)
            .map(|part| format!("│ {:<40} │\n", str::from_utf8(part).unwrap()))
            .collect()
    }),
    ("strings", |_, line| format!("    \"{line}\\n\" +\n")),
    ("strings of PHP", |_, line| format!("    '{line}' . \"\\n\" .\n")),
    ("a list", |_, line| format!("  '{line}',\n")),
    ("docker's file", |at, line| {
        format!(
            "{{\"log\":\"{line}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:{at:02}.{at}Z\"}}\n"
        )
    }),
    ("a log in JSON", |at, line| {
        format!("{{\"time\":\"2026-01-01T00:00:{at:02}Z\",\"level\":\"info\",\"msg\":\"{line}\"}}\n")
    }),
    ("logfmt", |at, line| format!("time=2026-01-01T00:00:{at:02}Z level=info msg=\"{line}\"\n")),
    ("a name before the first line", |at, line| {
        format!("api-1  | {}{line}\n", if at == 0 { "TLS_KEY=" } else { "" })
    }),
    ("a name before the first comment", |at, line| {
        format!("//{}{line}\n", if at == 0 { "KEY=" } else { "" })
    }),
];

/// Lines of other containers between those of the key: two after each second one.
const BETWEEN: (&str, Form) = ("other containers between", |at, line| {
    let others = "db-1   | ready for 5 connections\nweb-12 | GET /health 200\n";
    format!("api-1  | {line}\n{}", if at % 2 == 1 { others } else { "" })
});

/// Others before the content.
const EARLY: (&str, Form) = ("others before the content", |at, line| {
    format!("api-1  | {line}\n{}", if at == 0 { "db-1   | ready\ndb-1   | 5 more\n" } else { "" })
});

/// The same container between, on its other stream.
const WITHIN: (&str, Form) = ("its own lines between", |at, line| {
    format!("api-1  | {line}\n{}", if at % 2 == 1 { "api-1  | GET /health 200\n" } else { "" })
});

/// In one line.
const ON_ONE_LINE: [(&str, &str); 11] = [
    ("nothing", ""),
    ("spaces", " "),
    ("\\n", "\\n"),
    ("\\\\n", "\\\\n"),
    ("\\r\\n", "\\r\\n"),
    ("CRLF", "\r\n"),
    ("|", "|"),
    ("&#10;", "&#10;"),
    ("&#xD;&#xA;", "&#xD;&#xA;"),
    ("<br>", "<br />"),
    ("%0A", "%0d%0A"),
];

fn shown(form: Form, lines: &[String]) -> String {
    lines.iter().enumerate().map(|(at, line)| form(at, line)).collect()
}

fn forms() -> impl Iterator<Item = (&'static str, Form)> {
    FORMS.into_iter().chain([BETWEEN, WITHIN, EARLY])
}

/// A header needs a line of its own.
fn on_one_line(label: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    ON_ONE_LINE.into_iter().filter(move |(_, sign)| !sign.is_empty() || !label.starts_with("PGP"))
}

fn streamed(patterns: &Patterns, pieces: &[&[u8]]) -> String {
    let mut shield = RedactingStream::new(patterns);
    let mut out = Vec::new();
    for piece in pieces {
        shield.push(piece, &mut out);
    }
    shield.finish(&mut out);
    String::from_utf8(out).unwrap()
}

/// Whether a part of the content is in the output.
fn leaks(out: &str, lines: &[String]) -> bool {
    body(lines)
        .any(|line| line.as_bytes().windows(12).any(|part| out.contains(str::from_utf8(part).unwrap())))
}

fn redacted(text: &str) -> Option<Vec<u8>> {
    shipped().replace(text.as_bytes(), &mut Report::default())
}

#[test]
fn no_line_of_a_key_is_shown_whatever_is_before_and_after_it() {
    let mut wrong = Vec::new();
    for (kind, (label, ..)) in KINDS.iter().enumerate() {
        let key = key(kind);
        for (name, form) in forms() {
            for end in ["", "\n-- \nand then: more text\n"] {
                let text = format!("it begins\n{}{end}", shown(form, &key));
                let out = streamed(&shipped(), &[text.as_bytes()]);
                if leaks(&out, &key) || !out.starts_with("it begins\n") || !out.ends_with(end) {
                    wrong.push(format!("{label}: {name}: {out}"));
                }
            }
        }
        for (name, sign) in on_one_line(label) {
            let out = streamed(&shipped(), &[format!("KEY=\"{}\"\n", key.join(sign)).as_bytes()]);
            if leaks(&out, &key) {
                wrong.push(format!("{label}: on one line with {name}: {out}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_key_that_breaks_off_is_not_shown() {
    let mut wrong = Vec::new();
    for (kind, (label, ..)) in KINDS.iter().enumerate() {
        let key = key(kind);
        // In the last line of the content, without the last line, and in it.
        let last = key.len() - if label.starts_with("PGP") { 3 } else { 2 };
        for (name, form) in forms().filter(|(name, _)| !name.contains("frame")) {
            let whole = shown(form, &key[..=last]);
            let cut = whole.rfind(&key[last]).unwrap() + 9;
            for text in [&whole[..cut], &whole, whole.trim_end(), &shown(form, &key)[..whole.len() + 15]] {
                for end in ["", "\n-- \nand then: more text\n"] {
                    let out = streamed(&shipped(), &[format!("{text}{end}").as_bytes()]);
                    if leaks(&out, &key) || !out.ends_with(end) {
                        wrong.push(format!("{label}: {name}: {out}"));
                    }
                }
            }
        }
        for (name, sign) in on_one_line(label) {
            let whole = key[..=last].join(sign);
            for end in ["", "... (truncated)\n", "\"}\n", "\n-- \nmore\n"] {
                let out = streamed(&shipped(), &[format!("KEY=\"{whole}{end}").as_bytes()]);
                if leaks(&out, &key) || !out.ends_with(end) {
                    wrong.push(format!("{label}: on one line with {name}: {out}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_cut_gives_what_the_whole_gives() {
    let patterns = shipped();
    let key = key(EC);
    let all = forms().flat_map(|(name, form)| {
        let whole = shown(form, &key);
        let cut = shown(form, &key[..3]);
        // The last line follows on that of the content.
        let last = key.len() - 2;
        let joined = shown(form, &[&key[..last], &[key[last..].concat()]].concat());
        let mention = form(0, "-----BEGIN EC PRIVATE KEY-----");
        let end = "x y\nand 7f3a9c.\n";
        let texts = [format!("a\n{whole}"), joined, cut, mention];
        texts.map(|text| (name, text + end))
    });
    let on_one_line = ON_ONE_LINE.into_iter().flat_map(|(name, sign)| {
        [(name, format!("K=\"{}\" x", key.join(sign))), (name, format!("K={}. x\n", key[..3].join(sign)))]
    });
    // The longest text before each line, and one that is too long; then nothing is found.
    let long = ["", "|"].map(|more| {
        let lines = key.iter().map(|line| format!("{}{more}{line}\n", "; ".repeat(128)));
        ("a long text before each line", lines.collect::<String>())
    });
    assert!(!leaks(&streamed(&patterns, &[long[0].1.as_bytes()]), &key));
    assert_eq!(streamed(&patterns, &[long[1].1.as_bytes()]), long[1].1);
    for (name, text) in all.chain(on_one_line).chain(long.clone()) {
        let bytes = text.as_bytes();
        let wanted = streamed(&patterns, &[bytes]);
        assert!(!leaks(&wanted, &key) || text == long[1].1, "{name}: {wanted}");
        let replaced = redacted(&text).map_or_else(|| text.clone(), |out| String::from_utf8(out).unwrap());
        assert_eq!(replaced, wanted, "{name}");
        // A key without anything before its lines is one finding with its first line, which may be a head.
        let alike = |out: &str| {
            let at = wanted.find("[redacted:").unwrap_or(wanted.len());
            let first = "-----BEGIN EC PRIVATE KEY----";
            out == wanted
                || (0..=first.len())
                    .any(|head| format!("{}{}{}", &wanted[..at], &first[..head], &wanted[at..]) == out)
        };
        for cut in 0..=bytes.len() {
            let out = streamed(&patterns, &[&bytes[..cut], &bytes[cut..]]);
            assert!(alike(&out), "{name}, cut at {cut}:\n{wanted}\ngave\n{out}");
        }
        for size in [1, 2, 7, 64] {
            let out = streamed(&patterns, &bytes.chunks(size).collect::<Vec<_>>());
            assert!(alike(&out), "{name}, pieces of {size}:\n{wanted}\ngave\n{out}");
        }
    }
}

#[test]
fn a_known_key_is_not_shown_either() {
    // Lines of a PGP key are in its public key too: they are no values.
    let kinds = KINDS.iter().enumerate().filter(|(_, (label, ..))| !label.starts_with("PGP"));
    for (kind, (label, ..)) in kinds {
        let key = key(kind);
        let patterns = Patterns::new(needles(&[("tls", &key.join("\n"))]), None);
        // The first line of OpenSSH's form is that of most keys.
        let own = if label.starts_with("OPENSSH") { &key[2..] } else { &key };
        for (name, form) in forms().filter(|(name, _)| *name != "a narrow frame") {
            let out = streamed(&patterns, &[shown(form, &key).as_bytes()]);
            assert!(!leaks(&out, own), "{label}: {name}: {out}");
        }
    }
}

#[test]
fn lines_between_stay_and_so_does_what_the_program_put_before() {
    let key = key(EC);
    let out = streamed(&shipped(), &[shown(BETWEEN.1, &key).as_bytes()]);
    let others = "db-1   | ready for 5 connections\nweb-12 | GET /health 200\n";
    let marker = "[redacted:ec-private-key]";
    assert_eq!(
        out,
        format!(
            "api-1  | {}\napi-1  | {marker}\n{others}api-1  | {marker}\n{others}api-1  | {}\n",
            key[0],
            key.last().unwrap()
        )
    );
    // After a key that breaks off.
    let lines = "api-1  | ready\napi-1  | 200\napi-1  | GET /health 200\napi-1  | started in 5 ms\n";
    let text = shown(FORMS[0].1, &key[..3]) + lines;
    assert_eq!(
        streamed(&shipped(), &[text.as_bytes()]),
        format!("api-1  | {}\napi-1  | {marker}\n{lines}", key[0])
    );
    let out = streamed(&shipped(), &[shown(FORMS[33].1, &key).as_bytes()]);
    assert_eq!(out.lines().count(), 3, "{out}");
    for line in out.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn what_is_public_and_what_is_no_key_stays() {
    let cert = der(&[0x30, 0x82, 3, 0x5d, 0x30, 0x82, 2, 0x45, 0xa0, 3], 865);
    let public = der(&[0x30, 0x82, 1, 0x22, 0x30, 0x0d, 6, 9], 294);
    let public = [("CERTIFICATE", &cert), ("PUBLIC KEY", &public), ("RSA PUBLIC KEY", &public)];
    for (label, der) in public {
        for (name, form) in forms() {
            let text = shown(form, &block(label, der, 64));
            assert_eq!(redacted(&text), None, "{label}: {name}");
            // After a key, and after the mention of one.
            for lines in [key(EC), vec!["-----BEGIN PRIVATE KEY-----".to_owned()], key(EC)[..3].to_vec()] {
                let out = streamed(&shipped(), &[(shown(form, &lines) + &text).as_bytes()]);
                assert!(out.ends_with(&text), "{label}: {name}: {out}");
            }
        }
    }
    let blob = STANDARD.encode(&cert);
    for text in [
        "the file begins with -----BEGIN PRIVATE KEY-----\nand ends with -----END PRIVATE KEY-----\n"
            .to_owned(),
        "error: expected -----BEGIN RSA PRIVATE KEY-----\nPassword: ".to_owned(),
        "grep: -----BEGIN EC PRIVATE KEY-----\nMeanwhile, more\nMI\nMH\n\nMBig\n".to_owned(),
        format!("see -----BEGIN PRIVATE KEY-----\n  cert: {blob}\n"),
        format!("-----BEGIN PRIVATE KEY-----\nsee\n{{\"x5c\": [\"{blob}\"]}}\n"),
        format!("api-1 | -----BEGIN PRIVATE KEY-----\n{}", format!("db-1 | {blob}\n").repeat(3)),
        format!("KEY_HINT = \"-----BEGIN PRIVATE KEY-----\"\nCERT = \"{blob}\"\n"),
        format!("api-1 | {blob}\napi-1 | {blob}\n"),
    ] {
        assert_eq!(redacted(&text).map(|out| String::from_utf8(out).unwrap()), None, "{text}");
    }
}

#[test]
fn nothing_but_lines_of_a_key_is_held_back() {
    let patterns = shipped();
    let line = "api-1  | MHcCAQEEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4foAoGCCqGSM49\n";
    for (before, held) in [
        // The expression may match until the next line.
        ("api-1  | -----BEGIN EC PRIVATE KEY-----\n", 31),
        ("api-1  | -----BEGIN EC PRIVATE KEY-----\na", 0),
        ("api-1  | -----BEGIN EC PRIVATE KEY-----\ndb-1 | ready\n", 0),
        ("api-1  | -----BEGIN EC PRIVATE KEY-----\ndb-1 | ready\nwho? ", 0),
        ("api-1  | -----BEGIN EC PRIVATE KEY-----\napi-1  | Password: ", 0),
        ("expected -----BEGIN EC PRIVATE KEY-----.\nRetry (y/n)? ", 0),
        ("expected -----BEGIN EC PRIVATE KEY-----\nRetry (y/n)? ", 0),
        ("api-1  | -----BEGIN EC PRIVATE KEY-----\napi-1  | MHcC", 4),
        (&format!("api-1  | -----BEGIN EC PRIVATE KEY-----\n{line}"), line.len() - 9),
        (&format!("api-1  | -----BEGIN EC PRIVATE KEY-----\n{line}{line}db-1 | ready\nPassword: "), 0),
    ] {
        let mut shield = RedactingStream::new(&patterns);
        shield.push(before.as_bytes(), &mut Vec::new());
        assert_eq!(shield.held_back(), held, "{before}");
    }
}

#[test]
fn a_key_without_end_is_held_in_bounded_memory() {
    let patterns = shipped();
    let lines = key(0);
    for (name, form) in forms() {
        let line = form(7, &lines[1]);
        let mut shield = RedactingStream::new(&patterns);
        let mut out = Vec::new();
        shield.push(form(0, &lines[0]).as_bytes(), &mut out);
        for _ in 0..600 {
            shield.push(line.as_bytes(), &mut out);
            assert!(shield.held_back() <= BLOCK_BYTES_MAX + line.len(), "{name}: {}", shield.held_back());
        }
        shield.finish(&mut out);
        let out = String::from_utf8(out).unwrap();
        let hidden = 600 - out.matches(lines[1].as_str()).count();
        assert!(hidden * line.len() > BLOCK_BYTES_MAX / 3, "{name}: {hidden}");
    }
}
