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
    /// The fields of a credential; a secret one is asked for, or read from stdin.
    pub fields: Vec<String>,
    /// The hosts that credentials are sent to.
    pub reach: Vec<String>,
    /// What the operator does at its console.
    pub by_hand: Vec<String>,
    /// The pages that its facts were taken from, and the day on which they were read.
    pub sources: Vec<String>,
    pub checked: String,
    /// Facts that no page states and that were assumed.
    pub assumed: Vec<String>,
    /// What the spec was tested against.
    pub tried: &'static str,
}
