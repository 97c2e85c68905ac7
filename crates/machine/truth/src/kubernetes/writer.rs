//! Who writes a Secret besides people: whatever else is written there would be undone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyroll_kube::{Owner, owner};

/// The type of a Secret with a token of a service account.
const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

/// Another party that writes a Secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Writer {
    /// As a clause: `External Secrets writes it, by ExternalSecret/agents`.
    pub(super) why: String,
    /// The next step.
    pub(super) help: &'static str,
}

const EXTERNAL: &str = "rotate the value at the store that it reads (`spec.secretStoreRef` and `remoteRef` of the ExternalSecret), and \
                        name that store in `store`: `aws-sm:NAME#KEY`, `vault:MOUNT/PATH#KEY`";
const SEALED: &str = "its source is sealed for the cluster, usually in a repository: keep this key in a Secret of its own that no \
                      SealedSecret makes";
const DRIVER: &str = "rotate the value at the store that the SecretProviderClass reads, and name that store in `store`: \
                      `aws-sm:NAME#KEY`, `vault:MOUNT/PATH#KEY`";
const CERTIFICATE: &str = "it holds what cert-manager makes and renews: name another Secret in `store`";
const FLUX: &str = "keep this key in a Secret of its own that Flux does not write; many charts take its name (`existingSecret`). Or, \
                    where a Kustomization writes it, annotate it in the repository with `kustomize.toolkit.fluxcd.io/ssa: \
                    IfNotPresent`: Flux then makes it once, and leaves it";
const ARGO: &str = "keep this key in a Secret of its own that is in no application of Argo CD";
const HELM: &str = "the next `helm upgrade` may write the former value again: keep this key in a Secret of its own that the chart \
                    does not make; many charts take its name (`existingSecret`)";
const KUBERNETES: &str = "name another Secret in `store`: Kubernetes makes this one for a service account";
const OTHER: &str = "rotate the value there, or keep this key in a Secret of its own";

/// Who writes the value of a key there; `None`: nobody that is visible.
pub(super) fn writer(meta: &ObjectMeta, kind: Option<&str>, key: &str) -> Option<Writer> {
    if kind == Some(ACCOUNT_TOKEN) {
        return Some(Writer { why: "Kubernetes writes it".to_owned(), help: KUBERNETES });
    }
    let owner = owner(meta, Some(key))?;
    let help = match &owner {
        Owner::ExternalSecrets(_) => EXTERNAL,
        Owner::SealedSecrets(_) => SEALED,
        Owner::ArgoCd(_) => ARGO,
        Owner::Flux(_) => FLUX,
        Owner::Helm(_) => HELM,
        Owner::CsiDriver(_) => DRIVER,
        Owner::CertManager(_) => CERTIFICATE,
        Owner::Controller { .. } => OTHER,
    };
    Some(Writer { why: owner.to_string(), help })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Who writes a Secret with this beside its uid.
    fn of(more: &Value) -> Option<String> {
        let mut metadata = json!({ "name": "agents" });
        let fields = more.as_object().unwrap().clone();
        metadata.as_object_mut().unwrap().extend(fields);
        writer(&serde_json::from_value(metadata).unwrap(), Some("Opaque"), "KEY").map(|writer| {
            assert!(!writer.help.is_empty());
            writer.why
        })
    }

    fn owned_by(version: &str, kind: &str, controller: bool) -> Value {
        json!({ "ownerReferences": [
            { "apiVersion": version, "kind": kind, "name": "agents", "uid": "o", "controller": controller }
        ] })
    }

    fn labelled(name: &str) -> Value {
        json!({ "labels": { name: "shop" } })
    }

    fn managed(manager: &str, key: &str) -> Value {
        json!({ "managedFields": [
            { "manager": manager, "operation": "Update", "fieldsV1": { "f:data": { ".": {}, key: {} } } }
        ] })
    }

    #[test]
    fn whoever_would_undo_a_write_is_named() {
        for (more, who) in [
            (owned_by("external-secrets.io/v1", "ExternalSecret", true), "by ExternalSecret/agents"),
            (managed("externalsecrets.external-secrets.io/llm", "f:KEY"), "by ExternalSecret/llm"),
            (owned_by("bitnami.com/v1alpha1", "SealedSecret", true), "from SealedSecret/agents"),
            (
                owned_by("secrets-store.csi.x-k8s.io/v1", "SecretProviderClassPodStatus", false),
                "the Secrets Store CSI driver",
            ),
            (
                json!({ "annotations": { "cert-manager.io/certificate-name": "web" } }),
                "cert-manager writes it for Certificate/web",
            ),
            (labelled("kustomize.toolkit.fluxcd.io/name"), "Flux writes it, as shop"),
            (labelled("helm.toolkit.fluxcd.io/name"), "Flux writes it, as shop"),
            (labelled("argocd.argoproj.io/instance"), "as application shop"),
            (
                json!({ "annotations": { "argocd.argoproj.io/tracking-id": "shop:/Secret:prod/agents" } }),
                "as application shop",
            ),
            (managed("argocd-controller", "f:KEY"), "Argo CD writes it"),
            (managed("helm", "f:KEY"), "Helm writes it"),
            (
                json!({ "labels": { "reconcile.external-secrets.io/managed": "true" } }),
                "External Secrets writes it",
            ),
            (
                json!({ "labels": { "secrets-store.csi.k8s.io/managed": "true" } }),
                "the Secrets Store CSI driver",
            ),
            (
                json!({
                    "labels": { "app.kubernetes.io/managed-by": "Helm" },
                    "annotations": { "meta.helm.sh/release-name": "shop" }
                }),
                "of release shop",
            ),
            (
                owned_by("secrets.hashicorp.com/v1beta1", "VaultStaticSecret", true),
                "VaultStaticSecret/agents",
            ),
        ] {
            let said = of(&more).unwrap_or_default();
            assert!(said.contains(who), "{more}: {said}");
        }
    }

    #[test]
    fn what_no_other_party_writes_may_be_written() {
        let once = json!({
            "labels": { "kustomize.toolkit.fluxcd.io/name": "shop" },
            "annotations": { "kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent" }
        });
        for more in [
            json!({}),
            json!({ "labels": null, "annotations": null, "ownerReferences": null, "managedFields": null }),
            managed("kubectl-create", "f:KEY"),
            managed("externalsecrets.external-secrets.io/llm", "f:OTHER"),
            owned_by("apps/v1", "Deployment", false),
            labelled("app.kubernetes.io/managed-by"),
            labelled("app.kubernetes.io/instance"),
            once,
        ] {
            assert_eq!(of(&more), None, "{more}");
        }
    }
}
