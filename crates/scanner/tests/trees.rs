//! Trees, archives and their bad days, with archives that other programs made.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Known, Report, Scan, Seeker, Tree};

/// Made here, so that no file has it.
fn token(number: usize) -> String {
    format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
}

fn baseline() -> Baseline {
    Baseline::new([7; 32])
}

fn scan_with(root: &Path, ignored_left_out: bool, archives: bool, accepted: &Baseline) -> Report {
    let seeker =
        Seeker::new(Known::default(), accepted.key()).with_rules(Rules::shipped().unwrap()).with_names();
    let scan = Scan::new(&seeker, "2026-11-21".parse().unwrap());
    let scan = if archives { scan } else { scan.without_archives() };
    scan.tree(&Tree { paths: vec![root.to_owned()], ignored_left_out });
    scan.finish(Some(accepted))
}

fn scan(root: &Path) -> Report {
    scan_with(root, true, true, &baseline())
}

/// `path › member:line`, without the root.
fn places(root: &Path, report: &Report) -> Vec<String> {
    let place = |one: &keyroll_scanner::Finding| {
        let path = one.place.path.as_ref().unwrap().strip_prefix(root).unwrap().display().to_string();
        let way: Vec<String> = std::iter::once(path).chain(one.place.inside.iter().cloned()).collect();
        format!("{}:{}", way.join(" › "), one.place.start.line)
    };
    report.findings.iter().map(place).collect()
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn made_by(program: &str, arguments: &[&str], folder: &Path) {
    let made = Command::new(program).args(arguments).current_dir(folder).status().unwrap();
    assert!(made.success(), "{program} {arguments:?}");
}

#[test]
fn a_tree_is_gone_through_but_for_what_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let line = format!("x\ntoken: {}\n", token(1));
    for name in ["a.rs", ".hidden/b", "ignored/c", "left.tmp", "sub/only.log", "sub/kept.log", ".git/config"]
    {
        write(root, name, &line);
    }
    write(root, ".gitignore", "ignored/\n");
    write(root, ".keyrollignore", "*.tmp\n");
    write(root, "sub/.gitignore", "only.log\n");
    std::os::unix::fs::symlink("a.rs", root.join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), [".hidden/b:2", "a.rs:2", "sub/kept.log:2"]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    let all = scan_with(root, false, true, &baseline());
    assert_eq!(
        places(root, &all),
        [".hidden/b:2", "a.rs:2", "ignored/c:2", "left.tmp:2", "sub/kept.log:2", "sub/only.log:2"]
    );
    let same: Vec<_> = all.findings.iter().map(|one| &one.identity).collect();
    assert!(same.windows(2).all(|two| two[0] == two[1]), "one value is one identity");
}

#[test]
fn archives_of_other_programs_are_opened_and_those_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "in/etc/app.env", &format!("A=1\nTOKEN={}\n", token(2)));
    write(root, "in/plain.txt", "nothing\n");
    made_by("tar", &["-czf", "one.tar.gz", "-C", "in", "etc", "plain.txt"], root);
    made_by("tar", &["-cf", "two.tar", "one.tar.gz", "in/etc/app.env"], root);
    made_by("python3", &["-m", "zipfile", "-c", "three.jar", "two.tar", "in/etc/app.env"], root);
    made_by("gzip", &["-k", "in/etc/app.env"], root);
    fs::remove_dir_all(root.join("in/plain.txt")).ok();
    let report = scan(root);
    let mut all = places(root, &report);
    all.sort();
    assert_eq!(
        all,
        [
            "in/etc/app.env.gz:2",
            "in/etc/app.env:2",
            "one.tar.gz › etc/app.env:2",
            "three.jar › app.env:2",
            "three.jar › two.tar › in/etc/app.env:2",
            "three.jar › two.tar › one.tar.gz › etc/app.env:2",
            "two.tar › in/etc/app.env:2",
            "two.tar › one.tar.gz › etc/app.env:2",
        ]
    );
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    let closed = scan_with(root, true, false, &baseline());
    assert!(!places(root, &closed).iter().any(|place| place.contains('›')));
}

#[test]
fn what_cannot_be_read_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "in/a.env", &format!("TOKEN={}\n", token(3)));
    made_by("tar", &["-czf", "cut.tar.gz", "in"], root);
    let cut = fs::read(root.join("cut.tar.gz")).unwrap();
    fs::write(root.join("cut.tar.gz"), &cut[..cut.len() / 2]).unwrap();
    made_by("python3", &["-m", "zipfile", "-c", "bad.zip", "in/a.env"], root);
    let mut zip = fs::read(root.join("bad.zip")).unwrap();
    let end = zip.len();
    zip.truncate(end - 10);
    fs::write(root.join("bad.zip"), zip).unwrap();
    fs::write(root.join("some.xz"), b"\xfd7zXZ\0rest").unwrap();
    // Five times in itself: deeper than is opened.
    made_by(
        "sh",
        &["-c", "cp in/a.env deep; for i in 1 2 3 4 5; do gzip -c deep > next; mv next deep; done"],
        root,
    );
    let report = scan(root);
    assert_eq!(places(root, &report), ["in/a.env:1"]);
    let why = |name: &str| {
        let one = report.skipped.iter().find(|one| one.what.contains(name));
        one.unwrap_or_else(|| panic!("{name} is not named: {:?}", report.skipped)).why.clone()
    };
    assert!(why("some.xz").contains("xz, which is not opened"));
    assert!(why("deep").contains("4 deep"));
    assert!(!why("cut.tar.gz").is_empty() && !why("bad.zip").is_empty());
}

#[test]
fn a_bomb_ends_where_the_limit_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // Three times packed: 1.5 GiB of nothing in a few kilobytes.
    let script = "head -c 1610612736 /dev/zero | gzip -1 | gzip -9 | gzip -9 > bomb.gz";
    made_by("sh", &["-c", script], root);
    assert!(fs::metadata(root.join("bomb.gz")).unwrap().len() < 1 << 20);
    let report = scan(root);
    assert!(report.findings.is_empty() && report.skipped.len() == 1, "{:?}", report.skipped);
    assert!(report.skipped[0].why.contains("unpacks to far more"), "{:?}", report.skipped);
}

#[test]
fn windows_writes_utf_16() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = format!("a = 1\r\nkey = {}\r\n", token(4));
    let bytes: Vec<u8> = [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(root.join("notes.txt"), bytes).unwrap();
    let report = scan(root);
    assert_eq!(places(root, &report), ["notes.txt:2"]);
    assert_eq!(report.findings[0].place.start.column, 7);
}

#[test]
fn what_was_accepted_stays_so_when_its_line_moves_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "a.rs", &format!("key = {}\n", token(5)));
    let mut accepted = baseline();
    let report = scan_with(root, true, true, &accepted);
    accepted.accept(&report.findings[0], "made by a test", None);
    accepted = Baseline::read(&accepted.to_text()).unwrap();
    write(root, "a.rs", &format!("\n\n  other = {}\nkey = {}\n", token(5), token(6)));
    let report = scan_with(root, true, true, &accepted);
    let open: Vec<u64> = report.open().map(|one| one.place.start.line).collect();
    assert_eq!((report.findings.len(), open), (2, vec![4]));
    accepted.accept(&report.findings[1], "for a while", Some("2026-11-20".parse().unwrap()));
    let report = scan_with(root, true, true, &accepted);
    let late = report.open().next().unwrap();
    assert_eq!(late.remark.as_deref(), Some("the baseline accepted it until 2026-11-20"));
    assert!(!accepted.to_text().contains("kD93"), "no value is in it");
}

#[test]
fn a_baseline_with_an_error_accepts_nothing() {
    let good = baseline().to_text();
    assert!(Baseline::read(&good).unwrap().is_empty());
    for (bad, says) in [
        (good.replace("version = 1", "version = 2"), "version 2"),
        (good.replace("key = \"", "key = \"x"), "key"),
        (
            format!("{good}\n[[accepted]]\nidentity = 'x'\nrule = 'r'\nreason = 'r'\n"),
            "number 1 has no identity",
        ),
        (
            format!("{good}\n[[accepted]]\nidentity = '{}'\nrule = 'r'\nreason = ' '\n", "a".repeat(32)),
            "no reason",
        ),
        (format!("{good}\nother = 1\n"), "other"),
    ] {
        let error = Baseline::read(&bad).map(drop).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn many_files_and_threads_come_to_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut expected: Vec<PathBuf> = Vec::new();
    for number in 0..500 {
        let path = root.join(format!("d{}/f{number:03}", number % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(&path).unwrap();
        writeln!(file, "x {}", if number % 5 == 0 { token(number) } else { "nothing".to_owned() }).unwrap();
        if number % 5 == 0 {
            expected.push(path);
        }
    }
    expected.sort();
    let report = scan(root);
    let found: Vec<PathBuf> = report.findings.iter().map(|one| one.place.path.clone().unwrap()).collect();
    assert_eq!(found, expected);
    assert_eq!(report.texts, 500);
}
