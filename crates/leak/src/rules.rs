use std::ops::Range;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::Rule;
use crate::anchors::{Anchor, Anchors};
use crate::may_hold::MayHold;
use crate::rule::{MATCH_BYTES_MAX, NEAR_BYTES_MAX};

/// The rules that come with the program, by the file that they stand in.
const SHIPPED: [(&str, &str); 8] = [
    ("models", include_str!("../../../rules/models.toml")),
    ("code", include_str!("../../../rules/code.toml")),
    ("clouds", include_str!("../../../rules/clouds.toml")),
    ("databases", include_str!("../../../rules/databases.toml")),
    ("messaging", include_str!("../../../rules/messaging.toml")),
    ("payments", include_str!("../../../rules/payments.toml")),
    ("services", include_str!("../../../rules/services.toml")),
    ("keys", include_str!("../../../rules/keys.toml")),
];

/// The most findings in one text before the overlapping ones are put in order: a text with more is no text.
const FOUND_MAX: usize = 100_000;

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
    pub(crate) all: Vec<Rule>,
    pub(crate) anchors: Anchors,
    /// What the number of an anchor stands for.
    pub(crate) meant: Vec<Meant>,
    /// The rules whose values may begin with a byte, for each byte.
    of_byte: Vec<Vec<usize>>,
    may_hold: MayHold,
}

/// What a word that was found begins.
#[derive(Clone, Copy)]
pub(crate) enum Meant {
    /// A value of this rule.
    Begin(usize),
    /// It stands in one.
    Within(usize),
    /// One stands behind it.
    Near(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
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

    /// Rules from texts, each with its name for messages. Of two that say as much of one place the first counts.
    ///
    /// # Errors
    /// A text that is no file of rules, an id that stands there twice; a rule that cannot be searched for, or matches without
    /// end. With the line.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, RuleError> {
        let mut all: Vec<Rule> = Vec::new();
        for (file, text) in files {
            let wrong = |why: String| RuleError { file: (*file).to_owned(), why };
            let document: Document = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
            for rule in document.rule {
                if all.iter().any(|known| known.id == rule.id) {
                    return Err(wrong(format!("the rule '{}' stands there twice", rule.id)));
                }
                rule.check().map_err(|(why, at)| {
                    let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
                    wrong(format!("line {line}: {why}"))
                })?;
                all.push(rule);
            }
        }
        let mut words = Vec::new();
        let mut meant = Vec::new();
        for (index, rule) in all.iter().enumerate() {
            let means = match (rule.begins.is_empty(), rule.holds.is_empty()) {
                (false, _) => Meant::Begin(index),
                (true, false) => Meant::Within(index),
                (true, true) => Meant::Near(index),
            };
            let number = u32::try_from(meant.len()).unwrap_or(u32::MAX);
            let any_case = matches!(means, Meant::Near(_));
            meant.push(means);
            let anchor = |word: &String| Anchor { word: word.clone().into_bytes(), number, any_case };
            words.extend(rule.anchors().iter().map(anchor));
        }
        let may_hold = MayHold::of(&all);
        let may_hold =
            may_hold.map_err(|error| RuleError { file: "all".to_owned(), why: error.to_string() })?;
        let may = |rule: &Rule, byte: u8| {
            rule.begins.is_empty() || rule.begins.iter().any(|begin| begin.bytes().next() == Some(byte))
        };
        let of_byte = (0..=u8::MAX).map(|byte| {
            all.iter().enumerate().filter(|(_, rule)| may(rule, byte)).map(|(index, _)| index).collect()
        });
        let of_byte = of_byte.collect();
        Ok(Self { all, anchors: Anchors::new(words), meant, of_byte, may_hold })
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

    /// Every credential in a text, in its order. Of those that overlap the one of which more is known: a rule that yields to
    /// others comes last, then one that goes by the words before a value, then the shorter value.
    pub fn find<'r>(&'r self, text: &[u8], found: &mut dyn FnMut(Finding<'r>)) {
        let mut all: Vec<(usize, Range<usize>)> = Vec::new();
        self.anchors.find(text, &mut |number, word| {
            if all.len() >= FOUND_MAX {
                return;
            }
            let Some(meant) = self.meant.get(number as usize) else { return };
            match *meant {
                Meant::Begin(index) => {
                    let rule = self.all.get(index);
                    let end = rule.and_then(|rule| rule.ends(text, word.start));
                    all.extend(end.map(|end| (index, word.start..end)));
                }
                Meant::Within(index) => {
                    let from = word.start.saturating_sub(MATCH_BYTES_MAX);
                    let line = text.get(from..word.start).unwrap_or_default();
                    let from = line.iter().rposition(|byte| *byte == b'\n').map_or(from, |at| from + at + 1);
                    self.each(index, text, from, word.start, &mut |span| {
                        if span.end >= word.end {
                            all.push((index, span));
                        }
                    });
                }
                Meant::Near(index) => {
                    let far = word.end.saturating_add(NEAR_BYTES_MAX);
                    let line = text.get(word.end..far.min(text.len())).unwrap_or_default();
                    let last = line.iter().position(|byte| *byte == b'\n').map_or(far, |at| word.end + at);
                    self.each(index, text, word.end, last, &mut |span| all.push((index, span)));
                }
            }
        });
        for (index, span) in self.chosen(all) {
            if let Some(rule) = self.all.get(index) {
                found(Finding { rule, span });
            }
        }
    }

    /// Every one of a rule that begins from one place up to another.
    fn each(&self, index: usize, text: &[u8], from: usize, upto: usize, take: &mut dyn FnMut(Range<usize>)) {
        let Some(rule) = self.all.get(index) else { return };
        let mut from = from;
        while from <= upto {
            let Some(span) = rule.within(text, from, upto.saturating_add(MATCH_BYTES_MAX)) else { return };
            if span.start > upto {
                return;
            }
            let right = rule.is_one(text, &span);
            // What is wrong from its first byte on may be right from another.
            from = if right { span.end } else { span.start + 1 };
            if right {
                take(span);
            }
        }
    }

    /// Those of which none overlaps another, in the order of the text.
    fn chosen(&self, mut all: Vec<(usize, Range<usize>)>) -> Vec<(usize, Range<usize>)> {
        let rank = |index: usize| {
            let rule = self.all.get(index);
            rule.map(|rule| (rule.yields, rule.begins.is_empty() && rule.holds.is_empty()))
        };
        all.sort_by(|(one, span), (other, there)| {
            let length = |span: &Range<usize>| std::cmp::Reverse(span.len());
            (rank(*one), length(span), *one, span.start).cmp(&(
                rank(*other),
                length(there),
                *other,
                there.start,
            ))
        });
        let mut chosen: std::collections::BTreeMap<usize, (usize, usize)> = std::collections::BTreeMap::new();
        for (index, span) in all {
            let before = chosen.range(..span.end).next_back();
            if before.is_none_or(|(_, (_, end))| *end <= span.start) {
                chosen.insert(span.start, (index, span.end));
            }
        }
        chosen.into_iter().map(|(start, (index, end))| (index, start..end)).collect()
    }

    /// The rule that the whole of a value satisfies. Rules that go by what stands before a value say nothing of one alone.
    pub fn of(&self, value: &[u8]) -> Option<&Rule> {
        let first = usize::from(*value.first()?);
        let may = self.of_byte.get(first)?.iter().filter_map(|index| self.all.get(*index));
        let mut all = may.filter(|rule| rule.is(value));
        let first = all.next()?;
        if first.yields { all.find(|rule| !rule.yields).or(Some(first)) } else { Some(first) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::bytes_regex;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    const LINE: &str = "key = \"{}\"\n";

    /// A line with a value in it, and where it stands there.
    fn line(form: &str, value: &[u8]) -> (Vec<u8>, usize) {
        match form.split_once("{}") {
            Some((before, behind)) => ([before.as_bytes(), value, behind.as_bytes()].concat(), before.len()),
            None => (form.as_bytes().to_vec(), 0),
        }
    }

    fn found(rules: &Rules, text: &[u8]) -> Vec<(String, Range<usize>)> {
        let mut all = Vec::new();
        rules.find(text, &mut |finding| all.push((finding.rule.id.clone(), finding.span)));
        all
    }

    #[test]
    fn every_rule_finds_what_it_describes_and_no_part_of_a_longer_word() {
        let rules = Rules::shipped().unwrap();
        let mut wrong = Vec::new();
        for rule in rules.iter() {
            let values = bytes_regex(rule.expression()).unwrap();
            let mut runner = TestRunner::new_with_rng(
                Config { cases: 24, failure_persistence: None, max_shrink_iters: 0, ..Config::default() },
                proptest::test_runner::TestRng::deterministic_rng(
                    proptest::test_runner::RngAlgorithm::ChaCha,
                ),
            );
            let seen = runner.run(&values, |value| {
                let value = rule.fitted(&value);
                if !rule.is_random(&value) {
                    return Ok(());
                }
                let usual = (rule.positive.is_empty() && rule.near.is_empty()).then(|| LINE.to_owned());
                for form in rule.positive.iter().chain(&usual) {
                    let (text, at) = line(form, &value);
                    let all = found(rules, &text);
                    prop_assert!(
                        all.contains(&(rule.id.clone(), at..at + value.len())),
                        "in {form}: {all:?}"
                    );
                }
                for form in &rule.negative {
                    let all = found(rules, &line(form, &value).0);
                    prop_assert!(all.iter().all(|(id, _)| *id != rule.id), "not in {form}: {all:?}");
                }
                if rule.near.is_empty() {
                    let known = rules.of(&value).map(|found| found.id.as_str());
                    prop_assert_eq!(known, Some(rule.id.as_str()));
                }
                for form in ["a{}", "{}_"] {
                    let all = found(rules, &line(form, &value).0);
                    prop_assert!(all.iter().all(|(id, _)| *id != rule.id), "within a word, {form}: {all:?}");
                }
                Ok(())
            });
            if let Err(why) = seen {
                wrong.push(format!(
                    "{}: {}",
                    rule.id,
                    why.to_string().lines().next().unwrap_or_default().chars().take(300).collect::<String>()
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_shipped_rule_compiles_and_says_where_it_is_from() {
        let rules = Rules::shipped().unwrap();
        for rule in rules.iter() {
            assert!(rule.compiles(), "{}", rule.id);
            assert!(!rule.title.is_empty() && rule.source.starts_with("https://"), "{}", rule.id);
        }
        assert!(rules.iter().count() >= 200);
    }

    fn refused(rule: &str) -> String {
        let all =
            format!("[[rule]]\nid='a'\nprovider='p'\ntitle='t'\nsource='https://example.com'\n{rule}\n");
        Rules::read(&[("mine", &all)]).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn a_rule_that_cannot_be_searched_for_is_refused_with_its_line() {
        assert_eq!(refused("begins=['abc']\nregex='abc[a-z]{8}'"), "");
        let wrong = refused("begins=['abc']\nregex='abc[a-z'");
        assert!(
            wrong.starts_with("mine: line 7: the rule 'a' has an expression that cannot be read:"),
            "{wrong}"
        );
        assert!(refused("begins=['abc']\nregex='abc[a-z]+'").contains("more than 4096 bytes"));
        assert!(refused("regex='abc[a-z]{8}'").contains("nothing to begin a search with"));
        assert!(refused("near=['ab']\nregex='abc[a-z]{8}'").contains("stands everywhere"));
        assert!(refused("begin=['abc']\nregex='abc'").contains("unknown field `begin`"));
        let one = "[[rule]]\nid='a'\nprovider='p'\ntitle='t'\nregex='xyz'\nbegins=['xyz']\nsource='https://example.com'\n";
        let twice = Rules::read(&[("mine", &format!("{one}{one}"))]).err().unwrap();
        assert_eq!(twice.to_string(), "mine: the rule 'a' stands there twice");
    }

    #[test]
    fn of_those_that_overlap_the_one_that_says_more_is_told() {
        let rule = |id: &str, rest: &str| {
            format!("[[rule]]\nid='{id}'\nprovider='p'\ntitle='t'\nsource='https://x.y'\n{rest}\n")
        };
        let all = [
            rule("any", "near=['bearer']\nyields=true\nregex='[a-z0-9-]{8,40}'"),
            rule("near", "near=['mine']\nregex='[a-z0-9-]{8,40}'"),
            rule("form", "begins=['abc-']\nregex='abc-[a-z0-9]{8}'"),
        ];
        let rules = Rules::read(&[("mine", &all.concat())]).unwrap();
        let ids =
            |text: &str| found(&rules, text.as_bytes()).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids("mine: Bearer abc-12345678"), ["form"]);
        assert_eq!(ids("mine: Bearer xyz-12345678"), ["near"]);
        assert_eq!(ids("Bearer xyz-12345678 and abc-12345678"), ["any", "form"]);
        assert!(ids("mine\nxyz-12345678").is_empty());
    }
}
