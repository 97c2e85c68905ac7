//! Objects as an API server shows them, with all that a real one has: who wrote which field, conditions, addresses, images.

use keyroll_testkit::alphanumeric;
use serde_json::{Map, Value, json};

/// The namespace of all of them.
pub(crate) const NAMESPACE: &str = "shop";

/// When the Secrets were changed last, and when the pods of before and after were made.
const CHANGED: &str = "2026-07-01T10:00:00Z";
const BEFORE: &str = "2026-07-01T09:30:00Z";
const AFTER: &str = "2026-07-01T11:00:00Z";

/// What a service is told of each of its parts, and of which parts.
const PARTS: [&str; 6] = ["HTTP", "GRPC", "DATABASE", "CACHE", "QUEUE", "TRACING"];
const SETTINGS: [&str; 6] = ["HOST", "PORT", "TIMEOUT_MS", "POOL_SIZE", "RETRIES", "LOG_LEVEL"];

/// Every so many services have a credential as a text in their template.
const TEXT_EACH: usize = 25;

/// An id, as every object has one.
pub(crate) fn uid(kind: usize, at: usize) -> String {
    format!("{kind:08x}-4711-4e2b-9c1d-{at:012x}")
}

fn service(at: usize) -> String {
    format!("service-{at:03}")
}

fn secret_name(at: usize) -> String {
    format!("credentials-{at:03}")
}

fn replicas_name(at: usize) -> String {
    format!("{}-6d5f7c9b8", service(at))
}

/// Who wrote these fields.
fn managed(manager: &str, time: &str, part: Option<&str>, fields: Value) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
    });
    entry["fieldsV1"] = fields;
    if let Some(part) = part {
        entry["subresource"] = json!(part);
    }
    entry
}

/// A Secret with three keys, which was patched.
pub(crate) fn secret(at: usize) -> Value {
    let coded = |text: String| json!(k8s_openapi::ByteString(text.into_bytes()));
    let key = |name: &str| (format!("f:{name}"), json!({}));
    let keys: Map<String, Value> = ["api-key", "password", "url"].into_iter().map(key).collect();
    let made = managed("kubectl-create", BEFORE, None, json!({ "f:data": keys.clone(), "f:type": {} }));
    let patched = managed("kubectl-patch", CHANGED, None, json!({ "f:data": keys }));
    json!({
        "metadata": {
            "name": secret_name(at), "namespace": NAMESPACE, "uid": uid(1, at), "resourceVersion": "4711",
            "creationTimestamp": "2026-06-01T08:00:00Z",
            "labels": { "app.kubernetes.io/part-of": NAMESPACE, "app.kubernetes.io/managed-by": "people" },
            "managedFields": [made, patched],
        },
        "type": "Opaque",
        "data": {
            "api-key": coded(alphanumeric(40)),
            "password": coded(alphanumeric(24)),
            "url": coded(format!("postgres://app:{}@database-{at}.shop.svc:5432/orders", alphanumeric(24))),
        },
    })
}

/// The variables of a service: many texts, and two keys of Secrets.
fn variables(at: usize, secrets: usize) -> Vec<Value> {
    let setting = |part: &str, name: &str| match name {
        "HOST" => format!("{}-{at}.{NAMESPACE}.svc.cluster.local", part.to_lowercase()),
        "LOG_LEVEL" => "info".to_owned(),
        _ => (at + name.len()).to_string(),
    };
    let text = |name: String, value: String| json!({ "name": name, "value": value });
    let from = |name: &str, secret: usize, key: &str| {
        let key = json!({ "name": secret_name(secret % secrets), "key": key });
        json!({ "name": name, "valueFrom": { "secretKeyRef": key } })
    };
    let mut all: Vec<Value> = PARTS
        .iter()
        .flat_map(|part| SETTINGS.iter().map(move |name| text(format!("{part}_{name}"), setting(part, name))))
        .collect();
    all.push(from("API_KEY", at, "api-key"));
    all.push(from("DATABASE_PASSWORD", at + 1, "password"));
    let field = json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } });
    all.push(json!({ "name": "POD_IP", "valueFrom": field }));
    if at.is_multiple_of(TEXT_EACH) {
        all.push(text("LEGACY_API_TOKEN".to_owned(), alphanumeric(32)));
    }
    all
}

/// The specification of a service's pods: the service, and a proxy beside it.
pub(crate) fn pod_spec(at: usize, secrets: usize) -> Value {
    let probe = json!({
        "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" },
        "initialDelaySeconds": 5, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    });
    let resources = json!({ "requests": { "cpu": "100m", "memory": "256Mi" }, "limits": { "cpu": "1", "memory": "512Mi" } });
    let account = json!({
        "name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    });
    let service = json!({
        "name": "app", "image": format!("registry.example/{}:1.{at}.0", service(at)), "imagePullPolicy": "IfNotPresent",
        "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
        "env": variables(at, secrets), "resources": resources, "livenessProbe": probe, "readinessProbe": probe,
        "volumeMounts": [account, { "name": "credentials", "mountPath": "/etc/credentials", "readOnly": true }],
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true },
    });
    let proxy = json!({
        "name": "proxy", "image": "registry.example/proxy:2.4.1", "imagePullPolicy": "IfNotPresent",
        "args": ["proxy", "--log-level=info", "--concurrency=2"],
        "env": (0..8).map(|at| json!({ "name": format!("PROXY_{at}"), "value": "on" })).collect::<Vec<_>>(),
        "resources": resources, "readinessProbe": probe, "volumeMounts": [account],
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    });
    let token = json!({ "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } });
    let url = json!({ "key": "url", "path": "url" });
    json!({
        "volumes": [
            { "name": "kube-api-access", "projected": { "sources": [token], "defaultMode": 420 } },
            { "name": "credentials", "secret": { "secretName": secret_name((at + 2) % secrets), "items": [url] } },
        ],
        "containers": [service, proxy], "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst", "serviceAccountName": "default", "serviceAccount": "default",
        "securityContext": { "runAsUser": 1000, "fsGroup": 1000 }, "schedulerName": "default-scheduler",
    })
}

/// Who wrote the containers of a specification, each variable by its name.
fn fields_of(spec: &Value) -> Value {
    let name = |one: &Value| format!("k:{{\"name\":{}}}", one["name"]);
    let variable = |one: &Value| (name(one), json!({ ".": {}, "f:name": {}, "f:value": {} }));
    let container = |one: &Value| {
        let env: Map<String, Value> = one["env"].as_array().unwrap().iter().map(variable).collect();
        let fields = json!({
            ".": {}, "f:env": env, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
            "f:resources": { ".": {}, "f:limits": { ".": {}, "f:cpu": {}, "f:memory": {} },
                "f:requests": { ".": {}, "f:cpu": {}, "f:memory": {} } },
            "f:readinessProbe": { ".": {}, "f:failureThreshold": {}, "f:httpGet": { ".": {}, "f:path": {}, "f:port": {} },
                "f:periodSeconds": {}, "f:successThreshold": {}, "f:timeoutSeconds": {} },
            "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}, "f:volumeMounts": { ".": {} },
        });
        (name(one), fields)
    };
    let containers: Map<String, Value> =
        spec["containers"].as_array().unwrap().iter().map(container).collect();
    json!({
        "f:containers": containers, "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {},
        "f:securityContext": { ".": {}, "f:fsGroup": {}, "f:runAsUser": {} }, "f:terminationGracePeriodSeconds": {},
        "f:volumes": { ".": {} },
    })
}

fn labels(at: usize) -> Value {
    json!({
        "app.kubernetes.io/name": service(at), "app.kubernetes.io/part-of": NAMESPACE,
        "app.kubernetes.io/version": format!("1.{at}.0"), "pod-template-hash": "6d5f7c9b8",
    })
}

/// That this object made another one.
fn maker(kind: &str, name: &str, uid: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true }])
}

/// A pod of a service; every second one is older than the change of its Secrets.
pub(crate) fn pod(at: usize, number: usize, spec: &Value) -> Value {
    let made = if number.is_multiple_of(2) { BEFORE } else { AFTER };
    let number = at * 100 + number;
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": made });
    let kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let status = |name: &str| {
        json!({
            "name": name, "ready": true, "started": true, "restartCount": 0, "lastState": {},
            "state": { "running": { "startedAt": made } }, "image": format!("registry.example/{name}:1"),
            "imageID": format!("registry.example/{name}@sha256:{number:064x}"),
            "containerID": format!("containerd://{number:064x}"),
        })
    };
    let mut spec = spec.clone();
    spec["nodeName"] = json!(format!("worker-{:02}", number % 40));
    let written = json!({
        "f:metadata": { "f:generateName": {}, "f:labels": { ".": {}, "f:app.kubernetes.io/name": {} },
            "f:ownerReferences": { ".": {} } },
        "f:spec": fields_of(&spec),
    });
    let observed = json!({ "f:status": { "f:conditions": { ".": {} }, "f:containerStatuses": {}, "f:hostIP": {}, "f:phase": {},
        "f:podIP": {}, "f:podIPs": { ".": {} }, "f:startTime": {} } });
    json!({
        "metadata": {
            "name": format!("{}-{number:05x}", replicas_name(at)), "generateName": format!("{}-", replicas_name(at)),
            "namespace": NAMESPACE, "uid": uid(2, number), "resourceVersion": "4711", "creationTimestamp": made,
            "labels": labels(at), "ownerReferences": maker("ReplicaSet", &replicas_name(at), &uid(3, at)),
            "managedFields": [
                managed("kube-controller-manager", made, None, written),
                managed("kubelet", made, Some("status"), observed),
            ],
        },
        "spec": spec,
        "status": {
            "phase": "Running", "conditions": kinds.map(condition), "hostIP": "10.0.0.7", "podIP": "10.244.0.7",
            "podIPs": [{ "ip": "10.244.0.7" }], "startTime": made, "qosClass": "Burstable",
            "containerStatuses": [status("app"), status("proxy")],
        },
    })
}

/// The Deployment of a service, which `kubectl apply` made.
pub(crate) fn deployment(at: usize, spec: &Value, replicas: usize) -> Value {
    let own = json!({
        "replicas": replicas, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        "selector": { "matchLabels": { "app.kubernetes.io/name": service(at) } },
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
        "template": { "metadata": { "labels": labels(at) }, "spec": spec },
    });
    let applied = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": service(at) }, "spec": own });
    let written = json!({ "f:spec": { "f:replicas": {}, "f:template": { "f:spec": fields_of(spec) } } });
    json!({
        "metadata": {
            "name": service(at), "namespace": NAMESPACE, "uid": uid(4, at), "resourceVersion": "4711", "generation": 3,
            "creationTimestamp": BEFORE, "labels": labels(at),
            "annotations": {
                "deployment.kubernetes.io/revision": "3",
                "kubectl.kubernetes.io/last-applied-configuration": applied.to_string(),
            },
            "managedFields": [managed("kubectl-client-side-apply", BEFORE, None, written)],
        },
        "spec": own,
        "status": { "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas, "observedGeneration": 3 },
    })
}

/// The ReplicaSet of a service.
pub(crate) fn replica_set(at: usize, spec: &Value, replicas: usize) -> Value {
    let written = json!({ "f:spec": { "f:replicas": {}, "f:template": { "f:spec": fields_of(spec) } } });
    json!({
        "metadata": {
            "name": replicas_name(at), "namespace": NAMESPACE, "uid": uid(3, at), "resourceVersion": "4711",
            "creationTimestamp": BEFORE, "labels": labels(at),
            "annotations": { "deployment.kubernetes.io/desired-replicas": "10", "deployment.kubernetes.io/revision": "3" },
            "ownerReferences": maker("Deployment", &service(at), &uid(4, at)),
            "managedFields": [managed("kube-controller-manager", BEFORE, None, written)],
        },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels(at) },
            "template": { "metadata": { "labels": labels(at) }, "spec": spec },
        },
        "status": { "replicas": replicas, "readyReplicas": replicas, "observedGeneration": 3 },
    })
}
