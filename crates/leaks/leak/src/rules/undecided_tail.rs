use std::collections::BTreeMap;
use std::ops::Range;

use crate::rules::block_lines::{BlockLines, block_context};
use crate::rules::lazy_dfa::LazyDfa;
use crate::rules::rule::{
    AnchorKind, BLOCK_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX, begins_word, bytes, goes_on,
};
use crate::{Rule, Rules};

/// How far before the last run anchors are searched, bytes: a word before a value, or a prefix with a space.
const WORD_BYTES_MAX: usize = 256;

/// The longest head that looks like a word and is still shown, bytes: few texts end in a longer word, and few values
/// begin like a word.
const HEAD_LETTERS_MAX: usize = 16;

/// Whether a byte ends a run: values contain none of these, except in prefixes and blocks.
pub fn ends_run(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | 0x7f)
}

/// The end of a text that following text decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndecidedTail {
    /// The start of the first value that following text can create, change or undo; the text's length if there is
    /// none. Findings of [`find`](Rules::find) before it are final.
    pub start: usize,
    /// From here on the text decides about following text: it has the first line of a block that goes on. The text's
    /// length if it has none.
    pub context: usize,
}

impl Rules {
    /// What following text decides about.
    ///
    /// A value may begin
    /// - at a rule's complete prefix in the last run, or at a word inside values;
    /// - at a block's first line; if the expression cannot match any more, in the block's content;
    /// - in a run within [`NEAR_BYTES_MAX`] after a word before values, if it may become a value of that rule;
    /// - in a run that may become a value whose inner word is still to come, except an address.
    ///
    /// A start is at most [`MATCH_BYTES_MAX`] before the end, for a block [`BLOCK_BYTES_MAX`]. Incomplete prefixes do
    /// not count. Neither do heads: at most `head_bytes_max` bytes; without a word before the value also sixteen bytes
    /// without a digit, and with letters of one case except the first. A complete value in the last run may become
    /// another one until the run ends.
    pub fn undecided(&self, text: &[u8], head_bytes_max: usize) -> UndecidedTail {
        let end = text.len();
        let near_end = end.saturating_sub(MATCH_BYTES_MAX);
        let run = behind_last(text, ends_run).max(near_end);
        // Blocks have several lines: they begin far before the last run.
        let from = end.saturating_sub(BLOCK_BYTES_MAX).min(run.saturating_sub(WORD_BYTES_MAX));
        let mut first = end;
        let looked = BTreeMap::new();
        let mut search = TailSearch { rules: self, text, run, head_bytes_max, context: end, looked };
        self.anchors.find(text.get(from..).unwrap_or_default(), &mut |number, word| {
            let word = from + word.start..from + word.end;
            if let Some(&(index, kind)) = self.meant.get(number as usize)
                && let Some(start) = search.may_begin(index, kind, word)
            {
                first = first.min(start);
            }
        });
        let start = first.min(self.head(text, run, head_bytes_max).unwrap_or(end));
        UndecidedTail { start, context: search.context }
    }

    /// The start of a value in the last run whose inner word is still to come.
    fn head(&self, text: &[u8], run: usize, head_bytes_max: usize) -> Option<usize> {
        let heads = self.heads.get_or_init(|| {
            let within = |rule: &&Rule| rule.anchors().1 == AnchorKind::Within && !rule.is_address();
            let all: Vec<&str> = self.all.iter().filter(within).map(Rule::expression).collect();
            if all.is_empty() { None } else { LazyDfa::of(&all, bytes()) }
        });
        let heads = heads.as_ref()?;
        let may_begin = |start: &usize| {
            let (before, head) = text.split_at_checked(*start).unwrap_or_default();
            !goes_on(before) && !says_little(head, head_bytes_max) && heads.may_go_on(head)
        };
        (run..text.len()).find(may_begin)
    }
}

/// A search for the first value that may continue after the end of a text.
struct TailSearch<'a> {
    rules: &'a Rules,
    text: &'a [u8],
    /// Where the last run begins, but at most [`MATCH_BYTES_MAX`] before the end.
    run: usize,
    /// A value that begins in these last bytes is not held back.
    head_bytes_max: usize,
    /// The start of the text that decides about following text.
    context: usize,
    /// By the rule's number: the range that was searched last for values of a rule with words.
    looked: BTreeMap<usize, Range<usize>>,
}

impl TailSearch<'_> {
    /// The first position, given this word of a rule, where a value may begin that continues after the end of the text.
    fn may_begin(&mut self, index: usize, kind: AnchorKind, word: Range<usize>) -> Option<usize> {
        let near_end = self.text.len().saturating_sub(MATCH_BYTES_MAX);
        let rule = self.rules.all.get(index)?;
        match kind {
            AnchorKind::Begins if rule.is_block() => self.may_go_on(rule, word.start),
            AnchorKind::Begins => (word.end >= self.run && word.start >= near_end).then_some(word.start),
            AnchorKind::Within => {
                (word.end > self.run).then(|| self.run.max(word.start.saturating_sub(MATCH_BYTES_MAX)))
            }
            AnchorKind::Near if !begins_word(self.text, word.start) => None,
            AnchorKind::Near => {
                let from = self.run.max(word.end);
                if self.text.get(word.end..from).unwrap_or_default().contains(&b'\n') {
                    return None;
                }
                let looked = self.looked.entry(index).or_default();
                let from = if looked.contains(&from) { looked.end } else { from };
                // Heads are shown at once: a prompt must appear before its answer is typed.
                let heads = self.text.len().saturating_sub(self.head_bytes_max);
                *looked = from..word.end.saturating_add(NEAR_BYTES_MAX + 1).min(heads).max(from);
                looked.clone().find(|start| {
                    let (before, head) = self.text.split_at_checked(*start).unwrap_or_default();
                    !goes_on(before) && rule.may_go_on(head)
                })
            }
        }
    }

    /// Where a block that begins at `start` is undecided.
    fn may_go_on(&mut self, rule: &Rule, start: usize) -> Option<usize> {
        if self.text.len() - start > BLOCK_BYTES_MAX {
            return None;
        }
        let is_open = rule.may_go_on(self.text.get(start..).unwrap_or_default());
        if is_open || rule.ends(self.text, start).is_some() {
            return is_open.then_some(start);
        }
        let block = BlockLines::of(rule, self.text, start);
        if block.is_open {
            self.context = self.context.min(block_context(self.text, start));
        }
        block.undecided
    }
}

/// Whether the head of a possible value may be shown. Most texts end in a few bytes with which some value begins, and a
/// word must not be held back until the next one arrives.
fn says_little(head: &[u8], bytes_max: usize) -> bool {
    if head.len() > HEAD_LETTERS_MAX {
        return false;
    }
    let rest = head.get(1..).unwrap_or_default();
    let digit = head.iter().any(u8::is_ascii_digit);
    let mixed = rest.iter().any(u8::is_ascii_lowercase) && rest.iter().any(u8::is_ascii_uppercase);
    head.len() <= bytes_max || !digit && !mixed
}

/// The position after the last byte for which `is` holds.
fn behind_last(text: &[u8], is: fn(u8) -> bool) -> usize {
    text.iter().rposition(|byte| is(*byte)).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let rule = |id: &str, rest: &str| {
            format!("[[rule]]\nid='{id}'\nprovider='p'\ntitle='t'\nsource='https://x.y'\n{rest}\n")
        };
        let all = [
            rule("form", "begins=['tok_', 'Key of ']\nregex='(?:tok_|Key of )[a-z0-9]{8,40}'"),
            rule("within", "holds=['.mid.']\nregex='[a-z0-9]{8}\\.mid\\.[a-z0-9]{8}'"),
            rule("block", "block=true\nbegins=['begun']\nregex='begun\\n[0-9\\n]{4,40}ended'"),
            rule("near", "near=['mine']\nregex='[a-f0-9]{16}'"),
            rule(
                "private-key",
                "block=true\nbegins=['-----BEGIN PRIVATE KEY-----', '-----BEGIN RSA PRIVATE KEY-----']\nregex='-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY-----[\\s\\S]{40,15000}?-----END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY-----'",
            ),
        ];
        Rules::read(&[("mine", &all.concat())]).unwrap()
    }

    #[test]
    fn what_may_become_a_value_is_undecided_from_its_beginning_on() {
        let rules = rules();
        let body = "0123456789abcdef".repeat(4);
        for (decided, undecided) in [
            ("clean text", ""),
            ("half of a beginning: tok", ""),
            ("a=", "tok_"),
            ("a=", "tok_0123"),
            ("tok_0123 ", ""),
            ("tok_0123456789\" ", ""),
            ("", "Key of "),
            ("", "Key of abc"),
            ("Key of abc ", ""),
            ("x ", "01234567.mid."),
            ("", "01234567.mid"),
            ("01234567.mi ", ""),
            ("01234567.m0", ""),
            ("x=", "012345"),
            ("x=01234", ""),
            ("0123456789", ""),
            ("x0_01234567", ""),
            ("\u{1b}[33m", "01234567"),
            ("a word alone: password", ""),
            ("https://", "01234567"),
            ("https://01.mi", ""),
            ("mine: 01234", ""),
            ("mine: ", "0123456789"),
            ("mine: ", "0123456789abcdef"),
            ("mine: 0123456789abcdef0", ""),
            ("mine: 0123456789x", ""),
            ("mine=0", ""),
            ("mine=", "0123456789"),
            ("mine=", ""),
            ("mine: x-", "abcdef"),
            ("mine (y/n)?", ""),
            ("mine code:", ""),
            ("mine password:", ""),
            ("mine: a b c d e f abcde", ""),
            ("mine: a b c d e f ", "abcdef"),
            ("mine=mine=", "0123456789"),
            ("mine\n0123456789", ""),
            ("amine: 0123456789", ""),
            ("mine ................................................................ 0123456789", ""),
            ("-----BEGIN CERTIFICATE-----\nabc", ""),
            ("x -----BEGIN ", ""),
            ("x -----BEGIN RSA PRIVATE KEY", ""),
            ("x ", "-----BEGIN RSA PRIVATE KEY-----\nabc def\n"),
            ("a block that is none: ", "begun\n01\n"),
            ("a block that is none: begun\n01\nand other words ", ""),
        ] {
            let text = format!("{decided}{undecided}");
            assert_eq!(rules.undecided(text.as_bytes(), 5).start, decided.len(), "{text:?}");
        }
        let key = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
        assert_eq!(rules.undecided(key.as_bytes(), 5).start, 0);
        assert_eq!(rules.undecided(format!("{key}\n").as_bytes(), 5).start, key.len() + 1);
    }

    #[test]
    fn what_never_ends_is_decided_when_it_is_too_long() {
        let rules = rules();
        let undecided = |begin: &str, length: usize| {
            rules.undecided(format!("{begin}{}", ".".repeat(length)).as_bytes(), 5).start
        };
        assert_eq!(undecided("tok_", MATCH_BYTES_MAX - 4), 0);
        assert_eq!(undecided("tok_", MATCH_BYTES_MAX - 3), MATCH_BYTES_MAX + 1);
        let line = "-----BEGIN PRIVATE KEY-----\n";
        assert_eq!(undecided(line, 14_999), 0);
        assert_eq!(undecided(line, 15_000), line.len() + 15_000);
    }
}
