pub(crate) mod anchors;
pub(crate) mod block_lines;
pub(crate) mod checksum;
pub(crate) mod lazy_dfa;
pub(crate) mod long_lines;
pub(crate) mod rule;
pub(crate) mod undecided_tail;

use std::collections::BTreeMap;
use std::ops::{BitAnd, BitOr, Range};
use std::sync::OnceLock;

use serde::Deserialize;
use toml::Spanned;

use crate::Rule;
use crate::rules::anchors::{Anchor, Anchors};
use crate::rules::block_lines::BlockLines;
use crate::rules::lazy_dfa::LazyDfa;
use crate::rules::rule::{AnchorKind, NEAR_BYTES_MAX, begins_word, goes_on};
use crate::secret_names::prefilter::{PREFILTER_MARKS, may_name_a_secret};

/// The built-in rules, collected from `rules/` by the build.
const SHIPPED: &str = include_str!(concat!(env!("OUT_DIR"), "/rules.json"));

/// The most findings in one text before overlaps are resolved.
const FOUND_MAX: usize = 100_000;

/// In place of a rule's number: a mark of the names of secrets.
const MARK: u32 = u32::MAX;

/// A rule file with an error.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// The error, with its line.
    pub why: String,
}

/// A credential in a text.
#[derive(Debug, Clone)]
pub struct RuleMatch<'r> {
    /// The rule that matched.
    pub rule: &'r Rule,
    /// The range of the value.
    pub span: Range<usize>,
    /// Where the first line of a block begins, if the span is a part of its content: between two parts are lines of
    /// others.
    pub block: Option<usize>,
}

/// A set of rules.
pub struct Rules {
    pub(crate) all: Vec<Rule>,
    pub(crate) anchors: Anchors,
    /// The rule and kind of each anchor, by number.
    pub(crate) meant: Vec<(usize, AnchorKind)>,
    /// The rules whose values may begin with each byte.
    of_byte: Vec<Vec<RuleOfByte>>,
    /// Whether a word of a rule may still follow within a value; built only for streams.
    pub(crate) heads: OnceLock<Option<LazyDfa>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rule: Vec<Spanned<Rule>>,
}

impl Rules {
    /// The built-in rules.
    ///
    /// # Errors None in a tested program: a test parses and compiles them all.
    pub fn shipped() -> Result<&'static Self, RuleError> {
        static RULES: OnceLock<Rules> = OnceLock::new();
        if let Some(ready) = RULES.get() {
            return Ok(ready);
        }
        let all = serde_json::from_str(SHIPPED);
        let all = all.map_err(|error| RuleError { file: "rules".to_owned(), why: error.to_string() })?;
        Ok(RULES.get_or_init(|| Self::of_all(all)))
    }

    /// Parses rule files, given with their names. Of two equally specific rules the first one wins.
    ///
    /// # Errors A malformed file, a duplicate id, a rule without an anchor, or with unbounded matches; with the line.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, RuleError> {
        let mut all: Vec<Rule> = Vec::new();
        for (file, text) in files {
            let wrong = |why: String| RuleError { file: (*file).to_owned(), why };
            let document: Document = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
            for rule in document.rule {
                let at = rule.span().start;
                let rule = rule.into_inner();
                if all.iter().any(|known| known.id == rule.id) {
                    return Err(wrong(format!("the rule '{}' is given twice", rule.id)));
                }
                rule.check().map_err(|why| {
                    let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
                    wrong(format!("line {line}: {why}"))
                })?;
                all.push(rule);
            }
        }
        Ok(Self::of_all(all))
    }

    fn of_all(all: Vec<Rule>) -> Self {
        let mut words = Vec::new();
        let mut meant = Vec::new();
        for (index, rule) in all.iter().enumerate() {
            let (from, kind) = rule.anchors();
            let number = u32::try_from(meant.len()).unwrap_or(u32::MAX);
            let any_case = kind == AnchorKind::Near;
            meant.push((index, kind));
            words.extend(from.iter().map(|word| Anchor {
                word: word.clone().into_bytes(),
                number,
                any_case,
                starts: rule.starts_with(word),
            }));
        }
        words.extend(PREFILTER_MARKS.iter().map(|word| Anchor {
            word: word.as_bytes().to_vec(),
            number: MARK,
            any_case: true,
            starts: Vec::new(),
        }));
        // A rule with words before its values cannot judge a value alone.
        let may = |rule: &Rule, byte: u8| {
            let seconds = rule.begins.iter().map(|begin| match begin.as_bytes() {
                [first, second, ..] if *first == byte => bit_of(*second),
                [first] if *first == byte => ByteSet::MAX,
                _ => 0,
            });
            let seconds = if rule.begins.is_empty() { ByteSet::MAX } else { seconds.fold(0, BitOr::bitor) };
            if rule.near.is_empty() { seconds } else { 0 }
        };
        // Of several words inside, only bytes of all are needed.
        let needs = |rule: &Rule| match rule.begins.is_empty() {
            true => {
                rule.holds.iter().map(|word| bytes_of(word.as_bytes())).reduce(BitAnd::bitand).unwrap_or(0)
            }
            false => 0,
        };
        let of_byte = (0..=u8::MAX).map(|byte| {
            let all = all.iter().enumerate();
            let all =
                all.map(|(index, rule)| RuleOfByte { seconds: may(rule, byte), needs: needs(rule), index });
            all.filter(|rule| rule.seconds != 0).collect()
        });
        let of_byte = of_byte.collect();
        Self { all, anchors: Anchors::new(words), meant, of_byte, heads: OnceLock::new() }
    }

    /// All rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }

    /// Whether a text may contain a value by its format or name. A cheap test: `false` is certain.
    pub fn may_hold(&self, text: &[u8]) -> bool {
        let mut found = false;
        may_name_a_secret(text) || {
            self.find(text, &mut |_| found = true);
            found
        }
    }

    /// Reports every credential in a text, in order. Of overlapping ones the most specific wins: a rule that does not
    /// yield, then one without words before its values, then the longer value.
    pub fn find<'r>(&'r self, text: &[u8], found: &mut dyn FnMut(RuleMatch<'r>)) {
        self.find_marked(text, &mut |_| {}, found);
    }

    /// Also reports the marks of the names of secrets, in order except for a few bytes.
    pub(crate) fn find_marked<'r>(
        &'r self,
        text: &[u8],
        mark: &mut dyn FnMut(usize),
        found: &mut dyn FnMut(RuleMatch<'r>),
    ) {
        let mut all: Vec<(usize, Range<usize>)> = Vec::new();
        // By the start of a part of a block: the start of the block.
        let mut blocks: BTreeMap<usize, usize> = BTreeMap::new();
        // Each rule searches a range once; with repeated words ranges would overlap.
        let mut looked: BTreeMap<usize, usize> = BTreeMap::new();
        self.anchors.find(text, &mut |number, word| {
            if number == MARK {
                return mark(word.start);
            }
            if all.len() >= FOUND_MAX {
                return;
            }
            let Some((index, kind)) = self.meant.get(number as usize).copied() else { return };
            let Some(rule) = self.all.get(index) else { return };
            match kind {
                AnchorKind::Begins => match rule.ends(text, word.start) {
                    Some(end) => all.push((index, word.start..end)),
                    None => {
                        let parts = BlockLines::of(rule, text, word.start).parts;
                        blocks.extend(parts.iter().map(|part| (part.start, word.start)));
                        all.extend(parts.into_iter().map(|part| (index, part)));
                    }
                },
                AnchorKind::Within => {
                    let looked = looked.entry(index).or_default();
                    if *looked > word.start {
                        return;
                    }
                    let from = word.start.saturating_sub(rule.lengths().1).max(*looked);
                    let line = text.get(from..word.start).unwrap_or_default();
                    let from = memchr::memrchr(b'\n', line).map_or(from, |at| from + at + 1);
                    *looked = each(rule, text, from, word.start, &mut |span| {
                        if span.end >= word.end {
                            all.push((index, span));
                        }
                    });
                }
                AnchorKind::Near if !begins_word(text, word.start) => {}
                AnchorKind::Near => {
                    let far = word.end.saturating_add(NEAR_BYTES_MAX);
                    let line = text.get(word.end..far.min(text.len())).unwrap_or_default();
                    let last = memchr::memchr(b'\n', line).map_or(far, |at| word.end + at);
                    each(rule, text, word.end, last, &mut |span| all.push((index, span)));
                }
            }
        });
        for (index, span) in self.chosen(all) {
            if let Some(rule) = self.all.get(index) {
                let block = blocks.get(&span.start).copied().filter(|_| rule.is_block());
                found(RuleMatch { rule, span, block });
            }
        }
    }

    /// Removes overlaps; sorts by position.
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
        let mut chosen: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (index, span) in all {
            let before = chosen.range(..span.end).next_back();
            if before.is_none_or(|(_, (_, end))| *end <= span.start) {
                chosen.insert(span.start, (index, span.end));
            }
        }
        chosen.into_iter().map(|(start, (index, end))| (index, start..end)).collect()
    }

    /// The rule that a whole value matches. Rules with words before their values do not count.
    pub fn of(&self, value: &[u8]) -> Option<&Rule> {
        let [first, second, ..] = value else { return None };
        let (second, bytes) = (bit_of(*second), bytes_of(value));
        let may = self.of_byte.get(usize::from(*first))?.iter();
        // Most values are no credentials, and have other bytes.
        let may = may.filter(|rule| rule.seconds & second != 0 && rule.needs & !bytes == 0);
        let may = may.filter_map(|rule| self.all.get(rule.index));
        let mut all = may.filter(|rule| rule.is(value));
        let first = all.next()?;
        if first.yields { all.find(|rule| !rule.yields).or(Some(first)) } else { Some(first) }
    }
}

/// A rule whose values may begin with a byte.
struct RuleOfByte {
    /// The bytes that may follow.
    seconds: ByteSet,
    /// Bytes that every value contains.
    needs: ByteSet,
    index: usize,
}

/// A set of bytes, in which some share a bit.
type ByteSet = u64;

fn bit_of(byte: u8) -> ByteSet {
    1 << (byte % 64)
}

fn bytes_of(text: &[u8]) -> ByteSet {
    text.iter().fold(0, |set, byte| set | bit_of(*byte))
}

/// Reports the matches of a rule that begin in a range. Returns where the search ended.
fn each(rule: &Rule, text: &[u8], from: usize, upto: usize, take: &mut dyn FnMut(Range<usize>)) -> usize {
    let (least, most) = rule.lengths();
    let far = upto.saturating_add(most).min(text.len());
    let mut from = from;
    while from <= upto && has_run(text.get(from..far).unwrap_or_default(), least) {
        let Some(span) = rule.within(text, from, far).filter(|span| span.start <= upto) else { break };
        let right = rule.is_one(text, &span);
        // The match may be wrong from its first byte on, but right from the next word on.
        from = if right { span.end } else { next_word(text, span.start, upto) };
        if right {
            take(span);
        }
    }
    from.max(upto + 1)
}

/// The next position where a value may begin, up to shortly after `last`.
fn next_word(text: &[u8], start: usize, last: usize) -> usize {
    let mut next = start + 1;
    while next <= last && goes_on(text.get(..next).unwrap_or_default()) {
        next += 1;
    }
    next
}

/// Whether the text has so many bytes without a space: values contain none, except blocks, and most words of rules
/// occur in sentences. Far cheaper than an expression.
fn has_run(text: &[u8], bytes: usize) -> bool {
    let mut from = 0;
    while let Some(part) = text.get(from..).and_then(|rest| rest.get(..bytes)) {
        match part.iter().rposition(|byte| *byte <= b' ') {
            Some(at) => from += at + 1,
            None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::bytes_regex;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    use regex_automata::util::syntax::parse_with;
    use regex_syntax::hir::{Class, ClassBytesRange, Hir, HirKind};

    use super::*;

    /// The rules as in their files, with their tests.
    fn written() -> Rules {
        const FILES: [(&str, &str); 8] = [
            ("models", include_str!("../../../../rules/models.toml")),
            ("code", include_str!("../../../../rules/code.toml")),
            ("clouds", include_str!("../../../../rules/clouds.toml")),
            ("databases", include_str!("../../../../rules/databases.toml")),
            ("messaging", include_str!("../../../../rules/messaging.toml")),
            ("payments", include_str!("../../../../rules/payments.toml")),
            ("services", include_str!("../../../../rules/services.toml")),
            ("keys", include_str!("../../../../rules/keys.toml")),
        ];
        Rules::read(&FILES).unwrap_or_else(|error| panic!("{error}"))
    }

    const LINE: &str = "key = \"{}\"\n";

    /// A line with a value, and the value's position.
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
        let rules = written();
        let rules = &rules;
        let mut wrong = Vec::new();
        for rule in rules.iter() {
            let values = bytes_regex(rule.expression()).unwrap();
            let mut runner = TestRunner::new_with_rng(
                Config { cases: 24, failure_persistence: None, max_shrink_iters: 0, ..Config::default() },
                TestRng::deterministic_rng(RngAlgorithm::ChaCha),
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
                if rule.has_checksum() {
                    let mut other = value.clone();
                    let last = other.last_mut().unwrap();
                    *last = if *last == b'2' { b'3' } else { b'2' };
                    prop_assert!(found(rules, &line(LINE, &other).0).iter().all(|(id, _)| *id != rule.id));
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
                    let whole =
                        (rule.id.clone(), form.find('{').unwrap()..form.find('{').unwrap() + value.len());
                    prop_assert!(!all.contains(&whole), "within a word, {form}: {all:?}");
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

    fn below(draws: &mut TestRng, end: usize) -> usize {
        draws.next_u32() as usize % end
    }

    /// One value of an expression, each byte of a class equally likely and each repetition as short as it may be:
    /// short values have the least entropy.
    fn draw(of: &Hir, draws: &mut TestRng, value: &mut Vec<u8>) {
        match of.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => value.extend_from_slice(&literal.0),
            HirKind::Class(class) => {
                let class = match class {
                    Class::Bytes(class) => class.clone(),
                    Class::Unicode(class) => class.to_byte_class().unwrap(),
                };
                let size = |range: &ClassBytesRange| usize::from(range.end() - range.start()) + 1;
                let mut at = below(draws, class.ranges().iter().map(size).sum());
                for range in class.ranges() {
                    if at < size(range) {
                        value.push(range.start() + u8::try_from(at).unwrap());
                        break;
                    }
                    at -= size(range);
                }
            }
            HirKind::Repetition(repetition) => {
                for _ in 0..repetition.min {
                    draw(&repetition.sub, draws, value);
                }
            }
            HirKind::Capture(capture) => draw(&capture.sub, draws, value),
            HirKind::Concat(all) => all.iter().for_each(|one| draw(one, draws, value)),
            HirKind::Alternation(all) => draw(&all[below(draws, all.len())], draws, value),
        }
    }

    /// A threshold that real values miss hides leaks: one in a thousand of Stripe's shortest keys once. Where words
    /// before a value are all that tells it from a digest, one in a thousand is the price of leaving digests out.
    #[test]
    fn no_rule_asks_for_more_entropy_than_its_own_values_have() {
        const DRAWS: usize = 4_000;
        let mut wrong = Vec::new();
        for rule in written().iter() {
            // Each rule has the same draws, so a new one changes nothing for the others.
            let mut draws = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            let parsed = parse_with(rule.expression(), &rule::bytes()).unwrap();
            let missed = (0..DRAWS).filter(|_| {
                let mut value = Vec::new();
                draw(&parsed, &mut draws, &mut value);
                !rule.is_random(&rule.fitted(&value))
            });
            let missed = missed.count();
            if missed > if rule.near.is_empty() { 0 } else { DRAWS / 1_000 } {
                wrong.push(format!("{}: {missed} of {DRAWS}", rule.id));
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
        let ids = |rules: &Rules| rules.iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(rules), ids(&written()));
    }

    #[test]
    fn a_colour_before_a_token_is_no_part_of_it() {
        let rules = Rules::shipped().unwrap();
        let token = "glpat-kD93hfQ0plm4XyT71bQe";
        for before in ["\u{1b}[33m", "\u{1b}[1;38;5;208m", "\u{1b}[m"] {
            let text = format!("x {before}{token}\u{1b}[0m");
            assert_eq!(found(rules, text.as_bytes()).len(), 1, "{before:?}");
        }
        for before in ["33m", "[33m", "\u{1b}[33mm"] {
            assert!(found(rules, format!("x {before}{token}").as_bytes()).is_empty(), "{before:?}");
        }
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
            wrong.starts_with("mine: line 1: the rule 'a' has an expression that cannot be read:"),
            "{wrong}"
        );
        assert!(refused("begins=['abc']\nregex='abc[a-z]+'").contains("more than 4096 bytes"));
        assert!(refused("regex='abc[a-z]{8}'").contains("no anchor for a search"));
        assert!(refused("near=['ab']\nregex='abc[a-z]{8}'").contains("too short"));
        assert!(refused("begin=['abc']\nregex='abc'").contains("unknown field `begin`"));
        let one = "[[rule]]\nid='a'\nprovider='p'\ntitle='t'\nregex='xyz'\nbegins=['xyz']\nsource='https://example.com'\n";
        let twice = Rules::read(&[("mine", &format!("{one}{one}"))]).err().unwrap();
        assert_eq!(twice.to_string(), "mine: the rule 'a' is given twice");
    }

    #[test]
    fn of_those_that_overlap_the_one_that_says_more_is_reported() {
        let rule = |id: &str, rest: &str| {
            format!("[[rule]]\nid='{id}'\nprovider='p'\ntitle='t'\nsource='https://x.y'\n{rest}\n")
        };
        let all = [
            rule("any", "near=['bearer']\nyields=true\nregex='[a-z0-9-]{8,40}'"),
            rule("weak", "begins=['abc-']\nyields=true\nregex='abc-[a-z0-9-]{8,40}'"),
            rule("near", "near=['mine']\nregex='[a-z0-9-]{8,40}'"),
            rule("form", "begins=['abc-']\nregex='abc-[a-z0-9]{8}'"),
            rule("both", "begins=['qq-']\nnear=['ours']\nregex='qq-[a-z0-9]{8}'"),
            rule("six", "near=['six']\nregex='[a-z-]{6}'"),
        ];
        let rules = Rules::read(&[("mine", &all.concat())]).unwrap();
        let ids =
            |text: &str| found(&rules, text.as_bytes()).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids("mine: Bearer abc-12345678"), ["form"]);
        assert_eq!(ids("mine: Bearer xyz-12345678"), ["near"]);
        assert_eq!(ids("Bearer xyz-12345678 and abc-12345678"), ["any", "form"]);
        assert_eq!(rules.of(b"abc-12345678").map(|rule| rule.id.as_str()), Some("form"));
        assert_eq!(rules.of(b"abc-1234-5678").map(|rule| rule.id.as_str()), Some("weak"));
        // Words must be in the value's line, at the start of a word.
        for text in ["mine\nxyz-12345678", "determine xyz-12345678", "ours\nqq-12345678", "qq-12345678"] {
            assert!(ids(text).is_empty(), "{text}");
        }
        assert_eq!(ids("itsMine xyz-12345678"), ["near"]);
        assert_eq!(ids("is_ours: qq-12345678"), ["both"]);
        // A value inside a longer word is not one, but may be one from the next word on.
        assert_eq!(found(&rules, b"six: abc-defghi "), [("six".to_owned(), 9..15)]);
        // The letter of an escape does not belong to the next word.
        assert_eq!(ids(r"x\nabc-12345678\n"), ["form"]);
        assert!(ids("xnabc-12345678").is_empty());
    }
}
