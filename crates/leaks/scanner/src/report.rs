use serde::Serialize;

use crate::{Accepted, AcceptedBy, Finding};

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Histories of git.
    pub histories: u64,
    /// Files and folders that an ignore file names.
    pub ignored: u64,
    /// Symbolic links.
    pub links: u64,
    /// Pipes, sockets and devices.
    pub devices: u64,
}

impl PassedOver {
    /// Whether nothing was.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, other: Self) {
        self.histories += other.histories;
        self.ignored += other.ignored;
        self.links += other.links;
        self.devices += other.devices;
    }
}

/// The result of a scan.
#[derive(Debug, Default)]
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
        self.findings_left_out += other.findings_left_out;
        self.skipped_left_out += other.skipped_left_out;
        self.unread += other.unread;
        self.passed_over.add(other.passed_over);
    }

    pub(crate) fn finding(&mut self, finding: Finding) {
        match self.findings.len() < FINDINGS_MAX {
            true => self.findings.push(finding),
            false => self.findings_left_out += 1,
        }
    }

    pub(crate) fn skip(&mut self, skipped: Skipped) {
        match self.skipped.len() < SKIPPED_MAX {
            true => self.skipped.push(skipped),
            false => self.skipped_left_out += 1,
        }
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
