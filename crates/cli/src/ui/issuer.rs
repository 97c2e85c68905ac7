use serde::Serialize;

/// One issuer, as its spec describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IssuerShown {
    /// As keyroll.toml names it.
    pub(crate) name: String,
    pub(crate) title: String,
    /// Who makes a key.
    pub(crate) made_by: String,
    /// How many live beside each other.
    pub(crate) keys: String,
    /// Who ends a key.
    pub(crate) ended_by: String,
    /// What else it can do.
    pub(crate) can: Vec<String>,
    /// What it cannot do, or does not show.
    pub(crate) cannot: Vec<String>,
    /// The fields of a credential; a secret one is asked for, or read from stdin.
    pub(crate) fields: Vec<String>,
    /// The hosts that credentials are sent to.
    pub(crate) reach: Vec<String>,
    /// What a person does at its console.
    pub(crate) by_hand: Vec<String>,
    /// The pages that its facts were taken from, and the day on which they were read.
    pub(crate) sources: Vec<String>,
    pub(crate) checked: String,
    /// What no page states, and was assumed.
    pub(crate) assumed: Vec<String>,
    /// What it was tried against.
    pub(crate) tried: &'static str,
}
