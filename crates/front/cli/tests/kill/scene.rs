//! A folder with workers and a job, an issuer, and a keyroll.toml that names them.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;
use keyroll_testkit::issuer::{self, Issuer};
use keyroll_testkit::{Postgres, TempDir, alphanumeric, copy_program, scram_verifier};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::hostile::scene::put;
use crate::kill::part::PART;

/// How long a worker may take to start or to use the new value.
const WORKER_TIME_MAX: Duration = Duration::from_secs(60);

/// The issuer of the credential.
pub enum Accepts {
    Http(Issuer),
    Postgres(Postgres, tokio::runtime::Runtime),
}

/// Dropping it ends its workers by their ids.
pub struct Scene {
    pub accepts: Accepts,
    home: TempDir,
    keyroll: PathBuf,
    by_hand: bool,
}

/// A command's output and how it ended.
pub struct Ran {
    pub code: Option<i32>,
    pub killed: bool,
    pub text: String,
    pub events: Vec<Value>,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        Self {
            code: output.status.code(),
            killed: output.status.signal() == Some(9),
            events: out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            text: format!("{out}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    pub fn last_phase(&self) -> &str {
        let last = self.events.iter().rfind(|event| event["type"] == "phase");
        last.and_then(|event| event["phase"].as_str()).unwrap_or("-")
    }
}

impl Scene {
    /// With the HTTP issuer.
    pub fn http(keyroll: &Path) -> Self {
        Self::http_of(keyroll, "2s", false, false)
    }

    /// With the HTTP issuer, to which a request may take so long; with a consumer that fetches, or without; and with keys
    /// that a person makes, or the API.
    pub fn http_of(keyroll: &Path, request_max: &str, fetches: bool, by_hand: bool) -> Self {
        let (accepts, admin) = Issuer::start();
        let words = format!("kind=http port={}", accepts.port());
        let (id, value) = accepts.mint("by hand");
        let mut config =
            include_str!("http.toml").to_owned() + &include_str!("consumers.toml").replace("@DERIVED@", "");
        if fetches {
            config += include_str!("puller.toml");
        }
        let mut spec = accepts.spec(request_max);
        if by_hand {
            issuer::by_hand(&mut spec);
        }
        let scene = Self {
            accepts: Accepts::Http(accepts),
            home: TempDir::new().unwrap(),
            keyroll: keyroll.into(),
            by_hand,
        };
        scene.write(&config, &words);
        put(&scene.dir().join("acme.toml"), &[&spec], 0o644);
        put(&scene.dir().join("admin.key"), &[&admin, "\n"], 0o600);
        scene.seed(&[&value]);
        if fetches {
            put(&scene.dir().join("puller/puller.env"), &["KEY=", &value, "\n"], 0o600);
        }
        scene.add(&["--id", &id], &value);
        scene.start(&words);
        scene
    }

    /// With a PostgreSQL server; `None` where it is not installed.
    pub fn postgres(keyroll: &Path) -> Option<Self> {
        Self::postgres_by(keyroll, |port| port)
    }

    /// With a PostgreSQL server that keyroll itself reaches by another port: what this makes of the server's own.
    pub fn postgres_by(keyroll: &Path, by: impl FnOnce(u16) -> u16) -> Option<Self> {
        let server = Postgres::start_or_skip("the kill rings with PostgreSQL")?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let password = Zeroizing::new(alphanumeric(32));
        runtime.block_on(async {
            let admin = server.connect_admin("postgres").await.unwrap();
            let verifier = scram_verifier(&password);
            admin.batch_execute(&format!("CREATE ROLE orders LOGIN PASSWORD '{verifier}'")).await.unwrap();
            admin.batch_execute("CREATE DATABASE shop OWNER orders").await.unwrap();
        });
        let port = server.port().to_string();
        let config = include_str!("postgres.toml").replace("@PORT@", &by(server.port()).to_string())
            + &include_str!("consumers.toml").replace("@DERIVED@", ", derived = \"url\"");
        let admin = Zeroizing::new(format!("{}:{}\n", server.superuser(), server.password()));
        let scene = Self {
            accepts: Accepts::Postgres(server, runtime),
            home: TempDir::new().unwrap(),
            keyroll: keyroll.into(),
            by_hand: false,
        };
        scene.write(&config, "kind=postgres");
        put(&scene.dir().join("admin.key"), &[&admin], 0o600);
        scene.seed(&["postgres://orders:", &password, "@127.0.0.1:", &port, "/shop"]);
        let port = format!("port={port}");
        let fields = [
            "--field",
            "user=orders",
            "--field",
            "host=127.0.0.1",
            "--field",
            "dbname=shop",
            "--field",
            &port,
        ];
        scene.add(&[&["--id", "orders"], &fields[..]].concat(), &password);
        scene.start("kind=postgres");
        Some(scene)
    }

    /// Whether a person makes its keys.
    pub fn by_hand(&self) -> bool {
        self.by_hand
    }

    /// The folder of keyroll.toml.
    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn write(&self, config: &str, words: &str) {
        for folder in ["api", "reader", "nightly", "puller", "run", "log"] {
            fs::create_dir_all(self.dir().join(folder)).unwrap();
        }
        let dir = self.dir();
        put(&dir.join("log/refused"), &[], 0o644);
        put(&dir.join("keyroll.toml"), &[config], 0o644);
        let program = std::env::current_exe().unwrap();
        let fill = |text: &str, words: &str| {
            text.replace("@PROGRAM@", program.to_str().unwrap())
                .replace("@DIR@", dir.to_str().unwrap())
                .replace("@WORDS@", words)
        };
        put(
            &dir.join("api/restart.sh"),
            &[&fill(include_str!("restart.sh"), &self.worker_words(words))],
            0o755,
        );
        put(&dir.join("nightly/check.sh"), &[&fill(include_str!("check.sh"), words)], 0o755);
        put(&dir.join("puller/fetch.sh"), &[&fill(include_str!("fetch.sh"), words)], 0o755);
    }

    fn worker_words(&self, words: &str) -> String {
        let refused = self.dir().join("log/refused");
        format!("{words} lifeline={} refused={}", std::process::id(), refused.display())
    }

    /// Writes the first copies of the value in pieces, so that no buffer of this process keeps it.
    fn seed(&self, value: &[&str]) {
        let line = |before: &'static str, after: &'static str| [&[before], value, &[after]].concat();
        put(&self.dir().join("api/api.env"), &line("# The API\nLOG=info\nKEY=", "\nPOOL=4\n"), 0o600);
        put(&self.dir().join("reader/key"), &line("", "\n"), 0o600);
        put(&self.dir().join("nightly/nightly.env"), &line("KEY=", "\n"), 0o640);
    }

    fn add(&self, words: &[&str], value: &str) {
        let mut command = Command::new(&self.keyroll);
        self.dress(&mut command);
        let mut child =
            command.args(["secret", "add", "ring"]).args(words).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    fn start(&self, words: &str) {
        let status = Command::new(self.dir().join("api/restart.sh")).status().unwrap();
        assert!(status.success(), "the worker starts");
        let (dir, words) = (self.dir(), self.worker_words(words));
        let part = format!(
            "worker name=reader hot=1 {words} copy={0}/reader/key pid_file={0}/run/reader.pid",
            dir.display()
        );
        // Its end is not awaited: `sh` leaves it to the system.
        let script = format!(
            "setsid '{}' kill::part --exact --nocapture >log/reader.out 2>&1 &",
            std::env::current_exe().unwrap().display()
        );
        let status = Command::new("sh")
            .args(["-c", &script])
            .current_dir(dir)
            .env(PART, part)
            .stdin(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        wait("both workers call", || self.worker_pids().len() == 2);
    }

    /// The workers that named themselves.
    fn worker_pids(&self) -> Vec<Pid> {
        let pid = |name: &str| {
            let text = fs::read_to_string(self.dir().join(format!("run/{name}.pid"))).ok()?;
            Pid::from_raw(text.trim().parse().ok()?)
        };
        ["api", "reader"].iter().filter_map(|name| pid(name)).collect()
    }

    pub fn dress(&self, command: &mut Command) {
        command
            .args(["--state", "../state", "--no-input", "--json"])
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    /// The program under a command that was begun, such as strace, or bare; not started yet.
    pub fn command(&self, begun: Option<Command>, words: &[&str]) -> Command {
        let mut command = begun.unwrap_or_else(|| Command::new(&self.keyroll));
        self.dress(&mut command);
        command.args(words);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, begun: Option<Command>, words: &[&str]) -> Ran {
        Ran::of(&self.command(begun, words).output().unwrap())
    }

    pub fn keyroll(&self) -> &Path {
        &self.keyroll
    }

    /// A plan's id.
    pub fn plan(&self) -> String {
        let ran = self.run(None, &["plan", "ring"]);
        assert_eq!(ran.code, Some(0), "{}", ran.text);
        let plan = ran.events.iter().find(|event| event["type"] == "plan").unwrap();
        plan["id"].as_str().unwrap().to_owned()
    }

    /// A key that a person makes at the console, with this label, in a file of theirs.
    pub fn made_by_hand(&self, label: &str) {
        let Accepts::Http(issuer) = &self.accepts else { panic!("it has no console") };
        let (_, value) = issuer.mint(label);
        put(&self.dir().join("run/new.key"), &[&value, "\n"], 0o600);
    }

    /// Everything that must be true once a rotation has ended well, with every call accepted all along.
    pub fn check(&self) {
        self.check_unrefused("keyroll/");
    }

    /// The same with a key of this label.
    pub fn check_unrefused(&self, label: &str) {
        let refused = fs::read_to_string(self.dir().join("log/refused")).unwrap();
        assert_eq!(refused, "", "a worker's call was refused");
        if let Accepts::Http(issuer) = &self.accepts {
            assert_eq!(issuer.refused_workers(), [] as [String; 0], "a worker's call was refused");
        }
        self.check_end(label);
    }

    /// Everything that must be true once a rotation has ended, the live key being labelled so.
    pub fn check_end(&self, label: &str) {
        let status = self.run(None, &["status"]);
        assert_eq!(status.code, Some(0), "status: {}", status.text);
        let open = status.events.iter().filter(|event| event["type"] == "paused").count();
        assert_eq!(open, 0, "a rotation is open: {}", status.text);
        self.check_leftovers();
        match &self.accepts {
            Accepts::Http(issuer) => self.check_http(issuer, label),
            Accepts::Postgres(server, runtime) => runtime.block_on(self.check_postgres(server)),
        }
    }

    fn check_http(&self, issuer: &Issuer, label: &str) {
        let keys = issuer.keys();
        let shown: Vec<_> = keys.iter().map(|key| (&key.id, &key.label, key.disabled)).collect();
        assert_eq!(keys.len(), 1, "exactly one credential: {shown:?}");
        let live = &keys[0];
        assert!(!live.disabled && live.label.starts_with(label), "{shown:?}");
        for value in self.copies() {
            assert_eq!(issuer.whose(&value).as_deref(), Some(live.id.as_str()), "a copy holds another value");
        }
        issuer.forget();
        let on = |worker: &str| issuer.last_of(worker).as_deref() == Some(live.id.as_str());
        wait("every worker calls with the live key", || on("api") && on("reader"));
    }

    async fn check_postgres(&self, server: &Postgres) {
        let admin = server.connect_admin("postgres").await.unwrap();
        let live = "SELECT rolname::text FROM pg_authid WHERE rolname LIKE 'orders%' AND rolcanlogin \
                    AND rolpassword IS NOT NULL";
        let rows = admin.query(live, &[]).await.unwrap();
        let live: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(live.len(), 1, "exactly one login works: {live:?}");
        for url in self.copies() {
            let url = std::str::from_utf8(&url).unwrap();
            let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
            assert_eq!(user, live[0], "a copy names another role");
            let password = rest.split('@').next().unwrap();
            server.connect(user, password, "shop").await.expect("the value of every copy is accepted");
        }
        let by_role = "SELECT application_name::text, usename::text FROM pg_stat_activity \
                       WHERE application_name IN ('api', 'reader')";
        let end = Instant::now() + WORKER_TIME_MAX;
        loop {
            let rows = admin.query(by_role, &[]).await.unwrap();
            let all: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            let on = |worker: &str| all.iter().any(|(name, user)| name == worker && *user == live[0]);
            if on("api") && on("reader") && all.iter().all(|(_, user)| *user == live[0]) {
                return;
            }
            assert!(Instant::now() < end, "sessions of the workers: {all:?}, live {live:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the three copies hold.
    pub fn copies(&self) -> Vec<Zeroizing<Vec<u8>>> {
        ["api/api.env", "reader/key", "nightly/nightly.env", "puller/puller.env"]
            .iter()
            .filter(|copy| self.dir().join(copy).exists())
            .map(|copy| {
                let content = Zeroizing::new(fs::read(self.dir().join(copy)).unwrap());
                let line = content.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"KEY="));
                let value = line.map_or_else(|| content.trim_ascii(), |line| &line[4..]);
                Zeroizing::new(value.to_vec())
            })
            .collect()
    }

    /// No file is left beside the targets, no scratch file is left, and no file of keyroll contains a value.
    fn check_leftovers(&self) {
        let mut needles = Needles::builder();
        for (id, copy) in (0u32..).zip(self.copies()) {
            // The secret part alone: a URL's own words stand in the catalogue of the journal too.
            let url = copy
                .strip_prefix(b"postgres://orders")
                .and_then(|rest| rest.split(|byte| *byte == b':').nth(1));
            let secret = url.and_then(|rest| rest.split(|byte| *byte == b'@').next()).unwrap_or(&copy);
            needles = needles.add(NeedleId(id), &SecretBytes::new(secret.to_vec()));
        }
        let needles = needles.build().unwrap();
        for (path, name) in files(self.home.path()) {
            assert!(!name.starts_with(".keyroll-"), "left beside a target: {}", path.display());
            if path.starts_with(self.home.path().join("scene")) {
                continue;
            }
            let work = path.parent().is_some_and(|folder| folder.ends_with("work"));
            let known = work && (name.ends_with("-logs") || name.ends_with(".pid"))
                || name.starts_with("journal.db")
                || name.starts_with("secrets.db")
                || name.ends_with(".lock")
                || ["downtimes.jsonl", "lock", "witness", "sealing.key"].contains(&name.as_str())
                || path.parent().is_some_and(|folder| folder.ends_with("plans"));
            assert!(known || name.starts_with("trace-"), "left in the state: {}", path.display());
            assert!(needles.is_clean(&fs::read(&path).unwrap()), "{} holds a value", path.display());
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for pid in self.worker_pids() {
            let exe = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
            if exe.ok() == std::env::current_exe().ok() {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if std::thread::panicking() && std::env::var_os("KEYROLL_KEEP").is_some() {
            let _ = Command::new("cp").arg("-a").arg(self.home.path()).arg("/tmp/kept-scene").status();
        }
    }
}

/// The program in a folder of its own, so that a build meanwhile changes nothing; `KEYROLL_PROGRAM` names another one.
pub fn program() -> (TempDir, PathBuf) {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_keyroll"));
    let program = std::env::var_os("KEYROLL_PROGRAM").map_or_else(built, PathBuf::from);
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("keyroll");
    copy_program(&program, &copy);
    (folder, copy)
}

/// Waits for something that must come.
pub fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let end = Instant::now() + WORKER_TIME_MAX;
    while !until() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every regular file below a folder, with its name.
pub fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
        }
    }
    found
}
