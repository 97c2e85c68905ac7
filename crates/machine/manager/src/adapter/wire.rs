//! The messages between keyroll and an adapter. Version 1 never changes; a version 2 would stand beside it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the protocol.
pub(crate) const PROTOCOL: u32 = 1;

/// What keyroll asks: one line on standard input, which then ends.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Request {
    /// The version of the protocol: 1.
    pub(crate) protocol: u32,
    /// What is asked.
    pub(crate) verb: Ask,
    /// The instance that is meant, where the configuration names instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
}

/// What an adapter may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ask {
    /// Who it is, and what it can show. Answer: `Description`.
    Describe,
    /// Which processes run now. Answer: `Processes`.
    Instances,
    /// Make the processes use the value in the copies. Answer: `Applied`.
    Apply,
    /// Whether the applied value has settled. Answer: `Settled`. Asked again until it has.
    Settled,
}

/// To `describe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// 1.
    pub(crate) protocol: u32,
    /// The adapter's name.
    pub(crate) name: String,
    /// The adapter's own version.
    pub(crate) version: String,
    /// How a value is taken.
    pub(crate) takes: Takes,
    /// What it can show.
    pub(crate) proves: Vec<Proves>,
}

/// How a value is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Takes {
    /// New processes take it: no old process may be left.
    Restart,
    /// The same processes take it: they read their copies again.
    Reload,
}

/// What an adapter can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proves {
    /// `instances` names every process of the service that may use the value. An adapter that cannot is of no use.
    Instances,
    /// `settled` says `true` only after the service has shown by itself that it works.
    Settled,
}

/// To `instances`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Processes {
    /// 1.
    pub(crate) protocol: u32,
    /// Process numbers on this machine. Workers that one of them forked need not be named.
    pub(crate) processes: Vec<u32>,
}

/// To `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// 1.
    pub(crate) protocol: u32,
    /// `true`: it was carried out. A request that cannot be carried out is answered with an error.
    pub(crate) applied: bool,
}

/// To `settled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settled {
    /// 1.
    pub(crate) protocol: u32,
    /// Whether it has settled.
    pub(crate) settled: bool,
}

/// In place of any other answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// 1.
    pub(crate) protocol: u32,
    /// Why not.
    pub(crate) error: Trouble,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trouble {
    /// What is known of the effect.
    pub(crate) effect: Effect,
    /// For a person, one line, without any value.
    pub(crate) message: String,
}

/// What is known of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    /// Nothing was done.
    None,
    /// It may have been done.
    Unknown,
}

/// Everything that is said, for the schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the schema is made from it")]
struct Everything {
    request: Request,
    describe: Description,
    instances: Processes,
    apply: Applied,
    settled: Settled,
    refusal: Refusal,
}

/// The JSON Schema (draft 2020-12) of all lines, for docs/reference/exec-adapter.schema.json.
pub fn adapter_schema() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    generator.root_schema_for::<Everything>().to_value()
}
