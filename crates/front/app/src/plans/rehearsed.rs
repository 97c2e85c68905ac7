//! What the checks and the proxies of the consumers show before anything is made.

use keyroll_codes::Code;
use keyroll_port::Failure;

use super::inspection::Inspection;
use crate::problem::Problem;

/// What a rotation would fail at, apart from the notes on checks that only prove less: a proxy whose workers differ now would
/// have one that never shows the new key.
pub(super) fn apart_unready(checks: Vec<Failure>) -> (Option<Problem>, Vec<String>) {
    let (unready, checks): (Vec<Failure>, Vec<Failure>) =
        checks.into_iter().partition(|check| check.code == Code::WorkersNotReplaced);
    (unready.into_iter().next().map(Problem::from), checks.iter().map(check_note).collect())
}

/// The note on a check that proves less than it should.
fn check_note(failure: &Failure) -> String {
    let why = failure.source.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let help = failure.help.as_ref().map(|help| format!(" · {help}")).unwrap_or_default();
    format!("{failure}{why} ({}){help}", failure.code)
}

/// Refuses a rotation that would fail before its first consumer has moved.
pub(crate) fn refuse_unready(found: &Inspection) -> Result<(), Problem> {
    found.bar.clone().map_or(Ok(()), Err)
}
