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

/// The version of the form that is written.
const VERSION: u32 = 1;

/// The bytes of the key.
const KEY_BYTES: usize = 32;

/// The largest file that is read, bytes.
pub const BASELINE_BYTES_MAX: usize = 64 << 20;

/// A baseline that cannot be used. No finding is accepted by a part of one.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It is no such file; with the line.
    #[error("{0}")]
    Form(String),
    /// A later keyroll wrote it.
    #[error("it has the version {0}, and this keyroll reads up to {VERSION}")]
    Version(u32),
    /// Its key is none.
    #[error("its key is not 32 bytes in base64")]
    Key,
    /// An identity or a date in it is none.
    #[error("the entry number {number} has no {what}")]
    Entry {
        /// From 1 on.
        number: usize,
        /// What it lacks.
        what: &'static str,
    },
}

/// A finding that somebody has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The rule, for people.
    pub rule: String,
    /// Where it stood when it was accepted, for people.
    pub path: Option<PathBuf>,
    /// Why it may stay.
    pub reason: String,
    /// The last day on which that counts.
    pub until: Option<Date>,
}

/// The findings that were accepted, by what tells them apart; and the key that does so.
///
/// The file stands beside the texts that it is about. It has no value; whoever holds it and a guess can try the guess, as they
/// can with the texts themselves.
pub struct Baseline {
    key: Zeroizing<[u8; KEY_BYTES]>,
    entries: BTreeMap<Identity, Entry>,
}

/// What is wrong, and in which line; never the line: another file may have been named.
fn told(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let why = error.message().split('`').step_by(2).collect::<Vec<_>>().join("…");
    format!("line {line}: {why}")
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    key: String,
    #[serde(default, rename = "accepted", skip_serializing_if = "Vec::is_empty")]
    entries: Vec<WrittenEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntry {
    identity: String,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl Baseline {
    /// One that accepts nothing, with a key of random bytes.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { key: Zeroizing::new(key), entries: BTreeMap::new() }
    }

    /// One that was written.
    ///
    /// # Errors
    /// A text that is none, whole or in part.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        if text.len() > BASELINE_BYTES_MAX {
            return Err(BaselineError::Form(format!("it is larger than {} MiB", BASELINE_BYTES_MAX >> 20)));
        }
        let written: Written =
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
                .insert(identity, Entry { rule: one.rule, path, reason, until: until.transpose()? });
        }
        Ok(baseline)
    }

    /// As it is written: one entry for each finding, in an order that does not change, so that two people's additions can be
    /// merged.
    pub fn to_text(&self) -> String {
        let entry = |(identity, entry): (&Identity, &Entry)| WrittenEntry {
            identity: identity.to_string(),
            rule: entry.rule.clone(),
            path: entry.path.as_ref().map(|path| path.display().to_string()),
            reason: entry.reason.clone(),
            until: entry.until.map(|day| day.to_string()),
        };
        let entries = self.entries.iter().map(entry).collect();
        let written = Written { version: VERSION, key: STANDARD.encode(self.key.as_ref()), entries };
        let head = "# Findings of keyroll leaks that somebody has accepted. It has no values. The key tells them apart.\n";
        format!("{head}{}", toml::to_string(&written).unwrap_or_default())
    }

    /// What tells findings apart where this baseline is used.
    pub fn key(&self) -> FingerprintKey {
        FingerprintKey::new(&self.key)
    }

    /// Takes a finding in. `path` is where it stood, as it may be written: a file may be called by a value.
    pub fn accept(&mut self, finding: &Finding, path: Option<PathBuf>, reason: &str, until: Option<Date>) {
        let entry = Entry { rule: finding.what.rule().to_owned(), path, reason: reason.to_owned(), until };
        self.entries.insert(finding.identity.clone(), entry);
    }

    /// How many findings it accepts.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it accepts none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Says of a finding whether it is accepted here.
    pub(crate) fn mark(&self, finding: &mut Finding, today: Date) {
        let Some(entry) = self.entries.get(&finding.identity).filter(|_| finding.is_open()) else { return };
        // An entry may be of a version that was ended where it was made.
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
    use crate::finding::{Place, Version, What};
    use crate::{Asked, Outcome, Position, Report};

    fn finding(what: What) -> Finding {
        let identity = Identity::read(&"0a".repeat(16)).unwrap();
        let start = Position { line: 1, column: 1 };
        let (source, path, inside, commit) = (None, None, Vec::new(), None);
        let place = Place { source, path, inside, start, end: start, commit };
        Finding { identity, what, name: None, form: None, place, accepted: None, remark: None, asked: None }
    }

    fn version(retired: bool) -> Finding {
        let state = if retired { "retired" } else { "current" };
        finding(What::Known(Version { secret: "acme".to_owned(), number: 1, state, retired }))
    }

    #[test]
    fn what_opens_something_is_accepted_by_no_list() {
        let mut baseline = Baseline::new([7; 32]);
        baseline.accept(&version(true), None, "it was ended", None);
        let kind = What::Kind { rule: "a".to_owned(), title: "a".to_owned(), provider: None };
        let asked = Asked { outcome: Outcome::Active, issuer: None, at: None, why: None };
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
    fn what_turns_out_to_open_something_is_accepted_no_more() {
        let kind = What::Kind { rule: "a".to_owned(), title: "a".to_owned(), provider: None };
        let asked = |outcome| Asked { outcome, issuer: None, at: None, why: None };
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
