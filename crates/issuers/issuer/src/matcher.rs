use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::pointer::Pointer;

/// Conditions on an answer. All conditions that are present must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matcher {
    /// The HTTP status is one of these. 1xx, 3xx, 408, 425, 429 and 5xx are not allowed, because they do not show whether
    /// the request had an effect.
    pub(crate) status: Vec<u16>,
    /// For each position in the JSON body, the allowed values: one of them must be there. Default: none.
    #[serde(default)]
    pub(crate) json: BTreeMap<Pointer, Vec<Scalar>>,
    /// Positions in the JSON body at which there must be a value other than null. Default: none.
    #[serde(default)]
    pub(crate) json_has: Vec<Pointer>,
    /// Texts of which at least one must occur in the body. Default: none.
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

/// A value that must be equal in type and value.
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
