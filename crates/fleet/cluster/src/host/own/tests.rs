use keyroll_port::{Proving, Values};
use keyroll_rotation::{ConsumerId, Kinds, Which};
use keyroll_secret::{Fields, SecretBytes};
use keyroll_testkit::alphanumeric;
use serde_json::json;

use super::*;
use crate::host::sample::{host, key, pods};
use crate::recorded::{Recorded, path};

/// When pods were made: before the Secret was changed, at 10:00, and long after it.
const BEFORE: &str = "2026-07-01T09:30:00Z";
const AFTER: &str = "2026-07-01T11:00:00Z";

fn secret(version: &str, value: &str) -> Value {
    let written = json!({
        "manager": "keyroll", "operation": "Update", "apiVersion": "v1", "time": "2026-07-01T10:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:key": {} } },
    });
    let metadata = json!({
        "name": "api", "uid": "uid-of-api", "resourceVersion": version, "creationTimestamp": "2026-07-01T09:00:00Z",
        "managedFields": [written],
    });
    let value = k8s_openapi::ByteString(value.as_bytes().to_vec());
    json!({ "metadata": metadata, "type": "Opaque", "data": { "key": value } })
}

fn spec(env: &Value) -> Value {
    json!({ "containers": [{ "name": "app", "env": env["env"], "envFrom": env["envFrom"] }] })
}

fn variable() -> Value {
    let from = json!({ "secretKeyRef": { "name": "api", "key": "key" } });
    json!({ "env": [{ "name": "KEY", "valueFrom": from }], "envFrom": [] })
}

fn owner(kind: &str, name: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name, "controller": true }])
}

fn pod(name: &str, made: &str, env: &Value) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": name, "creationTimestamp": made, "ownerReferences": owner("ReplicaSet", "agent-1"),
        },
        "spec": spec(env),
        "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{
                "name": "app", "ready": true, "restartCount": 0, "image": "i", "imageID": "i",
                "state": { "running": { "startedAt": made } },
            }],
        },
    })
}

/// Deployment `agent` with one pod, which was made at this time. Each pod takes the key like this.
fn agent(recorded: &Recorded, made: &str, env: &Value) {
    let template = json!({ "metadata": { "labels": { "app": "agent" } }, "spec": spec(env) });
    let labels = json!({ "matchLabels": { "app": "agent" } });
    let deployment = json!({
        "metadata": { "name": "agent", "uid": "agent", "generation": 2, "creationTimestamp": "2026-07-01T09:10:00Z" },
        "spec": { "replicas": 1, "selector": labels, "template": template },
        "status": {
            "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        },
    });
    let mut hashed = template;
    hashed["metadata"]["labels"]["pod-template-hash"] = json!("1");
    let set = json!({
        "metadata": {
            "name": "agent-1", "uid": "agent-1", "creationTimestamp": made, "ownerReferences": owner("Deployment", "agent"),
        },
        "spec": { "replicas": 1, "selector": labels, "template": hashed },
    });
    recorded.answers(&format!("{}/agent", path("apis/apps/v1/deployments")), &[(200, deployment.clone())]);
    recorded.lists("apis/apps/v1/deployments", &[deployment]);
    recorded.lists("apis/apps/v1/replicasets", &[set]);
    recorded.lists("api/v1/pods", &[pod("agent-1-x", made, env)]);
}

/// A namespace with the Secret, of this value, and with `agent`.
fn shop(made: &str, env: &Value, value: &str) -> Recorded {
    let recorded = Recorded::new();
    recorded.lists("api/v1/secrets", &[secret("7", value)]);
    recorded.answers(&own_secret(), &[(200, secret("7", value))]);
    agent(&recorded, made, env);
    recorded
}

fn own_secret() -> String {
    format!("{}/api", path("api/v1/secrets"))
}

/// What the main path of each instance shows for the new version.
async fn shown(host: &ClusterHost, new: &str) -> Vec<Kinds> {
    let fields = |text: &str| Fields::single(SecretBytes::from(text.to_owned()));
    let (old, new) = (fields(&alphanumeric(24)), fields(new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let of = Proving { consumer: ConsumerId(0), slot: None, which: Which::New, values, watched: true };
    let prepared = host.begin_evidence(of).await;
    let proofs = host.end_evidence(prepared, of).evidence.unwrap().proofs;
    proofs.iter().map(|proof| proof.paths[0]).collect()
}

fn loaded() -> Kinds {
    Kinds::DELIVERED.and(Kinds::LOADED)
}

#[tokio::test]
async fn evidence_asks_for_one_consumer_after_one_whole_look() {
    let value = alphanumeric(24);
    let recorded = shop(AFTER, &variable(), &value);
    let host = host(&recorded, key(), vec![pods()]);
    assert_eq!(shown(&host, &value).await, [loaded()]);
    let before = recorded.asked().len();
    assert_eq!(shown(&host, &value).await, [loaded()]);
    let wanted = [
        format!("{}/agent", path("apis/apps/v1/deployments")),
        own_secret(),
        path("apis/apps/v1/replicasets"),
        path("api/v1/pods"),
        own_secret(),
    ];
    assert_eq!(recorded.asked()[before..], wanted);
}

#[tokio::test]
async fn a_pod_of_before_the_change_shows_nothing() {
    let value = alphanumeric(24);
    let recorded = shop(BEFORE, &variable(), &value);
    let host = host(&recorded, key(), vec![pods()]);
    assert_eq!(shown(&host, &value).await, [Kinds::NONE]);
}

#[tokio::test]
async fn a_secret_that_is_written_while_the_pods_are_read_makes_no_pod_current() {
    let value = alphanumeric(24);
    let recorded = shop(AFTER, &variable(), &value);
    let host = host(&recorded, key(), vec![pods()]);
    assert_eq!(shown(&host, &value).await, [loaded()]);
    recorded.answers(&own_secret(), &[(200, secret("8", &value)), (200, secret("9", &value))]);
    assert_eq!(shown(&host, &value).await, [Kinds::NONE]);
    assert_eq!(shown(&host, &value).await, [loaded()], "it is as it was before the pods were read");
}

#[tokio::test]
async fn a_secret_that_is_younger_than_a_pod_of_somebody_else_makes_no_pod_current() {
    let value = alphanumeric(24);
    let recorded = shop(AFTER, &variable(), &value);
    let mut other = pod("other", "2026-07-01T08:00:00Z", &variable());
    other["metadata"]["ownerReferences"] = json!([]);
    recorded.lists("api/v1/pods", &[pod("agent-1-x", AFTER, &variable()), other]);
    let host = host(&recorded, key(), vec![pods()]);
    assert_eq!(shown(&host, &value).await, [Kinds::NONE]);
    // The pod is gone, and nothing is known of an earlier Secret.
    recorded.lists("api/v1/pods", &[pod("agent-1-x", AFTER, &variable())]);
    assert_eq!(shown(&host, &value).await, [loaded()]);
}

#[tokio::test]
async fn a_secret_that_was_made_anew_since_is_not_taken_for_the_first_one() {
    let value = alphanumeric(24);
    let recorded = shop(AFTER, &variable(), &value);
    let host = host(&recorded, key(), vec![pods()]);
    assert_eq!(shown(&host, &value).await, [loaded()]);
    let mut anew = secret("9", &value);
    anew["metadata"]["uid"] = json!("another");
    anew["metadata"]["creationTimestamp"] = json!("2026-07-01T10:00:00Z");
    recorded.lists("api/v1/secrets", &[anew.clone()]);
    recorded.answers(&own_secret(), &[(200, anew)]);
    // What makes a pod of before it shows itself in the whole look.
    let set = json!({
        "metadata": { "name": "batch", "uid": "batch", "creationTimestamp": BEFORE },
        "spec": { "selector": {}, "serviceName": "batch", "template": { "metadata": {}, "spec": spec(&variable()) } },
    });
    recorded.lists("apis/apps/v1/statefulsets", &[set]);
    assert_eq!(shown(&host, &value).await, [Kinds::NONE]);
}

#[tokio::test]
async fn a_variable_that_a_config_map_gives_instead_is_no_evidence() {
    let value = alphanumeric(24);
    let sources = json!([{ "secretRef": { "name": "api" } }, { "configMapRef": { "name": "settings" } }]);
    let env = json!({ "env": [], "envFrom": sources });
    let recorded = shop(AFTER, &env, &value);
    let host = host(&recorded, key(), vec![pods()]);
    assert_eq!(shown(&host, &value).await, [loaded()], "there is no such ConfigMap");
    let settings = json!({ "metadata": { "name": "settings" }, "data": { "key": "other" } });
    recorded.lists("api/v1/configmaps", &[settings]);
    assert!(shown(&host, &value).await.is_empty(), "it gives the variable");
}

#[tokio::test]
async fn where_an_object_may_not_be_read_by_its_name_the_whole_namespace_is_looked_at() {
    let value = alphanumeric(24);
    let recorded = shop(AFTER, &variable(), &value);
    recorded.answers(&own_secret(), &[(403, crate::recorded::status(403, "forbidden"))]);
    let host = host(&recorded, key(), vec![pods()]);
    assert!(host.see_own(&host.setup.consumers[0], Purpose::Evidence).await.unwrap().is_none());
    assert_eq!(shown(&host, &value).await, [loaded()]);
}

#[tokio::test]
async fn what_a_roll_out_makes_live_is_seen_without_the_rest_of_the_namespace() {
    let value = alphanumeric(24);
    let mut env = variable();
    let from = json!({ "configMapKeyRef": { "name": "settings", "key": "level" } });
    env["env"].as_array_mut().unwrap().push(json!({ "name": "LEVEL", "valueFrom": from }));
    let recorded = shop(BEFORE, &env, &value);
    let written = json!({
        "manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "time": "2026-07-01T10:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:level": {} } },
    });
    let metadata = json!({
        "name": "settings", "resourceVersion": "3", "creationTimestamp": "2026-07-01T08:00:00Z", "managedFields": [written],
    });
    recorded.lists("api/v1/configmaps", &[json!({ "metadata": metadata, "data": { "level": "debug" } })]);
    let host = host(&recorded, key(), vec![pods()]);
    let (pending, own) = host.pending_of(&host.setup.consumers[0]).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert!(pending[0].what.starts_with("configmap/settings level "), "{}", pending[0].what);
    assert!(own.unwrap().secret_with(&key()).is_some());
    assert_eq!(recorded.count(&path("apis/apps/v1/statefulsets")), 0);
}
