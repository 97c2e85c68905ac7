//! What `keyroll scan` costs on a full machine: 300 processes, 20 services of compose in five projects and 50,000 files
//! of settings, with 100 values; beside ripgrep searching the same files for the same values. Prints one line of JSON.
//!
//! The release build runs, and its events are timed as they appear. ripgrep searches for the plain values only; keyroll
//! searches for every encoding of them, and for unknown values. `KEYROLL` names another binary.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used, missing_docs)]
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_testkit::Engine;
use serde_json::{Value, json};

const FILES: usize = 50_000;
const PROCESSES: usize = 300;
const VALUES: usize = 100;
const PROJECTS: usize = 5;
const SERVICES: usize = 4;
const ROUNDS: usize = 3;

/// The pause between two readings of the program's memory; the kernel records the peak.
const SAMPLE: Duration = Duration::from_millis(5);

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::start().expect("a container engine");
    projects(&engine, folder.path());
    let values: Vec<String> = (0..VALUES).map(|_| generated()).collect();
    let bytes = fill(folder.path(), &values);
    let children = Ended::start(folder.path(), &values);
    let rounds: Vec<Value> = (0..ROUNDS).map(|_| round(&engine, folder.path(), &values)).collect();
    let best = |name: &str| {
        let all = rounds.iter().filter_map(|one| one.get(name).and_then(Value::as_f64));
        all.fold(f64::NAN, f64::min)
    };
    println!(
        "{}",
        json!({
            "files": FILES, "megabytes": bytes / 1_000_000, "started": PROCESSES, "services": PROJECTS * SERVICES,
            "values": VALUES, "first_table_s": best("first_table_s"), "peak_mb": best("peak_mb"),
            "ripgrep_s": best("ripgrep_s"), "rounds": rounds,
        })
    );
    drop(children);
}

fn round(engine: &Engine, folder: &Path, values: &[String]) -> Value {
    let binary = std::env::var("KEYROLL").unwrap_or_else(|_| env!("CARGO_BIN_EXE_keyroll").to_owned());
    let begun = Instant::now();
    let mut child = Command::new(binary)
        .args(["scan", "--json", "--all"])
        .arg(folder)
        .env("DOCKER_HOST", engine.host())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("keyroll starts");
    let (peak, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let pid = child.id();
    let mut told = serde_json::Map::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(resident_kib(pid).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(SAMPLE);
            }
        });
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).expect("an event");
            note(&mut told, &event, begun.elapsed());
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(child.wait().unwrap().success(), "the scan failed");
    told.insert("whole_s".to_owned(), seconds(begun.elapsed()));
    told.insert("peak_mb".to_owned(), json!(peak.into_inner() / 1024));
    if let Some((took, lines)) = ripgrep(folder, values) {
        told.insert("ripgrep_s".to_owned(), seconds(took));
        told.insert("ripgrep_lines".to_owned(), json!(lines));
    }
    Value::Object(told)
}

/// The events that are timed: the first row of the table, and the end of each stage.
fn note(told: &mut serde_json::Map<String, Value>, event: &Value, at: Duration) {
    let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
    if name == "found" {
        told.entry("first_table_s").or_insert_with(|| seconds(at));
    }
    if name == "scan" {
        let stage = event.get("stage").and_then(Value::as_str).unwrap_or_default();
        told.insert(format!("{stage}_s"), event.get("took_s").cloned().unwrap_or_default());
        told.insert(format!("{stage}_processes"), event.get("processes").cloned().unwrap_or_default());
        if stage == "files" {
            told.insert("files".to_owned(), event.get("files").cloned().unwrap_or_default());
            told.insert("values".to_owned(), event.get("values").cloned().unwrap_or_default());
        }
    }
}

fn seconds(time: Duration) -> Value {
    json!((time.as_secs_f64() * 100.0).round() / 100.0)
}

fn generated() -> String {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Ended(Vec<Child>);

impl Ended {
    /// Every second one is a shell with a program below it; a third was started with a value that stands in a file.
    fn start(folder: &Path, values: &[String]) -> Self {
        let mut all = Self(Vec::new());
        for index in 0..PROCESSES {
            let work = folder.join(format!("work-{index}"));
            fs::create_dir(&work).unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", if index % 2 == 0 { "sleep 600; :" } else { "exec sleep 600" }]);
            command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).current_dir(&work);
            command.process_group(0);
            command.envs((0..40).map(|number| (format!("SETTING_{number}"), format!("{index} of {number}"))));
            if let Some(value) = values.get(index) {
                fs::write(work.join(".env"), format!("SERVICE_{index}_API_KEY={value}\n")).unwrap();
                command.env(format!("SERVICE_{index}_API_KEY"), value);
            }
            all.0.push(command.spawn().expect("a process"));
        }
        all
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // The program below a shell is in its group.
        let group = |child: &Child| i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let end = |pid| rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).is_ok();
        self.0.iter().filter_map(group).filter(|pid| !end(*pid)).for_each(|pid| eprintln!("{pid:?} is left"));
        self.0.iter_mut().for_each(|child| drop(child.wait()));
    }
}

fn projects(engine: &Engine, folder: &Path) {
    engine.image("keyroll-cost:1", "own").expect("an image");
    for project in 0..PROJECTS {
        let folder = folder.join(format!("compose-{project}"));
        fs::create_dir(&folder).unwrap();
        let mut text = "services:\n".to_owned();
        for service in 0..SERVICES {
            fs::write(folder.join(format!("{service}.env")), format!("S{service}_API_KEY={}\n", generated()))
                .unwrap();
            text.push_str(&format!(
                "  s{service}:\n    image: keyroll-cost:1\n    network_mode: none\n    stop_signal: SIGKILL\n    \
                 volumes: ['/usr:/usr:ro']\n    command: ['/bin/sleep', '1000']\n    env_file: [{service}.env]\n    \
                 environment: {{ BOTH_API_KEY: '{}' }}\n",
                generated()
            ));
        }
        fs::write(folder.join("compose.yaml"), text).unwrap();
        let up = engine.docker(&["compose", "up", "--detach", "--quiet-pull"]).current_dir(&folder).output();
        assert!(up.expect("docker runs").status.success());
    }
}

/// Settings as people write them, about 2 KiB each; every value stands in one of them, and by its name in another.
fn fill(folder: &Path, values: &[String]) -> usize {
    let apart = FILES / VALUES / 2;
    let mut bytes = 0;
    for number in 0..FILES {
        let value = (number % apart == 0).then(|| values.get(number / apart / 2)).flatten();
        let below = folder.join(format!("project-{}", number / 250));
        fs::create_dir_all(&below).unwrap();
        let (name, text) = settings(number, value);
        bytes += text.len();
        fs::write(below.join(format!("{number}.{name}")), text).unwrap();
    }
    bytes
}

fn settings(number: usize, value: Option<&String>) -> (&'static str, String) {
    // Every third file has a name that looks like the name of a secret and is none.
    let key = |line: usize| if line == 7 && number.is_multiple_of(3) { "sort_key" } else { "setting" };
    let lines = |sign: &str, quote: &str| -> String {
        (0..40)
            .map(|line| {
                let key = key(line);
                format!("{quote}{key}_{line}{quote}{sign}{quote}some value {number} of {line}{quote}\n")
            })
            .collect()
    };
    let (name, mut text) = match number % 5 {
        0 => ("env", lines("=", "")),
        1 => ("yaml", lines(": ", "")),
        2 => ("conf", lines(" = ", "")),
        3 => ("toml", lines(" = ", "\"")),
        _ => ("json", format!("{{{}}}\n", lines(": ", "\"").trim_end().replace('\n', ",\n"))),
    };
    match (value, name) {
        (Some(value), "env") => text.push_str(&format!("SERVICE_API_KEY={value}\n")),
        (Some(value), "yaml") => text.push_str(&format!("service_api_key: {value}\n")),
        (Some(value), "toml") => text.push_str(&format!("service_api_key = \"{value}\"\n")),
        (Some(value), "conf") => text.push_str(&format!("# it was {value}\n")),
        _ => {}
    }
    (name, text)
}

fn ripgrep(folder: &Path, values: &[String]) -> Option<(Duration, usize)> {
    let begun = Instant::now();
    let mut child = Command::new("rg")
        .args(["-uuu", "--threads", "2", "--no-heading", "-F", "-f", "-"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(values.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((begun.elapsed(), output.stdout.iter().filter(|byte| **byte == b'\n').count()))
}

/// The most memory that a process had.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
