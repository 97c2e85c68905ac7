//! What a condition says, without its times.

use crate::cut::cut;

/// The longest message of a condition; the one about blockers may be longer.
pub(super) const MESSAGE_BYTES_MAX: usize = 1_024;

pub(super) const TRUE: &str = "True";
pub(super) const FALSE: &str = "False";
pub(super) const UNKNOWN: &str = "Unknown";

/// One condition without its times.
pub(super) struct Said {
    pub(super) status: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
}

pub(super) fn said(status: &'static str, reason: &str, message: &str) -> Said {
    Said { status, reason: reason.to_owned(), message: cut(message, MESSAGE_BYTES_MAX) }
}
