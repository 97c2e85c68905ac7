//! A failure, where people read one line.

use keyroll_port::Failure;

/// What could not be done, why, and what helps.
pub(crate) fn sentence(failure: &Failure) -> String {
    let why = failure.source.as_ref().map(|why| format!(": {why}"));
    let help = failure.help.as_ref().map(|help| format!("; {help}"));
    format!("{failure}{}{}", why.unwrap_or_default(), help.unwrap_or_default())
}
