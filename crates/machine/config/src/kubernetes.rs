//! `store = "k8s:NAMESPACE/NAME#KEY"`, and how its cluster is reached.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Kind;
use crate::at::At;
use crate::kube_names::{CONTEXT_BYTES_MAX, is_key, is_label, is_name};
use crate::mistake::Mistake;
use crate::path::resolve;

/// What a reference to a Secret begins with.
pub(crate) const KUBERNETES: &str = "k8s:";

pub(crate) const KUBERNETES_HELP: &str = "write `k8s:NAMESPACE/NAME#KEY`: the namespace and the name of the Secret, and the key of its `data`, as \
     `kubectl -n NAMESPACE describe secret NAME` lists it";

/// How the cluster of a secret with `store = "k8s:…"` is reached: `context` and `kubeconfig`, or `in_cluster`. Without this
/// table: the current context of kubectl's configuration, in the files of `KUBECONFIG` or in `~/.kube/config`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesShape {
    /// The context of the kubeconfig: `kubectl config get-contexts` lists them. Default: the current one.
    pub(crate) context: Option<At<String>>,
    /// The kubeconfig: `./kubeconfig`. Default: the files of `KUBECONFIG`, or `~/.kube/config`.
    pub(crate) kubeconfig: Option<At<String>>,
    /// keyroll runs in a pod of the cluster, and has the login of the pod's service account. Default false.
    #[serde(default)]
    pub(crate) in_cluster: bool,
}

/// How a cluster is reached. What is not given is kubectl's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kubernetes {
    /// The context of the kubeconfig; none: the current one.
    pub context: Option<String>,
    /// The kubeconfig, absolute; none: those of kubectl.
    pub kubeconfig: Option<PathBuf>,
    /// By the service account of the pod that keyroll runs in.
    pub in_cluster: bool,
}

impl Kubernetes {
    pub(crate) fn read(shape: &At<KubernetesShape>, folder: &Path) -> Result<Self, Mistake> {
        let keys = &shape.value;
        if keys.in_cluster && (keys.context.is_some() || keys.kubeconfig.is_some()) {
            let why = "`kubernetes.in_cluster` does not go with `context` and `kubeconfig`";
            return Err(Mistake::new(Kind::BadCombination, why).at(&shape.span).help("keep one of both"));
        }
        let fits =
            |text: &str| (1..=CONTEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if let Some(text) = keys.context.as_ref().filter(|text| !fits(&text.value)) {
            let why = format!(
                "`kubernetes.context` must have 1 to {CONTEXT_BYTES_MAX} bytes without control characters"
            );
            return Err(Mistake::new(Kind::WrongForm, why).at(&text.span));
        }
        let kubeconfig = keys.kubeconfig.as_ref();
        Ok(Self {
            context: keys.context.as_ref().map(|text| text.value.clone()),
            kubeconfig: kubeconfig.map(|text| resolve(folder, "kubernetes.kubeconfig", text)).transpose()?,
            in_cluster: keys.in_cluster,
        })
    }
}

/// The namespace, the name and the key of `NAMESPACE/NAME#KEY`.
pub(crate) fn place(reference: &str) -> Result<[String; 3], &'static str> {
    let Some((secret, key)) = reference.split_once('#') else {
        return Err("it names no key of the Secret's `data`");
    };
    let Some((namespace, name)) = secret.split_once('/') else {
        return Err("it names no namespace");
    };
    if !is_label(namespace) {
        return Err(
            "a namespace has 1 to 63 characters of `a-z 0-9 -`, and begins and ends with a letter or digit",
        );
    }
    if !is_name(name) {
        return Err(
            "the name of a Secret has 1 to 253 characters of `a-z 0-9 . -`, and each part between dots begins and ends with a \
             letter or digit",
        );
    }
    if !is_key(key) {
        return Err("a key of a Secret has 1 to 253 characters of `A-Z a-z 0-9 - . _`");
    }
    Ok([namespace, name, key].map(str::to_owned))
}
