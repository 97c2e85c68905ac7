//! What a look at a namespace costs: 100 workloads with two pods each, and 5,000 pods of 500 workloads. Prints one line of
//! JSON, and fails above the limits.
//!
//! A child of this process answers as an API server does, over HTTP on loopback, with objects as large as real ones: its
//! memory does not count, and neither does TLS. The peer in the same run only fetches the same answers and reads them as
//! JSON, one after the other.

#![recursion_limit = "256"]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "parts/http.rs"]
mod http;
#[path = "namespace/objects.rs"]
mod objects;
#[path = "parts/process.rs"]
mod process;
#[path = "namespace/server.rs"]
mod server;

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Instant;

use keyroll_cluster::Look;
use keyroll_inventory::{InstanceShown, KnownSecrets};
use keyroll_kube::connect;
use keyroll_secret::FingerprintKey;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::process::{Server, memory_mb, rounded};

/// What is read.
struct Scene {
    word: &'static str,
    workloads: usize,
    pods_of_each: usize,
    secrets: usize,
    /// The most memory that this process may have had, megabytes.
    peak_mb_max: f64,
    /// The most requests.
    requests_max: usize,
}

/// The smaller one first: the kernel keeps the peak of a process.
const SCENES: [Scene; 2] = [
    Scene {
        word: "small",
        workloads: 100,
        pods_of_each: 2,
        secrets: 100,
        peak_mb_max: 60.0,
        requests_max: 16,
    },
    // A page has 500 objects, so that nine more pages of pods come to the requests of the smaller one.
    Scene {
        word: "large",
        workloads: 500,
        pods_of_each: 10,
        secrets: 200,
        peak_mb_max: 150.0,
        requests_max: 25,
    },
];

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some("serve") {
        let word = words.next().unwrap();
        server::serve(SCENES.iter().find(|scene| scene.word == word).unwrap());
        return ExitCode::SUCCESS;
    }
    let runtime = Runtime::new().unwrap();
    let all: Vec<Value> = SCENES.iter().map(|scene| measured(&runtime, scene)).collect();
    let met = all.iter().all(|one| one["met"] == true);
    let [small, large]: [Value; 2] = all.try_into().expect("both");
    println!("{}", json!({ "small": small, "large": large }));
    if !met {
        eprintln!("LIMIT NOT MET");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Reads one namespace, finds its secrets and makes its reports.
fn measured(runtime: &Runtime, scene: &Scene) -> Value {
    let mut server = Server::start(&["serve", scene.word], "");
    let before_mb = memory_mb("VmRSS:");
    let begun = Instant::now();
    let namespace = runtime.block_on(async {
        let cluster = connect(&server.at()).await.expect("the cluster");
        keyroll_cluster::read(&cluster, &|_: &str| {}).await.expect("the namespace is read")
    });
    let read_s = seconds(begun);
    let (requests, bytes) = count(&mut server);
    let read_peak_mb = memory_mb("VmHWM:");
    let begun = Instant::now();
    let known = KnownSecrets { key: FingerprintKey::new(&[7; 32]), managed: Vec::new(), values: Vec::new() };
    let look = Look::of(namespace, known);
    let of_s = seconds(begun);
    let begun = Instant::now();
    let report = look.scan();
    let scan_s = seconds(begun);
    expect_all(scene, &report.instances);
    let begun = Instant::now();
    let first = &report.found.first().expect("a secret").secret;
    for word in [first.as_str(), "deployment/service-007"] {
        let whys = look.why(word).expect("a word that means something");
        assert!(whys.iter().any(|why| !why.instances.is_empty()), "{word}");
    }
    let why_s = seconds(begun);
    let peak_mb = memory_mb("VmHWM:");
    let (found, instances) = (report.found.len(), report.instances.len());
    drop((report, look));
    // Only now: it has a peak of its own.
    let peer_s = fetched(&server);
    json!({
        "pods": scene.workloads * scene.pods_of_each, "workloads": scene.workloads, "secrets": scene.secrets,
        "found": found, "instances": instances,
        "requests": requests, "requests_max": scene.requests_max, "answers_mb": rounded(bytes * 1e-6),
        "peak_mb": rounded(peak_mb), "peak_mb_max": scene.peak_mb_max,
        "read_peak_mb": rounded(read_peak_mb), "before_mb": rounded(before_mb),
        "peak_to_answers": rounded(peak_mb / (bytes * 1e-6)),
        "read_s": rounded(read_s), "peer_s": rounded(peer_s), "read_to_peer": rounded(read_s / peer_s),
        "of_s": rounded(of_s), "scan_s": rounded(scan_s), "why_s": rounded(why_s),
        "met": peak_mb <= scene.peak_mb_max && requests <= scene.requests_max,
    })
}

/// A look that saw less would cost less: each pod takes three keys of Secrets, and half of them are older than the change.
fn expect_all(scene: &Scene, instances: &[InstanceShown]) {
    let pods = scene.workloads * scene.pods_of_each;
    let count = |word: &str| instances.iter().filter(|one| one.verdict.ends_with(word)).count();
    assert!(count("stale") >= pods / 2, "{} are stale", count("stale"));
    assert!(count("current") >= pods / 2, "{} are current", count("current"));
    assert!(instances.len() >= 3 * pods, "{} instances", instances.len());
}

/// How many requests the server answered, with how many bytes.
fn count(server: &mut Server) -> (usize, f64) {
    let text = server.count();
    let (requests, bytes) = text.split_once(' ').expect("two numbers");
    (requests.parse().unwrap(), bytes.parse().unwrap())
}

/// How long it takes only to fetch all answers of the server and to read each as JSON.
fn fetched(server: &Server) -> f64 {
    let begun = Instant::now();
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut requests = stream;
    for number in 0.. {
        write!(requests, "GET /{number} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let Some(body) = body(&mut answers) else { break };
        let read: Value = serde_json::from_slice(&body).unwrap();
        assert!(read.is_object());
    }
    seconds(begun)
}

/// The body of an answer; `None`: there is no such one.
fn body(answers: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut next = || {
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line.trim_end().to_ascii_lowercase()
    };
    let good = next().contains(" 200 ");
    let mut length = 0;
    loop {
        let header = next();
        if header.is_empty() {
            break;
        }
        if let Some(text) = header.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body).unwrap();
    good.then_some(body)
}

fn seconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64()
}
