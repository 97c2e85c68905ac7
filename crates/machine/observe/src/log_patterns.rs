use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use regex::bytes::{Regex, RegexBuilder};

/// How large a compiled pattern may become, bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// The meaning of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Accepted,
    Refused,
    Nothing,
}

/// What the lines since the last look say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Lines that match the success pattern and not the failure pattern.
    pub successes: u64,
    /// Lines that match the failure pattern.
    pub failures: u64,
    /// Lines in all.
    pub lines: u64,
    /// Lines are missing for good: the log was truncated, or rotated away and not found any more. The absence of
    /// failures is then never proven.
    pub gap: bool,
    /// No file has the log's name now: lines may be written elsewhere.
    pub absent: bool,
    /// There is more to read: call again.
    pub more: bool,
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
        Failure::new(Class::Permanent, Code::ConfigInvalid, format!("use `{text}` as a log pattern"))
            .because(error)
            .help("correct the pattern under `log` in the configuration")
    })
}
