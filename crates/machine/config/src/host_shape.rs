//! A table of `[hosts]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;

/// A machine. Consumers name it with `host` or `hosts`; `scan`, `why` and `trace` look at it with `--host NAME`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostShape {
    /// How keyroll reaches the machine: `local`, the machine that keyroll runs on, or `ssh://[USER@]HOST[:PORT]`. HOST may be
    /// a name of your ssh configuration, which also has the keys and the jump hosts. An IPv6 address stands in brackets.
    pub(crate) connect: At<String>,
    /// The group that the machine belongs to: `--host GROUP` and `hosts = ["GROUP"]` name all machines of it.
    pub(crate) group: Option<At<String>>,
    /// Whether keyroll-host runs there as root, by `sudo` without a password; only with `ssh://…`. Default false: it sees
    /// what the user who logs in may see.
    pub(crate) sudo: Option<At<bool>>,
    /// The path of a keyroll-host that is installed there; only with `ssh://…`. Default: keyroll sends its own to the user's
    /// cache folder.
    pub(crate) program: Option<At<String>>,
    /// An absolute folder there, at most 1024 bytes; only with `ssh://…`. Relative paths of consumers on this machine are
    /// resolved against it, and their commands run in it. Required if a consumer is on this machine.
    pub(crate) folder: Option<At<String>>,
}
