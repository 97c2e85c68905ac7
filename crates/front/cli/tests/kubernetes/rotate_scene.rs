//! A namespace of a real cluster whose pods call an issuer on the loopback with the key of a Secret, and keyroll beside it,
//! which rotates that key. keyroll runs in a namespace of processes of its own, as on another machine: it would find the
//! processes of the pods, of etcd and of this test a second time otherwise.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use keyroll_needle::Needles;
use keyroll_testkit::command::{Ran, Running, dress, kill};
use keyroll_testkit::issuer::{Issuer, sha256_hex, without};
use keyroll_testkit::{Kubernetes, TempDir, alphanumeric};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::scene::logs_are_clean;
use crate::hostile::scene::{files, put};
use crate::kill::apart::namespaces_or_skip;
use crate::stores::needles::needles_of;
use crate::stores::relay::Relay;
use crate::way::Act;

pub const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");

/// The Secret that the pods take the key from, and the key of it.
pub const SECRET: &str = "credentials";
pub const KEY: &str = "ANTHROPIC_API_KEY";

/// The namespace of a scene with a cluster of its own.
pub const OWN: &str = "shop";

/// The first process of a namespace: with it all others end.
const FIRST: &str = "\"$@\"; exit $?";

/// The rights that a rotation needs, as the guide has them.
pub const ROLE: &str = r#"[
    {apiGroups: [""], resources: [secrets], verbs: [get, list, create, patch, delete]},
    {apiGroups: [""], resources: [pods], verbs: [get, list, patch]},
    {apiGroups: [""], resources: [configmaps, serviceaccounts], verbs: [list]},
    {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets], verbs: [get, list, patch]},
    {apiGroups: [apps], resources: [replicasets], verbs: [list]},
    {apiGroups: [batch], resources: [jobs], verbs: [get, list, create, patch, delete]},
    {apiGroups: [batch], resources: [cronjobs], verbs: [get, list, patch]},
    {apiGroups: [external-secrets.io], resources: [externalsecrets], verbs: [get, list, patch]}]"#;

/// How long a program waits between two calls, microseconds.
pub const PAUSE_US: u32 = 100_000;

/// How many calls a program that keeps a pace makes with one wget, each by a connection of its own: to start it costs more than
/// a call.
const CALLS_OF_ONE: usize = 10;

/// How a program takes it that it is to end: it first awaits the answer to its call, and counts it.
pub const ENDS: &str = "trap E=1 TERM";

/// Where a program finds the folder in which each pod counts its calls, and that folder beside everything that keyroll knows.
const CALLS: &str = "/calls";
const COUNTS: &str = "calls";

/// What a shell makes of a command that a signal has ended: this and its number. A pod that does not end in time is killed.
const BY_SIGNAL: usize = 128;

/// How often a rotation is resumed until it must have ended.
const RESUMES_MAX: usize = 4;

/// What a check calls itself, and how the issuer names one with a value that nobody has: it must be refused.
const CHECK: &str = "try";
const CONTROL: &str = "try with nobody";

/// The objects of a namespace that anybody may be shown.
const SHOWN: &str =
    "events,pods,deployments,replicasets,statefulsets,daemonsets,controllerrevisions,cronjobs,jobs";

/// What these parts write is searched, among others.
const PARTS: [&str; 3] = ["kube-apiserver.log", "kube-controller-manager.log", "kubelet.log"];

/// The cluster that scenes share, as long as there is one.
static SHARED: Mutex<Weak<Kubernetes>> = Mutex::new(Weak::new());

/// That cluster.
pub fn shared() -> Arc<Kubernetes> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Kubernetes::with_node());
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// Whether a rotation in a cluster can run here.
pub fn is_here_or_skip(left_out: &str) -> bool {
    Kubernetes::is_here_or_skip(left_out) && namespaces_or_skip(left_out)
}

/// How a container takes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Env,
    EnvFrom,
    File,
    SubPath,
    Projected,
}

impl Takes {
    pub const ALL: [Self; 5] = [Self::Env, Self::EnvFrom, Self::File, Self::SubPath, Self::Projected];

    /// A name for a workload.
    pub fn word(self) -> &'static str {
        match self {
            Self::Env => "by-env",
            Self::EnvFrom => "by-env-from",
            Self::File => "in-file",
            Self::SubPath => "by-sub-path",
            Self::Projected => "projected",
        }
    }

    /// The word of a shell that is the key.
    fn read(self) -> String {
        match self {
            Self::Env | Self::EnvFrom => format!("\"${KEY}\""),
            Self::File | Self::SubPath | Self::Projected => format!("\"$(cat /secrets/{KEY})\""),
        }
    }

    /// Adds it to a pod with one container.
    fn add_to(self, pod: &mut Value) {
        let volume = |source: Value| {
            let mut volume = json!({ "name": "key" });
            volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            json!([volume])
        };
        let whole = json!({ "secret": { "secretName": SECRET } });
        let mount = json!([{ "name": "key", "mountPath": "/secrets" }]);
        match self {
            Self::Env => {
                let from = json!({ "secretKeyRef": { "name": SECRET, "key": KEY } });
                let variable = json!({ "name": KEY, "valueFrom": from });
                pod["containers"][0]["env"].as_array_mut().unwrap().push(variable);
            }
            Self::EnvFrom => pod["containers"][0]["envFrom"] = json!([{ "secretRef": { "name": SECRET } }]),
            Self::File => {
                pod["volumes"] = volume(whole);
                pod["containers"][0]["volumeMounts"] = mount;
            }
            Self::SubPath => {
                pod["volumes"] = volume(whole);
                let path = format!("/secrets/{KEY}");
                pod["containers"][0]["volumeMounts"] =
                    json!([{ "name": "key", "mountPath": path, "subPath": KEY }]);
            }
            Self::Projected => {
                pod["volumes"] =
                    volume(json!({ "projected": { "sources": [{ "secret": { "name": SECRET } }] } }));
                pod["containers"][0]["volumeMounts"] = mount;
            }
        }
    }
}

/// What a pod counted of its calls.
#[derive(Default)]
struct Calls {
    sent: usize,
    answered: usize,
    /// How often wget ended otherwise: refused, not connected, not answered.
    failed: usize,
}

impl Calls {
    /// By the lines of its file.
    fn read(text: &str) -> Self {
        let mut calls = Self::default();
        // A line that is being written has no end yet.
        for line in text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines() {
            let (word, number) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            let number: usize = number.parse().unwrap_or_else(|_| panic!("{line}"));
            match word {
                "sent" => calls.sent += number,
                "answered" => calls.answered += number,
                "failed" if number > BY_SIGNAL => {}
                "failed" => calls.failed += 1,
                _ => panic!("{line}"),
            }
        }
        calls
    }
}

pub struct Scene {
    pub cluster: Arc<Kubernetes>,
    pub issuer: Issuer,
    pub namespace: String,
    /// The id of the key that everything starts with, and its value.
    pub old: String,
    pub value: Zeroizing<String>,
    /// Whom the API server takes keyroll for.
    pub user: String,
    /// Variables of keyroll.
    pub environment: Vec<(&'static str, String)>,
    kubeconfig: PathBuf,
    home: TempDir,
    /// A folder that keyroll does not know.
    outside: TempDir,
    /// Everything that commands wrote.
    said: RefCell<Vec<String>>,
}

impl Scene {
    /// In the cluster that scenes share, with the Secret and no workload; `None` where a cluster cannot run.
    pub fn raise(left_out: &str) -> Option<Self> {
        is_here_or_skip(left_out).then(|| Self::beside(shared()))
    }

    /// In a namespace of its own of this cluster.
    pub fn beside(cluster: Arc<Kubernetes>) -> Self {
        let scene = Self::at(cluster, &format!("shop-{}", alphanumeric(8).to_ascii_lowercase()));
        scene.make(&scene.value);
        scene
    }

    /// In a cluster of its own, whose API server keyroll reaches by a relay.
    pub fn relayed(left_out: &str) -> Option<(Self, Relay)> {
        if !is_here_or_skip(left_out) {
            return None;
        }
        let mut scene = Self::at(Arc::new(Kubernetes::with_node()), OWN);
        scene.make(&scene.value);
        let kubeconfig = scene.kubeconfig.clone();
        let port = scene.cluster_mut().proxy(&kubeconfig);
        let relay = Relay::before(&format!("127.0.0.1:{port}"));
        let mut file: Value = serde_json::from_str(&fs::read_to_string(&kubeconfig).unwrap()).unwrap();
        file["clusters"][0]["cluster"] = json!({ "server": relay.endpoint() });
        file["users"][0]["user"] = json!({});
        scene.kubeconfig = scene.dir().join("relayed.conf");
        put(&scene.kubeconfig, &[&file.to_string()], 0o600);
        Some((scene, relay))
    }

    /// With an issuer that has one key, and no Secret.
    pub fn at(cluster: Arc<Kubernetes>, namespace: &str) -> Self {
        let (issuer, admin) = Issuer::start();
        issuer.keep_values();
        issuer.keep_calls();
        let (old, value) = issuer.mint("by hand");
        let (home, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let dir = home.path().join("scene");
        fs::create_dir(&dir).unwrap();
        fs::create_dir(outside.path().join(COUNTS)).unwrap();
        // Whose call is of which pod is not followed.
        let spec = without(&without(&issuer.spec("5s"), "op.sessions"), "op.end_session");
        put(&dir.join("acme.toml"), &[&spec], 0o644);
        put(&dir.join("admin.key"), &[&admin, "\n"], 0o600);
        cluster.kubectl(&["create", "namespace", namespace]);
        let account = ["-n", namespace, "get", "serviceaccount", "default"];
        cluster.wait("the service account of the namespace", || cluster.does(&account));
        let mut scene = Self {
            cluster,
            issuer,
            namespace: namespace.to_owned(),
            old,
            value,
            user: format!("system:serviceaccount:{namespace}:keyroll"),
            environment: Vec::new(),
            kubeconfig: PathBuf::new(),
            home,
            outside,
            said: RefCell::default(),
        };
        scene.log_in("keyroll", ROLE, ["patch", "secrets"]);
        scene
    }

    /// From now on keyroll logs in as this service account, with these rules. The verb and the resource are one of its rights.
    pub fn log_in(&mut self, name: &str, rules: &str, [verb, resource]: [&str; 2]) {
        self.cluster.apply(&Kubernetes::service_account(name, &self.namespace, rules));
        let user = format!("system:serviceaccount:{}:{name}", self.namespace);
        let may = ["auth", "can-i", verb, resource, "--namespace", &self.namespace, "--as", &user];
        self.cluster.wait("the rights of the role", || self.cluster.does(&may));
        self.kubeconfig = self.cluster.kubeconfig_for(name, &self.namespace);
    }

    /// Deletes the service account of keyroll's login, and waits until the API server does not accept the login any more: it keeps
    /// for ten seconds that it did.
    #[track_caller]
    pub fn log_out(&self, name: &str) {
        let login = self.kubeconfig.display().to_string();
        let asks = ["--kubeconfig", &login, "-n", &self.namespace, "get", "secret", SECRET];
        assert!(self.cluster.does(&asks), "the login does not work");
        self.kubectl(&["delete", "serviceaccount", name]);
        self.cluster.wait("the end of the login", || !self.cluster.does(&asks));
    }

    /// The cluster, which no other scene has.
    pub fn cluster_mut(&mut self) -> &mut Kubernetes {
        Arc::get_mut(&mut self.cluster).expect("a cluster of its own")
    }

    /// The folder of everything that keyroll is given and makes.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    /// What kubectl says in this namespace, with every right.
    #[track_caller]
    pub fn kubectl(&self, words: &[&str]) -> String {
        self.cluster.kubectl(&[&["-n", self.namespace.as_str()][..], words].concat())
    }

    /// An object as the API server shows it, by `kind/name`.
    #[track_caller]
    pub fn object(&self, name: &str) -> Value {
        self.cluster.object(&self.namespace, name)
    }
}

/// The Secret.
impl Scene {
    /// Makes the Secret as people do. A server-side apply does not show when a key was changed.
    pub fn make(&self, value: &str) {
        let file = self.outside.path().join("secret");
        let namespace = &self.namespace;
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {SECRET}, namespace: {namespace}}}\nstringData: {{{KEY}: '{value}'}}\n"
        );
        fs::write(&file, text).unwrap();
        self.kubectl(&["create", "-f", file.to_str().unwrap()]);
        fs::remove_file(file).unwrap();
    }

    /// Deletes the Secret and makes another one of its name.
    pub fn make_anew(&self, value: &str) {
        self.kubectl(&["delete", "secret", SECRET]);
        self.make(value);
    }

    /// Somebody writes a value into the Secret by hand.
    pub fn change_to(&self, value: &str) {
        let patch = self.outside.path().join("patch");
        fs::write(&patch, format!("stringData: {{{KEY}: '{value}'}}\n")).unwrap();
        self.kubectl(&["patch", "secret", SECRET, "--patch-file", patch.to_str().unwrap()]);
        fs::remove_file(patch).unwrap();
    }

    /// Whose key a Secret has.
    #[track_caller]
    pub fn key_in(&self, secret: &str) -> Option<String> {
        let template = format!("go-template={{{{index .data \"{KEY}\" | base64decode}}}}");
        let value = Zeroizing::new(self.kubectl(&["get", "secret", secret, "-o", &template]));
        self.issuer.whose(value.as_bytes())
    }

    /// Whose key the Secret has that people made.
    #[track_caller]
    pub fn given_out(&self) -> Option<String> {
        self.key_in(SECRET)
    }

    /// The Secrets that keyroll made for single versions.
    pub fn versions(&self) -> Vec<String> {
        let all: Value = serde_json::from_str(&self.kubectl(&["get", "secrets", "-o", "json"])).unwrap();
        let is_version = |one: &&Value| one["metadata"]["annotations"]["keyroll.dev/version-of"] == SECRET;
        let all = all["items"].as_array().unwrap().iter().filter(is_version);
        all.map(|one| {
            assert_eq!(one["immutable"], true, "a version can be changed");
            text(&one["metadata"]["name"])
        })
        .collect()
    }
}

/// Workloads.
impl Scene {
    /// The command with which a program makes so many calls under a name, one after the other, with the key in `$K`. It ends with
    /// 1 at the first call that is refused, or not answered.
    fn calls(&self, name: &str, count: usize) -> String {
        let url = format!(" http://127.0.0.1:{}/v1/me", self.issuer.port()).repeat(count);
        format!(
            "wget -q -O /dev/null --header \"Authorization: Bearer $K\" --header \"x-worker: {name}\"{url}"
        )
    }

    /// A program that makes so many calls again and again, and counts them in the file of its pod. It does something first,
    /// before each round, and after each round.
    fn calling(&self, count: usize, [first, before, after]: [&str; 3]) -> String {
        let calls = self.calls("$POD", count);
        format!(
            "{ENDS}; {first}; while [ -z \"$E\" ]; do {before}; echo sent {count} >>{CALLS}/$POD; if {calls}; then echo \
             answered {count} >>{CALLS}/$POD; else echo failed $? >>{CALLS}/$POD; fi; {after}; done; exit 0"
        )
    }

    /// A program that calls again and again with the key that it had when it started.
    pub fn agent(&self, takes: Takes, pause_us: u32) -> String {
        let (first, after) = (format!("K={}", takes.read()), format!("usleep {pause_us}"));
        self.calling(1, [&first, ":", &after])
    }

    /// The same so many times a second: where something held it up, it does not wait until it has made up for it.
    pub fn paced(&self, takes: Takes, per_s: u32) -> String {
        // The time since the machine started has two digits after its point.
        let (now, count) = ("${T%.*}${T#*.}", CALLS_OF_ONE);
        let first = format!("K={}; N=0; read -r T _ </proc/uptime; B={now}", takes.read());
        let after = format!(
            "N=$((N + {count})); until read -r T _ </proc/uptime; [ $((B + N * 100 / {per_s})) -le {now} ]; do usleep 20000; \
             done"
        );
        self.calling(count, [&first, ":", &after])
    }

    /// One that reads its file again at each call.
    pub fn reader(&self, file: &str) -> String {
        let (before, after) = (format!("K=\"$(cat {file})\""), format!("usleep {PAUSE_US}"));
        self.calling(1, [":", &before, &after])
    }

    /// One that does this with every key but the first one.
    pub fn refusing(&self, takes: Takes, otherwise: &str) -> String {
        let (read, digest) = (takes.read(), sha256_hex(self.value.as_bytes()));
        let rest = self.agent(takes, PAUSE_US);
        format!(
            "trap exit TERM; K={read}; D=$(printf %s \"$K\" | sha256sum | cut -d ' ' -f 1); [ \"$D\" = {digest} ] || {{ \
             {otherwise}; }}; {rest}"
        )
    }

    /// A workload of one pod that calls slowly.
    pub fn workload(&self, kind: &str, name: &str, takes: Takes) -> Value {
        self.running(kind, name, takes, &self.agent(takes, PAUSE_US))
    }

    /// A workload of one pod with this program. The pod counts its calls in a folder of this machine: they stay when it has ended.
    pub fn running(&self, kind: &str, name: &str, takes: Takes, script: &str) -> Value {
        let mut pod = json!({
            "hostNetwork": true, "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
            "containers": [{
                "name": "app", "image": "test.local/bb:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script],
                "env": [{ "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
            }],
        });
        takes.add_to(&mut pod);
        let counts = json!({ "path": self.outside.path().join(COUNTS), "type": "Directory" });
        add(&mut pod["volumes"], json!({ "name": COUNTS, "hostPath": counts }));
        add(&mut pod["containers"][0]["volumeMounts"], json!({ "name": COUNTS, "mountPath": CALLS }));
        let labels = json!({ "app": name });
        let metadata = json!({ "name": name, "namespace": self.namespace });
        if kind == "Pod" {
            let metadata = json!({ "name": name, "namespace": self.namespace, "labels": labels });
            return json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": pod });
        }
        if kind == "CronJob" || kind == "Job" {
            pod["restartPolicy"] = json!("Never");
            let template = json!({ "metadata": { "labels": labels }, "spec": pod });
            let job = json!({ "backoffLimit": 0, "template": template });
            if kind == "Job" {
                return json!({ "apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": job });
            }
            let spec = json!({ "schedule": "0 0 1 1 *", "jobTemplate": { "spec": job } });
            return json!({ "apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec });
        }
        let template = json!({ "metadata": { "labels": labels }, "spec": pod });
        let mut spec = json!({ "selector": { "matchLabels": labels }, "template": template });
        if kind != "DaemonSet" {
            spec["replicas"] = json!(1);
        }
        if kind == "StatefulSet" {
            spec["serviceName"] = json!(name);
        }
        json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec })
    }

    pub fn create(&self, object: &Value) {
        self.cluster.apply(&object.to_string());
    }

    /// Waits until a workload has its new pods, and no old one.
    #[track_caller]
    pub fn is_rolled_out(&self, object: &str) {
        self.kubectl(&["rollout", "status", object, "--timeout=100s"]);
    }

    /// The pods of a workload that run and are not ending, with how often each was started again.
    pub fn lives(&self, workload: &str) -> Vec<(String, u64)> {
        let label = format!("app={workload}");
        let said = self.kubectl(&["get", "pods", "-l", &label, "-o", "json"]);
        let all: Value = serde_json::from_str(&said).unwrap();
        let lives = |pod: &&Value| {
            pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running"
        };
        let restarts =
            |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(u64::MAX);
        let all = all["items"].as_array().unwrap().iter().filter(lives);
        all.map(|pod| (text(&pod["metadata"]["name"]), restarts(pod))).collect()
    }

    /// The names of these pods.
    pub fn pods(&self, workload: &str) -> Vec<String> {
        self.lives(workload).into_iter().map(|(name, _)| name).collect()
    }

    /// Whose key the container of a pod has, in its environment or in its file.
    #[track_caller]
    pub fn held(&self, pod: &str) -> Option<String> {
        let script = format!(
            "tr '\\0' '\\n' </proc/1/environ | sed -n 's/^{KEY}=//p'; cat /secrets/{KEY} 2>/dev/null; true"
        );
        let said = Zeroizing::new(self.kubectl(&["exec", pod, "--", "sh", "-c", &script]));
        self.issuer.whose(said.trim().as_bytes())
    }

    /// Every pod of a workload has this key, and calls with it.
    #[track_caller]
    pub fn is_on(&self, workload: &str, id: &str) {
        let pods = self.pods(workload);
        assert!(!pods.is_empty(), "{workload} has no pod");
        for pod in &pods {
            assert_eq!(self.held(pod).as_deref(), Some(id), "{pod}");
        }
        self.issuer.forget();
        self.cluster.wait(&format!("calls of {workload} with {id}"), || {
            pods.iter().all(|pod| self.issuer.last_of(pod).as_deref() == Some(id))
        });
    }
}

/// keyroll.
impl Scene {
    /// Writes keyroll.toml: further keys of the secret, and tables after it.
    pub fn configure(&self, keys: &str, tables: &str) {
        let (namespace, kubeconfig) = (&self.namespace, self.kubeconfig.display());
        let text = format!(
            "version = 1\n\n[hosts.prod]\nconnect = \"kube://limited/{namespace}\"\nkubeconfig = \"{kubeconfig}\"\n\n\
             [secrets.acme]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n{keys}\n\
             [secrets.acme.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n{tables}"
        );
        fs::write(self.dir().join("keyroll.toml"), text).unwrap();
    }

    /// The words of a check, which is a call.
    pub fn check(&self, takes: Takes) -> [String; 3] {
        let script = format!("K={}; {}", takes.read(), self.calls(CHECK, 1));
        ["sh".to_owned(), "-c".to_owned(), script]
    }

    /// The table of a consumer with that check.
    pub fn consumer(&self, name: &str, runs: &str, takes: Takes, more: &str) -> String {
        let check = serde_json::to_string(&self.check(takes)).unwrap();
        format!(
            "\n[[secrets.acme.consumers]]\nname = \"{name}\"\nhost = \"prod\"\nruns = {{ {runs} }}\n\
             reads = {{ secret = \"{SECRET}\", key = \"{KEY}\" }}\ncheck = {{ exec = {check} }}\n{more}"
        )
    }

    /// Makes a Deployment of this name, its consumer as the only one, and stores the key.
    pub fn with_deployment(&self, keys: &str, takes: Takes, more: &str) {
        self.create(&self.workload("Deployment", "agent", takes));
        self.configure(keys, &self.consumer("agent", AGENT, takes, more));
        self.is_rolled_out("deployment/agent");
        self.begin();
    }

    /// Stores the key that everything starts with.
    #[track_caller]
    pub fn begin(&self) {
        let mut command = self.command(&["secret", "add", "acme", "--id", &self.old]);
        self.heard(Ran::fed(&mut command, &self.value)).exits(0);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = apart(words);
        self.dressed(&mut command);
        command
    }

    fn dressed(&self, command: &mut Command) {
        dress(command, &self.dir(), self.home.path());
        command.envs(self.environment.iter().map(|(name, text)| (*name, text.as_str())));
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        self.heard(Ran::run(&mut self.command(words)))
    }

    /// The same beside the namespaces of other commands, whose drivers it sees by the kernel's list of locks.
    pub fn run_outside(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(KEYROLL);
        command.args(words);
        self.dressed(&mut command);
        self.heard(Ran::run(&mut command))
    }

    /// Starts a command, whose end is for [`Self::heard`].
    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }

    /// What a command said is searched at the end.
    pub fn heard(&self, ran: Ran) -> Ran {
        self.said.borrow_mut().push(ran.text.clone());
        ran
    }

    /// Runs a command that is killed as soon as the trap acts that `aim` lays; whether it did.
    pub fn killed(&self, words: &[&str], aim: impl FnOnce(Act)) -> bool {
        let driver: Arc<OnceLock<u32>> = Arc::default();
        let struck = Arc::new(AtomicBool::new(false));
        let (known, strikes) = (driver.clone(), struck.clone());
        aim(Box::new(move || {
            // What is asked after its end sees that.
            strikes.store(true, Ordering::SeqCst);
            kill_all_of(*known.wait());
        }));
        let running = self.start(words);
        driver.set(u32::try_from(running.pid().as_raw_nonzero().get()).unwrap()).unwrap();
        self.heard(running.end());
        struck.load(Ordering::SeqCst)
    }

    /// Has a command that drives a rotation pause, as Ctrl-C does; its end.
    #[track_caller]
    pub fn interrupted(&self, running: Running) -> Ran {
        let shells = children_of(running.pid().as_raw_nonzero().get()).into_iter();
        let drivers: Vec<i32> = shells.flat_map(children_of).collect();
        let [driver] = drivers.as_slice() else { panic!("it runs as {drivers:?}") };
        kill_process(Pid::from_raw(*driver).unwrap(), Signal::TERM).unwrap();
        let ran = self.heard(running.end());
        ran.exits(130).paused();
        ran
    }

    /// The id of a new plan.
    #[track_caller]
    pub fn plan(&self) -> String {
        let ran = self.run(&["plan", "acme"]);
        ran.exits(0);
        ran.plan()
    }

    pub fn apply(&self, id: &str) -> Ran {
        self.run(&["apply", id, "--confirm", "acme"])
    }

    pub fn resume(&self, id: &str) -> Ran {
        self.run(&["resume", id, "--confirm", "acme"])
    }

    /// Plans and applies up to a step; the rotation's id.
    #[track_caller]
    pub fn until(&self, step: &str) -> String {
        let id = self.plan();
        self.run(&["apply", &id, "--confirm", "acme", "--until", step]).exits(4).paused();
        id
    }

    /// Goes on until a rotation has ended, whatever it takes.
    #[track_caller]
    pub fn to_the_end(&self, id: &str) -> Ran {
        let mut last = String::new();
        for _ in 0..RESUMES_MAX {
            let mut ran = self.resume(id);
            if ran.code == Some(6) {
                ran = self.run(&["retry", id]);
            }
            if matches!(ran.code, Some(0 | 5)) {
                return ran;
            }
            last = ran.text;
        }
        panic!("the rotation does not end: {last}");
    }

    /// Aborts a rotation, however often that must be asked.
    #[track_caller]
    pub fn aborted(&self, id: &str) {
        let mut ran = self.run(&["abort", id]);
        if ran.code != Some(5) {
            ran = self.to_the_end(id);
        }
        ran.exits(5).ended("rolled_back");
    }
}

/// The truth.
impl Scene {
    /// The key that keyroll made, which is alive.
    #[track_caller]
    pub fn new_key(&self) -> String {
        let keys = self.issuer.keys();
        let mut made = keys.iter().filter(|key| key.label.starts_with("keyroll/") && key.id != self.old);
        let (Some(one), None) = (made.next(), made.next()) else { panic!("{keys:?}") };
        one.id.clone()
    }

    pub fn is_alive(&self, id: &str) -> bool {
        self.issuer.keys().iter().any(|key| key.id == id && !key.disabled)
    }

    /// Nothing was revoked, and both keys of an open rotation are alive.
    #[track_caller]
    pub fn both_work(&self) {
        self.both_work_since(&[]);
    }

    /// The same, where earlier rotations revoked these.
    #[track_caller]
    pub fn both_work_since(&self, revoked: &[String]) {
        assert_eq!(self.issuer.deletions(), revoked);
        assert!(self.is_alive(&self.old) && self.is_alive(&self.new_key()), "{:?}", self.issuer.keys());
    }

    /// The calls of pods and of checks that were refused, and the pods of which a call failed in any other way: those the issuer
    /// may never have seen. A check is seen to fail with a value that nobody has.
    #[track_caller]
    pub fn refused(&self) -> Vec<String> {
        let mut refused = self.issuer.refused_workers();
        refused.retain(|call| call != CONTROL);
        let before = self.answered();
        let counted = self.counted();
        let after = self.answered();
        // A pod counts what it sends before that, and what was answered after it.
        for (pod, answered) in &before {
            let sent = counted.get(pod).map_or(0, |calls| calls.sent);
            assert!(*answered <= sent, "the issuer answered {answered} calls of {pod}, which counted {sent}");
        }
        for (pod, calls) in counted {
            let answered = after.get(&pod).copied().unwrap_or_default();
            assert!(calls.answered <= answered, "{pod}: {} calls were answered by nobody", calls.answered);
            if calls.failed > 0 {
                refused.push(format!("{pod}: {} of its calls failed", calls.failed));
            }
        }
        refused
    }

    /// How many calls of each pod the issuer accepted.
    pub fn answered(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for (worker, _) in self.issuer.accepted_calls().into_iter().filter(|(worker, _)| worker != CHECK) {
            *all.entry(worker).or_default() += 1;
        }
        all
    }

    /// What each pod counted.
    fn counted(&self) -> BTreeMap<String, Calls> {
        let of = |path: PathBuf| {
            let pod = path.file_name().unwrap().to_str().unwrap().to_owned();
            (pod, Calls::read(&fs::read_to_string(path).unwrap()))
        };
        files(&self.outside.path().join(COUNTS)).into_iter().map(of).collect()
    }

    /// A rotation has ended: this key alone is alive, no rotation is open, and nothing of a probe is left.
    #[track_caller]
    pub fn settled(&self, id: &str) {
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && self.is_alive(id), "{keys:?}");
        let status = self.run(&["status"]);
        status.exits(0);
        assert!(status.of("paused").is_empty(), "a rotation is open: {}", status.text);
        let probes = ["get", "jobs,pods,secrets", "-l", "keyroll.dev/probe", "-o", "name"];
        self.cluster.wait("the end of every probe", || self.kubectl(&probes).trim().is_empty());
    }

    /// What keyroll asked of the API server.
    pub fn asked(&self) -> Vec<Value> {
        let log = self.cluster.audit_log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["user"]["username"] == self.user).collect()
    }

    /// What keyroll changed, in this order: `patch deployments/agent`. A dry run changes nothing.
    pub fn writes(&self) -> Vec<String> {
        let verbs = ["create", "patch", "update", "delete"];
        let is_write = |event: &&Value| {
            let resource = event["objectRef"]["resource"].as_str().unwrap_or_default();
            let done = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
            let tries = event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun=All"));
            verbs.iter().any(|verb| event["verb"] == *verb)
                && !resource.starts_with("selfsubject")
                && done
                && !tries
        };
        let shown = |event: &Value| {
            let of = |name: &str| text(&event["objectRef"][name]);
            format!("{} {}/{}", text(&event["verb"]), of("resource"), of("name"))
        };
        self.asked().iter().filter(is_write).map(shown).collect()
    }

    /// keyroll ran nothing in a container, and read no log.
    #[track_caller]
    pub fn nothing_was_run_in_pods(&self) {
        let asked = self.asked();
        assert!(!asked.is_empty(), "keyroll asked for nothing");
        for event in asked.iter().filter(|event| event["objectRef"]["resource"] == "pods") {
            assert!(event["objectRef"]["subresource"].is_null(), "{event}");
        }
    }

    /// What finds each value that there was.
    #[track_caller]
    pub fn needles(&self) -> Needles {
        let mut values = self.issuer.values();
        values.retain(|value| self.issuer.whose(value).is_some() || value.starts_with(b"admin_"));
        assert!(values.len() >= 2, "{} values were looked for", values.len());
        needles_of(&values)
    }

    /// No value is in anything that keyroll said or wrote, or in what the cluster shows and recorded.
    #[track_caller]
    pub fn nothing_leaked(&self) {
        let needles = self.needles();
        let said = self.said.borrow();
        assert!(!said.is_empty());
        assert!(said.iter().all(|text| needles.is_clean(text.as_bytes())), "a value was said");
        let log = self.cluster.audit_log();
        assert!(!log.is_empty() && needles.is_clean(log.as_bytes()), "a request was recorded with a value");
        let shown = self.kubectl(&["get", SHOWN, "-o", "yaml", "--show-managed-fields"]);
        assert!(needles.is_clean(shown.as_bytes()), "an object has a value");
        // All of them but their data.
        let secrets = ["get", "secrets", "-o", "jsonpath={.items[*].metadata}", "--show-managed-fields"];
        let secrets = self.kubectl(&secrets);
        assert!(needles.is_clean(secrets.as_bytes()), "a Secret has a value beside its data");
        let admin = self.dir().join("admin.key");
        for path in files(self.home.path()).into_iter().filter(|path| *path != admin) {
            assert!(needles.is_clean(&fs::read(&path).unwrap()), "{} has a value", path.display());
        }
        logs_are_clean(&self.cluster, &needles, &PARTS);
    }
}

/// What runs the Deployment of [`Scene::with_deployment`].
pub const AGENT: &str = "deployment = \"agent\", container = \"app\"";

/// keyroll, in a namespace of processes of its own.
pub fn apart(words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "--kill-child", "sh", "-c", FIRST, "sh", KEYROLL]).args(words);
    command
}

/// Kills everything in the namespace of processes that this process made, and waits for it.
pub fn kill_all_of(unshare: u32) {
    let children = children_of(i32::try_from(unshare).unwrap()).into_iter();
    children.filter_map(|pid| u32::try_from(pid).ok()).for_each(|pid| kill(&OnceLock::from(pid)));
}

/// The processes that the first thread of a process has made.
fn children_of(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Adds an entry to a list, which may not be there yet.
fn add(list: &mut Value, entry: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(entry);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
