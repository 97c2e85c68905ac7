//! Splits a shell text into words and operators. A word is a part of the text as it is written, quotes included.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::state::FOLDER;

/// How deep quotes and brackets may be nested within a word.
const NESTED_MAX: usize = 16;

/// The operators, the longer ones first.
const OPERATORS: [&str; 24] = [
    "<<<", "<<-", "&>>", ";;&", "<<", "<&", "<>", ">>", ">&", ">|", "&>", "&&", "||", "|&", ";;", ";&", "<",
    ">", "&", "|", ";", "(", ")", "\n",
];

/// The command words after which a variable or the folder may be another.
const MOVES: [&str; 3] = ["cd", "pushd", "popd"];

/// A word or an operator.
#[derive(Clone, Copy)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    pub(super) operator: bool,
    pub(super) line: u64,
}

impl Token<'_> {
    pub(super) fn is(&self, operator: &str) -> bool {
        self.operator && self.text == operator
    }

    pub(super) fn redirects(&self) -> bool {
        self.operator && self.text.contains(['<', '>'])
    }
}

/// The tokens of a text, and how far they were read.
#[derive(Default)]
pub(super) struct Tokens<'t> {
    all: Vec<Token<'t>>,
    pub(super) at: usize,
    /// A quote or bracket is not closed: the text after it was not read.
    pub(super) torn: bool,
}

impl<'t> Tokens<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let mut lexer = Lexer { text, at: 0, line: 1, documents: Vec::new(), read: Self::default() };
        lexer.read.torn = lexer.run().is_none();
        lexer.read
    }

    pub(super) fn peek(&self) -> Option<Token<'t>> {
        self.all.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<Token<'t>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// Takes this operator, if it is the next token.
    pub(super) fn take(&mut self, operator: &str) -> bool {
        let there = self.peek().is_some_and(|token| token.is(operator));
        self.at += usize::from(there);
        there
    }

    /// Whether the command that ends here, with its redirections, is followed by a pipe.
    pub(super) fn piped(&self) -> bool {
        let mut rest = self.all.get(self.at..).unwrap_or_default();
        while let [redirect, _, after @ ..] = rest
            && redirect.redirects()
        {
            rest = after;
        }
        rest.first().is_some_and(|token| token.is("|") || token.is("|&"))
    }

    /// How often the text may set each name. Only hashes are kept: a word may be a secret.
    pub(super) fn mentions(&self) -> HashMap<u64, usize> {
        let mut all = HashMap::new();
        for token in self.all.iter().filter(|token| !token.operator) {
            let name = match assignment(token.text.trim_start_matches(['"', '\''])) {
                Some((name, _)) => name,
                None if MOVES.contains(&token.text) => FOLDER,
                None if name_length(token.text) == token.text.len() => token.text,
                None => continue,
            };
            *all.entry(hash(name)).or_insert(0) += 1;
        }
        all
    }
}

pub(super) fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    line: u64,
    /// The here-documents that begin after this line: what ends them, and whether tabs before that are left out.
    documents: Vec<(String, bool)>,
    read: Tokens<'t>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// `None` = something is not closed.
    fn run(&mut self) -> Option<()> {
        while let Some(first) = self.rest().chars().next() {
            let rest = self.rest();
            if matches!(first, ' ' | '\t') {
                self.at += 1;
            } else if rest.starts_with("\\\n") {
                self.at += 2;
                self.line += 1;
            } else if first == '#' {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("<(") || rest.starts_with(">(") {
                let length = closed(rest, 2, ')', false, 0)?;
                self.push(length, false);
            } else if let Some(length) = arithmetic(rest) {
                self.push(length, false);
            } else if let Some(operator) = OPERATORS.iter().find(|one| rest.starts_with(**one)) {
                self.operator(operator.len());
            } else {
                let length = word(rest)?;
                let after = rest.get(length..).unwrap_or_default();
                // `2>file`: the number is no word.
                let descriptor = after.starts_with(['<', '>'])
                    && rest.bytes().take(length).all(|byte| byte.is_ascii_digit());
                if descriptor { self.at += length } else { self.push(length, false) }
            }
        }
        Some(())
    }

    fn operator(&mut self, length: usize) {
        let before = self.read.all.last();
        let goes_on = before.is_some_and(|token| ["&&", "||", "|", "|&"].iter().any(|one| token.is(one)));
        if !self.rest().starts_with('\n') {
            self.push(length, true);
            return;
        }
        if goes_on {
            self.at += length
        } else {
            self.push(length, true)
        }
        self.line += 1;
        for (end, tabs) in std::mem::take(&mut self.documents) {
            while !self.rest().is_empty() {
                let line = self.rest().split('\n').next().unwrap_or_default();
                self.at = (self.at + line.len() + 1).min(self.text.len());
                self.line += 1;
                let line = if tabs { line.trim_start_matches('\t') } else { line };
                if line == end {
                    break;
                }
            }
        }
    }

    fn push(&mut self, length: usize, operator: bool) {
        let text = self.rest().get(..length).unwrap_or_default();
        if let Some(before) = self.read.all.last()
            && !operator
            && (before.is("<<") || before.is("<<-"))
        {
            let end = text.chars().filter(|letter| !matches!(letter, '\'' | '"' | '\\')).collect();
            self.documents.push((end, before.text == "<<-"));
        }
        self.read.all.push(Token { text, operator, line: self.line });
        self.at += length;
        if !operator {
            self.line += text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        }
    }
}

/// The length of `((…))`, which is arithmetic, if the text begins with it.
fn arithmetic(text: &str) -> Option<usize> {
    let length = text.starts_with("((").then(|| closed(text, 1, ')', false, 0))??;
    text.get(..length)?.ends_with("))").then_some(length)
}

/// The length of the word that the text begins with.
fn word(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(letter) = text.get(at..)?.chars().next() {
        if letter == '(' && text.get(..at).is_some_and(|before| before.ends_with('=')) {
            at += closed(text.get(at..)?, 1, ')', false, 0)?;
            continue;
        }
        if matches!(letter, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')') {
            break;
        }
        at += element(text.get(at..)?, false, 0)?;
    }
    Some(at)
}

/// The length of the first element of a word: a letter, a quoted text, an expansion. `None` = it is not closed, or
/// nested too deeply.
pub(super) fn element(text: &str, quoted: bool, depth: usize) -> Option<usize> {
    let mut letters = text.chars();
    let first = letters.next()?;
    let second = letters.next();
    match (first, second) {
        ('\\', next) => Some(1 + next.map_or(0, char::len_utf8)),
        ('\'', _) if !quoted => Some(text.get(1..)?.find('\'')? + 2),
        ('"', _) if !quoted => closed(text, 1, '"', true, depth),
        ('`', _) => escaped(text, 1, '`'),
        ('$', Some('(')) => closed(text, 2, ')', false, depth),
        ('$', Some('{')) => closed(text, 2, '}', quoted, depth),
        ('$', Some('\'')) if !quoted => escaped(text, 2, '\''),
        ('$', Some('"')) if !quoted => closed(text, 2, '"', true, depth),
        ('$', Some(next)) if next.is_ascii_digit() || "@*#?$!-".contains(next) => Some(2),
        ('$', _) => Some(1 + name_length(text.get(1..)?)),
        _ => Some(first.len_utf8()),
    }
}

/// The length up to and with the closing letter.
fn closed(text: &str, from: usize, end: char, quoted: bool, depth: usize) -> Option<usize> {
    if depth > NESTED_MAX {
        return None;
    }
    let (mut at, mut before) = (from, ' ');
    loop {
        let rest = text.get(at..)?;
        let letter = rest.chars().next()?;
        let length = match letter {
            _ if letter == end => return Some(at + end.len_utf8()),
            '#' if end == ')' && before.is_whitespace() => rest.find('\n')?,
            '(' if end == ')' => closed(rest, 1, ')', false, depth + 1)?,
            _ => element(rest, quoted, depth + 1)?,
        };
        before = letter;
        at += length;
    }
}

/// The same, where only a backslash hides the closing letter.
fn escaped(text: &str, from: usize, end: char) -> Option<usize> {
    let mut hidden = false;
    for (at, letter) in text.get(from..)?.char_indices() {
        if letter == end && !hidden {
            return Some(from + at + 1);
        }
        hidden = letter == '\\' && !hidden;
    }
    None
}

/// The length of the name that the text begins with; 0 if there is none.
pub(super) fn name_length(text: &str) -> usize {
    let letters = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    if text.starts_with(|first: char| first.is_ascii_digit()) { 0 } else { letters }
}

/// Whether a name may be a variable's.
pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty() && name_length(name) == name.len()
}

/// Splits `NAME=value`; the value of `NAME+=value` is not told.
pub(super) fn assignment(word: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = word.split_at_checked(name_length(word)).filter(|(name, _)| !name.is_empty())?;
    match rest.strip_prefix('=') {
        Some(value) => Some((name, Some(value))),
        None => rest.starts_with("+=").then_some((name, None)),
    }
}

/// The text of a word that is one command substitution.
pub(super) fn substitution(word: &str) -> Option<&str> {
    let word = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word);
    if element(word, false, 0)? != word.len() || word.starts_with("$((") {
        return None;
    }
    let word =
        word.strip_prefix("$(").map(|word| (word, ')')).or(word.strip_prefix('`').map(|word| (word, '`')));
    word.and_then(|(word, end)| word.strip_suffix(end))
}
