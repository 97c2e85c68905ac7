use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::{CopyError, ini, line, quoted, spelling, whole, yaml};

/// One place of a file where a value stands, with what a reader makes of it.
pub(crate) struct Spot {
    /// The spelling of the value, quotes included.
    pub(crate) span: Range<usize>,
    /// What stands there, or what readers disagree on.
    pub(crate) value: Result<SecretBytes, &'static str>,
    pub(crate) style: Style,
}

/// How a value is spelled where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Style {
    Whole,
    Env(spelling::Style),
    /// Double quotes with escapes, as JSON has them.
    Json,
    Yaml(yaml::Style),
    Toml(quoted::Toml),
    Ini(ini::Quotes),
    Pgpass,
    Netrc,
    GitCredentials,
}

impl Spot {
    /// A place that is named, and that no value can be read from.
    pub(crate) fn doubtful(span: Range<usize>, why: &'static str) -> Self {
        Self { span, value: Err(why), style: Style::Whole }
    }

    /// The value for whoever reads it.
    pub(crate) fn read(&self, file: &[u8]) -> Result<SecretBytes, CopyError> {
        match &self.value {
            Ok(value) => Ok(value.duplicate()),
            Err(why) => Err(ambiguous(file, self.span.start, why)),
        }
    }

    /// The spelling of another value that takes this one's place.
    pub(crate) fn spell(&self, old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        match &self.style {
            Style::Whole => whole::spell(new),
            Style::Env(style) => spelling::spell(old, *style, new),
            Style::Json => quoted::text(new).map(quoted::double),
            Style::Yaml(style) => style.spell(new),
            Style::Toml(style) => style.spell(new),
            Style::Ini(quotes) => quotes.spell(new),
            Style::Pgpass => line::pgpass_spell(new),
            Style::Netrc => line::netrc_spell(new),
            Style::GitCredentials => line::git_spell(new),
        }
    }

    /// Whether every value of up to `len_max` bytes from `alphabet` can be spelled here.
    pub(crate) fn carries(&self, alphabet: &[u8], len_max: usize) -> Result<(), &'static str> {
        match &self.style {
            Style::Whole => whole::carries(alphabet),
            Style::Env(style) => spelling::carries(*style, alphabet, len_max),
            Style::Json | Style::Yaml(_) | Style::Toml(_) => quoted::carries(alphabet),
            Style::Ini(_) => ini::carries(alphabet),
            Style::Pgpass => line::pgpass_carries(alphabet),
            Style::Netrc => line::netrc_carries(alphabet),
            Style::GitCredentials => line::git_carries(alphabet),
        }
    }
}

/// The error for a place that cannot be told.
pub(crate) fn ambiguous(file: &[u8], at: usize, why: &'static str) -> CopyError {
    CopyError::Ambiguous { line: line_of(file, at), why }
}

/// The line of a byte, from 1.
pub(crate) fn line_of(file: &[u8], at: usize) -> usize {
    file.iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}
