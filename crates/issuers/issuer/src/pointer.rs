use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A position in a JSON answer, as a JSON pointer (RFC 6901): `/data/0/id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Pointer(String);

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pointer {
    /// What it points at.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.pointer(&self.0)
    }

    /// What it points at, to be changed.
    pub(crate) fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        value.pointer_mut(&self.0)
    }

    /// The text at it: a string, or a whole number written out. Empty text is none.
    pub(crate) fn text(&self, value: &Value) -> Option<String> {
        let found = self.find(value)?;
        let text = found.as_str().map(str::to_owned).or_else(|| found.as_u64().map(|n| n.to_string()));
        text.filter(|text| !text.is_empty())
    }
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if (text.is_empty() || text.starts_with('/')) && escaped {
            Ok(Self(text))
        } else {
            Err("a JSON pointer starts with `/`, such as /data/id (or is empty, for the whole answer)")
        }
    }
}
