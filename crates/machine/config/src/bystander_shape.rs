//! A table of `bystanders` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;

/// A process that holds the value and is no consumer, such as a gateway that keeps the last header. keyroll does not wait for
/// it to lose the old value: a plan and a consent name it, with `reason`. Its process has to be as every key here says; a
/// key that is not visible of a process does not fit. A use of the old key that the issuer shows still holds up the
/// revocation, and so does a process that got the value in its environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BystanderShape {
    /// Its name in the secret.
    pub(crate) name: At<String>,
    /// The systemd unit that it runs in: `gateway.service`, or a scope; without a suffix `.service` is meant. At least one of
    /// `unit` and `executable` is required.
    pub(crate) unit: Option<At<String>>,
    /// The user that it runs as, a name or a number. With `unit`, the unit is one of the user's own service manager
    /// (`systemctl --user`).
    pub(crate) user: Option<At<String>>,
    /// The absolute path of the executable that it runs: that file itself, and not one of the same path in a container. A
    /// file that runs any program, such as an interpreter or a runtime (`python3`, `java`), needs `unit` too.
    pub(crate) executable: Option<At<String>>,
    /// The machine that it is on: a name under `[hosts]`. Default: the machine that keyroll runs on.
    pub(crate) host: Option<At<String>>,
    /// Why it may hold the value: at most 256 bytes.
    pub(crate) reason: At<String>,
}
