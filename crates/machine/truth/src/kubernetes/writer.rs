//! Who writes a Secret besides people: whatever else is written there would be undone.

use super::metadata::{Metadata, OwnerReference};

/// The type of a Secret with a token of a service account.
const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

/// How long a name of the cluster is that is shown, characters.
const NAME_CHARS_MAX: usize = 253;

/// Another party that writes a Secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Writer {
    /// As a clause: `External Secrets writes it, from the ExternalSecret agents`.
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
const FLUX: &str = "keep this key in a Secret of its own that Flux does not write; or annotate it in the repository with \
                    `kustomize.toolkit.fluxcd.io/ssa: IfNotPresent`: Flux then makes it once, and leaves it";
const FLUX_HELM: &str = "keep this key in a Secret of its own that the chart does not make: many charts take its name \
                         (`existingSecret`)";
const ARGO: &str = "keep this key in a Secret of its own that is in no application of Argo CD";
const HELM: &str = "the next `helm upgrade` may write the former value again: keep this key in a Secret of its own that the chart \
                    does not make; many charts take its name (`existingSecret`)";
const KUBERNETES: &str = "name another Secret in `store`: Kubernetes makes this one for a service account";
const OTHER: &str = "rotate the value there, or keep this key in a Secret of its own";

/// Who writes the value of a key there; `None`: nobody that is visible.
pub(super) fn writer(metadata: &Metadata<'_>, kind: Option<&str>, key: &str) -> Option<Writer> {
    let says = |why: String, help: &'static str| Some(Writer { why, help });
    if kind == Some(ACCOUNT_TOKEN) {
        return says("Kubernetes writes it".to_owned(), KUBERNETES);
    }
    owner(metadata)
        .or_else(|| external(metadata, key))
        .or_else(|| {
            let name = metadata.annotation("cert-manager.io/certificate-name")?;
            says(format!("cert-manager writes it, for the Certificate {}", shown(&name)), CERTIFICATE)
        })
        .or_else(|| flux(metadata))
        .or_else(|| argo(metadata, key))
        .or_else(|| helm(metadata))
        .or_else(|| {
            let controller = metadata.owners().iter().find(|owner| owner.controller == Some(true))?;
            let OwnerReference { api_version, kind, name, .. } = controller;
            says(format!("it belongs to {} {} ({})", shown(kind), shown(name), shown(api_version)), OTHER)
        })
}

/// The parties that say in its `ownerReferences` that they made it.
fn owner(metadata: &Metadata<'_>) -> Option<Writer> {
    metadata.owners().iter().find_map(|owner| {
        let (group, _) = owner.api_version.split_once('/')?;
        let (who, help) = match group {
            "external-secrets.io" => ("External Secrets writes it, from", EXTERNAL),
            "bitnami.com" => ("Sealed Secrets writes it, from", SEALED),
            "secrets-store.csi.x-k8s.io" => ("the Secrets Store CSI driver writes it, for", DRIVER),
            "cert-manager.io" => ("cert-manager writes it, for", CERTIFICATE),
            _ => return None,
        };
        let why = format!("{who} the {} {}", shown(&owner.kind), shown(&owner.name));
        Some(Writer { why, help })
    })
}

/// An ExternalSecret that merges its keys into a Secret of somebody else does not own that one.
fn external(metadata: &Metadata<'_>, key: &str) -> Option<Writer> {
    let merges = |by: &str| by.strip_prefix("externalsecrets.external-secrets.io/").map(shown);
    let name = metadata.writers(key).find_map(merges)?;
    Some(Writer {
        why: format!("External Secrets writes it, from the ExternalSecret {name}"),
        help: EXTERNAL,
    })
}

/// Source: <https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-the-apply-behavior-of-resources>.
fn flux(metadata: &Metadata<'_>) -> Option<Writer> {
    if let Some(name) = metadata.label("kustomize.toolkit.fluxcd.io/name") {
        let annotated = |name: &str| metadata.annotation(&format!("kustomize.toolkit.fluxcd.io/{name}"));
        let left = annotated("reconcile").is_some_and(|word| word == "disabled")
            || annotated("ssa").is_some_and(|word| ["IfNotPresent", "Ignore"].contains(&word.as_str()));
        let why = format!("Flux writes it, from the Kustomization {}", shown(name));
        return (!left).then_some(Writer { why, help: FLUX });
    }
    let name = metadata.label("helm.toolkit.fluxcd.io/name")?;
    Some(Writer { why: format!("Flux writes it, from the HelmRelease {}", shown(name)), help: FLUX_HELM })
}

/// Source: <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>.
fn argo(metadata: &Metadata<'_>, key: &str) -> Option<Writer> {
    let tracked = metadata.annotation("argocd.argoproj.io/tracking-id");
    let tracked = tracked.as_deref().and_then(|id| id.split(':').next());
    if let Some(name) = tracked.or_else(|| metadata.label("argocd.argoproj.io/instance")) {
        let why = format!("Argo CD writes it, of the application {}", shown(name));
        return Some(Writer { why, help: ARGO });
    }
    let applies = metadata.writers(key).any(|by| by == "argocd-controller");
    applies.then(|| Writer { why: "Argo CD writes it".to_owned(), help: ARGO })
}

/// Source: <https://helm.sh/docs/chart_best_practices/labels/>.
fn helm(metadata: &Metadata<'_>) -> Option<Writer> {
    if metadata.label("app.kubernetes.io/managed-by") != Some("Helm") {
        return None;
    }
    let name = metadata.annotation("meta.helm.sh/release-name")?;
    Some(Writer { why: format!("Helm writes it, of the release {}", shown(&name)), help: HELM })
}

/// A name of the cluster, in one line of bounded length.
fn shown(name: &str) -> String {
    name.chars().filter(|one| !one.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Who writes a Secret with this beside its uid.
    fn of(more: &Value) -> Option<String> {
        let mut metadata = json!({ "uid": "u", "resourceVersion": "1" });
        let fields = more.as_object().unwrap().clone();
        metadata.as_object_mut().unwrap().extend(fields);
        let text = metadata.to_string();
        let read: Metadata<'_> = serde_json::from_str(&text).unwrap();
        writer(&read, Some("Opaque"), "KEY").map(|writer| {
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
            (owned_by("external-secrets.io/v1", "ExternalSecret", true), "from the ExternalSecret agents"),
            (managed("externalsecrets.external-secrets.io/llm", "f:KEY"), "from the ExternalSecret llm"),
            (owned_by("bitnami.com/v1alpha1", "SealedSecret", true), "from the SealedSecret agents"),
            (
                owned_by("secrets-store.csi.x-k8s.io/v1", "SecretProviderClassPodStatus", false),
                "the Secrets Store CSI driver",
            ),
            (
                json!({ "annotations": { "cert-manager.io/certificate-name": "web" } }),
                "cert-manager writes it, for the Certificate web",
            ),
            (labelled("kustomize.toolkit.fluxcd.io/name"), "from the Kustomization shop"),
            (labelled("helm.toolkit.fluxcd.io/name"), "from the HelmRelease shop"),
            (labelled("argocd.argoproj.io/instance"), "of the application shop"),
            (
                json!({ "annotations": { "argocd.argoproj.io/tracking-id": "shop:/Secret:prod/agents" } }),
                "of the application shop",
            ),
            (managed("argocd-controller", "f:KEY"), "Argo CD writes it"),
            (
                json!({
                    "labels": { "app.kubernetes.io/managed-by": "Helm" },
                    "annotations": { "meta.helm.sh/release-name": "shop" }
                }),
                "of the release shop",
            ),
            (
                owned_by("secrets.hashicorp.com/v1beta1", "VaultStaticSecret", true),
                "VaultStaticSecret agents",
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
