use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::Rule;

/// The longest password or token without a known format, bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 512;

/// The longest line that is searched by names as one, bytes. Longer ones, which programs write, are searched in
/// pieces.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024;

/// How a candidate was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateSource {
    /// By its format.
    Form,
    /// By its position: the password of a URL or a connection string, or in a header.
    Place,
    /// By its name.
    Name,
}

/// A value in a text that may be a secret.
#[derive(Debug)]
pub struct Candidate<'r> {
    /// The range of the value.
    pub span: Range<usize>,
    /// The name before it.
    pub name: Option<String>,
    /// The rule that its format matches.
    pub rule: Option<&'r Rule>,
    /// How it was found.
    pub by: CandidateSource,
    /// The value, if the text has it in another encoding.
    pub decoded: Option<DecodedValue>,
}

/// The value of a credential that stands in another encoding. Never shown.
pub struct DecodedValue {
    /// The value.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The outermost encoding.
    pub encoding: &'static str,
}

impl fmt::Debug for DecodedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodedValue({})", self.encoding)
    }
}

impl<'r> Candidate<'r> {
    pub(crate) fn new(
        span: Range<usize>,
        name: Option<String>,
        rule: Option<&'r Rule>,
        by: CandidateSource,
    ) -> Self {
        Self { span, name, rule, by, decoded: None }
    }

    /// The value, decoded.
    pub fn value<'t>(&'t self, text: &'t [u8]) -> &'t [u8] {
        match &self.decoded {
            Some(decoded) => &decoded.bytes,
            None => text.get(self.span.clone()).unwrap_or_default(),
        }
    }
}

/// The name of a value, its range, and how it was found.
pub(crate) type NamedValue = (String, Range<usize>, CandidateSource);
