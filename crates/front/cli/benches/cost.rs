//! What `plan` and `apply` cost with ten consumers: prints one line of JSON.
//!
//! Ten processes, each with an env file, a restart command and a check; an issuer in this process that answers at once.
//! Own time is the processor time of all threads of the `keyroll` process without its children, as `--cost` prints it.
//! It does not include waiting, for the disk either, so the wall time is shown too. The search of other processes'
//! memory is shown separately, because it grows with the machine. `KEYROLL` names another binary.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use keyroll_testkit::issuer::Issuer;
use keyroll_testkit::{TempDir, write_program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Consumers of the one secret.
const CONSUMERS: usize = 10;

/// How many plans are measured; the median is shown.
const PLANS: usize = 5;

/// How long a worker may take to start.
const WORKER_TIME_MAX: Duration = Duration::from_secs(30);

/// A worker is a `sleep` with the value in its environment.
const RESTART: &str = "#!/bin/sh
set -eu
if [ -e $1/pid ]; then kill $(cat $1/pid) 2>/dev/null || true; fi
( . ./$1/env; export KEY; exec setsid sleep 86400 ) </dev/null >/dev/null 2>&1 &
echo $! > $1/pid.new
mv $1/pid.new $1/pid
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, port, copy] = words.as_slice()
        && word == "check"
    {
        return check(port.parse().unwrap(), Path::new(copy));
    }
    let scene = Scene::start();
    println!("{}", scene.measure());
    ExitCode::SUCCESS
}

/// A consumer's check: the issuer accepts what the copy holds.
fn check(port: u16, copy: &Path) -> ExitCode {
    let text = fs::read_to_string(copy).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix("KEY=")).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let host = "Host: 127.0.0.1";
    write!(stream, "GET /v1/me HTTP/1.1\r\n{host}\r\nAuthorization: Bearer {value}\r\n\r\n").unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    ExitCode::from(u8::from(&status != b"HTTP/1.1 200"))
}

/// The folder with the workers. Dropping it ends them by their ids.
struct Scene {
    home: TempDir,
    keyroll: PathBuf,
}

/// What one command cost.
struct Cost {
    cpu_ms: f64,
    memory_search_ms: f64,
    peak_mb: f64,
    wall_ms: f64,
    events: Vec<Value>,
}

impl Cost {
    fn own_ms(&self) -> f64 {
        self.cpu_ms - self.memory_search_ms
    }
}

impl Scene {
    fn start() -> Self {
        let keyroll = std::env::var_os("KEYROLL").map_or(env!("CARGO_BIN_EXE_keyroll").into(), PathBuf::from);
        let keyroll = keyroll.canonicalize().unwrap();
        let scene = Self { home: TempDir::new().unwrap(), keyroll };
        let (issuer, admin) = Issuer::start();
        let port = issuer.port();
        let (id, value) = issuer.mint("by hand");
        let dir = scene.dir();
        fs::create_dir_all(&dir).unwrap();
        put(&dir.join("acme.toml"), &spec(&issuer), 0o644);
        put(&dir.join("admin.key"), &format!("{}\n", *admin), 0o600);
        put(&dir.join("restart.sh"), RESTART, 0o755);
        put(&dir.join("keyroll.toml"), &config(port), 0o644);
        for name in names() {
            fs::create_dir(dir.join(&name)).unwrap();
            put(&dir.join(&name).join("env"), &format!("KEY={}\n", *value), 0o600);
            let status = Command::new(dir.join("restart.sh")).arg(&name).current_dir(&dir).status();
            assert!(status.unwrap().success(), "{name} starts");
        }
        let deadline = Instant::now() + WORKER_TIME_MAX;
        while scene.workers().len() < CONSUMERS {
            assert!(Instant::now() < deadline, "the workers start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut add = scene.command(&["secret", "add", "bench", "--id", &id]);
        let mut child = add.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        scene
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.keyroll);
        command
            .args(["--state", "../state", "--no-input", "--json", "--cost"])
            .args(words)
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, words: &[&str]) -> Cost {
        let begun = Instant::now();
        let output = self.command(words).output().unwrap();
        let wall_ms = begun.elapsed().as_secs_f64() * 1e3;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "keyroll {}: {out}{err}", words.join(" "));
        let told: Value = err.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap();
        let number = |key: &str| told[key].as_f64().unwrap_or_else(|| panic!("no {key} in {told}"));
        Cost {
            cpu_ms: number("cpu_ms"),
            memory_search_ms: number("memory_search_ms"),
            peak_mb: number("peak_kib") * 1.024e-3,
            wall_ms,
            events: out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
        }
    }

    fn measure(&self) -> Value {
        let mut plans: Vec<Cost> = (0..PLANS).map(|_| self.run(&["plan", "bench"])).collect();
        let id = plans.iter().flat_map(|plan| &plan.events).rfind(|event| event["type"] == "plan");
        let id = id.and_then(|plan| plan["id"].as_str()).unwrap().to_owned();
        let apply = self.run(&["apply", &id, "--confirm", "bench"]);
        assert_eq!(apply.events.last().unwrap()["outcome"], "done");
        let applied = |event: &&Value| event["type"] == "host_step" && event["step"] == "applied";
        let steps = apply.events.iter().filter(applied).count();
        assert_eq!(steps, CONSUMERS, "each worker was restarted once");
        let emergency = self.emergency();
        plans.sort_by(|one, other| one.own_ms().total_cmp(&other.own_ms()));
        let plan = &plans[PLANS / 2];
        json!({
            "consumers": CONSUMERS,
            "processes": processes(),
            "plan_own_ms": tenth(plan.own_ms()),
            "plan_memory_search_ms": tenth(plan.memory_search_ms),
            "plan_wall_ms": tenth(plan.wall_ms),
            "apply_own_ms": tenth(apply.own_ms()),
            "apply_own_ms_per_step": tenth(apply.own_ms() / f64::from(u32::try_from(steps).unwrap())),
            "apply_memory_search_ms": tenth(apply.memory_search_ms),
            "apply_wall_ms": tenth(apply.wall_ms),
            "peak_mb": tenth(apply.peak_mb),
            "emergency_to_moved_s": tenth(emergency["alert_to_moved_s"].as_f64().unwrap()),
            "emergency_to_dead_s": tenth(emergency["alert_to_dead_s"].as_f64().unwrap()),
        })
    }

    /// The same as an emergency, to measure its clock. Restarts take no time here and the issuer answers at once, so
    /// the times are keyroll's own.
    fn emergency(&self) -> Value {
        let plan = self.run(&["plan", "bench"]);
        let id = plan.events.iter().rfind(|event| event["type"] == "plan").unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let apply = self.run(&["apply", &id, "--emergency", "roll-first", "--confirm", "bench"]);
        let summary = apply.events.last().unwrap();
        assert_eq!(summary["outcome"], "done");
        summary["emergency"].clone()
    }

    /// The workers that run.
    fn workers(&self) -> Vec<Pid> {
        let pid = |name: String| {
            let pid: i32 = fs::read_to_string(self.dir().join(name).join("pid")).ok()?.trim().parse().ok()?;
            let sleeps = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n");
            Pid::from_raw(pid).filter(|_| sleeps)
        };
        names().filter_map(pid).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for pid in self.workers() {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

fn names() -> impl Iterator<Item = String> {
    (1..=CONSUMERS).map(|number| format!("worker-{number}"))
}

/// The issuer, without its list of connections: sleepers call nobody.
fn spec(issuer: &Issuer) -> String {
    let whole = issuer.spec("5s");
    let (before, rest) = whole.split_once("[op.sessions]").unwrap();
    let (_, after) = rest.split_once("[propagation]").unwrap();
    format!("{before}[propagation]{after}")
}

fn config(port: u16) -> String {
    let program = std::env::current_exe().unwrap();
    let mut text =
        "version = 1\n[secrets.bench]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
                    [secrets.bench.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n"
            .to_owned();
    for name in names() {
        text += &format!(
            "[[secrets.bench.consumers]]\nname = \"{name}\"\n\
             runs = {{ restart = [\"./restart.sh\", \"{name}\"], pid_file = \"./{name}/pid\" }}\n\
             reads = [{{ env_file = \"./{name}/env\", variable = \"KEY\" }}]\n\
             check = {{ exec = [\"{}\", \"check\", \"{port}\", \"{{copy}}\"] }}\n",
            program.display()
        );
    }
    text
}

fn put(path: &Path, text: &str, mode: u32) {
    if mode & 0o111 == 0 {
        fs::write(path, text).unwrap();
    } else {
        write_program(path, text);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// How many processes this machine runs.
fn processes() -> usize {
    let number = |name: std::ffi::OsString| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| number(entry.file_name())).count()
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
