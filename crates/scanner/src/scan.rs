use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use keyroll_leak::Text;
use keyroll_leak::gitleaks::At as InTree;
use zeroize::Zeroizing;

use crate::finding::{Finding, Place};
use crate::helpers::Helpers;
use crate::report::{Report, Skipped};
use crate::seeker::Seeker;
use crate::stream::Stream;
use crate::tree::text_of;
use crate::why::why;
use crate::{Baseline, Tree};

/// One scan of many places; what was found in them is collected.
pub struct Scan<'s> {
    seeker: &'s Seeker,
    today: Date,
    archives: bool,
    helpers: Helpers,
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
            helpers: Helpers::default(),
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

    pub(crate) fn opens_archives(&self) -> bool {
        self.archives
    }

    pub(crate) fn unread(&self, count: u64) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).unread += count;
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
    /// Which commit had what is looked at, where rules ask for that.
    pub(crate) commit: Option<String>,
    /// Whether something was not looked at since this was asked.
    missed: bool,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(scan: &'s Scan<'s>) -> Self {
        let stream = Stream::new(scan.seeker, scan.today, &scan.helpers);
        let (head, report) = (Zeroizing::default(), Report::default());
        Self { scan, stream, head, report, commit: None, missed: false }
    }

    pub(crate) fn opens_archives(&self) -> bool {
        self.scan.archives
    }

    /// A text, as it is.
    pub(crate) fn text(&mut self, at: At<'_>, from: &mut dyn Read) {
        let read = self.part(at, from);
        self.scan.count(1, read);
    }

    /// A part of a text. Returns how many bytes it has.
    pub(crate) fn part(&mut self, at: At<'_>, from: &mut dyn Read) -> u64 {
        self.part_under(None, at, from)
    }

    /// The same of what stands under a name, as a cell of a table.
    pub(crate) fn part_under(&mut self, name: Option<&str>, at: At<'_>, from: &mut dyn Read) -> u64 {
        let report = &mut self.report;
        let path = self.scan.seeker.goes_by_path().then(|| at.in_tree()).flatten();
        let in_tree = InTree { path: path.as_deref(), commit: self.commit.as_deref() };
        let scanned = self.stream.scan(from, (at.text(), name, in_tree), &mut |one| {
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
                name: one.hit.name,
                form: one.hit.form,
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

    /// Counts what was read of parts.
    pub(crate) fn count(&self, texts: u64, bytes: u64) {
        self.scan.count(texts, bytes);
    }

    /// Says that something was not looked at, or not wholly.
    pub(crate) fn skip(&mut self, at: At<'_>, why: impl Into<String>) {
        self.missed = true;
        self.skip_named(at.shown(), why);
    }

    pub(crate) fn skip_named(&mut self, what: String, why: impl Into<String>) {
        self.report.skip(Skipped { what, why: why.into() });
    }

    /// Whether something was not looked at since the last time.
    pub(crate) fn missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// What was looked at last must have been read wholly, and was not.
    pub(crate) fn unread(&mut self) {
        self.report.unread += 1;
    }

    /// What was found until now.
    pub(crate) fn taken(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }

    /// How many findings there are until now.
    pub(crate) fn found(&self) -> usize {
        self.report.findings.len()
    }

    /// All bytes of what was taken apart: no text of its own. What its parts have told since there were so many findings is not
    /// told again.
    pub(crate) fn more_of(&mut self, at: At<'_>, first: usize, from: &mut dyn Read) {
        let others = self.found();
        let read = self.part(at, from);
        self.count(0, read);
        self.told_once(first, others);
    }

    /// Takes out those behind the first so many and these others that the others have told already. Where all that they told of one was
    /// accepted, an open one is told if there are more of it than they told: it stands elsewhere.
    pub(crate) fn told_once(&mut self, first: usize, others: usize) {
        let key = |one: &Finding| (one.what.clone(), one.identity.clone());
        let mut told: BTreeMap<_, Told> = BTreeMap::new();
        for (number, one) in (0..).zip(&self.report.findings).skip(first) {
            match told.get_mut(&key(one)) {
                Some(told) if number >= others => told.more += 1,
                Some(told) => {
                    told.is_open |= one.is_open();
                    told.times += 1;
                }
                None if number >= others => {}
                None => {
                    told.insert(key(one), Told { is_open: one.is_open(), times: 1, more: 0 });
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

/// What the parts of something told of one value, and how often it stands in the bytes.
struct Told {
    is_open: bool,
    times: usize,
    more: usize,
}

impl Told {
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
        let at = At { source: Some("x"), path: Some(Path::new("./in/a.tar")), inside: &inside };
        assert_eq!(at.in_tree().as_deref(), Some("in/a.tar!b.env"));
        assert_eq!(At { path: None, inside: &[], ..at }.in_tree(), None);
    }
}
