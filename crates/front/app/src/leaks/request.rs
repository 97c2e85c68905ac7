use std::path::{Path, PathBuf};

use super::Source;
use super::baseline::Acceptance;
use crate::hosts::Chosen;

/// What to scan, what to search for, and which findings to accept.
pub struct LeaksRequest<'a> {
    /// What to scan.
    pub source: Source,
    /// The machines to scan it on; none = this one, and then no machine is named.
    pub hosts: Option<Chosen>,
    /// Open archives and compressed files.
    pub archives: bool,
    /// A fingerprint file: also search for its secrets.
    pub fingerprints: Option<&'a Path>,
    /// Search only for known secrets: those of the store, and of the fingerprint file.
    pub known: bool,
    /// Match credentials by their form only, not by a name beside them.
    pub forms: bool,
    /// A file of rules in gitleaks' format.
    pub rules: Option<&'a Path>,
    /// Ask the issuers whether the findings still work; these spec files replace shipped ones.
    pub verify: Option<&'a [PathBuf]>,
    /// Keep the found values, so that incidents can be opened for them.
    pub captures: bool,
    /// The file of accepted findings; none = that of the repository.
    pub baseline: Option<&'a Path>,
    /// Everything must be scanned.
    pub strict: bool,
    /// Accept findings.
    pub accept: Option<Acceptance<'a>>,
}

impl LeaksRequest<'_> {
    /// Whether another machine than this one is scanned.
    pub(super) fn reaches_hosts(&self) -> bool {
        self.hosts.as_ref().is_some_and(|chosen| !chosen.hosts.is_empty())
    }
}
