use keyroll_needle::{NeedleId, Needles};

use crate::Report;

/// The marker of a known value; counts it in the report.
pub(crate) fn marker(needles: &Needles, id: NeedleId, report: &mut Report) -> Vec<u8> {
    let number = id.0.to_string();
    let name = needles.name(id).unwrap_or(&number);
    report.value(name);
    marker_of(name)
}

/// The start of every marker.
pub(crate) const MARKER_START: &[u8] = b"[redacted:";

pub(crate) fn marker_of(name: &str) -> Vec<u8> {
    [MARKER_START, name.as_bytes(), b"]"].concat()
}
