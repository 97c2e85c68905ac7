//! A table of `[hosts]` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;

/// A machine, or a namespace of a Kubernetes cluster. Consumers name it with `host`, machines also with `hosts`; `scan`, `why`,
/// `trace` and `init` look at it with `--host NAME`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostShape {
    /// How keyroll reaches the machine: `local`, the machine that keyroll runs on, or `ssh://[USER@]HOST[:PORT]`. HOST may be
    /// a name of your ssh configuration, which also has the keys and the jump hosts. An IPv6 address stands in brackets. A
    /// cluster is `kube://CONTEXT/NAMESPACE`: CONTEXT is a context of your kubeconfig, and the namespace stands behind the last
    /// `/`. In a pod of the cluster it is `kube://in-cluster`, for the pod's own namespace, or `kube://in-cluster/NAMESPACE`.
    pub(crate) connect: At<String>,
    /// The group that the machine or cluster belongs to: `--host GROUP` names all of it, and `hosts = ["GROUP"]` all machines of
    /// a group without clusters.
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
    /// The kubeconfig that has the context, relative to the folder of keyroll.toml; only with `kube://CONTEXT/NAMESPACE`.
    /// Default: the files that `KUBECONFIG` names, or else `~/.kube/config`.
    pub(crate) kubeconfig: Option<At<String>>,
}
