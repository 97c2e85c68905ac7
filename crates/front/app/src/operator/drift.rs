//! What the source of truth of a secret gives out, as it is shown.

use keyroll_truth::PENDING;
use serde::Serialize;

use super::Version;

/// One secret, for `secret drift`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftShown {
    pub secret: String,
    /// The source of truth: `aws-sm:prod/vonage#KEY (eu-west-1, account 1234)`; as in keyroll.toml if it did not answer.
    pub store: String,
    /// What it gives out: `current`, `another version`, `changed elsewhere`, `unknown`.
    pub gives_out: &'static str,
    /// The version there; none if it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_out: Option<GivenOutShown>,
    /// Every version there.
    pub there: Vec<ThereShown>,
    /// The versions in keyroll's own store, the newest first.
    pub versions: Vec<Version>,
    /// The processes of this machine that use a value of the secret.
    pub processes: Vec<DriftProcess>,
    /// The other machines that consumers of the secret run on: which value their processes use is not visible here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts_not_visible: Vec<String>,
    /// What is wrong or not visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What a source of truth gives out; its value is shown by no more than a keyed fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenOutShown {
    /// Its id there.
    pub id: String,
    /// When it was made there.
    pub made: Option<String>,
    pub fingerprint: Option<String>,
    /// The version in keyroll's own store.
    pub version: Option<u32>,
}

/// One version at a source of truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThereShown {
    pub id: String,
    pub labels: Vec<String>,
    pub made: Option<String>,
}

/// One process, and which version it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftProcess {
    pub pid: u32,
    pub name: String,
    /// `given out`, `another version`, `both`, `not visible`.
    pub holds: &'static str,
}

impl DriftShown {
    /// Whether something differs: another version than the current one is given out, is about to be, or is in a process. Also
    /// if one of these is not visible.
    pub fn is_finding(&self) -> bool {
        let given = self.given_out.as_ref().map(|given| given.id.as_str());
        let pending = |one: &ThereShown| {
            given != Some(one.id.as_str()) && one.labels.iter().any(|label| label == PENDING)
        };
        self.gives_out != CURRENT
            || self.why.is_some()
            || !self.hosts_not_visible.is_empty()
            || self.there.iter().any(pending)
            || self.processes.iter().any(|one| one.holds != GIVEN)
    }
}

/// A process holds the version that is given out, and no other one.
pub const GIVEN: &str = "given out";
/// The source of truth gives out the current version.
pub const CURRENT: &str = "current";
/// A process holds, or the source of truth gives out, another version.
pub const OTHER: &str = "another version";
/// A process holds the version that is given out and another one.
pub const BOTH: &str = "both";
