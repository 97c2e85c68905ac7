//! Who writes a Secret besides people.
//!
//! What only the writer itself sets counts before what others may copy: External Secrets copies the labels and annotations of
//! its own object to the Secret, and operators those of theirs. Where the name is not visible, it is empty.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};

use crate::failure::words;
use crate::managed_fields::Owned;

/// The annotation in which `kubectl apply` keeps what it applied, with the values. Source:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-last-applied-configuration>.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The prefix of External Secrets' names in `managedFields`; the name of its object follows.
const EXTERNAL_SECRETS: &str = "externalsecrets.external-secrets.io/";

/// Who writes a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// External Secrets, from this ExternalSecret.
    ExternalSecrets(String),
    /// Sealed Secrets, from this SealedSecret.
    SealedSecrets(String),
    /// Argo CD, of this application.
    ArgoCd(String),
    /// Flux, of this Kustomization or HelmRelease.
    Flux(String),
    /// Helm, of this release.
    Helm(String),
    /// The Secrets Store CSI driver, from this SecretProviderClass.
    CsiDriver(String),
    /// cert-manager, of this Certificate.
    CertManager(String),
    /// Another controller.
    Controller {
        /// The kind of its object.
        kind: String,
        /// The name of its object.
        name: String,
    },
}

/// As a clause: `Helm writes it, of release agents`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |before: &str, name: &str| match name {
            "" => String::new(),
            name => format!("{before}{}", words(name)),
        };
        let in_git = |by: &str| match by {
            "" => " from git".to_owned(),
            by => format!(", as {by} has it in git"),
        };
        match self {
            Self::ExternalSecrets(name) => {
                write!(f, "External Secrets writes it{}", named(", by ExternalSecret/", name))
            }
            Self::SealedSecrets(name) => {
                write!(f, "Sealed Secrets writes it{}", named(" from SealedSecret/", name))
            }
            Self::ArgoCd(name) => write!(f, "Argo CD writes it{}", in_git(&named("application ", name))),
            Self::Flux(name) => write!(f, "Flux writes it{}", in_git(&named("", name))),
            Self::Helm(name) => write!(f, "Helm writes it{}", named(", of release ", name)),
            Self::CsiDriver(name) => {
                write!(
                    f,
                    "the Secrets Store CSI driver writes it{}",
                    named(" from SecretProviderClass/", name)
                )
            }
            Self::CertManager(name) => {
                write!(f, "cert-manager writes it{}", named(" for Certificate/", name))
            }
            Self::Controller { kind, name } => write!(f, "{}/{} writes it", words(kind), words(name)),
        }
    }
}

/// Who writes the Secret with this metadata; with a key, who writes that one: others may write other keys.
pub fn owner(meta: &ObjectMeta, key: Option<&str>) -> Option<Owner> {
    by_reference(meta)
        .or_else(|| by_mark(meta, key))
        .or_else(|| controller(meta).map(other))
        .or_else(|| by_deployment(meta, "Secret"))
        .or_else(|| by_write(meta, key))
        .or_else(|| meta.owner_references.iter().flatten().find(|reference| is_custom(reference)).map(other))
}

/// What made an object and sees to it. Source:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/>.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|reference| reference.controller == Some(true))
}

fn other(reference: &OwnerReference) -> Owner {
    Owner::Controller { kind: reference.kind.clone(), name: reference.name.clone() }
}

/// Whether a reference is to an object of a kind that was added to the cluster. Programs of Kubernetes itself, such as that of
/// Deployments, write no Secrets that name them: whoever names one ties the lifetime of the Secret to it.
fn is_custom(reference: &OwnerReference) -> bool {
    reference.api_version.split_once('/').is_some_and(|(group, _)| group.contains('.'))
}

/// The writer that an owner reference names, if keyroll knows its kind.
fn by_reference(meta: &ObjectMeta) -> Option<Owner> {
    meta.owner_references.iter().flatten().find_map(|reference| {
        let name = reference.name.clone();
        match reference.kind.as_str() {
            "ExternalSecret" => Some(Owner::ExternalSecrets(name)),
            "SealedSecret" => Some(Owner::SealedSecrets(name)),
            "Certificate" => Some(Owner::CertManager(name)),
            "SecretProviderClassPodStatus" => Some(Owner::CsiDriver(class(meta, &name))),
            _ => None,
        }
    })
}

/// The SecretProviderClass of a SecretProviderClassPodStatus, which is named `POD-NAMESPACE-CLASS`. Source:
/// <https://secrets-store-csi-driver.sigs.k8s.io/concepts>.
fn class(meta: &ObjectMeta, status: &str) -> String {
    let between = format!("-{}-", meta.namespace.as_deref().unwrap_or_default());
    // If the namespace's name occurs more than once, the class is not certain.
    match status.split_once(&between) {
        Some((_, class)) if !class.contains(&between) => class.to_owned(),
        _ => String::new(),
    }
}

/// The writer that has put its own label or annotation there. Sources:
/// <https://external-secrets.io/latest/api/externalsecret/>, <https://cert-manager.io/docs/reference/annotations/>,
/// <https://secrets-store-csi-driver.sigs.k8s.io/topics/sync-as-kubernetes-secret>.
fn by_mark(meta: &ObjectMeta, key: Option<&str>) -> Option<Owner> {
    if let Some(owner) = by_external_secrets(meta, key) {
        return Some(owner);
    }
    if label(meta, "secrets-store.csi.k8s.io/managed") == Some("true") {
        return Some(Owner::CsiDriver(String::new()));
    }
    annotation(meta, "cert-manager.io/certificate-name").map(|name| Owner::CertManager(name.to_owned()))
}

/// An ExternalSecret that merges its keys into a Secret of somebody else writes no other ones.
fn by_external_secrets(meta: &ObjectMeta, key: Option<&str>) -> Option<Owner> {
    if label(meta, "reconcile.external-secrets.io/managed") != Some("true") {
        return None;
    }
    let writes = || meta.managed_fields.iter().flatten().filter(|entry| external_secret(entry).is_some());
    if writes().next().is_none() {
        return Some(Owner::ExternalSecrets(String::new()));
    }
    let name = external_secret(writes().rfind(|entry| may_write(entry, key))?)?;
    Some(Owner::ExternalSecrets(name.to_owned()))
}

/// The name of the ExternalSecret whose writes these are.
fn external_secret(entry: &ManagedFieldsEntry) -> Option<&str> {
    entry.manager.as_deref()?.strip_prefix(EXTERNAL_SECRETS)
}

/// Whether the writer may own this key; without a key, always.
fn may_write(entry: &ManagedFieldsEntry, key: Option<&str>) -> bool {
    key.is_none_or(|key| Owned::of(entry).may_have(key))
}

/// What deploys the object with others. Sources: <https://helm.sh/docs/chart_best_practices/labels/>,
/// <https://fluxcd.io/flux/components/>, <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>.
fn by_deployment(meta: &ObjectMeta, kind: &str) -> Option<Owner> {
    // Flux's release is one of Helm's, too, and undoes what is changed with Helm.
    if let Some(name) = label(meta, "helm.toolkit.fluxcd.io/name") {
        return Some(Owner::Flux(name.to_owned()));
    }
    let by_helm = label(meta, "app.kubernetes.io/managed-by") == Some("Helm");
    if let Some(release) = annotation(meta, "meta.helm.sh/release-name").filter(|_| by_helm) {
        return Some(Owner::Helm(release.to_owned()));
    }
    tracked(meta, kind)
        .or_else(|| label(meta, "argocd.argoproj.io/instance"))
        .map(|application| Owner::ArgoCd(application.to_owned()))
        .or_else(|| {
            let name = label(meta, "kustomize.toolkit.fluxcd.io/name")?;
            (!is_left_by_flux(meta)).then(|| Owner::Flux(name.to_owned()))
        })
}

/// Whether a Kustomization leaves the Secret as it is, even if it made it. Source:
/// <https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-the-apply-behavior-of-resources>.
fn is_left_by_flux(meta: &ObjectMeta) -> bool {
    annotation(meta, "kustomize.toolkit.fluxcd.io/reconcile") == Some("disabled")
        || matches!(annotation(meta, "kustomize.toolkit.fluxcd.io/ssa"), Some("IfNotPresent" | "Ignore"))
}

/// The application of Argo CD's annotation `APPLICATION:GROUP/KIND:NAMESPACE/NAME`. One that names another object was copied
/// from there.
fn tracked<'m>(meta: &'m ObjectMeta, kind: &str) -> Option<&'m str> {
    let (application, object) = annotation(meta, "argocd.argoproj.io/tracking-id")?.split_once(':')?;
    let (group_and_kind, path) = object.split_once(':')?;
    let (_, name) = path.split_once('/')?;
    let is_this = group_and_kind.split_once('/')?.1 == kind && Some(name) == meta.name.as_deref();
    is_this.then_some(application)
}

/// The last known writer that owns the key; without one, a value of the Secret.
fn by_write(meta: &ObjectMeta, key: Option<&str>) -> Option<Owner> {
    let known = |entry: &ManagedFieldsEntry| {
        let owner = by_manager(entry.manager.as_deref()?)?;
        let writes = Owned::of(entry).has_keys() && may_write(entry, key);
        let left = matches!(owner, Owner::Flux(_)) && is_left_by_flux(meta);
        (writes && !left).then(|| (entry.time.as_ref().map(|time| time.0), owner))
    };
    let writes = meta.managed_fields.iter().flatten().filter_map(known);
    writes.max_by_key(|(time, _)| *time).map(|(_, owner)| owner)
}

/// Which program deploys what makes pods, an object of this kind, from git, and undoes what others change of it.
pub fn from_git(meta: &ObjectMeta, kind: &str) -> Option<Owner> {
    let managers = meta.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
    let git = |owner: &Owner| matches!(owner, Owner::ArgoCd(_) | Owner::Flux(_));
    by_deployment(meta, kind).filter(git).or_else(|| managers.filter_map(by_manager).find(git))
}

/// The program that writes under this name.
fn by_manager(manager: &str) -> Option<Owner> {
    if let Some(name) = manager.strip_prefix(EXTERNAL_SECRETS) {
        return Some(Owner::ExternalSecrets(name.to_owned()));
    }
    match manager {
        "external-secrets" => Some(Owner::ExternalSecrets(String::new())),
        "helm" => Some(Owner::Helm(String::new())),
        "argocd-controller" | "argocd-application-controller" => Some(Owner::ArgoCd(String::new())),
        "kustomize-controller" | "helm-controller" => Some(Owner::Flux(String::new())),
        "secrets-store-csi" | "secrets-store-csi-driver" => Some(Owner::CsiDriver(String::new())),
        "sealed-secrets" | "sealed-secrets-controller" => Some(Owner::SealedSecrets(String::new())),
        _ if manager.starts_with("cert-manager-") => Some(Owner::CertManager(String::new())),
        _ => None,
    }
}

fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// The text of an annotation.
pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(meta: Value) -> Option<Owner> {
        of_key(meta, None)
    }

    fn of_key(meta: Value, key: Option<&str>) -> Option<Owner> {
        let mut all = json!({"name": "api", "namespace": "prod"});
        let Value::Object(fields) = meta else { panic!("the metadata is no object") };
        all.as_object_mut().unwrap().extend(fields);
        owner(&serde_json::from_value(all).unwrap(), key)
    }

    fn reference(kind: &str, name: &str, controller: bool) -> Value {
        json!({"apiVersion": "example.org/v1", "kind": kind, "name": name, "uid": "u", "controller": controller})
    }

    fn entry(manager: &str, minute: u8, field: &str) -> Value {
        let time = format!("2026-01-01T00:{minute:02}:00Z");
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": {field: {"f:a": {}}}})
    }

    #[test]
    fn an_owner_reference_names_the_writer() {
        let of = |kind: &str| of(json!({"ownerReferences": [reference(kind, "pod-1-prod-vault", false)]}));
        let name = "pod-1-prod-vault".to_owned();
        assert_eq!(of("ExternalSecret"), Some(Owner::ExternalSecrets(name.clone())));
        assert_eq!(of("SealedSecret"), Some(Owner::SealedSecrets(name.clone())));
        assert_eq!(of("Certificate"), Some(Owner::CertManager(name.clone())));
        assert_eq!(of("SecretProviderClassPodStatus"), Some(Owner::CsiDriver("vault".to_owned())));
        assert_eq!(of("Tenant"), Some(Owner::Controller { kind: "Tenant".to_owned(), name }));
    }

    #[test]
    fn a_class_is_not_guessed() {
        let status = reference("SecretProviderClassPodStatus", "a-prod-b-prod-vault", false);
        assert_eq!(of(json!({"ownerReferences": [status]})), Some(Owner::CsiDriver(String::new())));
    }

    #[test]
    fn a_driver_s_label_counts_before_the_replica_set_for_which_it_wrote() {
        let labels = json!({"secrets-store.csi.k8s.io/managed": "true"});
        let meta = json!({"labels": labels, "ownerReferences": [reference("ReplicaSet", "app-1", true)]});
        assert_eq!(of(meta), Some(Owner::CsiDriver(String::new())));
    }

    #[test]
    fn external_secrets_is_known_by_its_label_before_labels_that_it_copied() {
        let meta = json!({
            "labels": {"reconcile.external-secrets.io/managed": "true", "kustomize.toolkit.fluxcd.io/name": "apps"},
            "managedFields": [entry("externalsecrets.external-secrets.io/anthropic", 1, "f:data")],
        });
        assert_eq!(of(meta), Some(Owner::ExternalSecrets("anthropic".to_owned())));
    }

    #[test]
    fn a_controller_counts_before_labels_that_it_copied() {
        let labels = json!({"argocd.argoproj.io/instance": "shop"});
        let meta = json!({"labels": labels, "ownerReferences": [reference("Postgres", "db", true)]});
        assert_eq!(of(meta), Some(Owner::Controller { kind: "Postgres".to_owned(), name: "db".to_owned() }));
        // A reference that only ties lifetimes together does not.
        let meta = json!({"labels": labels, "ownerReferences": [reference("Postgres", "db", false)]});
        assert_eq!(of(meta), Some(Owner::ArgoCd("shop".to_owned())));
    }

    #[test]
    fn helm_needs_its_label_and_its_release() {
        let label = json!({"app.kubernetes.io/managed-by": "Helm"});
        let release = json!({"meta.helm.sh/release-name": "shop"});
        assert_eq!(
            of(json!({"labels": label, "annotations": release})),
            Some(Owner::Helm("shop".to_owned()))
        );
        assert_eq!(of(json!({"labels": label})), None);
        assert_eq!(of(json!({"annotations": release})), None);
    }

    #[test]
    fn a_release_of_flux_is_named_by_flux() {
        let meta = json!({
            "labels": {"app.kubernetes.io/managed-by": "Helm", "helm.toolkit.fluxcd.io/name": "flux-shop"},
            "annotations": {"meta.helm.sh/release-name": "shop"},
        });
        assert_eq!(of(meta), Some(Owner::Flux("flux-shop".to_owned())));
        let meta = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}});
        assert_eq!(of(meta), Some(Owner::Flux("apps".to_owned())));
    }

    #[test]
    fn argo_cd_s_annotation_counts_only_on_the_object_that_it_names() {
        let tracked = |id: &str| of(json!({"annotations": {"argocd.argoproj.io/tracking-id": id}}));
        assert_eq!(tracked("shop:/Secret:prod/api"), Some(Owner::ArgoCd("shop".to_owned())));
        assert_eq!(tracked("shop:/Secret:prod/other"), None);
        assert_eq!(tracked("shop:external-secrets.io/ExternalSecret:prod/api"), None);
    }

    #[test]
    fn cert_manager_s_annotation_names_the_certificate() {
        let meta = json!({"annotations": {"cert-manager.io/certificate-name": "web"}});
        assert_eq!(of(meta), Some(Owner::CertManager("web".to_owned())));
    }

    #[test]
    fn the_last_known_writer_of_a_value_is_the_owner() {
        let known = |entries: Value| of(json!({"managedFields": entries}));
        let both = [entry("helm", 9, "f:data"), entry("argocd-controller", 5, "f:data")];
        assert_eq!(known(json!(both)), Some(Owner::Helm(String::new())));
        let only_labels = [entry("helm", 9, "f:metadata"), entry("kustomize-controller", 5, "f:data")];
        assert_eq!(known(json!(only_labels)), Some(Owner::Flux(String::new())));
        assert_eq!(known(json!([entry("kubectl-patch", 9, "f:data")])), None);
        let cert = json!([entry("cert-manager-certificates-issuing", 9, "f:data")]);
        assert_eq!(known(cert), Some(Owner::CertManager(String::new())));
    }

    #[test]
    fn another_writer_s_other_key_does_not_count_for_a_key() {
        let labels = json!({"reconcile.external-secrets.io/managed": "true"});
        let manager = "externalsecrets.external-secrets.io/llm";
        for labels in [labels.clone(), json!({})] {
            let meta = json!({"labels": labels, "managedFields": [entry(manager, 1, "f:data")]});
            let llm = Some(Owner::ExternalSecrets("llm".to_owned()));
            assert_eq!((of_key(meta.clone(), Some("a")), of(meta.clone())), (llm.clone(), llm));
            assert_eq!(of_key(meta, Some("b")), None);
        }
        // Which keys it has is not visible.
        let unseen = json!({"labels": labels});
        assert_eq!(of_key(unseen, Some("b")), Some(Owner::ExternalSecrets(String::new())));
    }

    #[test]
    fn what_flux_only_makes_once_is_not_its_own() {
        let labels = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
        let made = [entry("kustomize-controller", 1, "f:data")];
        for (annotation, word, left) in [
            ("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent", true),
            ("kustomize.toolkit.fluxcd.io/ssa", "Merge", false),
            ("kustomize.toolkit.fluxcd.io/reconcile", "disabled", true),
        ] {
            let meta = json!({"labels": labels, "annotations": {annotation: word}, "managedFields": made});
            assert_eq!(of(meta).is_none(), left, "{word}");
        }
    }

    #[test]
    fn a_secret_that_is_tied_to_a_deployment_is_nobody_s() {
        let tied = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "u"});
        assert_eq!(of(json!({"ownerReferences": [tied]})), None);
    }

    #[test]
    fn a_name_that_is_not_visible_is_left_out() {
        let said = |owner: Owner| owner.to_string();
        assert_eq!(said(Owner::CsiDriver(String::new())), "the Secrets Store CSI driver writes it");
        assert_eq!(said(Owner::ArgoCd(String::new())), "Argo CD writes it from git");
        assert_eq!(
            said(Owner::ArgoCd("shop".to_owned())),
            "Argo CD writes it, as application shop has it in git"
        );
        assert_eq!(said(Owner::Helm("a\nb".to_owned())), "Helm writes it, of release a b");
    }
}
