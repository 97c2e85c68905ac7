//! The search for keywords loses no match of the expressions, and never applies a rule whose keyword is missing.

use keyroll_leak::gitleaks::{Config, TextOrigin};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Sample {
    literal: String,
    any_case: bool,
    /// Where its keyword is in it.
    part: (usize, usize),
}

impl Sample {
    fn keyword(&self) -> String {
        let letters: Vec<char> = self.literal.chars().collect();
        let (from, length) = (self.part.0 % letters.len(), self.part.1);
        letters[from..letters.len().min(from + length)].iter().collect()
    }

    /// As a rule, with a keyword or without.
    fn rule(&self, number: usize, keywords: &str) -> String {
        let flag = if self.any_case { "(?i)" } else { "" };
        let literal = self.literal.replace('.', r"\.");
        format!("[[rules]]\nid = '{number}'\nregex = '''{flag}{literal}[0-9]{{1,2}}'''\n{keywords}\n")
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    // Few letters, so that words contain each other, and have equal starts and ends.
    ("[abAB.]{1,5}", any::<bool>(), (0_usize..5, 1_usize..4)).prop_map(|(literal, any_case, part)| Sample {
        literal,
        any_case,
        part,
    })
}

fn found(file: &str, text: &[u8]) -> Vec<(String, std::ops::Range<usize>)> {
    let config = Config::read("rules.toml", file).unwrap();
    assert_eq!(config.disabled(), []);
    let mut all = Vec::new();
    config.find(text, TextOrigin::default(), &mut |found| all.push((found.rule.id.clone(), found.span)));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keywords_lose_nothing(
        samples in prop::collection::vec(sample(), 1..8),
        text in "[abAB.0-9 \nä]{0,60}",
        planted in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..60, any::<bool>()), 0..4),
    ) {
        let mut text: Vec<char> = text.chars().collect();
        for (which, at, large) in planted {
            let literal = &which.get(&samples).literal;
            let literal = if large { literal.to_uppercase() } else { literal.clone() };
            let at = at.min(text.len());
            text.splice(at..at, format!("{literal}7").chars());
        }
        let text: String = text.into_iter().collect();
        let each = |keywords: &dyn Fn(&Sample) -> String| {
            let rules = samples.iter().enumerate().map(|(number, one)| one.rule(number, &keywords(one)));
            rules.collect::<String>()
        };
        let with = found(&each(&|one| format!("keywords = ['{}']", one.keyword())), text.as_bytes());
        let without = found(&each(&|_| String::new()), text.as_bytes());
        prop_assert_eq!(with, without);
    }

    /// A keyword need not be in the match: it may be anywhere in the text.
    #[test]
    fn a_rule_without_its_keyword_in_the_text_finds_nothing(
        samples in prop::collection::vec((sample(), prop::collection::vec("[abAB]{1,4}|ä|Ö", 1..3)), 1..6),
        text in "[abAB0-9 äÄö]{0,40}",
    ) {
        let rule = |number: usize, one: &Sample, words: &[String]| one.rule(number, &format!("keywords = {words:?}"));
        let rules = samples.iter().enumerate().map(|(number, (one, words))| rule(number, one, words));
        let with = found(&rules.collect::<String>(), text.as_bytes());
        let without: String = samples.iter().enumerate().map(|(number, (one, _))| one.rule(number, "")).collect();
        let small = text.to_lowercase();
        let expected: Vec<_> = found(&without, text.as_bytes())
            .into_iter()
            .filter(|(id, _)| {
                let (_, words) = &samples[id.parse::<usize>().unwrap()];
                words.iter().any(|word| small.contains(&word.to_lowercase()))
            })
            .collect();
        prop_assert_eq!(with, expected);
    }
}
