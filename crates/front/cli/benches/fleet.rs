//! What hosts by ssh cost: prints one line of JSON. The hosts are containers of this machine, and their ssh is on loopback.
//!
//! - The connection: from the start of ssh until keyroll-host has greeted, with the program in the host's cache, beside
//!   `ssh HOST true` until its end. Both use the same ssh with the same configuration and without a shared connection. They
//!   take turns in pairs; the ratio is the median of the ratios of the pairs. The end of keyroll's connection is not timed.
//!   The limit is for a host without sudo; with it, sudo is started twice, and that is shown beside it.
//! - The step of one host: from the moment when a host's file was written until the same of the next host, by the times of
//!   apply's events. Between them are the restart, the evidence, and the delivery to the next host. What is keyroll's own of
//!   it is the rest without: the restart, from the start of `systemctl restart` until keyroll has seen the unit stay active
//!   for its two seconds; the checks; and six round trips of a line through `ssh HOST cat`. Two programs in the hosts write
//!   down when `systemctl` and the check began and ended; they cost a few milliseconds, which count as keyroll's own.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "../tests/fleet/desk.rs"]
mod desk;
#[path = "../tests/fleet/scene.rs"]
mod scene;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use jiff::Timestamp;
use keyroll_ssh::{Program, Reach, Verb, programs, reach};
use keyroll_testkit::command::Ran;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use desk::{Desk, SSH};
use scene::KEYROLL;

/// The hosts, in the order in which they are moved.
const HOSTS: [&str; 5] = ["web-1", "web-2", "web-3", "web-4", "web-5"];

/// How many pairs of connections are measured.
const PAIRS: usize = 21;

/// The most that a connection may take, relative to `ssh HOST true`.
const CONNECT_MAX: f64 = 1.2;

/// The most that keyroll's own part of a host's step may take, milliseconds.
const STEP_MS_MAX: f64 = 80.0;

/// How many round trips a host's step may take besides.
const ROUND_TRIPS: f64 = 6.0;

/// How long a restarted unit must stay active, seconds; keyroll-host asks for its state meanwhile.
const SETTLE_S: f64 = 2.0;

/// With this key a host makes digests of its ids.
const KEY: [u8; 32] = [7; 32];

/// What keyroll.toml has besides the hosts.
const CONFIG: &str = "\n[secrets.orders]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
    \n[secrets.orders.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n\
    \n[[secrets.orders.consumers]]\nname = \"api\"\nhosts = [\"web\"]\nruns = { unit = \"api.service\" }\n\
    reads = { env_file = \"./api.env\", variable = \"ORDERS_KEY\" }\ncheck = { exec = [\"./check.sh\", \"{copy}\"] }\n";

/// The service of a host: it has the key in its environment.
const UNIT: &str = "[Service]\nType=exec\nEnvironmentFile=/srv/app/api.env\nExecStart=/bin/sleep 100000\n";

/// Asks the issuer.
const CHECK: &str = include_str!("../tests/fleet/recipe/check.py");

/// Runs a program, and writes down when it began and ended, seconds since the epoch, and a word.
const TIMED: &str = "#!/bin/bash\nbegun=$EPOCHREALTIME\nPROGRAM \"$@\"\ncode=$?\n\
    echo \"$begun $EPOCHREALTIME WORD\" >>/srv/seen/spent\nexit $code\n";

/// Prints the milliseconds of one round trip through ssh: the median of 51.
const ROUND_TRIP: &str = r#"
import statistics, subprocess, time
line = subprocess.Popen(["ssh", "HOST", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
def once():
    begun = time.perf_counter()
    line.stdin.write(b"x\n")
    heard = b""
    while not heard.endswith(b"\n"):
        heard += line.stdout.read(16)
    return time.perf_counter() - begun
once()
print(statistics.median(once() for _ in range(51)) * 1000)
line.stdin.close()
line.wait()
"#;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, host, rights] = words.as_slice()
        && word == "connect"
    {
        println!("{}", connected(host, rights == "sudo"));
        return ExitCode::SUCCESS;
    }
    let Some(desk) = Desk::raise("what hosts by ssh cost", &HOSTS, CONFIG) else {
        return ExitCode::FAILURE;
    };
    let mut seen = json!({ "connect_ratio_max": CONNECT_MAX, "step_own_ms_max": STEP_MS_MAX });
    for (rights, name) in [("plain", "connect"), ("sudo", "connect_sudo")] {
        let connection = connection(&desk, rights);
        for part in ["ratio", "ms", "ssh_true_ms"] {
            seen[format!("{name}_{part}")] = connection[part].clone();
        }
    }
    steps(&desk, &mut seen);
    for (figure, max) in [("connect_ratio", CONNECT_MAX), ("step_own_ms", STEP_MS_MAX)] {
        let is = seen[figure].as_f64().unwrap();
        let met = is <= max;
        seen[format!("{figure}_met")] = json!(met);
        if !met {
            eprintln!("LIMIT NOT MET: {figure} is {is}, and may be {max}");
        }
    }
    println!("{seen}");
    ExitCode::SUCCESS
}

/// What a connection to the first host costs: measured in a process of its own, whose ssh knows these hosts.
fn connection(desk: &Desk, rights: &str) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["connect", HOSTS[0], rights]);
    command.env("PATH", format!("{}:/usr/bin:/bin", desk.fleet.hosts.path().display()));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    serde_json::from_str(out.trim()).unwrap()
}

/// The pairs of connections.
fn connected(host: &str, sudo: bool) -> Value {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let programs = programs(Path::new(KEYROLL).parent().unwrap()).unwrap();
    let (name, host) = (host.to_owned(), host.to_owned());
    let to = Reach { name, user: None, host, port: None, sudo, program: None, verb: Verb::Serve };
    // The first connection sends the program.
    let first = runtime.block_on(reach(&to, &programs, &KEY, &mut |_| {})).unwrap();
    runtime.block_on(first.end());
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let (own, plain) = if pair % 2 == 0 {
            let plain = ssh_true(&to.host);
            (greeted(&runtime, &to, &programs), plain)
        } else {
            let own = greeted(&runtime, &to, &programs);
            (own, ssh_true(&to.host))
        };
        ours.push(own);
        theirs.push(plain);
        ratios.push(own / plain);
    }
    json!({
        "ratio": hundredth(median(ratios)),
        "ms": hundredth(median(ours)),
        "ssh_true_ms": hundredth(median(theirs)),
    })
}

/// How long it takes until keyroll-host has greeted, milliseconds.
fn greeted(runtime: &Runtime, to: &Reach, programs: &[Program]) -> f64 {
    let begun = Instant::now();
    let reached = runtime.block_on(reach(to, programs, &KEY, &mut |_| {})).unwrap();
    let took = ms(begun);
    assert!(!reached.started.sent, "the program was in the cache");
    runtime.block_on(reached.end());
    took
}

/// How long `ssh HOST true` takes, milliseconds.
fn ssh_true(host: &str) -> f64 {
    let begun = Instant::now();
    let status = Command::new("ssh").args([host, "true"]).stdin(Stdio::null()).status().unwrap();
    let took = ms(begun);
    assert!(status.success(), "{status}");
    took
}

/// Rotates over the hosts, and adds what one host's step costs.
fn steps(desk: &Desk, seen: &mut Value) {
    let timed = |program: &str, word: &str| TIMED.replace("PROGRAM", program).replace("WORD", word);
    let check = CHECK.replace("@ISSUER@", &desk.issuer.port().to_string());
    let files = [
        ("api.service", UNIT.to_owned(), 0o644),
        ("check.py", check, 0o755),
        ("check.sh", timed("/srv/app/check.py", "check"), 0o755),
        ("systemctl", timed("/usr/bin/systemctl", "$1"), 0o755),
    ];
    // Where sudo looks for programs first.
    let start = "systemctl start api; ./check.py api.env; mv systemctl /usr/local/sbin/";
    for host in HOSTS {
        desk.serve(host, &files, start);
    }
    desk.begin();
    let measure = format!("PATH={SSH}/bin:$PATH python3 -c '{}'", ROUND_TRIP.replace("HOST", HOSTS[1]));
    let round_trip_ms: f64 = desk.fleet.run("desk", &measure).parse().unwrap();
    let id = desk.keyroll(&["plan", "orders"]).exits(0).plan();
    let applied = desk.keyroll(&["apply", &id, "--confirm", "orders"]);
    applied.exits(0).ended("done");

    let delivered = delivered(&applied);
    let spent: Vec<Vec<Spent>> =
        HOSTS.iter().map(|host| parsed(&desk.fleet.run(host, "cat /srv/seen/spent"))).collect();
    let checks: Vec<Span> =
        spent.iter().flatten().filter(|one| one.word == "check").map(|one| one.span).collect();
    let (mut own, mut wall, mut restarts, mut checked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, times) in delivered.windows(2).enumerate() {
        let step = Span { begun: times[0], ended: times[1] };
        let restart = restart(&spent[at], step);
        let all: Vec<Span> = checks.iter().copied().chain([restart]).collect();
        let besides = covered(all, step);
        wall.push(step.ms());
        restarts.push(restart.ms());
        checked.push(besides - restart.ms());
        own.push(step.ms() - besides - ROUND_TRIPS * round_trip_ms);
    }
    seen["steps"] = json!(own.len());
    seen["round_trip_ms"] = json!(hundredth(round_trip_ms));
    for (name, all) in [
        ("step_own_ms", own),
        ("step_wall_ms", wall),
        ("step_restart_ms", restarts),
        ("step_other_checks_ms", checked),
    ] {
        seen[name] = json!(hundredth(median(all)));
    }
}

/// When the file of each host was written, in the order of the hosts, seconds since the epoch.
fn delivered(applied: &Ran) -> Vec<f64> {
    let steps = applied.of("host_step").into_iter();
    let written = steps.filter(|event| event["step"] == "delivered" && event["state"] == "done");
    let (hosts, times): (Vec<&str>, Vec<f64>) = written
        .map(|event| {
            let at: Timestamp = event["at"].as_str().unwrap().parse().unwrap();
            (event["host"].as_str().unwrap(), at.as_duration().as_secs_f64())
        })
        .unzip();
    assert_eq!(hosts, HOSTS, "{}", applied.text);
    times
}

/// A time, seconds since the epoch.
#[derive(Clone, Copy)]
struct Span {
    begun: f64,
    ended: f64,
}

impl Span {
    fn ms(self) -> f64 {
        (self.ended - self.begun) * 1e3
    }
}

/// What a host wrote down of one program.
struct Spent {
    span: Span,
    /// The first word of `systemctl`, or `check`.
    word: String,
}

/// What a host wrote down, in the order of the beginnings.
fn parsed(text: &str) -> Vec<Spent> {
    let one = |line: &str| {
        let mut words = line.split(' ');
        let mut time = || -> f64 { words.next().unwrap().parse().unwrap() };
        let span = Span { begun: time(), ended: time() };
        Spent { span, word: words.next().unwrap_or_default().to_owned() }
    };
    let mut all: Vec<Spent> = text.lines().map(one).collect();
    all.sort_by(|one, other| one.span.begun.total_cmp(&other.span.begun));
    all
}

/// From the restart of a host's unit until keyroll-host has seen it stay active: that is the first answer about its state
/// that comes so long after the first one.
fn restart(spent: &[Spent], step: Span) -> Span {
    let within = |one: &&Spent| step.begun <= one.span.begun && one.span.ended <= step.ended;
    let restarts: Vec<&Spent> = spent.iter().filter(within).filter(|one| one.word == "restart").collect();
    let [restart] = restarts.as_slice() else { panic!("{} restarts in one step", restarts.len()) };
    let is_after = |one: &&Spent| one.word == "show" && one.span.begun >= restart.span.ended;
    let answers: Vec<f64> = spent.iter().filter(is_after).map(|one| one.span.ended).collect();
    let ended = answers.iter().find(|ended| **ended >= answers[0] + SETTLE_S).unwrap();
    Span { begun: restart.span.begun, ended: *ended }
}

/// How much of a time the others cover, milliseconds; what several of them cover counts once.
fn covered(mut others: Vec<Span>, of: Span) -> f64 {
    others.sort_by(|one, other| one.begun.total_cmp(&other.begun));
    let (mut sum, mut until) = (0.0, of.begun);
    for Span { begun, ended } in others {
        let (begun, ended) = (begun.max(until), ended.min(of.ended));
        if begun < ended {
            sum += ended - begun;
            until = ended;
        }
    }
    sum * 1e3
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn hundredth(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
