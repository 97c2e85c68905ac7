//! The real Kubernetes: pods take a Secret by their environment and by a file, requests are refused and recorded, the API
//! server can be lost, and nothing is left of a cluster.

use std::fs;

use keyroll_testkit::{Kubernetes, alphanumeric};
use serde_json::Value;

/// Two pods that take the Secret `app`.
const PODS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: app, namespace: default }
spec:
  replicas: 2
  selector: { matchLabels: { app: app } }
  template:
    metadata: { labels: { app: app } }
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: test.local/bb:1
          imagePullPolicy: Never
          command: [sh, -c, "trap exit TERM; while :; do sleep 1000 & wait; done"]
          env: [{ name: KEY, valueFrom: { secretKeyRef: { name: app, key: key } } }]
          volumeMounts: [{ name: secret, mountPath: /secret, readOnly: true }]
          readinessProbe: { exec: { command: [test, -s, /secret/key] }, periodSeconds: 1 }
      volumes: [{ name: secret, secret: { secretName: app } }]
"#;

/// The rules of who may read Secrets, and nothing else.
const READER: &str = "[{ apiGroups: [''], resources: [secrets], verbs: [get, list] }]";

/// The Secret with this value.
fn secret(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: app, namespace: default }}\nstringData: {{ key: \"{value}\" }}\n"
    )
}

/// What a pod has in its environment, and in its file.
fn taken(cluster: &Kubernetes, pod: &str) -> (String, String) {
    let environment = cluster.kubectl(&["exec", pod, "--", "sh", "-c", "echo $KEY"]);
    (environment.trim().to_owned(), cluster.kubectl(&["exec", pod, "--", "cat", "/secret/key"]))
}

#[test]
fn a_changed_secret_is_in_the_files_of_pods_and_not_in_their_environments() {
    if !Kubernetes::is_here_or_skip("pods that take a Secret") {
        return;
    }
    let settings = || {
        ["vm/overcommit_memory", "kernel/panic"].map(|name| fs::read(format!("/proc/sys/{name}")).unwrap())
    };
    let before = settings();
    let (first, second) = (alphanumeric(24), alphanumeric(24));
    let cluster = Kubernetes::with_node();
    cluster.apply(&secret(&first));
    cluster.apply(PODS);
    cluster.kubectl(&["rollout", "status", "deployment/app", "--timeout=100s"]);
    let pods = cluster.kubectl(&["get", "pods", "-l", "app=app", "-o", "name"]);
    let pods: Vec<&str> = pods.lines().collect();
    assert_eq!(pods.len(), 2);
    for pod in &pods {
        assert_eq!(taken(&cluster, pod), (first.clone(), first.clone()));
    }
    cluster.apply(&secret(&second));
    cluster.wait("the new value in each file", || {
        pods.iter().all(|pod| cluster.kubectl(&["exec", pod, "--", "cat", "/secret/key"]) == second)
    });
    for pod in &pods {
        assert_eq!(taken(&cluster, pod), (first.clone(), second.clone()));
    }

    // The pods reach the API server where Kubernetes says that it is.
    let inside = cluster.kubectl(&[
        "exec",
        pods[0],
        "--",
        "sh",
        "-c",
        "echo https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT",
    ]);
    assert_eq!(inside.trim(), cluster.url());

    let folder = cluster.kubeconfig().parent().unwrap().to_owned();
    drop(cluster);
    assert!(!folder.exists());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("/keyroll-kubernetes-"), "{mounts}");
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    let left: Vec<String> = processes
        .filter_map(|path| Some(String::from_utf8_lossy(&fs::read(path).ok()?).replace('\0', " ")))
        .filter(|words| words.contains(&folder.display().to_string()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(settings(), before, "the settings of this machine are as before");
}

#[test]
fn a_service_account_has_its_rights_alone_and_every_request_is_recorded_without_its_value() {
    if !Kubernetes::is_here_or_skip("the rights of a service account") {
        return;
    }
    let value = alphanumeric(24);
    let cluster = Kubernetes::control_plane();
    cluster.apply(&secret(&value));
    cluster.apply(&Kubernetes::service_account("reader", "default", READER));
    let limited = cluster.kubeconfig_for("reader", "default");
    let limited = limited.to_str().unwrap();
    assert_eq!(cluster.kubectl(&["--kubeconfig", limited, "config", "current-context"]).trim(), "limited");
    let read = ["--kubeconfig", limited, "get", "secret", "app", "-o", "jsonpath={.data.key}"];
    cluster.wait("the rights of the role", || cluster.does(&read));
    assert!(!cluster.does(&["--kubeconfig", limited, "get", "pods"]));
    // A request is recorded after its answer.
    let recorded = |verb: &str, resource: &str, status: u64| {
        let log = cluster.audit_log();
        log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|event| {
            event["user"]["username"] == "system:serviceaccount:default:reader"
                && event["verb"] == verb
                && event["objectRef"]["resource"] == resource
                && event["responseStatus"]["code"] == status
        })
    };
    cluster.wait("the record of what was read", || recorded("get", "secrets", 200));
    cluster.wait("the record of what was refused", || recorded("list", "pods", 403));
    assert!(!cluster.audit_log().contains(&value));
}

#[test]
fn an_api_server_that_was_killed_comes_again_with_everything_it_had() {
    if !Kubernetes::is_here_or_skip("an API server that is killed") {
        return;
    }
    let mut cluster = Kubernetes::control_plane();
    cluster.apply(&secret(&alphanumeric(24)));
    let before = cluster.object("default", "secret/app");
    cluster.stop_api_server();
    assert!(!cluster.does(&["get", "secret/app"]));
    cluster.start_api_server();
    assert_eq!(cluster.object("default", "secret/app"), before);
}
