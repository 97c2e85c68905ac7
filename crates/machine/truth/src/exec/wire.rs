//! The messages between keyroll and a program that stands for a store. Version 1 never changes; a version 2 would be added
//! beside it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the protocol.
pub(super) const PROTOCOL: u32 = 1;

/// A request of keyroll: one line of JSON on the program's standard input, which keyroll then closes.
#[derive(Clone, Copy, Serialize, JsonSchema)]
pub(super) struct Request<'a> {
    /// The version of the protocol: 1.
    pub(super) protocol: u32,
    /// The operation that keyroll requests.
    pub(super) verb: Ask,
    /// The text behind `#` in `store`. It may be empty.
    pub(super) item: &'a str,
    /// With `write` alone: the version that the value replaces, as an answer to `read` named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) over: Option<&'a str>,
    /// With `write` alone: the new value, 64 KiB at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<&'a str>,
    /// With `write` alone: the rotation and its step, `keyroll/ROTATION/STEP`. A repeated request has the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
}

/// The operations that keyroll requests from a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ask {
    /// Say which value the store gives out now, and its version. The answer is `Read`.
    Read,
    /// Replace the value, if the store still gives out the version `over`. The answer is `Written`, or an error with the
    /// reason `conflict`.
    Write,
    /// List the versions that the store still has, without their values. The answer is `Versions`.
    Versions,
    /// Say whether a `write` would be allowed, as far as that can be seen without one. The answer is `Checked`.
    Check,
}

// The value is passed over here: it is read from the line itself, so that no copy of it is left.
/// The answer to `read`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    /// The version of the protocol: 1.
    pub(super) protocol: u32,
    /// The version of the value: 1 to 256 printable characters that are no part of the value.
    pub(super) version: String,
    /// When the version was made, RFC 3339.
    pub(super) made: Option<String>,
    /// The value, 64 KiB at most.
    #[schemars(with = "String")]
    pub(super) value: Option<IgnoredAny>,
}

/// The answer to `write`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// The version of the protocol: 1.
    pub(super) protocol: u32,
    /// The version that was made.
    pub(super) version: String,
}

/// The answer to `versions`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Versions {
    /// The version of the protocol: 1.
    pub(super) protocol: u32,
    /// The versions. The one that the store gives out is among them.
    pub(super) versions: Vec<Version>,
}

/// One version, without its value.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    /// The version, as `read` names it.
    pub(super) version: String,
    /// When it was made, RFC 3339.
    pub(super) made: Option<String>,
    /// What the version is, in the store's own words: `current`, `previous`.
    pub(super) labels: Vec<String>,
}

/// The answer to `check`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Checked {
    /// The version of the protocol: 1.
    pub(super) protocol: u32,
    /// Whether a `write` would be allowed.
    pub(super) writable: bool,
}

/// An error, which may replace any other answer.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusal {
    /// The version of the protocol: 1.
    pub(super) protocol: u32,
    /// The error.
    pub(super) error: Trouble,
}

/// Why the program did not carry out a request.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Trouble {
    /// The kind of the error, by which keyroll decides what to do next.
    pub(super) reason: Reason,
    /// Whether the request had an effect.
    pub(super) effect: Effect,
    /// A message for the operator: one line of at most 256 bytes, without any value.
    pub(super) message: String,
}

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reason {
    /// The store does not give out the version `over` any more.
    Conflict,
    /// The program's login is missing, has ended, or lacks a right.
    Denied,
    /// The store has no such item.
    Missing,
    /// The store cannot be reached now, or is too busy.
    Away,
    /// Anything else.
    Other,
}

impl Reason {
    /// Its word in the protocol.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Missing => "missing",
            Self::Away => "away",
            Self::Other => "other",
        }
    }
}

/// Whether a request had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effect {
    /// Nothing was changed.
    None,
    /// Something may have been changed.
    Unknown,
}

/// All requests and answers of the protocol.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the schema is made from it")]
struct Everything {
    request: Request<'static>,
    read: Read,
    write: Written,
    versions: Versions,
    check: Checked,
    refusal: Refusal,
}

/// The JSON Schema (draft 2020-12) of all lines, for docs/reference/store-program.schema.json.
pub fn store_program_schema() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    generator.root_schema_for::<Everything>().to_value()
}
