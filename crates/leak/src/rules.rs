use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use serde::Deserialize;

use crate::Rule;
use crate::may_hold::MayHold;

/// The rules that come with the program, by the file that they stand in.
const SHIPPED: [(&str, &str); 4] = [
    ("models", include_str!("../../../rules/models.toml")),
    ("code", include_str!("../../../rules/code.toml")),
    ("services", include_str!("../../../rules/services.toml")),
    ("keys", include_str!("../../../rules/keys.toml")),
];

/// A file of rules that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// What is wrong, with its line.
    pub why: String,
}

/// A credential in a text.
#[derive(Debug, Clone)]
pub struct Finding<'r> {
    /// Of which kind.
    pub rule: &'r Rule,
    /// Where.
    pub span: Range<usize>,
}

/// The kinds of credentials that are known.
pub struct Rules {
    all: Vec<Rule>,
    /// The beginnings of all rules, each with its rule.
    begins: AhoCorasick,
    of_begin: Vec<usize>,
    /// The rules whose values may begin with a byte, for each byte.
    of_byte: Vec<Vec<usize>>,
    may_hold: MayHold,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    rule: Vec<Rule>,
}

impl Rules {
    /// The rules that come with the program.
    ///
    /// # Errors
    /// None in a program that was tested: a test reads and compiles them all.
    pub fn shipped() -> Result<&'static Self, RuleError> {
        static RULES: OnceLock<Rules> = OnceLock::new();
        if let Some(ready) = RULES.get() {
            return Ok(ready);
        }
        let read = Self::read(&SHIPPED)?;
        Ok(RULES.get_or_init(|| read))
    }

    /// Rules from texts, each with its name for messages.
    ///
    /// # Errors
    /// A text that is no file of rules, an id that stands there twice.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, RuleError> {
        let mut all: Vec<Rule> = Vec::new();
        for (file, text) in files {
            let wrong = |why: String| RuleError { file: (*file).to_owned(), why };
            let document: Document = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
            for rule in document.rule {
                if all.iter().any(|known| known.id == rule.id) {
                    return Err(wrong(format!("the rule '{}' stands there twice", rule.id)));
                }
                all.push(rule);
            }
        }
        let of_begin: Vec<usize> =
            all.iter().enumerate().flat_map(|(index, rule)| rule.begins.iter().map(move |_| index)).collect();
        let begins = AhoCorasick::new(all.iter().flat_map(|rule| &rule.begins));
        let begins = begins.map_err(|error| RuleError { file: "all".to_owned(), why: error.to_string() })?;
        let may = |rule: &Rule, byte: u8| {
            rule.begins.is_empty() || rule.begins.iter().any(|begin| begin.bytes().next() == Some(byte))
        };
        let of_byte = (0..=u8::MAX).map(|byte| {
            all.iter().enumerate().filter(|(_, rule)| may(rule, byte)).map(|(index, _)| index).collect()
        });
        let of_byte = of_byte.collect();
        let may_hold = MayHold::of(&all);
        let may_hold =
            may_hold.map_err(|error| RuleError { file: "all".to_owned(), why: error.to_string() })?;
        Ok(Self { all, begins, of_begin, of_byte, may_hold })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }

    /// Whether a text may hold a value that its form shows, or its name. A cheap look: `true` says little, and where it is
    /// `false` the text need not be taken apart.
    pub fn may_hold(&self, text: &[u8]) -> bool {
        self.may_hold.look(text)
    }

    /// Every credential in a text that begins as its rule says.
    pub fn find<'r>(&'r self, text: &[u8], found: &mut dyn FnMut(Finding<'r>)) {
        let mut done = 0;
        for begin in self.begins.find_overlapping_iter(text) {
            let rule = self.of_begin.get(begin.pattern().as_usize()).and_then(|index| self.all.get(*index));
            if begin.start() < done {
                continue;
            }
            if let Some(rule) = rule
                && let Some(end) = rule.ends(text, begin.start())
            {
                done = end;
                found(Finding { rule, span: begin.start()..end });
            }
        }
    }

    /// The rule that the whole of a value satisfies.
    pub fn of(&self, value: &[u8]) -> Option<&Rule> {
        let begins = |rule: &&Rule| {
            rule.begins.is_empty() || rule.begins.iter().any(|begin| value.starts_with(begin.as_bytes()))
        };
        let first = usize::from(*value.first()?);
        let may = self.of_byte.get(first)?.iter().filter_map(|index| self.all.get(*index));
        may.filter(begins).find(|rule| rule.is(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::bytes_regex;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn every_rule_finds_what_it_describes_and_no_part_of_a_longer_word() {
        let rules = Rules::shipped().unwrap();
        for rule in rules.iter() {
            let values = bytes_regex(rule.expression()).unwrap();
            let seen = TestRunner::deterministic().run(&values, |value| {
                let known = rules.of(&value).map(|found| found.id.as_str());
                prop_assert_eq!(known, Some(rule.id.as_str()));
                let within = [b"key = \"", value.as_slice(), b"\"\n"].concat();
                let mut found = Vec::new();
                rules.find(&within, &mut |finding| found.push((finding.rule.id.clone(), finding.span)));
                let wanted = (rule.id.clone(), 7..7 + value.len());
                prop_assert_eq!(found, if rule.begins.is_empty() { Vec::new() } else { vec![wanted] });
                let inside = [b"a", value.as_slice()].concat();
                let mut found = 0;
                rules.find(&inside, &mut |_| found += 1);
                prop_assert_eq!(found, 0);
                Ok(())
            });
            seen.unwrap_or_else(|why| panic!("{}: {}", rule.id, why.to_string().len()));
        }
    }

    #[test]
    fn every_shipped_rule_compiles_and_matches_its_beginning() {
        for rule in Rules::shipped().unwrap().iter() {
            rule.compile().unwrap_or_else(|why| panic!("{}: {why}", rule.id));
            assert!(!rule.title.is_empty() && rule.source.starts_with("https://"), "{}", rule.id);
        }
    }

    #[test]
    fn an_id_that_stands_twice_is_refused() {
        let one = "[[rule]]\nid='a'\nprovider='p'\ntitle='t'\nregex='x'\nsource='https://example.com'\n";
        let twice = Rules::read(&[("mine", &format!("{one}{one}"))]).err().unwrap();
        assert_eq!(twice.to_string(), "mine: the rule 'a' stands there twice");
    }
}
