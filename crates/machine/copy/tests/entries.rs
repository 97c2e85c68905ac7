//! The listed values of a file are what its slots read, in every format and for any file.

use keyroll_copy::{Format, Part, Slot};
use proptest::prelude::*;

/// Pieces of files, good ones and broken ones.
fn pieces(format: Format) -> &'static [&'static str] {
    match format {
        Format::Dotenv => &[
            "A=one\n",
            "export B='two'\n",
            "A=\"three\" # c\n",
            "C=\"a\\b\"\n",
            "D='open\n",
            "x y\n",
            "E=$A\\\n",
        ],
        Format::Whole => &["value", "\n", "\r\n", "two"],
        Format::Json => {
            &["{\"a\":", "\"v\"", ",\"b/~\":", "{", "}", "[", "]", ",", "1", "\"a\":\"w\"", " //c\n"]
        }
        Format::Yaml | Format::Compose => &[
            "a: one\n",
            "b:\n",
            "  - A=two\n",
            "  - 7=x\n",
            "  - plain\n",
            "  c: 'x$$y'\n",
            "a: 12\n",
            "  d: \"q\"\n",
            "  e: |\n    block\n",
            "  f: &x y\n",
            "  g: *x\n",
        ],
        Format::Toml => &[
            "a = 'one'\n",
            "[t]\n",
            "b = \"two\"\n",
            "c = [\"x\", 1, {d = 'y'}]\n",
            "[[l]]\n",
            "\"a/b\" = 'z'\n",
        ],
        Format::Ini | Format::Npmrc => &[
            "[one]\n",
            "[two]\n",
            "a = x\n",
            "A: y\n",
            "b-c=\"q\"\n",
            "b_c='r'\n",
            " more\n",
            "# c\n",
            "\n",
            "//h/:_authToken=t\n",
            "d = e ; f\n",
        ],
        Format::Pgpass => {
            &["h:1:d:u:p\n", "*:*:*:u:q\n", "h:1:d:w:a\\:b\n", "h:1:d:x:a:b\n", "#c\n", "short:1\n"]
        }
        Format::Netrc => &[
            "machine a ",
            "login u ",
            "password p\n",
            "machine b\n",
            "default ",
            "account x ",
            "#c\n",
            "password \"q\"\n",
            "macdef m\nx\n\n",
            "odd ",
        ],
        Format::GitCredentials => &[
            "https://u:p@h\n",
            "https://u:p%40@h/x\n",
            "http://u:%zz@h\n",
            "https://u@h\n",
            "https://%75:q@h\n",
            "\n",
        ],
    }
}

const FORMATS: [Format; 11] = [
    Format::Dotenv,
    Format::Whole,
    Format::Json,
    Format::Yaml,
    Format::Compose,
    Format::Toml,
    Format::Ini,
    Format::Npmrc,
    Format::Pgpass,
    Format::Netrc,
    Format::GitCredentials,
];

fn files() -> impl Strategy<Value = (Format, String)> {
    prop::sample::select(FORMATS.to_vec()).prop_flat_map(|format| {
        let pieces = prop::collection::vec(prop::sample::select(pieces(format)), 0..9);
        (Just(format), pieces.prop_map(|pieces| pieces.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_read_by_its_slot((format, file) in files()) {
        let Ok(entries) = format.entries(file.as_bytes()) else { return Ok(()) };
        for (index, entry) in entries.iter().enumerate() {
            if entries.iter().skip(index + 1).any(|later| later.slot == entry.slot) && format == Format::Dotenv {
                continue;
            }
            let read = format.read(file.as_bytes(), &entry.slot);
            let read = read.ok().flatten();
            let same = read.as_ref() == entry.value.as_ref().ok();
            prop_assert!(same, "{:?} {}: {:?}", format, entry.slot, entry.value.as_ref().err());
        }
    }
}

fn listed(format: Format, file: &str) -> Vec<(String, String)> {
    let entries = format.entries(file.as_bytes()).unwrap();
    let text = |entry: keyroll_copy::Entry| {
        let value = entry.value.map(|value| String::from_utf8(value.expose().to_vec()).unwrap());
        let at = match entry.slot {
            Slot::Whole => String::new(),
            Slot::Variable(name) | Slot::Entry { name, part: Part::Password } => name,
            Slot::Entry { name, part: Part::User } => format!("{name} user"),
            Slot::At(pointer) => pointer.steps().join(" › "),
        };
        (at, value.unwrap_or_else(|why| format!("? {why}")))
    };
    entries.into_iter().map(text).collect()
}

#[test]
fn every_value_of_a_file_is_listed_with_its_place() {
    let all = |format, file, wanted: &[(&str, &str)]| {
        let wanted: Vec<(String, String)> =
            wanted.iter().map(|(at, value)| ((*at).to_owned(), (*value).to_owned())).collect();
        assert_eq!(listed(format, file), wanted);
    };
    all(Format::Dotenv, "A=1\n# A=2\nexport B='x y'\nA=3\n", &[("A", "1"), ("B", "x y"), ("A", "3")]);
    all(
        Format::Json,
        "{\"mcpServers\":{\"git/hub\":{\"env\":{\"TOKEN\":\"a\\nb\"},\"args\":[\"x\"]}}}",
        &[("mcpServers › git/hub › env › TOKEN", "a\nb"), ("mcpServers › git/hub › args › 0", "x")],
    );
    all(
        Format::Compose,
        "services:\n  api:\n    environment:\n      - KEY=p$$q\n      - OTHER\n",
        &[("services › api › environment › KEY", "p$q"), ("services › api › environment › 1", "OTHER")],
    );
    all(Format::Toml, "[a]\nb = ['x', {c = \"y\"}]\n", &[("a › b › 0", "x"), ("a › b › 1 › c", "y")]);
    all(Format::Ini, "top = a\n[one]\nb: 'c'\n", &[("top", "a"), ("one › b", "c")]);
    all(Format::Npmrc, "//r.org/:_authToken=t\n", &[("//r.org/:_authToken", "t")]);
    all(Format::Pgpass, "# c\nh:5432:d:u:a\\:b\n", &[("h:5432:d:u", "a:b")]);
    all(Format::Netrc, "machine h\n login u\n password p\n", &[("h user", "u"), ("h", "p")]);
    all(
        Format::GitCredentials,
        "https://u:p%40q@h/x\n",
        &[("https://u@h/x user", "u"), ("https://u@h/x", "p@q")],
    );
    all(Format::Whole, "value\n", &[("", "value")]);
}

#[test]
fn a_hostile_file_costs_no_more_than_its_limit() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"{}\":[{}1]}}", "n".repeat(100_000), "1,".repeat(100_000));
    let patterns: String = (0..20_000).map(|number| format!("*:{number}:d:u:p\n")).collect();
    let numbers = format!("[{}1]", "1,".repeat(400_000));
    assert!(Format::Yaml.entries(deep.as_bytes()).is_err());
    assert!(Format::Json.entries(long.as_bytes()).is_err());
    assert_eq!(Format::Pgpass.entries(patterns.as_bytes()).unwrap().len(), 20_000);
    assert_eq!(Format::Json.entries(numbers.as_bytes()).unwrap().len(), 400_001);
}
