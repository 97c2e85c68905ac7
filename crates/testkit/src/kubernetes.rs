mod configuration;
mod image;
mod program;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::configuration::{Place, by_certificate, kubeconfig};
use crate::engine::have;
use crate::free_port;
use crate::keeper::Keeper;

/// How long anything that must come may take, milliseconds.
const COMES_MS_MAX: u64 = 100_000;
const LOOK_PAUSE_MS: u64 = 50;

/// How many times as long what takes minutes itself may take.
const LATE: u64 = 4;

/// How often the kubelet looks by itself: so often that a test need not wait, and so seldom that it never sees it. Its default
/// is a minute.
const OFTEN: &str = "1s";
const SELDOM: &str = "1h";

/// The port of the API server that pods know.
const API_PORT: u16 = 443;

/// The folder with the programs of Debian's package of network plugins.
const PLUGINS: &str = "/usr/lib/cni/loopback";

/// Who has a client's file `NAME.conf`: the first may do everything, the others are the cluster's parts.
const USERS: [&str; 4] = ["admin", "manager", "scheduler", "node"];

/// What makes the keys, and what runs a node.
const KEYS: &str = include_str!("kubernetes/keys.sh");
const NODE: &str = include_str!("kubernetes/node.sh");

/// The real Kubernetes 1.33.13: etcd, the API server, the controller manager and the scheduler, on loopback addresses; and,
/// where it was asked for, a node `localhost` with the kubelet and containerd, which runs pods of this machine's network
/// (`hostNetwork`) from the image `test.local/bb:1` (`imagePullPolicy: Never`; its entry point is the shell of busybox). Each
/// cluster is alone, and several run beside each other. All of it ends when this is dropped, or when this process dies.
///
/// A method that asks it for something panics where it refuses: a broken part is a broken test.
pub struct Kubernetes {
    /// They end from the first to the last.
    parts: Vec<Keeper>,
    api: Option<Keeper>,
    home: TempDir,
    kubeconfig: PathBuf,
    program: PathBuf,
    place: Place,
}

impl Kubernetes {
    /// Whether a cluster with a node can run here; otherwise a line says what is left out. This builds the program, which
    /// takes some ten minutes where it is not in the cache.
    ///
    /// # Panics
    /// If it cannot although `CI=true`.
    pub fn is_here_or_skip(left_out: &str) -> bool {
        match missing() {
            None => true,
            Some(why) => {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "{left_out} needs Kubernetes here: {why}"
                );
                eprintln!("left out: {left_out} ({why})");
                false
            }
        }
    }

    /// A cluster without a node: pods are made and stay `Pending`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn control_plane() -> Self {
        started(Self::start(None))
    }

    /// A cluster with a node. A change of a Secret is in the files of its pods within two seconds or so.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn with_node() -> Self {
        started(Self::start(Some(OFTEN)))
    }

    /// The same with a kubelet that looks at a pod only where something makes it: by itself, such a change takes an hour.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn with_slow_node() -> Self {
        started(Self::start(Some(SELDOM)))
    }

    fn start(looks: Option<&str>) -> Result<Self, String> {
        let program = program::built()?;
        let mut cluster = Self::placed(program, looks.is_some()).map_err(|error| error.to_string())?;
        cluster.run(looks).map_err(|error| error.to_string())?;
        // The controller manager ends if the API server is not ready within ten seconds.
        cluster.comes("the API server", || cluster.is_ready())?;
        cluster.control().map_err(|error| error.to_string())?;
        let there = ["get", "serviceaccount/default", "configmap/kube-root-ca.crt"];
        cluster.comes("its first service account", || cluster.is_ready() && cluster.does(&there))?;
        if looks.is_some() {
            let ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            let node = ["get", "node", "localhost", "-o", ready];
            cluster.comes("its node", || cluster.asked(&node, None).is_ok_and(|said| said == "True"))?;
        }
        Ok(cluster)
    }

    /// A cluster that does not run yet, with its keys.
    fn placed(program: PathBuf, has_node: bool) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-kubernetes-").tempdir()?;
        let port = free_port()?;
        // Nobody else has this port, so nobody else has this network.
        let [high, low] = port.to_be_bytes();
        let place = Place {
            network: Ipv4Addr::new(127, high, low, 0),
            api: if has_node { API_PORT } else { port },
            etcd: free_port()?,
            peers: free_port()?,
            kubelet: free_port()?,
        };
        let mut keys = Command::new("sh");
        keys.args(["-c", KEYS, "keys", &place.address().to_string()]).current_dir(home.path());
        done(keys.stdin(Stdio::null()).output()?)?;
        for name in USERS {
            let user = by_certificate(home.path(), name)?;
            kubeconfig(home.path(), &format!("{name}.conf"), &place.url(), (name, "default"), &user)?;
        }
        fs::write(home.path().join("audit.json"), configuration::audit_policy().to_string())?;
        let kubeconfig = home.path().join("admin.conf");
        Ok(Self { parts: Vec::new(), api: None, home, kubeconfig, program, place })
    }

    fn run(&mut self, looks: Option<&str>) -> io::Result<()> {
        let home = self.home.path();
        let etcd = self.part(&self.place.etcd(home))?;
        self.api = Some(self.part(&self.place.api_server(home))?);
        let mut parts = Vec::new();
        if let Some(looks) = looks {
            parts.push(self.node(looks)?);
        }
        parts.push(etcd);
        self.parts = parts;
        Ok(())
    }

    /// Starts what makes pods and gives them to nodes. It ends before etcd.
    fn control(&mut self) -> io::Result<()> {
        let home = self.home.path();
        for part in [configuration::manager(home), configuration::scheduler(home)] {
            let started = self.part(&part)?;
            self.parts.insert(self.parts.len().saturating_sub(1), started);
        }
        Ok(())
    }

    /// Starts the program with these words; the first is the part's name.
    fn part(&self, words: &[String]) -> io::Result<Keeper> {
        let name = words.first().map_or("", String::as_str);
        let log = File::options().create(true).append(true).open(self.at(&format!("{name}.log")))?;
        let program = self.program.display().to_string();
        let mut all = vec![program.as_str()];
        all.extend(words.iter().map(String::as_str));
        Keeper::start(&all, log)
    }

    fn node(&self, looks: &str) -> io::Result<Keeper> {
        let (home, node) = (self.home.path(), self.at("node"));
        let cgroup = format!("keyroll-{}", self.place.kubelet);
        fs::create_dir_all(node.join("cni"))?;
        fs::write(node.join("containerd.toml"), configuration::containerd(&node))?;
        fs::write(node.join("cni/node.conflist"), configuration::network().to_string())?;
        let kubelet = configuration::kubelet(&self.place, home, &cgroup, looks);
        fs::write(node.join("kubelet.json"), kubelet.to_string())?;
        let script = self.at("node.sh");
        fs::write(&script, NODE)?;
        fs::write(self.at(image::FILE), image::SCRIPT)?;
        let words = [script.as_path(), home, self.program.as_path()].map(|path| path.display().to_string());
        let [script, home, program] = &words;
        Keeper::of(&[script, home, program, &cgroup], File::create(self.at("node.log"))?)
    }

    /// A client's file, which only its owner may read, with the context `admin`, who may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Such a file with the context `limited`: a service account of this namespace, by a token of an hour.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn kubeconfig_for(&self, service_account: &str, namespace: &str) -> PathBuf {
        let token = self.kubectl(&["create", "token", service_account, "--namespace", namespace]);
        let user = json!({ "token": token.trim() });
        let file = format!("limited-{namespace}-{service_account}.conf");
        if let Err(error) =
            kubeconfig(self.home.path(), &file, &self.place.url(), ("limited", namespace), &user)
        {
            panic!("write {file}: {error}");
        }
        self.at(&file)
    }

    /// The objects, for [`Kubernetes::apply`], of a service account that has these rules, in YAML, in its namespace.
    pub fn service_account(name: &str, namespace: &str, rules: &str) -> String {
        let metadata = format!("metadata: {{name: {name}, namespace: {namespace}}}");
        format!(
            "apiVersion: v1\nkind: ServiceAccount\n{metadata}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n{metadata}\nrules: {rules}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n{metadata}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}\n\
             subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]\n"
        )
    }

    /// Starts `kubectl proxy` with this client's file, until the cluster ends: whoever asks this port of the loopback,
    /// unencrypted, asks the API server as that client.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn proxy(&mut self, kubeconfig: &Path) -> u16 {
        let started = free_port().and_then(|port| {
            let words =
                ["kubectl", "--kubeconfig", &kubeconfig.display().to_string(), "proxy"].map(str::to_owned);
            Ok((port, self.part(&[&words[..], &[format!("--port={port}")]].concat())?))
        });
        match started {
            Ok((port, proxy)) => {
                self.parts.push(proxy);
                self.wait("the proxy", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
                port
            }
            Err(error) => panic!("the proxy could not be started: {error}"),
        }
    }

    /// The program whose first argument is `kubectl`.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The URL of the API server.
    pub fn url(&self) -> String {
        self.place.url()
    }

    /// What kubectl says, with every right.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn kubectl(&self, words: &[&str]) -> String {
        match self.asked(words, None) {
            Ok(said) => said,
            Err(error) => panic!("kubectl {}: {error}", words.join(" ")),
        }
    }

    /// What kubectl says; nothing if it does not do this.
    pub fn said(&self, words: &[&str]) -> Option<String> {
        self.asked(words, None).ok()
    }

    /// Whether kubectl does this.
    pub fn does(&self, words: &[&str]) -> bool {
        self.asked(words, None).is_ok()
    }

    /// An object as the API server shows it, by `kind/name`.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn object(&self, namespace: &str, name: &str) -> Value {
        let said = self.kubectl(&["get", name, "--namespace", namespace, "-o", "json"]);
        match serde_json::from_str(&said) {
            Ok(object) => object,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// Applies these objects, on the server's side.
    #[track_caller]
    pub fn apply(&self, yaml: &str) {
        self.apply_as("kubectl", yaml);
    }

    /// The same as this writer, whose fields the API server keeps apart from those of others.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn apply_as(&self, writer: &str, yaml: &str) {
        let words = ["apply", "--server-side", "--field-manager", writer, "-f", "-"];
        if let Err(error) = self.asked(&words, Some(yaml)) {
            panic!("kubectl apply: {error}");
        }
    }

    /// Waits for something that must come; where it does not, this shows what the parts have written.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        if let Err(error) = self.comes(what, condition) {
            panic!("{error}");
        }
    }

    /// The same for what takes minutes itself, such as a rotation that waits for the nodes.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn wait_late(&self, what: &str, condition: impl FnMut() -> bool) {
        if let Err(error) = self.comes_within(COMES_MS_MAX * LATE, what, condition) {
            panic!("{error}");
        }
    }

    /// Ends the API server, as a crash would. Whoever asks it is refused the connection.
    pub fn stop_api_server(&mut self) {
        if let Some(api) = self.api.take() {
            api.kill();
        }
    }

    /// Starts it again, with everything that it had, and waits until it is ready.
    #[track_caller]
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_api_server(&mut self) {
        self.stop_api_server();
        match self.part(&self.place.api_server(self.home.path())) {
            Ok(api) => self.api = Some(api),
            Err(error) => panic!("the API server could not be started: {error}"),
        }
        self.wait("the API server", || self.is_ready());
    }

    /// A JSON object a line for each request that was answered: who asked, with which program, for what. It holds no value.
    pub fn audit_log(&self) -> String {
        fs::read_to_string(self.at("audit.log")).unwrap_or_default()
    }

    /// The end of what each part has written.
    pub fn log(&self) -> String {
        let told = self.logs().map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
            format!("── {}\n{}\n", path.display(), last.join("\n"))
        });
        told.collect()
    }

    /// Everything that each part has written, and what is left of each container's output, by its file in `node/podlogs`.
    pub fn logs_whole(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut files, mut folders) = (self.logs().collect::<Vec<_>>(), vec![self.at("node/podlogs")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        // The kubelet removes that of a pod that is gone.
        files.into_iter().filter_map(|path| fs::read(&path).ok().map(|text| (path, text))).collect()
    }

    /// The files in which the parts write what they do.
    fn logs(&self) -> impl Iterator<Item = PathBuf> {
        let folders = [self.home.path().to_owned(), self.at("node")];
        let files = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let is_log = |path: &PathBuf| path.extension().is_some_and(|end| end == "log");
        files.map(|entry| entry.path()).filter(is_log).filter(|path| !path.ends_with("audit.log"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn is_ready(&self) -> bool {
        // A client takes more processor time than this look.
        TcpStream::connect((self.place.address(), self.place.api)).is_ok()
            && self.asked(&["get", "--raw", "/readyz"], None).is_ok()
    }

    fn comes(&self, what: &str, condition: impl FnMut() -> bool) -> Result<(), String> {
        self.comes_within(COMES_MS_MAX, what, condition)
    }

    fn comes_within(&self, ms: u64, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
        let end = Instant::now() + Duration::from_millis(ms);
        while !condition() {
            if Instant::now() >= end {
                return Err(format!("in vain: {what}\n{}", self.log()));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(())
    }

    /// What kubectl says to these words and this input.
    fn asked(&self, words: &[&str], input: Option<&str>) -> io::Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("kubectl").arg("--kubeconfig").arg(&self.kubeconfig).args(words);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // One that refuses its words does not read; it says why.
        let given = child.stdin.take().map(|mut pipe| pipe.write_all(input.unwrap_or_default().as_bytes()));
        let said = done(child.wait_with_output()?)?;
        given.unwrap_or(Ok(()))?;
        Ok(said)
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        // Their data is thrown away: nothing is to be ended in good order.
        self.parts.drain(..).chain(self.api.take()).for_each(Keeper::kill);
    }
}

/// What a program said that ended well.
fn done(output: Output) -> io::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[track_caller]
#[allow(clippy::panic, reason = "a broken part is a broken test")]
fn started(cluster: Result<Kubernetes, String>) -> Kubernetes {
    match cluster {
        Ok(cluster) => cluster,
        Err(error) => panic!("Kubernetes could not be started: {error}"),
    }
}

/// Why no cluster with a node can run here.
fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("pods need root".to_owned());
    }
    let programs = ["containerd", "ctr", "runc", "busybox", "openssl", "unshare"];
    if let Some(name) = programs.into_iter().find(|name| !have(name)) {
        return Some(format!("{name} is not installed (cargo xtask parts brings it)"));
    }
    if !Path::new(PLUGINS).exists() {
        return Some(format!("{PLUGINS} is not there (cargo xtask parts brings it)"));
    }
    program::built().err()
}
