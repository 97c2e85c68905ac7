//! Credentials in git's own files, which are in no commit.

use std::fs;
use std::path::Path;

use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, PassedOver, Report, Scan, Tree};

use crate::repository::{commit_all, git};

const VALUE: &str = "kD93hfQ0plm4XyT71bQe";

fn looked(look: impl FnOnce(&Scan<'_>)) -> Report {
    let detector = Detector::new(KnownValues::default(), Baseline::new([7; 32]).key())
        .with_rules(Rules::shipped().unwrap())
        .with_names();
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    look(&scan);
    scan.finish()
}

fn tree(root: &Path) -> Report {
    let tree = Tree { paths: vec![root.to_owned()], ignored_left_out: true };
    looked(|scan| scan.tree(&tree))
}

/// `path:line` of all findings, without the root, each once.
fn places(root: &Path, report: &Report) -> Vec<String> {
    let path = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut all: Vec<String> = report
        .findings
        .iter()
        .map(|one| format!("{}:{}", path(one.place.path.as_deref().unwrap()), one.place.start.line))
        .collect();
    all.dedup();
    all
}

/// A repository with one commit.
fn repository(root: &Path) {
    fs::create_dir_all(root).unwrap();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(root.join("README"), "hello\n").unwrap();
    commit_all(root);
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, before + text).unwrap();
}

#[test]
fn the_login_of_an_address_and_a_header_are_found_in_the_tree_and_with_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    repository(&root);
    git(&root, &["remote", "add", "origin", &format!("https://x-access-token:{VALUE}@git.acme.dev/a/b.git")]);
    // `x-access-token:` and the value, in base64.
    let login = "eC1hY2Nlc3MtdG9rZW46a0Q5M2hmUTBwbG00WHlUNzFiUWU=";
    let header = format!("AUTHORIZATION: basic {login}");
    git(&root, &["config", "http.https://git.acme.dev/.extraheader", &header]);
    let config = fs::read_to_string(root.join(".git/config")).unwrap();
    let line = |with: &str| config.lines().position(|line| line.contains(with)).unwrap() + 1;
    let wanted = [VALUE, login].map(|with| format!(".git/config:{}", line(with)));
    let of_tree = tree(&root);
    assert_eq!(places(&root, &of_tree), wanted);
    assert_eq!(of_tree.passed_over, PassedOver { histories: 1, ..PassedOver::default() });
    let of_history = looked(|scan| scan.history(&root).unwrap());
    assert_eq!(places(&root, &of_history), wanted);
    assert!(of_history.passed_over.is_none());
}

#[test]
fn hooks_logs_and_submodules_have_their_own_and_messages_belong_to_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    repository(&root);
    let url = format!("https://shop:{VALUE}@git.acme.dev/a/b.git");
    let inside = root.join(".git");
    append(&inside.join("hooks/pre-push"), &format!("#!/bin/sh\nDB_PASSWORD={VALUE} make\n"));
    append(&inside.join("hooks/update.sample"), &format!("DB_PASSWORD={VALUE} make\n"));
    append(&inside.join("modules/vendor/lib/config"), &format!("[remote \"o\"]\n\turl = {url}\n"));
    // Submodules may be called like git's own folders.
    append(&inside.join("modules/logs/hooks/pre-push"), &format!("#!/bin/sh\nDB_PASSWORD={VALUE} make\n"));
    append(&inside.join("modules/objects/config"), &format!("[remote \"o\"]\n\turl = {url}\n"));
    append(&inside.join("worktrees/next/config.worktree"), &format!("[remote \"o\"]\n\turl = {url}\n"));
    fs::write(inside.join("FETCH_HEAD"), format!("0123\t\tbranch 'main' of {url}\n")).unwrap();
    fs::write(inside.join("logs/HEAD"), format!("0 1 n\tcommit: glpat-{VALUE}\n1 2 n\tclone: from {url}\n"))
        .unwrap();
    fs::write(inside.join("COMMIT_EDITMSG"), format!("use glpat-{VALUE}\n")).unwrap();
    let wanted = [
        ".git/FETCH_HEAD:1",
        ".git/hooks/pre-push:2",
        ".git/logs/HEAD:2",
        ".git/modules/logs/hooks/pre-push:2",
        ".git/modules/objects/config:2",
        ".git/modules/vendor/lib/config:2",
        ".git/worktrees/next/config.worktree:2",
    ];
    assert_eq!(places(&root, &tree(&root)), wanted);
    assert_eq!(places(&root, &looked(|scan| scan.history(&root).unwrap())), wanted);
    // git's ignore files are not about its own files, and keyroll's are.
    fs::write(root.join(".gitignore"), "*\n").unwrap();
    assert_eq!(places(&root, &tree(&root)), wanted);
    fs::write(root.join(".keyrollignore"), ".git/modules/\n").unwrap();
    assert_eq!(places(&root, &tree(&root)).len(), wanted.len() - 3);
}

#[test]
fn a_bare_repository_is_read_without_its_objects_and_a_linked_tree_with_its_repository() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    repository(&root.join("main"));
    let (main, bare) = (root.join("main"), root.join("bare/shop.git"));
    git(&root, &["clone", "--quiet", "--bare", "main", "bare/shop.git"]);
    let url = format!("https://shop:{VALUE}@git.acme.dev/a/b.git");
    append(&bare.join("config"), &format!("[remote \"o\"]\n\turl = {url}\n"));
    // Nobody reads an object as a text.
    append(&bare.join("objects/info/commit-graphs/x"), &format!("glpat-{VALUE}\n"));
    let report = tree(&root.join("bare"));
    assert!(matches!(places(&root, &report).as_slice(), [one] if one.starts_with("bare/shop.git/config:")));
    assert_eq!(report.passed_over.histories, 1);
    append(&main.join(".git/config"), &format!("[remote \"o\"]\n\turl = {url}\n"));
    git(&main, &["worktree", "add", "--quiet", "../linked"]);
    let linked = root.join("linked");
    let report = tree(&linked);
    assert!(matches!(places(&root, &report).as_slice(), [one] if one.starts_with("main/.git/config:")));
    assert_eq!(report.passed_over.histories, 1);
    let report = looked(|scan| scan.history(&linked).unwrap());
    assert!(matches!(places(&root, &report).as_slice(), [one] if one.starts_with("main/.git/config:")));
}

/// Its `.git` is a file or a link.
#[test]
fn the_repository_of_a_named_folder_is_read_wherever_it_is_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (main, lib, wt) = (root.join("main"), root.join("main/lib"), root.join("wt"));
    repository(&main);
    repository(&root.join("lib-origin"));
    let url = format!("https://shop:{VALUE}@git.acme.dev/a/b.git");
    let remote = format!("[remote \"o\"]\n\turl = {url}\n");
    git(&main, &["worktree", "add", "--quiet", "../wt"]);
    // A submodule, as `git submodule add` leaves it.
    fs::create_dir_all(main.join(".git/modules")).unwrap();
    git(&root, &["clone", "--quiet", "--separate-git-dir=main/.git/modules/lib", "lib-origin", "main/lib"]);
    fs::write(lib.join(".git"), "gitdir: ../.git/modules/lib\n").unwrap();
    append(&main.join(".git/modules/lib/config"), &remote);
    let found = |paths: &[&Path]| {
        let paths = paths.iter().map(|path| path.to_path_buf()).collect();
        looked(|scan| scan.tree(&Tree { paths, ignored_left_out: true }))
    };
    let whole = found(&[&main]).findings.len();
    let one = |paths: &[&Path], config: &str| {
        let report = found(paths);
        let all = places(&root, &report);
        assert!(matches!(all.as_slice(), [one] if one.starts_with(config)), "{paths:?}: {all:?}");
        assert_eq!(report.findings.len(), whole, "{paths:?}");
    };
    let named: [&[&Path]; 6] = [&[&lib], &[&wt], &[&main, &lib], &[&lib, &main], &[&lib, &wt], &[&wt, &wt]];
    for paths in named {
        one(paths, "main/.git/modules/lib/config:");
    }
    let linked = root.join("linked");
    fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink("../main/.git", linked.join(".git")).unwrap();
    one(&[&linked], "main/.git/modules/lib/config:");
    // Of a folder further below it is not followed, nor what is no repository, nor what keyroll's own file leaves out.
    fs::create_dir_all(root.join("other/in")).unwrap();
    fs::write(root.join("other/in/.git"), "gitdir: ../../main/.git/modules/lib\n").unwrap();
    fs::write(root.join("other/.git"), "gitdir: ../main/.git/modules\n").unwrap();
    assert!(found(&[&root.join("other")]).findings.is_empty());
    fs::write(lib.join(".keyrollignore"), ".git\n").unwrap();
    assert!(found(&[&lib]).findings.is_empty());
    fs::remove_file(lib.join(".keyrollignore")).unwrap();
    // Only root can give a file away.
    if std::os::unix::fs::lchown(lib.join(".git"), Some(54_321), None).is_ok() {
        let report = found(&[&lib]);
        assert!(report.findings.is_empty() && report.skipped.len() == 1, "{:?}", report.skipped);
    }
}

#[test]
fn a_file_whose_name_tells_its_format_is_read_by_it_in_every_commit() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    repository(&root);
    fs::create_dir(root.join("pool")).unwrap();
    fs::write(root.join("pool/userlist.txt"), format!("\"stats\" \"{VALUE}\"\n")).unwrap();
    fs::write(root.join("notes.txt"), format!("\"stats\" \"{}\"\n", VALUE.to_uppercase())).unwrap();
    commit_all(&root);
    fs::remove_dir_all(root.join("pool")).unwrap();
    commit_all(&root);
    let report = looked(|scan| scan.history(&root).unwrap());
    assert_eq!(places(&root, &report), ["pool/userlist.txt:1"]);
}
