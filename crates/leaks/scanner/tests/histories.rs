//! Histories that git made.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_leak::Rules;
use keyroll_leak::gitleaks::Config;
use keyroll_scanner::{Baseline, Detector, Finding, KnownValues, Report, Scan};

use crate::repository::{commit_all, git};

fn token(number: usize) -> String {
    format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
}

fn commit(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    commit_all(folder)
}

fn looked(look: impl FnOnce(&Scan<'_>)) -> Report {
    looked_by(None, look)
}

/// With imported rules, for which objects are scanned as files.
fn looked_by(rules: Option<&str>, look: impl FnOnce(&Scan<'_>)) -> Report {
    let baseline = Baseline::new([7; 32]);
    let detector = Detector::new(KnownValues::default(), baseline.key())
        .with_rules(Rules::shipped().unwrap())
        .with_names();
    let detector = match rules {
        Some(text) => detector.with_imported_rules(Config::read("rules", text).unwrap()),
        None => detector,
    };
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    look(&scan);
    scan.finish()
}

fn told(one: &Finding) -> (String, String, u64, bool) {
    let commit = one.place.commit.as_ref().unwrap();
    let path = one.place.path.as_ref().map_or(String::new(), |path| path.display().to_string());
    (path, commit.first.clone(), one.place.start.line, commit.in_head)
}

#[test]
fn what_was_taken_out_is_found_in_the_commits_that_had_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let filler: String = (0..300).map(|number| format!("line {number} of the file\n")).collect();
    commit(root, "src/a.rs", &filler);
    let first = commit(root, "src/a.rs", &format!("{filler}key {}\n", token(1)));
    let second = commit(root, "src/a.rs", &format!("new\n{filler}key {}\nmore\n", token(1)));
    commit(root, "src/a.rs", &filler);
    let kept = commit(root, "db.env", "password: lake-house7\n");
    commit(root, "db.txt", "password: lake-house8\n");
    for packed in [false, true] {
        if packed {
            git(root, &["repack", "-adfq", "--depth=50", "--window=50"]);
        }
        let report = looked(|scan| scan.history(root).unwrap());
        let all: Vec<_> = report.findings.iter().map(told).collect();
        let env = ("db.env".to_owned(), kept.clone(), 1, true);
        assert_eq!(
            all.len(),
            2,
            "{all:?} {:?}",
            report.findings.iter().map(|one| one.what.rule().to_owned()).collect::<Vec<_>>()
        );
        assert!(all.contains(&("src/a.rs".to_owned(), first.clone(), 302, false)), "{all:?}");
        assert!(all.contains(&env), "in a text of nobody's settings a name tells nothing: {all:?}");
        let gone = report.findings.iter().find(|one| told(one).0 == "src/a.rs").unwrap();
        let commit = gone.place.commit.as_ref().unwrap();
        assert_eq!((&commit.last, commit.author.as_str()), (&second, "One Person <one@example.org>"));
        assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    }
}

#[test]
fn what_becomes_a_text_is_read_by_its_names_though_it_was_copied_from_what_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let filler: String = (0..300).map(|number| format!("line: {number} of the file\n")).collect();
    let text = format!("{filler}password: lake-house7\n{filler}");
    // The larger one is the delta base of the other.
    commit(root, "a.yaml", &format!("\0 and more\n{text}{filler}"));
    commit(root, "a.yaml", &text);
    for _ in 0..2 {
        let report = looked(|scan| scan.history(root).unwrap());
        let lines: Vec<u64> = report.findings.iter().map(|one| one.place.start.line).collect();
        assert_eq!(lines, [301], "in the one version that is a text");
        git(root, &["repack", "-adfq", "--depth=50", "--window=50"]);
    }
}

#[test]
fn what_is_staged_is_scanned_and_not_what_is_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    commit(root, "old", &format!("{}\n", token(2)));
    fs::write(root.join("new.rs"), format!("\nx {}\n", token(3))).unwrap();
    git(root, &["add", "new.rs"]);
    // Edited again since, and not staged.
    fs::write(root.join("new.rs"), format!("{}\n", token(4))).unwrap();
    fs::write(root.join("other"), token(5)).unwrap();
    let report = looked(|scan| scan.staged(root, None).unwrap());
    let all: Vec<_> =
        report.findings.iter().map(|one| (one.place.path.clone().unwrap(), one.place.start)).collect();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0.as_path(), all[0].1.line, all[0].1.column), (Path::new("new.rs"), 2, 3));
}

#[test]
fn messages_and_what_no_branch_has_any_more_are_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    commit(root, "a", "a\n");
    git(root, &["commit", "--quiet", "--allow-empty", "--message", &format!("with {}", token(6))]);
    git(root, &["hash-object", "-w", "--stdin-paths"]);
    fs::write(root.join("lost"), token(7)).unwrap();
    git(root, &["hash-object", "-w", "lost"]);
    let report = looked(|scan| scan.history(root).unwrap());
    let places: Vec<_> = report
        .findings
        .iter()
        .map(|one| (one.place.source.clone().unwrap(), one.place.inside.clone()))
        .collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(
        places.iter().any(|(source, inside)| source.starts_with("commit ") && inside[..] == ["message"]),
        "{places:?}"
    );
    assert!(
        places.iter().any(|(source, _)| source.ends_with("not reachable from any reference")),
        "{places:?}"
    );
}

#[test]
fn a_message_has_lines_of_its_own_and_that_of_a_tag_is_reported_as_the_tags() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    commit(root, "a", "a\n");
    let empty = ["commit", "--quiet", "--allow-empty", "--message"];
    let author = format!("{} <a@example.org>", token(15));
    git(root, &[&empty[..], &["by somebody", "--author", &author]].concat());
    let by = git(root, &["rev-parse", "HEAD"]);
    git(root, &[&empty[..], &[&format!("{} first\n\nthird {}", token(11), token(12))]].concat());
    let head = git(root, &["rev-parse", "HEAD"]);
    // The tag repeats the message of the commit.
    git(root, &["tag", "-a", "v1", "-m", &format!("release\nwith {} {}", token(13), token(12))]);
    let tag = git(root, &["rev-parse", "v1"]);
    git(root, &["tag", "-a", "v2", "-m", &format!("lost\n{}", token(14))]);
    let lost = git(root, &["rev-parse", "v2"]);
    git(root, &["tag", "-d", "v2"]);
    let mut expected = vec![
        (format!("commit {} › message", &head[..10]), 1, 1, Some(true)),
        (format!("commit {} › message", &head[..10]), 3, 7, Some(true)),
        (format!("commit {} › head", &by[..10]), 3, 8, Some(false)),
        (format!("tag v1 ({}) › message", &tag[..10]), 2, 6, None),
        (format!("tag v1 ({}) › message", &tag[..10]), 2, 7 + token(13).len() as u64, None),
        (
            format!(
                "git object {lost}, not reachable from any reference › tag v2 ({}) › message",
                &lost[..10]
            ),
            2,
            1,
            None,
        ),
    ];
    expected.sort();
    for rules in [None, Some("[[rules]]\nid = 'own'\nregex = 'own_[0-9]{12}'\n")] {
        let report = looked_by(rules, |scan| scan.history(root).unwrap());
        let mut all: Vec<_> = report
            .findings
            .iter()
            .map(|one| {
                let (place, start) = (&one.place, one.place.start);
                let way: Vec<&str> = place.source.iter().chain(&place.inside).map(String::as_str).collect();
                let in_head = place.commit.as_ref().map(|commit| commit.in_head);
                (way.join(" › "), start.line, start.column, in_head)
            })
            .collect();
        all.sort();
        assert_eq!(all, expected, "{rules:?}");
    }
}

#[test]
fn nothing_of_a_repository_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    commit(root, "a.env", &format!("KEY={}\n", token(8)));
    let ran = root.join("ran");
    let script = format!("#!/bin/sh\ntouch {}\n", ran.display());
    let program = root.join("program");
    fs::write(&program, script).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let shown = program.display().to_string();
    for key in [
        "core.fsmonitor",
        "core.hooksPath",
        "diff.external",
        "filter.x.clean",
        "filter.x.smudge",
        "core.sshCommand",
        "core.pager",
    ] {
        git(root, &["config", key, &shown]);
    }
    fs::write(root.join(".gitattributes"), "* filter=x diff=x\n").unwrap();
    fs::write(root.join("b.env"), format!("KEY={}\n", token(9))).unwrap();
    let _ = fs::remove_file(&ran);
    let report = looked(|scan| {
        scan.history(root).unwrap();
        scan.staged(root, None).unwrap();
    });
    assert_eq!(report.findings.len(), 1);
    assert!(!ran.exists(), "a program of the repository was run");
}

#[test]
fn a_folder_without_a_repository_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    looked(|scan| assert!(scan.history(folder.path()).is_err() && scan.staged(folder.path(), None).is_err()));
}

#[test]
fn the_index_that_git_makes_for_a_commit_is_the_one_that_is_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    commit(root, "a", "a\n");
    fs::write(root.join("a"), token(10)).unwrap();
    let own = root.join(".git/index");
    let other = root.join(".git/index.lock");
    fs::copy(&own, &other).unwrap();
    let added = Command::new("git")
        .args(["add", "a"])
        .current_dir(root)
        .env("HOME", root)
        .env("GIT_INDEX_FILE", root.join(".git/next-index"))
        .status();
    fs::remove_file(&other).unwrap();
    assert!(added.unwrap().success());
    let next = root.join(".git/next-index");
    let report = looked(|scan| scan.staged(root, Some(&next)).unwrap());
    assert_eq!(report.findings.len(), 1);
    assert!(looked(|scan| scan.staged(root, None).unwrap()).findings.is_empty());
    let away = root.join("index");
    fs::copy(&next, &away).unwrap();
    looked(|scan| assert!(scan.staged(root, Some(&away)).is_err(), "an index of nobody knows whom"));
}

#[test]
fn what_settings_alone_tell_of_a_lost_object_says_so_and_a_comment_counts() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    commit(root, "a.rs", &format!("x {} # keyroll:allow of the test\ny {}\n", token(11), token(12)));
    for number in 0..2 {
        fs::write(root.join("lost"), format!("{number}\npassword: lake-house9\n")).unwrap();
        git(root, &["hash-object", "-w", "lost"]);
    }
    let report = looked(|scan| scan.history(root).unwrap());
    let open: Vec<_> = report.open().map(|one| (one.place.start.line, one.remark.as_deref())).collect();
    // The lost ones are one.
    assert_eq!(open, [(2, None), (2, Some("if the file is a settings file"))]);
    assert_eq!(report.findings.len(), 3);
}

#[test]
fn what_is_accepted_in_one_place_hides_no_open_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let twice = |number: usize| {
        let token = token(number);
        format!("a = \"{token}\" # keyroll:allow of a test\n\n\nb = \"{token}\"\n")
    };
    let utf16 = |text: String| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xFF, 0xFE].into_iter().chain(units).collect::<Vec<u8>>()
    };
    fs::write(root.join("text"), twice(11)).unwrap();
    fs::write(root.join("wide"), utf16(twice(12))).unwrap();
    commit_all(root);
    // Of what no reference leads to, too, whatever name it has.
    for number in 0..12 {
        let mut text = twice(13);
        if number < 11 {
            text = format!("{number} {}", text.lines().next().unwrap());
        }
        for wide in [text.as_bytes().to_vec(), utf16(text.replace(&token(13), &token(14)))] {
            fs::write(root.join("lost"), wide).unwrap();
            git(root, &["hash-object", "-w", "lost"]);
        }
    }
    let report = looked(|scan| scan.history(root).unwrap());
    let places: Vec<_> = report
        .findings
        .iter()
        .map(|one| {
            (
                one.place.path.clone().map(|path| path.display().to_string()),
                one.place.start.line,
                one.is_open(),
            )
        })
        .collect();
    let named = |name: &str| Some(name.to_owned());
    let mut expected = [(named("text"), 4, true), (named("wide"), 4, true), (None, 4, true), (None, 4, true)];
    let mut sorted = places.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
}

#[test]
fn what_only_settings_say_is_found_beyond_many_paths_that_hold_none() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    for number in 0..64 {
        fs::write(root.join(format!("a{number:02}.txt")), "password = foobarbaz91\n").unwrap();
    }
    commit(root, "one.env", "password = foobarbaz91\n");
    let report = looked(|scan| scan.history(root).unwrap());
    let paths: Vec<_> = report.findings.iter().map(|one| told(one).0).collect();
    assert_eq!(paths, ["one.env"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    // Not all paths are listed, and the report says so.
    for number in 0..67 {
        fs::write(root.join(format!("b{number:02}.txt")), format!("{}\n", token(15))).unwrap();
    }
    commit_all(root);
    let report = looked(|scan| scan.history(root).unwrap());
    assert_eq!(report.findings.len(), 65);
    assert_eq!(report.skipped.len(), 1);
    assert!(report.skipped[0].why.contains("more than 64 paths"), "{:?}", report.skipped);
}
