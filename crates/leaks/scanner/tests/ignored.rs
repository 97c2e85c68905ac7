//! Which ignore rules apply: those of the tree and its repository, and of no other user.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Report, Scan, Tree};
use rustix::fs::{CWD, Mode, mkfifoat};

/// Whose nothing else is.
const STRANGER: u32 = 12_345;

fn scan(paths: &[PathBuf]) -> Report {
    let detector = Detector::new(KnownValues::default(), Baseline::new([7; 32]).key());
    let detector = detector.with_rules(Rules::shipped().unwrap());
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    scan.tree(&Tree { paths: paths.to_vec(), ignored_left_out: true });
    scan.finish()
}

/// What is found in a folder, without its own path.
fn found(folder: &Path) -> Vec<String> {
    let report = scan(&[folder.to_owned()]);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    let path = |one: &keyroll_scanner::Finding| {
        one.place.path.as_ref().unwrap().strip_prefix(folder).unwrap().display().to_string()
    };
    report.findings.iter().map(path).collect()
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Each of these has a token.
fn tokens(folder: &Path, names: &[&str]) {
    for name in names {
        write(folder.join(name), &format!("x glpat-{}1234\n", "kD93hfQ0plm4XyT7"));
    }
}

fn pipe(path: PathBuf) {
    mkfifoat(CWD, path, Mode::RWXU).unwrap();
}

#[test]
fn rules_count_up_to_the_top_of_the_repository_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (top, deep) = (root.join("repo"), root.join("repo/sub/deep"));
    tokens(&deep, &["a.tmp", "b", "c.excluded", "kept.tmp", "sub/deep/d", "there/e", "there/f"]);
    tokens(&root.join("plain"), &["a.tmp", "b"]);
    // Another user who can write in a folder above, as in /tmp.
    write(root.join(".gitignore"), "*\n");
    write(root.join(".ignore"), "*\n");
    write(root.join(".keyrollignore"), "*\n");
    write(top.join(".gitignore"), "*.tmp\n/sub/deep/there/e\n");
    write(top.join(".git/info/exclude"), "*.excluded\n");
    write(top.join("sub/.keyrollignore"), "!kept.tmp\n/deep/there/f\n");
    let expected = ["b", "kept.tmp", "sub/deep/d"];
    assert_eq!(found(&deep), expected);
    assert_eq!(found(&root.join("plain")), ["a.tmp", "b"]);
    let below: Vec<String> = expected.iter().map(|name| format!("sub/deep/{name}")).collect();
    assert_eq!(found(&top), below, "from its top it is the same");
    // The resolved path counts, not the path as written.
    symlink(&deep, root.join("link")).unwrap();
    assert_eq!(found(&root.join("link")), expected);
    // A folder in the other one, each by its own way.
    let both = scan(&[root.join("plain"), deep.clone(), root.join("repo/sub")]);
    assert_eq!(both.findings.len(), 2 + 2 * expected.len());
    assert_eq!(found(root), Vec::<String>::new(), "its own count");
}

#[test]
fn what_is_said_nearer_or_by_keyroll_counts_first() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    tokens(root, &["a/log", "a/b/log", "a/b/other", "kept/log"]);
    write(root.join(".gitignore"), "log\n");
    write(root.join("a/b/.gitignore"), "!log\nother\n");
    assert_eq!(found(root), ["a/b/log"]);
    write(root.join(".keyrollignore"), "!kept/log\n!other\n");
    assert_eq!(found(root), ["a/b/log", "a/b/other", "kept/log"]);
    write(root.join("a/b/.keyrollignore"), "\u{feff}/log\r\n");
    assert_eq!(found(root), ["a/b/other", "kept/log"]);
}

#[test]
fn what_another_user_wrote_above_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("repo");
    let sub = top.join("sub");
    tokens(&sub, &["a", "b"]);
    write(top.join(".gitignore"), "a\n");
    write(top.join(".ignore"), "b\n");
    fs::create_dir(top.join(".git")).unwrap();
    assert_eq!(found(&sub), Vec::<String>::new());
    if chown(top.join(".ignore"), Some(STRANGER), None).is_err() {
        // Only root can go on.
        assert_ne!(top.metadata().unwrap().uid(), 0);
        return;
    }
    assert_eq!(found(&sub), ["b"]);
    chown(top.join(".git"), Some(STRANGER), None).unwrap();
    assert_eq!(found(&sub), ["a", "b"], "it is no repository of theirs");
    // Everything belongs to that user, so that user's rules are those of the tree.
    for path in [top.as_path(), &sub, &top.join(".gitignore")] {
        chown(path, Some(STRANGER), None).unwrap();
    }
    assert_eq!(found(&sub), Vec::<String>::new());
    chown(&sub, Some(0), None).unwrap();
    assert_eq!(found(&sub), ["a", "b"], "the folder above is another's");
}

#[test]
fn rules_that_are_no_files_never_block_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let top = root.join("repo");
    tokens(&top, &["a", "sub/b"]);
    tokens(root, &["plain/c"]);
    pipe(root.join(".gitignore"));
    assert_eq!(found(&root.join("plain")), ["c"]);
    write(top.join(".ignore"), "a\nb\n");
    fs::create_dir_all(top.join(".git/info")).unwrap();
    assert_eq!(found(&top), Vec::<String>::new());
    let exclude = top.join(".git/info/exclude");
    let bad = |path: &Path, names: usize| {
        let report = scan(&[path.to_owned()]);
        assert_eq!(report.findings.len(), names);
        assert!(report.skipped[0].why.contains("nothing is ignored"), "{:?}", report.skipped);
        assert_eq!(report.skipped[0].what, top.canonicalize().unwrap().display().to_string());
    };
    pipe(exclude.clone());
    bad(&top, 2);
    bad(&top.join("sub"), 1);
    fs::remove_file(&exclude).unwrap();
    symlink("/dev/zero", &exclude).unwrap();
    bad(&top, 2);
    fs::remove_file(&exclude).unwrap();
    fs::write(&exclude, vec![b'#'; (4 << 20) + 1]).unwrap();
    bad(&top.join("sub"), 1);
    // Of what is below the others count.
    fs::remove_file(&exclude).unwrap();
    pipe(top.join("sub/.gitignore"));
    let report = scan(&[top]);
    assert!(report.findings.is_empty());
    assert!(report.skipped[0].what.ends_with("/sub"), "{:?}", report.skipped);
}
