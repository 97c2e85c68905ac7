//! A PostgreSQL server, services under load, a job at rest, and a keyroll.toml that names them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use keyroll_testkit::command::{Ran, Started, end_own};
use keyroll_testkit::load::{Callers, Front, Tally};
use keyroll_testkit::{
    Deadline, PgBouncer, Postgres, TempDir, alphanumeric, free_port, until, write_program,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::postgres::part::PART;

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");
/// Requests a second through the front.
pub(crate) const RATE: u32 = 100;
/// Requests a second that the single process makes of itself.
const OWN_RATE: u32 = 40;
/// How long a part may take to start or to end, seconds.
const PART_S_MAX: u64 = 60;

/// How consumers reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Themselves.
    Direct,
    /// Through a PgBouncer with a list of logins.
    List,
    /// Through a PgBouncer that asks the server whom to let in.
    Asked,
    /// Through a PgBouncer that logs in by itself; its clients have a login of its own.
    Forced,
}

/// The consumer that is the pooler; one that asks the server has no copy.
const POOLER: &str = r#"
[[secrets.orders-db.consumers]]
name = "pooler"
runs = { signal = "HUP", pid_file = "./pooler/pid" }
reads = { file = "./pooler/userlist.txt", format = "userlist" }
check = { exec = ["./pooler-check.sh", "{copy}"] }
"#;

/// The whole scene; dropping it ends its processes by their ids.
pub(crate) struct Scene {
    pub(crate) server: Postgres,
    home: TempDir,
    ports: [u16; 3],
    front_port: u16,
    front: Option<Front>,
    commands: AtomicUsize,
    way: Way,
    pooler_port: u16,
    pooler: Option<PgBouncer>,
}

impl Scene {
    /// Everything started and ready; `None` where PostgreSQL is not installed.
    pub(crate) async fn raise(what: &str) -> Option<Self> {
        Self::raise_with(what, &[]).await
    }

    /// With further settings of the server.
    pub(crate) async fn raise_with(what: &str, settings: &[&str]) -> Option<Self> {
        Self::raise_by(Way::Direct, what, settings).await
    }

    /// With services that reach the server through a pooler; `None` where that is not installed.
    pub(crate) async fn raise_pooled(way: Way, what: &str) -> Option<Self> {
        if !PgBouncer::is_there(what) {
            return None;
        }
        Self::raise_by(way, what, &[]).await
    }

    async fn raise_by(way: Way, what: &str, settings: &[&str]) -> Option<Self> {
        let server = Postgres::start_or_skip_with(what, settings)?;
        let home = TempDir::new().unwrap();
        let ports = [(); 3].map(|()| free_port().unwrap());
        let front_port = free_port().unwrap();
        let (commands, pooler_port) = (AtomicUsize::new(0), free_port().unwrap());
        let mut scene =
            Self { server, home, ports, front_port, front: None, commands, way, pooler_port, pooler: None };
        scene.write();
        scene.part(&format!(
            "seed dir={} kept={} keyroll={KEYROLL} port={} way={way:?} via={pooler_port}",
            scene.dir().display(),
            scene.kept("first").display(),
            scene.server.port()
        ));
        let mut services = vec![("app", "1"), ("app", "2")];
        match way {
            Way::Direct => services.push(("billing", "main")),
            Way::List | Way::Asked => scene.start_pooler(),
            Way::Forced => {
                scene.start_pooler();
                return Some(scene);
            }
        }
        for (script, instance) in services {
            let restart = scene.dir().join(script).join("restart.sh");
            let status = Command::new(restart).arg(instance).status().unwrap();
            assert!(status.success(), "{script} {instance} starts");
        }
        let backends = [ports[0], ports[1]];
        let single = if way == Way::Direct { ports[2] } else { ports[0] };
        let billing = || async { std::net::TcpStream::connect(("127.0.0.1", single)).ok() };
        until(Deadline::seconds(PART_S_MAX), billing).await.unwrap();
        let front = Front::start(front_port, &backends).await.unwrap();
        let all = || async { backends.iter().all(|port| front.uses(*port)).then_some(()) };
        until(Deadline::seconds(PART_S_MAX), all).await.unwrap();
        scene.front = Some(front);
        Some(scene)
    }

    fn start_pooler(&mut self) {
        // Its account must come to its folder.
        for folder in [self.home.path().to_owned(), self.dir()] {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.pooler = Some(PgBouncer::start(&self.dir().join("pooler"), self.pooler_port).unwrap());
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
        let folders = ["app", "billing", "job", "run", "log", "pooler"].map(|name| format!("scene/{name}"));
        for folder in folders.iter().map(String::as_str).chain(["kept"]) {
            fs::create_dir_all(self.home.path().join(folder)).unwrap();
        }
        let dir = self.dir();
        let admin = format!("{}:{}\n", self.server.superuser(), self.server.password());
        put(&dir.join("admin.key"), &admin, 0o600);
        let config = match self.way {
            Way::Direct => include_str!("keyroll.toml").to_owned(),
            Way::List => include_str!("pooled.toml").replace("@POOLER_CONSUMER@", POOLER),
            Way::Asked => include_str!("pooled.toml").replace("@POOLER_CONSUMER@", ""),
            Way::Forced => include_str!("forced.toml").to_owned(),
        };
        if self.way != Way::Direct {
            put(&dir.join("stats.key"), &format!("stats:{}\n", alphanumeric(20)), 0o600);
            let check = include_str!("pooled-check.sh").replace("@POOLER@", &self.pooler_port.to_string());
            put(&dir.join("pooler-check.sh"), &check, 0o755);
        }
        let config = config
            .replace("@POOLER@", &self.pooler_port.to_string())
            .replace("@PORT@", &self.server.port().to_string())
            .replace("@API_1@", &self.ports[0].to_string())
            .replace("@API_2@", &self.ports[1].to_string())
            .replace("@BILLING@", &self.ports[2].to_string());
        put(&dir.join("keyroll.toml"), &config, 0o644);
        let program = std::env::current_exe().unwrap();
        let fill = |service: &str, more: &str| {
            include_str!("restart.sh")
                .replace("@PROGRAM@", program.to_str().unwrap())
                .replace("@LIFELINE@", &std::process::id().to_string())
                .replace("@SERVICE@", service)
                .replace("@PORTS@", &format!("{} {}", self.ports[0], self.ports[1]))
                .replace("@BILLING@", &self.ports[2].to_string())
                .replace("@MORE@", more)
        };
        put(&dir.join("app/restart.sh"), &fill("api", ""), 0o755);
        let more = format!(" rate={OWN_RATE} count={}", dir.join("log/billing.count").display());
        put(&dir.join("billing/restart.sh"), &fill("billing", &more), 0o755);
        put(&dir.join("job/check.sh"), include_str!("check.sh"), 0o755);
    }

    /// Runs a short part to its end.
    pub(crate) fn part(&self, words: &str) {
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program)
            .args(["postgres::part", "--exact", "--nocapture"])
            .env(PART, words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a process that nobody configured, which logs in again and again with the URL of an env file.
    pub(crate) fn forget(&self, env: &Path) -> Child {
        let words = format!("forgotten env={} lifeline={}", env.display(), std::process::id());
        Command::new(std::env::current_exe().unwrap())
            .args(["postgres::part", "--exact", "--nocapture"])
            .env(PART, words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// What the server answers to a login with the URL of an env file: `accepted`, or its SQLSTATE.
    pub(crate) fn answer(&self, env: &Path) -> String {
        let answer = self.home.path().join("answer");
        self.part(&format!("try env={} answer={}", env.display(), answer.display()));
        fs::read_to_string(answer).unwrap()
    }

    /// Callers at the front.
    pub(crate) fn callers(&self) -> Callers {
        Callers::start(self.front_port, RATE)
    }

    /// The process that serves now, by the pid file of `api-1`, `api-2` or `billing-main`.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        pid_of(&self.dir().join(format!("run/{name}.pid"))).unwrap()
    }

    /// The single process's count of its own calls, over all its runs but the present one.
    pub(crate) fn own_calls(&self) -> (u64, u64) {
        let text = fs::read_to_string(self.dir().join("log/billing.count")).unwrap_or_default();
        let pair = |line: &str| {
            let (sent, failed) = line.split_once(' ').unwrap();
            (sent.parse::<u64>().unwrap(), failed.parse::<u64>().unwrap())
        };
        text.lines().map(pair).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Ends the single process in good order, so that its last life is counted too.
    pub(crate) async fn end_billing(&self) {
        let pid = Pid::from_raw(i32::try_from(self.pid("billing-main")).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let gone = || async { rustix::process::test_kill_process(pid).is_err().then_some(()) };
        until(Deadline::seconds(PART_S_MAX), gone).await.unwrap();
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
        let ran = self.run(&["plan", "orders-db"]).await;
        ran.exits(0);
        let id = ran.plan();
        (id, ran)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for name in ["api-1", "api-2", "billing-main"] {
            let pid = pid_of(&self.dir().join(format!("run/{name}.pid")));
            pid.into_iter().for_each(end_own);
        }
        if std::thread::panicking() {
            for name in ["api-1", "api-2", "billing-main"] {
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

pub(crate) fn put(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    if mode & 0o111 == 0 {
        fs::write(path, text).unwrap();
    } else {
        write_program(path, text);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Requests a second.
pub(crate) fn rate(tally: &Tally) -> f64 {
    tally.sent as f64 / tally.elapsed.as_secs_f64()
}
