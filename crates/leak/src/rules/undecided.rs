use std::collections::BTreeMap;
use std::ops::Range;

use crate::rules::rule::{
    AnchorKind, BLOCK_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX, begins_word, bytes, goes_on,
};
use crate::rules::states::States;
use crate::{Rule, Rules};

/// How far before the last run its words are looked for, bytes: a word before a value, or the beginning of one with a blank in it.
const WORD_BYTES_MAX: usize = 256;

/// So many bytes of what is written as a word is are shown at once, where no word before it speaks for a value: few texts end in a
/// longer one, and a value seldom begins so.
const HEAD_LETTERS_MAX: usize = 16;

/// Whether a byte ends a run: a value of a rule holds none of these, but for those in its own beginning and for blocks.
pub fn ends_run(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | 0x7f)
}

impl Rules {
    /// Where at the end of a text the first value may begin that what follows can make, change or undo; the text's length where
    /// there is none. What [`find`](Self::find) tells of the text before is so whatever follows.
    ///
    /// A value may begin where a rule's whole beginning stands in the last run of the text, or a word that stands within values; a
    /// block at its first line; at most [`NEAR_BYTES_MAX`] behind a word before values, where the run goes on as one of its rule; and
    /// where it goes on as a value in which a word is still to come, but for an address. Never more than [`MATCH_BYTES_MAX`] before
    /// the end, and for a block [`BLOCK_BYTES_MAX`]. Half a beginning says nothing, nor does a head: so many bytes as of known values,
    /// `head_bytes_max`, or where no word stands before it sixteen without a digit whose letters, but for the first, are all small or
    /// all capitals. What is a value of the last run already is found, and may become another one until that run ends.
    pub fn undecided(&self, text: &[u8], head_bytes_max: usize) -> usize {
        let end = text.len();
        let near_end = end.saturating_sub(MATCH_BYTES_MAX);
        let run = behind_last(text, ends_run).max(near_end);
        // Blocks have lines of their own: they begin far before the last run.
        let from = end.saturating_sub(BLOCK_BYTES_MAX).min(run.saturating_sub(WORD_BYTES_MAX));
        let (mut first, mut looked) = (end, BTreeMap::new());
        self.anchors.find(text.get(from..).unwrap_or_default(), &mut |number, word| {
            let word = from + word.start..from + word.end;
            if let Some(meant) = self.meant.get(number as usize)
                && let Some(start) = self.may_begin(text, *meant, (run, head_bytes_max), word, &mut looked)
            {
                first = first.min(start);
            }
        });
        first.min(self.head(text, run, head_bytes_max).unwrap_or(end))
    }

    /// Where in the last run a value may begin in which the word is still to come that a rule goes by.
    fn head(&self, text: &[u8], run: usize, head_bytes_max: usize) -> Option<usize> {
        let heads = self.heads.get_or_init(|| {
            let within = |rule: &&Rule| rule.anchors().1 == AnchorKind::Within && !rule.is_address();
            let all: Vec<&str> = self.all.iter().filter(within).map(Rule::expression).collect();
            if all.is_empty() { None } else { States::of(&all, bytes()) }
        });
        let heads = heads.as_ref()?;
        let may_begin = |start: &usize| {
            let (before, head) = text.split_at_checked(*start).unwrap_or_default();
            !goes_on(before) && !says_little(head, head_bytes_max) && heads.may_go_on(head)
        };
        (run..text.len()).find(may_begin)
    }

    /// The first place from which a value may go over the end, because of this word; `run` is the first that is near enough. Where
    /// values were looked for behind words of a rule, the last time, is kept by its number.
    fn may_begin(
        &self,
        text: &[u8],
        (index, kind): (usize, AnchorKind),
        (run, head_bytes_max): (usize, usize),
        word: Range<usize>,
        looked: &mut BTreeMap<usize, Range<usize>>,
    ) -> Option<usize> {
        let near_end = text.len().saturating_sub(MATCH_BYTES_MAX);
        let rule = self.all.get(index)?;
        match kind {
            AnchorKind::Begins => {
                let open = match rule.is_block() {
                    true => {
                        let block = text.len() - word.start <= BLOCK_BYTES_MAX;
                        block && rule.may_go_on(text.get(word.start..).unwrap_or_default())
                    }
                    false => word.end >= run && word.start >= near_end,
                };
                open.then_some(word.start)
            }
            AnchorKind::Within => {
                (word.end > run).then(|| run.max(word.start.saturating_sub(MATCH_BYTES_MAX)))
            }
            AnchorKind::Near if !begins_word(text, word.start) => None,
            AnchorKind::Near => {
                let from = run.max(word.end);
                if text.get(word.end..from).unwrap_or_default().contains(&b'\n') {
                    return None;
                }
                let looked = looked.entry(index).or_default();
                let from = if looked.contains(&from) { looked.end } else { from };
                // A head is shown: a prompt must not wait for what answers it.
                let heads = text.len().saturating_sub(head_bytes_max);
                *looked = from..word.end.saturating_add(NEAR_BYTES_MAX + 1).min(heads).max(from);
                looked.clone().find(|start| {
                    let (before, head) = text.split_at_checked(*start).unwrap_or_default();
                    !goes_on(before) && rule.may_go_on(head)
                })
            }
        }
    }
}

/// Whether the head of what may become a value may be shown: most texts end in a few bytes that some value begins with, and a
/// word must not wait for the next.
fn says_little(head: &[u8], bytes_max: usize) -> bool {
    if head.len() > HEAD_LETTERS_MAX {
        return false;
    }
    let rest = head.get(1..).unwrap_or_default();
    let digit = head.iter().any(u8::is_ascii_digit);
    let mixed = rest.iter().any(u8::is_ascii_lowercase) && rest.iter().any(u8::is_ascii_uppercase);
    head.len() <= bytes_max || !digit && !mixed
}

/// Behind the last byte of which this is true.
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
            assert_eq!(rules.undecided(text.as_bytes(), 5), decided.len(), "{text:?}");
        }
        let key = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
        assert_eq!(rules.undecided(key.as_bytes(), 5), 0);
        assert_eq!(rules.undecided(format!("{key}\n").as_bytes(), 5), key.len() + 1);
    }

    #[test]
    fn what_has_no_end_is_decided_when_it_is_too_long() {
        let rules = rules();
        let undecided = |begin: &str, length: usize| {
            rules.undecided(format!("{begin}{}", "x".repeat(length)).as_bytes(), 5)
        };
        assert_eq!(undecided("tok_", MATCH_BYTES_MAX - 4), 0);
        assert_eq!(undecided("tok_", MATCH_BYTES_MAX - 3), MATCH_BYTES_MAX + 1);
        let line = "-----BEGIN PRIVATE KEY-----\n";
        assert_eq!(undecided(line, 14_999), 0);
        assert_eq!(undecided(line, 15_000), line.len() + 15_000);
    }
}
