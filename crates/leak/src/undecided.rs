use std::ops::Range;

use crate::rule::{
    AnchorKind, BLOCK_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX, begins_word, bytes, goes_on,
};
use crate::states::States;
use crate::{Rule, Rules};

/// How far before the last run its words are looked for, bytes: a word before a value, or the beginning of one with a blank in it.
const WORD_BYTES_MAX: usize = 256;

/// So many bytes of what is written as a word is are shown at once: few texts end in a longer one, and a value seldom begins so.
const HEAD_LETTERS_MAX: usize = 16;

/// Whether a byte ends a run: a value of a rule holds none of these, but for those in its own beginning and for blocks.
pub fn ends_run(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | 0x7f)
}

impl Rules {
    /// Where at the end of a text the first value may begin that what follows can make, change or undo; the text's length where
    /// there is none. What [`find`](Self::find) tells of the text before is so whatever follows.
    ///
    /// A value may begin where a rule's whole beginning stands in the last run of the text, or a word that stands within values, or
    /// at most [`NEAR_BYTES_MAX`] behind a word before values; a block at its first line; and where the run goes on as a value in
    /// which such a word is still to come, but for an address. Never more than [`MATCH_BYTES_MAX`] before the end, and for a block
    /// [`BLOCK_BYTES_MAX`]. Half a beginning says nothing, nor do marks alone behind a word, nor a head: so many bytes as of known
    /// values, `head_bytes_max`, or sixteen without a digit whose letters, but for the first, are all small or all capitals.
    pub fn undecided(&self, text: &[u8], head_bytes_max: usize) -> usize {
        let end = text.len();
        let near_end = end.saturating_sub(MATCH_BYTES_MAX);
        let run = behind_last(text, ends_run).max(near_end);
        // Blocks have lines of their own: they begin far before the last run.
        let from = end.saturating_sub(BLOCK_BYTES_MAX).min(run.saturating_sub(WORD_BYTES_MAX));
        let mut first = end;
        self.anchors.find(text.get(from..).unwrap_or_default(), &mut |number, word| {
            if let Some(meant) = self.meant.get(number as usize)
                && let Some(start) = self.may_begin(text, *meant, run, from + word.start..from + word.end)
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

    /// The first place from which a value may go over the end, because of this word; `run` is the first that is near enough.
    fn may_begin(
        &self,
        text: &[u8],
        (index, kind): (usize, AnchorKind),
        run: usize,
        word: Range<usize>,
    ) -> Option<usize> {
        let near_end = text.len().saturating_sub(MATCH_BYTES_MAX);
        match kind {
            AnchorKind::Begins => {
                let rule = self.all.get(index)?;
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
                let start = run.max(word.end);
                let between = text.get(word.end..start).unwrap_or_default();
                // What asks for a value is not to wait for it: `secret:` shows its colon.
                let begun = text.get(start..).unwrap_or_default().iter().any(u8::is_ascii_alphanumeric);
                (begun && start <= word.end.saturating_add(NEAR_BYTES_MAX) && !between.contains(&b'\n'))
                    .then_some(start)
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
            ("mine: ", "012"),
            ("mine: ", "0123456789abcdef"),
            ("mine", "=0"),
            ("mine=", ""),
            ("mine: a b c d e f ", "g"),
            ("mine\n012", ""),
            ("mine ................................................................ 012", ""),
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
