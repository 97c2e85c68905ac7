//! What a host is asked when it is scanned for leaks, and the items of its answer.

use keyroll_inventory::LeakSource;
use keyroll_scanner::{Commit, Detector, PassedOver};
use serde::{Deserialize, Serialize};

use crate::digits::digits_of;

/// What is scanned for leaks, and what is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaksCall {
    /// What is scanned there.
    pub source: LeakSource,
    /// Open archives and compressed files.
    pub archives: bool,
    /// Search only for the fingerprints.
    pub known: bool,
    /// Match credentials by their form only, not by a name beside them.
    pub forms: bool,
    /// The day of the driver, which decides whether a comment still accepts a finding: `2026-11-29`.
    pub today: String,
    /// The key of identities, 64 hex digits.
    pub identity: String,
    /// The findings whose identities under another key are wanted.
    pub picks: Option<Picks>,
    /// The values that are searched for, as a fingerprint file; the name of each is a number.
    pub prints: Option<String>,
}

/// The findings whose identities under this key begin with one of these texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picks {
    /// The key, 64 hex digits.
    pub key: String,
    /// The beginnings.
    pub begins: Vec<String>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakItem {
    pub(crate) identity: String,
    pub(crate) what: LeakWhat,
    pub(crate) name: Option<String>,
    pub(crate) form: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) inside: Vec<String>,
    pub(crate) start: (u64, u64),
    pub(crate) end: (u64, u64),
    pub(crate) commit: Option<Commit>,
    /// The reason that a comment beside it gives, and the last day on which it counts.
    pub(crate) accepted: Option<(String, Option<String>)>,
    pub(crate) remark: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LeakWhat {
    /// The number of the version whose value it is.
    Known(String),
    Kind {
        rule: String,
        title: String,
        provider: Option<String>,
    },
}

/// How a scan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaksEnd {
    pub(crate) texts: u64,
    pub(crate) bytes: u64,
    pub(crate) unread: u64,
    pub(crate) findings_left_out: u64,
    pub(crate) skipped_left_out: u64,
    pub(crate) passed_over: PassedOver,
    /// Why it did not read everything.
    pub(crate) late: Option<String>,
}

impl Picks {
    /// What a detector notes.
    pub fn of(detector: &Detector) -> Option<Self> {
        let (key, begins) = detector.selection()?;
        Some(Self { key: digits_of(key.bytes()), begins: begins.to_vec() })
    }
}
