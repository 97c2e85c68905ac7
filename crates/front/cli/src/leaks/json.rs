use keyroll_app::leaks::{LeakShown, LeaksShown};
use keyroll_scanner::Report;
use serde_json::json;

/// The version of the document.
const VERSION: u32 = 1;

/// One finding per line.
pub(crate) fn lines(report: &Report) -> String {
    let shown = report.findings.iter().map(LeakShown::of);
    shown.map(|one| serde_json::to_string(&one).unwrap_or_default() + "\n").collect()
}

/// Everything in one document.
pub(crate) fn document(report: &Report, sum: &LeaksShown) -> String {
    let skipped = report.skipped.iter().map(|one| json!({ "what": one.what, "why": one.why }));
    let all = json!({
        "version": VERSION,
        "keyroll": env!("CARGO_PKG_VERSION"),
        "findings": report.findings.iter().map(LeakShown::of).collect::<Vec<_>>(),
        "not_visible": skipped.collect::<Vec<_>>(),
        "summary": sum,
    });
    format!("{all:#}\n")
}
