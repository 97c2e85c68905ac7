use crate::{Accepted, AcceptedBy, Finding};

/// The most findings that are kept: a place with more is none that a person goes through.
pub const FINDINGS_MAX: usize = 100_000;

/// The most places that are named as not looked at; the others are counted.
pub const SKIPPED_MAX: usize = 1_000;

/// A place that was not looked at, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Which.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What a scan found, and what it did not look at.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of their places.
    pub findings: Vec<Finding>,
    /// How many findings were left out, since there are too many.
    pub findings_left_out: u64,
    /// What was not looked at.
    pub skipped: Vec<Skipped>,
    /// How many more places there are of that kind.
    pub skipped_left_out: u64,
    /// How many files that must be looked at before they go on were not, or not wholly; they are named in `skipped`.
    pub unread: u64,
    /// Files, members of archives and streams that were read.
    pub texts: u64,
    /// What was read of them, bytes.
    pub bytes: u64,
}

impl Report {
    /// Takes what another found in.
    pub(crate) fn add(&mut self, other: Self) {
        other.findings.into_iter().for_each(|one| self.finding(one));
        other.skipped.into_iter().for_each(|one| self.skip(one));
        self.findings_left_out += other.findings_left_out;
        self.skipped_left_out += other.skipped_left_out;
        self.unread += other.unread;
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

    /// In an order that does not depend on which thread was first.
    pub(crate) fn sort(&mut self) {
        self.findings.sort_by(|one, other| {
            (&one.place, &one.what, &one.identity).cmp(&(&other.place, &other.what, &other.identity))
        });
        self.skipped.sort();
    }

    /// Accepts those that a list says are known, and that are not known to open something; the reason is the list's.
    pub fn accept_where(&mut self, reason: &str, known: impl Fn(&Finding) -> bool) {
        for one in self.findings.iter_mut().filter(|one| one.is_open()) {
            if known(one) {
                one.accept(Accepted { by: AcceptedBy::List, reason: reason.to_owned(), until: None });
            }
        }
    }

    /// The findings about which somebody has to do something.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|one| one.is_open())
    }
}
