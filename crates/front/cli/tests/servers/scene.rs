//! A server, services under load, a job at rest, and a keyroll.toml that names them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use keyroll_testkit::command::{Ran, Started, end_own};
use keyroll_testkit::load::{Callers, Front};
use keyroll_testkit::{Deadline, TempDir, free_port, until};

use crate::postgres::scene::put;
use crate::servers::part::PART;
use crate::servers::server::{Kind, Server};

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");
/// Requests a second through the front.
pub(crate) const RATE: u32 = 100;
/// How long a part may take to start or to end, seconds.
const PART_S_MAX: u64 = 60;

/// The whole scene; dropping it ends its processes by their ids.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) kind: Kind,
    home: TempDir,
    ports: [u16; 2],
    front_port: u16,
    front: Option<Front>,
    commands: AtomicUsize,
}

impl Scene {
    /// Everything started and ready; `None` where the server is not installed.
    pub(crate) async fn raise(kind: Kind, what: &str) -> Option<Self> {
        let server = kind.start(what)?;
        let home = TempDir::new().unwrap();
        let ports = [(); 2].map(|()| free_port().unwrap());
        let front_port = free_port().unwrap();
        let commands = AtomicUsize::new(0);
        let mut scene = Self { server, kind, home, ports, front_port, front: None, commands };
        scene.write();
        scene.part(&format!(
            "seed kind={} dir={} kept={} keyroll={KEYROLL} port={} management={}",
            kind.word(),
            scene.dir().display(),
            scene.kept("first").display(),
            scene.server.port(),
            scene.server.management_port().unwrap_or_default()
        ));
        for instance in ["1", "2"] {
            let restart = scene.dir().join("app/restart.sh");
            let status = Command::new(restart).arg(instance).status().unwrap();
            assert!(status.success(), "api {instance} starts");
        }
        let front = Front::start(front_port, &ports).await.unwrap();
        let all = || async { ports.iter().all(|port| front.uses(*port)).then_some(()) };
        until(Deadline::seconds(PART_S_MAX), all).await.unwrap();
        scene.front = Some(front);
        Some(scene)
    }

    /// The folder of keyroll.toml.
    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    /// A folder for an old value, outside of every searched folder.
    pub(crate) fn kept(&self, name: &str) -> PathBuf {
        self.home.path().join("kept").join(name)
    }

    fn write(&self) {
        for folder in ["scene/app", "scene/job", "scene/run", "scene/log", "kept"] {
            fs::create_dir_all(self.home.path().join(folder)).unwrap();
        }
        let dir = self.dir();
        put(&dir.join("admin.key"), &format!("{}\n", self.server.admin()), 0o600);
        let program = std::env::current_exe().unwrap();
        let management = self.server.management_port();
        let more = management.map(|port| format!("management_port = {port}\n")).unwrap_or_default();
        let fill = |text: &str| {
            text.replace("@KIND@", self.kind.word())
                .replace("@SCHEME@", self.kind.scheme())
                .replace("@PATH@", self.kind.path())
                .replace("@MORE@", &more)
                .replace("@PORT@", &self.server.port().to_string())
                .replace("@API_1@", &self.ports[0].to_string())
                .replace("@API_2@", &self.ports[1].to_string())
                .replace("@PROGRAM@", program.to_str().unwrap())
                .replace("@LIFELINE@", &std::process::id().to_string())
        };
        put(&dir.join("keyroll.toml"), &fill(include_str!("keyroll.toml")), 0o644);
        put(&dir.join("app/restart.sh"), &fill(include_str!("restart.sh")), 0o755);
        put(&dir.join("job/check.sh"), &fill(include_str!("check.sh")), 0o755);
    }

    /// Runs a short part to its end.
    pub(crate) fn part(&self, words: &str) {
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program)
            .args(["servers::part", "--exact", "--nocapture"])
            .env(PART, words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What the server answers to a login with the URL of an env file: `accepted`, or its words.
    pub(crate) fn answer(&self, env: &Path) -> String {
        let answer = self.home.path().join("answer");
        self.part(&format!("try env={} answer={}", env.display(), answer.display()));
        fs::read_to_string(answer).unwrap()
    }

    /// The server refuses the login in an env file, by its own word.
    pub(crate) async fn refused(&self, env: &Path, login: &str) {
        let before = self.server.refusals(login);
        let answer = self.answer(env);
        assert!(answer != "accepted" && answer.contains(self.kind.refusal()), "{login}: {answer}");
        if let Some(before) = before {
            let logged = || async { (self.server.refusals(login) > Some(before)).then_some(()) };
            until(Deadline::seconds(PART_S_MAX), logged).await.unwrap();
        }
    }

    /// Callers at the front.
    pub(crate) fn callers(&self) -> Callers {
        Callers::start(self.front_port, RATE)
    }

    /// The process that serves now, by the pid file of `api-1` or `api-2`.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        pid_of(&self.dir().join(format!("run/{name}.pid"))).unwrap()
    }

    /// A keyroll command in the scene's folder, not started yet.
    pub(crate) fn keyroll(&self, words: &[&str]) -> Command {
        let mut command = Command::new(KEYROLL);
        command
            .args(["--state", "state", "--no-input", "--json"])
            .args(words)
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.dir())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Ran {
        let started = self.start(words);
        started.ended().await
    }

    /// Starts a command; what it writes goes to a file of its own.
    pub(crate) fn start(&self, words: &[&str]) -> Started {
        let number = self.commands.fetch_add(1, Ordering::SeqCst);
        let output = self.home.path().join(format!("output-{number}"));
        Started::start(&mut self.keyroll(words), output)
    }

    /// A plan's id and its steps.
    pub(crate) async fn plan(&self) -> (String, Ran) {
        let ran = self.run(&["plan", "orders"]).await;
        ran.exits(0);
        let id = ran.plan();
        (id, ran)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for name in ["api-1", "api-2"] {
            let pid = pid_of(&self.dir().join(format!("run/{name}.pid")));
            pid.into_iter().for_each(end_own);
        }
        if std::thread::panicking() {
            for name in ["api-1", "api-2"] {
                let log = fs::read_to_string(self.dir().join(format!("log/{name}.log"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                eprintln!("{name}: {tail:?}");
            }
        }
    }
}

fn pid_of(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
