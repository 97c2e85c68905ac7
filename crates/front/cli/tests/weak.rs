//! Values that can be guessed: they are added with a warning, `doctor` names them, and `redact` leaves longer words as
//! they are. What only stands for a value is refused.

use std::fs;
use std::path::Path;

use crate::kept::{err, kept, out, run, value};

/// Configures another secret, whose value is in its only copy.
fn configured(folder: &Path, name: &str, value: &str) {
    let config = folder.join("keyroll.toml");
    let text = fs::read_to_string(&config).unwrap();
    let more = text.split_once("[secrets.acme]").unwrap().1;
    let more = more.replace("secrets.acme", &format!("secrets.{name}")).replace("job", name);
    fs::write(&config, format!("{text}[secrets.{name}]{more}")).unwrap();
    fs::write(folder.join(format!("{name}.key")), value).unwrap();
}

/// Weak values, what each is, and what `redact` does with it.
const WEAK: [(&str, &str, &str); 6] = [
    ("improve", "like an ordinary word", "cannot redact it: it is too short"),
    ("optimize", "like an ordinary word", "only where it stands as a whole word"),
    ("20240131", "a number or a date", "wherever its bytes are"),
    ("summer2024", "like words and numbers", "wherever its bytes are"),
    ("P@ssw0rd!", "a well-known password", "wherever its bytes are"),
    ("calls2024", "the name of the secret", "wherever its bytes are"),
];

#[test]
fn a_weak_value_is_added_and_imported_with_a_warning_and_a_random_one_without() {
    for (weak, why, effect) in WEAK {
        for words in [&["secret", "add", "calls", "--id", "calls"][..], &["secret", "import", "calls"]] {
            let folder = kept(&value());
            configured(folder.path(), "calls", weak);
            let added = run(folder.path(), &[words, &["--anyway"]].concat(), weak.as_bytes());
            let said = err(&added);
            assert!(added.status.success(), "{said}");
            assert!(
                said.contains("warning: ") && said.contains(why) && said.contains(effect),
                "{weak}: {said}"
            );
            let next =
                if weak.len() < 8 { "keyroll secret add calls --replace" } else { "keyroll plan calls" };
            assert!(said.contains(next), "{said}");
            assert!(!said.contains(weak) && !out(&added).contains(weak), "{said}");
        }
    }
    for words in [&["secret", "add", "calls", "--id", "calls"][..], &["secret", "import", "calls"]] {
        let folder = kept(&value());
        let random = value();
        configured(folder.path(), "calls", &random);
        let added = run(folder.path(), words, random.as_bytes());
        assert!(added.status.success() && !err(&added).contains("warning: "), "{}", err(&added));
    }
}

#[test]
fn what_stands_for_a_value_is_refused() {
    let folder = kept(&value());
    configured(folder.path(), "calls", "");
    for placeholder in ["${CALLS_KEY}", "<your key>", "********", "[redacted:calls]"] {
        let refused =
            run(folder.path(), &["secret", "add", "calls", "--id", "calls"], placeholder.as_bytes());
        let said = err(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("K0806") && said.contains("a placeholder, not a value"), "{said}");
    }
}

/// A text of a project whose password is an ordinary word.
fn text(word: &str) -> String {
    format!(
        "What {word}d: the {word} step.\nprofiles.{word}.default\nhelp-{word}.md\nre{word}\npassword={word}\n"
    )
}

#[test]
fn a_word_is_redacted_as_a_whole_word_and_the_secret_is_named() {
    let strong = value();
    let folder = kept(&strong);
    configured(folder.path(), "calls", "optimize");
    let added = run(folder.path(), &["secret", "add", "calls", "--id", "calls", "--anyway"], b"optimize");
    assert!(added.status.success(), "{}", err(&added));
    let given = format!("{}x{strong}y\n", text("optimize"));
    let redacted = run(folder.path(), &["redact"], given.as_bytes());
    let expected = "What optimized: the [redacted:calls] step.\nprofiles.[redacted:calls].default\n\
                    help-[redacted:calls].md\nreoptimize\npassword=[redacted:calls]\nx[redacted:acme]y\n";
    assert_eq!(out(&redacted), expected);
    let said = err(&redacted);
    assert!(said.contains("1 value of calls will be redacted only as a whole word"), "{said}");
    assert!(!said.contains("of acme will"), "{said}");
    // Nor is a text a leak that has the word in longer ones alone.
    for (text, leaks) in
        [("We optimized it, to reoptimize.\n", false), ("We optimized: an optimize step.\n", true)]
    {
        fs::write(folder.path().join("notes.md"), text).unwrap();
        let searched = run(folder.path(), &["leaks", "--known", "notes.md"], b"");
        assert_eq!(out(&searched).contains("calls"), leaks, "{text}{}{}", out(&searched), err(&searched));
        assert_eq!(searched.status.success(), !leaks, "{text}");
    }
    let doctor = run(folder.path(), &["doctor"], b"");
    let shown = out(&doctor) + &err(&doctor);
    for part in ["calls: value", "is weak: like an ordinary word", "only where it stands as a whole word"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains("keyroll plan calls") && !shown.contains("acme: value"), "{shown}");
}

#[test]
fn a_word_that_is_too_short_is_left_in_the_text_and_that_is_said() {
    let folder = kept(&value());
    configured(folder.path(), "calls", "improve");
    let added = run(folder.path(), &["secret", "add", "calls", "--id", "calls", "--anyway"], b"improve");
    assert!(added.status.success(), "{}", err(&added));
    let given = text("improve");
    let redacted = run(folder.path(), &["redact"], given.as_bytes());
    assert_eq!(out(&redacted), given);
    assert!(err(&redacted).contains("1 value of calls cannot be redacted"), "{}", err(&redacted));
    let doctor = run(folder.path(), &["doctor"], b"");
    let shown = out(&doctor) + &err(&doctor);
    assert!(shown.contains("cannot redact it: it is too short"), "{shown}");
}
