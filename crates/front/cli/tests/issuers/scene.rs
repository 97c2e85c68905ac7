//! An issuer of the kind that a shipped spec describes, a service of two instances behind a front, callers, and a
//! keyroll.toml that names them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, OnceLock};

use keyroll_testkit::command::end_own;
use keyroll_testkit::issuer::{Ask, Described, Issuer, Moment};
use keyroll_testkit::load::{Callers, Front};
use keyroll_testkit::{TempDir, free_port, write_program};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::hostile::ran::{Ran, Running, wait};

/// Requests a second at the front.
const RATE: u32 = 100;

/// Everything of the load runs on these threads.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// How long an instance may take to be moved, where the old value works for a while only: the roll must fit into that.
const IN_GRACE: &str = "\nunit_deadline = \"8s\"\nphase_deadline = \"60s\"";

/// The whole scene; dropping it ends its processes by their ids.
pub struct Scene {
    pub issuer: Issuer,
    pub spec: Described,
    /// The issuer of another key that the service uses too.
    pub side: Option<Issuer>,
    home: TempDir,
    ports: [u16; 2],
    front_port: u16,
    front: Option<Front>,
}

/// Callers at the service's address: each request is sent once.
pub struct Load<'a> {
    scene: &'a Scene,
    callers: Option<Callers>,
    sent: u64,
}

impl Scene {
    /// Everything started and ready; new and revoked keys take this long to take effect.
    pub fn of(name: &str, spread: &str) -> Self {
        Self::raised(name, spread, false)
    }

    /// The same with another key beside it, that the service uses too; both are due, and may be rotated by themselves.
    pub fn of_two(name: &str) -> Self {
        Self::raised(name, "0s", true)
    }

    fn raised(name: &str, spread: &str, two: bool) -> Self {
        let text = spec_text(name);
        let (issuer, admin) = Issuer::described(&text);
        let (home, spec) = (TempDir::new().unwrap(), Described::read(&text));
        let ports = [(); 2].map(|()| free_port().unwrap());
        let (side, side_admin) = Some(Issuer::start()).filter(|_| two).unzip();
        let front_port = free_port().unwrap();
        let mut scene = Self { issuer, spec, side, home, ports, front_port, front: None };
        scene.write(&Described::pointed_at(&text, scene.issuer.port(), spread), &admin);
        let (id, value) = scene.issuer.mint("by hand");
        let other = scene.side.as_ref().map(|side| side.mint("by hand"));
        let (before, after) = ("# The API\nLOG=info\nKEY=", "\nPOOL=4\nSIDE=");
        let beside = other.as_ref().map_or("", |(_, value)| value);
        let variables = [before, &value, after, beside, "\n"];
        let whole = [value.as_str()];
        let content = if scene.spec.is_document() { &whole[..] } else { &variables[..] };
        put(&scene.path(scene.copy()), content, 0o600);
        scene.take_in("ring", &id, &value);
        if let (Some((id, value)), Some(admin)) = (&other, &side_admin) {
            put(&scene.path("side.key"), &[admin, "\n"], 0o600);
            scene.take_in("side", id, value);
        }
        drop((value, other));
        scene.begin();
        scene
    }

    fn begin(&mut self) {
        let front = RUNTIME.block_on(Front::start(self.front_port, &self.ports)).unwrap();
        for instance in ["1", "2"] {
            let status = Command::new(self.path("restart.sh")).arg(instance).status().unwrap();
            assert!(status.success(), "api {instance} starts");
        }
        wait("both instances are ready", || self.ports.iter().all(|port| front.uses(*port)));
        self.front = Some(front);
    }

    fn write(&self, spec: &str, admin: &str) {
        for folder in ["app", "also", "run", "log"] {
            fs::create_dir_all(self.dir().join(folder)).unwrap();
        }
        let fields = self.spec.fields().into_iter().map(|(name, secret)| match secret {
            true => format!("{name} = {{}}\n"),
            false => format!("{name} = {{ secret = false }}\n"),
        });
        let fields = format!("[secrets.ring.fields]\n{}", fields.collect::<String>());
        let admins = if self.spec.needs_admin() { "admin = \"file:./admin.key\"" } else { "" };
        let limits = if self.spec.grace().is_some() { IN_GRACE } else { "" };
        let reads = match self.spec.is_document() {
            true => format!("{{ file = \"./{}\" }}", self.copy()),
            false => format!("{{ env_file = \"./{}\", variable = \"KEY\" }}", self.copy()),
        };
        let (path, header) = self.spec.call();
        let mut calls = format!("KEY;{};{path};{}", self.issuer.port(), header.replace(' ', "~"));
        if let Some(side) = &self.side {
            calls += &format!(",SIDE;{};/v1/me;authorization:~bearer~", side.port());
        }
        let fill = |text: &str| {
            text.replace("@ADMIN@", &format!("{admins}{limits}"))
                .replace("@READS@", &reads)
                .replace("@COPY@", self.copy())
                .replace("@FIELDS@", &fields)
                .replace("@PORT_1@", &self.ports[0].to_string())
                .replace("@PORT_2@", &self.ports[1].to_string())
                .replace("@PROGRAM@", std::env::current_exe().unwrap().to_str().unwrap())
                .replace("@DIR@", self.dir().to_str().unwrap())
                .replace("@LIFELINE@", &std::process::id().to_string())
                .replace("@CALLS@", &calls)
        };
        let mut config = include_str!("keyroll.toml").to_owned();
        if let Some(side) = &self.side {
            let standing =
                "rotate_every = \"0s\"\nunattended = true\n\n[secrets.ring.revoke]\ndecide = \"standing\"\n";
            config = config.replace("@FIELDS@\n[secrets.ring.revoke]\n", standing);
            config += include_str!("side.toml");
            put(&self.path("side.toml"), &[&side.spec("5s")], 0o644);
        }
        put(&self.path("issuer.toml"), &[spec], 0o644);
        put(&self.path("keyroll.toml"), &[&fill(&config)], 0o644);
        put(&self.path("restart.sh"), &[&fill(include_str!("restart.sh"))], 0o755);
        put(&self.path("check.sh"), &[&fill(include_str!("check.sh"))], 0o755);
        if self.spec.needs_admin() {
            put(&self.path("admin.key"), &[admin, "\n"], 0o600);
        }
    }

    fn take_in(&self, secret: &str, id: &str, value: &Zeroizing<String>) {
        let plain = self.spec.fields().into_iter().filter(|(_, secret)| !secret);
        let plain: Vec<String> =
            plain.map(|(name, _)| format!("{name}={}", self.spec.public(name, id))).collect();
        let mut words = vec!["secret", "add", secret];
        words.extend(plain.iter().flat_map(|field| ["--field", field.as_str()]));
        // GitHub, Stripe and Discord do not show the id of a key.
        if self.spec.needs_admin() {
            words.extend(["--id", id]);
        }
        self.fed(&words, value).exits(0);
    }

    /// The folder of keyroll.toml.
    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    /// The file that the service reads its key from, in that folder.
    fn copy(&self) -> &'static str {
        if self.spec.is_document() { "app/api.key" } else { "app/api.env" }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command
            .args(words)
            .args(["--state", "../state", "--no-input", "--json"])
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }

    /// A command with a value on its stdin.
    pub fn fed(&self, words: &[&str], value: &Zeroizing<String>) -> Ran {
        Ran::fed(&mut self.command(words), value)
    }

    #[track_caller]
    pub fn plan(&self) -> String {
        self.plan_of("ring")
    }

    #[track_caller]
    pub fn plan_of(&self, secret: &str) -> String {
        let ran = self.run(&["plan", secret]);
        ran.exits(0);
        ran.plan()
    }

    /// A command that is killed where an instance is about to be restarted.
    #[track_caller]
    pub fn killed_at_a_restart(&self, words: &[&str], instance: &str) {
        let (hold, held) = (format!("run/hold-{instance}"), format!("run/restarting-{instance}"));
        let _ = fs::remove_file(self.path(&held));
        put(&self.path(&hold), &[], 0o644);
        let running = Running::start(self.command(words));
        wait("the restart", || self.path(&held).exists());
        running.signal(Signal::KILL);
        assert_eq!(running.end().code, None);
        fs::remove_file(self.path(&hold)).unwrap();
    }

    /// A command that is killed after the issuer carried such a request out, and before it answered.
    #[track_caller]
    pub fn killed_at(&self, ask: Ask, words: &[&str]) {
        let driver: Arc<OnceLock<Pid>> = Arc::default();
        let of = driver.clone();
        let kill = move || {
            wait("the driver's id", || of.get().is_some());
            kill_process(*of.get().unwrap(), Signal::KILL).unwrap();
        };
        self.issuer.trap(ask, Moment::After, |_| true, kill);
        let running = Running::start(self.command(words));
        driver.set(running.pid()).unwrap();
        let ran = running.end();
        assert_eq!(ran.code, None, "{ask:?} was not met: {}", ran.text);
    }

    /// Whose key the service's file holds.
    pub fn holds(&self) -> Option<String> {
        let content = Zeroizing::new(fs::read(self.path(self.copy())).unwrap());
        if self.spec.is_document() {
            return self.issuer.whose(&content);
        }
        let line = content.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"KEY="))?;
        self.issuer.whose(&line[4..])
    }

    /// Calls of the service that were refused; a check is tried on a wrong copy too.
    pub fn refused(&self) -> Vec<String> {
        let of = [Some(&self.issuer), self.side.as_ref()].into_iter().flatten();
        of.flat_map(Issuer::refused_workers).filter(|call| call.starts_with("api")).collect()
    }

    /// Exactly one key is left, the file holds it, and both instances call with it.
    #[track_caller]
    pub fn all_on(&self, id: &str) {
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && keys[0].id == id && !keys[0].disabled, "{id} alone: {keys:?}");
        assert_eq!(self.holds().as_deref(), Some(id), "the copy");
        self.issuer.forget();
        for name in ["api-1", "api-2"] {
            wait("it calls with the live key", || self.issuer.last_of(name).as_deref() == Some(id));
        }
        self.run(&["status"]).exits(0);
    }

    /// Callers from now on.
    pub fn load(&self) -> Load<'_> {
        let mut load = Load { scene: self, callers: None, sent: 0 };
        load.go_on();
        load
    }
}

impl Load<'_> {
    fn go_on(&mut self) {
        let _on = RUNTIME.enter();
        self.callers = Some(Callers::start(self.scene.front_port, RATE));
    }

    /// How many requests were sent since the last reading, and how many failed.
    fn since(&mut self) -> (u64, u64) {
        let tally = RUNTIME.block_on(self.callers.take().unwrap().stop());
        self.sent += tally.sent;
        if tally.failed > 0 {
            println!(
                "    {} of {} failed, at most {:?} without an answer: {:?}",
                tally.failed, tally.sent, tally.away, tally.answers
            );
        }
        (tally.sent, tally.failed)
    }

    /// Checks that none has failed so far, up to the end of this command; the callers continue.
    #[track_caller]
    pub fn none_failed(&mut self, ran: &Ran) {
        let (sent, failed) = self.since();
        assert!(
            sent > 0 && failed == 0,
            "{failed} of {sent} failed: {:?}\n{}",
            self.scene.refused(),
            ran.text
        );
        self.go_on();
    }

    /// An outage was announced: returns how many requests failed in it. The callers continue.
    pub fn outage(&mut self) -> u64 {
        let (_, failed) = self.since();
        self.go_on();
        failed
    }

    /// Checks that none has failed; returns how many were sent.
    #[track_caller]
    pub fn end(mut self) -> u64 {
        let (_, failed) = self.since();
        assert_eq!(failed, 0, "{:?}", self.scene.refused());
        self.sent
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for name in ["api-1", "api-2"] {
            let pid = fs::read_to_string(self.path(&format!("run/{name}.pid"))).ok();
            pid.and_then(|text| text.trim().parse().ok()).into_iter().for_each(end_own);
            if std::thread::panicking() {
                let log = fs::read_to_string(self.path(&format!("log/{name}.log"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                eprintln!("{name}: {tail:?}");
            }
        }
    }
}

/// The text of a shipped spec.
pub fn spec_text(name: &str) -> String {
    fs::read_to_string(format!("{}/../../../issuers/{name}.toml", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub fn put(path: &Path, pieces: &[&str], mode: u32) {
    if mode & 0o111 == 0 {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path).unwrap();
        for piece in pieces {
            file.write_all(piece.as_bytes()).unwrap();
        }
    } else {
        write_program(path, pieces.concat());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
