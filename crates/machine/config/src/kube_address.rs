//! The address of a Kubernetes cluster, as `connect` names it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Kind;
use crate::at::At;
use crate::host_shape::HostShape;
use crate::kube_names::{CONTEXT_BYTES_MAX, is_label};
use crate::mistake::Mistake;
use crate::path::resolve;

/// What the address of a cluster begins with.
const KUBE: &str = "kube://";
/// The word for the cluster in whose pod keyroll runs.
const IN_CLUSTER: &str = "in-cluster";

const ADDRESS_HELP: &str = "write `kube://CONTEXT/NAMESPACE`, or `kube://in-cluster` if keyroll runs in a pod of the cluster; write \
                            the namespace: which one is meant must not depend on the kubeconfig";

/// A namespace of a Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeAddress {
    /// The context of the kubeconfig; none: keyroll runs in a pod of the cluster, and uses the pod's service account.
    pub context: Option<String>,
    /// The namespace; none: that of the pod that keyroll runs in. A context always has one.
    pub namespace: Option<String>,
    /// The kubeconfig, absolute; none: those that `KUBECONFIG` names, or else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
}

/// As it is written in keyroll.toml.
impl fmt::Display for KubeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KUBE}{}", self.context.as_deref().unwrap_or(IN_CLUSTER))?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, "/{namespace}"))
    }
}

impl KubeAddress {
    /// Reads `kube://CONTEXT/NAMESPACE` or `kube://in-cluster[/NAMESPACE]`.
    ///
    /// # Errors
    /// Why it is none, without the text: it may hold a token.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(KUBE).ok_or("it does not begin with `kube://`")?;
        if rest == IN_CLUSTER {
            return Ok(Self { context: None, namespace: None, kubeconfig: None });
        }
        // The name of a context may have slashes of its own: those that Amazon EKS and OpenShift write have.
        let (context, namespace) = rest.rsplit_once('/').ok_or("the namespace is missing")?;
        if !is_context(context) {
            return Err(
                "the context may have letters, digits, `/`, `:`, `@`, `_`, `.` and `-`, and begins with a letter or digit",
            );
        }
        // `arn:aws:eks:REGION:ACCOUNT:cluster/NAME` is the name of a context alone.
        if context.starts_with("arn:") && context.ends_with(":cluster") {
            return Err("the namespace is missing");
        }
        if !is_label(namespace) {
            return Err(
                "the namespace, behind the last `/`, has 1 to 63 of a-z 0-9 -, and begins and ends with a letter or digit",
            );
        }
        let context = (context != IN_CLUSTER).then(|| context.to_owned());
        Ok(Self { context, namespace: Some(namespace.to_owned()), kubeconfig: None })
    }

    /// Whether keyroll runs in a pod of the cluster.
    pub fn is_in_cluster(&self) -> bool {
        self.context.is_none()
    }

    /// The cluster of a table of `[hosts]`; `folder` = that of keyroll.toml.
    pub(crate) fn read(shape: &HostShape, folder: &Path) -> Result<Self, Mistake> {
        let address = Self::parse(&shape.connect.value).map_err(|why| {
            Mistake::new(Kind::WrongForm, format!("`connect`: {why}"))
                .at(&shape.connect.span)
                .help(ADDRESS_HELP)
        })?;
        let strays = [
            ("sudo", shape.sudo.as_ref().map(|sudo| &sudo.span)),
            ("program", shape.program.as_ref().map(|program| &program.span)),
            ("folder", shape.folder.as_ref().map(|folder| &folder.span)),
        ];
        if let Some((key, span)) = strays.into_iter().find_map(|(key, span)| Some((key, span?))) {
            let why = format!("`{key}` goes with a host by ssh, and this one is a cluster");
            return Err(Mistake::new(Kind::BadCombination, why)
                .at(span)
                .help("leave it out: keyroll asks the API of the cluster, and starts nothing in it"));
        }
        match &shape.kubeconfig {
            None => Ok(address),
            Some(path) if address.is_in_cluster() => Err(of_pod(path)),
            Some(path) => Ok(Self { kubeconfig: Some(resolve(folder, "kubeconfig", path)?), ..address }),
        }
    }
}

/// A pod has no kubeconfig.
fn of_pod(path: &At<String>) -> Mistake {
    Mistake::new(Kind::BadCombination, "`kubeconfig` does not go with `kube://in-cluster`")
        .at(&path.span)
        .help("leave it out: in a pod keyroll uses the pod's service account; or write `kube://CONTEXT/NAMESPACE`")
}

fn is_context(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/:@_.-".contains(&byte);
    starts && text.len() <= CONTEXT_BYTES_MAX && !text.ends_with('/') && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube_names::LABEL_BYTES_MAX;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for (text, context, namespace) in [
            ("kube://in-cluster", None, None),
            ("kube://in-cluster/agents", None, Some("agents")),
            ("kube://prod/agents", Some("prod"), Some("agents")),
            (
                "kube://arn:aws:eks:eu-west-1:123456789012:cluster/prod/agents",
                Some("arn:aws:eks:eu-west-1:123456789012:cluster/prod"),
                Some("agents"),
            ),
            (
                "kube://default/api-example-com:6443/kube:admin/a-1",
                Some("default/api-example-com:6443/kube:admin"),
                Some("a-1"),
            ),
            ("kube://me@my_cluster.example.org/x", Some("me@my_cluster.example.org"), Some("x")),
        ] {
            let address = KubeAddress::parse(text).unwrap();
            assert_eq!(
                (address.context.as_deref(), address.namespace.as_deref()),
                (context, namespace),
                "{text}"
            );
            assert_eq!((address.to_string().as_str(), address.is_in_cluster()), (text, context.is_none()));
        }
        let longest = format!("kube://{}/{}", "c".repeat(CONTEXT_BYTES_MAX), "n".repeat(LABEL_BYTES_MAX));
        assert_eq!(KubeAddress::parse(&longest).unwrap().to_string(), longest);
    }

    #[test]
    fn what_names_no_namespace_or_could_be_something_else_is_no_address() {
        for text in [
            "kube://",
            "kube:prod/agents",
            "kube://prod",
            "kube://prod/",
            "kube:///agents",
            "kube://prod//agents",
            "kube://arn:aws:eks:eu-west-1:123456789012:cluster/prod",
            "kube://-prod/agents",
            "kube://prod/Agents",
            "kube://prod/-agents",
            "kube://prod/agents-",
            "kube://prod/a.b",
            "kube://prod/a_b",
            "kube://pr od/agents",
            "kube://prod?x/agents",
            "kube://prod/agents\n",
            "kube://in-cluster/",
            &format!("kube://prod/{}", "n".repeat(LABEL_BYTES_MAX + 1)),
            &format!("kube://{}/n", "c".repeat(CONTEXT_BYTES_MAX + 1)),
        ] {
            assert!(KubeAddress::parse(text).is_err(), "{text}");
        }
    }
}
