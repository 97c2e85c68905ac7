//! The objects of a simulated namespace, as the API shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use keyroll_config::WorkloadKind;
use serde_json::{Value, json};

use super::{Drawn, SECRET_MADE, Template, WORKLOAD_MADE, World};
use crate::fake_api::EPOCH;

fn text(at: i64) -> String {
    Timestamp::from_second(EPOCH + at).unwrap().to_string()
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true }])
}

impl World {
    /// The kind of the workload, as the API names it and its list.
    pub(in crate::host) fn kind(&self) -> (&'static str, &'static str) {
        if self.is(WorkloadKind::StatefulSet) {
            ("StatefulSet", "statefulsets")
        } else if self.is(WorkloadKind::DaemonSet) {
            ("DaemonSet", "daemonsets")
        } else {
            ("Deployment", "deployments")
        }
    }

    fn template(&self, number: usize) -> Value {
        let Template { stamp, value } = self.templates[number];
        let secret = value.map_or_else(|| "api".to_owned(), own);
        let variable =
            json!({ "name": "KEY", "valueFrom": { "secretKeyRef": { "name": secret, "key": "key" } } });
        json!({
            "metadata": { "labels": { "app": "agent" }, "annotations": { "stamp": stamp.to_string() } },
            "spec": { "containers": [{ "name": "app", "image": "agent:1", "env": [variable] }] },
        })
    }

    pub(in crate::host) fn workload(&self) -> Value {
        let note = |value| json!({ "version.keyroll.dev/api": format!("r1/{}", own(value)) });
        json!({
            "apiVersion": "apps/v1", "kind": self.kind().0,
            "metadata": {
                "name": "agent", "uid": "w", "generation": self.generation, "resourceVersion": "7",
                "creationTimestamp": text(WORKLOAD_MADE),
                "annotations": self.noted.map_or_else(|| json!({}), note),
            },
            "spec": {
                "replicas": self.replicas, "selector": { "matchLabels": { "app": "agent" } },
                "template": self.template(self.present),
            },
            "status": self.status,
        })
    }

    pub(in crate::host) fn replica_sets(&self) -> Vec<Value> {
        if !self.is(WorkloadKind::Deployment) {
            return Vec::new();
        }
        let set = |(number, (revision, made)): (&usize, &(i64, i64))| {
            let mut template = self.template(*number);
            template["metadata"]["labels"]["pod-template-hash"] = json!(format!("h{number}"));
            let replicas = self.pods.iter().filter(|pod| pod.template == *number && !pod.ending).count();
            json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {
                    "name": format!("agent-h{number}"), "uid": format!("set-{number}"), "labels": { "app": "agent" },
                    "creationTimestamp": text(*made), "ownerReferences": owner("Deployment", "agent", "w"),
                    "annotations": { "deployment.kubernetes.io/revision": revision.to_string() },
                },
                "spec": { "replicas": replicas, "template": template, "selector": {} },
            })
        };
        self.sets.iter().map(set).collect()
    }

    pub(in crate::host) fn pod_objects(&self) -> Vec<Value> {
        self.pods.iter().map(|pod| self.pod(pod)).collect()
    }

    fn pod(&self, pod: &Drawn) -> Value {
        let hash = format!("h{}", pod.template);
        let owner = match self.is(WorkloadKind::Deployment) {
            true => owner("ReplicaSet", &format!("agent-{hash}"), &format!("set-{}", pod.template)),
            false => owner(self.kind().0, "agent", "w"),
        };
        let state = match pod.run {
            Some(run) => json!({ "running": { "startedAt": text(run.at + pod.skew) } }),
            None => json!({ "waiting": { "reason": "ContainerCreating" } }),
        };
        let ready = if pod.ready { "True" } else { "False" };
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": pod.name, "uid": pod.uid, "resourceVersion": "7", "creationTimestamp": text(pod.made),
                "ownerReferences": owner, "labels": { "app": "agent", "controller-revision-hash": hash },
            },
            "spec": self.template(pod.template)["spec"],
            "status": {
                "phase": if pod.run.is_some() { "Running" } else { "Pending" },
                "conditions": [{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": ready }],
                "containerStatuses": [{
                    "name": "app", "image": "agent:1", "imageID": "i", "ready": pod.ready,
                    "restartCount": pod.run.map_or(0, |run| run.restarts), "state": state,
                }],
            },
        });
        if pod.ending {
            object["metadata"]["deletionTimestamp"] = json!(text(self.now));
        }
        object
    }

    pub(in crate::host) fn secrets(&self) -> Vec<Value> {
        let (at, value) = self.contents[self.contents.len() - 1];
        let made = |fields: Value| entry("kubectl-create", SECRET_MADE, &fields);
        let entries = match self.contents.len() {
            1 => vec![made(json!({ "f:data": { ".": {}, "f:key": {} }, "f:type": {} }))],
            _ => vec![
                made(json!({ "f:data": { ".": {} }, "f:type": {} })),
                entry("kubectl-patch", at, &json!({ "f:data": { "f:key": {} } })),
            ],
        };
        let mut all = vec![json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": "api", "uid": "s", "resourceVersion": self.contents.len().to_string(),
                "creationTimestamp": text(SECRET_MADE), "managedFields": entries,
            },
            "data": { "key": STANDARD.encode(&self.values[value]) },
        })];
        for (value, made) in &self.versions {
            let fields = json!({ "f:data": { ".": {}, "f:key": {} }, "f:immutable": {}, "f:type": {} });
            all.push(json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
                "metadata": {
                    "name": own(*value), "uid": format!("s{value}"), "resourceVersion": "7",
                    "creationTimestamp": text(*made), "managedFields": [entry("keyroll", *made, &fields)],
                    "annotations": { "keyroll.dev/version-of": "api" },
                },
                "data": { "key": STANDARD.encode(&self.values[*value]) },
            }));
        }
        all
    }
}

/// The name of the own Secret of a value.
fn own(value: usize) -> String {
    format!("api-{value:010}")
}

fn entry(by: &str, at: i64, fields: &Value) -> Value {
    json!({
        "manager": by, "operation": "Update", "apiVersion": "v1", "time": text(at), "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    })
}
