use aho_corasick::{AhoCorasick, BuildError};

use crate::Rule;

/// One of these stands in every name that says that its value is a secret, in every word before a token, and before every
/// password of a URL; in small letters. What is written with escapes has a backslash.
const MARKS: [&str; 10] =
    ["key", "token", "secret", "pass", "pwd", "credential", "auth", "bearer", "basic", "://"];

/// A cheap look at a whole text, before it is taken apart.
pub(crate) struct MayHold {
    marks: AhoCorasick,
}

impl MayHold {
    pub(crate) fn of(rules: &[Rule]) -> Result<Self, BuildError> {
        let words = rules.iter().flat_map(Rule::anchors).map(String::as_str);
        let marks =
            AhoCorasick::builder().ascii_case_insensitive(true).build(MARKS.into_iter().chain(words))?;
        Ok(Self { marks })
    }

    /// `false` = no value in it has a form that is known, or a name that says what it is. Names that are written with escapes
    /// are not read here: such a text may hold anything.
    pub(crate) fn look(&self, text: &[u8]) -> bool {
        self.marks.is_match(text) || text.contains(&b'\\')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::bytes_regex;
    use proptest::test_runner::TestRunner;

    use crate::name::{JOINED, LAST};
    use crate::within::BEFORE;
    use crate::{Rules, names_a_secret};

    #[test]
    fn a_text_that_holds_a_value_of_any_rule_may_hold_one() {
        let rules = Rules::shipped().unwrap();
        for rule in rules.iter() {
            let values = bytes_regex(rule.expression()).unwrap();
            let seen = TestRunner::deterministic().run(&values, |value| {
                prop_assert!(rules.may_hold(&[b"a: \"", value.as_slice(), b"\"\n"].concat()));
                Ok(())
            });
            seen.unwrap_or_else(|_| panic!("{}", rule.id));
        }
    }

    #[test]
    fn a_text_with_any_word_that_is_looked_for_may_hold_a_value() {
        let rules = Rules::shipped().unwrap();
        let names = LAST.iter().map(|words| words.concat()).chain(JOINED.map(str::to_owned));
        for name in names.filter(|name| names_a_secret(name)) {
            assert!(
                rules.may_hold(name.as_bytes()) && rules.may_hold(name.to_uppercase().as_bytes()),
                "{name}"
            );
        }
        for word in BEFORE {
            assert!(
                rules.may_hold(word.as_bytes()) && rules.may_hold(word.to_uppercase().as_bytes()),
                "{word}"
            );
        }
        for text in ["db = 'p://u:w@h'", r#"{"db": "p:\/\/u:w@h"}"#, r#"{"k\u0065y": 1}"#] {
            assert!(rules.may_hold(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn ordinary_settings_hold_nothing() {
        let rules = Rules::shipped().unwrap();
        assert!(!rules.may_hold(b"port: 80\nname: 'web'\npath = /srv/app/of/the/team\n"));
        assert!(rules.may_hold(b"sort_KEY: 80\n"));
    }
}
