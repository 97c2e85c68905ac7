//! One Debian host with systemd, cron, PgBouncer and containers, in which everything runs that uses two secrets, and keyroll too.
//! PostgreSQL 15 and Redis run beside it, on the loopback address that it shares with this machine.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use keyroll_testkit::command::{Ran, Started};
use keyroll_testkit::load::{Callers, Front};
use keyroll_testkit::{Deadline, Postgres, SystemdHost, TempDir, alphanumeric, free_port, until};

use crate::kill::trace::{self, Place};
use crate::postgres::part::PART;
use crate::postgres::scene::{RATE, put};
use crate::servers::server::{Kind, Server};

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");
/// How long a part may take to start, seconds.
const PART_S_MAX: u64 = 60;
/// How long requests that must come may take, seconds.
const REQUESTS_S_MAX: u64 = 300;
/// Requests of a rotation, at least.
const REQUESTS: u64 = 3_000;
/// What a command is said to end with that a signal killed inside the host. Source: docker-run(1), exit status.
const KILLED: i32 = 137;

/// The workers that were started by hand, and that nobody configured.
pub(crate) const HANDS: [&str; 2] = ["a", "b"];

/// An image of links into the host's own `/usr`, which its containers mount.
const IMAGE: &str = "d=$(mktemp -d); cd $d; mkdir etc usr tmp run proc dev sys sbin; \
    for l in bin lib lib64; do ln -s usr/$l $l; done; tar -c . | docker import - keyroll-test:1";

/// The ports of what runs.
struct Ports {
    pooler: u16,
    shop: [u16; 2],
    cache: [u16; 2],
    bill: u16,
    hands: [u16; 2],
}

/// The whole scene.
pub(crate) struct Scene {
    /// Ended before the folder is gone that it sees, and everything in it with it.
    host: SystemdHost,
    pub(crate) server: Postgres,
    pub(crate) redis: Server,
    home: TempDir,
    ports: Ports,
    commands: AtomicUsize,
}

/// What calls the units all the time.
pub(crate) struct Load {
    shop: (Front, Callers),
    cache: (Front, Callers),
}

impl Load {
    /// Calls of the units that were answered or failed so far.
    pub(crate) fn sent(&self) -> u64 {
        self.shop.1.sent() + self.cache.1.sent()
    }
}

impl Scene {
    /// Everything started; there is no keyroll.toml yet. `None` where a part is not installed.
    pub(crate) async fn raise(what: &str) -> Option<Self> {
        let server = Postgres::start_or_skip(what)?;
        let redis = Kind::Redis.start(what)?;
        let home = TempDir::new().unwrap();
        let engine = home.path().join("engine");
        fs::create_dir(&engine).unwrap();
        let programs = Path::new(KEYROLL).parent().unwrap();
        let host = SystemdHost::start_with_docker_or_skip(what, &[home.path(), programs], &engine)?;
        let port = || free_port().unwrap();
        let ports = Ports {
            pooler: port(),
            shop: [port(), port()],
            cache: [port(), port()],
            bill: port(),
            hands: [port(), port()],
        };
        let scene = Self { host, server, redis, home, ports, commands: AtomicUsize::new(0) };
        scene.write();
        scene.part(&format!(
            "seed dir={} kept={} port={} via={} redis={}",
            scene.dir().display(),
            scene.kept("first").display(),
            scene.server.port(),
            scene.ports.pooler,
            scene.redis.port(),
        ));
        scene.start_all().await;
        Some(scene)
    }

    /// The folder of keyroll.toml.
    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    /// A file for an old value, outside of every searched folder.
    pub(crate) fn kept(&self, name: &str) -> PathBuf {
        self.home.path().join("kept").join(name)
    }

    fn write(&self) {
        let folders = ["shop", "bill", "job", "hand", "cache", "pooler", "run", "log", "units"];
        let dir = self.dir();
        for folder in folders {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        fs::create_dir(self.home.path().join("kept")).unwrap();
        // The account of PgBouncer must come to its folder.
        for folder in [self.home.path(), &dir] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let admin = format!("{}:{}\n", self.server.superuser(), self.server.password());
        put(&dir.join("admin.key"), &admin, 0o600);
        put(&dir.join("redis.key"), &format!("{}\n", self.redis.admin()), 0o600);
        put(&dir.join("stats.key"), &format!("stats:{}\n", alphanumeric(20)), 0o600);
        for (path, text, mode) in [
            ("units/shop@.service", include_str!("shop@.service"), 0o644),
            ("units/cache@.service", include_str!("cache@.service"), 0o644),
            ("units/pgbouncer.service", include_str!("pgbouncer.service"), 0o644),
            ("bill/compose.yaml", include_str!("compose.yaml"), 0o644),
            ("hand/restart.sh", include_str!("restart.sh"), 0o755),
            ("hand/wrong.sh", "#!/bin/sh\nexit 3\n", 0o755),
            ("job/check.sh", include_str!("check.sh"), 0o755),
            // What the job does is what its check does.
            ("job/report.sh", "#!/bin/sh\nexec @DIR@/job/check.sh @DIR@/job/job.env\n", 0o755),
            ("pooler-check.sh", include_str!("../postgres/pooled-check.sh"), 0o755),
        ] {
            put(&dir.join(path), &self.filled(text), mode);
        }
    }

    fn filled(&self, text: &str) -> String {
        let program = std::env::current_exe().unwrap();
        let Ports { pooler, shop, cache, bill, hands } = &self.ports;
        [
            ("@PORT@", self.server.port()),
            ("@REDIS@", self.redis.port()),
            ("@POOLER@", *pooler),
            ("@SHOP_1@", shop[0]),
            ("@SHOP_2@", shop[1]),
            ("@CACHE_1@", cache[0]),
            ("@CACHE_2@", cache[1]),
            ("@BILL@", *bill),
            ("@HAND_A@", hands[0]),
            ("@HAND_B@", hands[1]),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, port)| text.replace(name, &port.to_string()))
        .replace("@PROGRAM@", program.to_str().unwrap())
        .replace("@TARGET@", program.parent().unwrap().to_str().unwrap())
        .replace("@DIR@", self.dir().to_str().unwrap())
    }

    /// Starts everything as the people of this host have done: units, a service of compose, workers by hand.
    async fn start_all(&self) {
        // Once a year: it does not run while this does.
        let job = format!("5 4 1 1 * root {}/job/report.sh", self.dir().display());
        self.inside(&format!("echo '{job}' >/etc/cron.d/shop-report; chmod 644 /etc/cron.d/shop-report"));
        // Its own unit is masked in the image.
        self.inside(
            "chown -R postgres:postgres pooler; rm -f /etc/systemd/system/pgbouncer.service; \
             cp units/*.service /etc/systemd/system/; systemctl daemon-reload; systemctl start pgbouncer",
        );
        self.listens(self.ports.pooler, "pgbouncer").await;
        for (name, ports) in [("shop", self.ports.shop), ("cache", self.ports.cache)] {
            self.inside(&format!("systemctl start {name}@{} {name}@{}", ports[0], ports[1]));
            for port in ports {
                self.listens(port, &format!("{name}@{port}")).await;
            }
        }
        self.inside(IMAGE);
        self.inside("cd bill; docker compose up --detach");
        self.listens(self.ports.bill, "engine").await;
        for (hand, port) in HANDS.iter().zip(self.ports.hands) {
            self.inside(&format!("hand/restart.sh {hand}"));
            self.listens(port, "engine").await;
        }
    }

    /// Waits until somebody listens there; else says what the journal of the unit has.
    async fn listens(&self, port: u16, unit: &str) {
        let look = || async { TcpStream::connect(("127.0.0.1", port)).ok() };
        if until(Deadline::seconds(PART_S_MAX), look).await.is_err() {
            let said = self.inside(&format!(
                "systemctl status --no-pager --full {unit} || true; tail -n 20 log/* || true; docker ps --all || true; \
                 docker logs bill-bill-1 2>&1 | tail -n 20 || true"
            ));
            panic!("nobody listens at {port} ({unit}): {said}");
        }
    }

    /// A shell command inside the host, in the scene's folder: what it wrote.
    #[track_caller]
    pub(crate) fn inside(&self, text: &str) -> String {
        let dir = self.dir().display().to_string();
        let output = self.host.command(&["env", "-C", &dir, "sh", "-euc", text]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{text}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Runs a short part of this test's program to its end.
    fn part(&self, words: &str) {
        let test = if words.starts_with("try ") { "postgres::part" } else { "debian::part" };
        let output = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(PART, words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What PgBouncer answers to a login with the URL of an env file: `accepted`, or the SQLSTATE.
    pub(crate) fn answer(&self, env: &Path) -> String {
        let answer = self.home.path().join("answer");
        self.part(&format!("try env={} answer={}", env.display(), answer.display()));
        fs::read_to_string(answer).unwrap()
    }

    /// What `init` would write of these folders.
    pub(crate) fn found(&self) -> String {
        let dir = self.dir().display().to_string();
        let words = ["init", "shop", "bill", "job", "cache", "--dry-run", "--memory", "0"];
        let fixed = ["env", "-C", &dir, KEYROLL, "--state", "../state", "--no-input", "--plain"];
        let ran = Ran::run(&mut self.host.command(&[&fixed[..], &words].concat()));
        ran.exits(0);
        ran.text
    }

    /// keyroll.toml with every consumer but those that were started by hand, and the values of its secrets taken from the
    /// files that they are in.
    pub(crate) async fn configure(&self) {
        put(&self.dir().join("keyroll.toml"), &self.filled(include_str!("keyroll.toml")), 0o644);
        // A list of logins does not say which one is the current one.
        self.run(&["secret", "import", "orders-db", "--from", "shop/shop.env"]).await.exits(0);
        self.run(&["secret", "import", "cache"]).await.exits(0);
    }

    pub(crate) fn config(&self) -> String {
        fs::read_to_string(self.dir().join("keyroll.toml")).unwrap()
    }

    /// A keyroll command to its end, inside the host.
    pub(crate) async fn run(&self, words: &[&str]) -> Ran {
        let dir = self.dir().display().to_string();
        let fixed = ["env", "-C", &dir, KEYROLL, "--state", "../state", "--no-input", "--json"];
        let number = self.commands.fetch_add(1, Ordering::SeqCst);
        let output = self.home.path().join(format!("output-{number}"));
        Started::start(&mut self.host.command(&[&fixed[..], words].concat()), output).ended().await
    }

    /// The id of a plan.
    pub(crate) async fn plan(&self, secret: &str) -> String {
        let ran = self.run(&["plan", secret]).await;
        ran.exits(0);
        ran.plan()
    }

    /// Whether the host lets a program be traced.
    pub(crate) fn traces(&self) -> bool {
        let words = ["strace", "-qq", "-b", "execve", "-o", "/dev/null", "true"];
        let works = self.host.command(&words).output().unwrap();
        let said = String::from_utf8_lossy(&works.stderr).into_owned();
        assert!(works.status.success() || std::env::var("CI").is_err(), "strace cannot trace in CI: {said}");
        works.status.success()
    }

    /// Runs a keyroll command that is killed at the N-th of a system call, for every N, until it is no more: how often that was.
    pub(crate) fn killed_at_each(&self, call: &'static str, calls_max: u64, words: &[&str]) -> u64 {
        let dir = self.dir().display().to_string();
        for nth in 1..=calls_max {
            let record = self.home.path().join(trace::name());
            let place = Place { class: call, call, nth, store: false };
            let traced = trace::under(Path::new(KEYROLL), &record, "", Some(&place));
            let traced: Vec<&str> =
                traced.get_args().map(|word| word.to_str().expect("a word of strace")).collect();
            let fixed = [&["env", "-C", &dir, "strace"][..], &traced].concat();
            let own = ["--state", "../state", "--no-input", "--json"];
            let ran = Ran::run(&mut self.host.command(&[&fixed[..], &own, words].concat()));
            let _ = fs::remove_file(record);
            if ran.code == Some(0) {
                return nth - 1;
            }
            assert_eq!(ran.code, Some(KILLED), "after {} kills at {call}: {}", nth - 1, ran.text);
        }
        panic!("still killed at call {calls_max} of {call}");
    }

    /// The process that was started by hand, as it is numbered inside.
    pub(crate) fn hand(&self, name: &str) -> String {
        let pid = fs::read_to_string(self.dir().join(format!("run/hand-{name}.pid"))).unwrap();
        pid.trim().to_owned()
    }

    /// Every process that uses the database now, as evidence names it. Of the container the program below docker-init.
    pub(crate) fn users(&self) -> BTreeSet<String> {
        let mut pids: Vec<String> = HANDS.iter().map(|name| self.hand(name)).collect();
        for port in self.ports.shop {
            pids.push(self.inside(&format!("systemctl show -P MainPID shop@{port}")));
        }
        let first = self.inside("docker inspect --format '{{.State.Pid}}' bill-bill-1");
        let init = self.inside(&format!("cat /proc/{first}/comm"));
        assert_eq!(init, "docker-init", "the container has `init: true`");
        pids.push(self.inside(&format!("pgrep -P {first}")));
        pids.into_iter().map(|pid| format!("pid {pid}")).collect()
    }

    /// The users of PgBouncer's list. The test itself never reads it: it would hold the value.
    pub(crate) fn listed(&self) -> Vec<String> {
        let names = self.inside(r#"sed -n 's/^"\([^"]*\)".*/\1/p' pooler/userlist.txt"#);
        names.lines().map(str::to_owned).collect()
    }

    /// Whether a role may log in, whether it has a password, and its sessions, by the server's catalogue.
    pub(crate) async fn role(&self, name: &str) -> Option<(bool, bool, i64)> {
        let admin = self.server.connect_admin("postgres").await.unwrap();
        let sql = "SELECT rolcanlogin, rolpassword IS NOT NULL, \
                   (SELECT count(*) FROM pg_stat_activity WHERE usename = rolname) FROM pg_authid WHERE rolname = $1";
        let row = admin.query_opt(sql, &[&name]).await.unwrap()?;
        Some((row.get(0), row.get(1), row.get(2)))
    }

    /// Calls of the units, through a front before each two of a template.
    pub(crate) async fn load(&self) -> Load {
        Load { shop: called(self.ports.shop).await, cache: called(self.ports.cache).await }
    }

    /// Ends the calls once there were enough, and the workers that call themselves: none of all requests has failed.
    pub(crate) async fn no_failure(&self, load: Load) {
        let Load { shop: (shop_front, shop), cache: (cache_front, cache) } = load;
        let enough = || async { (shop.sent() >= REQUESTS).then_some(()) };
        if until(Deadline::seconds(REQUESTS_S_MAX), enough).await.is_err() {
            panic!("only {} requests", shop.sent());
        }
        let [shop, cache] = [shop.stop().await, cache.stop().await];
        drop((shop_front, cache_front));
        // Each counts at the end of its life.
        self.inside(
            "for f in run/hand-*.pid; do p=$(cat $f); kill -TERM $p; while kill -0 $p 2>/dev/null; do sleep 0.02; done; \
             done; cd bill; docker compose stop",
        );
        let mut total = (shop.sent + cache.sent, shop.failed + cache.failed);
        for worker in ["hand-a", "hand-b", "bill"] {
            let text = fs::read_to_string(self.dir().join(format!("log/{worker}.count"))).unwrap_or_default();
            let lives = text.lines().map(|line| {
                let (sent, failed) = line.split_once(' ').unwrap();
                (sent.parse::<u64>().unwrap(), failed.parse::<u64>().unwrap())
            });
            let (sent, failed) = lives.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            println!("{worker}: {sent} sent, {failed} failed");
            assert!(sent > 0, "{worker} has not called: {text}");
            total = (total.0 + sent, total.1 + failed);
        }
        println!("{} requests, {} failed", total.0, total.1);
        assert_eq!(total.1, 0, "{:?} {:?}", shop.answers, cache.answers);
    }
}

/// A front before these ports, and callers at it.
async fn called(ports: [u16; 2]) -> (Front, Callers) {
    let port = free_port().unwrap();
    let front = Front::start(port, &ports).await.unwrap();
    let all = || async { ports.iter().all(|port| front.uses(*port)).then_some(()) };
    until(Deadline::seconds(PART_S_MAX), all).await.unwrap();
    let callers = Callers::start(port, RATE);
    (front, callers)
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let dir = self.dir().display().to_string();
            let last = "tail -n 5 log/*; journalctl --no-pager --lines=40; docker ps --all; ps axww -o pid,ppid,args";
            let said = self.host.command(&["env", "-C", &dir, "sh", "-c", last]).output();
            let said = said.map(|output| output.stdout).unwrap_or_default();
            eprintln!("{}", String::from_utf8_lossy(&said));
        }
    }
}

/// The processes that a command saw accepted by the server on the login that stays.
pub(crate) fn exercised(ran: &Ran) -> BTreeSet<String> {
    let shown = ran.of("evidence").into_iter().filter(|event| event["grade"] == "exercised");
    shown.map(|event| event["instance"].as_str().unwrap().to_owned()).collect()
}
