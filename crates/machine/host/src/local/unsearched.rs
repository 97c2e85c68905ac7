//! The processes whose memory a look did not search.

use std::collections::BTreeMap;

use keyroll_observe::{HoldersReport, NotVisible, Place, ProcessId};
use keyroll_rotation::{HostId, SearchLimit, Unsearched};

use super::incarnation;

/// The most processes that one look names as not searched. A look that leaves out more proves nothing.
pub(super) const UNSEARCHED_MAX: usize = 1_000;

/// The processes whose memory was not searched completely because a limit was reached. What the system refuses is not
/// among them: another limit would not show it.
pub(super) fn unsearched(host: HostId, report: &HoldersReport) -> Vec<Unsearched> {
    let mut found: BTreeMap<ProcessId, SearchLimit> = BTreeMap::new();
    for missed in report.not_seen.iter().filter(|missed| missed.place == Place::Memory) {
        let Some(limit) = limit(&missed.reason) else { continue };
        let known = found.entry(missed.process).or_insert(limit);
        *known = limit.min(*known);
    }
    let named = |(process, limit)| Unsearched { who: incarnation(host, &process), limit };
    found.into_iter().map(named).collect()
}

fn limit(reason: &NotVisible) -> Option<SearchLimit> {
    match reason {
        NotVisible::TooLarge => Some(SearchLimit::Size),
        NotVisible::OutOfTime | NotVisible::Stuck | NotVisible::TooManyStuck => Some(SearchLimit::Time),
        NotVisible::Permission
        | NotVisible::NoPtrace
        | NotVisible::Vanished
        | NotVisible::Replaced
        | NotVisible::ClosedMemory
        | NotVisible::Newer
        | NotVisible::Malformed
        | NotVisible::System(_) => None,
    }
}
