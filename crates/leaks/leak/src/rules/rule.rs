use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::literal::Extractor;
use serde::Deserialize;

use crate::byte_search::places;
use crate::rules::anchors::{MatchStart, starts};
use crate::rules::checksum::Checksum;
use crate::rules::lazy_dfa::LazyDfa;

/// The longest match of a rule, bytes.
pub const MATCH_BYTES_MAX: usize = 4 * 1024;
/// The longest match of a rule for blocks, such as PEM private keys, bytes: a key of 16,384 bits has 13 KiB.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024;

/// How far before a value a rule's word may be, on the same line, bytes.
pub const NEAR_BYTES_MAX: usize = 64;

/// The shortest prefix that serves as an anchor, bytes: shorter ones are too common, and words before the value are
/// used if there are any.
const ANCHOR_BYTES_MIN: usize = 3;

/// The end of an address's scheme (RFC 3986, section 3).
const SCHEME_END: &[u8] = b"://";

/// The position of an anchor relative to the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnchorKind {
    /// At the start of the value.
    Begins,
    /// Inside the value.
    Within,
    /// Before the value, on the same line.
    Near,
}

/// A kind of credential.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its permanent id, which findings are identified by.
    pub id: String,
    /// The issuer.
    pub provider: String,
    /// Its title, for people.
    pub title: String,
    /// Public prefixes, one of which every value has; they may be shown.
    #[serde(default)]
    pub begins: Vec<String>,
    /// Words inside the value, one of which every value contains.
    #[serde(default)]
    pub holds: Vec<String>,
    /// Words in lower case, one of which precedes the value on the same line, or begins a longer word: the format
    /// alone is not enough.
    #[serde(default)]
    pub(crate) near: Vec<String>,
    /// The minimum entropy of the value, bits per byte: invented values have less.
    #[serde(default)]
    entropy: f32,
    checksum: Option<Checksum>,
    /// Whether any other rule at the same location takes precedence.
    #[serde(default)]
    pub(crate) yields: bool,
    /// Whether values may have several lines and be as long as a private key.
    #[serde(default)]
    block: bool,
    /// The expression for the whole value.
    regex: String,
    /// Where the format was published.
    pub source: String,
    /// Lines in which it matches, and in which nothing does; `{}` stands for a value.
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
    /// Tests whether a text may continue as a value; built only for streams, for blocks and for rules with words
    /// before their values.
    #[serde(skip)]
    states: OnceLock<Option<LazyDfa>>,
}

impl Rule {
    /// The expression, for tests that generate values.
    pub fn expression(&self) -> &str {
        &self.regex
    }

    /// The anchors of a search, the most specific kind: prefixes, words inside, words before.
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

    /// The error in the rule, if any.
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
            return wrong("has no anchor for a search: give begins, holds or near".to_owned());
        }
        let short = |all: &[String], bytes: usize| all.iter().any(|one| one.len() < bytes);
        if short(&self.begins, 2) || short(&self.holds, 3) || short(&self.near, 3) {
            return wrong(
                "has an anchor in begins, holds or near that is too short: two bytes at least, three"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The possible starts of values that begin with one of its words of two bytes, which are too common alone.
    pub(crate) fn starts_with(&self, word: &str) -> Vec<MatchStart> {
        if word.len() >= size_of::<MatchStart>() || self.anchors().1 != AnchorKind::Begins {
            return Vec::new();
        }
        let parsed = syntax::parse_with(self.expression(), &bytes());
        let mut all = parsed.map(|parsed| starts(&parsed)).unwrap_or_default();
        all.retain(|start| start.starts_with(word.as_bytes()));
        all
    }

    /// The shortest and longest match, bytes.
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

    /// Compiled on first use, because most runs use few rules. `None` for an unchecked rule.
    fn compiled(&self) -> Option<&Regex> {
        let compile = || {
            let config = Regex::config().utf8_empty(false).nfa_size_limit(Some(8 << 20));
            Regex::builder().configure(config).syntax(bytes()).build(self.expression()).ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    /// Whether its expression compiles, for tests.
    #[cfg(test)]
    pub(crate) fn compiles(&self) -> bool {
        self.compiled().is_some()
    }

    /// Whether its format alone is enough: no words before the value, and no rule that takes precedence.
    pub fn is_sure(&self) -> bool {
        self.near.is_empty() && !self.yields
    }

    /// Whether it matches blocks of several lines, such as PEM private keys.
    pub(crate) fn is_block(&self) -> bool {
        self.block
    }

    /// Whether a text is a value, or may become one with more text.
    pub(crate) fn may_go_on(&self, text: &[u8]) -> bool {
        let states = self.states.get_or_init(|| LazyDfa::of(&[&self.regex], bytes()));
        states.as_ref().is_none_or(|states| states.may_go_on(text))
    }

    /// Whether every value begins like an address: the text before a word inside it is a location and opens nothing.
    pub(crate) fn is_address(&self) -> bool {
        let parsed = syntax::parse_with(self.expression(), &bytes());
        let begins = parsed.map(|parsed| Extractor::new().extract(&parsed)).ok();
        let all = begins.as_ref().and_then(|begins| begins.literals()).unwrap_or_default();
        !all.is_empty()
            && all.iter().all(|begin| memchr::memmem::find(begin.as_bytes(), SCHEME_END).is_some())
    }

    /// The end of a match that begins at `start`, whatever its surroundings.
    pub(crate) fn matched(&self, text: &[u8], start: usize) -> Option<usize> {
        let limit = text.len().min(start.saturating_add(BLOCK_BYTES_MAX));
        let input = Input::new(text).range(start..limit).anchored(Anchored::Yes);
        self.compiled()?.find(input).map(|found| found.end())
    }

    /// The end of a credential that begins at `start`; `None` in the middle of a word.
    pub(crate) fn ends(&self, text: &[u8], start: usize) -> Option<usize> {
        // Cheaper than the expression, and true for most candidates.
        if goes_on(text.get(..start)?) {
            return None;
        }
        let end = self.matched(text, start)?;
        self.is_one(text, &(start..end)).then_some(end)
    }

    /// The first match that begins in this range, whatever its surroundings.
    pub(crate) fn within(&self, text: &[u8], from: usize, to: usize) -> Option<Range<usize>> {
        let input = Input::new(text).range(from..to.min(text.len()));
        self.compiled()?.find(input).map(|found| found.range())
    }

    /// Whether a match is a credential, by its surroundings and its content.
    pub(crate) fn is_one(&self, text: &[u8], span: &Range<usize>) -> bool {
        let before = text.get(..span.start).unwrap_or_default();
        let value = text.get(span.clone()).unwrap_or_default();
        !goes_on(before)
            && !text.get(span.end).is_some_and(|byte| in_word(*byte))
            && self.is_made_so(value)
            && (self.near.is_empty() || self.is_near(text, span.start))
    }

    fn is_made_so(&self, value: &[u8]) -> bool {
        let holds = |word: &String| places(value, word.as_bytes()).next().is_some();
        (self.begins.is_empty() || self.begins.iter().any(|begin| value.starts_with(begin.as_bytes())))
            && (self.holds.is_empty() || self.holds.iter().any(holds))
            && (self.entropy == 0.0 || entropy(value) >= self.entropy)
            && self.checksum.is_none_or(|checksum| checksum.fits(value))
    }

    /// Whether one of its words precedes this position on the same line.
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

    /// Whether a whole value is such a credential. `false` if only the surroundings can decide.
    pub(crate) fn is(&self, value: &[u8]) -> bool {
        let (least, most) = self.lengths();
        // The expression last: most values are no credentials.
        self.near.is_empty()
            && (least..=most).contains(&value.len())
            && self.is_made_so(value)
            && self.ends(value, 0) == Some(value.len())
    }

    /// The value with a correct checksum.
    #[cfg(test)]
    pub(crate) fn fitted(&self, value: &[u8]) -> Vec<u8> {
        self.checksum.map_or_else(|| value.to_vec(), |checksum| checksum.fitted(value))
    }

    #[cfg(test)]
    pub(crate) fn has_checksum(&self) -> bool {
        self.checksum.is_some()
    }

    /// Whether a value has the minimum entropy.
    #[cfg(test)]
    pub(crate) fn is_random(&self, value: &[u8]) -> bool {
        entropy(value) >= self.entropy
    }
}

/// Expressions match bytes.
pub(crate) fn bytes() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// The longest terminal code before a value, bytes: one that sets both colours has about forty.
const CODE_BYTES_MAX: usize = 64;

/// The most bytes between `ESC` and the last byte of a terminal code without parameters.
const INTERMEDIATES_MAX: usize = 3;

/// Whether the text before a value belongs to the same word. The letter of an escape, as in `\n`, does not, nor does
/// the end of a terminal code.
pub(crate) fn goes_on(before: &[u8]) -> bool {
    match before {
        [.., b'\\', b'n' | b'r' | b't'] => false,
        [code @ .., last] => in_word(*last) && !ends_code(code, *last),
        [] => false,
    }
}

/// Whether a byte ends a terminal code (ECMA-48, CSI; ECMA-35 without parameters): `ESC [ 0 1 ; 3 1 m`, `ESC [ K`,
/// `ESC ( B`, `ESC 7`. Not the start of a string.
fn ends_code(code: &[u8], last: u8) -> bool {
    let begins = |max: usize, own: fn(&u8) -> bool, sign: &[u8]| {
        let near = code.get(code.len().saturating_sub(max + sign.len())..).unwrap_or_default();
        let between = near.iter().rev().take(max).take_while(|byte| own(byte)).count();
        near.get(..near.len() - between).is_some_and(|before| before.ends_with(sign))
    };
    let string = matches!(last, b'P' | b'X' | b'^' | b'_') && code.ends_with(b"\x1b");
    // Digits do not end a code with parameters.
    !string && begins(INTERMEDIATES_MAX, |byte| matches!(byte, 0x20..=0x2f), b"\x1b")
        || last >= 0x40 && begins(CODE_BYTES_MAX, |byte| matches!(byte, 0x20..=0x3f), b"\x1b[")
}

/// Whether a byte may continue a token.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a word begins here: `ark` in `my_ark` and in `myArk`, not in `mark`.
pub(crate) fn begins_word(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let first = text.get(at).is_some_and(u8::is_ascii_uppercase);
    before.is_none_or(|before| !before.is_ascii_alphabetic() || first && before.is_ascii_lowercase())
        || before.is_some_and(|last| ends_code(text.get(..at - 1).unwrap_or_default(), *last))
}

/// The Shannon entropy of bytes, bits per byte.
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
    fn a_terminal_code_is_no_part_of_the_word_after_it() {
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
