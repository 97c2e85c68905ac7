//! A folder with a worker, an issuer, and a keyroll.toml that names them; and what must be true of it.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use keyroll_testkit::command::{dress, end_own};
use keyroll_testkit::{TempDir, write_program};
use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use crate::hostile::ran::{Ran, Running, wait};
use crate::hostile::worker::PART;
use keyroll_testkit::issuer::{Issuer, Key};

/// Dropping it ends its workers by their ids.
pub struct Scene {
    pub issuer: Issuer,
    home: TempDir,
    hasher: RandomState,
    started: Mutex<Vec<u32>>,
    /// The id of the key that everything starts with.
    pub old: String,
}

/// Everything that a refusal must leave unchanged: the copies, byte by byte, and the issuer's list.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, (u64, u32, u64)>,
    keys: Vec<Key>,
}

impl Scene {
    pub fn new() -> Self {
        Self::made(|_, _| {})
    }

    /// With changes to keyroll.toml and to the issuer's spec.
    pub fn made(change: impl FnOnce(&mut String, &mut String)) -> Self {
        let (issuer, admin) = Issuer::start();
        let (old, value) = issuer.mint("by hand");
        let mut config = include_str!("keyroll.toml").to_owned();
        let mut spec = issuer.spec("1s");
        change(&mut config, &mut spec);
        let home = TempDir::new().unwrap();
        let scene = Self { issuer, home, hasher: RandomState::new(), started: Mutex::default(), old };
        let dir = scene.dir();
        for folder in ["api", "also", "run", "log"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        put(&dir.join("log/refused"), &[], 0o644);
        put(&dir.join("keyroll.toml"), &[&config], 0o644);
        put(&dir.join("acme.toml"), &[&spec], 0o644);
        put(&dir.join("admin.key"), &[&admin, "\n"], 0o600);
        put(&dir.join("restart.sh"), &[&scene.filled(include_str!("restart.sh"))], 0o755);
        put(&dir.join("check.sh"), &[&scene.filled(include_str!("check.sh"))], 0o755);
        put(&dir.join("api/api.env"), &["# The API\nLOG=info\nKEY=", &value, "\nPOOL=4\n"], 0o600);
        scene.add("ring", &scene.old, &value).exits(0);
        scene.restart("api", "api/api.env");
        scene
    }

    /// The folder of keyroll.toml.
    pub fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    pub fn keys_folder(&self) -> PathBuf {
        self.home.path().join("state.keys")
    }

    pub fn words(&self) -> String {
        let refused = self.path("log/refused");
        format!("port={} lifeline={} refused={}", self.issuer.port(), std::process::id(), refused.display())
    }

    fn filled(&self, text: &str) -> String {
        text.replace("@PROGRAM@", std::env::current_exe().unwrap().to_str().unwrap())
            .replace("@DIR@", self.dir().to_str().unwrap())
            .replace("@WORDS@", &self.words())
    }

    /// Starts a worker again, as its restart command does.
    pub fn restart(&self, name: &str, copy: &str) {
        let status = Command::new(self.path("restart.sh")).args([name, copy]).status().unwrap();
        assert!(status.success(), "the worker starts");
    }

    /// Starts a worker by hand, without a pid file, with the present value of its file; returns its process id. The
    /// word is in its command line; `idle=yes` makes it a process that holds the value and never calls.
    pub fn start_by_hand(&self, name: &str, copy: &Path, word: &str) -> u32 {
        let ready = self.path(&format!("run/{name}.ready"));
        let (copy, file) = (copy.display(), ready.display());
        let part = format!("worker name={name} copy={copy} {} pid_file={file} {word}", self.words());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["hostile::part", word, "--exact", "--nocapture"].iter().filter(|word| !word.is_empty()))
            .env(PART, part)
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        self.started.lock().unwrap().push(pid);
        // Its end is awaited by a thread, so that it does not stay a zombie.
        std::thread::spawn(move || drop({ child }.wait()));
        wait("a worker that was started by hand", || ready.exists());
        pid
    }

    /// Ends a worker that was started by hand.
    pub fn end(&self, pid: u32) {
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
        wait("the end of a worker", || !Path::new(&format!("/proc/{pid}")).exists());
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command.args(words);
        dress(&mut command, &self.dir(), self.home.path());
        command
    }

    /// The same in a PID namespace of its own, in which it has this process id.
    pub fn command_as(&self, pid: &str, words: &[&str]) -> Command {
        let next = "echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid; shift; \"$@\"; exit $?";
        let mut command = Command::new("unshare");
        command.args(["-pf", "--mount-proc", "--kill-child", "sh", "-c", next, "sh", pid]);
        command.arg(env!("CARGO_BIN_EXE_keyroll")).args(words);
        dress(&mut command, &self.dir(), self.home.path());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::run(&mut self.command(words))
    }

    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }

    /// Adds a secret.
    pub fn add(&self, name: &str, id: &str, value: &Zeroizing<String>) -> Ran {
        self.take_in(&[name, "--id", id], value)
    }

    /// The same, with flags.
    pub fn take_in(&self, words: &[&str], value: &Zeroizing<String>) -> Ran {
        self.fed(&[&["secret", "add"], words].concat(), value)
    }

    /// A command with a value on its stdin.
    pub fn fed(&self, words: &[&str], value: &Zeroizing<String>) -> Ran {
        Ran::fed(&mut self.command(words), value)
    }

    /// A plan's id.
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

    /// Applies a plan up to a step; returns the rotation's id.
    #[track_caller]
    pub fn until(&self, step: &str) -> String {
        let plan = self.plan();
        let ran = self.run(&["apply", &plan, "--confirm", "ring", "--until", step]);
        ran.exits(4).paused();
        plan
    }

    /// Ends the worker `api`; its restart command did not do it, and does not start another one.
    pub fn end_api(&self) {
        let pid = fs::read_to_string(self.path("run/api.pid")).unwrap();
        self.end(pid.trim().parse().unwrap());
    }

    /// A driver that waits before the old key is disabled, because its consumer has no process; with the rotation's id.
    #[track_caller]
    pub fn waits_for_api(&self) -> (Running, String) {
        let id = self.until("quiesce");
        self.end_api();
        let driver = self.start(&["resume", &id, "--confirm", "ring"]);
        driver.says("what it waits for", |event| {
            let what = event["what"].as_str().unwrap_or_default();
            event["type"] == "waiting" && what.contains("it has no running process")
        });
        (driver, id)
    }

    /// The process that has the lock of the state folder, as it wrote it down.
    pub fn lock_holder(&self) -> String {
        let lock = fs::read_to_string(self.state().join("lock")).unwrap();
        lock.lines().next().unwrap().trim().to_owned()
    }

    #[track_caller]
    pub fn apply(&self) -> Ran {
        let plan = self.plan();
        self.run(&["apply", &plan, "--confirm", "ring"])
    }

    /// Copies a file without reading it: the test's own process never holds a value.
    pub fn copy(&self, from: &str, to: &str) {
        let status = Command::new("cp").arg(self.path(from)).arg(self.path(to)).status().unwrap();
        assert!(status.success());
    }

    /// Whether the issuer ended a key.
    pub fn is_ended(&self, id: &str) -> bool {
        self.issuer.deletions().iter().any(|ended| ended == id)
    }

    /// A shell command in the scene's folder.
    pub fn sh(&self, text: &str) {
        let status = Command::new("sh").args(["-euc", text]).current_dir(self.dir()).status().unwrap();
        assert!(status.success(), "{text}");
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut found = BTreeMap::new();
        for path in files(&self.dir()) {
            if path.starts_with(self.path("log")) || path.starts_with(self.path("run")) {
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.starts_with(".keyroll-"), "left beside a target: {}", path.display());
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = Zeroizing::new(fs::read(&path).unwrap());
            found.insert(path, (self.hasher.hash_one(content.as_slice()), meta.mode(), meta.ino()));
        }
        Snapshot { files: found, keys: self.issuer.keys() }
    }

    /// Whose key a file's line holds.
    pub fn holds(&self, file: &str) -> Option<String> {
        let content = Zeroizing::new(fs::read(self.path(file)).unwrap());
        let line = content.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"KEY="))?;
        self.issuer.whose(&line[4..])
    }

    /// The value that a file's line holds.
    pub fn held(&self, file: &str) -> Zeroizing<String> {
        let content = Zeroizing::new(fs::read_to_string(self.path(file)).unwrap());
        Zeroizing::new(content.lines().find_map(|line| line.strip_prefix("KEY=")).unwrap().to_owned())
    }

    /// Everything that must be true once a rotation has ended: one key, made by keyroll, in the file and in use.
    #[track_caller]
    pub fn rotated(&self) {
        let keys = self.issuer.keys();
        assert_eq!(keys.len(), 1, "exactly one credential: {keys:?}");
        let live = &keys[0];
        assert!(live.id != self.old && !live.disabled && live.label.starts_with("keyroll/"), "{keys:?}");
        self.on(&live.id);
    }

    /// Everything that must be true once a rotation was rolled back.
    #[track_caller]
    pub fn as_before(&self) {
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && keys[0].id == self.old && !keys[0].disabled, "{keys:?}");
        self.on(&self.old);
    }

    #[track_caller]
    fn on(&self, id: &str) {
        assert_eq!(self.holds("api/api.env").as_deref(), Some(id), "the copy");
        self.issuer.forget();
        wait("the worker calls with the live key", || self.issuer.last_of("api").as_deref() == Some(id));
        let open = self.run(&["status"]);
        open.exits(0);
        assert!(open.of("paused").is_empty(), "a rotation is open: {}", open.text);
        drop(self.snapshot());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let mut all: Vec<u32> = self.started.lock().unwrap().clone();
        all.extend(
            fs::read_dir(self.path("run"))
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| fs::read_to_string(entry.path()).ok()?.trim().parse::<u32>().ok()),
        );
        for pid in all {
            end_own(pid);
        }
        if std::thread::panicking() && std::env::var_os("KEYROLL_KEEP").is_some() {
            let _ = Command::new("cp").arg("-a").arg(self.home.path()).arg("/tmp/kept-scene").status();
        }
    }
}

/// Another secret, whose only consumer is at rest and reads `SIDE` in this file.
pub fn side(env_file: &str) -> String {
    r#"
[secrets.side]
issuer = "file:./acme.toml"
admin  = "file:./admin.key"

[secrets.side.revoke]
old_idle_for = "0s"
soak         = "0s"

[[secrets.side.consumers]]
name  = "nightly"
runs  = { at_rest = true }
reads = [{ env_file = "ENV_FILE", variable = "SIDE" }]
check = { exec = ["./check.sh", "SIDE", "{copy}"] }
"#
    .replace("ENV_FILE", env_file)
}

/// What is said once a driver was ended, so that something could be recorded in its rotation.
pub fn ended_for_this(driver: &Running, id: &str) -> String {
    let pid = driver.pid().as_raw_nonzero();
    format!("process {pid} drove rotation {id} and has ended for this; to continue: keyroll resume {id}")
}

pub fn put(path: &Path, pieces: &[&str], mode: u32) {
    if mode & 0o111 == 0 {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).unwrap();
        for piece in pieces {
            file.write_all(piece.as_bytes()).unwrap();
        }
    } else {
        assert!(!path.exists(), "{}", path.display());
        write_program(path, pieces.concat());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every regular file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}
