//! Filters of Betterleaks: supported expressions behave as documented, and unsupported ones are named.

use keyroll_leak::gitleaks::{Config, TextOrigin};

/// Whether a filter excludes `k=abcd` in `src/a.md` at commit `ab12`; `None` if it is not supported.
fn passes(filter: &str) -> Option<bool> {
    let text = "say k=abcd; now";
    let at = TextOrigin { path: Some("src/a.md"), commit: Some("ab12") };
    let rule = "[[rules]]\nid = 'one'\ndescription = 'first'\nregex = 'k=([a-z]+);'";
    let told = |file: &str| {
        let config = Config::read("rules.toml", file).unwrap();
        let mut told = false;
        config.find(text.as_bytes(), at, &mut |_| told = true);
        config.disabled().is_empty().then_some(!told)
    };
    let own = told(&format!("{rule}\nfilter = '''\n{filter}\n'''"));
    let global = told(&format!("filter = '''\n{filter}\n'''\n{rule}"));
    assert_eq!(own, global, "{filter}");
    own
}

#[test]
fn a_filter_says_what_is_skipped() {
    for (filter, expected) in [
        ("true", true),
        ("false", false),
        ("!false", true),
        ("not true", false),
        ("true && false || true", true),
        ("true and (false or true)", true),
        ("false || false", false),
        // The entropy of four different letters is two.
        (r#"entropy(finding["secret"]) <= 2.0"#, true),
        (r#"entropy(finding["secret"]) < 2.0"#, false),
        (r#"filter.entropy(finding.secret) >= 2"#, true),
        (r#"entropy(finding.secret) > 2"#, false),
        (r#"2 == entropy(finding.secret)"#, true),
        (r#"entropy(finding.secret) != 2"#, false),
        (r#"entropy(finding.match) <= 2.0"#, false),
        ("matchesAny(finding[\"secret\"], [`^ab`, `zz`])", true),
        ("filter.matchesAny(finding[\"secret\"], [`^b`, \"\\\\d\"])", false),
        ("matchesAny(finding[\"match\"], [`^k=`])", true),
        ("matchesAny(finding[\"line\"], [`^say .* now$`])", true),
        ("matchesAny(finding.line, [])", false),
        ("matchesAny(get(attributes, \"path\", \"\"), [`\\.md$`,])", true),
        ("matchesAny(attributes[?\"path\"].orValue(\"\"), [r\"\"\"(?i)\\.(?:MD|txt)$\"\"\"])", true),
        ("matchesAny(attributes[\"path\"] ?? \"\", [`^a`])", false),
        (r#"containsAny(finding["secret"], ["BC", "x"])"#, true),
        (r#"containsAny(finding["secret"], ["k="])"#, false),
        (r#"finding["secret"] == "abcd""#, true),
        (r#"finding.secret != "abcd""#, false),
        (r#""abcd" == finding.secret"#, true),
        (r#"finding.rule_id == "one" && finding.description == "first""#, true),
        (r#"finding.secret contains "bc""#, true),
        (r#"finding.secret startsWith "bc""#, false),
        (r#"finding.secret endsWith "cd""#, true),
        (r#"finding.secret matches "^a.c""#, true),
        (r#"not (finding.secret matches "^a.c")"#, false),
        (r#"finding.secret in ["x", "abcd"]"#, true),
        (r#"finding.secret in ["x", "abc"]"#, false),
        (r#"attributes["git.sha"] == "ab12""#, true),
        (r#"attributes.path.startsWith("src/") && attributes["path"].endsWith(".md")"#, true),
        (r#"attributes.path.contains("x") || attributes.path.matches("^a")"#, false),
        ("// why\nfalse /* or\n not */ || true // end", true),
        (r#"finding.secret == "a\x62\u0063d""#, true),
    ] {
        assert_eq!(passes(filter), Some(expected), "{filter}");
    }
}

#[test]
fn a_filter_that_is_not_read_whole_is_not_applied_at_all() {
    for filter in [
        r#"entropy(finding["secret"]) <= 3.5 || failsTokenEfficiency(finding["secret"])"#,
        "let a = true; a",
        "true ? false : true",
        "setConfidence(\"low\") == \"\"",
        "tokenRatio(finding.secret) > 2",
        "len(finding.secret) < 3",
        "finding.secret + \"x\" == \"y\"",
        "finding.captures[\"x\"] == \"y\"",
        "attributes[\"git.author_name\"] == \"x\"",
        "get(attributes, \"path\", \"x\") == \"y\"",
        "attributes[?\"path\"].orValue(\"x\") == \"y\"",
        "matchesAny(finding.secret, [`a(?=b)`])",
        "matchesAny(finding.secret, [`a`]",
        "matchesAny(finding.secret, [finding.line])",
        "finding.secret",
        "entropy(finding.secret)",
        "entropy(finding.secret) < \"a\"",
        "finding.secret < \"b\"",
        "true false",
        "true &&",
        "\"abc",
        "`abc",
        "'\\q' == 'a'",
        "1 < 2 < 3",
        "true; false",
        "finding?.secret == \"a\"",
    ] {
        assert_eq!(passes(filter), None, "{filter}");
    }
    assert_eq!(passes(&format!("{}true{}", "(".repeat(60), ")".repeat(60))), Some(true));
    assert_eq!(passes(&format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000))), None);
    assert_eq!(passes(&"!".repeat(100_000)), None);
}

#[test]
fn a_prefilter_skips_places() {
    let file = "prefilter = '''\nmatchesAny(get(attributes, \"path\", \"\"), [\n  `(?i)\\.png$`,\n  `(?:^|/)node_modules(?:/.*)?$`\n])\n'''\n\
        [[rules]]\nid = 'one'\nregex = 'k=[a-z]+'\n";
    let config = Config::read("rules.toml", file).unwrap();
    assert_eq!(config.disabled(), []);
    for (path, passed) in [("a.PNG", true), ("a/node_modules/b.js", true), ("a/png.js", false)] {
        assert_eq!(config.passes_over(Some(path), None), passed, "{path}");
        let mut told = 0;
        config.find(b"k=abc", TextOrigin { path: Some(path), commit: None }, &mut |_| told += 1);
        assert_eq!(told, usize::from(!passed), "{path}");
    }
    assert!(!config.passes_over(None, None));
}

#[test]
fn filters_of_both_files_count_when_one_adds_to_the_other() {
    let base = "filter = 'finding.secret == \"a1\"'\nprefilter = 'attributes.path == \"p\"'\n\
        [[rules]]\nid='a'\nregex='a[0-9]'\nfilter='finding.secret == \"a2\"'\n[[rules]]\nid='b'\nregex='b[0-9]'\nfilter='finding.secret == \"b2\"'\n";
    let own = "filter = 'finding.secret == \"a3\"'\n[extend]\nuseDefault=true\n[[rules]]\nid='b'\nfilter='finding.secret == \"b3\"'\n";
    let [own, base] = [own, base].map(|text| Config::read("rules.toml", text).unwrap());
    let whole = own.over(base);
    let text = b"a1 a2 a3 a4 b2 b3 b4";
    let mut told = Vec::new();
    whole.find(text, TextOrigin::default(), &mut |found| {
        told.push(String::from_utf8(text[found.span].to_vec()).unwrap());
    });
    assert_eq!(told, ["a4", "b2", "b4"]);
    assert!(whole.passes_over(Some("p"), None) && !whole.passes_over(Some("q"), None));
}
