use serde::Serialize;

/// One issuer, as its spec describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuerShown {
    /// Its name in keyroll.toml.
    pub name: String,
    pub title: String,
    /// Who makes a key.
    pub made_by: String,
    /// How many keys can be valid at the same time.
    pub keys: String,
    /// Who ends a key.
    pub ended_by: String,
    /// What else it can do.
    pub can: Vec<String>,
    /// What it cannot do or does not show.
    pub cannot: Vec<String>,
    /// What keyroll.toml must say: an admin credential, a host, a copy of the spec.
    pub needs: Vec<String>,
    /// The fields of a credential; a secret one is asked for, or read from stdin.
    pub fields: Vec<String>,
    /// The hosts that credentials are sent to.
    pub reach: Vec<String>,
    /// What the operator does at its console.
    pub by_hand: Vec<String>,
    /// The pages that its facts were taken from, and the day on which they were read.
    pub sources: Vec<String>,
    pub checked: String,
    /// What each of these pages states.
    pub pages: Vec<PageShown>,
    /// Facts that no page states and that were assumed.
    pub assumed: Vec<String>,
    /// What the spec was tested against.
    pub tried: &'static str,
}

/// A page that states facts of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageShown {
    /// Its address.
    pub at: String,
    /// The keys of the spec that it states; empty if the spec does not say.
    pub says: Vec<String>,
    /// The day on which it was read.
    pub checked: String,
}

/// A warning of `issuers lint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecWarningShown {
    /// The file as it was named; a shipped spec is `issuers/NAME.toml`.
    pub file: String,
    /// The line, and the column in characters, from 1.
    pub line: usize,
    pub column: usize,
    /// The permanent name of the rule that the spec does not keep.
    pub rule: &'static str,
    /// The key of the spec, joined by dots.
    pub key: String,
    pub message: String,
    pub help: String,
}
