use serde::Serialize;

/// One finding of `doctor` or `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckShown {
    pub name: String,
    pub finding: Finding,
    pub detail: String,
    pub help: Option<String>,
}

/// Whether a finding of `doctor` or `verify` stops a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Good,
    Note,
    Bad,
}
