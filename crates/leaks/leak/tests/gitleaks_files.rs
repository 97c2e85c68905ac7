//! Reading files of gitleaks and Betterleaks: parts that are refused with their line, parts that are named and not
//! used, and files that extend others.

use keyroll_leak::gitleaks::{Config, DisabledRule, Extends, FILE_BYTES_MAX, TextOrigin};
use proptest::prelude::*;

fn config(text: &str) -> Config {
    Config::read("rules.toml", text).unwrap()
}

fn refused(text: &str) -> String {
    Config::read("rules.toml", text).err().map(|error| error.to_string()).unwrap_or_default()
}

fn disabled(text: &str) -> Vec<(String, String)> {
    let all = config(text).disabled().to_vec();
    all.into_iter().map(|DisabledRule { rule, why }| (rule, why)).collect()
}

fn found(config: &Config, text: &str) -> Vec<String> {
    let mut all = Vec::new();
    config.find(text.as_bytes(), TextOrigin::default(), &mut |found| {
        all.push(format!("{}={}", found.rule.id, &text[found.span]));
    });
    all
}

#[test]
fn a_file_that_gitleaks_refuses_is_refused_with_its_line_and_help() {
    for (text, line, why) in [
        ("title = 'x'\n[[rules]\n", "line 2, column ", "not valid TOML"),
        ("[[rules]]\nid = 'a'\nregex = 5", "line 3, column 1: ", "'regex' is not a text"),
        (
            "[[rules]]\nid = 'a'\n  entropy = 'much'\nregex='a'",
            "line 3, column 3: ",
            "'entropy' is not a number",
        ),
        ("[[rules]]\nid = 'a'\nregex='a'\nsecretGroup = -1", "line 4, column 1: ", "whole number"),
        ("[[rules]]\nid = 'a'\nregex='a'\nkeywords = [1]", "line 4, column 1: ", "list of texts"),
        ("[[rules]]\nid = 'a'\nregex='a'\nskipReport = 'maybe'", "line 4, column 1: ", "true or false"),
        ("rules = 'a'", "line 1, column 1: ", "'rules' is not a table"),
        ("rules = ['a']", "line 1, column 10: ", "'rules' is not a table"),
        ("\n[[rules]]\nregex = 'a'", "line 2, column 1: ", "no id"),
        ("[[rules]]\nid = ' '\nregex = 'a'", "line 1, column 1: ", "no id"),
        ("[[rules]]\nid = 'a'", "line 1, column 1: ", "neither regex nor path"),
        ("[[rules]]\nid = 'a'\nregex = '(a)'\nsecretGroup = 2", "line 1, column 1: ", "has 1 groups"),
        ("[[rules]]\nid='a'\nregex='a'\n[[rules.required]]\nid='b'", "line 1, ", "requires 'b'"),
        ("[[rules]]\nid='a'\nregex='a'\n[[rules.required]]\n", "line 4, ", "without an id"),
        ("[[rules]]\nid='a'\nregex='a'\n[[rules.allowlists]]\ndescription='x'", "line 4, ", "is empty"),
        ("[[rules]]\nid='a'\nregex='a'\n[[rules.allowlists]]\nstopwords=['']", "line 4, ", "is empty"),
        (
            "[[rules]]\nid='a'\nregex='a'\n[[rules.allowlists]]\npaths=['x']\ncondition='xor'",
            "line 4, ",
            "condition",
        ),
        ("[[allowlists]]\nregexes=['x']\nregexTarget='mtach'", "line 1, ", "regexTarget"),
        ("[[allowlists]]\nregexes=['x']\ntargetRules=['b']", "line 1, ", "'b', which does not exist"),
        (
            "[allowlist]\nregexes=['x']\n[[allowlists]]\nregexes=['x']",
            "line 1, ",
            "both allowlist and allowlists",
        ),
        ("[extend]\nuseDefault=true\npath='x'", "line 1, ", "both useDefault and path"),
        ("[extend]\nurl='x'", "line 1, ", "'url'"),
        ("[[rules]]\nid='a'\nRegex='a'\nregex='b'", "line 4, ", "is given twice"),
    ] {
        let said = refused(text);
        assert!(said.starts_with(&format!("rules.toml: {line}")) && said.contains(why), "{text}\n{said}");
        assert!(said.contains(" · "), "no help: {said}");
    }
    assert!(refused(&" ".repeat(FILE_BYTES_MAX + 1)).contains("bytes"));
    let many: String = (0..5_001).map(|number| format!("[[rules]]\nid='r{number}'\npath='x'\n")).collect();
    assert!(refused(&many).contains("5000 rules"));
}

#[test]
fn neither_an_error_nor_debug_shows_what_a_file_has_in_it() {
    let value = ["swordfish", "1234"].concat();
    let mut texts = vec![
        format!("[[rules]]\nid = 'a'\nregex = '{value}(?=x)'"),
        format!("[[rules]]\nid = 'a'\nregex = '*{value}'"),
        format!("[[rules]]\nid = 'a'\nregex = 'a'\n[[rules.allowlists]]\nregexes=['{value}(']"),
        format!("filter = 'finding[\"secret\"] == \"{value}\" && what(1)'\n[[rules]]\nid = 'a'\nregex = 'a'"),
        format!("filter = '\"{value}\" \"{value}\"'\n[[rules]]\nid = 'a'\nregex = 'a'"),
    ];
    for text in &texts {
        let config = config(text);
        assert_eq!(config.disabled().len(), 1, "{text}");
        let said = format!("{config:?} {:?}", config.disabled());
        assert!(!said.contains(&value), "{said}");
    }
    texts = vec![
        format!("[[rules]]\nid = 'a'\nregex = '{value}"),
        format!("[[rules]]\nid = 'a'\nregex = {value}x{value}"),
        format!("[[rules]]\nid = 'a'\nregex = 'a'\nentropy = '{value}x'"),
        format!("[[allowlists]]\nregexes=['a']\nregexTarget='{value}'"),
        format!("[[allowlists]]\nregexes=['a']\ncondition='{value}'"),
    ];
    for text in &texts {
        let said = refused(text);
        assert!(!said.is_empty() && !said.contains(&value), "{said}");
    }
}

#[test]
fn a_rule_of_which_something_is_not_understood_is_named_and_not_used() {
    let rule = |rest: &str| format!("[[rules]]\nid='a'\n{rest}\n[[rules]]\nid='b'\nregex='b'\n");
    for (rest, why) in [
        ("regex='a(?!b)'", "its regex has a lookaround"),
        ("regex='''\\p{L}a'''", "its regex has a Unicode class"),
        ("regex='((a{1000}){1000}){9}'", "states"),
        ("regex='a'\npath='''(a)\\1'''", "its path has a back-reference"),
        ("regex='a'\nfoo=1", "key 'foo' on line 4"),
        ("regex='a'\ntokenEfficiency=true", "tokenEfficiency"),
        ("regex='a'\nfilter='failsTokenEfficiency(finding.secret)'", "its filter has 'failsTokenEfficiency'"),
        ("regex='a'\ncomponents=[{id='b', within='3 lines'}]", "'within'"),
        ("regex='a'\ncomponents=[{id='b', near='3L'}]", "'near' on line 4"),
        (
            "regex='a'\n[[rules.allowlists]]\nregexes=['x', '(?<=a)b']",
            "its allowlist on line 4 has in regexes",
        ),
        ("regex='a'\n[[rules.allowlists]]\npaths=['''\\pL''']", "in paths"),
        ("regex='a'\n[[rules.allowlists]]\npaths=['x']\nfiles=['y']", "'files' on line 6"),
        ("regex='a'\n[[rules.allowlists]]\npaths=['x']\ntargetRules=['b']", "targetRules"),
    ] {
        let text = rule(rest);
        let all = disabled(&text);
        assert!(all.len() == 1 && all[0].0 == "a" && all[0].1.contains(why), "{rest}: {all:?}");
        assert_eq!(found(&config(&text), "aab"), ["b=b"], "{rest}");
        assert_eq!(config(&text).rules().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
    // Keys without an effect on findings are accepted.
    let said = "description='x'\ntags=['y']\nregex='a'\nvalidate='http.get(1)'\nseverity='high'\ntokenEfficiency=false";
    assert_eq!(found(&config(&rule(said)), "ab"), ["a=a", "b=b"]);
}

#[test]
fn what_is_not_understood_outside_of_the_rules_is_so_for_all_of_them() {
    let rules = "[[rules]]\nid='a'\nregex='a'\n[[rules]]\nid='b'\nregex='b'\n";
    for (rest, why) in [
        ("prefilter = 'what(1)'\n", "the file's prefilter has 'what'"),
        ("prefilter = 'finding.secret == \"a\"'\n", "more than the location"),
        ("filter = 'let a = 1; true'\n", "the file's filter has"),
        ("whitelist = 1\n", "key 'whitelist' on line 1"),
        ("[[allowlists]]\nregexes = ['a(?=b)']\n", "for all rules, its allowlist on line 1"),
    ] {
        let text = format!("{rest}{rules}");
        let all = disabled(&text);
        assert!(all.len() == 2 && all.iter().all(|(_, said)| said.contains(why)), "{all:?}");
        assert!(found(&config(&text), "ab").is_empty());
    }
    // A fault in one rule disables only that rule.
    let text = format!("[[allowlists]]\ntargetRules=['b']\nregexes = ['a(?=b)']\n{rules}");
    assert_eq!(disabled(&text).len(), 1);
    assert_eq!(found(&config(&text), "ab"), ["a=a"]);
}

#[test]
fn a_rule_that_requires_one_that_is_not_used_is_not_used() {
    let text =
        "[[rules]]\nid='a'\nregex='a'\n[[rules.required]]\nid='b'\n[[rules]]\nid='b'\nregex='b(?=c)'\n";
    let all = disabled(text);
    assert!(all.len() == 2 && all[0].1.contains("requires 'b'"), "{all:?}");
    assert!(found(&config(text), "a b").is_empty());
}

#[test]
fn of_two_rules_with_one_name_the_last_counts_and_the_other_is_named() {
    let text = "[[rules]]\nid='a'\nregex='x'\n[[rules]]\nid='a'\nregex='y'\n";
    let all = disabled(text);
    assert!(all.len() == 1 && all[0].1.contains("on line 4"), "{all:?}");
    assert_eq!(found(&config(text), "x y"), ["a=y"]);
}

#[test]
fn all_expressions_together_have_a_limit() {
    let rule = |number: usize| format!("[[rules]]\nid='r{number}'\nregex='[^x]{{1000}}[^y]{{1000}}z'\n");
    let all: String = (0..60).map(rule).collect();
    let off = disabled(&all);
    assert!(!off.is_empty() && off.len() < 60, "{}", off.len());
    assert!(off.iter().all(|(_, why)| why.contains("2000000 states")));
}

#[test]
fn keys_may_have_large_or_small_letters_and_one_text_is_a_list() {
    let text = "\u{feff}[[Rules]]\nID='a'\nREGEX='k=([a-z]+)(x)'\nSecretgroup=1\nkeyWords='other,k='\n[Rules.allowList]\nstopWords='no,never'\n";
    let config = config(text);
    assert_eq!(config.disabled(), []);
    assert_eq!(found(&config, "k=abcx"), ["a=abc"]);
    assert!(found(&config, "k=anevercx").is_empty());
}

const BASE: &str = "[[rules]]\nid='a'\ndescription='base'\nregex='a-([0-9]+)'\nentropy=1\nkeywords=['a-']\ntags=['one']\n\
    [[rules.allowlists]]\nstopwords=['12']\n[[rules]]\nid='b'\nregex='b-[0-9]+'\n[[rules]]\nid='c'\nregex='c-[0-9]+'\n\
    [[allowlists]]\nregexes=['99']\n";

#[test]
fn a_file_that_adds_to_another_changes_what_it_names() {
    let own = config(
        "[extend]\npath='base.toml'\ndisabledRules=['c']\n[[rules]]\nid='a'\ndescription='own'\nkeywords=['here']\ntags=['two']\n\
         [[rules.allowlists]]\nstopwords=['34']\n[[rules]]\nid='d'\nregex='d-[0-9]+'\n\
         [[allowlists]]\nregexes=['77']\n[[allowlists]]\ntargetRules=['b']\nregexes=['55']\n",
    );
    let extends =
        Extends { default: false, path: Some("base.toml".to_owned()), disabled_rules: vec!["c".to_owned()] };
    assert_eq!(*own.extends(), extends);
    // Without the extended file, the changed rule has nothing to match.
    assert_eq!(own.disabled().len(), 2);
    let whole = own.over(config(BASE));
    assert_eq!(whole.disabled(), []);
    assert_eq!(*whole.extends(), Extends::default());
    let a = whole.rules().find(|rule| rule.id == "a").unwrap();
    assert_eq!(
        (a.description.as_str(), a.tags.as_slice()),
        ("own", ["one".to_owned(), "two".to_owned()].as_slice())
    );
    // Regex and entropy are the base's; the keywords and lists of both count.
    assert_eq!(found(&whole, "a-567 a-111 a-1256 a-3456 a-9956 a-7756"), ["a=567"]);
    assert_eq!(found(&whole, "b-1 b-55 c-1 d-1 d-99 d-77 d-55"), ["b=b-1", "d=d-1", "d=d-55"]);
    // The file's own value takes precedence.
    let other = config(
        "[extend]\nuseDefault=true\n[[rules]]\nid='a'\nregex='(here)([0-9]+)'\nsecretGroup=2\nentropy=0.5\n",
    );
    assert!(other.extends().default);
    assert_eq!(found(&other.over(config(BASE)), "a- here12 here21 a-567"), ["a=21"]);
}

#[test]
fn what_a_changed_rule_still_lacks_is_named() {
    let own = "[extend]\nuseDefault=true\n[[rules]]\nid='z'\n[[rules]]\nid='a'\nsecretGroup=3\n[[rules]]\nid='y'\nregex='y'\n\
        [[rules.required]]\nid='x'\n[[allowlists]]\ntargetRules=['w']\nregexes=['1']\n";
    let all = config(own).over(config(BASE)).disabled().to_vec();
    let said: Vec<String> = all.into_iter().map(|one| format!("{}: {}", one.rule, one.why)).collect();
    for expected in
        ["z: it has neither", "a: its secretGroup is 3", "y: it requires 'x'", "w: an allowlist targets it"]
    {
        assert!(said.iter().any(|said| said.starts_with(expected)), "{expected}: {said:?}");
    }
    assert_eq!(said.len(), 4);
    // An expression of the base that is not understood does not matter if it is replaced; a key of it that is not
    // understood does.
    let base = "[[rules]]\nid='a'\nregex='a(?=b)'\n[[rules]]\nid='b'\nregex='b'\nfoo=1\n";
    let own = "[extend]\nuseDefault=true\n[[rules]]\nid='a'\nregex='a'\n[[rules]]\nid='b'\nregex='b'\n";
    let whole = config(own).over(config(base));
    assert_eq!(found(&whole, "ab"), ["a=a"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any file is either read or refused, and its findings are within the text.
    #[test]
    fn no_file_and_no_text_is_too_bad(
        regex in r"[ab(){}\[\]*+?|^$.,\\0-9\-:=!<>PiQEdswx]{0,16}",
        list in r#"[ab()\[\]"'`.,|&!<=0-9 a-z/*]{0,24}"#,
        text in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..400,
    ) {
        let whole = format!(
            "filter = '''{}'''\n[[rules]]\nid = 'a'\nregex = '''{regex}'''\nkeywords = ['a', '']\n\
             [[rules.allowlists]]\nregexes = ['''{}''']\nstopwords = ['x']\n[[rules]]\nid = 'b'\nregex = '''{regex}'''\n",
            list.replace('\'', ""), list.replace('\'', ""),
        );
        let start = whole.char_indices().map(|(at, _)| at).take_while(|at| *at <= cut).last().unwrap_or(0);
        for file in [whole.as_str(), &whole[start..], &whole[..start]] {
            if let Ok(config) = Config::read("x", file) {
                config.find(&text, TextOrigin { path: Some("a"), commit: None }, &mut |found| {
                    assert!(found.matched.end <= text.len() && found.span.end <= found.matched.end);
                });
            }
        }
    }
}
