//! What a command that failed said last, with every known value cut out before anything is left away: a value that was
//! cut in two would not be known any more.

use std::sync::{Arc, PoisonError};

use keyroll_manager::{CheckAnswer, CommandFailure};
use keyroll_needle::Needles;
use keyroll_port::{Failure, Values};
use keyroll_rotation::ConsumerId;
use keyroll_secret::SecretBytes;

use super::Local;
use super::find::needles;
use super::memo::CheckErrors;

/// How many lines are shown, and how much of each.
const LINES_MAX: usize = 3;
const LINE_CHARS_MAX: usize = 300;

/// An output of this length may be the beginning of a longer one.
const WHOLE_BYTES_MAX: usize = 32 * 1024;

impl Local {
    /// What failing checks say, to be read while the machine is driven.
    pub fn check_errors(&self) -> CheckErrors {
        self.check_errors.clone()
    }

    /// Remembers what a check answered.
    pub(super) fn set_check_error(&self, of: (u16, u8), how: Option<String>) {
        let mut all = self.check_errors.lock().unwrap_or_else(PoisonError::into_inner);
        match how {
            Some(how) => drop(all.insert((ConsumerId(of.0), of.1), how)),
            None => drop(all.remove(&(ConsumerId(of.0), of.1))),
        }
    }

    /// Knows the values from here on, for commands that are run without being told them.
    pub(super) fn learn(&self, values: Values<'_>) {
        let known = needles(values).ok().map(Arc::new);
        let mut memo = self.memo();
        memo.needles = known.or_else(|| memo.needles.take());
    }

    /// A failure with what its command said last.
    pub(super) fn with_words(&self, failure: Failure) -> Failure {
        let needles = self.memo().needles.clone();
        let said = failure.source.as_ref().and_then(|source| source.downcast_ref::<CommandFailure>());
        let words =
            said.zip(needles).map(|(said, needles)| ended(&said.status, said.output.as_ref(), &needles));
        match words {
            Some(words) => failure.because(words),
            None => failure,
        }
    }
}

/// How a command ended, and what it said last.
pub(super) fn ended(status: &str, output: Option<&SecretBytes>, needles: &Needles) -> String {
    let words = output.map(|output| last_words(output, needles)).unwrap_or_default();
    if words.is_empty() { status.to_owned() } else { format!("{status}; it said: {words}") }
}

/// How a check did not pass, in words.
pub(super) fn check_error(
    answer: &CheckAnswer,
    said: Option<&SecretBytes>,
    values: Values<'_>,
) -> Result<Option<String>, Failure> {
    Ok(match answer {
        CheckAnswer::Passed => None,
        CheckAnswer::Failed(how) => Some(ended(how, said, &needles(values)?)),
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
