use serde::Serialize;

/// One issuer, as its spec describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuerShown {
    /// As keyroll.toml names it.
    pub name: String,
    pub title: String,
    /// Who makes a key.
    pub made_by: String,
    /// How many live beside each other.
    pub keys: String,
    /// Who ends a key.
    pub ended_by: String,
    /// What else it can do.
    pub can: Vec<String>,
    /// What it cannot do, or does not show.
    pub cannot: Vec<String>,
    /// The fields of a credential; a secret one is asked for, or read from stdin.
    pub fields: Vec<String>,
    /// The hosts that credentials are sent to.
    pub reach: Vec<String>,
    /// What a person does at its console.
    pub by_hand: Vec<String>,
    /// The pages that its facts were taken from, and the day on which they were read.
    pub sources: Vec<String>,
    pub checked: String,
    /// What no page states, and was assumed.
    pub assumed: Vec<String>,
    /// What it was tried against.
    pub tried: &'static str,
}
