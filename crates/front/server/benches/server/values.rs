//! What the socket of values costs: answers per second, memory per waiting program, and the time from a delivery until
//! each of a thousand waiting processes has the new version.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::figure::{Spread, judged, milliseconds, percentile};
use crate::scene::{SECRET, Scene};

/// Processes that wait.
const WAITING: usize = 1_000;

/// How long answers are counted, and by how many connections.
const COUNTED: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 4;

/// The limits.
const ANSWERS_MIN: u64 = 20_000;
const IN_USE_MAX: Duration = Duration::from_millis(50);
const WAITER_KIB_MAX: u64 = 8;

/// A program that takes its value from the socket: one line, then a word.
struct Link(BufReader<UnixStream>);

impl Link {
    fn open(socket: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(socket).unwrap()))
    }

    fn ask(&mut self, request: &str) -> String {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn get(&mut self) -> u64 {
        loop {
            let answer = self.ask(&format!(r#"{{"get":{{"secret":"{SECRET}"}}}}"#));
            // A server that begins has not read the store yet.
            if !answer.contains("\"error\"") {
                return version(&answer);
            }
        }
    }
}

fn version(answer: &str) -> u64 {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    answer["version"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// One waiting process: says when it has the first version, then when it has the second one, and stays until its stdin ends.
pub fn waiter(socket: &Path) {
    let mut link = Link::open(socket);
    let first = link.get();
    println!("{first}");
    let next = version(&link.ask(&format!(r#"{{"get":{{"secret":"{SECRET}","have":{first},"wait":600}}}}"#)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    println!("{now}");
    link.ask(&format!(r#"{{"loaded":{{"secret":"{SECRET}","version":{next}}}}}"#));
    let _ = std::io::stdin().read(&mut [0]);
}

pub fn run(program: &Path) {
    let mut scene = Scene::start(program, 0);
    scene.serve();
    let socket = scene.socket();
    crate::scene::poll("the socket answers", || UnixStream::connect(&socket).ok());
    // The first programs make what all later ones share.
    let warm: Vec<Waiter> = (0..20).map(|_| Waiter::start(&socket)).collect();
    let before = scene.resident_kib();
    let mut all: Vec<Waiter> = (0..WAITING).map(|_| Waiter::start(&socket)).collect();
    let each = scene.resident_kib().saturating_sub(before);
    scene.rotate();
    let file = scene.state().join("served").join(SECRET).join("programs");
    let meta = std::fs::metadata(file).unwrap();
    let delivered = Duration::new(meta.ctime().unsigned_abs(), u32::try_from(meta.ctime_nsec()).unwrap());
    let mut times: Vec<Duration> = all.iter_mut().map(|one| one.in_use().saturating_sub(delivered)).collect();
    times.sort_unstable();
    let spread = Spread::of(times.iter().copied());
    drop((all, warm));
    let answers = answers(&socket);
    scene.stop();
    println!("the socket of values, {WAITING} waiting processes");
    println!(
        "  delivered → at the process: median {}, 99 of 100 {}, the last {} (limit {}: {})",
        milliseconds(spread.median),
        milliseconds(percentile(&times, 99)),
        milliseconds(spread.max),
        milliseconds(IN_USE_MAX),
        judged(spread.max, IN_USE_MAX),
    );
    let per = each as f64 / WAITING as f64;
    println!("  memory of the server: {per:.1} KiB for each (limit {WAITER_KIB_MAX} KiB)");
    println!("  answers: {answers} per second by {CONNECTIONS} connections (limit {ANSWERS_MIN})");
}

fn answers(socket: &Path) -> u64 {
    let begun = Instant::now();
    let counts: Vec<u64> = thread::scope(|threads| {
        let count = || {
            let mut link = Link::open(socket);
            let mut count = 0;
            while begun.elapsed() < COUNTED {
                link.get();
                count += 1;
            }
            count
        };
        let all: Vec<_> = (0..CONNECTIONS).map(|_| threads.spawn(count)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    counts.iter().sum::<u64>() / COUNTED.as_secs()
}

struct Waiter {
    child: Child,
    says: BufReader<std::process::ChildStdout>,
}

impl Waiter {
    /// Returns when it has the value and begins to wait.
    fn start(socket: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("waiter")
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let mut one = Self { child, says };
        one.line();
        one
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn in_use(&mut self) -> Duration {
        Duration::from_nanos(self.line().parse().unwrap())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
