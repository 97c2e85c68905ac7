//! What operators and programs see of findings: the counts, the identities, and the next steps.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_testkit::{github_token, write_program};
use serde_json::Value;

use crate::kept::{BINARY, err, kept, out, run, value};
use crate::leaks::git;

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let found = run(folder, &[&["leaks", "--format"], arguments].concat(), b"");
    serde_json::from_str(&out(&found)).unwrap_or_else(|_| panic!("{}", err(&found)))
}

/// Which key the identities have, and the first of them; and whether SARIF has any.
fn identity(folder: &Path) -> (String, String, bool) {
    let document = json(folder, &["json", "tree"]);
    let sarif = json(folder, &["sarif", "tree"]);
    let result = &sarif["runs"][0]["results"][0];
    let whose = document["summary"]["identities"].as_str().unwrap().to_owned();
    assert_eq!(sarif["runs"][0]["properties"]["identities"], whose.as_str());
    assert!(result["ruleId"].is_string());
    let identity = document["findings"][0]["identity"].as_str().unwrap().to_owned();
    let sent = result["partialFingerprints"]["keyroll/v1"].as_str();
    assert!(whose == "run" || sent == Some(&identity), "{whose}: {sent:?}");
    (whose, identity, sent.is_some())
}

/// One more secret, of the same issuer.
pub(crate) fn add(folder: &Path, name: &str, value: &str) {
    let path = folder.join("keyroll.toml");
    let text = fs::read_to_string(&path).unwrap();
    let more = format!(
        "[secrets.{name}]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
         [[secrets.{name}.consumers]]\nname = \"{name}-job\"\nruns = {{ at_rest = true }}\nreads = {{ file = \"./{name}.key\" }}\n"
    );
    fs::write(&path, format!("{text}{more}")).unwrap();
    let added = run(folder, &["secret", "add", name, "--id", name, "--anyway"], value.as_bytes());
    assert!(added.status.success(), "{}", err(&added));
}

#[test]
fn identities_stay_where_a_baseline_or_a_store_is_and_others_are_not_given_to_code_scanning() {
    let token = github_token();
    let (store, other) = (kept(&value()), kept(&value()));
    let bare = tempfile::tempdir().unwrap();
    for folder in [store.path(), other.path(), bare.path()] {
        fs::create_dir(folder.join("tree")).unwrap();
        fs::write(folder.join("tree/a"), format!("x {token}\n")).unwrap();
    }
    let first = identity(store.path());
    assert!(first.0 == "store" && first.2, "{first:?}");
    fs::write(store.path().join("tree/a"), format!("\n\nmoved {token}\n")).unwrap();
    assert_eq!(identity(store.path()), first, "in every run, whatever the line");
    assert_ne!(identity(other.path()).1, first.1, "another machine has another key");
    let run_only = identity(bare.path());
    assert!(run_only.0 == "run" && !run_only.2, "{run_only:?}");
    assert_ne!(identity(bare.path()).1, run_only.1);
    fs::create_dir(bare.path().join("none")).unwrap();
    fs::write(bare.path().join("none/b"), github_token()).unwrap();
    let made = run(bare.path(), &["leaks", "none", "--accept", "a test"], b"");
    assert!(made.status.success(), "{}", err(&made));
    fs::copy(bare.path().join(".keyroll-leaks.toml"), store.path().join(".keyroll-leaks.toml")).unwrap();
    let (here, there) = (identity(bare.path()), identity(store.path()));
    assert!(here.0 == "baseline" && here.2 && here == there && here.1 != first.1, "{here:?} {there:?}");
}

#[test]
fn a_value_in_many_places_is_one() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    fs::write(folder.path().join("tree/a"), format!("{token}\n").repeat(23)).unwrap();
    fs::write(folder.path().join("tree/b"), format!("{token} # keyroll:allow a test\n")).unwrap();
    fs::write(folder.path().join("tree/c"), format!("{token}\n{}\n", github_token())).unwrap();
    let found = run(folder.path(), &["leaks", "tree"], b"");
    let said = "found 2 leaked values in 25 places, and 1 accepted value in 1 place (--all shows them)";
    assert!(err(&found).contains(said), "{}", err(&found));
    assert_eq!(out(&found).lines().count(), 3, "as many as the table has: {}", out(&found));
    let summary = &json(folder.path(), &["json", "tree"])["summary"];
    assert_eq!((&summary["open"], &summary["open_values"]), (&25.into(), &2.into()));
    assert_eq!((&summary["accepted"], &summary["accepted_values"]), (&1.into(), &1.into()));
}

#[test]
fn each_live_secret_has_its_next_step_where_that_step_can_be_taken() {
    let folder = kept(&value());
    let path = folder.path();
    let more: Vec<(String, String)> = (0..11).map(|at| (format!("key-{at:02}"), value())).collect();
    more.iter().for_each(|(name, value)| add(path, name, value));
    let text: String = more.iter().map(|(_, value)| format!("{value}\n")).collect();
    fs::create_dir(path.join("tree")).unwrap();
    fs::write(path.join("tree/a"), &text).unwrap();
    let here = run(path, &["leaks", "tree"], b"");
    for (name, _) in &more[..10] {
        let step = format!("{name} works: who uses it: keyroll why {name};");
        assert!(err(&here).contains(&step), "{name}: {}", err(&here));
    }
    assert!(!err(&here).contains("keyroll why key-10") && err(&here).contains("and 1 more secret"));
    let written = run(path, &["fingerprints", "--out", "all.prints"], b"");
    assert!(written.status.success(), "{}", err(&written));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::copy(path.join("all.prints"), elsewhere.path().join("p")).unwrap();
    fs::write(elsewhere.path().join("a"), &text).unwrap();
    let there = run(elsewhere.path(), &["leaks", "--known", "--fingerprints", "p", "a"], b"");
    let step = "key-00 works: replace it on the machine that manages it: keyroll plan key-00";
    assert!(err(&there).contains(step) && !err(&there).contains("keyroll why"), "{}", err(&there));
}

#[test]
fn what_is_staged_is_told_with_the_way_out_of_it() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("a"), &token).unwrap();
    git(path, &["add", "a"]);
    let said = |hook: bool| {
        let mut command = Command::new(BINARY);
        command.args(["--state", "s", "leaks", "--staged"]).current_dir(path).env_clear();
        if hook {
            command.env("GIT_INDEX_FILE", ".git/index");
        }
        err(&command.output().unwrap())
    };
    let (stopped, by_hand) = (said(true), said(false));
    assert!(stopped.contains("the commit was stopped: nothing of it is in the history yet"), "{stopped}");
    assert!(!by_hand.contains("stopped") && by_hand.contains("nothing of it is in the history"), "{by_hand}");
    for said in [stopped, by_hand] {
        assert!(said.contains("git restore --staged FILE") && said.contains("# keyroll:allow"), "{said}");
    }
    // The same without staged files: these messages do not appear.
    let tree = run(path, &["leaks"], b"");
    assert!(!err(&tree).contains("staged") && !err(&tree).contains("in the history"), "{}", err(&tree));
}

#[test]
fn the_command_that_comes_next_looks_where_it_was_looked_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("a"), github_token()).unwrap();
    git(path, &["add", "a"]);
    fs::write(path.join("untracked"), github_token()).unwrap();
    let said = |arguments: &[&str], stdin: &[u8]| err(&run(path, &[&["leaks"], arguments].concat(), stdin));
    let staged = said(&["--staged"], b"");
    assert!(staged.contains("or keyroll leaks --staged --accept REASON for all"), "{staged}");
    let tree = said(&[], b"");
    assert!(tree.contains("or keyroll leaks --accept REASON for all"), "{tree}");
    for (arguments, stdin) in
        [(&["a"][..], String::new()), (&["--staged", "."], String::new()), (&["--stdin"], github_token())]
    {
        let said = said(arguments, stdin.as_bytes());
        assert!(said.contains("or the same command with --accept REASON for all"), "{arguments:?}: {said}");
        assert!(!said.contains("keyroll leaks --"), "{arguments:?}: {said}");
    }
    let accepted = said(&["--staged", "--accept", "a test"], b"");
    assert!(accepted.contains("accepted 1 in"), "{accepted}");
    git(path, &["commit", "--quiet", "--message", &format!("with {}", github_token())]);
    let history = said(&["--git"], b"");
    for option in ["--accept REASON", "--verify"] {
        assert!(history.contains(&format!("keyroll leaks --git {option}")), "{history}");
    }
}

#[test]
fn of_what_could_not_be_opened_it_is_not_said_that_it_has_no_leak() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.7z"), b"7z\xbc\xaf\x27\x1cx").unwrap();
    for arguments in [&["--git"][..], &["--pid", "4194304"], &["none"], &["a.7z"]] {
        let failed = run(folder.path(), &[&["leaks"], arguments].concat(), b"");
        assert_eq!(failed.status.code(), Some(1), "{arguments:?}");
        let said = err(&failed);
        assert!(said.contains("K0934") && !said.contains("no leak was found"), "{arguments:?}: {said}");
        let events = run(folder.path(), &[&["--json", "leaks"], arguments].concat(), b"");
        assert!(!out(&events).contains("\"leaks\"") && out(&events).contains("K0934"), "{}", out(&events));
    }
    let sarif = json(folder.path(), &["sarif", "--git"]);
    assert_eq!(sarif["runs"][0]["invocations"][0]["executionSuccessful"], false);
}

#[test]
fn of_what_could_not_be_opened_the_way_out_is_that_of_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_program(&path.join("docker"), "#!/bin/sh\nexit 1\n");
    for (arguments, way) in [
        (&["--git"][..], "help: run it in a git repository"),
        (&["--staged"], "help: run it in a git repository"),
        (&["--pid", "4194304"], "help: name an existing process"),
        (&["--container", "x"], "container x: docker ended with exit status: 1\n"),
        (&["--container", "x"], "help: see what docker reports: docker logs NAME"),
        (&["--image", "x"], "help: see what docker reports: docker image inspect NAME"),
    ] {
        let mut command = Command::new(BINARY);
        command.args(["--state", "s", "leaks"]).args(arguments).current_dir(path).env_clear();
        let ran = command.env("PATH", format!("{}:/usr/bin:/bin", path.display())).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}");
        assert!(
            err(&ran).contains(way) && !err(&ran).contains("keyroll doctor"),
            "{arguments:?}: {}",
            err(&ran)
        );
    }
}

#[test]
fn where_something_was_found_it_is_told_whatever_could_not_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let looked = |text: &[u8]| {
        fs::write(folder.path().join("a"), text).unwrap();
        run(folder.path(), &["leaks", "a"], b"")
    };
    let mut text = format!("{}\n", github_token()).into_bytes();
    text.resize(1024, b'x');
    text[257..263].copy_from_slice(b"ustar\0");
    let closed = [b"7z\xbc\xaf\x27\x1c \n".as_slice(), github_token().as_bytes(), b"\n"].concat();
    for text in [text, closed] {
        let piped = run(folder.path(), &["leaks", "--stdin"], &text);
        for (ran, name) in [(looked(&text), "a"), (piped, "stdin")] {
            assert_eq!(ran.status.code(), Some(3), "{}", err(&ran));
            assert!(err(&ran).contains(&format!("not visible: {name}")), "{}", err(&ran));
        }
    }
    // An unopened file is not reported as free of findings.
    assert_eq!(looked(b"7z\xbc\xaf\x27\x1c and more").status.code(), Some(1));
}

#[test]
fn clusters_among_all_hosts_are_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n\
                  [hosts.stage]\nconnect = \"kube://eks/stage\"\n";
    fs::write(folder.path().join("keyroll.toml"), config).unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "nothing\n").unwrap();
    let ran = run(folder.path(), &["leaks", tree.to_str().unwrap(), "--all-hosts"], b"");
    assert_eq!(ran.status.code(), Some(0), "{}", err(&ran));
    let named = "not searched, for a cluster has no folders: prod, stage; keyroll scan --host NAME shows the secrets of a cluster";
    assert_eq!(err(&ran).matches(named).count(), 1, "{}", err(&ran));
}

#[test]
fn the_action_passes_its_inputs_on_and_looks_at_the_tree_whatever_the_history_has() {
    let action = include_str!("../../../../../action.yml");
    let (_, script) = action.rsplit_once("      run: |\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let stand_in =
        "#!/bin/sh\necho \"$@\" >> said\ncase \"$*\" in *--git*) exit 3;; *--strict*) exit 8;; esac\n";
    write_program(&path.join("keyroll"), stand_in);
    fs::write(path.join("b.toml"), "").unwrap();
    let ran = |prints: &str, baseline: &str, history: &str, strict: &str| {
        let _ = fs::remove_file(path.join("said"));
        let inputs = [
            ("FINGERPRINTS", prints),
            ("BASELINE", baseline),
            ("HISTORY", history),
            ("STRICT", strict),
            ("PATH", "a b"),
        ];
        let mut command = Command::new("bash");
        command.args(["-eo", "pipefail", "-c", script]).current_dir(path).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin", path.display()));
        command.envs(inputs.map(|(name, value)| (format!("LEAKS_{name}"), value)));
        let code = command.status().unwrap().code();
        (code, fs::read_to_string(path.join("said")).unwrap())
    };
    assert_eq!(ran("", "none", "false", "false"), (Some(0), "leaks --format github -- a b\n".to_owned()));
    let known = "--format github --baseline b.toml --fingerprints p";
    let both = format!("leaks --git {known} -- a b\nleaks {known} -- a b\n");
    assert_eq!(ran("p", "b.toml", "true", "false"), (Some(3), both));
    let strict = "leaks --format github --strict -- a b\n";
    assert_eq!(ran("", "none", "false", "true"), (Some(8), strict.to_owned()));
    let (code, _) = ran("", "none", "true", "true");
    assert_eq!(code, Some(3), "a leak is the worse of both");
}

#[test]
fn what_is_left_out_on_purpose_is_counted_with_how_to_scan_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join(".gitignore"), "left\n").unwrap();
    fs::write(path.join("left"), github_token()).unwrap();
    std::os::unix::fs::symlink("left", path.join("link")).unwrap();
    let said =
        "left out 1 git history (--git), 1 ignored file or folder (--no-ignore), 1 link (followed if named)";
    let found = err(&run(path, &["leaks"], b""));
    assert!(found.contains("no leak was found") && found.contains(said), "{found}");
    let counts = &json(path, &["json", "."])["summary"]["passed_over"];
    assert_eq!(
        (&counts["histories"], &counts["ignored"], &counts["links"]),
        (&1.into(), &1.into(), &1.into())
    );
    let all = err(&run(path, &["leaks", "--no-ignore"], b""));
    assert!(all.contains("found 1 leaked value") && !all.contains("ignored file"), "{all}");
}

#[test]
fn the_workflow_of_the_guide_writes_the_prints_as_they_were() {
    let guide = include_str!("../../../../../docs/guides/find-leaks.md");
    let script = guide.lines().find_map(|line| line.trim().strip_prefix("- run: ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let prints = "keyroll-prints 1\nkey %s\\n \nend\n";
    // A secret may have lost its last line end.
    for secret in [prints, prints.trim_end()] {
        let mut command = Command::new("bash");
        command.args(["-e", "-c", script]).env("PRINTS", secret).env("RUNNER_TEMP", folder.path());
        assert!(command.status().unwrap().success());
        assert_eq!(fs::read_to_string(folder.path().join("keyroll.prints")).unwrap(), prints);
    }
}

#[test]
fn a_value_that_its_name_alone_tells_is_told_with_that_name_and_the_name_is_no_value() {
    let value = value();
    let folder = kept(&value);
    let (path, token) = (folder.path(), github_token());
    fs::create_dir(path.join("tree")).unwrap();
    let text = "JWT_SECRET=kD93hfQ0plm4\nDB_PASSWORD=tR9vWq2LxZ7n\nOTHER_TOKEN=kD93hfQ0plm4\n";
    fs::write(path.join("tree/a.env"), text).unwrap();
    // Text that anybody may write in place of a name.
    let odd = ["mW4xTq8LzR6c", "nB6yUs0MwS8d", "pC8zVt2NxT0e"];
    let names = [format!("{value}_token"), format!("{token}-secret"), "aB3dE5fG7hJ9_password".to_owned()];
    let text: String = names.iter().zip(odd).map(|(name, value)| format!("{name}: {value}\n")).collect();
    fs::write(path.join("tree/b.yaml"), text).unwrap();
    let table = out(&run(path, &["leaks", "tree"], b""));
    for row in ["named-secret JWT_SECRET and 1 more  unknown", "named-secret DB_PASSWORD"] {
        assert!(table.contains(row), "{row}: {table}");
    }
    let document = json(path, &["json", "tree"]);
    let findings = document["findings"].as_array().unwrap();
    let name = |line: u64, file: &str| {
        let here = |one: &&Value| {
            one["place"]["line"] == line && one["place"]["path"] == file && one["rule"] == "named-secret"
        };
        findings.iter().find(here).unwrap_or_else(|| panic!("{file}:{line}: {document}"))["name"].clone()
    };
    let named: Vec<Value> = (1..=3).map(|line| name(line, "tree/a.env")).collect();
    assert_eq!(named, ["JWT_SECRET", "DB_PASSWORD", "OTHER_TOKEN"]);
    for line in 1..=3 {
        assert!(name(line, "tree/b.yaml").is_null(), "{document}");
    }
    let sarif = json(path, &["sarif", "tree"]);
    let run_of = &sarif["runs"][0];
    let said = run_of["results"][0]["message"]["text"].as_str().unwrap();
    assert!(said.starts_with("value under the name of a secret, JWT_SECRET ("), "{said}");
    assert!(!run_of["tool"]["driver"]["rules"].to_string().contains("JWT_SECRET"), "{sarif}");
    for format in ["table", "json", "jsonl", "sarif", "github"] {
        let written = run(path, &["leaks", "tree", "--all", "--format", format], b"");
        let all = out(&written) + &err(&written);
        for secret in [value.as_str(), &token, "aB3dE5fG7hJ9", "kD93hfQ0plm4", odd[0]] {
            assert!(!all.contains(secret), "{format} shows a value");
        }
        assert!(all.contains("JWT_SECRET"), "{format}: {all}");
    }
}

#[test]
fn with_all_each_place_has_a_line_of_its_own() {
    let token = github_token();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("tree")).unwrap();
    fs::write(path.join("tree/a"), format!("{token}\n").repeat(9)).unwrap();
    let until = format!("{} # keyroll:allow until=2999-12-31 a test\n", github_token());
    fs::write(path.join("tree/b"), until).unwrap();
    let all = out(&run(path, &["leaks", "tree", "--all"], b""));
    let lines: Vec<&str> = all.lines().skip(1).collect();
    assert_eq!(lines.len(), 10, "{all}");
    for (line, number) in lines.iter().zip(1..=9) {
        assert!(
            line.starts_with("github-classic-token  ") && line.ends_with(&format!("tree/a:{number}:1")),
            "{all}"
        );
    }
    assert!(lines[9].contains("accepted: a test (until 2999-12-31)  tree/b:1:1"), "{all}");
    assert_eq!(out(&run(path, &["leaks", "tree"], b"")).lines().count(), 2);
}
