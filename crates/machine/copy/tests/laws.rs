//! Laws of every format: only the value changes, a written value reads back the same, and the old one can be restored.

use keyroll_copy::{Before, CopyError, Edit, FILE_BYTES_MAX, Format, Login, Slot, Template, Userlist};
use keyroll_secret::{Fields, SecretBytes};
use proptest::prelude::*;

fn secret(bytes: impl AsRef<[u8]>) -> SecretBytes {
    SecretBytes::new(bytes.as_ref().to_vec())
}

fn variable(name: &str) -> Slot {
    Slot::Variable(name.to_owned())
}

fn read(file: &[u8], name: &str) -> Result<Option<Vec<u8>>, CopyError> {
    let value = Format::Dotenv.read(file, &variable(name))?;
    Ok(value.map(|value| value.expose().to_vec()))
}

fn swap(file: &[u8], name: &str, old: &[u8], new: &[u8]) -> Result<Vec<u8>, CopyError> {
    let (old, new) = (secret(old), secret(new));
    let edit = Edit { slot: variable(name), expect_old: &old, new: &new };
    Format::Dotenv.replace(file, &[edit]).map(|file| file.expose().to_vec())
}

/// A key such as issuers make.
fn key() -> impl Strategy<Value = Vec<u8>> {
    "[A-Za-z0-9_./:+=@,%^-]{1,80}".prop_map(String::into_bytes)
}

/// Lines that are not the assignment of `KEY`, as people write them.
fn other_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "# [ -~]{0,30}[a-z]",
        "[A-J][A-Z0-9_]{0,8}=[a-z0-9][a-z0-9 $&?#'.]{0,20}[a-z]",
        "export [A-J][A-Z0-9_]{0,8}=\"[a-z0-9 $#']{0,20}\"",
        "[A-J][A-Z0-9_]{0,8} = '[a-z0-9 $#\"]{0,20}' # [a-z ]{0,9}[a-z]",
        "[A-J]=\"[a-z]{1,5}\nKEY=[a-z]{1,5}\n[a-z]{1,5}\"",
        "[a-z]{1,9} [a-z]{1,9}",
    ]
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(other_line(), 0..6)
}

/// Text before and after the value on its line.
fn frame() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("KEY=", ""),
        ("export KEY=", ""),
        ("  KEY=", "  "),
        ("KEY = ", ""),
        ("KEY=", " # the key"),
        ("KEY='", "'"),
        ("KEY=\"", "\""),
        ("\texport\tKEY=\"", "\"\t# the key"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_the_value_changes_and_it_can_be_put_back(
        before in lines(), behind in lines(), (left, right) in frame(), old in key(), new in key(),
        crlf in any::<bool>(), last_end in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut head: String = before.iter().map(|line| format!("{line}{end}")).collect();
        head.push_str(left);
        let mut tail = right.to_owned();
        for line in &behind {
            tail.push_str(end);
            tail.push_str(line);
        }
        tail.push_str(if last_end { end } else { "" });
        let file = [head.as_bytes(), &old, tail.as_bytes()].concat();
        let replaced = swap(&file, "KEY", &old, &new).unwrap();
        let expected = [head.as_bytes(), &new, tail.as_bytes()].concat();
        prop_assert_eq!(&replaced, &expected);
        prop_assert_eq!(read(&replaced, "KEY").unwrap(), Some(new.clone()));
        prop_assert_eq!(swap(&replaced, "KEY", &old, &new).unwrap(), expected, "twice is harmless");
        prop_assert_eq!(swap(&replaced, "KEY", &new, &old).unwrap(), file);
    }

    #[test]
    fn any_value_is_read_back_or_refused(
        (left, right) in frame(), old in key(), new in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let file = [b"A=1\n", left.as_bytes(), &old, right.as_bytes(), b"\nB=2\n"].concat();
        if let Ok(replaced) = swap(&file, "KEY", &old, &new) {
            prop_assert_eq!(read(&replaced, "KEY").unwrap(), Some(new));
            prop_assert_eq!(read(&replaced, "A").unwrap(), Some(b"1".to_vec()));
            prop_assert_eq!(read(&replaced, "B").unwrap(), Some(b"2".to_vec()));
        }
    }

    #[test]
    fn a_quoted_text_is_read_back_or_refused(
        (left, right) in frame(), old in key(), new in "[ -~äß\n]{0,20}",
    ) {
        let file = [left.as_bytes(), &old, right.as_bytes(), b"\nB=2\n"].concat();
        if let Ok(replaced) = swap(&file, "KEY", &old, new.as_bytes()) {
            prop_assert_eq!(read(&replaced, "KEY").unwrap(), Some(new.into_bytes()));
            prop_assert_eq!(read(&replaced, "B").unwrap(), Some(b"2".to_vec()));
        }
    }

    #[test]
    fn what_the_alphabet_promises_every_value_keeps(
        (left, right) in frame(), old in key(),
        alphabet in prop::collection::vec(0x09u8..0x7f, 1..8), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let file = [left.as_bytes(), &old, right.as_bytes(), b"\n"].concat();
        let new: Vec<u8> = picks.iter().map(|pick| *pick.get(&alphabet)).collect();
        if Format::Dotenv.carries(&file, &variable("KEY"), &alphabet, 20).is_ok() {
            prop_assert!(swap(&file, "KEY", &old, &new).is_ok());
            prop_assert!(Format::Dotenv.carries_value(&file, &variable("KEY"), &secret(&new)).is_ok());
        }
        let whole = [&old[..], b"\n"].concat();
        if Format::Whole.carries(&whole, &Slot::Whole, &alphabet, 20).is_ok() {
            prop_assert!(Format::Whole.carries_value(&whole, &Slot::Whole, &secret(&new)).is_ok());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        file in prop::collection::vec(prop_oneof![
            3 => prop::sample::select(b"KEY='\"\\\n\r\t# $export{}%".to_vec()), 1 => any::<u8>()
        ], 0..200),
        old in prop::collection::vec(any::<u8>(), 0..8), new in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let present = read(&file, "KEY").ok().flatten().unwrap_or(old);
        if let Ok(replaced) = swap(&file, "KEY", &present, &new) {
            prop_assert_eq!(read(&replaced, "KEY").unwrap(), Some(new.clone()));
        }
        let _ = Format::Dotenv.carries(&file, &variable("KEY"), &new, new.len());
        let _ = Format::Dotenv.carries_value(&file, &variable("KEY"), &secret(&new));
        let _ = Format::Whole.carries_value(&file, &Slot::Whole, &secret(&new));
        let text = String::from_utf8_lossy(&file);
        if let Ok(template) = Template::parse(&text) {
            let mut fields = Fields::new();
            for name in template.names() {
                fields.insert(name, secret(&new), true);
            }
            let _ = template.render(&fields);
            let _ = template.extract(&secret(&file));
        }
    }

    #[test]
    fn a_whole_file_keeps_its_line_end(old in key(), new in key(), end in prop::sample::select(vec!["", "\n", "\r\n"])) {
        let file = [&old[..], end.as_bytes()].concat();
        let (old, new) = (secret(old), secret(new));
        let forth = Edit { slot: Slot::Whole, expect_old: &old, new: &new };
        let replaced = Format::Whole.replace(&file, &[forth]).unwrap();
        prop_assert_eq!(replaced.expose(), [new.expose(), end.as_bytes()].concat());
        let back = Edit { slot: Slot::Whole, expect_old: &new, new: &old };
        let restored = Format::Whole.replace(replaced.expose(), &[back]).unwrap();
        prop_assert_eq!(restored.expose(), file);
    }

    #[test]
    fn a_rendered_url_says_its_fields(
        user in prop::collection::vec(1u8..=255, 1..12), password in prop::collection::vec(1u8..=255, 1..40),
        host in "[a-z]{1,9}(\\.[a-z]{2,5})?", port in 1u16.., database in "[ -~]{1,12}",
    ) {
        let template = Template::parse("postgres://{user}:{password}@{host}:{port}/{db}?application_name={user}").unwrap();
        let mut fields = Fields::new();
        fields.insert("user", secret(&user), false);
        fields.insert("password", secret(&password), true);
        fields.insert("host", secret(&host), false);
        fields.insert("port", secret(port.to_string()), false);
        fields.insert("db", secret(&database), false);
        let text = template.render(&fields).unwrap();
        prop_assert!(template.says(&text, &fields));
        prop_assert!(text.expose().is_ascii());
        fields.insert("password", secret([&password[..], b"x"].concat()), true);
        prop_assert!(!template.says(&text, &fields));
    }
}

#[test]
fn user_password_and_url_change_in_one_replacement() {
    let file = b"# db\nPGUSER=orders_a\nPGPASSWORD=\"aaa\"\nDATABASE_URL='postgres://orders_a:aaa@db/orders?sslmode=require&x=1'\n";
    let pairs: [(&str, &[u8], &[u8]); 3] = [
        ("PGUSER", b"orders_a", b"orders_b"),
        ("PGPASSWORD", b"aaa", b"bbb"),
        (
            "DATABASE_URL",
            b"postgres://orders_a:aaa@db/orders?sslmode=require&x=1",
            b"postgres://orders_b:bbb@db/orders?sslmode=require&x=1",
        ),
    ];
    let values: Vec<_> =
        pairs.iter().map(|(name, old, new)| (variable(name), secret(old), secret(new))).collect();
    let edits: Vec<_> =
        values.iter().map(|(slot, old, new)| Edit { slot: slot.clone(), expect_old: old, new }).collect();
    let replaced = Format::Dotenv.replace(file, &edits).unwrap();
    let expected = "# db\nPGUSER=orders_b\nPGPASSWORD=\"bbb\"\nDATABASE_URL='postgres://orders_b:bbb@db/orders?sslmode=require&x=1'\n";
    assert_eq!(replaced.expose(), expected.as_bytes());
    // One drifted copy refuses all edits.
    let drifted = String::from_utf8(file.to_vec()).unwrap().replace("\"aaa\"", "\"else\"");
    assert!(matches!(Format::Dotenv.replace(drifted.as_bytes(), &edits), Err(CopyError::Drifted { .. })));
}

#[test]
fn an_unquoted_url_keeps_the_marks_that_stand_there_already() {
    let file = b"U=postgres://a:x@db/o?sslmode=require&b=1\n";
    let replaced = swap(
        file,
        "U",
        b"postgres://a:x@db/o?sslmode=require&b=1",
        b"postgres://b:y%40@db/o?sslmode=require&b=1",
    );
    assert_eq!(replaced.unwrap(), b"U=postgres://b:y%40@db/o?sslmode=require&b=1\n");
    let brought = swap(file, "U", b"postgres://a:x@db/o?sslmode=require&b=1", b"postgres://b:y@db/o?a=1&b=1");
    assert_eq!(brought.unwrap(), b"U=postgres://b:y@db/o?a=1&b=1\n");
    let brought = swap(b"U=http://a:x@db/o\n", "U", b"http://a:x@db/o", b"http://a:y@db/o?a=1&b=1");
    assert!(matches!(brought, Err(CopyError::NotCarried { .. })));
    let brought = swap(file, "U", b"postgres://a:x@db/o?sslmode=require&b=1", b"postgres://b;:y@db/o");
    assert!(matches!(brought, Err(CopyError::NotCarried { .. })));
}

#[test]
fn the_last_assignment_wins() {
    let file = b"KEY=old\nKEY='old'\nKEY=other\nKEY=old\n";
    assert_eq!(swap(file, "KEY", b"old", b"new").unwrap(), b"KEY=new\nKEY='new'\nKEY=other\nKEY=new\n");
    let drifted = swap(b"KEY=old\nKEY=other\n", "KEY", b"old", b"new");
    assert_eq!(drifted, Err(CopyError::Drifted { slot: "the variable KEY".to_owned() }));
    let half = swap(b"KEY=old\nKEY=new\n", "KEY", b"old", b"new");
    assert_eq!(half.unwrap(), b"KEY=new\nKEY=new\n", "a shadowed old value is not left behind");
}

#[test]
fn only_assignments_of_the_name_count() {
    let file = b"#KEY=old\nMYKEY=old\nKEY2=old\nA='x\nKEY=old\n'\n";
    assert_eq!(read(file, "KEY").unwrap(), None);
    assert_eq!(
        swap(file, "KEY", b"old", b"new"),
        Err(CopyError::Absent { slot: "the variable KEY".to_owned() })
    );
}

#[test]
fn spellings_that_readers_take_apart_differently_are_refused() {
    for file in [
        "KEY='a\\\\b'\n",
        "KEY=\"a\\nb\"\n",
        "KEY=\"a\\$b\"\n",
        "KEY='ab'c\n",
        "KEY='ab'#c\n",
        "A=1\\\nKEY=ab\n",
        "# note \\\nKEY=ab\n",
        "A='open\nKEY=ab\n",
        "A='it\\'s'\nKEY=ab\n",
        "KEY=\"ab\\\\\"\n",
        "KEY=a\rb\n",
        "KEY='ab\n",
    ] {
        let present = read(file.as_bytes(), "KEY");
        let refused = matches!(present, Err(CopyError::Ambiguous { .. }) | Ok(None));
        assert!(refused, "{file:?} is read as {present:?}");
    }
}

#[test]
fn quotes_change_into_each_other_but_are_never_added() {
    assert_eq!(swap(b"KEY=\"old\"\n", "KEY", b"old", b"a$b").unwrap(), b"KEY='a$b'\n");
    assert_eq!(swap(b"KEY='old'\n", "KEY", b"old", b"a'b").unwrap(), b"KEY=\"a'b\"\n");
    assert_eq!(swap(b"KEY=\"old\"\n", "KEY", b"old", b"a\"b").unwrap(), b"KEY='a\"b'\n");
    for (file, value) in [
        ("KEY=old\n", "a b"),
        ("KEY=old\n", "a#b"),
        ("KEY=old\n", "a$b"),
        ("KEY=old\n", "a`b"),
        ("KEY=old\n", "'ab'"),
        ("KEY=old\n", "~ab"),
        ("KEY=old\n", "a:~b"),
        ("KEY='old'\n", "a'$b"),
        ("KEY='old'\n", "a${b}"),
        ("KEY=\"old\"\n", "a\\"),
        ("KEY=\"old\"\n", "a'\"b"),
        ("KEY='old'\n", "a\0b"),
        ("KEY='old'\n", "a\u{1b}b"),
        ("KEY='old'\n", ""),
    ] {
        let refused = swap(file.as_bytes(), "KEY", b"old", value.as_bytes());
        assert!(
            matches!(refused, Err(CopyError::NotCarried { .. })),
            "{file:?} takes {value:?}: {refused:?}"
        );
    }
}

#[test]
fn a_value_that_could_not_be_put_back_is_refused_before_it_is_replaced() {
    let file = b"KEY=pa$word\n";
    assert_eq!(read(file, "KEY").unwrap().unwrap(), b"pa$word");
    let refused = Format::Dotenv.carries_value(file, &variable("KEY"), &secret("plain"));
    assert!(matches!(refused, Err(CopyError::NotCarried { .. })));
    assert_eq!(Format::Dotenv.carries_value(b"KEY='pa$word'\n", &variable("KEY"), &secret("plain")), Ok(()));
}

#[test]
fn the_alphabet_is_asked_before_there_is_a_value() {
    let hex = b"0123456789abcdef";
    let ask =
        |file: &[u8], alphabet: &[u8], len| Format::Dotenv.carries(file, &variable("KEY"), alphabet, len);
    assert_eq!(ask(b"KEY=old\n", hex, 64), Ok(()));
    assert!(ask(b"KEY=old\n", b"ab#", 64).is_err());
    assert_eq!(ask(b"KEY='old'\n", b"ab#$", 64), Ok(()));
    assert!(ask(b"KEY='old'\n", b"ab'$", 64).is_err());
    assert!(ask(b"KEY='old'\n", b"${", 64).is_err());
    assert!(ask(b"KEY=old\n", hex, 40 << 10).is_err());
    assert!(matches!(ask(b"KEY=old\n", hex, 2 << 20), Err(CopyError::TooLarge { .. })));
    assert!(matches!(ask(b"", hex, 64), Err(CopyError::Absent { .. })));
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let file = vec![b'x'; FILE_BYTES_MAX + 1];
    assert!(matches!(Format::Whole.read(&file, &Slot::Whole), Err(CopyError::TooLarge { .. })));
    assert!(matches!(Format::Dotenv.read(&file, &variable("K")), Err(CopyError::TooLarge { .. })));
}

#[test]
fn a_slot_fits_its_format() {
    assert!(matches!(Format::Whole.read(b"x", &variable("K")), Err(CopyError::WrongSlot { .. })));
    assert!(matches!(Format::Dotenv.read(b"x", &Slot::Whole), Err(CopyError::WrongSlot { .. })));
    let (old, new) = (secret("a"), secret("b"));
    let edit = || Edit { slot: variable("K"), expect_old: &old, new: &new };
    assert!(matches!(Format::Dotenv.replace(b"K=a", &[edit(), edit()]), Err(CopyError::WrongSlot { .. })));
}

#[test]
fn a_placeholder_is_written_as_its_position_asks() {
    let render = |template: &str, value: &str| {
        let fields = Fields::single(secret(value));
        let text = Template::parse(template).and_then(|template| template.render(&fields));
        text.map(|text| String::from_utf8(text.expose().to_vec()).unwrap())
    };
    assert_eq!(
        render("http://svc:{value}@host/v1", "a b/@:?%").unwrap(),
        "http://svc:a%20b%2F%40%3A%3F%25@host/v1"
    );
    assert_eq!(
        render("http://host/v1?key={value}&x=1", "a+b&c~").unwrap(),
        "http://host/v1?key=a%2Bb%26c%7E&x=1"
    );
    assert_eq!(render("url = \"http://h/{value}\"", "a\"b").unwrap(), "url = \"http://h/a%22b\"");
    assert_eq!(render("{{\"key\": \"{value}\"}}", "abc-1").unwrap(), "{\"key\": \"abc-1\"}");
    assert_eq!(render("X-Key: {value:raw}", "a b\"").unwrap(), "X-Key: a b\"");
    for (template, value) in [
        ("http://{value}/x", "evil.example/@"),
        ("http://h:{value}/x", "80@evil"),
        ("http://[::1]:{value}/", "x"),
        ("{{\"key\": \"{value}\"}}", "a\", \"b\": \"c"),
        ("X-Key: {value:raw}", "a\nX-Other: b"),
        ("http://u:{value}@h/", "a\0b"),
        ("http://u:{value}@h/", ""),
    ] {
        let refused = render(template, value);
        assert!(
            matches!(refused, Err(CopyError::FieldNotCarried { .. })),
            "{template} takes {value:?}: {refused:?}"
        );
    }
    assert!(matches!(render("{other}", "x"), Err(CopyError::NoField { .. })));
    for template in ["{", "}", "{a", "{a b}", "{a:b}", "{}", "{a}{b}"] {
        assert!(matches!(Template::parse(template), Err(CopyError::Template { .. })), "{template}");
    }
}

#[test]
fn another_spelling_of_a_url_says_the_same() {
    let template = Template::parse("postgres://{user}:{password}@h/d").unwrap();
    let mut fields = Fields::new();
    fields.insert("user", secret("u"), false);
    fields.insert("password", secret("a!b"), true);
    assert!(template.says(&secret("postgres://u:a!b@h/d"), &fields));
    assert!(template.says(&secret("postgres://u:a%21b@h/d"), &fields));
    assert!(!template.says(&secret("postgres://u:a%21c@h/d"), &fields));
    assert!(!template.says(&secret("postgres://u:a%21b@h/d?x"), &fields));
    assert!(!template.says(&secret("postgres://u:a%2@h/d"), &fields));
    let carried = template.carries("password", b"!#\"", 10).unwrap();
    assert!(carried.alphabet.contains(&b'%') && !carried.alphabet.contains(&b'#'));
    assert_eq!(Format::Dotenv.carries(b"U=x\n", &variable("U"), &carried.alphabet, carried.len_max), Ok(()));
}

#[test]
fn errors_hold_no_value() {
    let canary = "canary-5f0c";
    let errors = [
        swap(format!("KEY={canary}\n").as_bytes(), "KEY", b"a", b"b").unwrap_err(),
        swap(format!("KEY='{canary}\\\\'\n").as_bytes(), "KEY", b"a", b"b").unwrap_err(),
        swap(b"KEY=a\n", "KEY", b"a", format!("{canary} ").as_bytes()).unwrap_err(),
        Template::parse("http://{value}")
            .unwrap()
            .render(&Fields::single(secret(format!("{canary}/"))))
            .err()
            .unwrap(),
    ];
    for error in errors {
        let text = format!("{error} {error:?} {} {}", error.code(), error.help());
        assert!(!text.contains(canary), "{text}");
    }
}

#[test]
fn a_text_of_base64_is_rendered_and_taken_apart_as_a_whole() {
    let template = Template::parse("base64:{user:raw}:{password:raw}").unwrap();
    let mut fields = Fields::new();
    fields.insert("user", SecretBytes::from("svc".to_owned()), false);
    fields.insert("password", SecretBytes::from("p@ss:w\"rd".to_owned()), true);
    let text = template.render(&fields).unwrap();
    assert_eq!(text.expose(), b"c3ZjOnBAc3M6dyJyZA==", "as `printf 'svc:p@ss:w\"rd' | base64` has it");
    assert!(template.says(&text, &fields));
    let found = template.extract(&text).unwrap();
    assert_eq!(found["password"].expose(), b"p@ss:w\"rd");
    assert!(template.extract(&SecretBytes::from("no base64!".to_owned())).is_none());
    assert!(template.find(text.expose()).is_empty());
    let carried = template.carries("password", b"abc\"", 10).unwrap();
    assert!(carried.alphabet.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)));
    assert!(carried.len_max >= text.len());
}

proptest! {
    /// Whatever is around it: the next login is added, a rollback leaves the file as it was, and a rotation leaves
    /// every other line as it was.
    #[test]
    fn a_list_of_logins_is_the_same_after_the_way_back(
        before in prop::collection::vec(prop::sample::select(LINES.to_vec()), 0..6),
        after in prop::collection::vec(prop::sample::select(LINES.to_vec()), 0..6),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        last in prop::sample::select(vec!["", "\n"]),
        (old, new) in ("[ -~]{1,30}", "[ -~]{1,30}"),
    ) {
        let quoted = old.replace('"', "\"\"");
        let own = format!("\"app\" \"{quoted}\"");
        let lines: Vec<&str> = before.iter().copied().chain([own.as_str()]).chain(after.iter().copied()).collect();
        let file = lines.join(end) + last;
        let names = [secret("app"), secret("app_a")];
        let passwords = [secret(&old), secret(&new)];
        let login = |at: usize| Login { user: &names[at], password: &passwords[at] };
        let both = Userlist::put(file.as_bytes(), login(0), login(1), Before::Stays).unwrap();
        prop_assert!(Userlist::has(both.expose(), login(0)).unwrap() && Userlist::has(both.expose(), login(1)).unwrap());
        let back = Userlist::put(both.expose(), login(1), login(0), Before::Goes).unwrap();
        prop_assert_eq!(back.expose(), file.as_bytes());
        let forward = Userlist::put(both.expose(), login(0), login(1), Before::Goes).unwrap();
        prop_assert!(!Userlist::knows(forward.expose(), &names[0]).unwrap());
        let others = |text: &[u8]| {
            let text = String::from_utf8(text.to_vec()).unwrap();
            text.lines().filter(|line| !line.starts_with("\"app")).map(str::to_owned).collect::<Vec<_>>()
        };
        prop_assert_eq!(others(forward.expose()), others(file.as_bytes()));
    }

    #[test]
    fn no_list_of_logins_ends_the_program(file: Vec<u8>, user in "[a-z\"]{0,3}", password in "[a-z\"]{0,3}") {
        let (user, password) = (secret(&user), secret(&password));
        let login = Login { user: &user, password: &password };
        drop(Userlist::has(&file, login));
        drop(Userlist::put(&file, login, login, Before::Goes));
    }
}

const LINES: [&str; 5] =
    ["", "; a note", "\"ada\" \"md5x\"", " \"bob\"  \"SCRAM-SHA-256$1\" more", "\"c\"\"d\" \"\"\"\""];
