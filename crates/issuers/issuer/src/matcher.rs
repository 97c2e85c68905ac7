use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::pointer::Pointer;

/// Conditions on an answer; all that are given must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matcher {
    /// One of these statuses. Never 1xx, 3xx, 408, 425, 429 or 5xx: those settle nothing.
    pub(crate) status: Vec<u16>,
    /// At each pointer one of these values.
    #[serde(default)]
    pub(crate) json: BTreeMap<Pointer, Vec<Scalar>>,
    /// At each pointer something other than null.
    #[serde(default)]
    pub(crate) json_has: Vec<Pointer>,
    /// Any of these texts somewhere in the body.
    #[serde(default)]
    pub(crate) body_has: Vec<String>,
}

impl Matcher {
    /// Whether the answer meets every condition.
    pub(crate) fn matches(&self, answer: &Answer) -> bool {
        let at = |pointer: &Pointer| answer.json().and_then(|json| pointer.find(json));
        let status = self.status.contains(&answer.status());
        let json = self.json.iter().all(|(pointer, values)| {
            at(pointer).is_some_and(|found| values.iter().any(|value| value.equals(found)))
        });
        let has = self.json_has.iter().all(|pointer| at(pointer).is_some_and(|found| !found.is_null()));
        let body = self.body_has.is_empty() || self.body_has.iter().any(|text| answer.body_has(text));
        status && json && has && body
    }
}

/// Whether any matcher of a list matches.
pub(crate) fn any(matchers: &[Matcher], answer: &Answer) -> bool {
    matchers.iter().any(|matcher| matcher.matches(answer))
}

/// A value that is compared as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text, a whole number or a boolean")]
pub(crate) enum Scalar {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

impl Scalar {
    /// Equal in type and value.
    pub(crate) fn equals(&self, found: &Value) -> bool {
        match self {
            Self::Bool(flag) => found.as_bool() == Some(*flag),
            Self::Number(number) => found.as_i64() == Some(*number),
            Self::Text(text) => found.as_str() == Some(text),
        }
    }
}
