//! `leaks`: leaked secrets are reported correctly in every format, and no value is ever printed.

pub(crate) mod accepted;
pub(crate) mod short;
pub(crate) mod strict;
pub(crate) mod theirs;
pub(crate) mod told;
pub(crate) mod verified;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_testkit::{Engine, github_token, write_program};
use serde_json::Value;

use crate::kept::{BINARY, err, kept, out, run, value};

/// A folder with a store that keeps this value, and a tree below it.
fn with_tree(value: &str) -> tempfile::TempDir {
    let folder = kept(value);
    fs::create_dir(folder.path().join("tree")).unwrap();
    folder
}

#[test]
fn a_value_that_is_kept_is_told_as_its_version_and_others_by_their_form() {
    let (value, token) = (value(), github_token());
    let folder = with_tree(&value);
    let tree = folder.path().join("tree");
    let coded = STANDARD.encode(format!("user:{value}:x"));
    fs::write(tree.join("app.env"), format!("A=1\nKEY={value}\n")).unwrap();
    fs::write(tree.join("log.txt"), format!("sent {coded} to x\ntoken {token}\n")).unwrap();
    fs::write(tree.join("db.yaml"), "db:\n  password: kD93hfQ0plm4\n").unwrap();
    let found = run(folder.path(), &["leaks", "tree"], b"");
    assert_eq!(found.status.code(), Some(3), "{}", err(&found));
    let shown = out(&found);
    let line = |with: &str| {
        shown.lines().find(|line| line.contains(with)).unwrap_or_else(|| panic!("{with}: {shown}"))
    };
    assert!(line("acme v1 (current)").contains("live"), "{shown}");
    assert!(line("acme v1 (current)").contains("tree/app.env:2:5, tree/log.txt:1:13 (base64)"), "{shown}");
    assert!(line("github-classic-token").contains("tree/log.txt:2:7"), "{shown}");
    assert!(line("named-secret").contains("tree/db.yaml:2:13"), "{shown}");
    assert!(err(&found).contains("found 3 leaked values in 4 places; read 3 texts"), "{}", err(&found));
    assert!(err(&found).contains("keyroll plan acme"), "{}", err(&found));
    assert!(
        err(&found).contains("how to revoke it: keyroll issuers show github-classic\n"),
        "{}",
        err(&found)
    );
    for format in ["table", "json", "jsonl", "sarif", "github"] {
        let written = run(folder.path(), &["leaks", "tree", "--all", "--format", format], b"");
        assert_eq!(written.status.code(), Some(3));
        let all = out(&written) + &err(&written);
        for secret in [value.as_str(), &token, &coded, "kD93hfQ0plm4"] {
            assert!(!all.contains(secret), "{format} shows a value");
        }
    }
    let known = run(folder.path(), &["leaks", "--known", "tree"], b"");
    assert!(
        err(&known).contains("found 1 leaked value in 2 places") && !out(&known).contains("github"),
        "{}",
        out(&known)
    );
    let forms = run(folder.path(), &["leaks", "--forms", "tree"], b"");
    assert!(
        err(&forms).contains("found 2 leaked values in 3 places") && !out(&forms).contains("named-secret"),
        "{}",
        out(&forms)
    );
}

#[test]
fn every_format_has_the_form_that_its_readers_expect() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a b.txt"), format!("é {token}\n")).unwrap();
    fs::write(folder.path().join("ok.txt"), format!("{token} # keyroll:allow of a test\n")).unwrap();
    let written = |format: &str| {
        let written = run(folder.path(), &["leaks", "--format", format], b"");
        assert_eq!(written.status.code(), Some(3), "{}", err(&written));
        out(&written)
    };
    let sarif: Value = serde_json::from_str(&written("sarif")).unwrap();
    let run_of = &sarif["runs"][0];
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(run_of["tool"]["driver"]["rules"][0]["id"], "github-classic-token");
    let result = &run_of["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b.txt");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&1.into(), &3.into()));
    assert_eq!(place["region"]["endColumn"], 3 + token.len());
    assert_eq!(result["ruleIndex"], 0);
    assert_eq!(run_of["results"][1]["suppressions"][0]["kind"], "inSource");
    let document: Value = serde_json::from_str(&written("json")).unwrap();
    assert_eq!((&document["summary"]["open"], &document["summary"]["accepted"]), (&1.into(), &1.into()));
    let lines: Vec<Value> =
        written("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let annotations = written("github");
    assert!(
        annotations.starts_with("::error file=./a b.txt,line=1,col=3,")
            || annotations.starts_with("::error file=a b.txt,line=1,col=3,"),
        "{annotations}"
    );
    let events = run(folder.path(), &["--json", "leaks"], b"");
    let events: Vec<Value> = out(&events).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "leak", "leak", "leaks"]);
}

#[test]
fn what_is_piped_in_is_looked_at() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    let found = run(folder.path(), &["leaks", "--stdin"], format!("x\n{token}\n").as_bytes());
    assert_eq!(found.status.code(), Some(3));
    assert!(out(&found).contains("stdin:2:1") && !out(&found).contains(&token), "{}", out(&found));
    let clean = run(folder.path(), &["leaks", "--stdin"], b"nothing\n");
    assert_eq!((clean.status.code(), out(&clean).as_str()), (Some(0), ""));
    assert!(err(&clean).contains("no leak was found; read 1 text"), "{}", err(&clean));
}

#[test]
fn what_is_accepted_is_told_no_more_until_something_new_comes() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("a"), format!("{token}\n")).unwrap();
    let accepted = run(path, &["leaks", "--accept", "made by a test", "--until", "2999-01-01"], b"");
    assert_eq!(accepted.status.code(), Some(0), "{}", err(&accepted));
    assert!(err(&accepted).contains("accepted 1 in .keyroll-leaks.toml"), "{}", err(&accepted));
    let kept = fs::read_to_string(path.join(".keyroll-leaks.toml")).unwrap();
    assert!(kept.contains("made by a test") && !kept.contains(&token));
    let clean = run(path, &["leaks"], b"");
    assert_eq!(clean.status.code(), Some(0), "{}", out(&clean));
    fs::write(path.join("a"), format!("\n\nmoved {token}\n")).unwrap();
    assert_eq!(run(path, &["leaks"], b"").status.code(), Some(0));
    fs::write(path.join("b"), github_token()).unwrap();
    let new = run(path, &["leaks"], b"");
    assert_eq!(new.status.code(), Some(3));
    assert!(
        out(&new).contains("b:1:1") && err(&new).contains("1 accepted value in 1 place"),
        "{}",
        err(&new)
    );
    let empty = run(path, &["leaks", "--accept", " "], b"");
    assert_eq!(empty.status.code(), Some(1));
    fs::write(path.join(".keyroll-leaks.toml"), "version = 1\n").unwrap();
    let broken = run(path, &["leaks"], b"");
    assert!(broken.status.code() == Some(1) && err(&broken).contains("K0935"), "{}", err(&broken));
}

#[test]
fn a_value_that_opens_something_is_not_accepted() {
    let value = value();
    let folder = with_tree(&value);
    fs::write(folder.path().join("tree/a"), &value).unwrap();
    let refused = run(folder.path(), &["leaks", "tree", "--accept", "never mind"], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("keyroll plan acme"), "{}", err(&refused));
    assert!(!folder.path().join(".keyroll-leaks.toml").exists());
}

#[test]
fn what_is_not_there_and_what_may_not_be_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let none = run(folder.path(), &["leaks", "none"], b"");
    assert!(none.status.code() == Some(1) && err(&none).contains("K0934"), "{}", err(&none));
    let known = run(folder.path(), &["leaks", "--known"], b"");
    assert!(known.status.code() == Some(1) && err(&known).contains("K0931"), "{}", err(&known));
    fs::write(folder.path().join("a.7z"), b"7z\xbc\xaf\x27\x1cx").unwrap();
    let nothing = run(folder.path(), &["leaks", "a.7z"], b"");
    assert!(nothing.status.code() == Some(1) && err(&nothing).contains("K0934"), "{}", err(&nothing));
    fs::write(folder.path().join("b"), "nothing\n").unwrap();
    let skipped = run(folder.path(), &["leaks"], b"");
    assert_eq!(skipped.status.code(), Some(0));
    assert!(
        err(&skipped).contains("a.7z") && err(&skipped).contains("1 location was not scanned"),
        "{}",
        err(&skipped)
    );
}

fn git(folder: &Path, arguments: &[&str]) {
    let made = Command::new("git")
        .args(["-c", "user.name=One", "-c", "user.email=one@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn histories_and_what_is_staged_are_looked_at() {
    let (old, new) = (github_token(), github_token());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let outside = run(path, &["leaks", "--git"], b"");
    assert!(outside.status.code() == Some(1) && err(&outside).contains("K0934"), "{}", err(&outside));
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("a.txt"), format!("x\n{old}\n")).unwrap();
    git(path, &["add", "a.txt"]);
    let staged = run(path, &["leaks", "--staged"], b"");
    assert_eq!(staged.status.code(), Some(3), "{}", err(&staged));
    assert!(out(&staged).contains("staged › a.txt:2:1"), "{}", out(&staged));
    git(path, &["commit", "--quiet", "--message", "one"]);
    let clean = run(path, &["leaks", "--staged"], b"");
    assert_eq!((clean.status.code(), out(&clean).as_str()), (Some(0), ""));
    fs::write(path.join("a.txt"), "x\n").unwrap();
    git(path, &["commit", "--quiet", "--all", "--message", &format!("two {new}")]);
    assert_eq!(run(path, &["leaks"], b"").status.code(), Some(0), "nothing of it stands in a file any more");
    let all = run(path, &["--json", "leaks", "--git"], b"");
    let events: Vec<Value> = out(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let leaks: Vec<&Value> = events.iter().filter(|one| one["type"] == "leak").collect();
    assert_eq!(leaks.len(), 2, "{}", out(&all));
    let gone = leaks.iter().find(|one| one["place"]["path"] == "a.txt").unwrap();
    assert_eq!(gone["place"]["commit"]["author"], "One <one@example.org>");
    assert_eq!(gone["place"]["commit"]["in_head"], false);
    assert!(leaks.iter().any(|one| one["place"]["inside"][0] == "message"));
    assert!(!out(&all).contains(&old) && !out(&all).contains(&new));
}

#[test]
fn images_and_what_containers_wrote_are_looked_at() {
    let Some(engine) = Engine::start_or_skip("leaks in images and containers") else { return };
    let (layered, logged, beside) = (github_token(), github_token(), github_token());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("tree/srv")).unwrap();
    fs::write(path.join("tree/srv/app.env"), format!("A=1\nTOKEN={layered}\n")).unwrap();
    let packed = Command::new("tar").args(["-cf", "tree.tar", "-C", "tree", "."]).current_dir(path).status();
    assert!(packed.unwrap().success());
    let tar = path.join("tree.tar").display().to_string();
    assert!(engine.docker(&["import", &tar, "held"]).output().unwrap().status.success());
    engine.image("base", "").unwrap();
    let says = format!("echo {logged}; echo {beside} >&2");
    let ran = engine.docker(&[
        "run",
        "--name",
        "says",
        "-v",
        "/usr:/usr:ro",
        "--network",
        "none",
        "base",
        "sh",
        "-c",
        &says,
    ]);
    let ran = { ran }.output().unwrap();
    assert!(ran.status.success(), "{}", err(&ran));
    let look = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command
            .args(["--state", "s", "leaks"])
            .args(arguments)
            .current_dir(path)
            .env("DOCKER_HOST", engine.host());
        command.stdin(Stdio::null()).output().unwrap()
    };
    let image = look(&["--image", "held"]);
    assert_eq!(image.status.code(), Some(3), "{}", err(&image));
    let shown = out(&image);
    assert!(shown.contains("image held › ") && shown.contains("srv/app.env:2:7"), "{shown}");
    let wrote = look(&["--container", "says"]);
    assert!(
        out(&wrote).contains("container says:1:1") && out(&wrote).contains("container says:2:1"),
        "{}",
        out(&wrote)
    );
    for value in [&layered, &logged, &beside] {
        assert!(!(out(&image) + &out(&wrote)).contains(value));
    }
    let none = look(&["--image", "none"]);
    assert!(none.status.code() == Some(1) && err(&none).contains("K0934"), "{}", err(&none));
}

#[test]
fn rules_that_were_written_for_gitleaks_are_used_as_they_are() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let own = "[[rules]]\nid = 'house'\ndescription = 'a key of ours'\nregex = 'house-([a-z0-9]{8})'\nkeywords = ['house-']\n\
               [[rules]]\nid = 'odd'\nregex = 'x(?=y)'\n[[rules.allowlists]]\npaths = ['none']\n\
               [[allowlists]]\npaths = ['^docs/']\n";
    fs::write(path.join("rules.toml"), own).unwrap();
    fs::create_dir(path.join("docs")).unwrap();
    fs::write(path.join("docs/a"), "house-k4d9q2z7\n").unwrap();
    fs::write(path.join("b"), format!("1\nhouse-k4d9q2z7\n{token}\nhouse-x1y2z3w4\n")).unwrap();
    fs::write(path.join(".gitleaksignore"), "b:house:4\nb:house\n").unwrap();
    let found = run(path, &["leaks", "--rules", "rules.toml", "b", "docs"], b"");
    assert_eq!(found.status.code(), Some(3), "{}", err(&found));
    assert!(out(&found).contains("house  unknown  b:2:7"), "{}", out(&found));
    assert!(
        !out(&found).contains("b:4") && !out(&found).contains("github") && !out(&found).contains("docs/a"),
        "{}",
        out(&found)
    );
    assert!(
        err(&found).contains("the rule 'odd'") && err(&found).contains("1 accepted value in 1 place"),
        "{}",
        err(&found)
    );
    assert!(err(&found).contains(".gitleaksignore, line 2"), "{}", err(&found));
    // A line names the archive itself, or a member of it.
    let packed = Command::new("tar").args(["-cf", "a.tar", "b"]).current_dir(path).status();
    assert!(packed.unwrap().success());
    for (line, open) in [("a.tar:house:2", true), ("a.tar!b:house:2", false)] {
        fs::write(path.join(".gitleaksignore"), format!("{line}\na.tar!b:house:4\n")).unwrap();
        let found = run(path, &["leaks", "--rules", "rules.toml", "a.tar"], b"");
        assert_eq!(found.status.code(), Some(if open { 3 } else { 0 }), "{line}: {}", err(&found));
    }
    fs::write(path.join("rules.toml"), format!("[extend]\nuseDefault = true\n{own}")).unwrap();
    let both = run(path, &["leaks", "--rules", "rules.toml", "b"], b"");
    assert!(out(&both).contains("github-classic-token") && out(&both).contains("house"), "{}", out(&both));
    fs::write(path.join("rules.toml"), "[[rules]]\nid = 'a'\nregex = '('\nkeywords = 7\n").unwrap();
    let broken = run(path, &["leaks", "--rules", "rules.toml"], b"");
    assert!(
        broken.status.code() == Some(1) && err(&broken).contains("K0935") && err(&broken).contains("line 4"),
        "{}",
        err(&broken)
    );
}

#[test]
fn a_hook_sees_what_commit_a_takes_in() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("a"), "a\n").unwrap();
    git(path, &["add", "a"]);
    git(path, &["commit", "--quiet", "--message", "one"]);
    let hook = path.join(".git/hooks/pre-commit");
    write_program(&hook, format!("#!/bin/sh\nexec {BINARY} --state s leaks --staged\n"));
    for arguments in [&["commit", "--all", "-m", "x"][..], &["commit", "-m", "x", "a"]] {
        fs::write(path.join("a"), &token).unwrap();
        let committed = Command::new("git")
            .args(["-c", "user.name=One", "-c", "user.email=one@example.org"])
            .args(arguments)
            .current_dir(path)
            .env("HOME", path)
            .output()
            .unwrap();
        assert!(!committed.status.success(), "{}", err(&committed));
        assert!(
            err(&committed).contains("found 1 leaked value in 1 place;")
                && err(&committed).contains("the commit was stopped"),
            "{}",
            err(&committed)
        );
    }
    fs::write(path.join("a"), "b\n").unwrap();
    git(path, &["commit", "--quiet", "--all", "-m", "clean"]);
}

#[test]
fn what_is_packed_is_found_in_every_source_and_a_hook_is_not_open_for_what_it_cannot_read() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("a.env"), format!("A=1\nTOKEN={token}\nhouse-k4d9q2z7\n")).unwrap();
    let shell = "bzip2 -c a.env > a.bz2; tar -cJf a.txz a.env; rm a.env
        sqlite3 a.db \"create table t(b text); insert into t values('$1')\"; gzip -n a.db";
    let made = Command::new("sh").args(["-ec", shell, "sh", &token]).current_dir(path).status();
    assert!(made.unwrap().success());
    git(path, &["add", "."]);
    let places = ["a.bz2:2:7", "a.db.gz › t › row 1 › b:1:1", "a.txz › a.env:2:7"];
    let look = |arguments: &[&str]| {
        let found = run(path, &[&["leaks", "--all"], arguments].concat(), b"");
        assert_eq!(found.status.code(), Some(3), "{}", err(&found));
        assert!(!(out(&found) + &err(&found)).contains(&token));
        out(&found)
    };
    let staged = look(&["--staged"]);
    let tree = look(&[]);
    git(path, &["commit", "--quiet", "--message", "one"]);
    let history = look(&["--git"]);
    for shown in [staged, tree, history] {
        assert!(places.iter().all(|place| shown.contains(place)), "{shown}");
    }
    let rules = "[[rules]]\nid = 'house'\nregex = 'house-[a-z0-9]{8}'\n[[allowlists]]\npaths = ['bz2$']\n";
    fs::write(path.join("rules.toml"), rules).unwrap();
    let theirs = look(&["--git", "--rules", "rules.toml"]);
    assert!(theirs.contains("a.txz › a.env:3:1") && !theirs.contains("a.bz2"), "{theirs}");
    let large = fs::File::create(path.join("large")).unwrap();
    large.set_len(70 << 20).unwrap();
    git(path, &["-c", "core.compression=1", "add", "large"]);
    let stopped = run(path, &["leaks", "--staged"], b"");
    assert_eq!(stopped.status.code(), Some(1), "{}", err(&stopped));
    let said = err(&stopped);
    assert!(
        said.contains("K0934") && said.contains("staged › large") && said.contains(".keyrollignore"),
        "{said}"
    );
    // If nothing was scanned, nothing is accepted.
    let accepted = run(path, &["leaks", "--staged", "--accept", "a test"], b"");
    assert_eq!(accepted.status.code(), Some(1), "{}", err(&accepted));
    assert!(err(&accepted).contains("K0934") && !path.join(".keyroll-leaks.toml").exists());
    fs::write(path.join(".keyrollignore"), "/large\n").unwrap();
    let allowed = run(path, &["leaks", "--staged"], b"");
    assert!(allowed.status.success() && err(&allowed).contains("staged › large"), "{}", err(&allowed));
}

#[test]
fn a_file_that_is_called_by_a_value_is_shown_without_it() {
    let (value, token) = (value(), github_token());
    let folder = with_tree(&value);
    let tree = folder.path().join("tree");
    fs::write(tree.join(format!("{token}.txt")), format!("x {token}\n")).unwrap();
    for format in ["table", "json", "jsonl", "sarif", "github"] {
        let written = run(folder.path(), &["leaks", "tree", "--format", format], b"");
        assert!(!(out(&written) + &err(&written)).contains(&token), "{format}");
    }
    let accepted = run(folder.path(), &["leaks", "tree", "--accept", &format!("as {token}")], b"");
    assert!(accepted.status.success(), "{}", err(&accepted));
    let kept = fs::read_to_string(folder.path().join(".keyroll-leaks.toml")).unwrap();
    assert!(!kept.contains(&token) && kept.contains("[redacted:"), "{kept}");
    let named = run(folder.path(), &["--sealing-key", "nonsense", "leaks", "tree"], b"");
    assert_eq!(named.status.code(), Some(2), "known values are not left out in silence: {}", err(&named));
}
