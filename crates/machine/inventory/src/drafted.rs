//! Secrets and consumers as they would be written to keyroll.toml, without values.

use serde::{Deserialize, Serialize};

/// A secret with its consumers on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftShown {
    /// Its name there, as `scan` shows it.
    pub secret: String,
    /// The same as a name of keyroll.toml.
    pub name: String,
    /// It is configured, and one of its values is known.
    pub managed: bool,
    /// Its values, by the numbers of the inspection.
    pub values: Vec<u32>,
    /// Its copies hold different values.
    pub differ: bool,
    /// The shipped issuer that alone has values of this form.
    pub issuer: Option<String>,
    /// What has the form of its values.
    pub title: Option<String>,
    /// Its consumers.
    pub consumers: Vec<ConsumerShown>,
    /// A service or process uses it. Otherwise its consumers are copies at rest.
    pub used: bool,
    /// What was left out, and why.
    pub left: Vec<String>,
}

/// A consumer as it would be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerShown {
    /// Its name.
    pub name: String,
    /// Comments above its table.
    pub notes: Vec<String>,
    /// The keys of its table `runs`.
    pub runs: Vec<(String, SaidShown)>,
    /// The copies that it starts from: the keys of each.
    pub reads: Vec<Vec<(String, String)>>,
    /// Comments within its table.
    pub within: Vec<String>,
    /// What the operator has to fill in.
    pub open: Vec<String>,
    /// In a cluster: External Secrets writes what it reads. No host has this, so a host's report does not name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synced: bool,
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaidShown {
    /// A text.
    Text(String),
    /// A command.
    Words(Vec<String>),
    /// `true`.
    Yes,
}
