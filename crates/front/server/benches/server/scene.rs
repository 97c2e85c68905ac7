//! A folder with workers, an issuer and a keyroll.toml, and a server of the real program.
//!
//! This process holds the value of a key only while it sends it: keyroll searches the memory of every process, and one
//! that holds the old key would keep the rotation from its end.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_testkit::command::{Ran, dress, wait};
use keyroll_testkit::issuer::{Ask, Issuer, Moment};
use keyroll_testkit::{TempDir, free_port, write_program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::http::Client;

/// The secret of all consumers.
pub const SECRET: &str = "bench";

/// How long a server may take until it answers: a large journal is read whole.
const START_TIME_MAX: Duration = Duration::from_secs(600);

/// How long anything else may take.
const TIME_MAX: Duration = Duration::from_secs(180);

/// The pause between two looks whether a server answers.
const START_LOOK: Duration = Duration::from_millis(1);

/// The pause between two other looks: at most this is added to a figure.
const LOOK: Duration = Duration::from_millis(10);

/// A worker is a `sleep` with the value in its environment. The script ends the one before, waits for its end, and
/// starts the next one.
const RESTART: &str = r#"#!/bin/sh
set -eu
cd '@DIR@'
if [ -e "$1/pid" ]; then
    pid=$(cat "$1/pid")
    kill "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.005; done
fi
( . "./$1/env"; export KEY; exec setsid sleep 86400 ) </dev/null >/dev/null 2>&1 &
echo $! >"$1/pid.new"
mv "$1/pid.new" "$1/pid"
"#;

/// Dropping it ends the server and the workers by their ids.
pub struct Scene {
    pub issuer: Issuer,
    /// The key with which the issuer is administered.
    pub admin: Zeroizing<String>,
    /// A token for everything.
    pub token: Zeroizing<String>,
    /// A token that can send alerts.
    pub alert_token: Zeroizing<String>,
    /// The workers.
    pub names: Vec<String>,
    home: TempDir,
    program: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Scene {
    /// With so many workers, or with programs that ask the socket; no server yet.
    pub fn start(program: &Path, consumers: usize) -> Self {
        let (issuer, admin) = Issuer::start();
        let mut scene = Self {
            issuer,
            admin,
            token: Zeroizing::default(),
            alert_token: Zeroizing::default(),
            names: (1..=consumers).map(|number| format!("worker-{number}")).collect(),
            home: TempDir::new().unwrap(),
            program: program.to_owned(),
            port: free_port().unwrap(),
            server: None,
        };
        scene.write();
        scene.token = scene.new_token("ada", &[]);
        scene.alert_token = scene.new_token("ci", &["--alerts"]);
        scene
    }

    /// Writes the files, starts the workers, and gives keyroll the key that they have.
    fn write(&self) {
        let dir = self.dir();
        fs::create_dir_all(&dir).unwrap();
        put(&dir.join("acme.toml"), &[&spec(&self.issuer)]);
        put(&dir.join("admin.key"), &[&self.admin, "\n"]);
        put(&dir.join("keyroll.toml"), &[&self.config()]);
        write_program(&dir.join("restart.sh"), RESTART.replace("@DIR@", dir.to_str().unwrap()));
        let (id, value) = self.issuer.mint("by hand");
        for name in &self.names {
            fs::create_dir(dir.join(name)).unwrap();
            self.give(name, &value);
            self.restart(name);
        }
        wait("the workers start", || self.workers().len() == self.names.len());
        Ran::fed(&mut self.command(&["secret", "add", SECRET, "--id", &id]), &value).exits(0);
    }

    fn config(&self) -> String {
        let (listen, issuer) = (self.port, self.issuer.port());
        let own = std::env::current_exe().unwrap();
        let own = own.display();
        let mut text = format!(
            "version = 1\n\
             [server]\nlisten = \"127.0.0.1:{listen}\"\n\
             [server.emergency]\nadmin_token = \"file:./admin-token\"\n\
             [server.alerts]\ntokens = \"file:./alert-tokens\"\n\
             [secrets.{SECRET}]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
             emergency_revoke = true\nemergencies_per_day = 100\n\
             [secrets.{SECRET}.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n"
        );
        if self.names.is_empty() {
            let uid = rustix::process::getuid().as_raw();
            text = text.replace("[server]\n", "[server]\nsocket = \"./values.sock\"\n");
            text += &format!(
                "[[secrets.{SECRET}.consumers]]\nname = \"programs\"\n\
                 serves = {{ uid = \"{uid}\", exe = \"{own}\" }}\ntrusts = \"own word\"\n"
            );
        }
        for name in &self.names {
            text += &format!(
                "[[secrets.{SECRET}.consumers]]\nname = \"{name}\"\n\
                 runs = {{ restart = [\"./restart.sh\", \"{name}\"], pid_file = \"./{name}/pid\" }}\n\
                 reads = [{{ env_file = \"./{name}/env\", variable = \"KEY\" }}]\n\
                 check = {{ exec = [\"{own}\", \"check\", \"{issuer}\", \"{{copy}}\"] }}\n"
            );
        }
        text
    }

    fn new_token(&self, name: &str, flags: &[&str]) -> Zeroizing<String> {
        let file = format!("{name}.token");
        self.run(&[&["token", "new", name, "--out", &file], flags].concat()).exits(0);
        let text = Zeroizing::new(fs::read_to_string(self.dir().join(file)).unwrap());
        Zeroizing::new(text.trim().to_owned())
    }

    /// The folder of keyroll.toml.
    fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The socket of a scene without workers: its programs take the value from there.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("values.sock")
    }

    pub fn resident_kib(&self) -> u64 {
        let server = self.server.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{server}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn witness(&self) -> PathBuf {
        self.home.path().join("state.keys/witness")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("serve.log")
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words);
        dress(&mut command, &self.dir(), self.home.path());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }

    /// An ordinary rotation, from its plan to the dead key.
    pub fn rotate(&self) {
        let planned = self.run(&["plan", SECRET]);
        let id = planned.exits(0).of("plan")[0]["id"].as_str().unwrap().to_owned();
        self.run(&["apply", &id, "--confirm", SECRET]).exits(0).ended("done");
    }

    /// Starts the server; how long it took until `/health` was answered with 200.
    pub fn serve(&mut self) -> Duration {
        assert!(self.server.is_none(), "a server runs");
        let log = File::create(self.log()).unwrap();
        let mut command = self.command(&["serve"]);
        command.stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let server = self.server.insert(command.spawn().unwrap());
        loop {
            let answer = Client::to(self.port).and_then(|mut client| client.send("GET", "/health", &[], b""));
            if answer.is_ok_and(|answer| answer.code == 200) {
                return begun.elapsed();
            }
            assert_eq!(server.try_wait().unwrap(), None, "the server ended");
            assert!(begun.elapsed() < START_TIME_MAX, "the server does not answer");
            thread::sleep(START_LOOK);
        }
    }

    /// Asks the server to end, and waits for that.
    pub fn stop(&mut self) {
        let server = self.server.as_mut().unwrap();
        kill_process(pid(server.id()), Signal::TERM).unwrap();
        let status = poll("the server ends", || server.try_wait().unwrap());
        assert!(status.success(), "the server ended with {status}");
        self.server = None;
    }

    pub fn client(&self) -> Client {
        Client::to(self.port).unwrap()
    }

    /// What the server answers to a read.
    pub fn read(&self, client: &mut Client, path: &str) -> Value {
        let answer = client.send("GET", path, &["X-Admin-Token: ", &self.token, "\r\n"], b"").unwrap();
        assert_eq!(answer.code, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// The newest rotation.
    pub fn newest(&self, client: &mut Client) -> Option<String> {
        let all = self.read(client, "/v1/rotations");
        all["rotations"][0]["rotation"].as_str().map(str::to_owned)
    }

    /// Waits until the server has no driver.
    pub fn idle(&self) {
        let server = self.server.as_ref().unwrap().id();
        let tasks = PathBuf::from(format!("/proc/{server}/task"));
        let busy = |task: PathBuf| fs::read_to_string(task.join("children")).is_ok_and(|all| !all.is_empty());
        wait("the drivers end", || !fs::read_dir(&tasks).unwrap().flatten().any(|task| busy(task.path())));
    }

    /// From now on: the moment of the next request at the issuer, whatever it asks.
    pub fn first_request(&self) -> Arc<OnceLock<Instant>> {
        let first = Arc::<OnceLock<Instant>>::default();
        for ask in [Ask::Me, Ask::List, Ask::Mint, Ask::Sessions, Ask::Refusals] {
            let first = first.clone();
            // Only the first one counts.
            self.issuer.trap(
                ask,
                Moment::Meanwhile,
                |_| true,
                move || {
                    let _ = first.set(Instant::now());
                },
            );
        }
        first
    }

    /// The value that a worker's file holds.
    pub fn value(&self, name: &str) -> Zeroizing<String> {
        let text = Zeroizing::new(fs::read_to_string(self.dir().join(name).join("env")).unwrap());
        Zeroizing::new(text.trim_end().strip_prefix("KEY=").unwrap().to_owned())
    }

    /// The id of that value's key.
    pub fn key(&self, name: &str) -> String {
        self.issuer.whose(self.value(name).as_bytes()).unwrap()
    }

    /// Writes the value into a worker's file, as a deployment would.
    pub fn give(&self, name: &str, value: &str) {
        let file = self.dir().join(name).join("env");
        let beside = file.with_extension("new");
        put(&beside, &["KEY=", value, "\n"]);
        fs::rename(&beside, &file).unwrap();
    }

    /// Starts a worker again, by the command that keyroll uses.
    pub fn restart(&self, name: &str) {
        let status = Command::new(self.dir().join("restart.sh")).arg(name).status();
        assert!(status.unwrap().success(), "{name} starts");
    }

    /// A worker's check, by the command that keyroll uses.
    pub fn check(&self, name: &str) {
        let port = self.issuer.port().to_string();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let status = command.args(["check", &port]).arg(self.dir().join(name).join("env")).status();
        assert!(status.unwrap().success(), "{name} has a key that works");
    }

    /// The workers that run.
    fn workers(&self) -> Vec<Pid> {
        let running = |name: &String| {
            let written = fs::read_to_string(self.dir().join(name).join("pid")).ok()?;
            let number: u32 = written.trim().parse().ok()?;
            let sleeps = fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|it| it == "sleep\n");
            sleeps.then(|| pid(number))
        };
        self.names.iter().filter_map(running).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the server's log:\n{}", fs::read_to_string(self.log()).unwrap_or_default());
        }
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        for worker in self.workers() {
            let _ = kill_process(worker, Signal::TERM);
        }
    }
}

/// Looks until there is something.
pub fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + TIME_MAX;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        thread::sleep(LOOK);
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

/// A new file that only this user can read. The pieces are not joined: they may be values.
fn put(path: &Path, pieces: &[&str]) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    for piece in pieces {
        file.write_all(piece.as_bytes()).unwrap();
    }
}

/// The issuer, without its list of connections: sleepers call nobody.
fn spec(issuer: &Issuer) -> String {
    let whole = issuer.spec("5s");
    let (before, rest) = whole.split_once("[op.sessions]").unwrap();
    let (_, after) = rest.split_once("[propagation]").unwrap();
    format!("{before}[propagation]{after}")
}
