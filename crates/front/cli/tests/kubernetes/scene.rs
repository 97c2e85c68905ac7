//! A namespace `shop` of a real cluster, and keyroll beside it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use keyroll_needle::Needles;
use keyroll_testkit::command::Ran;
use keyroll_testkit::{Kubernetes, TempDir, alphanumeric};
use serde_json::Value;

use super::needles_of;
use crate::hostile::scene::files;

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

/// What a pod has in common with all others.
const POD: &str = "hostNetwork: true, terminationGracePeriodSeconds: 1, automountServiceAccountToken: false";
/// What a container has in common with all others.
const CONTAINER: &str = "name: app, image: 'test.local/bb:1', imagePullPolicy: Never, \
                         command: [sh, -c, 'trap exit TERM; while :; do sleep 1000 & wait; done']";

/// How the container of each workload takes the Secret, with the volumes of its pod.
const WAYS: [(&str, &str, &str); 7] = [
    (
        "by-env",
        "env: [{name: ANTHROPIC_API_KEY, valueFrom: {secretKeyRef: {name: anthropic-credentials, key: api-key}}}]",
        "",
    ),
    ("by-env-from", "envFrom: [{prefix: K_, secretRef: {name: anthropic-credentials}}]", ""),
    (
        "in-file",
        "volumeMounts: [{name: v, mountPath: /secrets}]",
        "volumes: [{name: v, secret: {secretName: anthropic-credentials}}]",
    ),
    (
        "by-sub-path",
        "volumeMounts: [{name: v, mountPath: /secrets/api-key, subPath: api-key}]",
        "volumes: [{name: v, secret: {secretName: anthropic-credentials}}]",
    ),
    (
        "projected",
        "volumeMounts: [{name: v, mountPath: /secrets}]",
        "volumes: [{name: v, projected: {sources: [{secret: {name: anthropic-credentials}}]}}]",
    ),
    // What it writes for the others stays as it was when the pod began.
    (
        "by-init",
        "volumeMounts: [{name: v, mountPath: /secrets}]",
        "volumes: [{name: v, emptyDir: {}}], initContainers: [{name: fetch, image: 'test.local/bb:1', \
         imagePullPolicy: Never, command: [sh, -c, 'printf %s \"$ANTHROPIC_API_KEY\" >/secrets/api-key'], \
         env: [{name: ANTHROPIC_API_KEY, valueFrom: {secretKeyRef: {name: anthropic-credentials, key: api-key}}}], \
         volumeMounts: [{name: v, mountPath: /secrets}]}]",
    ),
    // No container has it. The node has the image already, so nothing is pulled.
    ("by-pull", "tty: false", "imagePullSecrets: [{name: anthropic-credentials}]"),
];

/// One pod of each way, one of the StatefulSet and one of the DaemonSet.
const PODS: usize = WAYS.len() + 2;

/// Rules of a login that may read pods and one Secret by its name.
pub const BY_NAME: &str = r#"[
    {apiGroups: [""], resources: [pods], verbs: [list]},
    {apiGroups: [apps], resources: [deployments, replicasets, statefulsets, daemonsets], verbs: [list]},
    {apiGroups: [batch], resources: [jobs, cronjobs], verbs: [list]},
    {apiGroups: [""], resources: [secrets], resourceNames: [anthropic-credentials], verbs: [get]}]"#;

/// Rules of a login that may read everything but pods.
pub const NO_PODS: &str = r#"[
    {apiGroups: [""], resources: [secrets, configmaps, serviceaccounts], verbs: [get, list]},
    {apiGroups: [apps], resources: [deployments, replicasets, statefulsets, daemonsets], verbs: [list]},
    {apiGroups: [batch], resources: [jobs, cronjobs], verbs: [list]}]"#;

pub struct Shop {
    pub cluster: Kubernetes,
    pub value: String,
    folder: TempDir,
    /// A folder that keyroll does not know.
    outside: TempDir,
    /// All values that there were, for the search of everything that was said.
    values: RefCell<Vec<Vec<u8>>>,
    said: RefCell<String>,
    kubeconfig: PathBuf,
}

impl Shop {
    /// Workloads with one pod each, which take the Secret; `None` where a cluster cannot run.
    pub fn raise(left_out: &str) -> Option<Self> {
        if !Kubernetes::is_here_or_skip(left_out) {
            return None;
        }
        let mut shop = Self::at(Kubernetes::with_node());
        shop.make();
        shop.cluster.apply(&workloads());
        Some(shop)
    }

    /// A cluster without pods that run, with this many Deployments that take the Secret.
    pub fn without_node(deployments: usize) -> Self {
        let mut shop = Self::at(Kubernetes::control_plane());
        shop.make();
        let all: String =
            (0..deployments).map(|at| deployment(&format!("agent-{at}"), WAYS[0].1, "")).collect();
        if deployments > 0 {
            shop.cluster.apply(&all);
            let count = || shop.cluster.kubectl(&["-n", "shop", "get", "pods", "-o", "name"]).lines().count();
            shop.cluster.wait("a pod of each", || count() >= deployments);
        }
        shop
    }

    /// With its namespace and nothing in it.
    pub fn at(cluster: Kubernetes) -> Self {
        let folder = TempDir::new().unwrap();
        let kubeconfig = cluster.kubeconfig().to_owned();
        let shop = Self {
            cluster,
            value: String::new(),
            folder,
            outside: TempDir::new().unwrap(),
            values: RefCell::default(),
            said: RefCell::default(),
            kubeconfig,
        };
        shop.cluster.kubectl(&["create", "namespace", "shop"]);
        let account = ["-n", "shop", "get", "serviceaccount", "default"];
        shop.cluster.wait("the service account of the namespace", || shop.cluster.does(&account));
        shop.configure("admin");
        shop
    }

    /// Writes keyroll.toml with the cluster as the host `prod`.
    fn configure(&self, context: &str) {
        let path = self.kubeconfig.display();
        let text = format!(
            "version = 1\n[hosts.prod]\nconnect = \"kube://{context}/shop\"\nkubeconfig = \"{path}\"\n"
        );
        fs::write(self.folder.path().join("keyroll.toml"), text).unwrap();
    }

    pub fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    pub fn config(&self) -> String {
        fs::read_to_string(self.folder.path().join("keyroll.toml")).unwrap()
    }

    /// A value that nothing may say.
    pub fn keep(&self, value: &str) {
        self.values.borrow_mut().push(value.as_bytes().to_vec());
    }

    /// Makes the Secret with a new value.
    pub fn make(&mut self) {
        self.value = key();
        self.keep(&self.value);
        let object = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: anthropic-credentials, namespace: shop}}\n\
             stringData: {{api-key: '{}'}}\n",
            self.value
        );
        // As people do. A server-side apply does not show when a key was changed.
        let file = self.outside.path().join("secret");
        fs::write(&file, object).unwrap();
        self.cluster.kubectl(&["create", "-f", file.to_str().unwrap()]);
    }

    /// Writes a new value into the Secret as people do, so long after everything before that the clocks do not matter: the
    /// API shows whole seconds, and a node may be two behind.
    pub fn change(&mut self) -> String {
        sleep(Duration::from_secs(4));
        self.value = key();
        self.keep(&self.value);
        let patch = self.outside.path().join("patch");
        fs::write(&patch, format!("stringData: {{api-key: '{}'}}\n", self.value)).unwrap();
        let patch = patch.to_str().unwrap();
        self.cluster.kubectl(&[
            "-n",
            "shop",
            "patch",
            "secret",
            "anthropic-credentials",
            "--patch-file",
            patch,
        ]);
        self.value.clone()
    }

    /// Waits until a pod that begins now begins more than half a minute after every change before.
    pub fn a_minute_passes(&self) {
        sleep(Duration::from_secs(32));
    }

    /// Waits until each workload has its pod.
    pub fn waits_for_all(&self) {
        let all = ["-n", "shop", "wait", "--for=condition=Ready", "pods", "--all", "--timeout=100s"];
        let many =
            || self.cluster.kubectl(&["-n", "shop", "get", "pods", "-o", "name"]).lines().count() >= PODS;
        self.cluster.wait("the pods", many);
        self.cluster.kubectl(&all);
    }

    /// Waits until a Deployment has its one new pod, and no old one.
    pub fn is_rolled_out(&self, workload: &str) {
        let name = format!("deployment/{workload}");
        self.cluster.kubectl(&["-n", "shop", "rollout", "status", &name, "--timeout=100s"]);
        self.cluster.wait("the end of the old pod", || self.pods(workload).len() == 1);
    }

    /// What the API shows of an object of the namespace, by a JSONPath: the owners of its fields, too.
    pub fn shown(&self, object: &str, path: &str) -> String {
        let path = format!("jsonpath={path}");
        self.cluster.kubectl(&["-n", "shop", "get", object, "--show-managed-fields", "-o", &path])
    }

    /// Puts a new pod in the place of that of a Deployment.
    pub fn renews(&self, workload: &str) {
        let name = format!("deployment/{workload}");
        self.cluster.kubectl(&["-n", "shop", "rollout", "restart", &name]);
        self.is_rolled_out(workload);
    }

    /// The names of the pods of a workload.
    pub fn pods(&self, workload: &str) -> Vec<String> {
        let label = format!("app={workload}");
        let said = self.cluster.kubectl(&["-n", "shop", "get", "pods", "-l", &label, "-o", "name"]);
        said.lines().map(str::to_owned).collect()
    }

    /// What a script says inside of the pod of a workload.
    pub fn has(&self, workload: &str, script: &str) -> String {
        let pods = self.pods(workload);
        let [pod] = pods.as_slice() else { panic!("{workload} has {pods:?}") };
        self.cluster.kubectl(&["-n", "shop", "exec", pod, "--", "sh", "-c", script]).trim().to_owned()
    }

    /// The value that the container of a workload has.
    pub fn held(&self, workload: &str) -> String {
        self.has(
            workload,
            "tr '\\0' '\\n' </proc/1/environ | sed -n 's/^ANTHROPIC_API_KEY=//p; s/^K_api-key=//p'; \
             cat /secrets/api-key 2>/dev/null; true",
        )
    }

    /// keyroll's answer for programs.
    pub fn keyroll(&self, words: &[&str]) -> Ran {
        self.ran(words, &["--json"])
    }

    /// keyroll's answer for people.
    pub fn told(&self, words: &[&str]) -> Ran {
        self.ran(words, &[])
    }

    pub fn why(&self, what: &str) -> Ran {
        let ran = self.keyroll(&["why", what, "--host", "prod"]);
        ran.exits(0);
        ran
    }

    fn ran(&self, words: &[&str], more: &[&str]) -> Ran {
        let mut command = Command::new(KEYROLL);
        let folder = self.folder.path();
        command.args(words).args(more).args(["--no-input", "--state"]).arg(folder.join("state"));
        command.current_dir(folder).env_clear().env("HOME", folder).env("PATH", "/usr/bin:/bin");
        command.env("COLUMNS", "100000").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = Ran::run(&mut command);
        self.said.borrow_mut().push_str(ran.text());
        ran
    }

    /// For each container that has a verdict: one that is *current* has the value of the Secret, one that is *stale* has not.
    pub fn is_true_of_each(&self, seen: &Ran) {
        let all = seen.of("instance");
        assert!(!all.is_empty(), "no container has a verdict");
        for one in all {
            let workload = workload_of(one);
            let held = self.held(&workload);
            match one["verdict"].as_str().unwrap() {
                "current" => assert_eq!(held, self.value, "{workload} is said to be current"),
                "stale" => assert_ne!(held, self.value, "{workload} is said to be stale"),
                _ => {}
            }
        }
    }

    /// From now on keyroll logs in as this service account, with these rules.
    pub fn as_service_account(&mut self, name: &str, rules: &str) {
        self.cluster.apply(&Kubernetes::service_account(name, "shop", rules));
        self.kubeconfig = self.cluster.kubeconfig_for(name, "shop");
        self.configure("limited");
    }

    /// How often this user did each thing, by `(verb, resource)`.
    pub fn verbs_of(&self, user: &str) -> BTreeMap<(String, String), usize> {
        let mut all = BTreeMap::new();
        for event in self.audited().filter(|event| event["user"]["username"] == user) {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let key = (word(&event["verb"]), word(&event["objectRef"]["resource"]));
            *all.entry(key).or_default() += 1;
        }
        all
    }

    /// How many requests keyroll has made so far. It does not name itself, as all others do.
    pub fn requests(&self) -> usize {
        self.audited()
            .filter(|event| {
                event["userAgent"].as_str().is_none_or(|agent| {
                    !agent.contains("kubectl") && !agent.starts_with("kube") && !agent.contains("k8s.io")
                })
            })
            .count()
    }

    fn audited(&self) -> impl Iterator<Item = Value> {
        let log = self.cluster.audit_log();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>().into_iter()
    }

    /// No value is in anything that keyroll said or wrote, or in what the cluster recorded.
    pub fn nothing_leaked(&self) {
        let needles = needles_of(&self.values.borrow());
        let said = self.said.borrow();
        assert!(!said.is_empty());
        assert!(needles.is_clean(said.as_bytes()), "keyroll said a value");
        let log = self.cluster.audit_log();
        assert!(!log.is_empty(), "no request was recorded");
        assert!(needles.is_clean(log.as_bytes()), "a request was recorded with a value");
        for entry in files(self.folder.path()) {
            assert!(needles.is_clean(&fs::read(&entry).unwrap()), "{} has a value", entry.display());
        }
        logs_are_clean(&self.cluster, &needles, &["kube-apiserver.log"]);
    }
}

/// No value is in what the parts of a cluster and its containers wrote; these parts wrote something.
#[track_caller]
pub fn logs_are_clean(cluster: &Kubernetes, needles: &Needles, parts: &[&str]) {
    let logs = cluster.logs_whole();
    for part in parts {
        let wrote = |(path, log): &(PathBuf, Vec<u8>)| path.ends_with(part) && !log.is_empty();
        assert!(logs.iter().any(wrote), "nothing is in {part}");
    }
    for (path, log) in logs {
        assert!(needles.is_clean(&log), "{} has a value", path.display());
    }
}

/// A value in the form of a key of Anthropic.
pub fn key() -> String {
    format!("sk-ant-api03-{}AA", alphanumeric(93))
}

/// The workload that an instance belongs to, without its kind.
fn workload_of(one: &Value) -> String {
    let used_by = one["used_by"].as_str().unwrap();
    used_by.rsplit('/').next().unwrap().to_owned()
}

/// The verdict of each workload's container.
pub fn verdicts(seen: &Ran) -> BTreeMap<String, String> {
    let of = |one: &&Value| (workload_of(one), one["verdict"].as_str().unwrap().to_owned());
    seen.of("instance").iter().map(of).collect()
}

/// A Deployment that takes the Secret in the way that it is named after.
pub fn taking(way: &str) -> String {
    let (name, container, pod) = WAYS.into_iter().find(|(name, ..)| *name == way).unwrap();
    deployment(name, container, pod)
}

pub fn deployment(name: &str, container: &str, pod: &str) -> String {
    controller("Deployment", name, "replicas: 1, ", container, pod)
}

fn controller(kind: &str, name: &str, more: &str, container: &str, pod: &str) -> String {
    let mut text = String::new();
    let comma = if pod.is_empty() { "" } else { ", " };
    write!(
        text,
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{{more}selector: \
         {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{{POD}{comma}{pod}, \
         containers: [{{{CONTAINER}, {container}}}]}}}}}}\n---\n"
    )
    .unwrap();
    text
}

/// A workload for each way, and a job that takes the Secret at its next run.
fn workloads() -> String {
    let mut all: String =
        WAYS.iter().map(|(name, container, pod)| deployment(name, container, pod)).collect();
    all += &controller("StatefulSet", "stateful", "serviceName: stateful, ", WAYS[0].1, "");
    all += &controller("DaemonSet", "on-each-node", "", WAYS[0].1, "");
    write!(
        all,
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: nightly, namespace: shop}}\nspec: {{schedule: '0 0 1 1 *', \
         jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, {POD}, containers: [{{{CONTAINER}, {}}}]}}}}}}}}}}\n",
        WAYS[0].1
    )
    .unwrap();
    all
}

/// A template with a value in it, and a ConfigMap with one.
pub fn copies(literal: &str, mapped: &str) -> String {
    let container = format!("env: [{{name: ANTHROPIC_API_KEY, value: '{literal}'}}]");
    deployment("with-literal", &container, "")
        + &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: shop}}\ndata: {{ANTHROPIC_API_KEY: '{mapped}'}}\n"
        )
}
