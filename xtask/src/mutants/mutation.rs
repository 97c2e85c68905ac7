//! One generated mutant, and its identity.

use std::ops::Range;

/// How a mutant differs from the code that it is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Another expression.
    Expression(String),
    /// Another body of an arm, possibly only if a condition holds.
    Body { only_if: Option<String>, text: String },
    /// The statement is omitted.
    Omitted,
    /// Another statement.
    Statement(String),
    /// This is carried out first.
    First(String),
    /// A condition with `let` never holds.
    NeverMatches,
}

/// One generated mutant.
#[derive(Debug, Clone)]
pub(super) struct Mutation {
    /// Its number in this build; mutants are numbered from 1.
    pub(super) number: u32,
    /// The file, relative to `crates/core`.
    pub(super) file: String,
    pub(super) function: String,
    pub(super) line: usize,
    pub(super) operator: &'static str,
    /// The bytes of the source that are mutated. Empty if the mutant inserts something.
    pub(super) range: Range<usize>,
    pub(super) shape: Shape,
    pub(super) original: String,
    pub(super) mutated: String,
    /// Which of several like it in the same function, from 1.
    pub(super) occurrence: usize,
}

impl Mutation {
    /// The text before and after the original code.
    pub(super) fn around(&self) -> (String, String) {
        let on = format!("::keyroll_mutation::on({})", self.number);
        match &self.shape {
            Shape::Expression(text) => (format!("(if {on} {{ {text} }} else {{ "), " })".to_owned()),
            Shape::Body { only_if: None, text } => {
                (format!("{{ if {on} {{ {text} }} else {{ "), " } }".to_owned())
            }
            Shape::Body { only_if: Some(condition), text } => {
                (format!("{{ if {on} && {condition} {{ {text} }} else {{ "), " } }".to_owned())
            }
            Shape::Omitted => (format!("if !{on} {{ "), " }".to_owned()),
            Shape::Statement(text) => (format!("if {on} {{ {text} }} else {{ "), " }".to_owned()),
            Shape::First(text) => (format!(" if {on} {{ {text} }} "), String::new()),
            Shape::NeverMatches => (format!("!{on} && "), String::new()),
        }
    }

    /// What names this mutant as long as its function and its code stay the same, wherever other lines move.
    pub(super) fn identity(&self) -> String {
        let (file, function, operator) = (&self.file, &self.function, self.operator);
        let (original, mutated) = (shortened(&self.original), shortened(&self.mutated));
        format!("{file} | {function} | {operator} | {original} → {mutated} | {}", self.occurrence)
    }

    /// The file and line, relative to the root.
    pub(super) fn place(&self) -> String {
        format!("crates/core/{}:{}", self.file, self.line)
    }
}

/// The most characters of code in an identity.
const CHARS_MAX: usize = 70;

/// Code on one line; of long code the beginning and a hash of all of it.
fn shortened(code: &str) -> String {
    if code.chars().count() <= CHARS_MAX {
        return code.to_owned();
    }
    let hash = hash(code);
    let begin: String = code.chars().take(CHARS_MAX - 8).collect();
    format!("{begin}…{:06x}", hash & 0x00ff_ffff)
}

/// The same number for the same text, in every build.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Code without its comments and without what formatting adds: line ends, and commas before a closing bracket.
pub(super) fn on_one_line(code: &str) -> String {
    let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let mut text = words.join(" ");
    for (from, to) in [("( ", "("), (" )", ")"), ("[ ", "["), (" ]", "]"), (",)", ")"), (",]", "]")] {
        text = text.replace(from, to);
    }
    // A chain of calls may be on one line or on many.
    let mut parts = text.split(" .");
    let mut joined = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        joined += if part.starts_with('.') { " ." } else { "." };
        joined += part;
    }
    joined
}

/// Numbers all mutants, and their occurrences within a function.
pub(super) fn number(all: &mut [Mutation]) {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for (at, mutation) in all.iter_mut().enumerate() {
        mutation.number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        mutation.occurrence = 0;
        let times = seen.entry(mutation.identity()).or_insert(0);
        *times += 1;
        mutation.occurrence = *times;
    }
}
