//! keyroll's own scanner, in this process.

use std::path::Path;

use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Position, Scan, Tree};

use super::place::{DetectorFinding, Span};

/// What it finds below a folder.
pub fn scan(root: &Path) -> Vec<DetectorFinding> {
    let key = Baseline::new([7; 32]).key();
    let detector = Detector::new(KnownValues::default(), key)
        .with_rules(Rules::shipped().expect("the rules"))
        .with_names();
    let scan = Scan::new(&detector, "2026-01-01".parse().expect("a day"));
    scan.tree(&Tree { paths: vec![root.to_owned()], ignored_left_out: false });
    let report = scan.finish();
    let at = |place: Position| (place.line as usize, place.column as usize);
    let found = report.findings.into_iter().filter_map(|one| {
        let path = one.place.path.as_ref()?.strip_prefix(root).ok()?.to_string_lossy().into_owned();
        let span = Span { start: at(one.place.start), end: at(one.place.end) };
        Some(DetectorFinding { path, span, rule: one.what.rule().to_owned() })
    });
    found.collect()
}
