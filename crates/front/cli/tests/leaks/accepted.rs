//! Findings that somebody accepts: one of them, or all, from anywhere in a repository.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use keyroll_testkit::github_token;
use serde_json::Value;

use crate::kept::{err, kept, out, run, value};
use crate::leaks::{git, told};

const NAME: &str = ".keyroll-leaks.toml";

/// The column ID of the open findings, by the file of each.
fn id(folder: &Path, file: &str) -> String {
    let shown = out(&run(folder, &["leaks", "tree"], b""));
    let line = shown.lines().find(|line| line.contains(file)).unwrap_or_else(|| panic!("{file}: {shown}"));
    assert!(shown.starts_with("LEAK") && shown.contains("  ID  "), "{shown}");
    let at = line.split_whitespace().position(|word| word.starts_with("tree/")).unwrap();
    line.split_whitespace().nth(at - 1).unwrap().to_owned()
}

fn two_tokens(folder: &Path) {
    fs::create_dir(folder.join("tree")).unwrap();
    for file in ["a", "b"] {
        fs::write(folder.join("tree").join(file), format!("{}\n", github_token())).unwrap();
    }
}

fn accept(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let all = [&["leaks", "tree", "--accept", "made by a test"], arguments].concat();
    let done = run(folder, &all, b"");
    (done.status.code(), err(&done))
}

#[test]
fn one_finding_is_accepted_by_its_identity() {
    let folder = kept(&value());
    let path = folder.path();
    two_tokens(path);
    // By the store's identities, before there is a baseline; then by the baseline's.
    let (code, said) = accept(path, &["--only", &id(path, "tree/a"), "--until", "2999-01-01"]);
    assert!(code == Some(0) && said.contains("accepted 1 in .keyroll-leaks.toml, which has 1 now"), "{said}");
    let left = out(&run(path, &["leaks", "tree"], b""));
    assert!(left.contains("tree/b") && !left.contains("tree/a"), "{left}");
    fs::write(path.join("tree/c"), github_token()).unwrap();
    let (code, said) = accept(path, &["--only", &id(path, "tree/c").to_uppercase()]);
    assert!(code == Some(0) && said.contains("which has 2 now"), "{said}");
    let document: Value =
        serde_json::from_str(&out(&run(path, &["leaks", "tree", "--format", "json"], b""))).unwrap();
    let whole = document["findings"].as_array().unwrap().iter().find(|one| one["place"]["path"] == "tree/b");
    let (code, said) = accept(path, &["--only", whole.unwrap()["identity"].as_str().unwrap()]);
    assert!(code == Some(0) && said.contains("which has 3 now"), "{said}");
    assert_eq!(run(path, &["leaks", "tree"], b"").status.code(), Some(0));
}

#[test]
fn beside_what_opens_something_the_others_are_accepted_by_their_identities() {
    let value = value();
    let folder = kept(&value);
    let path = folder.path();
    fs::create_dir(path.join("tree")).unwrap();
    fs::write(path.join("tree/a"), format!("{value}\n")).unwrap();
    fs::write(path.join("tree/b"), github_token()).unwrap();
    let (code, said) = accept(path, &[]);
    assert!(code == Some(1) && said.contains("accept the other findings by their IDs: --only ID"), "{said}");
    let (code, said) = accept(path, &["--only", &id(path, "tree/b")]);
    assert!(code == Some(0) && said.contains("accepted 1 in"), "{said}");
}

#[test]
fn an_identity_that_names_nothing_accepts_nothing() {
    let folder = kept(&value());
    let path = folder.path();
    two_tokens(path);
    let mine = id(path, "tree/a");
    for (only, why) in [
        (vec!["00000000"], "no open finding has identity number 1"),
        (vec![mine.as_str(), "0000000000"], "number 2"),
        (vec!["1234567"], "an identity has 32 hex digits"),
        (vec!["not-an-identity"], "an identity has 32 hex digits"),
    ] {
        let flags: Vec<&str> = only.iter().flat_map(|one| ["--only", *one]).collect();
        let (code, said) = accept(path, &flags);
        assert!(code == Some(1) && said.contains("K0935") && said.contains(why), "{only:?}: {said}");
        assert!(!said.contains("not-an-identity"), "{said}");
    }
    assert!(!path.join(NAME).exists(), "nothing was written");
    // A working value is not accepted by name either; the others beside it are.
    let live = value();
    told::add(path, "second", &live);
    fs::write(path.join("tree/live"), &live).unwrap();
    let (code, said) = accept(path, &["--only", &id(path, "tree/live")]);
    assert!(code == Some(1) && said.contains("keyroll plan second"), "{said}");
    assert_eq!(accept(path, &["--only", &mine]).0, Some(0));
    // Without a store and a baseline an identity is valid in one run only.
    let bare = tempfile::tempdir().unwrap();
    two_tokens(bare.path());
    let (code, said) = accept(bare.path(), &["--only", &mine]);
    assert!(code == Some(1) && said.contains("for one run only"), "{said}");
}

#[test]
fn the_baseline_is_that_of_the_repository_and_none_beyond_it() {
    let outer = tempfile::tempdir().unwrap();
    let top = outer.path().join("repository");
    let deep = top.join("src/deep");
    fs::create_dir_all(&deep).unwrap();
    git(&top, &["init", "--quiet", "--initial-branch=main"]);
    let (first, second, third) = (github_token(), github_token(), github_token());
    // A baseline above the repository accepts it, and does not count within.
    fs::write(outer.path().join("a"), &first).unwrap();
    assert!(run(outer.path(), &["leaks", "a", "--accept", "a test"], b"").status.success());
    fs::write(deep.join("a"), &first).unwrap();
    assert_eq!(run(&deep, &["leaks"], b"").status.code(), Some(3));
    // From outside too, if the one named path is in the repository.
    assert_eq!(run(outer.path(), &["leaks", "repository/src/deep/a"], b"").status.code(), Some(3));
    assert_eq!(run(outer.path(), &["leaks", "repository/src/deep/a", "a"], b"").status.code(), Some(0));
    // A new one is made at the top, from wherever it is made.
    let made = run(&deep, &["leaks", "--accept", "a test"], b"");
    assert!(err(&made).contains("accepted 1 in ../../.keyroll-leaks.toml"), "{}", err(&made));
    assert!(top.join(NAME).exists() && !deep.join(NAME).exists());
    assert!(fs::read_to_string(top.join(NAME)).unwrap().contains("path = \"src/deep/a\""));
    for folder in [&deep, &top.join("src"), &top] {
        assert_eq!(run(folder, &["leaks"], b"").status.code(), Some(0), "{}", folder.display());
    }
    // The nearest baseline counts; a named one takes precedence.
    fs::write(deep.join("b"), &second).unwrap();
    assert!(run(&deep, &["leaks", "--baseline", NAME, "b", "--accept", "a test"], b"").status.success());
    let nearest = run(&deep, &["leaks", "--all"], b"");
    assert!(
        nearest.status.code() == Some(3) && err(&nearest).contains("found 1 leaked value"),
        "{}",
        err(&nearest)
    );
    let named = run(&deep, &["leaks", "a", "--baseline", "../../.keyroll-leaks.toml"], b"");
    assert_eq!(named.status.code(), Some(0), "{}", err(&named));
    // Outside of a repository only the folder itself counts.
    let below = outer.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("a"), &first).unwrap();
    fs::write(below.join("c"), &third).unwrap();
    assert!(err(&run(&below, &["leaks"], b"")).contains("found 2 leaked values"));
}

/// An unrelated user of the machine.
const STRANGER: u32 = 54321;

#[test]
fn what_a_stranger_put_there_accepts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    two_tokens(path);
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    assert_eq!(accept(path, &[]).0, Some(0));
    let tree = path.join("tree");
    let code = || run(&tree, &["leaks"], b"").status.code();
    assert_eq!(code(), Some(0), "the repository's baseline counts below");
    if chown(path.join(".git"), Some(STRANGER), None).is_err() {
        // Only root can continue this test.
        assert_ne!(path.metadata().unwrap().uid(), 0);
        return;
    }
    assert_eq!(code(), Some(3), "it is no repository of ours");
    chown(path.join(".git"), Some(0), None).unwrap();
    chown(path.join(NAME), Some(STRANGER), None).unwrap();
    for arguments in [&["leaks"][..], &["leaks", "--accept", "a test"]] {
        let refused = run(&tree, arguments, b"");
        let said = err(&refused);
        assert!(refused.status.code() == Some(1) && said.contains("K0935"), "{said}");
        assert!(
            said.contains("it belongs to user 54321") && said.contains("--baseline ../.keyroll"),
            "{said}"
        );
    }
    assert_eq!(run(&tree, &["leaks", "--baseline", "../.keyroll-leaks.toml"], b"").status.code(), Some(0));
    // A nearer baseline of a stranger does not hide the repository's own.
    fs::copy(path.join(NAME), tree.join(NAME)).unwrap();
    chown(tree.join(NAME), Some(STRANGER), None).unwrap();
    chown(path.join(NAME), Some(0), None).unwrap();
    assert_eq!(code(), Some(0));
    // Everything belongs to that user.
    for one in [path, &path.join(".git"), &path.join(NAME), &tree] {
        chown(one, Some(STRANGER), None).unwrap();
    }
    assert_eq!(code(), Some(0));
}

#[test]
fn a_baseline_that_is_a_link_to_nothing_is_left_as_it_is_and_the_help_names_the_right_option() {
    let folder = tempfile::tempdir().unwrap();
    two_tokens(folder.path());
    std::os::unix::fs::symlink("nothing", folder.path().join(NAME)).unwrap();
    let (code, said) = accept(folder.path(), &[]);
    assert!(code == Some(1) && said.contains("--baseline FILE") && !said.contains("--config"), "{said}");
}

#[test]
fn a_large_baseline_takes_more_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    two_tokens(path);
    assert_eq!(accept(path, &[]).0, Some(0));
    let mut text = fs::read_to_string(path.join(NAME)).unwrap();
    for number in 0..10_000 {
        text += &format!(
            "\n[[accepted]]\nidentity = \"{number:032x}\"\nrule = \"named-secret\"\npath = \"tests/a\"\nreason = \"made up by the tests\"\n"
        );
    }
    assert!(text.len() > 1 << 20);
    fs::write(path.join(NAME), text).unwrap();
    fs::write(path.join("tree/c"), github_token()).unwrap();
    let (code, said) = accept(path, &[]);
    assert!(code == Some(0) && said.contains("which has 10003 now"), "{said}");
}

#[test]
fn the_baseline_is_that_of_the_repository_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let repository = path.join("one");
    for name in ["one/sub", "two", "none"] {
        fs::create_dir_all(path.join(name)).unwrap();
    }
    git(&repository, &["init", "--quiet", "--initial-branch=main"]);
    git(&path.join("two"), &["init", "--quiet", "--initial-branch=main"]);
    let token = github_token();
    fs::write(repository.join("sub/a"), format!("{token}\n")).unwrap();
    fs::write(path.join("none/a"), format!("{token}\n")).unwrap();
    git(&repository, &["add", "sub"]);
    git(&repository, &["commit", "--quiet", "--message", "one"]);
    let accept = |from: &Path, arguments: &[&str], said: &str| {
        let done = run(from, &[&["leaks", "--accept", "made by a test"], arguments].concat(), b"");
        assert!(done.status.success() && err(&done).contains(said), "{}", err(&done));
    };
    let open = |from: &Path, arguments: &[&str]| {
        run(from, &[&["leaks"], arguments].concat(), b"").status.code() == Some(3)
    };
    // From outside of any repository, and from within another.
    accept(path, &["--git", "one"], "accepted 1 in one/.keyroll-leaks.toml");
    assert!(repository.join(NAME).exists() && !path.join(NAME).exists());
    assert!(!open(path, &["--git", "one"]) && !open(path, &["one/sub"]) && !open(path, &["one/sub/a"]));
    let absolute = repository.display().to_string();
    assert!(!open(&path.join("two"), &["--git", "../one"]) && !open(&path.join("two"), &[&absolute]));
    assert!(!open(&repository.join("sub"), &["."]) && !open(&repository.join("sub"), &[]));
    accept(&repository.join("sub"), &["a"], "in ../.keyroll-leaks.toml");
    // Paths outside of a repository, and several paths: the baseline of the current folder.
    assert!(open(path, &["one", "two"]) && open(path, &["none"]));
    accept(path, &["none"], "accepted 1 in .keyroll-leaks.toml");
    assert!(path.join(NAME).exists() && !path.join("none").join(NAME).exists());
}
