use std::fmt;
use std::path::PathBuf;

/// Where a cluster is, and as whom keyroll speaks to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The file that has contexts, clusters and logins; none: the files of `KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context of it; none: its current one.
    pub context: Option<String>,
    /// keyroll runs in a pod of the cluster, and uses the service account of that pod.
    pub in_cluster: bool,
    /// The namespace; none: that of the context or of the pod.
    pub namespace: Option<String>,
}

/// As people name it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.context, self.in_cluster) {
            (_, true) => f.write_str("the cluster of this pod")?,
            (Some(context), false) => write!(f, "the cluster of context {context}")?,
            (None, false) => f.write_str("the cluster of the current context")?,
        }
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, ", namespace {namespace}"))
    }
}
