pub(crate) mod accepted;

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use keyroll_secret::FingerprintKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Accepted, AcceptedBy, Finding, Identity};

/// The version of the file format.
const VERSION: u32 = 1;

/// The length of the key, bytes.
const KEY_BYTES: usize = 32;

/// The largest file that is read, bytes.
pub const BASELINE_BYTES_MAX: usize = 64 << 20;

/// Why a baseline was rejected. It is never used in part.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It is malformed; with the line.
    #[error("{0}")]
    Form(String),
    /// A newer keyroll wrote it.
    #[error("its version is {0}; this keyroll reads versions up to {VERSION}")]
    Version(u32),
    /// Its key is invalid.
    #[error("its key is not 32 bytes in base64")]
    Key,
    /// An entry has an invalid identity or date.
    #[error("the entry number {number} has no valid {what}")]
    Entry {
        /// From 1 on.
        number: usize,
        /// The defect.
        what: &'static str,
    },
}

/// An accepted finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineEntry {
    /// The rule, for people.
    pub rule: String,
    /// The path at the time, for people.
    pub path: Option<PathBuf>,
    /// Why it may stay.
    pub reason: String,
    /// The last day on which it is accepted.
    pub until: Option<Date>,
}

/// The accepted findings, by identity, and the key of the identities.
///
/// The file is stored with the texts that it is about. It contains no value. Anybody who has it can test guesses, but
/// the texts allow that too.
pub struct Baseline {
    key: Zeroizing<[u8; KEY_BYTES]>,
    entries: BTreeMap<Identity, BaselineEntry>,
}

/// An error with its line number, but without the line's text: the path may name another file.
fn told(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let why = error.message().split('`').step_by(2).collect::<Vec<_>>().join("…");
    format!("line {line}: {why}")
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineFile {
    version: u32,
    key: String,
    #[serde(default, rename = "accepted", skip_serializing_if = "Vec::is_empty")]
    entries: Vec<BaselineFileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineFileEntry {
    identity: String,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl Baseline {
    /// An empty baseline with a random key.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { key: Zeroizing::new(key), entries: BTreeMap::new() }
    }

    /// Parses a baseline.
    ///
    /// # Errors Malformed text, also in part.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        if text.len() > BASELINE_BYTES_MAX {
            return Err(BaselineError::Form(format!("it is larger than {} MiB", BASELINE_BYTES_MAX >> 20)));
        }
        let written: BaselineFile =
            toml::from_str(text).map_err(|error| BaselineError::Form(told(text, &error)))?;
        if written.version != VERSION {
            return Err(BaselineError::Version(written.version));
        }
        let bytes = Zeroizing::new(STANDARD.decode(&written.key).map_err(|_| BaselineError::Key)?);
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| BaselineError::Key)?;
        let mut baseline = Self::new(key);
        for (number, one) in (1..).zip(written.entries) {
            let lacks = |what| BaselineError::Entry { number, what };
            let identity = Identity::read(&one.identity).ok_or_else(|| lacks("identity of 32 hex digits"))?;
            let until = one.until.map(|day| day.parse::<Date>().map_err(|_| lacks("date (YYYY-MM-DD)")));
            let reason = one.reason.trim().to_owned();
            if reason.is_empty() {
                return Err(lacks("reason"));
            }
            let path = one.path.map(PathBuf::from);
            baseline
                .entries
                .insert(identity, BaselineEntry { rule: one.rule, path, reason, until: until.transpose()? });
        }
        Ok(baseline)
    }

    /// Writes one entry for each finding in a stable order, so that additions of two people can be merged.
    pub fn to_text(&self) -> String {
        let entry = |(identity, entry): (&Identity, &BaselineEntry)| BaselineFileEntry {
            identity: identity.to_string(),
            rule: entry.rule.clone(),
            path: entry.path.as_ref().map(|path| path.display().to_string()),
            reason: entry.reason.clone(),
            until: entry.until.map(|day| day.to_string()),
        };
        let entries = self.entries.iter().map(entry).collect();
        let written = BaselineFile { version: VERSION, key: STANDARD.encode(self.key.as_ref()), entries };
        let head =
            "# Accepted findings of keyroll leaks. Contains no values. The key is that of the identities.\n";
        format!("{head}{}", toml::to_string(&written).unwrap_or_default())
    }

    /// The key of identities in this baseline.
    pub fn key(&self) -> FingerprintKey {
        FingerprintKey::new(&self.key)
    }

    /// Adds a finding. `path` is its path in a form that may be written: a file name may contain a value.
    pub fn accept(&mut self, finding: &Finding, path: Option<PathBuf>, reason: &str, until: Option<Date>) {
        let entry =
            BaselineEntry { rule: finding.what.rule().to_owned(), path, reason: reason.to_owned(), until };
        self.entries.insert(finding.identity.clone(), entry);
    }

    /// The number of accepted findings.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no finding is accepted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Marks a finding as accepted if the baseline contains it.
    pub(crate) fn mark(&self, finding: &mut Finding, today: Date) {
        let Some(entry) = self.entries.get(&finding.identity).filter(|_| finding.is_open()) else { return };
        // The version may have been retired after the entry was made.
        match entry.until.filter(|day| *day < today && !finding.opens()) {
            Some(day) => finding.remark = Some(format!("the baseline accepted it until {day}")),
            None => {
                let (reason, until) = (entry.reason.clone(), entry.until);
                finding.accept(Accepted { by: AcceptedBy::Baseline, reason, until });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{FindingKind, FindingPlace, SecretVersion};
    use crate::{Outcome, Position, Report, Verification};

    fn finding(what: FindingKind) -> Finding {
        let identity = Identity::read(&"0a".repeat(16)).unwrap();
        let start = Position { line: 1, column: 1 };
        let (source, path, inside, commit) = (None, None, Vec::new(), None);
        let place = FindingPlace { host: None, source, path, inside, start, end: start, commit };
        Finding { identity, what, name: None, form: None, place, accepted: None, remark: None, asked: None }
    }

    fn version(retired: bool) -> Finding {
        let state = if retired { "retired" } else { "current" };
        finding(FindingKind::Known(SecretVersion { secret: "acme".to_owned(), number: 1, state, retired }))
    }

    #[test]
    fn what_works_is_accepted_by_no_list() {
        let mut baseline = Baseline::new([7; 32]);
        baseline.accept(&version(true), None, "it was ended", None);
        let kind = FindingKind::Kind { rule: "a".to_owned(), title: "a".to_owned(), provider: None };
        let asked = Verification { outcome: Outcome::Active, issuer: None, at: None, why: None };
        let active = Finding { asked: Some(asked), ..finding(kind) };
        for (one, accepted) in [(version(true), true), (version(false), false), (active, false)] {
            let mut marked = one.clone();
            baseline.mark(&mut marked, "2026-11-21".parse().unwrap());
            let mut report = Report { findings: vec![one], ..Report::default() };
            report.accept_where("a list names it", |_| true);
            for told in [&marked, &report.findings[0]] {
                assert_eq!(told.is_open(), !accepted);
                assert_eq!(told.remark.is_some(), !accepted);
            }
            assert!(accepted || marked.remark.unwrap().contains("the baseline does not count"));
        }
    }

    #[test]
    fn what_turns_out_to_work_is_accepted_no_more() {
        let kind = FindingKind::Kind { rule: "a".to_owned(), title: "a".to_owned(), provider: None };
        let asked = |outcome| Verification { outcome, issuer: None, at: None, why: None };
        for (by, word) in [
            (AcceptedBy::Comment, "its keyroll:allow does not count"),
            (AcceptedBy::Baseline, "the baseline does not count"),
            (AcceptedBy::List, "that a list names it does not count"),
        ] {
            let reason = "a list names it".to_owned();
            let accepted = Some(Accepted { by, reason, until: None });
            for outcome in [Outcome::Active, Outcome::Dead, Outcome::Unknown, Outcome::NotAsked] {
                let mut one = Finding { accepted: accepted.clone(), ..finding(kind.clone()) };
                one.tell(asked(outcome));
                let active = outcome == Outcome::Active;
                assert_eq!((one.is_open(), one.remark.is_some()), (active, active), "{outcome:?}");
                assert!(!active || one.remark.unwrap().ends_with(word), "{word}");
            }
        }
    }
}
