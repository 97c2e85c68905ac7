use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use serde::Deserialize;

/// The longest match of a rule, bytes: a private key of 16,384 bits is written in 13 KiB.
pub(crate) const MATCH_BYTES_MAX: usize = 16 * 1024;

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
    /// How it begins, one of these; what stands there says nothing of the value and may be shown. Without one the
    /// rule judges whole values alone.
    #[serde(default)]
    pub begins: Vec<String>,
    /// The whole of it.
    regex: String,
    /// Where the form was published.
    pub source: String,
    #[serde(skip)]
    compiled: OnceLock<Regex>,
}

impl Rule {
    /// The expression of the whole, for whoever makes examples.
    pub fn expression(&self) -> &str {
        &self.regex
    }

    /// The fewest bytes that it matches; 0 where that cannot be told.
    pub(crate) fn bytes_min(&self) -> usize {
        let parsed = syntax::parse_with(&self.regex, &bytes());
        parsed.ok().and_then(|parsed| parsed.properties().minimum_len()).unwrap_or(0)
    }

    /// Whether the expression can be read; done when it is first used, since most runs use few rules.
    pub(crate) fn compile(&self) -> Result<&Regex, String> {
        if let Some(ready) = self.compiled.get() {
            return Ok(ready);
        }
        let config = Regex::config().utf8_empty(false).nfa_size_limit(Some(1 << 20));
        let built = Regex::builder().configure(config).syntax(bytes()).build(&self.regex);
        let built = built.map_err(|error| error.to_string())?;
        Ok(self.compiled.get_or_init(|| built))
    }

    /// Where a credential that begins at `start` ends. One in the middle of a longer word is none.
    pub(crate) fn ends(&self, text: &[u8], start: usize) -> Option<usize> {
        let before = start.checked_sub(1).and_then(|at| text.get(at));
        if before.is_some_and(|byte| in_word(*byte)) {
            return None;
        }
        let limit = text.len().min(start.saturating_add(MATCH_BYTES_MAX));
        let input = Input::new(text).range(start..limit).anchored(Anchored::Yes);
        let found = self.compile().ok()?.find(input)?;
        let behind = text.get(found.end());
        (!behind.is_some_and(|byte| in_word(*byte))).then_some(found.end())
    }

    /// Whether the whole of the value is such a credential.
    pub(crate) fn is(&self, value: &[u8]) -> bool {
        self.ends(value, 0) == Some(value.len())
    }
}

/// Expressions are of bytes.
fn bytes() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// What a token may be continued with.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
