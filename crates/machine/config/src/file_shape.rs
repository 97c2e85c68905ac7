use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;
use crate::host_shape::HostShape;
use crate::secret_shape::SecretShape;
use crate::shape::{DefaultsShape, ScheduleShape, SearchShape, ServerShape};
use crate::vault_shape::VaultShape;

/// The file keyroll.toml. It never contains the value of a credential, only references to files that do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "keyroll.toml")]
pub(crate) struct FileShape {
    /// The version of the file format: 1.
    pub(crate) version: At<u32>,
    /// Defaults for every secret. A secret overrides them with keys of the same names.
    #[serde(default)]
    pub(crate) defaults: DefaultsShape,
    /// When secrets are rotated without an operator, and when a notice says that one is due.
    #[serde(default)]
    pub(crate) schedule: ScheduleShape,
    /// Where keyroll searches for undeclared copies.
    #[serde(default)]
    pub(crate) search: SearchShape,
    /// The machines, by name. The name `local`, the machine that keyroll runs on, need not be declared.
    #[serde(default)]
    pub(crate) hosts: BTreeMap<At<String>, HostShape>,
    /// The server that `keyroll serve` runs. Default: none.
    pub(crate) server: Option<At<ServerShape>>,
    /// How Vault or OpenBao is reached. Default: as the environment says.
    pub(crate) vault: Option<At<VaultShape>>,
    /// The secrets, by name: `[secrets.openai]`. A name has 1 to 64 characters of `a-z 0-9 . _ -`, and begins with a letter
    /// or digit.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<At<String>, At<SecretShape>>,
}
