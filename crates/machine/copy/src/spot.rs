use std::ops::Range;

use keyroll_secret::SecretBytes;

use crate::CopyError;

/// What a text with references (`%(ENV_NAME)s`, `${NAME}`) is: its own bytes are no value.
pub const MADE_OF_OTHERS: &str = "it is made of other variables";

/// One place of a file that holds a value, with the value that readers see.
pub(crate) struct Spot {
    /// The spelling of the value, quotes included.
    pub(crate) span: Range<usize>,
    /// The value, or what readers disagree about.
    pub(crate) value: Result<SecretBytes, &'static str>,
    pub(crate) spelling: Box<dyn Spelling>,
}

/// How a value is spelled at its place. The file of each format has its own spellings; an error says why a value cannot
/// be written there.
pub(crate) trait Spelling {
    /// The spelling of `new`, quotes included, in place of `old`.
    fn spell(&self, old: &SecretBytes, new: &SecretBytes) -> Result<SecretBytes, &'static str>;

    /// Whether every value of up to `len_max` bytes from `alphabet` can be spelled here.
    fn carries(&self, alphabet: &[u8], len_max: usize) -> Result<(), &'static str>;

    /// The name of the list item that contains the text (`- NAME=value`), where there is one.
    fn item(&self) -> Option<&str> {
        None
    }
}

/// The spelling of a place that cannot be read: nothing is written over it.
struct Unreadable;

impl Spelling for Unreadable {
    fn spell(&self, _old: &SecretBytes, _new: &SecretBytes) -> Result<SecretBytes, &'static str> {
        Err("the present value cannot be read")
    }

    fn carries(&self, _alphabet: &[u8], _len_max: usize) -> Result<(), &'static str> {
        Err("the present value cannot be read")
    }
}

impl Spot {
    /// A place with a value, spelled as the format does.
    pub(crate) fn new(
        span: Range<usize>,
        value: Result<SecretBytes, &'static str>,
        spelling: impl Spelling + 'static,
    ) -> Self {
        Self { span, value, spelling: Box::new(spelling) }
    }

    /// A place about whose value readers disagree, or that has none.
    pub(crate) fn doubtful(span: Range<usize>, why: &'static str) -> Self {
        Self::new(span, Err(why), Unreadable)
    }

    /// The value, as its readers see it.
    pub(crate) fn read(&self, file: &[u8]) -> Result<SecretBytes, CopyError> {
        match &self.value {
            Ok(value) => Ok(value.duplicate()),
            Err(why) => Err(ambiguous(file, self.span.start, why)),
        }
    }
}

/// The error for a place whose value readers read differently.
pub(crate) fn ambiguous(file: &[u8], at: usize, why: &'static str) -> CopyError {
    CopyError::Ambiguous { line: line_of(file, at), why }
}

/// The line of a byte, from 1.
pub(crate) fn line_of(file: &[u8], at: usize) -> usize {
    file.iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// The lines of a file, without their ends.
pub(crate) fn lines(file: &[u8]) -> impl Iterator<Item = Range<usize>> + Clone {
    let mut at = 0;
    file.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let start = at;
        at += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        start..start + line.strip_suffix(b"\r").unwrap_or(line).len()
    })
}
