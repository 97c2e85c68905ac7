//! Laws of the formats with slots: only the value changes, a written value reads back the same, the old one can be
//! restored, and a slot about which readers disagree is refused.

use keyroll_copy::{CopyError, Edit, Format, Part, Slot};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;

fn secret(bytes: impl AsRef<[u8]>) -> SecretBytes {
    SecretBytes::new(bytes.as_ref().to_vec())
}

fn slot(format: Format, at: &str) -> Slot {
    format.slot(at, None).unwrap()
}

fn read(format: Format, file: &[u8], at: &str) -> Result<Option<Vec<u8>>, CopyError> {
    let value = format.read(file, &slot(format, at))?;
    Ok(value.map(|value| value.expose().to_vec()))
}

fn swap(format: Format, file: &[u8], at: &str, old: &[u8], new: &[u8]) -> Result<Vec<u8>, CopyError> {
    let (old, new) = (secret(old), secret(new));
    let edit = Edit { slot: slot(format, at), expect_old: &old, new: &new };
    format.replace(file, &[edit]).map(|file| file.expose().to_vec())
}

/// A file as the text before and after the value, with its slot, and the slot of another value, which is `kept`.
#[derive(Debug, Clone, Copy)]
struct Frame {
    format: Format,
    head: &'static str,
    tail: &'static str,
    at: &'static str,
    other: &'static str,
}

const fn frame(
    format: Format,
    at: &'static str,
    other: &'static str,
    head: &'static str,
    tail: &'static str,
) -> Frame {
    Frame { format, head, tail, at, other }
}

const FRAMES: [Frame; 28] = [
    frame(Format::Json, "/a/b", "/o", "{\"a\":{\"b\":\"", "\"},\"o\":\"kept\"}"),
    frame(
        Format::Json,
        "/a/1/b",
        "/o",
        "{\n \"o\": \"kept\", // \"b\": 1,\n \"a\": [3, {\"b\" : \"",
        "\", },\n], /* } */\n}\r\n",
    ),
    frame(
        Format::Json,
        "/x~1y/[name=ci]/k",
        "/o",
        "{\"x/y\":[{\"name\":\"no\",\"k\":\"z\"},{\"k\":\"",
        "\",\"name\":\"ci\"}],\"o\":\"kept\"}",
    ),
    frame(Format::Yaml, "/a/b", "/o", "# ä\na:\n  b: ", "  # note\n  c: 1\no: kept\n"),
    frame(Format::Yaml, "/a/b", "/o", "---\no: kept\na: {c: [ 1 ], b: '", "' , d: x}\n"),
    frame(Format::Yaml, "/a/b", "/o", "o: \"kept\"\na: &x\n  ? b\n  : \"", "\"  # \"note\"\r\nz: *x\r\n"),
    frame(
        Format::Yaml,
        "/users/[name=ci]/user/token",
        "/o",
        "o: kept\nusers:\n- name: dev\n  user:\n    token: x\n- user:\n    token: ",
        "\n  name: ci\n",
    ),
    frame(
        Format::Compose,
        "/services/api/environment/KEY",
        "/o",
        "services:\n  api:\n    environment:\n      KEY: ",
        "\no: kept\n",
    ),
    frame(
        Format::Compose,
        "/services/api/environment/KEY",
        "/o",
        "o: kept\nservices:\n  api:\n    environment:\n      - A=1\n      - KEY=",
        "\n      - B=2\n",
    ),
    frame(
        Format::Compose,
        "/services/api/environment/KEY",
        "/o",
        "o: kept\nservices: {api: {environment: [\"A=1\", \"KEY=",
        "\"]}}\n",
    ),
    frame(
        Format::Compose,
        "/services/api/environment/KEY",
        "/o",
        "o: kept\nservices: {api: {environment: ['KEY=",
        "']}}\n",
    ),
    frame(Format::Toml, "/a/b", "/o", "o = 'kept'\n[a]\nb = \"", "\" # note\n"),
    frame(Format::Toml, "/a/b", "/o", "o = \"kept\"\na = { c = 1, b = '", "' }\n"),
    frame(Format::Toml, "/a/1/b", "/o", "o = \"kept\"\n[[a]]\nb = 'x'\n[[a]] # b = 1\nb='", "'\r\nc = 1\r\n"),
    frame(Format::Toml, "/a/b", "/o", "o = \"kept\"\na.b = \"", "\""),
    frame(Format::Ini, "/a/key", "/o/key", "; key = 1\n[a]\nkey = ", "\n\n[o]\nkey=kept\n"),
    frame(Format::Ini, "/a/key", "/o/key", "[o]\nkey=kept\n[a]\r\nkey:\t\"", "\"  \r\n# note\r\n"),
    frame(Format::Ini, "/key", "/o/key", "a=1\nkey='", "'\n[o]\nkey = kept\n[a]\nkey=3"),
    frame(Format::Npmrc, "//r.example/:_authToken", "o", "; note\no = kept\n//r.example/:_authToken=", "\n"),
    frame(Format::Npmrc, "//r.example/:_authToken", "o", "//r.example/:_authToken = \"", "\"\no=kept"),
    frame(
        Format::Pgpass,
        "db:5432:orders",
        "db:5432:other",
        "# db:5432:orders:a:b\ndb:5432:orders:svc:",
        "\ndb:5432:other:svc:kept\n",
    ),
    frame(Format::Pgpass, "h:1:d:u\\:v", "h:1:d:w", "h:1:d:w:kept\nh:1:d:u\\:v:", ""),
    frame(
        Format::Netrc,
        "a.example",
        "b.example",
        "machine a.example login svc password ",
        "\nmachine b.example login x password kept\n",
    ),
    frame(
        Format::Netrc,
        "a.example",
        "b.example",
        "# machine a.example\nmachine b.example login x\n  password kept\nmachine a.example\n\tpassword ",
        "\n\tlogin y\ndefault login z password w\n",
    ),
    frame(
        Format::GitCredentials,
        "https://a.example",
        "https://b.example",
        "https://svc:",
        "@a.example\nhttps://x:kept@b.example\n",
    ),
    frame(
        Format::GitCredentials,
        "https://svc@a.example/p.git",
        "https://b.example",
        "https://x:kept@b.example\nhttps://svc:",
        "@a.example/p.git\n",
    ),
    frame(
        Format::GitCredentials,
        "http://127.0.0.1:8080",
        "https://b.example",
        "https://x:kept@b.example\nhttp://svc:",
        "@127.0.0.1:8080",
    ),
    frame(Format::Json, "/k", "/o", "{\"o\":\"kept\",\"k\":\"", "\"}"),
];

fn frames() -> impl Strategy<Value = Frame> {
    prop::sample::select(FRAMES.to_vec())
}

/// A key as issuers make it; no format has to quote or encode it.
fn key() -> impl Strategy<Value = Vec<u8>> {
    "sk[A-Za-z0-9_.-]{1,80}".prop_map(String::into_bytes)
}

/// Texts with the marks of every format.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~äß\u{2028}\n\t\u{1}]{0,20}",
        "[$%#;:'\"\\\\{}~a1 =@\n-]{1,8}",
        prop::sample::select(vec![
            "true",
            "null",
            "1e5",
            "0x1f",
            "2001-01-01",
            "~",
            "1:30",
            "yes",
            "- x",
            "a: b"
        ])
        .prop_map(str::to_owned),
    ]
}

fn file(frame: &Frame, value: &[u8]) -> Vec<u8> {
    [frame.head.as_bytes(), value, frame.tail.as_bytes()].concat()
}

#[test]
fn every_frame_is_read() {
    for frame in FRAMES {
        let seen = read(frame.format, &file(&frame, b"sk-old-1"), frame.at);
        assert_eq!(seen, Ok(Some(b"sk-old-1".to_vec())), "{frame:?}");
        assert_eq!(
            read(frame.format, &file(&frame, b"sk-old-1"), frame.other),
            Ok(Some(b"kept".to_vec())),
            "{frame:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_the_value_changes_and_it_can_be_put_back(frame in frames(), old in key(), new in key()) {
        let before = file(&frame, &old);
        let replaced = swap(frame.format, &before, frame.at, &old, &new).unwrap();
        prop_assert_eq!(&replaced, &file(&frame, &new));
        prop_assert_eq!(swap(frame.format, &replaced, frame.at, &old, &new).unwrap(), replaced.clone(), "twice is harmless");
        prop_assert_eq!(swap(frame.format, &replaced, frame.at, &new, &old).unwrap(), before);
        let drifted = swap(frame.format, &replaced, frame.at, &old, b"other");
        let refused = matches!(drifted, Err(CopyError::Drifted { .. }));
        prop_assert!(new == old || refused);
    }

    #[test]
    fn any_text_is_read_back_or_refused(frame in frames(), old in key(), new in text()) {
        let before = file(&frame, &old);
        let carried = frame.format.carries_value(&before, &slot(frame.format, frame.at), &secret(&new));
        if let Ok(replaced) = swap(frame.format, &before, frame.at, &old, new.as_bytes()) {
            prop_assert_eq!(read(frame.format, &replaced, frame.at).unwrap(), Some(new.clone().into_bytes()));
            prop_assert_eq!(read(frame.format, &replaced, frame.other).unwrap(), Some(b"kept".to_vec()));
            let back = swap(frame.format, &replaced, frame.at, new.as_bytes(), &old).unwrap();
            prop_assert_eq!(read(frame.format, &back, frame.at).unwrap(), Some(old));
            prop_assert_eq!(carried, Ok(()));
        } else {
            prop_assert!(carried.is_err());
        }
    }

    #[test]
    fn what_the_alphabet_promises_every_value_keeps(
        frame in frames(), old in key(), alphabet in prop::collection::vec(any::<u8>(), 1..8),
        ascii in any::<bool>(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let alphabet: Vec<u8> = alphabet.into_iter().map(|byte| if ascii { byte & 0x7f } else { byte }).collect();
        let before = file(&frame, &old);
        let place = slot(frame.format, frame.at);
        let new: Vec<u8> = picks.iter().map(|pick| *pick.get(&alphabet)).collect();
        if frame.format.carries(&before, &place, &alphabet, 20).is_ok() {
            prop_assert_eq!(frame.format.carries_value(&before, &place, &secret(&new)), Ok(()));
        }
    }

    #[test]
    fn pieces_in_any_order_never_panic_and_keep_the_law(
        format in prop::sample::select(FRAMES.map(|frame| frame.format).to_vec()),
        pieces in prop::collection::vec(prop::sample::select(vec![
            "k", "o", ": ", "=", "\"", "'", "\n", "  ", "- ", "{", "}", "[", "]", ",", "#", ";", "//", "/*", "*/", "\\", "old", "kept",
            "&a ", "*a", "|\n", "!t ", "%", "$", "~", "machine k ", "password ", "login ", "a:1:b:c:", "https://", "@k", ":", "\r\n", "\t",
            "k: old\n", "k = \"old\"\n", "\"k\": \"old\"", "[s]\n", "é", "\u{feff}", "---\n", "? ", "<<: ", "'''", "\"\"\"",
        ]), 0..24),
        new in text(),
    ) {
        let file = pieces.concat();
        let at = match format {
            Format::Pgpass => "a:1:b",
            Format::GitCredentials => "https://k",
            Format::Netrc | Format::Npmrc => "k",
            _ => "/k",
        };
        let place = slot(format, at);
        let Ok(Some(old)) = format.read(file.as_bytes(), &place) else { return Ok(()) };
        let new = secret(new);
        let edit = Edit { slot: place.clone(), expect_old: &old, new: &new };
        if let Ok(replaced) = format.replace(file.as_bytes(), &[edit]) {
            let seen = format.read(replaced.expose(), &place);
            prop_assert!(seen.is_ok_and(|seen| seen.is_some_and(|seen| seen == new)), "{file:?}");
        }
    }
}

#[test]
fn what_readers_disagree_on_is_refused() {
    for (format, at, file) in [
        (Format::Json, "/k", "{\"k\": \"old\", \"k\": \"old\"}"),
        (Format::Json, "/k", "{\"k\": 3}"),
        (Format::Json, "/k", "{\"k\": null}"),
        (Format::Json, "/k", "{\"k\": {\"old\": 1}}"),
        (Format::Json, "/k", "{\"k\": \"\\ud800\"}"),
        (Format::Yaml, "/k", "k: old\nk: old\n"),
        (Format::Yaml, "/k", "k: 123\n"),
        (Format::Yaml, "/k", "k: 0x1f\n"),
        (Format::Yaml, "/k", "k: 12e4\n"),
        (Format::Yaml, "/k", "k: 2001-12-14\n"),
        (Format::Yaml, "/k", "k: 1:30\n"),
        (Format::Yaml, "/k", "k: Yes\n"),
        (Format::Yaml, "/k", "k:\n"),
        (Format::Yaml, "/k", "k: |\n  old\n"),
        (Format::Yaml, "/k", "k: >-\n  old\n"),
        (Format::Yaml, "/k", "k: old\n  more\n"),
        (Format::Yaml, "/k", "k: 'old\n  more'\n"),
        (Format::Yaml, "/k", "a: &x old\nk: *x\n"),
        (Format::Yaml, "/k", "k: &x old\n"),
        (Format::Yaml, "/k", "k: !vault old\n"),
        (Format::Yaml, "/k", "k: old\n---\nk: old\n"),
        (Format::Yaml, "/a/k", "b: &x {k: old}\na: *x\n"),
        (Format::Compose, "/k", "k: a$b\n"),
        (Format::Compose, "/k", "k: ${KEY}\n"),
        (Format::Compose, "/e/K", "e: [K=a, K=b]\n"),
        (Format::Toml, "/k", "k = 3\n"),
        (Format::Toml, "/k", "k = \"\"\"a\nb\"\"\"\n"),
        (Format::Ini, "/s/k", "[s]\nk = a\nk = b\n"),
        (Format::Ini, "/s/k", "[s]\nk = a\n[t]\n[s]\nj = b\n"),
        (Format::Ini, "/s/k", "[s]\nK = a\n"),
        (Format::Ini, "/s/k", "[s]\nk = a ; note\n"),
        (Format::Ini, "/s/k", "[s]\nk = a\n  b\n"),
        (Format::Ini, "/s/k", "[s]\nj = a\n  k = b\n"),
        (Format::Ini, "/s/k", "[s]\nk = \"a\\\"b\"\n"),
        (Format::Pgpass, "h:1:d", "h:1:d:u:a\nh:1:d:v:b\n"),
        (Format::Pgpass, "h:1:d:u", "*:*:d:u:a\nh:1:d:u:b\n"),
        (Format::Pgpass, "h:1:d:u", "h:1:d:u:a:b\n"),
        (Format::Netrc, "m", "machine m login a password b\nmachine m login c password d\n"),
        (Format::Netrc, "m", "machine m login a password \"b c\"\n"),
        (Format::Netrc, "m", "machine m login a password #b\n"),
        (Format::GitCredentials, "https://h", "https://a:b@h\nhttps://c:d@h\n"),
        (Format::GitCredentials, "https://h", "https://a:b%2@h\n"),
    ] {
        let seen = read(format, file.as_bytes(), at);
        assert!(matches!(seen, Err(CopyError::Ambiguous { .. })), "{format:?} {file:?}: {seen:?}");
    }
}

#[test]
fn a_file_of_another_format_is_named_by_its_line() {
    for (format, file) in [
        (Format::Json, "{\n\"k\": 'old'}"),
        (Format::Json, "{\n\"k\" \"old\"}"),
        (Format::Yaml, "a: b\nk: \"old\n"),
        (Format::Yaml, "a: b\n\tk: old\n"),
        (Format::Toml, "a = 1\nk = old\n"),
        (Format::Toml, "k = 'old'\nk = 'old'\n"),
        (Format::Json, "\u{feff}{\"k\": \"old\"}"),
    ] {
        let seen = read(format, file.as_bytes(), "/k");
        assert!(matches!(seen, Err(CopyError::Malformed { .. })), "{format:?} {file:?}: {seen:?}");
    }
    let wrong = Format::Json.read(b"{\"k\": \"\xff\"}", &slot(Format::Json, "/k"));
    assert!(matches!(wrong, Err(CopyError::Malformed { line: 1, .. })));
}

#[test]
fn a_style_is_kept_where_it_can_be_and_quotes_are_added_where_they_must_be() {
    for (format, before, new, after) in [
        (Format::Yaml, "k: old\n", "a#b", "k: \"a#b\"\n"),
        (Format::Yaml, "k: old\n", "a #b", "k: \"a #b\"\n"),
        (Format::Yaml, "k: old\n", "true", "k: \"true\"\n"),
        (Format::Yaml, "k: old\n", "12345", "k: \"12345\"\n"),
        (Format::Yaml, "k: 'old'\n", "it's", "k: 'it''s'\n"),
        (Format::Yaml, "k: 'old'\n", "a\nb", "k: \"a\\nb\"\n"),
        (Format::Yaml, "k: \"old\"\n", "a\\b", "k: \"a\\\\b\"\n"),
        (Format::Compose, "k: old\n", "a$b", "k: \"a$$b\"\n"),
        (Format::Toml, "k = 'old'\n", "it's", "k = \"it's\"\n"),
        (Format::Toml, "k = '''old'''\n", "new", "k = 'new'\n"),
        (Format::Json, "{\"k\":\"old\"}", "a\"\u{1}b", "{\"k\":\"a\\\"\\u0001b\"}"),
    ] {
        let after_all = swap(format, before.as_bytes(), "/k", b"old", new.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(after_all).unwrap(), after);
    }
}

#[test]
fn user_and_password_change_in_one_replacement() {
    for (format, name, file, after) in [
        (
            Format::Pgpass,
            "db:5432:orders",
            "x:1:y:z:w\ndb:5432:orders:svc_a:old\\:1\n",
            "x:1:y:z:w\ndb:5432:orders:svc_b:n\\:e-w\n",
        ),
        (
            Format::Netrc,
            "m",
            "machine m\n login svc_a\n password old:1\n",
            "machine m\n login svc_b\n password n:e-w\n",
        ),
        (Format::GitCredentials, "https://h", "https://svc_a:old%3a1@h\n", "https://svc_b:n%3Ae-w@h\n"),
    ] {
        let [user, password] =
            [Part::User, Part::Password].map(|part| format.slot(name, Some(part)).unwrap());
        let values = ["svc_a", "svc_b", "old:1", "n:e-w"].map(secret);
        let edits = [
            Edit { slot: user, expect_old: &values[0], new: &values[1] },
            Edit { slot: password, expect_old: &values[2], new: &values[3] },
        ];
        let replaced = format.replace(file.as_bytes(), &edits).unwrap();
        assert_eq!(replaced.expose(), after.as_bytes());
        let again = format.replace(replaced.expose(), &edits).unwrap();
        assert_eq!(again.expose(), after.as_bytes(), "twice is harmless");
    }
}

/// Two consumers may name one slot in two ways: it is changed once, and never to two different values.
#[test]
fn one_place_under_two_names_is_changed_once() {
    let two = [
        (
            Format::Compose,
            "/services/web/environment/0",
            "/services/web/environment/KEY",
            "services:\n  web:\n    environment:\n      - KEY=old\n",
            "services:\n  web:\n    environment:\n      - KEY=new\n",
        ),
        (
            Format::Json,
            "/a/0/k",
            "/a/[name=ci]/k",
            "{\"a\":[{\"name\":\"ci\",\"k\":\"old\"}]}",
            "{\"a\":[{\"name\":\"ci\",\"k\":\"new\"}]}",
        ),
        (Format::Pgpass, "h:1:d", "h:1:d:u", "h:1:d:u:old\n", "h:1:d:u:new\n"),
        (Format::GitCredentials, "https://h", "https://u@h", "https://u:old@h\n", "https://u:new@h\n"),
    ];
    let [old, new, other] = ["old", "new", "other"].map(secret);
    for (format, one, two, before, after) in two {
        let edits = |second| {
            [
                Edit { slot: slot(format, one), expect_old: &old, new: &new },
                Edit { slot: slot(format, two), expect_old: &old, new: second },
            ]
        };
        let replaced = format.replace(before.as_bytes(), &edits(&new)).unwrap();
        assert_eq!(String::from_utf8_lossy(replaced.expose()), after);
        assert!(format.replace(before.as_bytes(), &edits(&other)).is_err(), "{format:?}");
    }
}

/// Deep nesting that is closed again is no error of the parser.
#[test]
fn a_file_that_is_deep_and_whole_costs_no_stack() {
    for (format, open, close) in [
        (Format::Json, "[", "]"),
        (Format::Json, "{\"a\":", "}"),
        (Format::Yaml, "[", "]"),
        (Format::Yaml, "{a: ", "}"),
        (Format::Toml, "[", "]"),
    ] {
        let head = if format == Format::Toml { "a = " } else { "" };
        let file = format!("{head}{}\"v\"{}\n", open.repeat(100_000), close.repeat(100_000));
        let seen = read(format, file.as_bytes(), &"/a/0".repeat(100));
        assert!(!matches!(seen, Ok(Some(_))), "{format:?} {open}");
    }
    let file = format!("{}\"v\"{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(read(Format::Json, file.as_bytes(), &"/0".repeat(100)), Ok(Some(b"v".to_vec())));
}

#[test]
fn depth_and_size_cost_no_stack() {
    for format in [Format::Json, Format::Yaml, Format::Compose, Format::Toml] {
        for piece in ["[", "{\"a\":", "a: ", "- ", "a.", "[[a]]\n", "{a: "] {
            let file = piece.repeat(100_000);
            let _ = format.read(file.as_bytes(), &slot(format, "/a/a"));
        }
    }
}

#[test]
fn a_place_that_no_file_has_is_refused() {
    for (format, at) in
        [(Format::Json, "a"), (Format::Json, "/a~2"), (Format::Yaml, ""), (Format::Whole, "/a")]
    {
        assert!(matches!(format.slot(at, None), Err(CopyError::Pointer { .. })), "{at}");
    }
    assert!(matches!(Format::Json.slot("/a", Some(Part::User)), Err(CopyError::Pointer { .. })));
    for (format, at) in [(Format::Pgpass, "host"), (Format::GitCredentials, "host")] {
        assert!(matches!(read(format, b"", at), Err(CopyError::Pointer { .. })));
    }
    assert_eq!(read(Format::Json, b"{\"a\": [{}]}", "/a/0/k"), Ok(None));
    assert_eq!(read(Format::Json, b"{\"a\": []}", "/a/00"), Ok(None));
}

#[test]
fn errors_hold_no_value() {
    let canary = "canary5f0c";
    for format in [Format::Json, Format::Yaml, Format::Compose, Format::Toml, Format::Ini] {
        for file in [
            format!("{{\"k\": {canary}"),
            format!("k: &{canary} x"),
            format!("k = {canary} ; x\n[{canary}"),
            format!("k: \"{canary}\\q\""),
            format!("k: !{canary} {canary}\nk: {canary}"),
        ] {
            if let Err(error) = read(format, file.as_bytes(), "/k") {
                let text = format!("{error} {error:?} {} {}", error.code(), error.help());
                assert!(!text.contains(canary), "{text}");
            }
        }
    }
}
