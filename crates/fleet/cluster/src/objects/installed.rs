//! Objects of kinds that a cluster has only if somebody installed them. Of each, only the fields that keyroll needs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::workload::workload;
use crate::model::{External, Mounted, Workload};
use crate::takes::Keys;

/// An ExternalSecret, in v1 and v1beta1. Source: <https://external-secrets.io/latest/api/externalsecret/>.
#[derive(Deserialize)]
pub(crate) struct ExternalSecret {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ExternalSpec,
    #[serde(default)]
    status: ExternalStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExternalSpec {
    refresh_interval: Option<String>,
    secret_store_ref: Option<StoreRef>,
    target: Target,
    data: Vec<ExternalData>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoreRef {
    name: Option<String>,
    kind: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Target {
    name: Option<String>,
    creation_policy: Option<String>,
    template: Option<Template>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Template {
    data: Option<Value>,
    template_from: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExternalData {
    secret_key: String,
    remote_ref: RemoteRef,
    source_ref: SourceRef,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RemoteRef {
    key: String,
    property: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SourceRef {
    store_ref: Option<StoreRef>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExternalStatus {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

/// The name of the Secret that an ExternalSecret writes, and what is known of it. `None`: it writes none.
pub(crate) fn external_secret(object: ExternalSecret) -> Option<(String, External)> {
    let ExternalSecret { metadata, spec, status } = object;
    if spec.target.creation_policy.as_deref() == Some("None") {
        return None;
    }
    let name = metadata.name.unwrap_or_default();
    let stores = spec.data.iter().filter_map(|data| data.source_ref.store_ref.as_ref());
    let store = spec.secret_store_ref.iter().chain(stores).find_map(|store| {
        let kind = store.kind.as_deref().unwrap_or("SecretStore");
        store.name.as_ref().map(|name| format!("{kind}/{name}"))
    });
    // A template names the keys of the Secret itself, and what it makes of a value is not known.
    let made = |template: &Template| template.data.is_some() || template.template_from.is_some();
    let keys = match spec.target.template.as_ref().is_some_and(made) {
        true => BTreeMap::new(),
        false => spec.data.into_iter().map(|data| (data.secret_key, remote(data.remote_ref))).collect(),
    };
    let not_ready = status.conditions.into_iter().find(|one| one.kind == "Ready" && one.status != "True");
    let why = |one: Condition| one.message.or(one.reason).unwrap_or_else(|| "it does not say why".to_owned());
    let external = External {
        name: name.clone(),
        store: store.unwrap_or_default(),
        refresh: spec.refresh_interval,
        keys,
        not_ready: not_ready.map(why),
    };
    Some((spec.target.name.filter(|target| !target.is_empty()).unwrap_or(name), external))
}

/// A key at the store, with the property of its value.
fn remote(remote: RemoteRef) -> String {
    match remote.property {
        Some(property) => format!("{}#{property}", remote.key),
        None => remote.key,
    }
}

/// What the Secrets Store CSI driver says of one volume of one pod. Source:
/// <https://secrets-store-csi-driver.sigs.k8s.io/concepts.html#secretproviderclasspodstatus>.
#[derive(Deserialize)]
pub(crate) struct SecretProviderClassPodStatus {
    metadata: ObjectMeta,
    #[serde(default)]
    status: MountStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MountStatus {
    pod_name: String,
    secret_provider_class_name: String,
    mounted: bool,
    objects: Vec<MountedObject>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MountedObject {
    id: String,
    version: String,
}

/// What it mounted.
pub(crate) fn pod_status(object: SecretProviderClassPodStatus) -> Vec<Mounted> {
    let SecretProviderClassPodStatus { metadata, status } = object;
    let mut owners = metadata.owner_references.into_iter().flatten();
    let pod_uid = owners.find(|owner| owner.kind == "Pod").map(|owner| owner.uid).unwrap_or_default();
    let objects = if status.mounted { status.objects } else { Vec::new() };
    let mounted = |object: MountedObject| Mounted {
        pod: status.pod_name.clone(),
        pod_uid: pod_uid.clone(),
        class: status.secret_provider_class_name.clone(),
        object: object.id,
        version: object.version,
    };
    objects.into_iter().map(mounted).collect()
}

/// A Rollout of Argo Rollouts. Source: <https://argo-rollouts.readthedocs.io/en/stable/features/specification/>.
#[derive(Deserialize)]
pub(crate) struct Rollout {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: RolloutSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RolloutSpec {
    replicas: Option<i32>,
    paused: bool,
    /// Absent where it takes the template of a Deployment (`workloadRef`), which is read as one.
    template: Option<PodTemplateSpec>,
}

/// A Rollout as a workload.
pub(crate) fn rollout(object: &Rollout, keys: &Keys<'_>) -> Workload {
    let Rollout { metadata, spec } = object;
    let idle = spec.paused || spec.replicas == Some(0);
    let made = workload("Rollout", metadata, spec.template.as_ref(), keys);
    Workload { wanted: spec.replicas, idle, ..made }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn external(spec: Value, status: Value) -> Option<(String, External)> {
        let object = json!({ "metadata": { "name": "api" }, "spec": spec, "status": status });
        external_secret(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn an_external_secret_says_where_each_key_comes_from() {
        let data = json!([
            { "secretKey": "key", "remoteRef": { "key": "prod/anthropic", "property": "api_key" } },
            { "secretKey": "all", "remoteRef": { "key": "prod/openai" } },
        ]);
        let spec = json!({
            "refreshInterval": "1h", "secretStoreRef": { "name": "aws", "kind": "ClusterSecretStore" },
            "target": { "name": "anthropic" }, "data": data,
        });
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True", "message": "synced" }] });
        let (secret, external) = external(spec, ready).unwrap();
        assert_eq!(secret, "anthropic");
        let keys = [("all", "prod/openai"), ("key", "prod/anthropic#api_key")];
        let keys = keys.map(|(key, at)| (key.to_owned(), at.to_owned()));
        let expected = External {
            name: "api".to_owned(),
            store: "ClusterSecretStore/aws".to_owned(),
            refresh: Some("1h".to_owned()),
            keys: BTreeMap::from(keys),
            not_ready: None,
        };
        assert_eq!(external, expected);
    }

    #[test]
    fn an_external_secret_without_a_target_writes_the_secret_of_its_own_name() {
        let store = json!({ "storeRef": { "name": "vault" } });
        let data = json!([{ "secretKey": "key", "remoteRef": { "key": "a" }, "sourceRef": store }]);
        let failed =
            json!({ "conditions": [{ "type": "Ready", "status": "False", "message": "no such key" }] });
        let (secret, external) = external(json!({ "data": data }), failed).unwrap();
        assert_eq!((secret.as_str(), external.store.as_str()), ("api", "SecretStore/vault"));
        assert_eq!(external.not_ready.as_deref(), Some("no such key"));
    }

    #[test]
    fn an_external_secret_that_writes_none_or_by_a_template_claims_no_key() {
        assert!(external(json!({ "target": { "creationPolicy": "None" } }), json!({})).is_none());
        let template = json!({ "data": { "url": "redis://:{{ .key }}@redis" } });
        let data = json!([{ "secretKey": "key", "remoteRef": { "key": "a" } }]);
        let spec = json!({ "target": { "template": template }, "data": data });
        assert!(external(spec, json!({})).unwrap().1.keys.is_empty());
    }

    #[test]
    fn what_a_driver_mounted_belongs_to_the_pod_that_owns_its_status() {
        let read = |mounted: bool| {
            let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": "agent-1", "uid": "u-1" });
            let status = json!({
                "podName": "agent-1", "secretProviderClassName": "vault", "mounted": mounted,
                "objects": [{ "id": "secret/openai", "version": "3" }],
            });
            let metadata = json!({ "name": "agent-1-shop-vault", "ownerReferences": [owner] });
            pod_status(serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap())
        };
        let expected = Mounted {
            pod: "agent-1".to_owned(),
            pod_uid: "u-1".to_owned(),
            class: "vault".to_owned(),
            object: "secret/openai".to_owned(),
            version: "3".to_owned(),
        };
        assert_eq!(read(true), [expected]);
        assert!(read(false).is_empty());
    }

    #[test]
    fn a_rollout_takes_what_its_template_takes() {
        let from = json!({ "secretKeyRef": { "name": "api", "key": "key" } });
        let container = json!({ "name": "app", "env": [{ "name": "API_KEY", "valueFrom": from }] });
        let template = json!({ "spec": { "containers": [container] } });
        let spec = json!({ "replicas": 2, "strategy": { "canary": {} }, "template": template });
        let object = json!({ "metadata": { "name": "app" }, "spec": spec });
        let seen = rollout(&serde_json::from_value(object).unwrap(), &|_| None);
        assert_eq!((seen.kind.as_str(), seen.takes.len(), seen.wanted), ("Rollout", 1, Some(2)));
        assert!(!seen.idle);
        let of_a_deployment =
            json!({ "metadata": { "name": "app" }, "spec": { "workloadRef": { "name": "x" } } });
        assert!(rollout(&serde_json::from_value(of_a_deployment).unwrap(), &|_| None).takes.is_empty());
    }
}
