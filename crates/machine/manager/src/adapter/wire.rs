//! The messages between keyroll and an adapter. Version 1 never changes; a version 2 would be added beside it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the protocol.
pub(crate) const PROTOCOL: u32 = 1;

/// A request of keyroll: one line of JSON on the adapter's standard input, which keyroll then closes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Request {
    /// The version of the protocol: 1.
    pub(crate) protocol: u32,
    /// The operation that keyroll requests.
    pub(crate) verb: Ask,
    /// The name of the instance that the request is about. Present if the configuration has `runs.instances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
}

/// The operations that keyroll requests from an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ask {
    /// Describe the adapter: name, version and abilities. The answer is a `Description`.
    Describe,
    /// List the processes of the service that run now. The answer is `Processes`.
    Instances,
    /// Make the processes use the value that is in the copies. The answer is `Applied`.
    Apply,
    /// Say whether the service has reported that it works after `apply`. The answer is `Settled`; keyroll asks again until
    /// it is true.
    Settled,
}

/// The answer to `describe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// The version of the protocol: 1.
    pub(crate) protocol: u32,
    /// The adapter's name.
    pub(crate) name: String,
    /// The version of the adapter itself.
    pub(crate) version: String,
    /// Which processes have the new value after `apply`.
    pub(crate) takes: Takes,
    /// What the adapter can prove. `instances` is required.
    pub(crate) proves: Vec<Proves>,
}

/// Which processes have the new value after `apply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Takes {
    /// New processes have the value, and no old process may be left.
    Restart,
    /// The same processes have the value, because they read their copies again.
    Reload,
}

/// What an adapter can prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proves {
    /// The answer to `instances` names every process of the service that may use the value. Every adapter must prove this.
    Instances,
    /// The answer to `settled` is true only after the service itself has reported that it works.
    Settled,
}

/// The answer to `instances`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Processes {
    /// The version of the protocol: 1.
    pub(crate) protocol: u32,
    /// The process ids on this machine. The list need not contain workers that a listed process forked.
    pub(crate) processes: Vec<u32>,
}

/// The answer to `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// The version of the protocol: 1.
    pub(crate) protocol: u32,
    /// Always `true`. If `apply` cannot be carried out, the answer is an error instead.
    pub(crate) applied: bool,
}

/// The answer to `settled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settled {
    /// The version of the protocol: 1.
    pub(crate) protocol: u32,
    /// Whether the service has reported that it works.
    pub(crate) settled: bool,
}

/// An error, which may replace any other answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// The version of the protocol: 1.
    pub(crate) protocol: u32,
    /// The error.
    pub(crate) error: Trouble,
}

/// Why the adapter did not carry out a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trouble {
    /// Whether the request had an effect.
    pub(crate) effect: Effect,
    /// A message for the operator: one line of at most 256 bytes, without any value.
    pub(crate) message: String,
}

/// Whether a request had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    /// Nothing was changed.
    None,
    /// Something may have been changed.
    Unknown,
}

/// All requests and answers of the protocol.
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
