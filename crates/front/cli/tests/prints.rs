//! `fingerprints` and `leaks --fingerprints`: the values of one machine are found on another one, which cannot compute
//! them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;
use serde_json::Value;

use crate::kept::{err, kept, out, run, value};

/// A folder with the file of another machine that keeps this value, and that machine's folder.
fn scanner(value: &str) -> (tempfile::TempDir, tempfile::TempDir) {
    let (keeps, scans) = (kept(value), tempfile::tempdir().unwrap());
    let written = run(keeps.path(), &["fingerprints", "--out", "acme.prints"], b"");
    assert_eq!(written.status.code(), Some(0), "{}", err(&written));
    fs::copy(keeps.path().join("acme.prints"), scans.path().join("acme.prints")).unwrap();
    (keeps, scans)
}

fn events(output: &Output) -> Vec<Value> {
    out(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A second secret, with a value that somebody might guess.
fn add_guessable(folder: &Path, value: &str) {
    let path = folder.join("keyroll.toml");
    let text = fs::read_to_string(&path).unwrap();
    let second = text.lines().skip(1).collect::<Vec<_>>().join("\n").replace("acme]", "plain]");
    fs::write(
        &path,
        format!(
            "{text}\n{}\n",
            second.replace("secrets.acme", "secrets.plain").replace("job.key", "plain.key")
        ),
    )
    .unwrap();
    let added = run(folder, &["secret", "add", "plain", "--id", "key-2", "--anyway"], value.as_bytes());
    assert!(added.status.success(), "{}", err(&added));
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_another_machine_keeps_is_told_as_its_version() {
    let value = value();
    let (keeps, scans) = scanner(&value);
    let folder = scans.path();
    let coded = STANDARD.encode(format!("user:{value}:x"));
    fs::create_dir(folder.join("tree")).unwrap();
    fs::write(folder.join("tree/app.env"), format!("A=1\nKEY={value}\n")).unwrap();
    fs::write(folder.join("tree/log.txt"), format!("sent {coded} to x\n")).unwrap();
    let found = run(folder, &["leaks", "--fingerprints", "acme.prints", "tree"], b"");
    assert_eq!(found.status.code(), Some(3), "{}", err(&found));
    let shown = out(&found);
    let line = shown.lines().find(|line| line.contains("acme v1 (current)")).unwrap();
    assert!(line.contains("live") && line.contains("tree/app.env:2:5"), "{shown}");
    assert!(line.contains("tree/log.txt:1:") && line.contains("(base64)"), "{shown}");
    assert!(err(&found).contains("found 1 leaked value in 2 places"), "{}", err(&found));
    for format in ["table", "json", "jsonl", "sarif", "github"] {
        let all = ["leaks", "--fingerprints", "acme.prints", "tree", "--all", "--format", format];
        let written = run(folder, &all, b"");
        let all = out(&written) + &err(&written);
        assert!(!all.contains(&value) && !all.contains(&coded), "{format} shows a value");
    }
    let piped = format!("x\n{value}\n");
    let found = run(folder, &["leaks", "--fingerprints", "acme.prints", "--stdin"], piped.as_bytes());
    assert!(
        out(&found).contains("acme v1 (current)") && out(&found).contains("stdin:2:1"),
        "{}",
        out(&found)
    );
    // A live value is not accepted, whichever machine stores it.
    let refused =
        run(folder, &["leaks", "--fingerprints", "acme.prints", "tree", "--accept", "never mind"], b"");
    assert!(
        refused.status.code() == Some(1) && err(&refused).contains("keyroll plan acme"),
        "{}",
        err(&refused)
    );
    drop(keeps);
}

#[test]
fn only_what_is_known_is_looked_for_where_that_is_wanted() {
    let (value, token) = (value(), keyroll_testkit::github_token());
    let (keeps, scans) = scanner(&value);
    let text = format!("{value}\n{token}\n");
    let known = ["leaks", "--known", "--fingerprints", "acme.prints", "--stdin"];
    for folder in [scans.path(), keeps.path()] {
        let found = run(folder, &known, text.as_bytes());
        assert_eq!(found.status.code(), Some(3), "{}", err(&found));
        assert!(
            err(&found).contains("found 1 leaked value in 1 place;") && !out(&found).contains("github"),
            "{}",
            out(&found)
        );
        let all = run(folder, &["leaks", "--fingerprints", "acme.prints", "--stdin"], text.as_bytes());
        assert!(
            err(&all).contains("found 2 leaked values in 2 places;"),
            "what both know is told once: {}",
            err(&all)
        );
    }
}

#[test]
fn the_same_leak_has_the_same_identity_by_value_and_by_print() {
    let value = value();
    let (keeps, scans) = scanner(&value);
    let made = run(scans.path(), &["leaks", "--accept", "a test", "--stdin"], b"");
    assert!(made.status.success(), "{}", err(&made));
    fs::copy(scans.path().join(".keyroll-leaks.toml"), keeps.path().join(".keyroll-leaks.toml")).unwrap();
    let identity = |folder: &Path, arguments: &[&str]| {
        let found = run(folder, &[&["--json", "leaks", "--stdin"], arguments].concat(), value.as_bytes());
        let leaks: Vec<Value> = events(&found).into_iter().filter(|one| one["type"] == "leak").collect();
        assert_eq!(leaks.len(), 1, "{}", err(&found));
        assert_eq!((&leaks[0]["secret"], &leaks[0]["version"]), (&"acme".into(), &1.into()));
        leaks[0]["identity"].as_str().unwrap().to_owned()
    };
    let by_print = identity(scans.path(), &["--fingerprints", "acme.prints"]);
    assert_eq!(by_print, identity(keeps.path(), &[]));
}

#[test]
fn a_history_is_looked_at_by_print() {
    let value = value();
    let (_keeps, scans) = scanner(&value);
    let folder = scans.path();
    let git = |arguments: &[&str]| {
        let made = Command::new("git")
            .args(["-c", "user.name=One", "-c", "user.email=one@example.org"])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", err(&made));
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    for text in [format!("a\n\"{value}\"\n"), "a\n".to_owned()] {
        fs::write(folder.join("a.txt"), text).unwrap();
        git(&["add", "a.txt"]);
        git(&["commit", "--quiet", "--message", "one"]);
    }
    let found = run(folder, &["leaks", "--known", "--git", "--fingerprints", "acme.prints"], b"");
    assert_eq!(found.status.code(), Some(3), "{}", err(&found));
    assert!(
        out(&found).contains("acme v1 (current)") && out(&found).contains("a.txt:2:2"),
        "{}",
        out(&found)
    );
}

#[test]
fn no_form_of_a_value_stands_in_the_file_or_in_what_is_said_of_it() {
    let value = value();
    let folder = kept(&value);
    let written = run(folder.path(), &["--json", "fingerprints", "--out", "p"], b"");
    assert!(written.status.success(), "{}", err(&written));
    let file = fs::read(folder.path().join("p")).unwrap();
    assert!(file.starts_with(b"keyroll-prints 1\n"));
    let secret = value.strip_prefix("acme_sk_").unwrap();
    let mut builder = Needles::builder();
    // For hex digits also the bytes that they stand for, and any quarter of those.
    let bytes: Vec<u8> = secret
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(&String::from_utf8_lossy(two), 16).unwrap())
        .collect();
    let parts = secret.as_bytes().chunks(10).chain([value.as_bytes(), secret.as_bytes(), &bytes]);
    for (id, part) in (0..).map(NeedleId).zip(parts) {
        builder = builder.add(id, &SecretBytes::new(part.to_vec()));
    }
    let needles = builder.build().unwrap();
    for text in [&file, &written.stdout, &written.stderr] {
        let mut hits = 0;
        needles.find_all(text, &mut |_| hits += 1);
        assert_eq!(hits, 0);
    }
    // The search finds what is there.
    assert!(!needles.is_clean(&[&file, value.as_bytes()].concat()));
}

#[test]
fn a_value_that_could_be_guessed_is_named_and_left_out() {
    let value = value();
    let folder = kept(&value);
    add_guessable(folder.path(), "acme_sk_5f3a9c");
    let written = run(folder.path(), &["--json", "fingerprints", "--out", "p"], b"");
    assert_eq!(written.status.code(), Some(3), "{}", err(&written));
    let events = events(&written);
    let kinds: Vec<&str> = events.iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "not_visible", "prints", "undo"]);
    assert_eq!(events[1]["what"], "plain v1");
    assert!(events[1]["why"].as_str().unwrap().starts_with("not exported: "), "{}", events[1]["why"]);
    assert_eq!(
        (&events[2]["values"], &events[2]["left_out"], &events[2]["secrets"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert!(!out(&written).contains("5f3a9c"));
    // Named secrets are exported as far as possible; otherwise the error says that nothing can be.
    let acme = run(folder.path(), &["fingerprints", "--out", "q", "acme"], b"");
    assert_eq!(acme.status.code(), Some(0), "{}", err(&acme));
    assert!(err(&acme).contains("1 value, of 1 version of 1 secret, to q"), "{}", err(&acme));
    let none = run(folder.path(), &["fingerprints", "--out", "r", "plain"], b"");
    assert!(none.status.code() == Some(1) && err(&none).contains("K0937"), "{}", err(&none));
    assert!(!folder.path().join("r").exists());
}

#[test]
fn no_other_file_is_written_over() {
    let value = value();
    let folder = kept(&value);
    let path = folder.path().join("p");
    let print = |more: &[&str]| run(folder.path(), &[&["fingerprints", "--out", "p"], more].concat(), b"");
    assert!(print(&[]).status.success());
    assert_eq!(mode(&path), 0o600);
    let first = fs::read(&path).unwrap();
    let refused = print(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("K0937") && err(&refused).contains("--replace"), "{}", err(&refused));
    assert_eq!(fs::read(&path).unwrap(), first);
    // A user whom the owner lets read the file may also read the next version.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(print(&["--replace"]).status.success());
    assert_eq!(mode(&path), 0o640);
    assert_ne!(fs::read(&path).unwrap(), first, "it has a key of its own");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let kept = fs::read(&path).unwrap();
    assert_eq!(print(&["--replace"]).status.code(), Some(1), "everyone can read it");
    assert_eq!(fs::read(&path).unwrap(), kept);
    fs::write(&path, "mine\n").unwrap();
    let refused = print(&["--replace"]);
    assert!(
        refused.status.code() == Some(1) && err(&refused).contains("not a fingerprint file"),
        "{}",
        err(&refused)
    );
    assert_eq!(fs::read(&path).unwrap(), b"mine\n");
    // A dangling link counts as an existing file.
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert_eq!((print(&[]).status.code(), print(&["--replace"]).status.code()), (Some(1), Some(1)));
    assert!(!folder.path().join("elsewhere").exists());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[test]
fn a_file_that_was_changed_or_cut_is_refused_before_anything_is_looked_at() {
    let value = value();
    let (_keeps, scans) = scanner(&value);
    let good = fs::read_to_string(scans.path().join("acme.prints")).unwrap();
    let bad = [
        (good.replacen(" current ", " retired ", 1), "changed"),
        (good.lines().take(3).map(|line| format!("{line}\n")).collect(), "end is missing"),
        (good.get(..good.len() - 1).unwrap().to_owned(), "end is missing"),
        (good.replacen("keyroll-prints 1", "keyroll-prints 2", 1), "version 1"),
        (String::new(), "does not begin"),
        (format!("{value}\n"), "does not begin"),
    ];
    for (text, why) in bad {
        fs::write(scans.path().join("bad"), text).unwrap();
        let refused = run(scans.path(), &["leaks", "--fingerprints", "bad", "--stdin"], value.as_bytes());
        assert_eq!((refused.status.code(), out(&refused).as_str()), (Some(1), ""), "{why}");
        let said = err(&refused);
        assert!(said.contains("K0935") && said.contains(why) && said.contains("--replace"), "{said}");
        assert!(!said.contains(&value));
    }
    let none = run(scans.path(), &["leaks", "--fingerprints", "none"], b"");
    assert!(none.status.code() == Some(1) && err(&none).contains("K0935"), "{}", err(&none));
}

#[test]
fn what_is_not_kept_has_no_print() {
    let empty = tempfile::tempdir().unwrap();
    let none = run(empty.path(), &["fingerprints", "--out", "p"], b"");
    assert!(none.status.code() == Some(1) && err(&none).contains("K0937"), "{}", err(&none));
    let value = value();
    let folder = kept(&value);
    let typed = run(folder.path(), &["fingerprints", "--out", "p", "acme", &value], b"");
    let said = err(&typed);
    assert!(typed.status.code() == Some(1) && said.contains("the store has: acme"), "{said}");
    assert!(!said.contains(&value) && !folder.path().join("p").exists(), "{said}");
}
