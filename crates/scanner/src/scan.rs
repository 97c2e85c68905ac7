use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use keyroll_leak::Text;
use zeroize::Zeroizing;

use crate::finding::{Finding, Place};
use crate::report::{Report, Skipped};
use crate::seeker::Seeker;
use crate::stream::Stream;
use crate::tree::text_of;
use crate::{Baseline, Tree};

/// One scan of many places; what was found in them is collected.
pub struct Scan<'s> {
    seeker: &'s Seeker,
    today: Date,
    archives: bool,
    report: Mutex<Report>,
    texts: AtomicU64,
    bytes: AtomicU64,
}

impl<'s> Scan<'s> {
    /// `today` decides which acceptances still count.
    pub fn new(seeker: &'s Seeker, today: Date) -> Self {
        Self {
            seeker,
            today,
            archives: true,
            report: Mutex::default(),
            texts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Archives and compressed files are not opened: what they are is looked at as it stands.
    pub fn without_archives(mut self) -> Self {
        self.archives = false;
        self
    }

    /// Files and folders.
    pub fn tree(&self, tree: &Tree) {
        tree.walk(self);
    }

    /// A stream, by what people call it: `stdin`, `image NAME`.
    pub fn stream(&self, name: &str, from: &mut dyn Read) {
        Worker::new(self).opened(At { source: Some(name), path: None, inside: &[] }, from);
    }

    /// Says that something was not looked at, or not wholly.
    pub fn skip(&self, what: impl Into<String>, why: impl Into<String>) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.skip(Skipped { what: what.into(), why: why.into() });
    }

    pub(crate) fn seeker(&self) -> &'s Seeker {
        self.seeker
    }

    pub(crate) fn today(&self) -> Date {
        self.today
    }

    pub(crate) fn count(&self, texts: u64, bytes: u64) {
        self.texts.fetch_add(texts, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn finding(&self, finding: Finding) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).finding(finding);
    }

    pub(crate) fn left_out(&self, findings: u64) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).findings_left_out += findings;
    }

    /// How many texts, and bytes of them, were read until now.
    pub fn so_far(&self) -> (u64, u64) {
        (self.texts.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// What was found, in order. What the baseline accepts is marked so.
    pub fn finish(self, baseline: Option<&Baseline>) -> Report {
        let (texts, bytes) = self.so_far();
        let mut report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        (report.texts, report.bytes) = (texts, bytes);
        if let Some(baseline) = baseline {
            report.findings.iter_mut().for_each(|one| baseline.mark(one, self.today));
        }
        report.sort();
        report
    }
}

/// Where something is that is looked at.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) source: Option<&'a str>,
    pub(crate) path: Option<&'a Path>,
    pub(crate) inside: &'a [String],
}

impl At<'_> {
    /// As people read it: `backup.tar.gz › etc/app.env`.
    fn shown(self) -> String {
        let path = self.path.map(|path| path.display().to_string());
        let source = self.source.map(str::to_owned);
        source.into_iter().chain(path).chain(self.inside.iter().cloned()).collect::<Vec<_>>().join(" › ")
    }

    /// As rules see it: from where the scan begins, with `/`.
    fn in_tree(self) -> Option<String> {
        let path = self.path.map(|path| path.strip_prefix(".").unwrap_or(path).display().to_string());
        let parts: Vec<String> = path.into_iter().chain(self.inside.iter().cloned()).collect();
        (!parts.is_empty()).then(|| parts.join("!"))
    }

    /// The name that says what kind of text it is.
    fn text(self) -> Text {
        match (self.inside.last(), self.path) {
            (Some(member), _) => text_of(Path::new(member)),
            (None, Some(path)) => text_of(path),
            // Who pipes settings in wants them read as such.
            (None, None) => Text::Settings,
        }
    }
}

/// One thread of a scan: its memory is used again for every text. What it found is handed over at its end.
pub(crate) struct Worker<'s> {
    scan: &'s Scan<'s>,
    stream: Stream<'s>,
    /// The first bytes of a file.
    pub(crate) head: Zeroizing<Vec<u8>>,
    report: Report,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(scan: &'s Scan<'s>) -> Self {
        Self {
            scan,
            stream: Stream::new(scan.seeker, scan.today),
            head: Zeroizing::default(),
            report: Report::default(),
        }
    }

    pub(crate) fn opens_archives(&self) -> bool {
        self.scan.archives
    }

    /// A text, as it is.
    pub(crate) fn text(&mut self, at: At<'_>, from: &mut dyn Read) {
        let report = &mut self.report;
        let path = at.in_tree();
        let scanned = self.stream.scan(from, (at.text(), path.as_deref()), &mut |one| {
            let place = Place {
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
                form: one.hit.form,
                place,
                accepted: one.accepted,
                remark: one.remark,
                asked: None,
            });
        });
        self.scan.count(1, *scanned.as_ref().unwrap_or(&0));
        if let Err(error) = scanned {
            self.skip(at, error.to_string());
        }
    }

    pub(crate) fn skip(&mut self, at: At<'_>, why: impl Into<String>) {
        self.skip_named(at.shown(), why);
    }

    pub(crate) fn skip_named(&mut self, what: String, why: impl Into<String>) {
        self.report.skip(Skipped { what, why: why.into() });
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        let mut all = self.scan.report.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(std::mem::take(&mut self.report));
    }
}
