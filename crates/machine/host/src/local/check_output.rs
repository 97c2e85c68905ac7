//! The last output of a command that failed. Every known value is redacted before the output is shortened: a value that
//! was cut in two would not be recognised.

use std::sync::Arc;

use keyroll_manager::{CheckAnswer, CommandFailure};
use keyroll_needle::Needles;
use keyroll_port::{FailingCheck, Failure, Values};
use keyroll_rotation::ConsumerId;
use keyroll_secret::SecretBytes;

use super::Local;
use super::find::build_needles;

/// How many lines are shown, and how much of each.
const LINES_MAX: usize = 3;
const LINE_CHARS_MAX: usize = 300;

/// An output of this length may have been cut off.
const WHOLE_BYTES_MAX: usize = 32 * 1024;

impl Local {
    /// The checks of a consumer that fail now.
    pub(super) fn failing_checks(&self, of: ConsumerId) -> Vec<FailingCheck> {
        let memo = self.memo();
        let mine = memo.failing_checks.range((of.0, 0)..=(of.0, u8::MAX));
        mine.map(|((_, path), what)| FailingCheck { path: *path, what: what.clone() }).collect()
    }

    /// Remembers the result of a check.
    pub(super) fn set_check_error(&self, of: (u16, u8), how: Option<String>) {
        let all = &mut self.memo().failing_checks;
        match how {
            Some(how) => drop(all.insert(of, how)),
            None => drop(all.remove(&of)),
        }
    }

    /// Remembers the values, for the output of commands that are run later without them.
    pub(super) fn learn(&self, values: Values<'_>) {
        // Without a search for these values, that for the values before remains.
        drop(self.needles(values));
    }

    /// Adds the last output of its command to a failure.
    pub(super) fn with_words(&self, failure: Failure) -> Failure {
        let needles = self.memo().needles.as_ref().map(|(_, needles)| Arc::clone(needles));
        let said = failure.source.as_ref().and_then(|source| source.downcast_ref::<CommandFailure>());
        let words =
            said.zip(needles).map(|(said, needles)| ended(&said.status, said.output.as_ref(), &needles));
        match words {
            Some(words) => failure.because(words),
            None => failure,
        }
    }
}

/// How a command ended, with its last output.
pub(super) fn ended(status: &str, output: Option<&SecretBytes>, needles: &Needles) -> String {
    let words = output.map(|output| last_words(output, needles)).unwrap_or_default();
    if words.is_empty() { status.to_owned() } else { format!("{status}; it said: {words}") }
}

/// Why a check did not pass, in words.
pub(super) fn check_error(
    answer: &CheckAnswer,
    said: Option<&SecretBytes>,
    values: Values<'_>,
) -> Result<Option<String>, Failure> {
    Ok(match answer {
        CheckAnswer::Passed => None,
        CheckAnswer::Failed(how) => Some(ended(how, said, &build_needles(values)?)),
        CheckAnswer::Unknown(why) => Some(why.clone()),
    })
}

fn last_words(output: &SecretBytes, needles: &Needles) -> String {
    if output.len() > WHOLE_BYTES_MAX {
        return "more than can be shown here".to_owned();
    }
    let clean = needles.redact(output.expose());
    let text = String::from_utf8_lossy(&clean);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES_MAX));
    let short = last.map(|line| line.chars().take(LINE_CHARS_MAX).collect::<String>());
    short.collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use keyroll_needle::NeedleId;

    use super::*;

    #[test]
    fn the_last_lines_are_shown_without_a_value_even_where_it_has_a_line_end() {
        let value = format!("-----{:016x}\n{:016x}-----", std::process::id(), u64::MAX);
        let needles = Needles::builder().add(NeedleId(0), &SecretBytes::from(value.clone())).build().unwrap();
        let said = |text: String| ended("exit status: 1", Some(&SecretBytes::from(text)), &needles);
        assert_eq!(said(String::new()), "exit status: 1");
        assert_eq!(said("a\nb\n\nc\nd\n".to_owned()), "exit status: 1; it said: b · c · d");
        let shown = said(format!("one\ntwo\nthe value is {value}\nlast\n"));
        assert!(shown.contains("the value is") && shown.ends_with("last"), "{shown}");
        let (first, second) = value.split_once('\n').unwrap();
        assert!(!shown.contains(first) && !shown.contains(second), "{shown}");
        assert!(said("x".repeat(WHOLE_BYTES_MAX + 1)).ends_with("more than can be shown here"));
    }
}
