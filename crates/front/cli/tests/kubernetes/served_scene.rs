//! A scene with `keyroll serve --kubernetes`, and the objects that people apply. The server runs in a namespace of processes of
//! its own, as in a pod: when it is killed, its drivers end with it. It has exactly the rights that keyroll prints.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::panicking;

use keyroll_testkit::command::{has_ended, wait};
use keyroll_testkit::{Kubernetes, alphanumeric, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::rotate_scene::{KEY, KEYROLL, SECRET, Scene, Takes, apart, is_here_or_skip, kill_all_of, shared};
use crate::hostile::scene::{files, put};

/// The kind of the objects, as kubectl takes it.
const KIND: &str = "secretrotations.keyroll.dev";

/// The object of a scene, and how kubectl names it.
pub const NAME: &str = "acme";
pub const OBJECT: &str = "secretrotations.keyroll.dev/acme";

/// The annotations by which people ask.
pub const ROTATE: &str = "keyroll.dev/rotate";
pub const CONFIRM: &str = "keyroll.dev/confirm";
pub const ABORT: &str = "keyroll.dev/abort";
pub const KEY_ID: &str = "keyroll.dev/key-id";

/// What happens to an object in a rotation that a person consents to.
pub const STORY: [&str; 4] = ["RotationBegan", "ConsumerMoved", "NeedsConsent", "RotationDone"];

/// What else anybody may be shown, in both namespaces.
const SHOWN: &str = "secretrotations.keyroll.dev,leases,events,roles,rolebindings,configmaps";

/// The words by which a process drives a rotation.
const DRIVES: [&str; 4] = ["apply", "resume", "retry", "abort"];

/// The files of what people install.
pub fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/kubernetes").join(name)
}

/// What a server's base file says.
pub struct Base<'a> {
    /// The namespace of the Lease, and the one that is followed.
    pub home: &'a str,
    pub namespace: &'a str,
    /// The context of a client's file, and that file; none: the service account of the pod.
    pub login: Option<(&'a str, &'a Path)>,
    /// The folder of the tokens, and that of what objects refer to.
    pub tokens: &'a Path,
    pub folder: &'a Path,
    /// More lines of `[server]`.
    pub server: &'a str,
}

impl Base<'_> {
    pub fn text(&self) -> String {
        let host = |name: &str, namespace: &str| {
            let (context, file) = match self.login {
                Some((context, file)) => (context, format!("kubeconfig = \"{}\"\n", file.display())),
                None => ("in-cluster", String::new()),
            };
            format!("[hosts.{name}]\nconnect = \"kube://{context}/{namespace}\"\n{file}\n")
        };
        let (tokens, folder) = (self.tokens.display(), self.folder.display());
        format!(
            "version = 1\n\n{}{}[server]\nlisten = \"127.0.0.1:{}\"\n{}\n\
             [server.emergency]\nadmin_token = \"file:{tokens}/admin\"\n\n\
             [server.kubernetes]\nhome = \"keyroll\"\n\n\
             [server.kubernetes.namespaces.shop]\nfolder = \"{folder}\"\n",
            host("keyroll", self.home),
            host("shop", self.namespace),
            free_port().unwrap(),
            self.server,
        )
    }
}

/// A server that runs, with everything below it.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// The process that listens.
    #[track_caller]
    pub fn listener(&self) -> Pid {
        let mut found = None;
        wait("the process of the server", || {
            let first = children(pid_of(self.child.id()));
            let mut below = first.into_iter().flat_map(children);
            found = below.find(|pid| words_of(*pid).iter().any(|word| word == "serve"));
            found.is_some()
        });
        found.unwrap()
    }

    /// The processes that drive rotations.
    #[track_caller]
    pub fn drivers(&self) -> Vec<Pid> {
        let drives = |pid: &Pid| words_of(*pid).iter().any(|word| DRIVES.contains(&word.as_str()));
        children(self.listener()).into_iter().filter(drives).collect()
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.listener(), signal).unwrap();
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Awaits its end; its exit code.
    #[track_caller]
    pub fn ended(mut self) -> Option<i32> {
        wait("the end of the server", || !self.runs());
        self.child.wait().unwrap().code()
    }

    /// Ends all of it at once, as the end of a pod would.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.runs() {
            kill_all_of(self.child.id());
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The place of one server: what it is given, writes and keeps.
#[derive(Clone)]
pub struct Place {
    pub config: PathBuf,
    pub state: PathBuf,
    base: PathBuf,
}

pub struct Served {
    pub scene: Scene,
    /// The namespace of the Lease and of the service account.
    pub home: String,
    pub place: Place,
    pub server: Option<Server>,
    /// The file of the client that keyroll is.
    login: PathBuf,
    /// How many servers were started.
    started: Cell<usize>,
    /// What had been revoked when the last rotation was asked for.
    revoked: RefCell<Vec<String>>,
    /// The status that was seen last.
    last: RefCell<Value>,
}

impl Served {
    /// In a namespace of the cluster that scenes share, with a workload and without an object; the server runs. `None` where a
    /// cluster cannot run.
    pub fn raise(left_out: &str) -> Option<Self> {
        Self::raise_with(left_out, "")
    }

    /// The same with more lines of `[server]`.
    pub fn raise_with(left_out: &str, server: &str) -> Option<Self> {
        is_here_or_skip(left_out).then(|| Self::beside(shared(), server))
    }

    /// The same in this cluster.
    pub fn beside(cluster: Arc<Kubernetes>, server: &str) -> Self {
        let scene = Scene::beside(cluster);
        let home = format!("{}-home", scene.namespace);
        let mut served = Self::of(scene, &home, server);
        served.serve();
        served
    }

    /// Without a server yet.
    pub fn of(mut scene: Scene, home: &str, server: &str) -> Self {
        let cluster = scene.cluster.clone();
        cluster.apply(&fs::read_to_string(deployed("base/crd.yaml")).unwrap());
        cluster.kubectl(&["wait", "--for=condition=Established", &format!("crd/{KIND}"), "--timeout=100s"]);
        cluster.kubectl(&["create", "namespace", home]);
        cluster.kubectl(&["-n", home, "create", "serviceaccount", "keyroll"]);
        let login = cluster.kubeconfig_for("keyroll", home);
        scene.user = format!("system:serviceaccount:{home}:keyroll");
        drop(cluster);
        let at = |name: &str| scene.home().join(name);
        let place = Place { config: at("config/keyroll.toml"), state: at("state"), base: at("base.toml") };
        let folder = |path: PathBuf| fs::DirBuilder::new().mode(0o700).create(path).unwrap();
        folder(at("tokens"));
        folder(at("log"));
        // Commands at the terminal go by what the server writes.
        scene.environment.push(("KEYROLL_CONFIG", place.config.display().to_string()));
        let served = Self {
            scene,
            home: home.to_owned(),
            place,
            server: None,
            login,
            started: Cell::new(0),
            revoked: RefCell::default(),
            last: RefCell::default(),
        };
        served.write_base(&served.place, server);
        let (base, token) = (served.place.base.display().to_string(), served.tokens().join("ada.token"));
        let token = token.display().to_string();
        served.scene.run(&["--config", &base, "token", "new", "ada", "--out", &token]).exits(0);
        served.grant();
        served.scene.create(&served.scene.workload("Deployment", "agent", Takes::Env));
        served.scene.is_rolled_out("deployment/agent");
        served
    }

    pub fn tokens(&self) -> PathBuf {
        self.scene.home().join("tokens")
    }

    /// A place beside the first, with a state of its own.
    pub fn second_place(&self) -> Place {
        let at = |name: &str| self.scene.home().join("second").join(name);
        fs::create_dir(self.scene.home().join("second")).unwrap();
        let place = Place { config: at("config/keyroll.toml"), state: at("state"), base: at("base.toml") };
        self.write_base(&place, "");
        place
    }

    fn write_base(&self, place: &Place, server: &str) {
        put(&place.base, &[&self.base(("limited", &self.login), server)], 0o644);
    }

    fn base(&self, login: (&str, &Path), server: &str) -> String {
        let (tokens, folder) = (self.tokens(), self.scene.dir());
        let base = Base {
            home: &self.home,
            namespace: &self.scene.namespace,
            login: Some(login),
            tokens: &tokens,
            folder: &folder,
            server,
        };
        base.text()
    }

    /// Gives the service account the rights that keyroll prints for the objects that are there. Who asks may see all of them.
    pub fn grant(&self) {
        let base = self.scene.home().join("rights.toml");
        fs::write(&base, self.base(("admin", self.scene.cluster.kubeconfig()), "")).unwrap();
        let account = format!("{}/keyroll", self.home);
        let mut command = Command::new(KEYROLL);
        // Of the objects that the server has taken up, if there is one.
        command.arg("--config").arg(&self.place.config);
        command.args(["serve", "--rights", "--account", &account, "--kubernetes"]).arg(base);
        command.current_dir(self.scene.home()).env_clear().env("HOME", self.scene.home());
        let printed = command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).output().unwrap();
        let problem = String::from_utf8_lossy(&printed.stderr);
        assert!(printed.status.success(), "{problem}");
        self.scene.cluster.apply(&String::from_utf8(printed.stdout).unwrap());
        let (namespace, home) = (self.scene.namespace.as_str(), self.home.as_str());
        for [verb, what, namespace] in [["list", KIND, namespace], ["create", "leases", home]] {
            let may = ["auth", "can-i", verb, what, "--namespace", namespace, "--as", &self.scene.user];
            self.scene.cluster.wait("the rights of the role", || self.scene.cluster.does(&may));
        }
    }
}

/// The server.
impl Served {
    /// Starts a server at this place.
    pub fn started_at(&self, place: &Place) -> Server {
        self.started.set(self.started.get() + 1);
        let log = self.scene.home().join(format!("log/serve-{}", self.started.get()));
        let out = fs::File::create_new(&log).unwrap();
        let [config, state, base] =
            [&place.config, &place.state, &place.base].map(|path| path.display().to_string());
        let mut command =
            apart(&["--config", &config, "--state", &state, "--no-input", "serve", "--kubernetes", &base]);
        command.current_dir(self.scene.home()).env_clear().env("HOME", self.scene.home());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        Server { child: command.spawn().unwrap(), log }
    }

    /// Starts the server.
    pub fn serve(&mut self) {
        assert!(self.server.is_none(), "it runs");
        self.server = Some(self.started_at(&self.place));
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a server")
    }

    /// Ends it as a lost node would.
    pub fn kill(&mut self) {
        self.server.take().expect("a server").kill();
    }

    /// Who has the Lease; empty: nobody.
    pub fn holder(&self) -> String {
        let lease = ["-n", self.home.as_str(), "get", "lease", "keyroll", "--ignore-not-found", "-o"];
        let path = ["jsonpath={.spec.holderIdentity}"];
        self.scene.cluster.kubectl(&[&lease[..], &path].concat()).trim().to_owned()
    }

    /// What keyroll calls the secret.
    pub fn secret(&self) -> String {
        format!("{}.{NAME}", self.scene.namespace)
    }

    /// Whether the file that the server writes has the secret.
    pub fn is_composed(&self) -> bool {
        fs::read_to_string(&self.place.config).unwrap().contains(&format!("[secrets.\"{}\"", self.secret()))
    }

    /// Every rotation that the journal has, oldest first or last: by their outcomes.
    pub fn outcomes(&self) -> Vec<Value> {
        let past = self.scene.run(&["history"]);
        past.exits(0);
        past.of("past").iter().map(|one| one["outcome"].clone()).collect()
    }
}

/// Objects.
impl Served {
    /// What people write of one consumer.
    pub fn consumer(&self, kind: &str, name: &str, takes: Takes) -> Value {
        let mut consumer = json!({
            "name": name,
            "runs": { "container": "app" },
            "reads": { "secret": SECRET, "key": KEY },
            "check": { "exec": self.scene.check(takes) },
        });
        consumer["runs"][kind] = json!(name);
        consumer
    }

    /// The `spec` with the one workload of the scene.
    pub fn spec(&self) -> Value {
        self.spec_of(&[self.consumer("deployment", "agent", Takes::Env)])
    }

    pub fn spec_of(&self, consumers: &[Value]) -> Value {
        json!({
            "issuer": "file:./acme.toml",
            "admin": "file:./admin.key",
            "unit_deadline": "150s",
            "revoke": { "old_idle_for": "0s", "soak": "0s" },
            "consumers": consumers,
        })
    }

    /// Applies the object of this name with this `spec`.
    pub fn apply_as(&self, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "keyroll.dev/v1alpha1",
            "kind": "SecretRotation",
            "metadata": { "name": name, "namespace": self.scene.namespace },
            "spec": spec,
        });
        self.scene.create(&object);
    }

    pub fn apply(&self, spec: &Value) {
        self.apply_as(NAME, spec);
    }

    /// Applies it, and gives the rights that it needs.
    #[track_caller]
    pub fn declare(&self, spec: &Value) {
        self.apply(spec);
        let table = format!("[secrets.\"{}.{NAME}\"]", self.scene.namespace);
        let has_it = || fs::read_to_string(&self.place.config).is_ok_and(|text| text.contains(&table));
        self.scene.cluster.wait("the object in the configuration", has_it);
        self.grant();
    }

    /// The same, and waits until keyroll has its value.
    #[track_caller]
    pub fn is_ready(&self, spec: &Value) -> Value {
        self.declare(spec);
        self.waits_for("the phase Ready", |status| status["phase"] == "Ready")
    }

    /// The object as the API server has it.
    pub fn shown(&self) -> Value {
        self.scene.object(OBJECT)
    }

    pub fn status(&self) -> Value {
        let status = self.shown()["status"].clone();
        self.last.replace(status.clone());
        status
    }

    /// Waits for a status.
    #[track_caller]
    pub fn waits_for(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut status = Value::Null;
        self.scene.cluster.wait_late(what, || {
            status = self.status();
            is(&status)
        });
        status
    }

    /// Status, reason and message of a condition; empty where it is not there.
    pub fn condition(&self, kind: &str) -> (String, String, String) {
        let shown = self.shown();
        let all = shown["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let one = all.into_iter().find(|one| one["type"] == kind).unwrap_or_default();
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// The status is about the present `spec`.
    pub fn is_about_this_spec(&self) -> bool {
        let shown = self.shown();
        shown["status"]["observedGeneration"] == shown["metadata"]["generation"]
    }

    /// Asks for something.
    pub fn annotate(&self, key: &str, value: &str) {
        self.scene.kubectl(&["annotate", "--overwrite", OBJECT, &format!("{key}={value}")]);
    }

    /// What happened to objects of this namespace, by the reasons of events.
    pub fn events(&self) -> BTreeSet<String> {
        let all: Value = serde_json::from_str(&self.scene.kubectl(&["get", "events", "-o", "json"])).unwrap();
        let all = all["items"].as_array().unwrap();
        let own = all.iter().filter(|one| one["involvedObject"]["kind"] == "SecretRotation");
        own.map(|one| one["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits for an event.
    #[track_caller]
    pub fn happened(&self, reason: &str) {
        self.scene.cluster.wait(&format!("the event {reason}"), || self.events().contains(reason));
    }
}

/// Rotations.
impl Served {
    /// Asks for a rotation; its id.
    #[track_caller]
    pub fn rotate(&self) -> String {
        self.revoked.replace(self.scene.issuer.deletions());
        let asked = alphanumeric(8);
        self.annotate(ROTATE, &asked);
        let is = |status: &Value| status["asked"]["rotate"] == asked && status["asked"]["plan"].is_string();
        let status = self.waits_for("the plan that was asked for", is);
        status["asked"]["plan"].as_str().unwrap().to_owned()
    }

    /// Waits until the new key was given to the cluster.
    #[track_caller]
    pub fn is_in_the_middle(&self) {
        let given = || self.scene.given_out().as_ref() != Some(&self.scene.old);
        self.scene.cluster.wait("the new key in the Secret", given);
        self.both_work();
    }

    /// Nothing was revoked since the rotation was asked for, and both of its keys are alive.
    #[track_caller]
    pub fn both_work(&self) {
        self.scene.both_work_since(&self.revoked.borrow());
    }

    /// Waits until a rotation waits for the consent of a person; its status.
    #[track_caller]
    pub fn waits_for_consent(&self, id: &str) -> Value {
        self.is_in_the_middle();
        self.happened("ConsumerMoved");
        let asks = format!("{CONFIRM}={id}");
        let waits = |status: &Value| {
            status["phase"] == "Waiting"
                && status["message"].as_str().is_some_and(|said| said.contains(&asks))
        };
        let status = self.waits_for("the question for consent", waits);
        assert_eq!(status["rotation"]["id"], id, "{status}");
        assert_eq!(status["rotation"]["waits"]["person"], true, "{status}");
        assert_eq!(status["rotation"]["oldKey"], "alive", "{status}");
        self.both_work();
        status
    }

    /// Consents, with the command that the message has.
    #[track_caller]
    pub fn consents(&self, status: &Value) {
        let command = command_in(status["message"].as_str().unwrap(), CONFIRM);
        self.scene.cluster.kubectl(&command.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Waits until a rotation has ended, and how.
    #[track_caller]
    pub fn ended(&self, id: &str, outcome: &str) -> Value {
        let ended = |status: &Value| status["lastRotation"]["id"] == id && status["rotation"].is_null();
        let status = self.waits_for("the end of the rotation", ended);
        assert_eq!(status["lastRotation"]["outcome"], outcome, "{status}");
        status
    }

    /// The old key has ended, the new one is used, no call failed and no value was said.
    #[track_caller]
    pub fn is_rotated(&self) -> String {
        let new = self.scene.new_key();
        assert!(!self.scene.is_alive(&self.scene.old), "the old key is alive");
        assert_eq!(self.scene.given_out().as_ref(), Some(&new));
        self.scene.is_on("agent", &new);
        self.scene.settled(&new);
        assert_eq!(self.scene.refused(), [] as [String; 0]);
        self.nothing_leaked();
        new
    }

    /// The first key alone is alive, and used by all.
    #[track_caller]
    pub fn is_rolled_back(&self) {
        let old = &self.scene.old;
        assert!(!self.scene.issuer.deletions().contains(old), "the old key was ended");
        assert_eq!(self.scene.given_out().as_ref(), Some(old));
        self.scene.is_rolled_out("deployment/agent");
        self.scene.is_on("agent", old);
        self.scene.settled(old);
        assert_eq!(self.scene.refused(), [] as [String; 0]);
        self.nothing_leaked();
    }

    /// No value is in what keyroll said, wrote and showed, or in what the cluster recorded of it.
    #[track_caller]
    pub fn nothing_leaked(&self) {
        let needles = self.scene.needles();
        for namespace in [&self.home, &self.scene.namespace] {
            let words = ["-n", namespace.as_str(), "get", SHOWN, "-o", "yaml", "--show-managed-fields"];
            let shown = self.scene.cluster.kubectl(&words);
            assert!(shown.contains("kind: Role"), "nothing is shown in {namespace}: {shown}");
            assert!(needles.is_clean(shown.as_bytes()), "an object of {namespace} has a value");
        }
        // What the servers wrote is among the files that this searches.
        let logs = files(&self.scene.home().join("log"));
        assert!(self.started.get() == 0 || logs.iter().any(|log| fs::metadata(log).unwrap().len() > 0));
        self.scene.nothing_leaked();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if !panicking() {
            return;
        }
        eprintln!("the status that was seen last: {:#}", self.last.borrow());
        for at in 1..=self.started.get() {
            let log = self.scene.home().join(format!("log/serve-{at}"));
            eprintln!("── {}\n{}", log.display(), fs::read_to_string(&log).unwrap_or_default());
        }
    }
}

/// The words of the command of kubectl in a sentence that has this one in it, without the first.
#[track_caller]
fn command_in(said: &str, word: &str) -> Vec<String> {
    let bare = |word: &str| word.trim_matches(|c: char| "`'\"".contains(c)).to_owned();
    let command = said.split("kubectl ").skip(1).find(|command| command.contains(word));
    let mut words = command.unwrap_or_else(|| panic!("no command with {word}: {said}")).split_whitespace();
    let mut all = Vec::new();
    for one in words.by_ref() {
        all.push(bare(one));
        if one.contains(word) {
            break;
        }
    }
    all.extend(words.take_while(|one| one.starts_with("--")).map(bare));
    let last = all.last_mut().expect("a word");
    *last = last.trim_end_matches(|c: char| ".,;:)`'\"".contains(c)).to_owned();
    all
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// The children of a process.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().map(|id| pid_of(id.parse().unwrap())).collect::<Vec<_>>())
        .collect()
}

/// The words that a process was started with.
fn words_of(pid: Pid) -> Vec<String> {
    let text = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Kills a process, and waits until it is gone.
#[track_caller]
pub fn kill(pid: Pid) {
    // It may have ended by itself.
    let _ = kill_process(pid, Signal::KILL);
    wait("the end of a process", || has_ended(pid));
}
