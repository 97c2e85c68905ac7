use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Accepted, AcceptedBy, Baseline, Finding};

/// The most findings that are kept: nobody reads more.
pub const FINDINGS_MAX: usize = 100_000;

/// The most skipped items that are listed; the others are counted.
pub const SKIPPED_MAX: usize = 1_000;

/// An item that was not scanned, or only in part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// The item.
    pub what: String,
    /// The reason.
    pub why: String,
}

/// What was not scanned on purpose, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Histories of git.
    pub histories: u64,
    /// Files and folders that an ignore file names.
    pub ignored: u64,
    /// Symbolic links.
    pub links: u64,
    /// Pipes, sockets and devices.
    pub devices: u64,
    /// What the kernel shows as files: `/proc`, `/sys`.
    #[serde(default)]
    pub kernel: u64,
}

impl PassedOver {
    /// Whether nothing was.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, other: Self) {
        let add = |one: &mut u64, other: u64| *one = one.saturating_add(other);
        add(&mut self.histories, other.histories);
        add(&mut self.ignored, other.ignored);
        add(&mut self.links, other.links);
        add(&mut self.devices, other.devices);
        add(&mut self.kernel, other.kernel);
    }
}

/// The result of a scan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By location.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit.
    pub findings_left_out: u64,
    /// The skipped items.
    pub skipped: Vec<Skipped>,
    /// Skipped items beyond the limit.
    pub skipped_left_out: u64,
    /// What was not scanned on purpose.
    pub passed_over: PassedOver,
    /// Files that must be scanned completely and were not; listed in `skipped`.
    pub unread: u64,
    /// Of the skipped items, those of staged files that the repository's `.keyrollignore` names.
    pub allowed: u64,
    /// Files, members of archives and streams that were read.
    pub texts: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Report {
    /// Adds another report.
    pub(crate) fn add(&mut self, other: Self) {
        other.findings.into_iter().for_each(|one| self.finding(one));
        other.skipped.into_iter().for_each(|one| self.skip(one));
        // Other machines give any number.
        let add = |one: &mut u64, other: u64| *one = one.saturating_add(other);
        add(&mut self.findings_left_out, other.findings_left_out);
        add(&mut self.skipped_left_out, other.skipped_left_out);
        add(&mut self.unread, other.unread);
        add(&mut self.allowed, other.allowed);
        self.passed_over.add(other.passed_over);
    }

    /// How many items were not scanned, or only in part.
    pub fn not_scanned(&self) -> u64 {
        self.skipped_left_out.saturating_add(self.skipped.len() as u64)
    }

    pub(crate) fn finding(&mut self, finding: Finding) {
        match self.findings.len() < FINDINGS_MAX {
            true => self.findings.push(finding),
            false => self.findings_left_out = self.findings_left_out.saturating_add(1),
        }
    }

    pub(crate) fn skip(&mut self, skipped: Skipped) {
        match self.skipped.len() < SKIPPED_MAX {
            true => self.skipped.push(skipped),
            false => self.skipped_left_out = self.skipped_left_out.saturating_add(1),
        }
    }

    /// Adds the report of another machine. If there are too many findings, those of values that work stay.
    pub fn join(&mut self, mut other: Self) {
        self.texts = self.texts.saturating_add(other.texts);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.findings.append(&mut other.findings);
        let more = self.findings.len().saturating_sub(FINDINGS_MAX);
        if more > 0 {
            self.findings.sort_by_key(|one| one.what.state());
            self.findings.truncate(FINDINGS_MAX);
            self.findings_left_out = self.findings_left_out.saturating_add(more as u64);
        }
        self.add(other);
        self.sort();
    }

    /// Marks the findings that a baseline accepts. `today` decides which acceptances have expired.
    pub fn mark(&mut self, baseline: &Baseline, today: Date) {
        self.findings.iter_mut().for_each(|one| baseline.mark(one, today));
    }

    /// Sorts independently of the order of threads.
    pub(crate) fn sort(&mut self) {
        self.findings.sort_by(|one, other| {
            (&one.place, &one.what, &one.identity).cmp(&(&other.place, &other.what, &other.identity))
        });
        self.skipped.sort();
    }

    /// Accepts the findings that a list contains, unless their values are known to work.
    pub fn accept_where(&mut self, reason: &str, known: impl Fn(&Finding) -> bool) {
        for one in self.findings.iter_mut().filter(|one| one.is_open()) {
            if known(one) {
                one.accept(Accepted { by: AcceptedBy::List, reason: reason.to_owned(), until: None });
            }
        }
    }

    /// The findings that the operator must act on.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|one| one.is_open())
    }
}
