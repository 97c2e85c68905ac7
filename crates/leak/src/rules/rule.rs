use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::literal::Extractor;
use serde::Deserialize;

use crate::rules::anchors::{Start, starts};
use crate::rules::checksum::Checksum;
use crate::rules::states::States;

/// The longest match of a rule, bytes.
pub const MATCH_BYTES_MAX: usize = 4 * 1024;
/// The longest match of a rule for a block, as private keys in PEM are, bytes: one of 16,384 bits is written in 13 KiB.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024;

/// How far before a value the word must stand that says what it is, in the same line, bytes.
pub const NEAR_BYTES_MAX: usize = 64;

/// A shorter beginning stands everywhere: where words before the value are known these are looked for instead.
const ANCHOR_BYTES_MIN: usize = 3;

/// What ends the first part of an address (RFC 3986, section 3).
const SCHEME_END: &[u8] = b"://";

/// How what a search begins with stands to the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnchorKind {
    /// The value begins with it.
    Begins,
    /// It stands within the value.
    Within,
    /// It stands before the value, in the same line.
    Near,
}

/// One kind of credential.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, the same for ever: findings are told apart by it.
    pub id: String,
    /// Who issues it.
    pub provider: String,
    /// What it is, for people.
    pub title: String,
    /// How it begins, one of these; what stands there says nothing of the value and may be shown.
    #[serde(default)]
    pub begins: Vec<String>,
    /// What stands within it, one of these.
    #[serde(default)]
    pub holds: Vec<String>,
    /// Words in small letters, one of which stands before it in the same line, or begins a longer one: its form alone says too
    /// little.
    #[serde(default)]
    pub(crate) near: Vec<String>,
    /// The least entropy of the whole, bits a byte: what people made up has less.
    #[serde(default)]
    entropy: f32,
    checksum: Option<Checksum>,
    /// Any other rule at the same place says more.
    #[serde(default)]
    pub(crate) yields: bool,
    /// It may have lines of its own, and be as long as a private key.
    #[serde(default)]
    block: bool,
    /// The whole of it.
    regex: String,
    /// Where the form was published.
    pub source: String,
    /// Lines in which it is found, and in which nothing is, with `{}` where a value of this form stands.
    #[serde(default)]
    #[cfg_attr(not(test), allow(dead_code, reason = "they are there for tests"))]
    pub(crate) positive: Vec<String>,
    #[serde(default)]
    #[cfg_attr(not(test), allow(dead_code, reason = "they are there for tests"))]
    pub(crate) negative: Vec<String>,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
    #[serde(skip)]
    lengths: OnceLock<(usize, usize)>,
    /// What tells how far a text goes on as a value; made for streams, of blocks and of what goes by a word before it.
    #[serde(skip)]
    states: OnceLock<Option<States>>,
}

impl Rule {
    /// The expression of the whole, for whoever makes examples.
    pub fn expression(&self) -> &str {
        &self.regex
    }

    /// What a search for it begins with, the one that says most: how it begins, what stands within, the words before it.
    pub(crate) fn anchors(&self) -> (&[String], AnchorKind) {
        let short = self.begins.iter().any(|begin| begin.len() < ANCHOR_BYTES_MIN);
        match self {
            Self { begins, near, .. } if !begins.is_empty() && (!short || near.is_empty()) => {
                (begins, AnchorKind::Begins)
            }
            Self { holds, .. } if !holds.is_empty() => (holds, AnchorKind::Within),
            Self { near, .. } => (near, AnchorKind::Near),
        }
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |why: String| Err(format!("the rule '{}' {why}", self.id));
        let parsed = match syntax::parse_with(self.expression(), &bytes()) {
            Ok(parsed) => parsed,
            Err(error) => return wrong(format!("has an expression that cannot be read: {error}")),
        };
        let longest = parsed.properties().maximum_len();
        let max = if self.block { BLOCK_BYTES_MAX } else { MATCH_BYTES_MAX };
        if longest.is_none_or(|longest| longest > max) {
            return wrong(format!("matches more than {max} bytes: give every repetition a largest number"));
        }
        if self.begins.is_empty() && self.holds.is_empty() && self.near.is_empty() {
            return wrong("has nothing to begin a search with: give begins, holds or near".to_owned());
        }
        let short = |all: &[String], bytes: usize| all.iter().any(|one| one.len() < bytes);
        if short(&self.begins, 2) || short(&self.holds, 3) || short(&self.near, 3) {
            return wrong(
                "has a word in begins, holds or near that stands everywhere: two bytes at least, three"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// How every value goes on that begins with one of its words, where that has two bytes: they stand everywhere.
    pub(crate) fn starts_with(&self, word: &str) -> Vec<Start> {
        if word.len() >= size_of::<Start>() || self.anchors().1 != AnchorKind::Begins {
            return Vec::new();
        }
        let parsed = syntax::parse_with(self.expression(), &bytes());
        let mut all = parsed.map(|parsed| starts(&parsed)).unwrap_or_default();
        all.retain(|start| start.starts_with(word.as_bytes()));
        all
    }

    /// The fewest and the most bytes that it matches.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        *self.lengths.get_or_init(|| {
            let parsed = syntax::parse_with(self.expression(), &bytes());
            let lengths = parsed
                .ok()
                .map(|parsed| (parsed.properties().minimum_len(), parsed.properties().maximum_len()));
            let (least, most) = lengths.unwrap_or_default();
            (least.unwrap_or(0), most.unwrap_or(BLOCK_BYTES_MAX))
        })
    }

    /// Done when it is first used, since most runs use few rules. `None` for what was not checked.
    fn compiled(&self) -> Option<&Regex> {
        let compile = || {
            let config = Regex::config().utf8_empty(false).nfa_size_limit(Some(8 << 20));
            Regex::builder().configure(config).syntax(bytes()).build(self.expression()).ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    /// Whether its expression was built, for tests of the rules themselves.
    #[cfg(test)]
    pub(crate) fn compiles(&self) -> bool {
        self.compiled().is_some()
    }

    /// Whether its form alone says enough, without words before it and without another rule that would say more.
    pub fn is_sure(&self) -> bool {
        self.near.is_empty() && !self.yields
    }

    /// Whether it is of what has lines of its own, as private keys in PEM are.
    pub(crate) fn is_block(&self) -> bool {
        self.block
    }

    /// Whether a text that begins as a value does is one, or may become one when more of it is there.
    pub(crate) fn may_go_on(&self, text: &[u8]) -> bool {
        let states = self.states.get_or_init(|| States::of(&[&self.regex], bytes()));
        states.as_ref().is_none_or(|states| states.may_go_on(text))
    }

    /// Whether every value of it begins as an address does: what stands before a word within it says where, and opens nothing.
    pub(crate) fn is_address(&self) -> bool {
        let parsed = syntax::parse_with(self.expression(), &bytes());
        let begins = parsed.map(|parsed| Extractor::new().extract(&parsed)).ok();
        let all = begins.as_ref().and_then(|begins| begins.literals()).unwrap_or_default();
        !all.is_empty()
            && all.iter().all(|begin| memchr::memmem::find(begin.as_bytes(), SCHEME_END).is_some())
    }

    /// Where what the expression matches from `start` on ends, whether its surroundings are right or not.
    pub(crate) fn matched(&self, text: &[u8], start: usize) -> Option<usize> {
        let limit = text.len().min(start.saturating_add(BLOCK_BYTES_MAX));
        let input = Input::new(text).range(start..limit).anchored(Anchored::Yes);
        self.compiled()?.find(input).map(|found| found.end())
    }

    /// Where a credential that begins at `start` ends. One in the middle of a longer word is none.
    pub(crate) fn ends(&self, text: &[u8], start: usize) -> Option<usize> {
        // It costs less than the expression, and most words that begin so are in the middle of another.
        if goes_on(text.get(..start)?) {
            return None;
        }
        let end = self.matched(text, start)?;
        self.is_one(text, &(start..end)).then_some(end)
    }

    /// The first one that begins within these bytes of the text, whether its surroundings are right or not.
    pub(crate) fn within(&self, text: &[u8], from: usize, to: usize) -> Option<Range<usize>> {
        let input = Input::new(text).range(from..to.min(text.len()));
        self.compiled()?.find(input).map(|found| found.range())
    }

    /// Whether what the expression matched is a credential, by what stands around it and by what it is made of.
    pub(crate) fn is_one(&self, text: &[u8], span: &Range<usize>) -> bool {
        let before = text.get(..span.start).unwrap_or_default();
        let value = text.get(span.clone()).unwrap_or_default();
        !goes_on(before)
            && !text.get(span.end).is_some_and(|byte| in_word(*byte))
            && self.is_made_so(value)
            && (self.near.is_empty() || self.is_near(text, span.start))
    }

    fn is_made_so(&self, value: &[u8]) -> bool {
        let holds = |word: &String| memchr::memmem::find(value, word.as_bytes()).is_some();
        (self.begins.is_empty() || self.begins.iter().any(|begin| value.starts_with(begin.as_bytes())))
            && (self.holds.is_empty() || self.holds.iter().any(holds))
            && (self.entropy == 0.0 || entropy(value) >= self.entropy)
            && self.checksum.is_none_or(|checksum| checksum.fits(value))
    }

    /// Whether one of its words stands before this place, in the same line.
    fn is_near(&self, text: &[u8], start: usize) -> bool {
        let from = start.saturating_sub(NEAR_BYTES_MAX);
        let before = text.get(from..start).unwrap_or_default();
        let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let before = before.get(line..).unwrap_or_default();
        let small = before.to_ascii_lowercase();
        self.near.iter().any(|word| {
            memchr::memmem::find_iter(&small, word.as_bytes()).any(|at| begins_word(text, from + line + at))
        })
    }

    /// Whether the whole of the value is such a credential. One that only its surroundings can tell is none.
    pub(crate) fn is(&self, value: &[u8]) -> bool {
        let (least, most) = self.lengths();
        // Most values are no credential: the expression is asked last.
        self.near.is_empty()
            && (least..=most).contains(&value.len())
            && self.is_made_so(value)
            && self.ends(value, 0) == Some(value.len())
    }

    /// A value with the checksum that it must have.
    #[cfg(test)]
    pub(crate) fn fitted(&self, value: &[u8]) -> Vec<u8> {
        self.checksum.map_or_else(|| value.to_vec(), |checksum| checksum.fitted(value))
    }

    #[cfg(test)]
    pub(crate) fn has_checksum(&self) -> bool {
        self.checksum.is_some()
    }

    /// Whether a value has the entropy that is asked for.
    #[cfg(test)]
    pub(crate) fn is_random(&self, value: &[u8]) -> bool {
        entropy(value) >= self.entropy
    }
}

/// Expressions are of bytes.
pub(crate) fn bytes() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// The longest code for a terminal that is looked back over, bytes: one that gives both colours in full has about forty.
const CODE_BYTES_MAX: usize = 64;

/// The most bytes of such a code between `ESC` and its last one, where it has no parameters.
const INTERMEDIATES_MAX: usize = 3;

/// Whether what stands before a value is a part of the same word. The letter of an escape, as in `\n`, is none, nor is the end of
/// a code for a terminal.
pub(crate) fn goes_on(before: &[u8]) -> bool {
    match before {
        [.., b'\\', b'n' | b'r' | b't'] => false,
        [code @ .., last] => in_word(*last) && !ends_code(code, *last),
        [] => false,
    }
}

/// Whether this is the last byte of a code for a terminal (ECMA-48, CSI; ECMA-35, those without parameters): `ESC [ 0 1 ; 3 1 m`,
/// `ESC [ K`, `ESC ( B`, `ESC 7`. Not of what begins a string of its own.
fn ends_code(code: &[u8], last: u8) -> bool {
    let begins = |max: usize, own: fn(&u8) -> bool, sign: &[u8]| {
        let near = code.get(code.len().saturating_sub(max + sign.len())..).unwrap_or_default();
        let between = near.iter().rev().take(max).take_while(|byte| own(byte)).count();
        near.get(..near.len() - between).is_some_and(|before| before.ends_with(sign))
    };
    let string = matches!(last, b'P' | b'X' | b'^' | b'_') && code.ends_with(b"\x1b");
    // Digits stand in long runs: they end none that has parameters.
    !string && begins(INTERMEDIATES_MAX, |byte| matches!(byte, 0x20..=0x2f), b"\x1b")
        || last >= 0x40 && begins(CODE_BYTES_MAX, |byte| matches!(byte, 0x20..=0x3f), b"\x1b[")
}

/// What a token may be continued with.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a word begins here, and does not go on: `ark` in `my_ark` and in `myArk`, not in `mark`.
pub(crate) fn begins_word(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let first = text.get(at).is_some_and(u8::is_ascii_uppercase);
    before.is_none_or(|before| !before.is_ascii_alphabetic() || first && before.is_ascii_lowercase())
        || before.is_some_and(|last| ends_code(text.get(..at - 1).unwrap_or_default(), *last))
}

/// Shannon's, of single bytes: bits a byte.
fn entropy(value: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let length = value.len() as f32;
    let share = |count: u16| f32::from(count) / length;
    counts.into_iter().filter(|count| *count > 0).map(share).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_for_a_terminal_is_no_part_of_the_word_behind_it() {
        for code in [
            "\x1b[01;31m\x1b[K", // GNU grep
            "\x1b[38;2;255;255;255;48;2;255;255;255m",
            "\x1b[m",
            "\x1b[2K",
            "\x1b[1G",
            "\x1b[?25h",
            "\x1b[0 q",
            "\x1b(B",
            "\x1b7",
            "\x1bM",
        ] {
            for before in ["", "x ", "x"] {
                let text = format!("{before}{code}");
                assert!(!goes_on(text.as_bytes()), "{text:?}");
                assert!(begins_word(format!("{text}ark").as_bytes(), text.len()), "{text:?}");
            }
        }
        for word in
            ["x", "[31m", "\x1b[31mx", "\x1b(BB", "\x1bP", "\x1b_", "\x1b    B", "x7", "\x1b]m", "\x1b[3\nm"]
        {
            assert!(goes_on(word.as_bytes()), "{word:?}");
        }
        let long = format!("\x1b[{}m", "1".repeat(CODE_BYTES_MAX + 1));
        assert!(goes_on(long.as_bytes()));
    }
}
