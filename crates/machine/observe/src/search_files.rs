//! The search for values in files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::Search;
use crate::files::{Choice, FileHit, FileLimits, FilesReport, leave};
use crate::look::Look;
use crate::walk::look_at_files;

/// Searches regular files below the roots (a root may be a file). Links, FIFOs, sockets and devices below a root are
/// never opened; a root that is a link is followed. Files that vanish during the search are skipped and not reported.
pub fn search_files(roots: &[PathBuf], needles: &dyn Search, limits: FileLimits) -> FilesReport {
    let mut hits = FilesReport::default();
    let whole: Look<Zeroizing<Vec<u8>>> = Look::new(|_, bytes| bytes).with_large_answers();
    let mut report = look_at_files(roots, |_, _| Choice::Look, limits, whole, &mut |path, bytes| {
        note_hits(path, &bytes, needles, limits.hits_max, &mut hits);
    });
    report.hits = hits.hits;
    report.hits.sort();
    report.hits.dedup();
    report.not_searched.extend(hits.not_searched);
    report
}

fn note_hits(path: &Path, bytes: &[u8], needles: &dyn Search, hits_max: usize, report: &mut FilesReport) {
    let mut found = BTreeSet::new();
    needles.find(bytes, &mut |id, offset| {
        found.insert((offset, id));
    });
    let (mut line, mut counted, mut told) = (1, 0, BTreeSet::new());
    for (offset, id) in found {
        let between = bytes.get(counted..offset).unwrap_or_default();
        line += between.iter().filter(|&&byte| byte == b'\n').count() as u64;
        counted = offset;
        if !told.insert((line, id)) {
            continue;
        }
        if report.hits.len() == hits_max {
            return leave(report, path.to_owned(), "more hits than the limit".into());
        }
        report.hits.push(FileHit { path: path.to_owned(), line, id });
    }
}
