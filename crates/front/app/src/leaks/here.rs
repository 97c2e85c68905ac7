use keyroll_codes::Code;
use keyroll_scanner::{Detector, Report, Scan};

use super::Source;
use super::request::LeaksRequest;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::{redact, wall_clock};

/// Reads the source on this machine, and returns a failure beside the findings from before it.
///
/// # Errors
/// A named path cannot be reached.
pub(super) fn read_here(
    request: &LeaksRequest<'_>,
    detector: &Detector,
    operator: &mut dyn Operator,
) -> Result<(Report, Option<Problem>), Problem> {
    let problem = || Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets");
    let source = &request.source;
    source.reachable(request.hosts.is_some()).map_err(|why| {
        problem().because(why).help("name existing files and folders, or none for this folder")
    })?;
    let scan = Scan::new(detector, wall_clock::now().date());
    let scan = if request.archives { scan } else { scan.without_archives() };
    let clean = |text: &str| redact::pass(text).into_owned();
    let read = source.scan(&scan, &clean, &mut |text| operator.progress(text));
    let late = read.err().map(|why| problem().because(why).help(source.way_out()));
    let report = scan.finish();
    let late = late.or_else(|| nothing_read(source, &report));
    Ok((report, late))
}

/// The problem that nothing could be scanned; not for staged files, of which those that must be scanned are counted.
pub(super) fn nothing_read(source: &Source, report: &Report) -> Option<Problem> {
    let nothing = report.texts == 0 && report.findings.is_empty() && !report.skipped.is_empty();
    (nothing && !matches!(source, Source::Staged { .. })).then(|| {
        Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets")
            .because("nothing of the named paths could be scanned")
    })
}
