use serde::Serialize;
use utoipa::ToSchema;

/// One configured secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecretShown {
    pub name: String,
    pub issuer: String,
    pub versions: Vec<Version>,
    pub consumers: Vec<String>,
    /// The source of truth, as in keyroll.toml.
    #[serde(skip)]
    pub store: String,
    #[serde(skip)]
    pub owner: Option<String>,
    #[serde(skip)]
    pub fields: Vec<FieldShown>,
    /// The places of each consumer's copies, or the store that it reads itself, in the order of `consumers`.
    #[serde(skip)]
    pub copies: Vec<Vec<String>>,
}

/// A field of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldShown {
    pub name: String,
    pub secret: bool,
}

/// A version of a secret; its value is shown by no more than a keyed fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Version {
    pub version: u64,
    pub label: String,
    pub id: Option<String>,
    pub fingerprint: String,
}
