use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;

/// A key that another keyroll made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OtherKeyShape {
    /// The issuer's id of the key.
    pub(crate) id: At<String>,
    /// The whole label of the key.
    pub(crate) label: At<String>,
}
