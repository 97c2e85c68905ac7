//! The same namespace in the real API server: SecretRotations, and Deployments whose pods its own controllers make. Its answers
//! come over TLS, keyroll has the rights of a Role and no more, and everything that really stands in the metadata of a pod is
//! there, but for what a kubelet writes: no node runs them.

use std::collections::BTreeSet;
use std::env;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use keyroll_controller::CRD_YAML;
use keyroll_kube::{Address, connect};
use keyroll_testkit::Kubernetes;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::objects::{self, NAMESPACE};
use crate::server::{self, OBJECTS, PODS, PODS_OF_EACH, PODS_OF_TICK, TICK, TICKS};

/// The service account of keyroll, and its rights.
const ACCOUNT: &str = "keyroll";
const RULES: &str = r#"[
    {apiGroups: [""], resources: [pods], verbs: [list, watch]},
    {apiGroups: [keyroll.dev], resources: [secretrotations], verbs: [get, list, watch]},
    {apiGroups: [keyroll.dev], resources: [secretrotations/status], verbs: [patch, update]}]"#;

/// Raises it, and says the kubeconfig of keyroll and that of everybody else; an empty line where no cluster can run. Then it
/// says for each line of its input how many requests keyroll made, until it ends.
pub(crate) fn serve() {
    if !Kubernetes::is_here_or_skip("a namespace with 5,000 pods in a real API server") {
        println!();
        return;
    }
    let cluster = Kubernetes::control_plane();
    fill(&cluster);
    let login = cluster.kubeconfig_for(ACCOUNT, NAMESPACE);
    println!("{} {}", login.display(), cluster.kubeconfig().display());
    for _ in io::stdin().lines().map_while(Result::ok) {
        println!("{} 0", requests(&cluster));
    }
}

/// Makes all that is in the namespace.
fn fill(cluster: &Kubernetes) {
    cluster.kubectl(&["create", "namespace", NAMESPACE]);
    let default = ["-n", NAMESPACE, "get", "serviceaccount", "default"];
    cluster.wait("the service account of the namespace", || cluster.does(&default));
    cluster.apply(&Kubernetes::service_account(ACCOUNT, NAMESPACE, RULES));
    let user = user();
    let may = ["auth", "can-i", "watch", "pods", "--namespace", NAMESPACE, "--as", &user];
    cluster.wait("the rights of the role", || cluster.does(&may));
    cluster.apply(CRD_YAML);
    let kind = "crd/secretrotations.keyroll.dev";
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=100s", kind]);
    cluster.wait("the kind", || cluster.does(&["-n", NAMESPACE, "get", "secretrotations"]));
    let list = |items: Vec<Value>| json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    cluster.apply(&list((0..OBJECTS).map(|at| bare(&server::object(at))).collect()));
    cluster.apply(&list((0..PODS / PODS_OF_EACH).map(deployment).collect()));
    cluster.wait_late("all pods", || made(cluster) == PODS);
}

/// A Deployment of pods with three containers.
fn deployment(at: usize) -> Value {
    let mut spec = server::spec(at);
    // The scheduler would write into each pod, again and again, that there is no node for it.
    spec["schedulerName"] = json!("nobody");
    let mut object = objects::deployment(at, &spec, PODS_OF_EACH);
    object["apiVersion"] = json!("apps/v1");
    object["kind"] = json!("Deployment");
    bare(&object)
}

/// An object without what an API server gives it.
fn bare(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "spec": object["spec"],
        "metadata": { "name": metadata["name"], "namespace": NAMESPACE, "labels": metadata["labels"] },
    })
}

/// How many pods there are.
fn made(cluster: &Kubernetes) -> usize {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?limit=1");
    let first: Value = serde_json::from_str(&cluster.kubectl(&["get", "--raw", &path])).unwrap();
    let others = first["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
    first["items"].as_array().unwrap().len() + usize::try_from(others).unwrap()
}

/// As whom the API server records keyroll.
fn user() -> String {
    format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}")
}

/// How many requests keyroll made. A watch is recorded when it begins and when it ends.
fn requests(cluster: &Kubernetes) -> usize {
    let (log, user) = (cluster.audit_log(), user());
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = events.filter(|event| event["user"]["username"] == user);
    own.filter_map(|event| event["auditID"].as_str().map(str::to_owned)).collect::<BTreeSet<_>>().len()
}

/// As whom keyroll speaks to it, by what it said at first.
pub(crate) fn login(said: &str) -> Address {
    address(said.split_once(' ').expect("two files").0)
}

fn address(kubeconfig: &str) -> Address {
    Address {
        kubeconfig: Some(PathBuf::from(kubeconfig)),
        namespace: Some(NAMESPACE.to_owned()),
        ..Address::default()
    }
}

/// Has a process of its own change pods and objects, until it has changed all.
pub(crate) fn changed(said: &str) {
    let admin = said.split_once(' ').expect("two files").1;
    let mut command = Command::new(env::current_exe().unwrap());
    assert!(command.args(["change", admin]).status().unwrap().success(), "not everything was changed");
}

/// Changes pods and objects.
pub(crate) async fn change(kubeconfig: &str) {
    let client = connect(&address(kubeconfig)).await.expect("the cluster").client;
    let kind = GroupVersionKind::gvk("keyroll.dev", "v1alpha1", "SecretRotation");
    let kind = ApiResource::from_gvk_with_plural(&kind, "secretrotations");
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &kind);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let listed = pods.list_metadata(&ListParams::default()).await.expect("the pods");
    let names: Vec<String> = listed.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
    assert_eq!(names.len(), PODS);
    let how = PatchParams::default();
    let mut next = Instant::now();
    for tick in 0..TICKS {
        let mark = json!({ "metadata": { "annotations": { "bench": tick.to_string() } } });
        for number in 0..PODS_OF_TICK {
            // Of all workloads, one after the other.
            let name = &names[(tick * PODS_OF_TICK + number) * 7 % PODS];
            pods.patch(name, &how, &Patch::Merge(&mark)).await.expect("a pod is changed");
        }
        let name = format!("secret-{tick:04}");
        let other = json!({ "spec": { "rotate_every": "60d" } });
        objects.patch(&name, &how, &Patch::Merge(&other)).await.expect("an object is changed");
        next += TICK;
        sleep(next.saturating_duration_since(Instant::now())).await;
    }
}
