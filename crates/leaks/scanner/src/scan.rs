use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use keyroll_leak::gitleaks::TextOrigin;
use zeroize::Zeroizing;

use crate::detector::Detector;
use crate::detector::text_kind::NamedReading;
use crate::error_text::why;
use crate::finding::{Finding, FindingPlace};
use crate::report::{PassedOver, Report, Skipped};
use crate::stream::helper_threads::HelperThreads;
use crate::stream::{Stream, TextContext};

/// A scan of several sources; collects their findings.
pub struct Scan<'s> {
    detector: &'s Detector,
    today: Date,
    archives: bool,
    helpers: HelperThreads,
    report: Mutex<Report>,
    texts: AtomicU64,
    bytes: AtomicU64,
}

impl<'s> Scan<'s> {
    /// `today` decides which acceptances have expired.
    pub fn new(detector: &'s Detector, today: Date) -> Self {
        Self {
            detector,
            today,
            archives: true,
            helpers: HelperThreads::default(),
            report: Mutex::default(),
            texts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Scans archives and compressed files as raw bytes only.
    pub fn without_archives(mut self) -> Self {
        self.archives = false;
        self
    }

    /// Scans a stream with this name: `stdin`, `image NAME`.
    pub fn stream(&self, name: &str, from: &mut dyn Read) {
        Worker::new(self).opened(Location { source: Some(name), path: None, inside: &[] }, from);
    }

    /// Records that an item was not scanned, or only in part.
    pub fn skip(&self, what: impl Into<String>, why: impl Into<String>) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.skip(Skipped { what: what.into(), why: why.into() });
    }

    pub(crate) fn detector(&self) -> &'s Detector {
        self.detector
    }

    pub(crate) fn today(&self) -> Date {
        self.today
    }

    pub(crate) fn count(&self, texts: u64, bytes: u64) {
        self.texts.fetch_add(texts, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn opens_archives(&self) -> bool {
        self.archives
    }

    pub(crate) fn unread(&self, count: u64) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).unread += count;
    }

    pub(crate) fn allowed(&self, count: u64) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).allowed += count;
    }

    pub(crate) fn finding(&self, finding: Finding) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).finding(finding);
    }

    pub(crate) fn left_out(&self, findings: u64) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).findings_left_out += findings;
    }

    /// The texts and bytes that were read so far.
    pub fn so_far(&self) -> (u64, u64) {
        (self.texts.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// The report, sorted.
    pub fn finish(self) -> Report {
        let (texts, bytes) = self.so_far();
        let mut report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        (report.texts, report.bytes) = (texts, bytes);
        report.sort();
        report
    }
}

/// The location of a text.
#[derive(Clone, Copy)]
pub(crate) struct Location<'a> {
    pub(crate) source: Option<&'a str>,
    pub(crate) path: Option<&'a Path>,
    pub(crate) inside: &'a [String],
}

impl Location<'_> {
    /// For people: `backup.tar.gz › etc/app.env`.
    fn shown(self) -> String {
        let path = self.path.map(|path| path.display().to_string());
        let source = self.source.map(str::to_owned);
        source.into_iter().chain(path).chain(self.inside.iter().cloned()).collect::<Vec<_>>().join(" › ")
    }

    /// For rules: relative to the start of the scan, with `/`.
    fn in_tree(self) -> Option<String> {
        let path = self.path.map(|path| path.strip_prefix(".").unwrap_or(path).display().to_string());
        let parts: Vec<String> = path.into_iter().chain(self.inside.iter().cloned()).collect();
        (!parts.is_empty()).then(|| parts.join("!"))
    }

    /// How the text is read, by its name.
    fn reading(self) -> NamedReading {
        match (self.inside.last(), self.path) {
            (Some(member), _) => NamedReading::of(Path::new(member)),
            (None, Some(path)) => NamedReading::of(path),
            (None, None) => NamedReading::NAMELESS,
        }
    }
}

/// One thread of a scan. Reuses its memory for every text; hands its findings over on drop.
pub(crate) struct Worker<'s> {
    scan: &'s Scan<'s>,
    stream: Stream<'s>,
    /// The first bytes of a file.
    pub(crate) head: Zeroizing<Vec<u8>>,
    report: Report,
    /// The commit of the text, if rules need it.
    pub(crate) commit: Option<String>,
    /// Whether something was skipped since the last call of `missed`.
    missed: bool,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(scan: &'s Scan<'s>) -> Self {
        let stream = Stream::new(scan.detector, scan.today, &scan.helpers);
        let (head, report) = (Zeroizing::default(), Report::default());
        Self { scan, stream, head, report, commit: None, missed: false }
    }

    pub(crate) fn opens_archives(&self) -> bool {
        self.scan.archives
    }

    /// Scans a text as it is.
    pub(crate) fn text(&mut self, at: Location<'_>, from: &mut dyn Read) {
        let read = self.part(at, from);
        self.scan.count(1, read);
    }

    /// Scans a part of a text. Returns its length in bytes.
    pub(crate) fn part(&mut self, at: Location<'_>, from: &mut dyn Read) -> u64 {
        self.part_under(None, at, from)
    }

    /// Does the same for text under a name, such as a cell of a table.
    pub(crate) fn part_under(&mut self, name: Option<&str>, at: Location<'_>, from: &mut dyn Read) -> u64 {
        let report = &mut self.report;
        let path = self.scan.detector.depends_on_path().then(|| at.in_tree()).flatten();
        let origin = TextOrigin { path: path.as_deref(), commit: self.commit.as_deref() };
        let about = TextContext { reading: at.reading(), name, origin };
        let scanned = self.stream.scan(from, about, &mut |one| {
            let place = FindingPlace {
                host: None,
                source: at.source.map(str::to_owned),
                path: at.path.map(PathBuf::from),
                inside: at.inside.to_vec(),
                start: one.start,
                end: one.end,
                commit: None,
            };
            report.finding(Finding {
                identity: one.hit.identity,
                what: one.hit.what,
                name: one.hit.name,
                form: one.hit.form.map(Cow::Borrowed),
                place,
                accepted: one.accepted,
                remark: one.remark,
                asked: None,
            });
        });
        match scanned {
            Ok(read) => read,
            Err(error) => {
                self.skip(at, why(&error));
                0
            }
        }
    }

    pub(crate) fn count(&self, texts: u64, bytes: u64) {
        self.scan.count(texts, bytes);
    }

    /// Records that an item was not scanned, or only in part.
    pub(crate) fn skip(&mut self, at: Location<'_>, why: impl Into<String>) {
        self.missed = true;
        self.skip_named(at.shown(), why);
    }

    /// Records that a part of an item was not scanned, without which a commit may pass.
    pub(crate) fn skip_part(&mut self, at: Location<'_>, why: impl Into<String>) {
        self.skip_named(at.shown(), why);
    }

    pub(crate) fn skip_named(&mut self, what: String, why: impl Into<String>) {
        self.report.skip(Skipped { what, why: why.into() });
    }

    /// Whether something was skipped since the last call.
    pub(crate) fn missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// Counts of what is not scanned on purpose.
    pub(crate) fn passed_over(&mut self) -> &mut PassedOver {
        &mut self.report.passed_over
    }

    /// Counts an item that must be scanned completely and was not.
    pub(crate) fn unread(&mut self) {
        self.report.unread += 1;
    }

    /// Counts skipped items that may be skipped.
    pub(crate) fn allowed(&mut self, count: u64) {
        self.report.allowed += count;
    }

    /// How many items it skipped.
    pub(crate) fn skips(&self) -> u64 {
        self.report.not_scanned()
    }

    /// Takes the findings so far.
    pub(crate) fn taken(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }

    /// The number of findings so far.
    pub(crate) fn found(&self) -> usize {
        self.report.findings.len()
    }

    /// Scans the raw bytes of something whose parts were scanned. Findings that the parts have, from index `first`
    /// on, are not repeated.
    pub(crate) fn more_of(&mut self, at: Location<'_>, first: usize, from: &mut dyn Read) {
        let others = self.found();
        let read = self.part(at, from);
        self.count(0, read);
        self.told_once(first, others);
    }

    /// Removes findings from index `others` on that are among those from `first` on. If all of these were accepted, and
    /// the raw bytes contain the value more often than the parts, an open finding is kept: it is at another position.
    pub(crate) fn told_once(&mut self, first: usize, others: usize) {
        let key = |one: &Finding| (one.what.clone(), one.identity.clone());
        let mut told: BTreeMap<_, PartFindings> = BTreeMap::new();
        for (number, one) in (0..).zip(&self.report.findings).skip(first) {
            match told.get_mut(&key(one)) {
                Some(told) if number >= others => told.more += 1,
                Some(told) => {
                    told.is_open |= one.is_open();
                    told.times += 1;
                }
                None if number >= others => {}
                None => {
                    told.insert(key(one), PartFindings { is_open: one.is_open(), times: 1, more: 0 });
                }
            }
        }
        let mut number = 0;
        self.report.findings.retain(|one| {
            number += 1;
            number <= others || told.get(&key(one)).is_none_or(|told| told.hides_not(one))
        });
    }
}

/// How often the parts and the raw bytes contain one value.
struct PartFindings {
    is_open: bool,
    times: usize,
    more: usize,
}

impl PartFindings {
    fn hides_not(&self, one: &Finding) -> bool {
        !self.is_open && one.is_open() && self.more > self.times
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        let mut all = self.scan.report.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(std::mem::take(&mut self.report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_see_a_path_from_where_the_scan_begins() {
        let inside = ["b.env".to_owned()];
        let at = Location { source: Some("x"), path: Some(Path::new("./in/a.tar")), inside: &inside };
        assert_eq!(at.in_tree().as_deref(), Some("in/a.tar!b.env"));
        assert_eq!(Location { path: None, inside: &[], ..at }.in_tree(), None);
    }
}
