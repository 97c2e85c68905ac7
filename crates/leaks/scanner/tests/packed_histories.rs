//! Packed content in histories and staged files: it is found as in a checkout of every commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_leak::Rules;
use keyroll_leak::gitleaks::Config;
use keyroll_needle::{NeedleId, Needles};
use keyroll_scanner::{Baseline, Detector, KnownValues, Report, Scan, SecretVersion, Tree};
use keyroll_secret::SecretBytes;

use crate::repository::{commit_all, git};

/// A value that is kept, and one that stands within it.
const KEPT: [&str; 2] = ["Zq8f3kQz71LmP0vT", "8f3kQz71LmP0"];

fn token(number: usize) -> String {
    format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
}

fn known() -> KnownValues {
    let mut builder = Needles::builder();
    let mut versions = Vec::new();
    for (number, value) in (0_u32..).zip(KEPT) {
        builder = builder.add(NeedleId(number), &SecretBytes::new(value.as_bytes().to_vec()));
        let secret = format!("kept-{number}");
        versions.push(SecretVersion { secret, number: 1, state: "current", retired: false });
    }
    KnownValues { needles: Some(builder.build().unwrap()), versions, ..KnownValues::default() }
}

fn looked(rules: Option<&str>, look: impl FnOnce(&Scan<'_>)) -> Report {
    let baseline = Baseline::new([7; 32]);
    let detector = Detector::new(known(), baseline.key()).with_rules(Rules::shipped().unwrap()).with_names();
    let detector = match rules {
        Some(text) => detector.with_imported_rules(Config::read("rules", text).unwrap()),
        None => detector,
    };
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    look(&scan);
    scan.finish()
}

fn made(script: &str, folder: &Path) {
    let made = Command::new("bash").args(["-euc", script]).current_dir(folder).status().unwrap();
    assert!(made.success(), "{script}");
}

fn utf16(text: &str) -> Vec<u8> {
    [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// The path to a finding, its kind, and its position there.
type Key = (String, String, String);

fn key(path: &str, one: &keyroll_scanner::Finding) -> Key {
    let way: Vec<&str> = std::iter::once(path).chain(one.place.inside.iter().map(String::as_str)).collect();
    (way.join(" › "), one.what.rule().to_owned(), one.identity.to_string())
}

fn places(report: &Report) -> Vec<String> {
    report.findings.iter().map(place_of).collect()
}

fn place_of(one: &keyroll_scanner::Finding) -> String {
    let path = one.place.path.as_ref().map_or(String::new(), |path| path.display().to_string());
    format!("{}:{}", key(&path, one).0, one.place.start.line)
}

/// What a tree has, with what is to be found in it, in this version.
fn version(root: &Path, number: usize) {
    let text = |more: &str| {
        let filler: String = (0..40).map(|line| format!("line {line} of {}\n", number / 2)).collect();
        format!("{filler}TOKEN={}\npassword: lake-house{number}\n{more}", token(number))
    };
    fs::create_dir_all(root.join("in/fixtures")).unwrap();
    fs::write(root.join("in/app.env"), text("")).unwrap();
    fs::write(root.join("in/plain.txt"), text(&format!("kept {}\n", KEPT[0]))).unwrap();
    fs::write(root.join("in/fixtures/made-up.txt"), text("own_0123456789ab\n")).unwrap();
    fs::write(root.join("notes.txt"), utf16(&text(KEPT[1]))).unwrap();
    fs::write(root.join("wide.env"), utf16(&text("x=own_zz2345678901"))).unwrap();
    made(
        "rm -f rows.db packed.*
         gzip -nc in/app.env > packed.env.gz
         bzip2 -c in/plain.txt > packed.bz2
         xz -c in/app.env > packed.xz
         zstd -qc in/app.env > packed.zst
         tar --sort=name --mtime=2026-01-01 -cf packed.tar in
         xz -c packed.tar > packed.tar.xz
         (cd in && python3 -m zipfile -c ../packed.jar app.env plain.txt ../packed.tar)
         sqlite3 rows.db 'pragma page_size=512; create table kept(id integer primary key, body text)'",
        root,
    );
    let insert =
        format!("insert into kept values({number}, '{}{}')", "x ".repeat(180 + number), token(number));
    let rows = Command::new("sqlite3").args(["rows.db", &insert]).current_dir(root).status().unwrap();
    assert!(rows.success());
    if number == 2 {
        // The same bytes by another name, and what was packed is plain.
        fs::copy(root.join("packed.tar"), root.join("copy.tar")).unwrap();
        fs::write(root.join("notes.txt"), text("plain now\n")).unwrap();
    }
}

/// Compares a history with checkouts of all its commits.
fn same_as_checkouts(rules: Option<&str>) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let mut lines: BTreeMap<Key, BTreeSet<u64>> = BTreeMap::new();
    for number in 0..4 {
        version(root, number);
        commit_all(root);
        // As git would check it out: nothing of it is ignored.
        let report = looked(rules, |scan| {
            scan.tree(&Tree { paths: vec![root.to_owned()], ignored_left_out: false });
        });
        assert!(report.skipped.is_empty(), "{:?}", report.skipped);
        for one in &report.findings {
            let path = one.place.path.as_ref().unwrap().strip_prefix(root).unwrap();
            lines.entry(key(&path.display().to_string(), one)).or_default().insert(one.place.start.line);
        }
    }
    for packed in [false, true] {
        if packed {
            git(root, &["repack", "-adfq", "--depth=50", "--window=50"]);
        }
        let report = looked(rules, |scan| scan.history(root).unwrap());
        let mut found = BTreeSet::new();
        for one in &report.findings {
            let key = key(&one.place.path.as_ref().unwrap().display().to_string(), one);
            assert!(lines.get(&key).is_some_and(|lines| lines.contains(&one.place.start.line)), "{key:?}");
            assert!(one.place.commit.is_some() && found.insert(key), "told twice");
        }
        let missing: Vec<_> = lines.keys().filter(|key| !found.contains(*key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    }
    let ways: BTreeSet<&str> = lines.keys().map(|(way, ..)| way.as_str()).collect();
    let packed = ["packed.jar › packed.tar › in/app.env", "packed.tar.xz › in/app.env", "packed.bz2"];
    for way in
        packed.into_iter().chain(["notes.txt", "rows.db › kept › row 3 › body", "copy.tar › in/app.env"])
    {
        assert!(ways.contains(way), "{way} is in none of {ways:?}");
    }
    ways.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_history_has_what_checkouts_of_all_its_commits_have() {
    same_as_checkouts(None);
}

#[test]
fn imported_rules_find_in_a_history_what_they_find_in_checkouts() {
    // By a path, for all; by a path, for one rule; a rule for some paths; one without words to begin with.
    let rules = r#"
        [extend]
        useDefault = true
        [[rules]]
        id = "own"
        regex = '''own_[0-9a-z]{12}'''
        keywords = ["own_"]
        [[rules]]
        id = "lake"
        regex = '''lake-[a-z]+[0-9]'''
        path = '''\.(env|xz)$'''
        [[rules.allowlists]]
        paths = ['''wide\.env$''']
        [[allowlists]]
        paths = ['''fixtures/''', '''packed\.zst''']
    "#;
    let ways = same_as_checkouts(Some(rules));
    // Except stored values, which no rule can exclude.
    assert!(!ways.contains("in/fixtures/made-up.txt") && !ways.contains("packed.zst"), "{ways:?}");
}

#[test]
fn what_imported_rules_skip_in_a_commit_or_by_a_path_alone_is_not_reported_of_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(root.join("a"), "own_0123456789ab\n").unwrap();
    let first = commit_all(root);
    fs::write(root.join("b.p12"), "own_zz2345678901\n").unwrap();
    commit_all(root);
    let rules = format!(
        "[[rules]]\nid = 'own'\nregex = 'own_[0-9a-z]{{12}}'\n[[rules.allowlists]]\ncommits = ['{first}']\n\
         [[rules]]\nid = 'file'\npath = '\\.p12$'\n"
    );
    let report = looked(Some(&rules), |scan| scan.history(root).unwrap());
    let found: Vec<&str> = report.findings.iter().map(|one| one.what.rule()).collect();
    assert_eq!((places(&report), found), (vec!["b.p12:1".to_owned()], vec!["own"]));
}

#[test]
fn what_is_packed_and_in_no_commit_is_found_and_what_is_not_opened_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    for number in 0..3 {
        let magic = [b"7z\xbc\xaf\x27\x1c".as_slice(), &[number], b"rest of it"].concat();
        fs::write(root.join("some.7z"), magic).unwrap();
        commit_all(root);
    }
    fs::write(root.join("lost"), token(5)).unwrap();
    made("gzip -n lost; git hash-object -w lost.gz; rm lost.gz", root);
    let report = looked(None, |scan| scan.history(root).unwrap());
    let [one] = &report.findings[..] else { panic!("{:?}", places(&report)) };
    assert!(one.place.source.as_ref().unwrap().ends_with("not reachable from any reference"));
    let [skipped] = &report.skipped[..] else { panic!("{:?}", report.skipped) };
    assert!(skipped.what.ends_with("› some.7z") && skipped.why.contains("7-Zip"), "{skipped:?}");
}

#[test]
fn what_is_packed_is_scanned_before_it_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    version(root, 1);
    git(root, &["add", "packed.tar.xz", "wide.env", "rows.db", "in/fixtures"]);
    let report = looked(None, |scan| scan.staged(root, None).unwrap());
    let found = places(&report);
    for place in [
        "in/fixtures/made-up.txt:41",
        "packed.tar.xz › in/app.env:41",
        "packed.tar.xz › in/app.env:42",
        "packed.tar.xz › in/plain.txt:41",
        "rows.db › kept › row 1 › body:1",
        "wide.env:41",
        "wide.env:42",
    ] {
        assert!(found.iter().any(|one| one == place), "{place} is not in {found:?}");
    }
    assert!(report.skipped.is_empty() && report.unread == 0, "{:?}", report.skipped);
    let rules = "[allowlist]\npaths = ['fixtures/']\n[[rules]]\nid = 'own'\nregex = 'own_[0-9a-z]{12}'\n";
    let report = looked(Some(rules), |scan| scan.staged(root, None).unwrap());
    let found = places(&report);
    assert!(found.iter().any(|one| one == "wide.env:43"), "{found:?}");
    assert!(!found.iter().any(|one| one.contains("fixtures")), "{found:?}");
}

#[test]
fn what_is_staged_and_was_not_scanned_counts_unless_the_repository_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    fs::create_dir(root.join("assets")).unwrap();
    let large = fs::File::create(root.join("assets/large.bin")).unwrap();
    large.set_len(65 << 20).unwrap();
    fs::write(root.join("some.7z"), b"7z\xbc\xaf\x27\x1crest").unwrap();
    fs::write(root.join("good"), "x\n").unwrap();
    git(root, &["-c", "core.compression=1", "add", "."]);
    let staged = || looked(None, |scan| scan.staged(root, None).unwrap());
    let report = staged();
    assert_eq!((report.unread, report.skipped.len()), (2, 2), "{:?}", report.skipped);
    assert_eq!(report.skipped[0].what, "staged › assets/large.bin");
    assert!(report.skipped[1].what == "staged › some.7z", "{:?}", report.skipped);
    fs::write(root.join(".keyrollignore"), "assets/\n").unwrap();
    let report = staged();
    assert_eq!((report.unread, report.allowed, report.skipped.len()), (1, 1, 2), "it is named all the same");
    fs::write(root.join(".keyrollignore"), "assets/\n*.7z\n").unwrap();
    let report = staged();
    assert_eq!((report.unread, report.allowed, report.skipped.len()), (0, 2, 2));
    // An object that is gone.
    fs::remove_file(root.join(".keyrollignore")).unwrap();
    git(root, &["rm", "-rq", "--cached", "assets", "some.7z"]);
    let id = git(root, &["rev-parse", ":good"]);
    fs::remove_file(root.join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    let report = staged();
    assert_eq!((report.unread, report.skipped[0].what.as_str()), (1, "staged › good"));
}

#[test]
fn what_is_between_members_is_scanned_in_a_history_and_before_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(root.join("in"), "x\n").unwrap();
    made(&format!("tar -cf behind.tar in; rm in; printf '\\nk {} \\n' >> behind.tar", token(1)), root);
    let closed = [b"7z\xbc\xaf\x27\x1c".as_slice(), format!("\nk {} \n", token(2)).as_bytes()].concat();
    fs::write(root.join("closed.7z"), closed).unwrap();
    git(root, &["add", "."]);
    let staged = looked(None, |scan| scan.staged(root, None).unwrap());
    commit_all(root);
    let history = looked(None, |scan| scan.history(root).unwrap());
    for report in [staged, history] {
        let paths: Vec<_> = report.findings.iter().map(|one| one.place.path.as_deref().unwrap()).collect();
        assert_eq!(paths, [Path::new("behind.tar"), Path::new("closed.7z")]);
    }
}

#[test]
fn the_same_bytes_are_read_as_each_of_their_paths_says_and_what_a_value_tells_no_rule_does() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    for name in ["a.txt", "b.env"] {
        fs::write(root.join(name), utf16(&format!("x {}\npassword: lake-house7\n", token(1)))).unwrap();
    }
    fs::write(root.join("c.env"), format!("API_TOKEN={}\n", KEPT[0])).unwrap();
    commit_all(root);
    let report = looked(None, |scan| scan.history(root).unwrap());
    let mut found: Vec<_> =
        report.findings.iter().map(|one| format!("{} {}", place_of(one), one.what.rule())).collect();
    found.sort();
    let expected = [
        "a.txt:1 gitlab-token",
        "b.env:1 gitlab-token",
        "b.env:2 named-secret",
        "c.env:1 kept-0",
        "c.env:1 kept-1",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_lost_in_several_objects_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    for number in 0..2 {
        fs::write(root.join("lost"), format!("{number}\n{}\n", token(5))).unwrap();
        made("git hash-object -w lost; gzip -n lost; git hash-object -w lost.gz; rm lost.gz", root);
    }
    let report = looked(None, |scan| scan.history(root).unwrap());
    // As it is, and packed.
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
}

#[test]
fn a_submodule_that_is_staged_is_none_of_what_must_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let entry = format!("160000,{},sub", "1".repeat(40));
    git(root, &["update-index", "--add", "--cacheinfo", &entry]);
    assert_eq!(looked(None, |scan| scan.staged(root, None).unwrap()).unread, 0);
}
