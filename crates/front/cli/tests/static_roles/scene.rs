//! A folder with three instances of a service that query the database without a pause, and a keyroll.toml that names them.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keyroll_testkit::command::{Ran, Running, dress, end_own, has_ended, killed, wait};
use keyroll_testkit::{TempDir, alphanumeric, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::hostile::scene::{files, put};
use crate::postgres;
use crate::static_roles::outside::ROLES;
use crate::static_roles::part::PART;
use crate::stores::door::Door;
use crate::stores::needles::needles_of;
use crate::stores::relay::{Relay, Wanted, When};

pub const INSTANCES: [&str; 3] = ["app-1", "app-2", "app-3"];

/// The file with user, password and URL.
pub const COPY: &str = "app/service.env";

/// Queries a second of each instance.
const RATE: u32 = 40;

/// Sessions that the instances keep open.
const SESSIONS_MIN: u64 = 6;

/// So many queries show that the instances queried all the time, however busy the machine was.
const QUERIES_MIN: u64 = 100;

/// The files of the scene in which a password or a token stands by design.
const HOLD_VALUES: [&str; 4] = [COPY, "app/login", "vault.token", "watch.login"];

/// Dropping it ends its instances by their ids.
pub struct Scene {
    relay: Relay,
    door: Door,
    vault: u16,
    server: u16,
    ports: [u16; 3],
    home: TempDir,
    /// Outside of every folder that keyroll searches.
    kept: TempDir,
    /// Everything that commands wrote.
    said: RefCell<Vec<String>>,
}

impl Scene {
    /// With Vault and the server at these ports of the loopback, and what the scene logs in with in this file.
    pub fn new(vault: u16, server: u16, logins: &Path, door: Door) -> Self {
        let scene = Self {
            relay: Relay::before(&format!("127.0.0.1:{vault}")),
            door,
            vault,
            server,
            ports: INSTANCES.map(|_| free_port().unwrap()),
            home: TempDir::new().unwrap(),
            kept: TempDir::new().unwrap(),
            said: RefCell::default(),
        };
        let dir = scene.dir();
        for folder in ["app", "run", "log"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let logins = fs::read_to_string(logins).unwrap();
        for (file, line) in ["vault.token", "app/login", "watch.login"].into_iter().zip(logins.lines()) {
            put(&dir.join(file), &[line, "\n"], 0o600);
        }
        put(&dir.join("keyroll.toml"), &[&scene.filled(include_str!("keyroll.toml"))], 0o644);
        put(&dir.join("restart.sh"), &[&scene.filled(include_str!("restart.sh"))], 0o755);
        scene.fetch_and_restart(0);
        let port = format!("port={server}");
        let fields = ["--field", "host=127.0.0.1", "--field", &port, "--field", "dbname=shop"];
        scene.run(&[&["secret", "import", "orders"][..], &fields].concat()).exits(0);
        scene
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    /// A file for a password that keyroll does not find.
    pub fn kept(&self, name: &str) -> PathBuf {
        self.kept.path().join(name)
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text
            .replace("@PROGRAM@", std::env::current_exe().unwrap().to_str().unwrap())
            .replace("@DIR@", self.dir().to_str().unwrap())
            .replace("@VAULT@", &self.relay.endpoint())
            .replace("@PORT@", &self.server.to_string())
            .replace("@RATE@", &RATE.to_string())
            .replace("@LIFELINE@", &std::process::id().to_string());
        for (at, port) in (1..).zip(self.ports) {
            text = text.replace(&format!("@APP_{at}@"), &port.to_string());
        }
        text
    }

    /// Every instance takes the password of the login of a role, as Vault shows it now.
    pub fn fetch_and_restart(&self, role: usize) {
        self.fetch(role, &self.dir().join(COPY));
        for instance in INSTANCES {
            let status = Command::new(self.dir().join("restart.sh")).arg(instance).status().unwrap();
            assert!(status.success(), "{instance} starts");
        }
        self.is_used(role);
    }

    /// The env file of the login of a role, as Vault shows it now.
    pub fn fetch(&self, role: usize, out: &Path) {
        let text = format!(
            "vault=127.0.0.1:{} login={} role={} port={} out={}",
            self.vault,
            self.dir().join("app/login").display(),
            ROLES[role].0,
            self.server,
            out.display()
        );
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["static_roles::part", "--exact"]).env(PART, text).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// A part of the scenes with PostgreSQL.
    fn postgres_part(&self, words: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["postgres::part", "--exact", "--nocapture"]).env(postgres::part::PART, words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What the server answers to a login with an env file: `accepted`, or its SQLSTATE.
    pub fn answer(&self, env: &Path) -> String {
        let answer = self.home.path().join("answer");
        let words = format!("try env={} answer={}", env.display(), answer.display());
        assert!(self.postgres_part(&words).status().unwrap().success());
        fs::read_to_string(answer).unwrap()
    }

    /// Somebody else's process with a session of the login in this env file.
    pub fn somebody(&self, env: &Path) -> Child {
        let words = format!(
            "worker env={} port={} pool=1 warm_ms=0 drain_ms=0 log={} lifeline={}",
            env.display(),
            free_port().unwrap(),
            self.kept("somebody.log").display(),
            std::process::id()
        );
        self.postgres_part(&words).spawn().unwrap()
    }

    /// Keeps the file as it is now.
    pub fn keep(&self, name: &str) -> PathBuf {
        let kept = self.kept(name);
        fs::copy(self.dir().join(COPY), &kept).unwrap();
        kept
    }

    /// A word to what stands outside.
    pub fn ask(&self, word: &str) {
        self.door.ask(word);
    }

    /// How often each role was rotated, and how often somebody asked for that.
    pub fn roles(&self) -> [[u64; 2]; 2] {
        serde_json::from_str(&self.door.told("roles")).unwrap()
    }

    /// How often each role was asked to rotate; nothing else rotated it.
    #[track_caller]
    pub fn turns(&self) -> [u64; 2] {
        self.roles().map(|[rotations, asked]| {
            assert_eq!(rotations, asked, "Vault rotated more or less than it was asked to");
            asked
        })
    }

    /// The number of open sessions of the login of a role.
    pub fn sessions(&self, role: usize) -> u64 {
        let told: Value = serde_json::from_str(&self.door.told("sessions")).unwrap();
        told[ROLES[role].1].as_u64().unwrap_or_default()
    }

    pub fn pids(&self) -> [u32; 3] {
        INSTANCES.map(|instance| self.pid(instance).unwrap())
    }

    fn pid(&self, instance: &str) -> Option<u32> {
        let file = self.dir().join(format!("run/{instance}.pid"));
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(words);
        dress(&mut command, &self.dir(), self.home.path());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        self.heard(Ran::run(&mut self.command(words)))
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
        let ran = self.run(&["plan", "orders"]);
        ran.exits(0);
        ran.plan()
    }

    /// A whole rotation.
    #[track_caller]
    pub fn rotate(&self) {
        let id = self.plan();
        self.run(&["apply", &id, "--confirm", "orders"]).exits(0).ended("done");
    }

    /// Applies a plan up to a step; returns the rotation's id.
    #[track_caller]
    pub fn until(&self, step: &str) -> String {
        let id = self.plan();
        self.run(&["apply", &id, "--confirm", "orders", "--until", step]).exits(4).paused();
        id
    }

    /// Runs a command that is killed at this request to Vault, before it is carried out or before its answer comes.
    #[track_caller]
    pub fn killed(&self, words: &[&str], wanted: Wanted, when: When) {
        self.heard(killed(self.command(words), |act| self.relay.trap(wanted, when, act)));
    }

    /// Everything that must be true once a rotation has ended: the file has what Vault shows of this role, the login works, every
    /// instance uses it and none the other, and nothing is open.
    #[track_caller]
    pub fn is_on(&self, role: usize) {
        let there = self.kept("there.env");
        self.fetch(role, &there);
        let same = Command::new("cmp").arg("-s").arg(self.dir().join(COPY)).arg(&there).status().unwrap();
        assert!(same.success(), "the file has another login than {}", ROLES[role].1);
        assert_eq!(self.answer(&there), "accepted");
        self.is_used(role);
        let open = self.run(&["status"]);
        open.exits(0);
        assert!(open.of("paused").is_empty(), "a rotation is open: {}", open.text);
    }

    /// Every instance uses the login of a role, and none the other. One that has ended never will.
    #[track_caller]
    pub fn is_used(&self, role: usize) {
        wait("every instance uses the login", || {
            for instance in INSTANCES {
                let ended = self.pid(instance).is_none_or(|pid| has_ended(of_number(pid)));
                let said = || fs::read_to_string(self.dir().join(format!("log/{instance}.out")));
                assert!(!ended, "{instance} ended: {:?}", said());
            }
            self.sessions(role) >= SESSIONS_MIN && self.sessions(1 - role) == 0
        });
    }

    /// Gives keyroll the password that Vault and the file have.
    #[track_caller]
    pub fn take_over(&self) {
        self.run(&["secret", "import", "orders"]).exits(0);
    }

    /// The password in a kept file does not work any more.
    #[track_caller]
    pub fn is_dead(&self, kept: &Path) {
        assert_eq!(self.answer(kept), "28P01", "{}", kept.display());
    }

    /// Ends the instances: no query failed. Then searches everything that was said or written for a password or a token; all of
    /// them.
    pub fn end(self) -> Vec<Vec<u8>> {
        let (sent, failed) = self.queries();
        assert!(failed == 0 && sent >= QUERIES_MIN, "{sent} queries, {failed} failed");
        let values: Vec<String> = serde_json::from_str(&self.door.told("values")).unwrap();
        let values: Vec<Vec<u8>> = values.into_iter().map(String::into_bytes).collect();
        let needles = needles_of(&values);
        for text in self.said.borrow().iter() {
            assert!(needles.is_clean(text.as_bytes()), "a password was said");
        }
        let holds = HOLD_VALUES.map(|name| self.dir().join(name));
        for path in files(self.home.path()).into_iter().filter(|path| !holds.contains(path)) {
            assert!(needles.is_clean(&fs::read(&path).unwrap()), "{} has a password", path.display());
        }
        values
    }

    /// How many queries the instances made in all their lives, and how many failed. It ends them.
    fn queries(&self) -> (u64, u64) {
        let mut all = (0, 0);
        for instance in INSTANCES {
            let pid = of_number(self.pid(instance).unwrap());
            kill_process(pid, Signal::TERM).unwrap();
            wait("the end of an instance", || has_ended(pid));
            let counts = fs::read_to_string(self.dir().join(format!("log/{instance}.count"))).unwrap();
            for line in counts.lines() {
                let (sent, failed) = line.split_once(' ').unwrap();
                all = (all.0 + sent.parse::<u64>().unwrap(), all.1 + failed.parse::<u64>().unwrap());
            }
        }
        all
    }
}

fn of_number(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

impl Drop for Scene {
    fn drop(&mut self) {
        INSTANCES.into_iter().filter_map(|instance| self.pid(instance)).for_each(end_own);
        if std::thread::panicking() && std::env::var_os("KEYROLL_KEEP").is_some() {
            let kept = format!("/tmp/kept-scene-{}", alphanumeric(6));
            let _ = Command::new("cp").arg("-a").arg(self.home.path()).arg(kept).status();
        }
    }
}
