use std::ops::Range;

use crate::{ConfigError, Kind, Position};

/// A finding with its place in bytes; becomes a [`ConfigError`] once the text is at hand.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: Kind,
    span: Option<Range<usize>>,
    message: String,
    help: Option<String>,
}

impl Fault {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, span: None, message: message.into(), help: None }
    }

    /// Sets the place, unless a closer one is known already.
    pub(crate) fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn into_error(self, text: &str, file: &str) -> ConfigError {
        let at = self.span.map(|span| Position::of(text, span.start));
        ConfigError::new(self.kind, file, self.message, at, self.help)
    }
}
