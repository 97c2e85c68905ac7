//! What a probe is made of: a Job with one container like that of the consumer, and a Secret of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_config::WorkloadKind;
use keyroll_secret::SecretBytes;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::template::pod_spec;
use crate::marks::PROBE;

/// How long a Job that has ended is kept, seconds.
pub(super) const KEPT_S: u64 = 300;

/// What a probe has of the template's pod. Its name, its labels and its other containers are absent: no Service may send
/// anything to a probe, and no controller may count it.
const OF_POD: [&str; 13] = [
    "serviceAccountName",
    "automountServiceAccountToken",
    "imagePullSecrets",
    "securityContext",
    "volumes",
    "nodeSelector",
    "tolerations",
    "runtimeClassName",
    "priorityClassName",
    "hostNetwork",
    "hostAliases",
    "dnsPolicy",
    "dnsConfig",
];

/// What it has of the container.
const OF_CONTAINER: [&str; 9] = [
    "name",
    "image",
    "imagePullPolicy",
    "workingDir",
    "env",
    "envFrom",
    "volumeMounts",
    "securityContext",
    "resources",
];

/// One Job of a probe.
pub(super) struct ProbeJob<'a> {
    /// The name of the Job and of its Secret.
    pub(super) name: &'a str,
    /// The rotation's id.
    pub(super) rotation: &'a str,
    /// What runs the pods of the consumer.
    pub(super) kind: WorkloadKind,
    /// The container of the consumer; none: the first one that takes the Secret.
    pub(super) container: Option<&'a str>,
    /// Whether a Secret of this name holds the key.
    pub(super) is_key: &'a (dyn Fn(&str) -> bool + Sync),
    /// The check.
    pub(super) command: &'a [String],
    /// How long it may run, seconds.
    pub(super) seconds_max: u64,
}

/// The Job, which does not begin yet; `None`: the workload has no such container.
pub(super) fn probe_job(workload: &Value, of: &ProbeJob<'_>) -> Option<Value> {
    let spec = workload.pointer(pod_spec(of.kind))?;
    let mut container = picked(container(spec, of)?, &OF_CONTAINER);
    let mut pod = picked(spec, &OF_POD);
    let before = before(spec, container.get("name"));
    let command: Vec<String> = of.command.iter().map(|word| literal(word)).collect();
    container.insert("command".to_owned(), json!(command));
    container.insert("args".to_owned(), json!([]));
    pod.insert("initContainers".to_owned(), Value::Array(before));
    pod.insert("containers".to_owned(), json!([container]));
    pod.insert("restartPolicy".to_owned(), json!("Never"));
    add_claims(workload, &mut pod);
    // A pod that must not run on some nodes must not do so here, either; where its other pods are does not matter.
    if let Some(affinity) = spec.pointer("/affinity/nodeAffinity") {
        pod.insert("affinity".to_owned(), json!({ "nodeAffinity": affinity }));
    }
    let mut pod = Value::Object(pod);
    rename(&mut pod, of.is_key, of.name);
    Some(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": of.name, "labels": labels(of.rotation) },
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "activeDeadlineSeconds": of.seconds_max.max(1),
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {
                "metadata": {
                    "labels": labels(of.rotation),
                    // A proxy beside the check would keep the Job from ending.
                    "annotations": { "sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled" },
                },
                "spec": pod,
            },
        },
    }))
}

/// The labels of all that a probe is made of, and no others.
fn labels(rotation: &str) -> Value {
    json!({ PROBE: rotation, "app.kubernetes.io/managed-by": "keyroll" })
}

/// These fields of an object, where it has them.
fn picked(object: &Value, fields: &[&str]) -> Map<String, Value> {
    let field = |name: &&str| Some(((*name).to_owned(), object.get(*name)?.clone()));
    fields.iter().filter_map(field).collect()
}

/// A word of a command as a container has to be given it, so that the kubelet puts no variable into it. Source:
/// <https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/#use-environment-variables-to-define-arguments>.
fn literal(word: &str) -> String {
    word.replace('$', "$$")
}

/// The containers of a list of the pod.
fn listed<'s>(spec: &'s Value, list: &str) -> impl Iterator<Item = &'s Value> {
    spec.get(list).and_then(Value::as_array).into_iter().flatten()
}

/// The container of the consumer.
fn container<'s>(spec: &'s Value, of: &ProbeJob<'_>) -> Option<&'s Value> {
    let Some(name) = of.container else {
        let takes = |one: &&Value| takes(one, spec, of);
        return listed(spec, "containers").find(takes).or_else(|| listed(spec, "containers").next());
    };
    let is_it = |one: &&Value| one.get("name").and_then(Value::as_str) == Some(name);
    listed(spec, "containers").chain(listed(spec, "initContainers")).find(is_it)
}

/// Whether a container takes something of the Secret.
fn takes(container: &Value, spec: &Value, of: &ProbeJob<'_>) -> bool {
    let names = |part: &Value| rename(&mut part.clone(), of.is_key, of.name) > 0;
    let mut mounts = listed(container, "volumeMounts").filter_map(|mount| mount.get("name"));
    let mounted =
        |name: &Value| listed(spec, "volumes").any(|one| one.get("name") == Some(name) && names(one));
    names(container) || mounts.any(mounted)
}

/// The containers that begin before this one, which may write what it reads. Of a container that goes on beside the others
/// the start is waited for; nothing else asks whether it is ready, and no port of its node is taken.
fn before(spec: &Value, container: Option<&Value>) -> Vec<Value> {
    let mut all = Vec::new();
    for one in listed(spec, "initContainers") {
        if container.is_some() && one.get("name") == container {
            break;
        }
        let mut one = one.clone();
        if let Some(fields) = one.as_object_mut() {
            for left_out in ["livenessProbe", "readinessProbe", "lifecycle"] {
                fields.remove(left_out);
            }
        }
        let ports = one.get_mut("ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
            port.remove("hostPort");
        }
        all.push(one);
    }
    all
}

/// Each pod of a StatefulSet has volumes of its own; a probe has empty ones in their places.
fn add_claims(workload: &Value, pod: &mut Map<String, Value>) {
    let claims = workload.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let names = claims.into_iter().flatten().filter_map(|claim| claim.pointer("/metadata/name"));
    let empty: Vec<Value> = names.map(|name| json!({ "name": name, "emptyDir": {} })).collect();
    if !empty.is_empty()
        && let Some(volumes) = pod.entry("volumes").or_insert_with(|| json!([])).as_array_mut()
    {
        volumes.extend(empty);
    }
}

/// Gives another name to every Secret that holds the key. How many there were.
fn rename(value: &mut Value, is_key: &dyn Fn(&str) -> bool, name: &str) -> usize {
    match value {
        Value::Object(fields) => {
            let mut count = 0;
            for (field, inner) in fields.iter_mut() {
                let places: &[&str] = match field.as_str() {
                    "secretKeyRef" | "secretRef" | "nodePublishSecretRef" => &["name"],
                    "secret" => &["name", "secretName"],
                    "azureFile" => &["secretName"],
                    _ => &[],
                };
                for place in places {
                    if let Some(Value::String(text)) = inner.get_mut(*place)
                        && is_key(text)
                    {
                        name.clone_into(text);
                        count += 1;
                    }
                }
                count += rename(inner, is_key, name);
            }
            count
        }
        Value::Array(all) => all.iter_mut().map(|one| rename(one, is_key, name)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The Secret of a Job, which the cluster removes with it. Its text is only here.
pub(super) fn probe_secret<'d>(
    (name, uid): (&str, &str),
    rotation: &str,
    data: impl Iterator<Item = (&'d str, &'d SecretBytes)> + Clone,
) -> Zeroizing<Vec<u8>> {
    let head = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": labels(rotation),
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid }],
        },
        "type": "Opaque",
        "immutable": true,
        "data": {},
    });
    // A text that grows would leave copies behind in freed memory.
    let coded = |value: &SecretBytes| value.len().div_ceil(3).saturating_mul(4);
    let length: usize = data.clone().map(|(key, value)| key.len() + coded(value) + 8).sum();
    let head = head.to_string();
    let (start, end) = head.split_once("\"data\":{}").unwrap_or((&head, ""));
    let mut text = Zeroizing::new(String::with_capacity(head.len() + length + 16));
    text.push_str(start);
    text.push_str("\"data\":{");
    for ((key, value), comma) in data.zip(std::iter::once("").chain(std::iter::repeat(","))) {
        // The key of a Secret has only letters, digits, `-`, `_` and `.`.
        text.extend([comma, "\"", key, "\":\""]);
        STANDARD.encode_string(value.expose(), &mut text);
        text.push('"');
    }
    text.push('}');
    text.push_str(end);
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "keyroll-probe-0123456789-abcdef";

    fn of<'a>(kind: WorkloadKind, container: Option<&'a str>, command: &'a [String]) -> ProbeJob<'a> {
        let is_key: &(dyn Fn(&str) -> bool + Sync) = &|name: &str| name == "api" || name == "api-00112233aa";
        ProbeJob { name: NAME, rotation: "r-1", kind, container, is_key, command, seconds_max: 120 }
    }

    /// A pod that takes the Secret `api` in every way, and `other` beside it.
    fn spec() -> Value {
        json!({
            "serviceAccountName": "agent",
            "nodeName": "n-1",
            "hostNetwork": true,
            "hostAliases": [{ "ip": "10.0.0.1", "hostnames": ["api"] }],
            "imagePullSecrets": [{ "name": "api" }],
            "affinity": { "nodeAffinity": { "x": 1 }, "podAntiAffinity": { "y": 1 } },
            "initContainers": [
                { "name": "fetch", "env": [{ "name": "K", "valueFrom": { "secretKeyRef": { "name": "api", "key": "k" } } }] },
                {
                    "name": "proxy",
                    "restartPolicy": "Always",
                    "ports": [{ "name": "http", "containerPort": 80, "hostPort": 80 }],
                    "startupProbe": { "httpGet": { "port": "http" } },
                    "readinessProbe": { "httpGet": { "port": "http" } },
                },
            ],
            "containers": [
                { "name": "first", "image": "first:1" },
                {
                    "name": "app",
                    "image": "app:1",
                    "command": ["/serve"],
                    "args": ["--all"],
                    "ports": [{ "containerPort": 80 }],
                    "livenessProbe": {},
                    "lifecycle": {},
                    "workingDir": "/srv",
                    "env": [
                        { "name": "K", "valueFrom": { "secretKeyRef": { "name": "api", "key": "k" } } },
                        { "name": "O", "valueFrom": { "secretKeyRef": { "name": "other", "key": "k" } } },
                        { "name": "V", "valueFrom": { "secretKeyRef": { "name": "api-00112233aa", "key": "k" } } },
                        { "name": "TEXT", "value": "api" },
                    ],
                    "envFrom": [{ "secretRef": { "name": "api" } }, { "configMapRef": { "name": "api" } }],
                    "volumeMounts": [{ "name": "key", "mountPath": "/key" }],
                },
            ],
            "volumes": [
                { "name": "key", "secret": { "secretName": "api" } },
                { "name": "more", "projected": { "sources": [{ "secret": { "name": "api" } }, { "secret": { "name": "other" } }] } },
            ],
        })
    }

    fn workload() -> Value {
        let labels = json!({ "app": "agent" });
        json!({ "spec": { "template": { "metadata": { "labels": labels, "annotations": { "a": "b" } }, "spec": spec() } } })
    }

    fn made(container: Option<&str>) -> Value {
        let command = ["/check".to_owned(), "$(K) $HOME".to_owned()];
        probe_job(&workload(), &of(WorkloadKind::Deployment, container, &command)).unwrap()
    }

    #[test]
    fn a_probe_has_no_label_by_which_a_service_could_find_it() {
        let job = made(Some("app"));
        let labels = json!({ "keyroll.dev/probe": "r-1", "app.kubernetes.io/managed-by": "keyroll" });
        assert_eq!(job["metadata"]["labels"], labels);
        let template = &job["spec"]["template"];
        assert_eq!(template["metadata"]["labels"], labels);
        assert_eq!(template["metadata"]["annotations"]["linkerd.io/inject"], "disabled");
        assert!(template["metadata"]["annotations"].get("a").is_none());
    }

    #[test]
    fn a_probe_does_not_begin_by_itself_and_runs_once() {
        let spec = &made(Some("app"))["spec"];
        assert_eq!(spec["suspend"], true);
        assert_eq!(spec["backoffLimit"], 0);
        assert_eq!(spec["activeDeadlineSeconds"], 120);
        assert_eq!(spec["ttlSecondsAfterFinished"], 300);
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
    }

    #[test]
    fn every_reference_to_the_secret_is_to_the_probes_own_and_no_other_one() {
        let pod = &made(Some("app"))["spec"]["template"]["spec"];
        let app = &pod["containers"][0];
        assert_eq!(app["env"][0]["valueFrom"]["secretKeyRef"], json!({ "name": NAME, "key": "k" }));
        assert_eq!(app["env"][1]["valueFrom"]["secretKeyRef"]["name"], "other");
        assert_eq!(app["env"][2]["valueFrom"]["secretKeyRef"]["name"], NAME);
        assert_eq!(app["env"][3]["value"], "api");
        assert_eq!(app["envFrom"][0]["secretRef"]["name"], NAME);
        assert_eq!(app["envFrom"][1]["configMapRef"]["name"], "api");
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], NAME);
        assert_eq!(pod["volumes"][1]["projected"]["sources"][0]["secret"]["name"], NAME);
        assert_eq!(pod["volumes"][1]["projected"]["sources"][1]["secret"]["name"], "other");
        assert_eq!(pod["initContainers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"], NAME);
        assert_eq!(pod["imagePullSecrets"][0]["name"], "api", "an image is pulled with what is there");
    }

    #[test]
    fn a_probe_runs_the_check_where_the_program_would_run() {
        let pod = &made(Some("app"))["spec"]["template"]["spec"];
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
        let app = pod["containers"][0].as_object().unwrap();
        assert_eq!(app["image"], "app:1");
        assert_eq!(app["workingDir"], "/srv");
        assert_eq!(app["command"], json!(["/check", "$$(K) $$HOME"]), "the kubelet puts nothing into it");
        assert_eq!(app["args"], json!([]));
        for left_out in ["ports", "livenessProbe", "lifecycle"] {
            assert!(!app.contains_key(left_out), "{left_out}");
        }
        assert_eq!(pod["serviceAccountName"], "agent");
        assert_eq!(pod["hostNetwork"], true);
        assert_eq!(pod["hostAliases"][0]["ip"], "10.0.0.1");
        assert!(pod.get("nodeName").is_none());
        assert_eq!(pod["affinity"], json!({ "nodeAffinity": { "x": 1 } }));
    }

    #[test]
    fn what_prepares_the_pod_runs_before_and_takes_no_port_of_the_node() {
        let all = made(Some("app"))["spec"]["template"]["spec"]["initContainers"].clone();
        let proxy = all[1].as_object().unwrap();
        assert_eq!(proxy["ports"], json!([{ "name": "http", "containerPort": 80 }]));
        assert!(proxy.contains_key("startupProbe") && !proxy.contains_key("readinessProbe"));
        let of_proxy = made(Some("proxy"))["spec"]["template"]["spec"].clone();
        assert_eq!(of_proxy["initContainers"].as_array().unwrap().len(), 1, "only what begins before it");
        assert!(of_proxy["containers"][0].get("restartPolicy").is_none());
    }

    #[test]
    fn without_a_name_the_container_is_the_one_that_takes_the_secret() {
        assert_eq!(made(None)["spec"]["template"]["spec"]["containers"][0]["name"], "app");
        let command = ["/check".to_owned()];
        let mounted = json!({ "spec": {
            "containers": [{ "name": "one" }, { "name": "two", "volumeMounts": [{ "name": "v" }] }],
            "volumes": [{ "name": "v", "secret": { "secretName": "api" } }],
        }});
        let job = probe_job(&mounted, &of(WorkloadKind::Pod, None, &command)).unwrap();
        assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["name"], "two");
        assert!(probe_job(&workload(), &of(WorkloadKind::Deployment, Some("none"), &command)).is_none());
    }

    #[test]
    fn the_template_is_where_the_kind_has_it() {
        let command = ["/check".to_owned()];
        let job = |kind, workload: Value| probe_job(&workload, &of(kind, Some("app"), &command));
        let inner = json!({ "spec": { "template": { "spec": spec() } } });
        let cron = json!({ "spec": { "jobTemplate": inner } });
        assert!(job(WorkloadKind::CronJob, cron.clone()).is_some());
        assert!(job(WorkloadKind::Deployment, cron).is_none());
        assert!(job(WorkloadKind::Pod, json!({ "spec": spec() })).is_some());
        let mut set = workload();
        set["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" } }]);
        let set = job(WorkloadKind::StatefulSet, set).unwrap();
        assert_eq!(set["spec"]["template"]["spec"]["volumes"][2], json!({ "name": "data", "emptyDir": {} }));
    }

    #[test]
    fn the_secret_of_a_probe_belongs_to_its_job_and_never_changes() {
        let values = [SecretBytes::from("one".to_owned()), SecretBytes::new(vec![0, 255])];
        let data = ["a.b", "k"].into_iter().zip(&values);
        let body = probe_secret((NAME, "u-1"), "r-1", data);
        let secret: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(secret["data"], json!({ "a.b": STANDARD.encode("one"), "k": STANDARD.encode([0, 255]) }));
        assert_eq!((&secret["immutable"], &secret["type"]), (&json!(true), &json!("Opaque")));
        let owner = &secret["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["name"], &owner["uid"]),
            (&json!("Job"), &json!(NAME), &json!("u-1"))
        );
        let empty = probe_secret((NAME, "u-1"), "r-1", std::iter::empty());
        assert_eq!(serde_json::from_slice::<Value>(&empty).unwrap()["data"], json!({}));
    }
}
