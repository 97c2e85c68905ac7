//! Rule files for gitleaks: keyroll names every part that it does not use.

use std::fs;
use std::path::Path;

use keyroll_testkit::github_token;
use serde_json::Value;

use crate::kept::{err, out, run};

/// Runs it with these rules: how it ended, and what it wrote.
fn ran(folder: &Path, rules: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    fs::write(folder.join("rules.toml"), rules).unwrap();
    let ran = run(folder, &[&["leaks", "--rules", "rules.toml"], arguments].concat(), b"");
    (ran.status.code(), out(&ran), err(&ran))
}

#[test]
fn a_file_by_which_nothing_can_be_found_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), github_token()).unwrap();
    for (rules, why) in [
        ("", "it has no rule"),
        ("[[rule]]\nid = 'a'\nregex = 'a'\n", "the file has the unknown key 'rule' on line 1"),
        ("[[rules]]\nid = 'a'\nregex = '(('\n", "the rule 'a': its regex"),
        ("[[allowlists]]\npaths = ['x']\n", "it has no rule"),
        ("[extend]\npath = 'none.toml'\ndisabledRules = ['a']\n", "it has no rule"),
    ] {
        fs::write(folder.path().join("none.toml"), "[[rules]]\nid = 'a'\nregex = 'a'\n").unwrap();
        for format in ["table", "json"] {
            let (code, shown, said) = ran(folder.path(), rules, &["a", "--format", format]);
            assert_eq!(code, Some(1), "{rules}: {shown}{said}");
            assert!(said.contains("K0935") && said.contains(why), "{rules}: {said}");
            assert!(!said.contains("no leak was found") && shown.is_empty(), "{rules}: {shown}{said}");
        }
    }
    // With keyroll's own rules, the file need not have rules.
    let (code, shown, _) = ran(folder.path(), "[extend]\nuseDefault = true\n", &["a"]);
    assert!(code == Some(3) && shown.contains("github-classic-token"), "{shown}");
    let own = "[extend]\nuseDefault = true\n[[rule]]\nid = 'a'\n";
    let (code, _, said) = ran(folder.path(), own, &["a"]);
    assert!(code == Some(3) && said.contains("key 'rule' on line 3"), "{said}");
}

#[test]
fn a_rule_that_is_not_used_is_named_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "nothing\n").unwrap();
    let rules = "[[rules]]\nid = 'good'\nregex = 'house-[0-9]{8}'\n[[rules]]\nid = 'odd'\nregex = 'x(?=y)'\n";
    let (code, _, said) = ran(folder.path(), rules, &["a"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("the rule 'odd'") && said.contains("; 1 rule is not used"), "{said}");
    assert!(!said.contains("not scanned"), "it is no place: {said}");
    let json = |format: &str| -> Value {
        serde_json::from_str(&ran(folder.path(), rules, &["a", "--format", format]).1).unwrap()
    };
    let document = json("json");
    assert_eq!(document["not_visible"][0]["what"], "the rule 'odd'");
    assert_eq!(
        (&document["summary"]["rules_not_used"], &document["summary"]["not_visible"]),
        (&1.into(), &0.into())
    );
    let sarif = json("sarif");
    let told = &sarif["runs"][0]["invocations"][0];
    assert!(told["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap().contains("'odd'"));
    assert_eq!(told["executionSuccessful"], true);
    let (_, shown, _) = ran(folder.path(), rules, &["a", "--format", "github"]);
    assert!(shown.contains("::warning ") && shown.contains("the rule 'odd'"), "{shown}");
    // An empty source is not an error because of the rule file.
    fs::create_dir(folder.path().join("empty")).unwrap();
    let (code, _, said) = ran(folder.path(), rules, &["empty"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn beside_keyrolls_own_rules_what_a_file_says_for_all_counts_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let (token, marked) = (github_token(), github_token());
    let text = "DB_PASSWORD=kD93hfQ0plm4\nAPI_TOKEN=tR9vWq2LxZ7n\nAPI_KEY=mW4xTq8LzR6c-stopped\n";
    fs::write(folder.path().join("a.env"), text).unwrap();
    fs::write(folder.path().join("b"), format!("{token}\n")).unwrap();
    fs::write(folder.path().join("c"), format!("{marked} # gitleaks:allow\n")).unwrap();
    let extend = "[extend]\nuseDefault = true\n";
    let places = |rules: &str| {
        let (_, shown, said) = ran(folder.path(), rules, &["a.env", "b", "c", "--format", "jsonl"]);
        let place = |line: &str| {
            let one: Value = serde_json::from_str(line).unwrap();
            format!("{}:{}", one["place"]["path"].as_str().unwrap(), one["place"]["line"])
        };
        (shown.lines().map(place).collect::<Vec<_>>(), said)
    };
    let (all, _) = places(extend);
    assert_eq!(
        all,
        ["a.env:1", "a.env:2", "a.env:3", "b:1"],
        "what gitleaks passes over by a mark is passed over"
    );
    let lists = format!("{extend}[allowlist]\nregexes = ['^kD93']\nstopwords = ['stopped']\n");
    assert_eq!(places(&lists).0, ["a.env:2", "b:1"]);
    let less = "disabledRules = ['github-classic-token', 'generic-api-key']\n";
    let (left, said) = places(&format!("{extend}{less}"));
    assert_eq!(left, ["a.env:1", "a.env:2", "a.env:3"]);
    assert!(said.contains("the rule 'generic-api-key'") && !said.contains("github-classic-token"), "{said}");
    assert_eq!(places(&format!("{extend}disabledRules = ['named-secret']\n")).0, ["b:1"]);
    let amended =
        format!("{extend}[[rules]]\nid = 'named-secret'\n[[rules.allowlists]]\nregexes = ['kD93']\n");
    let (all, said) = places(&amended);
    assert_eq!(all.len(), 4);
    assert!(
        said.contains("the rule 'named-secret'") && said.contains("keyroll's own cannot be changed"),
        "{said}"
    );
}
