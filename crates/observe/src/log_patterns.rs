use keyroll_port::{Class, Failure};
use regex::bytes::{Regex, RegexBuilder};

use crate::LogCounts;

/// How large a compiled pattern may become, bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// What one line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Accepted,
    Refused,
    Nothing,
}

/// The patterns of a log.
pub(crate) struct Patterns {
    success: Regex,
    failure: Regex,
}

impl Patterns {
    pub(crate) fn new(success: &str, failure: &str) -> Result<Self, Failure> {
        Ok(Self { success: pattern(success)?, failure: pattern(failure)? })
    }

    /// A line that matches both shows a refusal.
    pub(crate) fn shows(&self, line: &[u8]) -> Shows {
        match (self.failure.is_match(line), self.success.is_match(line)) {
            (true, _) => Shows::Refused,
            (false, true) => Shows::Accepted,
            (false, false) => Shows::Nothing,
        }
    }

    /// Counts one line.
    pub(crate) fn count(&self, line: &[u8], counts: &mut LogCounts) {
        counts.lines += 1;
        match self.shows(line) {
            Shows::Refused => counts.failures += 1,
            Shows::Accepted => counts.successes += 1,
            Shows::Nothing => {}
        }
    }
}

fn pattern(text: &str) -> Result<Regex, Failure> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| {
        Failure::new(Class::Permanent, "K0501", format!("use `{text}` as a log pattern"))
            .because(error)
            .help("correct the pattern under `log` in the configuration")
    })
}
