//! The table `[vault]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;

/// How secrets with `store = "vault:…"` are reached. What is not given here comes from the environment, as for the command
/// line of OpenBao or Vault: `BAO_ADDR` or `VAULT_ADDR`, and so on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultShape {
    /// The address: `https://vault.example:8200`. `http://` on loopback alone. Default: `BAO_ADDR` or `VAULT_ADDR`.
    pub(crate) address: Option<At<String>>,
    /// The namespace. Default: `BAO_NAMESPACE` or `VAULT_NAMESPACE`, or none.
    pub(crate) namespace: Option<At<String>>,
    /// The file with the certificates (PEM) of its authority. Default: `BAO_CACERT` or `VAULT_CACERT`, or those of the
    /// machine.
    pub(crate) ca: Option<At<String>>,
    /// A reference to a file with a token, mode 0600: `file:./vault.token`. One of `token`, `approle` and `agent`. Default, the
    /// first of: the socket in `BAO_AGENT_ADDR` or `VAULT_AGENT_ADDR` (unless `address` is given), `BAO_TOKEN` or
    /// `VAULT_TOKEN`, the file `~/.vault-token`.
    pub(crate) token: Option<At<String>>,
    /// A login by AppRole.
    pub(crate) approle: Option<At<AppRoleShape>>,
    /// The unix socket of a Vault Agent, Vault Proxy or OpenBao Agent that logs in itself (auto-auth): at most 107 bytes.
    pub(crate) agent: Option<At<String>>,
}

/// A login by AppRole: `approle = { role_id = "…", secret_id = "file:./secret-id" }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppRoleShape {
    /// The id of the role.
    pub(crate) role_id: At<String>,
    /// A reference to a file with the secret id, mode 0600: `file:./secret-id`. One that can be used once does not do.
    pub(crate) secret_id: At<String>,
    /// Where the auth method is mounted. Default `approle`.
    pub(crate) mount: Option<At<String>>,
}
