use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;
use crate::secret_shape::SecretShape;
use crate::shape::{DefaultsShape, HostShape, SearchShape};

/// The whole of keyroll.toml. It never holds a value of a credential, only references to where values are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "keyroll.toml")]
pub(crate) struct FileShape {
    /// The version of this format: 1.
    pub(crate) version: At<u32>,
    /// What holds for every secret unless it says otherwise.
    #[serde(default)]
    pub(crate) defaults: DefaultsShape,
    /// Where values are searched for.
    #[serde(default)]
    pub(crate) search: SearchShape,
    /// The machines by name. This version works on the machine that it runs on; `local` need not be named.
    #[serde(default)]
    pub(crate) hosts: BTreeMap<At<String>, HostShape>,
    /// The secrets by name: `[secrets.openai]`. A name is 1 to 64 of `a-z 0-9 . _ -`.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<At<String>, At<SecretShape>>,
}
