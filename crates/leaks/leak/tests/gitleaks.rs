//! The findings of gitleaks rules: each key of its files, as its README and sources (8.30) define it.

use keyroll_leak::gitleaks::{Config, MATCHES_PER_TEXT_MAX, TextOrigin};

fn config(text: &str) -> Config {
    let config = Config::read("rules.toml", text).unwrap();
    assert_eq!(config.disabled(), [], "{text}");
    config
}

fn found_at(config: &Config, text: &str, path: &str, commit: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (path, commit) = (part(path), part(commit));
    let at = TextOrigin { path: path.as_deref(), commit: commit.as_deref() };
    let whole = config.find(text.as_bytes(), at, &mut |found| {
        assert!(found.matched.start <= found.span.start && found.span.end <= found.matched.end);
        all.push((found.rule.id.clone(), text[found.span].to_owned()));
    });
    assert!(whole);
    all
}

fn found(config: &Config, text: &str) -> Vec<(String, String)> {
    found_at(config, text, "", "")
}

/// The secrets alone.
fn secrets(config: &Config, text: &str) -> Vec<String> {
    found(config, text).into_iter().map(|(_, secret)| secret).collect()
}

fn one(rest: &str) -> Config {
    config(&format!("[[rules]]\nid = 'one'\n{rest}"))
}

#[test]
fn a_secret_is_the_named_group_or_the_first_that_holds_something() {
    assert_eq!(secrets(&one("regex = 'tok-[a-z]+'"), "x tok-abc y"), ["tok-abc"]);
    assert_eq!(secrets(&one("regex = 'tok=([a-z]+)'"), "x tok=abc y"), ["abc"]);
    let two = "regex = 'k=(?:\"([a-z]+)\"|([0-9]+))'";
    assert_eq!(secrets(&one(two), "k=\"abc\" k=123"), ["abc", "123"]);
    let second = one("regex = '(key|token)=([a-z]+)'\nsecretGroup = 2");
    assert_eq!(secrets(&second, "key=abc token=def"), ["abc", "def"]);
    // An empty group is no secret: the whole match is reported.
    assert_eq!(secrets(&one("regex = 'k=([a-z]*)([0-9]*)'\nsecretGroup = 2"), "k=abc"), ["k=abc"]);
}

#[test]
fn what_a_match_is_reported_as_has_no_line_ends_around_it() {
    let rule = one("regex = '''\\stok-[a-z]+\\s'''");
    assert_eq!(secrets(&rule, "a\ntok-abc\nb"), ["tok-abc"]);
    assert_eq!(secrets(&rule, "a tok-abc b"), [" tok-abc "]);
    // The groups are matched on the match alone, without its surroundings.
    let rule = one("regex = '''k=([a-z]+)(?:;|$|\\n)'''");
    assert_eq!(secrets(&rule, "k=abc\nk=def;k=ghi"), ["abc", "def", "ghi"]);
    assert!(secrets(&one("regex = 'x*'"), "abc").is_empty());
}

#[test]
fn a_secret_has_more_entropy_than_its_rule_asks_for() {
    // Four different letters have two bits each, not more than two.
    for (asked, text, seen) in [
        ("2", "k=abcd", false),
        ("2.0", "k=abcde", true),
        ("'2.0'", "k=abcd", false),
        ("1.999", "k=abcd", true),
        ("0", "k=aaaa", true),
    ] {
        let rule = one(&format!("regex = 'k=([a-z]+)'\nentropy = {asked}"));
        assert_eq!(!secrets(&rule, text).is_empty(), seen, "{asked} {text}");
    }
    // The entropy is that of the secret, not of the match.
    assert!(
        secrets(&one("regex = 'key_of_many_letters=([a-z]+)'\nentropy = 1"), "key_of_many_letters=aa")
            .is_empty()
    );
    // An empty group has no entropy.
    assert!(
        secrets(&one("regex = 'k=([a-z]+)([0-9]*)'\nsecretGroup = 2\nentropy = 1"), "k=abcdef").is_empty()
    );
}

#[test]
fn a_rule_is_asked_only_where_one_of_its_keywords_is() {
    let rule = one("regex = '[a-z]{4}[0-9]{4}'\nkeywords = ['Airtable', 'key', 'keyring']");
    assert!(secrets(&rule, "abcd1234").is_empty());
    assert_eq!(secrets(&rule, "abcd1234 of AIRTABLE"), ["abcd1234"]);
    assert_eq!(secrets(&rule, "my_kEy\n\n\nabcd1234"), ["abcd1234"]);
    let both = config(
        "[[rules]]\nid='long'\nregex='x1'\nkeywords=['keyring']\n[[rules]]\nid='short'\nregex='x2'\nkeywords=['ring', 'key']",
    );
    assert_eq!(found(&both, "keyring x1 x2").len(), 2);
    assert_eq!(found(&both, "a ring x1 x2").len(), 1);
    let other = one("regex = 'k=([a-z]+)'\nkeywords = ['schlüssel']");
    assert_eq!(secrets(&other, "SCHLÜSSEL k=abc"), ["abc"]);
    assert!(secrets(&other, "k=abc ü").is_empty());
    assert_eq!(secrets(&one("regex = 'k=([a-z]+)'\nkeywords = []"), "k=abc"), ["abc"]);
}

#[test]
fn a_rule_with_a_path_finds_only_there_and_by_the_path_alone() {
    let rule = one("regex = 'k=([a-z]+)'\npath = '''(?i)\\.php$'''");
    assert_eq!(found_at(&rule, "k=abc", "a/b.PHP", "").len(), 1);
    assert!(found_at(&rule, "k=abc", "a/b.py", "").is_empty() && found(&rule, "k=abc").is_empty());
    let path = one("path = '''\\.p12$'''");
    assert_eq!(found_at(&path, "\0\u{1}", "keys/a.p12", ""), [("one".to_owned(), String::new())]);
    assert!(found_at(&path, "a", "keys/a.p13", "").is_empty() && found(&path, "a.p12").is_empty());
    let both = one("path = '''\\.p12$'''\nkeywords = ['secret']");
    assert!(found_at(&both, "a", "a.p12", "").is_empty());
    assert_eq!(found_at(&both, "SECRET", "a.p12", "").len(), 1);
}

#[test]
fn an_allowlist_skips_what_it_names() {
    let rule = |list: &str| one(&format!("regex = 'k=([a-z-]+);'\n[[rules.allowlists]]\n{list}"));
    let text = "x k=abc-def; y";
    for (list, passed) in [
        ("regexes = ['c-d']", true),
        ("regexes = ['^abc-def$']", true),
        ("regexes = ['k=']", false),
        ("regexes = ['k=']\nregexTarget = 'secret'", false),
        ("regexes = ['k=']\nregexTarget = 'match'", true),
        ("regexes = ['^x ']\nregexTarget = 'match'", false),
        ("regexes = ['^x .* y$']\nregexTarget = 'line'", true),
        ("regexes = ['zzz', 'abc']", true),
        ("regexes = ['abc$']", false),
        ("stopwords = ['C-D']", true),
        ("stopwords = ['k=']", false),
        ("stopwords = ['abd']", false),
        ("paths = ['''\\.md$''']", true),
        ("paths = ['''^md''']", false),
        ("commits = ['AB12 ', 'x']", true),
        ("commits = ['ab1']", false),
        ("condition = 'and'\npaths = ['md']\nregexes = ['abc']", true),
        ("condition = 'AND'\npaths = ['md']\nregexes = ['abd']", false),
        ("condition = '&&'\npaths = ['txt']\nregexes = ['abc']", false),
        ("condition = 'AND'\npaths = ['md']\ncommits = ['ab12']", true),
        ("condition = 'AND'\npaths = ['md']\ncommits = ['ab13']", false),
        ("condition = 'AND'\nstopwords = ['abc']\nregexes = ['def']", true),
        ("condition = 'AND'\nstopwords = ['abc']\nregexes = ['deg']", false),
        ("condition = 'AND'\nstopwords = ['abc']\nregexes = ['def']\ncommits = ['ab13']", false),
        ("condition = '||'\npaths = ['txt']\nregexes = ['abc']", true),
        ("condition = 'OR'\npaths = ['txt']\nregexes = ['abd']\nstopwords = ['x']", false),
    ] {
        let all = found_at(&rule(list), text, "docs/a.md", "ab12");
        assert_eq!(all.is_empty(), passed, "{list}");
        // The same for all rules.
        let global = config(&format!("[[allowlists]]\n{list}\n[[rules]]\nid='one'\nregex = 'k=([a-z-]+);'"));
        assert_eq!(found_at(&global, text, "docs/a.md", "ab12").is_empty(), passed, "{list}");
    }
    // Any of several allowlists allows the match, and the older names are supported.
    let lists = "[[rules.allowlists]]\nregexes = ['zzz']\n[[rules.allowlists]]\nstopwords = ['def']";
    assert!(secrets(&one(&format!("regex = 'k=([a-z-]+);'\n{lists}")), text).is_empty());
    let old = one("regex = 'k=([a-z-]+);'\n[rules.allowlist]\nstopwords = ['def']");
    assert!(secrets(&old, text).is_empty());
    // Without path and commit these allowlists do not apply.
    assert_eq!(secrets(&rule("paths = ['.*']\ncommits = ['ab12']"), text), ["abc-def"]);
}

#[test]
fn an_allowlist_of_the_file_is_for_all_rules_or_for_those_that_it_names() {
    let rules = "[[rules]]\nid='a'\nregex='a[0-9]+'\n[[rules]]\nid='b'\nregex='b[0-9]+'\n";
    let old = config(&format!("{rules}[allowlist]\npaths = ['''^test/''']\nregexes = ['9']"));
    assert_eq!(found_at(&old, "a1 b9 b2", "src/x", "").len(), 2);
    assert!(found_at(&old, "a1 b9 b2", "test/x", "").is_empty());
    assert!(old.passes_over(Some("test/x"), None) && !old.passes_over(Some("src/x"), None));
    assert!(!old.passes_over(None, None));
    let some = config(&format!(
        "{rules}[[allowlists]]\ntargetRules = ['b']\npaths = ['''^test/''']\nregexes = ['2']"
    ));
    let ids =
        |path| found_at(&some, "a1 a2 b1 b2", path, "").into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(ids("src/x"), ["a1", "a2", "b1"]);
    assert_eq!(ids("test/x"), ["a1", "a2"]);
    assert!(!some.passes_over(Some("test/x"), None));
    let commit = config(&format!("{rules}[[allowlists]]\ncommits = ['Ab12']"));
    assert!(commit.passes_over(None, Some("aB12")) && !commit.passes_over(None, Some("ab1")));
    let both = config(&format!("{rules}[[allowlists]]\ncondition='AND'\npaths=['test']\nstopwords=['1']"));
    assert!(!both.passes_over(Some("test"), None));
    assert_eq!(found_at(&both, "a1 a2", "test", "").len(), 1);
}

#[test]
fn what_a_file_skips_for_all_rules_is_skipped_whatever_rule_found_it() {
    let kept = |text: &str, file: &str| {
        let all = ["k12", "k34", "k56", "k78"].map(|secret| text.find(secret).unwrap());
        let mut all: Vec<_> = all.into_iter().map(|at| at..at + 3).collect();
        let place = TextOrigin { path: Some("a.env"), commit: None };
        config(file).keep(text.as_bytes(), place, &mut all, |span| Some(("own", span.clone())));
        all.into_iter().map(|span| text[span].to_owned()).collect::<Vec<_>>()
    };
    let text = "k12 k34\nk56 # gitleaks:allow\nk78";
    assert_eq!(kept(text, ""), ["k12", "k34", "k78"]);
    assert_eq!(kept(text, "[allowlist]\nregexes = ['^k1']\nstopwords = ['78']\n"), ["k34"]);
    assert_eq!(kept(text, "[allowlist]\nregexTarget = 'line'\nregexes = ['34$']\n"), ["k78"]);
    let with =
        |path: &str| format!("[[allowlists]]\ncondition = 'AND'\npaths = ['{path}']\nregexes = ['^k3']\n");
    assert_eq!(kept(text, &with("env$")), ["k12", "k78"]);
    assert_eq!(kept(text, &with("txt$")), ["k12", "k34", "k78"]);
    let filter = "filter = 'finding[\"rule_id\"] == \"own\" && finding[\"secret\"] == \"k12\"'\n";
    assert_eq!(kept(text, filter), ["k34", "k78"]);
    // Half of a file is not applied.
    assert_eq!(kept(text, "what = 1\n[allowlist]\nregexes = ['^k1']\n").len(), 4);
}

#[test]
fn in_a_line_that_says_so_nothing_is_found() {
    let rule = one("regex = 'k=([a-z]+)'");
    let text = "k=abc # gitleaks:allow\nk=def\n# gitleaks:allow\nk=ghi k=jkl // betterleaks:allow\nk=mno gitleaks: allow";
    assert_eq!(secrets(&rule, text), ["def", "mno"]);
    // All lines of a match count, and no others.
    let block = one("regex = '(?s)BEGIN(.+?)END'");
    assert!(secrets(&block, "BEGIN\na # gitleaks:allow\nEND").is_empty());
    assert!(secrets(&block, "BEGIN\na\nEND # gitleaks:allow").is_empty());
    assert_eq!(secrets(&block, "gitleaks:allow\nBEGIN a END\ngitleaks:allow").len(), 1);
}

const PARTS: &str = "[[rules]]\nid='pair'\nregex='secret-([a-z]+)'\n[[rules.required]]\nid='name'\nBOUNDS\n\
    [[rules]]\nid='name'\nregex='name-([a-z]+)'\nskipReport=true\nkeywords=['not there']\n\
    [[rules.allowlists]]\nstopwords=['known']\n";

#[test]
fn a_rule_that_requires_another_finds_nothing_without_it() {
    for (bounds, text, seen) in [
        ("", "secret-abc", 0),
        ("", "secret-abc\n\n\n\n\nname-def", 1),
        ("", "name-def\nsecret-abc\nsecret-ghi", 2),
        // If the required rule does not match, there is no finding; its keywords do not count.
        ("", "secret-abc name-known", 0),
        ("withinLines = 1", "name-def\nsecret-abc", 1),
        ("withinLines = 1", "secret-abc\nname-def\n\nsecret-ghi", 1),
        ("withinLines = 0", "name-def\nsecret-abc", 0),
        ("withinLines = 0", "name-def secret-abc", 1),
        ("withinColumns = 9", "name-def secret-abc", 1),
        ("withinColumns = 8", "name-def secret-abc", 0),
        ("withinColumns = 2", "name-def\n\n  secret-abc", 1),
        ("withinLines = 1\nwithinColumns = 2", "name-def\n\n  secret-abc", 0),
    ] {
        let pair = config(&PARTS.replace("BOUNDS", bounds));
        let all = found(&pair, text);
        assert!(all.iter().all(|(id, _)| id == "pair"), "{all:?}");
        assert_eq!(all.len(), seen, "{bounds}: {text:?}");
    }
    // A match of the path alone has no position, and is near nothing.
    let path = "[[rules]]\nid='a'\npath='md'\n[[rules.required]]\nid='b'\n[[rules]]\nid='b'\nregex='b'\nskipReport=true";
    assert_eq!(found_at(&config(path), "x", "a.md", "").len(), 1);
    // Betterleaks 2 uses other keys for the same; an optional requirement changes nothing.
    let within = |within: &str, text: &str| {
        let rules = PARTS.replace("[[rules.required]]\nid='name'\nBOUNDS", &format!("components=[{within}]"));
        found(&config(&rules), text).len()
    };
    assert_eq!(within("{ id = 'name', within = '1L' }", "name-def\nsecret-abc"), 1);
    assert_eq!(within("{ id = 'name', within = '1L, 5C' }", "name-def secret-abc"), 0);
    assert_eq!(within("{ id = 'name', within = '0L,9C' }", "name-def secret-abc"), 1);
    assert_eq!(within("{ id = 'name', within = '0L', optional = true }", "secret-abc"), 1);
}

#[test]
fn a_rule_that_is_not_reported_finds_nothing_by_itself() {
    assert!(secrets(&one("regex = 'k=([a-z]+)'\nskipReport = true"), "k=abc").is_empty());
    assert_eq!(secrets(&one("regex = 'k=([a-z]+)'\nskipReport = false"), "k=abc"), ["abc"]);
}

#[test]
fn a_generic_rule_gives_way_to_a_better_one_in_its_line() {
    let rules = config(
        "[[rules]]\nid='My-Generic-key'\nregex='key=([a-z]+-[0-9]+)'\n[[rules]]\nid='form'\nregex='tok-[0-9]+'\n\
         [[rules]]\nid='generic-too'\nregex='x-[0-9]+'",
    );
    let ids = |text: &str| found(&rules, text).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids("key=tok-123"), ["form"]);
    assert_eq!(ids("key=abc-123"), ["My-Generic-key"]);
    assert_eq!(ids("key=abc-123 tok-123"), ["My-Generic-key", "form"]);
    assert_eq!(ids("tok-123\nkey=tok-123"), ["form", "form"]);
    assert_eq!(ids("key=x-123"), ["My-Generic-key", "generic-too"]);
    // A match of the path alone is in no line.
    let paths = "[[rules]]\nid='generic'\npath='md'\n[[rules]]\nid='one'\nregex='key'\n[[rules]]\nid='two'\npath='a'\n";
    let ids = |path: &str| {
        found_at(&config(paths), "key", path, "").into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids("x.md"), ["generic", "one"]);
    assert_eq!(ids("a.md"), ["two", "one"]);
    // Betterleaks uses numbers; the default is 100.
    let rules = config(
        "[[rules]]\nid='generic'\nregex='k=([a-z]+)'\nspecificity=100\n[[rules]]\nid='low'\nregex='[a-c]+'\nspecificity=20\n\
         [[rules]]\nid='plain'\nregex='(xx[a-z]+)'\n[[rules]]\nid='high'\nregex='yy[a-z]+'\nspecificity=101\n",
    );
    let ids = |text: &str| found(&rules, text).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids("k=abc"), ["generic"]);
    assert_eq!(ids("abc k=x"), ["low", "generic"]);
    assert_eq!(ids("k=xxz"), ["generic", "plain"]);
    assert_eq!(ids("k=yyz"), ["high"]);
}

#[test]
fn of_one_text_only_so_many_findings_are_reported() {
    let rule = one("regex = 'k[0-9]'\n[[rules.allowlists]]\nstopwords = ['k9']");
    let mut told = 0;
    let text = "k1 ".repeat(MATCHES_PER_TEXT_MAX);
    assert!(rule.find(text.as_bytes(), TextOrigin::default(), &mut |_| told += 1));
    assert_eq!(told, MATCHES_PER_TEXT_MAX);
    let text = "k1 ".repeat(MATCHES_PER_TEXT_MAX + 1);
    told = 0;
    assert!(!rule.find(text.as_bytes(), TextOrigin::default(), &mut |_| told += 1));
    assert_eq!(told, MATCHES_PER_TEXT_MAX);
    // An allowed match is not reported, and does not count for the limit.
    let text = "k9 ".repeat(MATCHES_PER_TEXT_MAX * 2) + "k1";
    told = 0;
    assert!(rule.find(text.as_bytes(), TextOrigin::default(), &mut |_| told += 1));
    assert_eq!(told, 1);
}

#[test]
fn any_bytes_are_searched() {
    let rule = one("regex = '(?i)key=([^;]{3,8});'\nkeywords = ['key']");
    let mut spans = Vec::new();
    let text = b"\0\xFF\xFEKEY=a\xFFb;\0 key=\xC3\xA4\xC3\xB6c;";
    rule.find(text, TextOrigin::default(), &mut |found| spans.push(found.span));
    assert_eq!(spans, [7..10, 17..22]);
    // In text a character is one, however many bytes it has.
    assert_eq!(secrets(&rule, "key=äöüäöüäö;"), ["äöüäöüäö"]);
    assert!(secrets(&rule, "key=äöüäöüäöü;").is_empty());
}
