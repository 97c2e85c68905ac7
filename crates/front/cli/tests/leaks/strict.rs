//! `--strict`: what was not scanned is an error of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use keyroll_testkit::github_token;

use super::git;
use crate::kept::{err, out, run};

/// In a format that is not opened.
const CLOSED: &[u8] = b"7z\xbc\xaf\x27\x1c and nothing else\n";

/// A folder with one file that is scanned.
fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "nothing\n").unwrap();
    folder
}

/// The exit code without `--strict`, and with it.
fn codes(folder: &Path) -> [Option<i32>; 2] {
    [&["leaks", "."][..], &["leaks", "--strict", "."]].map(|words| run(folder, words, b"").status.code())
}

#[test]
fn what_could_not_be_scanned_is_an_error_unless_a_leak_was_found() {
    for (name, bytes) in [
        ("closed.7z", CLOSED),
        ("report.pdf", b"%PDF-1.7\nnothing\n"),
        ("cut.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03cut"),
    ] {
        let folder = tree();
        let path = folder.path();
        assert_eq!(codes(path), [Some(0), Some(0)], "everything was scanned");
        fs::write(path.join(name), bytes).unwrap();
        assert_eq!(codes(path), [Some(0), Some(8)], "{name}");
        let ended = run(path, &["leaks", "--strict", "."], b"");
        for said in [name, "1 location was not scanned", ".keyrollignore"] {
            assert!(err(&ended).contains(said), "{said}: {}", err(&ended));
        }
        let told = run(path, &["--json", "leaks", "--strict", "."], b"");
        assert!(out(&told).contains(r#""exit":8"#), "{}", out(&told));
        // What is left out on purpose was not asked for.
        fs::write(path.join(".keyrollignore"), format!("{name}\n")).unwrap();
        symlink("a.txt", path.join("link")).unwrap();
        assert_eq!(codes(path), [Some(0), Some(0)], "{name} is ignored");
        fs::remove_file(path.join(".keyrollignore")).unwrap();
        fs::write(path.join("b.txt"), github_token()).unwrap();
        assert_eq!(codes(path), [Some(3), Some(3)], "a leak comes first");
    }
}

#[test]
fn a_staged_file_that_the_repository_names_does_not_stop_a_commit() {
    let folder = tree();
    let path = folder.path();
    git(path, &["init", "--quiet"]);
    fs::write(path.join("report.pdf"), b"%PDF-1.7\nnothing\n").unwrap();
    git(path, &["add", "."]);
    let staged = || run(path, &["leaks", "--strict", "--staged"], b"");
    assert_eq!(staged().status.code(), Some(8));
    fs::write(path.join(".keyrollignore"), "*.pdf\n").unwrap();
    let ended = staged();
    assert_eq!(ended.status.code(), Some(0), "{}", err(&ended));
    assert!(err(&ended).contains("report.pdf"), "it is named all the same: {}", err(&ended));
}

#[test]
fn nothing_is_accepted_where_something_was_not_scanned() {
    let folder = tree();
    let path = folder.path();
    fs::write(path.join("b.txt"), github_token()).unwrap();
    fs::write(path.join("closed.7z"), CLOSED).unwrap();
    let ended = run(path, &["leaks", "--strict", "--accept", "of the test", "."], b"");
    assert_eq!(ended.status.code(), Some(8), "{}", err(&ended));
    assert!(!path.join(".keyroll-leaks.toml").exists());
    let ended = run(path, &["leaks", "--accept", "of the test", "."], b"");
    assert_eq!(ended.status.code(), Some(0), "{}", err(&ended));
}

#[test]
fn a_line_says_if_most_was_not_scanned() {
    let folder = tree();
    let path = folder.path();
    let said = || {
        let ended = run(path, &["leaks", "."], b"");
        assert_eq!(ended.status.code(), Some(0), "{}", err(&ended));
        err(&ended)
    };
    fs::write(path.join("0.7z"), CLOSED).unwrap();
    assert!(!said().contains("most was not scanned"));
    for name in ["1.7z", "2.7z"] {
        fs::write(path.join(name), CLOSED).unwrap();
    }
    let said = said();
    assert!(said.contains("most was not scanned: 3 of 4 locations; to make this an error"), "{said}");
}
