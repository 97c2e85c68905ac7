//! A folder with three instances of a service, an issuer, a store, and a keyroll.toml that names them. The instances are
//! processes that a script restarts, or containers of a compose project.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll_testkit::command::{Ran, Running, dress, end_own, killed, wait};
use keyroll_testkit::issuer::{Ask, Issuer, Key, Moment};
use keyroll_testkit::{Engine, MOTO_REGION, TempDir, alphanumeric};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::docker::shop::Shop;
use crate::hostile::scene::{files, put};
use crate::hostile::worker::read_key;
use crate::stores::cluster::{NOWHERE, TOKEN, WRITES};
use crate::stores::door::Door;
use crate::stores::kind::Kind;
use crate::stores::needles::needles_of;
use crate::stores::part::{KEY, PART};
use crate::stores::relay::{Relay, Wanted, When};
use crate::way::Act;

/// The instances of the service.
pub const INSTANCES: [&str; 3] = ["app-1", "app-2", "app-3"];

/// How long an instance waits between two calls, ms: three of them call more than a hundred times a second.
const PAUSE_MS: u32 = 20;

/// The files of the scene in which a value or a login stands by design.
const HOLD_VALUES: [&str; 12] = [
    "app/service.env",
    "shop/.env",
    "app/login",
    "others.login",
    "admin.key",
    "secret-id",
    "keyroll.conf",
    "secrets/ring.env",
    "run/there.env",
    "run/by-hand.env",
    "run/before.env",
    "run/kept.env",
];

/// Where the driver is killed.
pub enum At {
    /// At a request to the store.
    Store(Wanted, When),
    /// At the first request of the second kind after one of the first kind, which is carried out.
    StoreAfter(Wanted, Wanted, When),
    /// At a request to the issuer about such a key, or about none.
    Issuer(Ask, Moment, fn(&Key) -> bool),
    /// In the script that fetches, the one that restarts, or the program that is the store and writes: `before` or `after`
    /// its work.
    Script(&'static str, &'static str),
    /// While compose replaces the container of a service.
    Replaced(&'static str),
}

/// Dropping it ends its instances by their ids.
pub struct Scene {
    pub issuer: Issuer,
    pub relay: Relay,
    pub kind: Kind,
    /// To the fake that is the store.
    pub door: Door,
    /// Where the instances are containers.
    shop: Option<Shop>,
    home: TempDir,
    /// keyroll's login: at AWS key id and secret key, at Vault the two ids of an AppRole, at Kubernetes a kubeconfig without
    /// its token, and that. None on this host.
    login: Option<Login>,
    /// Whether requests to Kubernetes lead through the relay, as `kubectl proxy` lets them.
    relayed: bool,
    /// The program that is kubectl, where the store is a Secret.
    kubectl: Option<Zeroizing<String>>,
    store: String,
    /// Everything that commands wrote.
    said: RefCell<Vec<String>>,
    /// The id of the key that everything starts with.
    pub old: String,
}

/// An id, and what proves it.
type Login = (String, Zeroizing<String>);

/// The login of a user, by the lines of all users: name, id, secret.
fn login(users: &str, name: &str) -> Option<Login> {
    let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    let (id, secret) = line.split_once(' ')?;
    Some((id.to_owned(), Zeroizing::new(secret.to_owned())))
}

impl Scene {
    /// With the store at this address and its users in this file, as far as this kind has them. With an engine, the
    /// instances are its containers. Without an address of a Kubernetes, requests lead straight to its API server.
    pub fn new(kind: Kind, server: &str, users: &Path, door: Door, engine: Option<Engine>) -> Self {
        let users = kind.others().map(|_| Zeroizing::new(fs::read_to_string(users).unwrap()));
        let user = |name: &str| users.as_ref().and_then(|users| login(users, name));
        let (issuer, admin) = Issuer::start();
        issuer.keep_values();
        if engine.is_some() {
            issuer.keep_calls();
        }
        let (old, value) = issuer.mint("by hand");
        let home = TempDir::new().unwrap();
        let dir = home.path().join("scene");
        let (reads_at, kubectl) = user("kubectl").unzip();
        let scene = Self {
            relay: Relay::before(server),
            relayed: server != NOWHERE,
            store: reads_at.unwrap_or_else(|| kind.place(server, &dir)),
            kubectl,
            login: user("keyroll"),
            said: RefCell::default(),
            shop: engine.map(|engine| Shop::new(engine, dir.join("shop"))),
            kind,
            door,
            home,
            old,
            issuer,
        };
        for folder in ["app", "run", "log", "secrets", "shop"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        put(&dir.join("log/refused"), &[], 0o644);
        put(&dir.join("keyroll.toml"), &[&scene.configuration()], 0o644);
        put(&dir.join("acme.toml"), &[&scene.issuer.spec("2s")], 0o644);
        put(&dir.join("admin.key"), &[&admin, "\n"], 0o600);
        for (file, name) in [("app/login", Some("reader")), ("others.login", kind.others())] {
            match name.and_then(user) {
                Some((id, secret)) if kind == Kind::Kubernetes => {
                    put(&dir.join(file), &[&id.replace(TOKEN, &secret)], 0o600);
                }
                Some((id, secret)) => put(&dir.join(file), &[&id, " ", &secret, "\n"], 0o600),
                None => {}
            }
        }
        scene.put_programs();
        put(&dir.join("run/by-hand.env"), &[KEY, "=", &value, "\n"], 0o600);
        drop(value);
        scene.others("create", "copy=run/by-hand.env");
        fs::remove_file(dir.join("run/by-hand.env")).unwrap();
        scene.fetch_and_restart();
        scene.run(&["secret", "import", "ring", "--id", &scene.old]).exits(0);
        scene
    }

    /// keyroll.toml. What it says of Vault leads through the relay.
    fn configuration(&self) -> String {
        let text = match self.shop {
            Some(_) => include_str!("shop/keyroll.toml"),
            None => include_str!("keyroll.toml"),
        };
        let text = text.replace("@REFERENCE@", self.kind.reference());
        match (self.kind, &self.login) {
            (Kind::Vault, Some((role, _))) => {
                let address = self.relay.endpoint();
                let login = format!("{{ role_id = \"{role}\", secret_id = \"file:./secret-id\" }}");
                format!("{text}\n[vault]\naddress = \"{address}\"\napprole = {login}\n")
            }
            (Kind::Kubernetes, _) => {
                let cluster = "kubernetes = { kubeconfig = \"./keyroll.conf\" }\n";
                text.replace("\n[secrets.ring.revoke]", &format!("{cluster}\n[secrets.ring.revoke]"))
            }
            (Kind::Vault | Kind::Aws | Kind::File | Kind::Program, _) => text,
        }
    }

    /// keyroll's kubeconfig.
    fn kubeconfig(&self, file: &str, token: &str) -> String {
        if !self.relayed {
            return file.replace(TOKEN, token);
        }
        let mut all: Value = serde_json::from_str(file).unwrap();
        all["clusters"][0]["cluster"] = json!({ "server": self.relay.endpoint() });
        all["users"][0]["user"] = json!({});
        all.to_string()
    }

    /// The scripts, the store that is a program, and what keyroll logs in with at Vault and at Kubernetes.
    fn put_programs(&self) {
        let dir = self.dir();
        let init = match &self.kubectl {
            Some(program) => {
                let text = include_str!("kubectl.sh").replace("@KUBECTL@", program);
                put(&dir.join("kubectl"), &[&self.filled(&text)], 0o755);
                include_str!("init_by_kubectl.sh")
            }
            None => include_str!("init.sh"),
        };
        put(&dir.join("init.sh"), &[&self.filled(init)], 0o755);
        match self.shop {
            Some(_) => {
                put(
                    &dir.join("shop/compose.yaml"),
                    &[&self.filled(include_str!("shop/compose.yaml"))],
                    0o644,
                );
            }
            None => put(&dir.join("restart.sh"), &[&self.filled(include_str!("restart.sh"))], 0o755),
        }
        match (self.kind, &self.login) {
            (Kind::Program, _) => put(&dir.join("store"), &[&self.filled(include_str!("store.py"))], 0o755),
            (Kind::Vault, Some((_, secret))) => put(&dir.join("secret-id"), &[secret, "\n"], 0o600),
            (Kind::Kubernetes, Some((file, token))) => {
                put(&dir.join("keyroll.conf"), &[&self.kubeconfig(file, token)], 0o600);
            }
            (Kind::Vault | Kind::Aws | Kind::File | Kind::Kubernetes, _) => {}
        }
    }

    /// The service takes what is given out.
    pub fn fetch_and_restart(&self) {
        self.sh("./init.sh");
        match &self.shop {
            Some(shop) => {
                shop.up();
                self.issuer.forget();
                let call = || INSTANCES.iter().all(|instance| self.issuer.last_of(instance).is_some());
                wait("every container calls", call);
            }
            None => INSTANCES.iter().for_each(|instance| self.sh(&format!("./restart.sh {instance}"))),
        }
    }

    /// The compose project.
    pub fn shop(&self) -> &Shop {
        self.shop.as_ref().unwrap()
    }

    /// The file that the service has its value from.
    pub fn env_file(&self) -> &'static str {
        if self.shop.is_some() { "shop/.env" } else { "app/service.env" }
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    pub fn filled(&self, text: &str) -> String {
        let refused = self.dir().join("log/refused");
        let port = self.issuer.port();
        // A container does not see this process, ends with its engine, and has the value in its environment.
        let life = match self.shop {
            Some(_) => format!("lifeline=self copy=- from={KEY}"),
            None => format!("lifeline={} refused={} variable={KEY}", std::process::id(), refused.display()),
        };
        let words = format!("port={port} {life} pause_ms={PAUSE_MS}");
        let program = std::env::current_exe().unwrap();
        text.replace("@PROGRAM@", program.to_str().unwrap())
            .replace("@TARGET@", program.parent().unwrap().to_str().unwrap())
            .replace("@DIR@", self.dir().to_str().unwrap())
            .replace("@ENV_FILE@", self.env_file())
            .replace("@STORE@", &self.store)
            .replace("@KIND@", self.kind.word())
            .replace("@GIVEN_OUT@", self.kind.given_out())
            .replace("@WORDS@", &words)
    }

    /// A shell command in the scene's folder.
    pub fn sh(&self, text: &str) {
        let status = Command::new("sh").args(["-euc", text]).current_dir(self.dir()).status().unwrap();
        assert!(status.success(), "{text}");
    }

    /// What other people do at the store. They may write to it too.
    pub fn others(&self, part: &str, words: &str) {
        self.other_process(part, words)();
    }

    /// The same, later.
    pub fn other_process(&self, part: &str, words: &str) -> impl FnOnce() + Send + use<> {
        let text = self.words_of_others(part, words);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["stores::part", "--exact"]).env(PART, text).current_dir(self.dir());
        let part = part.to_owned();
        move || {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }

    /// The words of a part that other people play at the store.
    pub fn words_of_others(&self, part: &str, words: &str) -> String {
        format!("{part} kind={} store={} login=others.login {words}", self.kind.word(), self.store)
    }

    /// The version id of each label at AWS; elsewhere the number of the version that is given out, as `current`.
    pub fn labels(&self) -> Value {
        self.others("labels", "out=run/labels");
        serde_json::from_str(&fs::read_to_string(self.dir().join("run/labels")).unwrap()).unwrap()
    }

    /// The number of the last version, where the store counts them; at Kubernetes, how often keyroll has written.
    pub fn version(&self) -> Option<u64> {
        if self.kind == Kind::Kubernetes {
            return self.door.told(WRITES).parse().ok();
        }
        self.labels()["current"].as_u64()
    }

    /// Whose key is given out, as the host of the service sees it.
    pub fn given_out(&self) -> Option<String> {
        self.given(self.kind.given_out())
    }

    /// Whose key the store has at a label or in a version, as the host of the service sees it; its login may only read.
    pub fn given(&self, label: &str) -> Option<String> {
        self.sh(&format!("./init.sh {label} run/there.env"));
        let whose = self.holds("run/there.env");
        fs::remove_file(self.dir().join("run/there.env")).unwrap();
        whose
    }

    /// Whose key a file has.
    pub fn holds(&self, file: &str) -> Option<String> {
        let words = [("variable", KEY)].into();
        let value = Zeroizing::new(read_key(&self.dir().join(file), &words));
        self.issuer.whose(value.as_bytes())
    }

    /// A key that somebody made by hand, in `run/by-hand.env`; its id.
    pub fn made_by_hand(&self) -> String {
        let (id, value) = self.issuer.mint("by hand");
        let file = self.dir().join("run/by-hand.env");
        let _ = fs::remove_file(&file);
        put(&file, &[KEY, "=", &value, "\n"], 0o600);
        id
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(words);
        dress(&mut command, &self.dir(), self.home.path());
        if let (Kind::Aws, Some((id, secret))) = (self.kind, &self.login) {
            command
                .env("AWS_ENDPOINT_URL", self.relay.endpoint())
                .env("AWS_REGION", MOTO_REGION)
                .env("AWS_ACCESS_KEY_ID", id)
                .env("AWS_SECRET_ACCESS_KEY", secret.as_str())
                .env("AWS_EC2_METADATA_DISABLED", "true");
        }
        if let Some(shop) = &self.shop {
            command.env("DOCKER_HOST", shop.host());
        }
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        self.heard(Ran::run(&mut self.command(words)))
    }

    /// The same, with another region than that of the store.
    pub fn run_in(&self, region: &str, words: &[&str]) -> Ran {
        let mut command = self.command(words);
        command.env("AWS_REGION", region);
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

    /// A plan's id.
    #[track_caller]
    pub fn plan(&self) -> String {
        let ran = self.run(&["plan", "ring"]);
        ran.exits(0);
        ran.plan()
    }

    /// Applies a plan up to a step; returns the rotation's id.
    #[track_caller]
    pub fn until(&self, step: &str) -> String {
        let id = self.plan();
        self.run(&["apply", &id, "--confirm", "ring", "--until", step]).exits(4).paused();
        id
    }

    /// Goes on with a rotation to its end.
    #[track_caller]
    pub fn resumed(&self, id: &str) {
        self.run(&["resume", id, "--confirm", "ring"]).exits(0).ended("done");
    }

    /// Runs a command that is killed at this place.
    #[track_caller]
    pub fn killed(&self, words: &[&str], at: At) {
        let aim = |act: Act| match at {
            At::Store(wanted, when) => self.relay.trap(wanted, when, act),
            At::StoreAfter(first, wanted, when) => {
                let relay = self.relay.clone();
                self.relay.trap(first, When::Meanwhile, Box::new(move || relay.trap(wanted, when, act)));
            }
            At::Issuer(ask, moment, of) => self.issuer.trap(ask, moment, of, act),
            At::Script(script, when) => {
                fs::write(self.dir().join(format!("run/aim-{script}-{when}")), "").unwrap();
            }
            At::Replaced(service) => {
                let replaced = self.shop().replaced(service);
                std::thread::spawn(move || {
                    replaced();
                    act();
                });
            }
        };
        self.heard(killed(self.command(words), aim));
        self.issuer.disarm();
    }

    /// Everything that must be true once a rotation has ended: one live key, given out by the store, in the file, and in use by
    /// every instance; nothing is pending.
    #[track_caller]
    pub fn is_on(&self, id: &str) {
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && keys[0].id == id && !keys[0].disabled, "{keys:?}");
        assert_eq!(self.given_out().as_deref(), Some(id), "the store gives out another key");
        assert_eq!(self.holds(self.env_file()).as_deref(), Some(id), "the file has another key");
        self.issuer.forget();
        for instance in INSTANCES {
            wait("every instance calls with the live key", || {
                self.issuer.last_of(instance).as_deref() == Some(id)
            });
        }
        if self.kind == Kind::Aws {
            let labels = self.labels();
            let pending = &labels["AWSPENDING"];
            assert!(pending.is_null() || *pending == labels["AWSCURRENT"], "left pending: {labels}");
        }
        let open = self.run(&["status"]);
        open.exits(0);
        assert!(open.of("paused").is_empty(), "a rotation is open: {}", open.text);
    }

    /// The only live key that keyroll made.
    #[track_caller]
    pub fn new_key(&self) -> String {
        let keys = self.issuer.keys();
        let mut made = keys.iter().filter(|key| by_keyroll(key));
        let (Some(one), None) = (made.next(), made.next()) else { panic!("{keys:?}") };
        one.id.clone()
    }

    /// The key that keyroll made beside this one of its own.
    #[track_caller]
    pub fn new_third(&self, known: &str) -> String {
        let keys = self.issuer.keys();
        let one = keys.iter().find(|key| by_keyroll(key) && key.id != known);
        one.unwrap_or_else(|| panic!("{keys:?}")).id.clone()
    }

    pub fn was_never_refused(&self) {
        for log in files(&self.dir().join("log")) {
            let refused = fs::read_to_string(&log).unwrap().contains("was refused");
            assert!(!refused, "a call was refused: {}", log.display());
        }
        // A check is seen to fail with a value that nobody has.
        let mut refused = self.issuer.refused_workers();
        refused.retain(|call| call != "try with nobody");
        assert_eq!(refused, [] as [String; 0], "a call was refused");
    }

    /// Ends the instances, and searches everything that was said or written for a value; the values.
    pub fn end(self) -> Vec<Vec<u8>> {
        self.end_instances();
        let mut values = self.issuer.values();
        values.retain(|value| self.issuer.whose(value).is_some() || value.starts_with(b"admin_"));
        if let Some((_, secret)) = &self.login {
            values.push(secret.as_bytes().to_vec());
        }
        for login in self.kind.others().iter().flat_map(|_| ["app/login", "others.login"]) {
            let text = fs::read_to_string(self.dir().join(login)).unwrap();
            values.push(proof(&text).into_bytes());
        }
        let needles = needles_of(&values);
        for text in self.said.borrow().iter() {
            assert!(needles.is_clean(text.as_bytes()), "a value was said");
        }
        if let Some(shop) = &self.shop {
            // `inspect` is not searched: it shows the environment, where the value stands by design.
            let logs = shop.logs();
            assert!(
                String::from_utf8_lossy(&logs).contains("running 1 test"),
                "the containers wrote nothing"
            );
            assert!(needles.is_clean(&logs), "a container wrote a value");
        }
        let holds = HOLD_VALUES.map(|name| self.dir().join(name));
        for path in files(self.home.path()).into_iter().filter(|path| !holds.contains(path)) {
            assert!(needles.is_clean(&fs::read(&path).unwrap()), "{} has a value", path.display());
        }
        values
    }

    fn end_instances(&self) {
        for entry in fs::read_dir(self.dir().join("run")).into_iter().flatten().flatten() {
            let pid = fs::read_to_string(entry.path()).ok().and_then(|text| text.trim().parse::<u32>().ok());
            pid.into_iter().for_each(end_own);
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.end_instances();
        if std::thread::panicking() && std::env::var_os("KEYROLL_KEEP").is_some() {
            let kept = format!("/tmp/kept-scene-{}", alphanumeric(6));
            let _ = Command::new("cp").arg("-a").arg(self.home.path()).arg(kept).status();
        }
    }
}

/// What proves a login, by its file: the token of a kubeconfig, or else its last word.
fn proof(text: &str) -> String {
    let kubeconfig: Option<Value> = serde_json::from_str(text).ok();
    let token = kubeconfig.and_then(|file| file["users"][0]["user"]["token"].as_str().map(str::to_owned));
    token.unwrap_or_else(|| text.split_whitespace().next_back().unwrap().to_owned())
}

/// A key that keyroll made.
pub fn by_keyroll(key: &Key) -> bool {
    key.label.starts_with("keyroll/")
}

/// A key that somebody made.
pub fn by_hand(key: &Key) -> bool {
    !by_keyroll(key)
}
