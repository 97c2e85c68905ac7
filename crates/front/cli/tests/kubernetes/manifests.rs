//! The manifests and the chart of `deploy/kubernetes`: they bring the same objects, a cluster takes them, and a pod of theirs
//! has the files and folders that keyroll needs, with rights that keyroll accepts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use keyroll_testkit::{Helm, Kubernetes, TempDir};
use serde_json::{Deserializer, Value, json};

/// The values of the chart for what `overlay` and `namespace` have.
const SHOP: &str = "namespaces: [{name: shop, files: keyroll-shop, secrets: [openrouter-credentials], \
                    rereads: {deployments: [agent]}}]\n";
/// Those of another namespace, with all that the values may have.
const OTHER: &str = r#"
namespaces:
- name: other
  files: keyroll-other
  stores: ["aws-sm:other/"]
  secrets: [api]
  deployments: [web]
  statefulsets: [db]
  daemonsets: [proxy]
  cronjobs: [nightly]
  jobs: [import]
  check: false
  rules: [{apiGroups: [external-secrets.io], resources: [externalsecrets], verbs: [get, list, patch]}]
config: |
  [schedule]
  window = "any"
serviceAccountAnnotations: {example.com/role: keyroll}
"#;

/// Who the server is, for the API server.
const KEYROLL: &str = "system:serviceaccount:keyroll:keyroll";

/// In place of the server: says what it is given, and makes what the server makes.
const STAND_IN: &str = "
id -u
stat -L -c '%a %u %g %n' /etc/keyroll /etc/keyroll/base.toml /etc/keyroll/tokens/admin /etc/keyroll/namespaces/shop/admin.key
cat /etc/keyroll/base.toml /etc/keyroll/tokens/admin /etc/keyroll/namespaces/shop/admin.key
echo machine $KEYROLL_MACHINE, API server $KUBERNETES_SERVICE_HOST
umask 077
mkdir -p /var/lib/keyroll/state /var/lib/keyroll/config /var/lib/keyroll-keys/keys
[ -e /var/lib/keyroll/state/journal.db ] && echo it was here
echo x >> /var/lib/keyroll/state/journal.db
stat -c '%a %u %g %n' /var/lib/keyroll/state /var/lib/keyroll/state/journal.db
touch /tmp/file && echo /tmp can be written
touch /file || echo nothing else can be written
echo all was said
trap exit TERM
while :; do sleep 1000 & wait; done";

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/kubernetes").join(name)
}

fn shown(name: &str) -> String {
    place(name).display().to_string()
}

fn kustomized(cluster: &Kubernetes, folder: &str) -> String {
    cluster.kubectl(&["kustomize", &shown(folder)])
}

/// What these documents hold, by kind, namespace and name, without the labels of Helm.
fn objects(cluster: &Kubernetes, yaml: &str) -> BTreeMap<String, Value> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("all.yaml");
    fs::write(&file, yaml).unwrap();
    let file = file.display().to_string();
    let labels = ["helm.sh/chart-", "app.kubernetes.io/managed-by-"];
    let words = [&["label", "--local", "-o", "json", "-f", &file][..], &labels].concat();
    let text = cluster.kubectl(&words);
    let all = Deserializer::from_str(&text).into_iter::<Value>().map(Result::unwrap);
    all.map(|one| {
        let of = |member: &str| one["metadata"][member].as_str().unwrap_or_default().to_owned();
        let kind = one["kind"].as_str().unwrap();
        (format!("{kind} {} {}", of("namespace"), of("name")), one)
    })
    .collect()
}

/// With its arrays of objects sorted, whose order means nothing; but a variable may name those before it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(all) => {
            let mut all: Vec<Value> = all.into_iter().map(sorted).collect();
            if all.iter().all(Value::is_object) {
                all.sort_by_cached_key(ToString::to_string);
            }
            Value::Array(all)
        }
        Value::Object(all) => {
            let members = all.into_iter().map(|(name, one)| {
                let one = if name == "env" { one } else { sorted(one) };
                (name, one)
            });
            Value::Object(members.collect())
        }
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => one,
    }
}

#[test]
fn the_chart_has_the_kind_of_the_base() {
    let of = |file: &str| fs::read_to_string(place(file)).unwrap();
    assert_eq!(of("chart/crds/secretrotation.yaml"), of("base/crd.yaml"));
}

#[test]
fn the_chart_renders_the_objects_of_the_base_and_of_a_namespace() {
    let left_out = "the chart beside the manifests";
    if !Kubernetes::is_here_or_skip(left_out) {
        return;
    }
    let Some(helm) = Helm::here_or_skip(left_out) else { return };
    let cluster = Kubernetes::control_plane();
    let chart = shown("chart");
    helm.run(&["lint", "--strict", &chart], None).unwrap();
    let folder = TempDir::new().unwrap();
    let values = folder.path().join("values.yaml").display().to_string();
    for (manifests, text) in [("base", ""), ("overlay", SHOP)] {
        fs::write(&values, text).unwrap();
        let words =
            ["template", "keyroll", &chart, "--namespace=keyroll", "--include-crds", "--values", &values];
        let rendered = [helm.run(&words, None).unwrap(), kustomized(&cluster, manifests)];
        let [mut by_helm, mut by_kubectl] = rendered.map(|yaml| {
            let all = objects(&cluster, &yaml).into_iter();
            all.map(|(name, one)| (name, sorted(one))).collect::<BTreeMap<_, _>>()
        });
        // With Helm it is the caller who makes it.
        assert!(by_kubectl.remove("Namespace  keyroll").is_some(), "{:?}", by_kubectl.keys());
        // Helm brings kinds as they are in the chart.
        let kind = "CustomResourceDefinition  secretrotations.keyroll.dev";
        for all in [&mut by_helm, &mut by_kubectl] {
            all.get_mut(kind).unwrap()["metadata"].as_object_mut().unwrap().remove("labels");
        }
        assert!(by_helm.len() >= 6, "{:?}", by_helm.keys());
        assert_eq!(by_helm, by_kubectl, "{manifests}");
    }
}

#[test]
fn a_cluster_takes_the_manifests_and_the_chart() {
    let left_out = "the manifests in a cluster";
    if !Kubernetes::is_here_or_skip(left_out) {
        return;
    }
    let Some(helm) = Helm::here_or_skip(left_out) else { return };
    let cluster = Kubernetes::control_plane();
    for namespace in ["shop", "other"] {
        cluster.kubectl(&["create", "namespace", namespace]);
    }
    cluster.apply(&kustomized(&cluster, "overlay"));
    // Only pods of the standard `restricted` are made in this namespace.
    let level = "pod-security.kubernetes.io/enforce";
    assert_eq!(cluster.object("keyroll", "namespace/keyroll")["metadata"]["labels"][level], "restricted");
    cluster.wait("its pod", || cluster.does(&["--namespace", "keyroll", "get", "pod", "keyroll-0"]));
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=100s", "crd", "--all"]);
    cluster.apply(&kustomized(&cluster, "example"));
    let object = cluster.object("shop", "secretrotation/openrouter");
    assert_eq!(object["spec"]["consumers"][0]["runs"]["deployment"], "agent");
    let deployment = cluster.object("shop", "deployment/agent");
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
        "/secrets"
    );
    // External Secrets is not in this cluster.
    let external = objects(&cluster, &kustomized(&cluster, "example/external"));
    assert_eq!(external["SecretRotation shop openrouter"]["spec"]["consumers"][0]["synced"], true);
    assert!(external.contains_key("ExternalSecret shop openrouter"), "{:?}", external.keys());

    has_its_rights(&cluster);

    let folder = TempDir::new().unwrap();
    let values = folder.path().join("values.yaml").display().to_string();
    fs::write(&values, OTHER).unwrap();
    let chart = shown("chart");
    let words = ["install", "keyroll", &chart, "--namespace=ops", "--create-namespace", "--values", &values];
    let said = helm.run(&words, Some(cluster.kubeconfig())).unwrap();
    assert!(said.contains("kubectl -n ops create secret generic keyroll-other"), "{said}");
    cluster.wait("the pod of the chart", || cluster.does(&["--namespace", "ops", "get", "pod", "keyroll-0"]));
    // Without a check nothing is made in the namespace but events.
    let role = cluster.object("other", "role/keyroll");
    let rules = role["rules"].as_array().unwrap();
    let made = rules.iter().filter(|rule| rule["verbs"].as_array().unwrap().contains(&json!("create")));
    let made: Vec<&Value> = made.map(|rule| &rule["resources"]).collect();
    assert_eq!(made, [&json!(["events"])], "{role}");
    let base = cluster.object("ops", "configmap/keyroll")["data"]["base.toml"].as_str().unwrap().to_owned();
    for part in [
        "home = \"ops\"",
        "[hosts.other]",
        "stores = [\"aws-sm:other/\"]",
        "\n\n[schedule]\nwindow = \"any\"",
    ] {
        assert!(base.contains(part), "{part}: {base}");
    }
}

/// With the manifests and the object of the example the server may do what it does, and nothing beyond.
fn has_its_rights(cluster: &Kubernetes) {
    let may = |namespace: &str, words: &[&str]| {
        let words = [&["auth", "can-i", "--as", KEYROLL, "--namespace", namespace][..], words].concat();
        cluster.does(&words)
    };
    assert!(may("keyroll", &["update", "leases/keyroll"]) && may("keyroll", &["create", "leases"]));
    assert!(
        may("shop", &["patch", "secret/openrouter-credentials"])
            && may("shop", &["watch", "secretrotations"])
    );
    let status = ["secretrotations", "--subresource=status"];
    assert!(may("shop", &[&["update"][..], &status[..]].concat()));
    assert!(!may("shop", &[&["patch"][..], &status[..]].concat()));
    assert!(may("shop", &["watch", "pods"]) && may("shop", &["create", "events.events.k8s.io"]));
    for (namespace, words) in [
        ("keyroll", &["get", "secrets"]),
        ("keyroll", &["update", "leases/other"]),
        ("shop", &["list", "secrets"]),
        ("shop", &["get", "secret/other"]),
        ("shop", &["patch", "secretrotations"]),
        ("shop", &["patch", "deployment/agent"]),
        ("shop", &["create", "pods"]),
        ("other", &["list", "pods"]),
    ] {
        assert!(!may(namespace, words), "{namespace}: {words:?}");
    }
}

/// The node's own program decides which rights the files of a pod have.
#[test]
fn a_pod_of_the_manifests_reads_its_files_and_keeps_its_folders_to_itself() {
    if !Kubernetes::is_here_or_skip("a pod of the manifests") {
        return;
    }
    // It is there until the cluster has ended.
    let disks = TempDir::new().unwrap();
    let cluster = Kubernetes::with_node();
    cluster.kubectl(&["create", "namespace", "shop"]);
    let mut all: Vec<Value> = objects(&cluster, &kustomized(&cluster, "overlay")).into_values().collect();
    // A namespace is made before what is in it.
    all.sort_by_key(|object| object["kind"] != "Namespace");
    all.iter_mut().for_each(stand_in);
    all.extend(["state", "keys"].map(|name| disk(disks.path(), name)));
    all.extend([("keyroll-tokens", "admin"), ("keyroll-shop", "admin.key")].map(|(name, key)| {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": "keyroll" },
                "stringData": { key: format!("what {key} has\n") } })
    }));
    cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": all }).to_string());

    let pod = ["--namespace", "keyroll", "get", "pod", "keyroll-0", "-o", "jsonpath={.metadata.uid}"];
    let logs = ["--namespace", "keyroll", "logs", "keyroll-0"];
    let said = |former: &str| {
        // A pod that was there a moment ago may be another one by now.
        let text = || {
            let is_new = cluster.said(&pod).is_some_and(|uid| uid != former);
            cluster.said(&logs).filter(|_| is_new).unwrap_or_default()
        };
        let mut last = String::new();
        cluster.wait("what the pod says", || {
            last = text();
            last.contains("all was said")
        });
        last
    };
    let first = said("");
    // What is made on such a volume has its group (the bit 2000), and nothing more of the volume's rights.
    for line in [
        "65532",
        "3777 0 65532 /etc/keyroll",
        "440 0 65532 /etc/keyroll/tokens/admin",
        "440 0 65532 /etc/keyroll/namespaces/shop/admin.key",
        "what admin has",
        "what admin.key has",
        "[server.kubernetes.namespaces.shop]",
        "2700 65532 65532 /var/lib/keyroll/state",
        "600 65532 65532 /var/lib/keyroll/state/journal.db",
        "/tmp can be written",
        "nothing else can be written",
    ] {
        assert!(first.lines().any(|one| one == line), "{line}: {first}");
    }
    assert!(first.contains("machine keyroll-0.keyroll, API server 127."), "{first}");
    assert!(!first.contains("it was here"), "{first}");

    // The volume is mounted once more, and nothing of it was opened to the group.
    let uid = cluster.kubectl(&pod);
    cluster.kubectl(&["--namespace", "keyroll", "delete", "pod", "keyroll-0"]);
    let second = said(&uid);
    for line in [
        "it was here",
        "2700 65532 65532 /var/lib/keyroll/state",
        "600 65532 65532 /var/lib/keyroll/state/journal.db",
    ] {
        assert!(second.lines().any(|one| one == line), "{line}: {second}");
    }
}

/// The server's pod runs another program, from the image that the node has, in the network that it has.
fn stand_in(object: &mut Value) {
    if object["kind"] == "Namespace" {
        object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("privileged");
    }
    if object["kind"] != "StatefulSet" {
        return;
    }
    let pod = &mut object["spec"]["template"]["spec"];
    pod["hostNetwork"] = json!(true);
    pod["terminationGracePeriodSeconds"] = json!(1);
    let container = pod["containers"][0].as_object_mut().unwrap();
    for part in ["args", "readinessProbe"] {
        assert!(container.remove(part).is_some(), "{part}");
    }
    container.insert("image".to_owned(), json!("test.local/bb:1"));
    container.insert("imagePullPolicy".to_owned(), json!("Never"));
    container.insert("command".to_owned(), json!(["sh", "-c", STAND_IN]));
}

/// A disk of the node for a claim of the pod. Of a `hostPath` the node would not change the group.
fn disk(folder: &Path, name: &str) -> Value {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    let here = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["localhost"] });
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "1Gi" },
            "accessModes": ["ReadWriteOnce"],
            "claimRef": { "namespace": "keyroll", "name": format!("{name}-keyroll-0") },
            "local": { "path": path },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [here] }] } },
        },
    })
}
