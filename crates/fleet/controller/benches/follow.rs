//! What it costs to follow a namespace with 5,000 pods and 200 SecretRotations: at rest, and while 100 pods and 10 objects
//! change each second. Prints a line for each figure, and fails above the limit of the memory, and where it could not be
//! measured.
//!
//! A child of this process answers as an API server does, over HTTP on loopback, with objects as large as real ones: its
//! memory and processor time do not count, and neither does TLS. With the word `real` (`cargo bench -p keyroll-controller
//! --bench follow -- real`) the child is the real Kubernetes of the tests, with as many real objects, and TLS counts. This
//! process does what the server does for its objects, but for the journal, the store, events, and the looks at pods, which
//! are processes of their own.

#![recursion_limit = "256"]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../../cluster/benches/parts/http.rs"]
mod http;
#[expect(dead_code, reason = "only pods are listed here")]
#[path = "../../cluster/benches/namespace/objects.rs"]
mod objects;
#[path = "../../cluster/benches/parts/process.rs"]
mod process;
#[path = "follow/real.rs"]
mod real;
#[path = "follow/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyroll_controller::{
    Accepted, Asked, Base, Composed, Ended, Former, Known, Pod, Pods, SecretRotation, Shown, Standing,
    Status, Stays, compose, follow, is_same, pods, show, status,
};
use keyroll_kube::{Cluster, connect};
use keyroll_testkit::figure;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::sleep;

use self::objects::NAMESPACE;
use self::process::{Server, memory_mb, rounded};
use self::server::{CHANGED, CHANGES, OBJECTS, PODS, TICKS};

/// The most memory that this process may have had, megabytes.
const PEAK_MB_MAX: f64 = 150.0;
/// How often every object is looked at without a change, as the server does.
const LOOK: Duration = Duration::from_secs(2);
/// How long it is measured without changes.
const REST: Duration = Duration::from_secs(10);
/// How long what must come may take, before the benchmark fails.
const COMES_MAX: Duration = Duration::from_secs(300);
/// How often it must be said at least that pods changed, for changes in [`TICKS`] ticks: those of several ticks may be said
/// at once.
const PODS_SAID_MIN: usize = TICKS / 10;

/// The home is another namespace; the one of the objects has a folder of files.
const BASE: &str = r#"version = 1
[hosts.keyroll]
connect = "kube://in-cluster/keyroll"
[hosts.shop]
connect = "kube://in-cluster/shop"
[server]
listen = "127.0.0.1:9090"
[server.emergency]
admin_token = "file:/etc/keyroll/tokens/admin"
[server.kubernetes]
home = "keyroll"
[server.kubernetes.namespaces.shop]
folder = "/etc/keyroll/namespaces/shop"
"#;

fn main() -> ExitCode {
    // As many threads as the server has.
    let runtime = || Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let words: Vec<String> = env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("serve") => server::serve(),
        Some("cluster") => real::serve(),
        Some("change") => runtime().block_on(real::change(&words[1])),
        Some(_) | None => {
            let is_real = words.iter().any(|word| word == "real");
            let mut server = Server::start(&[if is_real { "cluster" } else { "serve" }], "");
            if server.address.is_empty() {
                // It said what is missing here, or how it failed.
                eprintln!("NOT MEASURED");
                return ExitCode::FAILURE;
            }
            return runtime().block_on(ended(&mut server, is_real));
        }
    }
    ExitCode::SUCCESS
}

/// How this process ends.
async fn ended(server: &mut Server, is_real: bool) -> ExitCode {
    if measured(server, is_real).await {
        return ExitCode::SUCCESS;
    }
    eprintln!("LIMIT NOT MET");
    ExitCode::FAILURE
}

/// Follows the namespace. Whether the limit is met.
async fn measured(server: &mut Server, is_real: bool) -> bool {
    let before_mb = memory_mb("VmRSS:");
    let at = if is_real { real::login(&server.address) } else { server.at() };
    let cluster = connect(&at).await.expect("the cluster");
    let (mut follower, begun) = (Follower::start(cluster), Instant::now());
    while !follower.has_listed() {
        assert!(begun.elapsed() < COMES_MAX, "the pods or the objects were not listed");
        sleep(Duration::from_millis(10)).await;
    }
    let (list_requests, list_bytes) = count(server);
    let (listed_mb, listed) = (memory_mb("VmHWM:"), Instant::now());
    while follower.look().await > 0 {
        assert!(listed.elapsed() < COMES_MAX, "the statuses are written again and again");
        follower.wait().await;
    }
    let (first_requests, _) = count(server);
    let first_mb = memory_mb("VmHWM:");

    let rest = Span::begin(server, &follower);
    while rest.began.elapsed() < REST {
        follower.wait().await;
        follower.look().await;
    }
    rest.end("at rest", server, &follower);

    let changes = Span::begin(server, &follower);
    let pods_said = follower.pods_said();
    let address = server.address.clone();
    let change = if is_real { real::changed } else { change };
    let changing = tokio::task::spawn_blocking(move || change(&address));
    while !changing.is_finished() {
        follower.wait().await;
        follower.look().await;
    }
    changes.end("under changes", server, &follower);
    changing.await.expect("everything was changed");
    // A follower that saw less would cost less.
    let ended = Instant::now();
    while follower.look().await > 0 || follower.changed() < CHANGED {
        assert!(ended.elapsed() < COMES_MAX, "{} of {CHANGED} objects were seen changed", follower.changed());
        follower.wait().await;
    }
    let pods_said = follower.pods_said() - pods_said;
    assert!(pods_said >= PODS_SAID_MIN, "changes of pods were seen only {pods_said} times");

    follower.say();
    let peak_mb = memory_mb("VmHWM:");
    say("requests of the lists", whole(list_requests), "requests");
    if !is_real {
        say("answers of the lists", whole(list_bytes) * 1e-6, "MB");
    }
    say("requests of the first look", whole(first_requests - list_requests), "requests");
    say("all requests", whole(count(server).0), "requests");
    say("memory before", before_mb, "MB");
    say("peak memory of the lists", listed_mb, "MB");
    say("peak memory of the first look", first_mb, "MB");
    println!("peak memory with {PODS} pods watched: {} MB (limit {PEAK_MB_MAX})", rounded(peak_mb));
    figure("followed-pods", &format!("{peak_mb:.0} MB"));
    peak_mb <= PEAK_MB_MAX
}

/// What follows the namespace, and what it did so far.
struct Follower {
    cluster: Arc<Cluster>,
    known: Arc<Known>,
    /// How often it was said that pods changed.
    pods: Arc<AtomicUsize>,
    /// With the base file and the composed one.
    folder: TempDir,
    compose: Times,
    statuses: Times,
    look: Times,
    text_bytes: usize,
}

impl Follower {
    fn start(cluster: Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("base.toml"), BASE).unwrap();
        let (cluster, known, said) =
            (Arc::new(cluster), Arc::<Known>::default(), Arc::<AtomicUsize>::default());
        let (at, to) = (Arc::clone(&cluster), Arc::clone(&known));
        tokio::spawn(async move { follow(&at, NAMESPACE, &to).await });
        let changed = Arc::new(Notify::new());
        let (at, to) = (Arc::clone(&cluster), Arc::clone(&changed));
        tokio::spawn(async move { pods(&at, &to, &|why: &str| eprintln!("{why}")).await });
        let count = Arc::clone(&said);
        tokio::spawn(async move {
            loop {
                changed.notified().await;
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let (compose, statuses, look) = (Times::default(), Times::default(), Times::default());
        Self { cluster, known, pods: said, folder, compose, statuses, look, text_bytes: 0 }
    }

    fn pods_said(&self) -> usize {
        self.pods.load(Ordering::SeqCst)
    }

    /// Whether all pods and all objects were listed.
    fn has_listed(&self) -> bool {
        assert_eq!(self.known.troubles(), BTreeMap::new());
        self.known.is_complete(NAMESPACE) && self.pods_said() > 0
    }

    /// How many objects have another `spec` than at first.
    fn changed(&self) -> usize {
        self.known.all().iter().filter(|object| object.generation > 1).count()
    }

    /// Waits for the next look, as the server does.
    async fn wait(&self) {
        tokio::select! {
            () = self.known.changed() => {}
            () = sleep(LOOK) => {}
        }
    }

    /// One look at all objects. How many statuses it wrote.
    async fn look(&mut self) -> usize {
        assert_eq!(self.known.troubles(), BTreeMap::new());
        let began = Instant::now();
        let file = self.folder.path().join("keyroll.toml");
        let base = Base::read(&self.folder.path().join("base.toml")).expect("the base file");
        let before = fs::read_to_string(&file).unwrap_or_default();
        let former = Former::read(&before, &base).expect("the composed file");
        let objects = self.known.all();
        assert_eq!(objects.len(), OBJECTS);
        let composes = Instant::now();
        let composed = compose(&base, &file, &objects, &former, &Stays::default());
        self.compose.add(composes);
        self.text_bytes = composed.text.len();
        if composed.text != before {
            fs::write(&file, &composed.text).unwrap();
        }
        let makes = Instant::now();
        let mut others: Vec<(SecretRotation, Status)> = Vec::new();
        for object in objects {
            let new = status(&object, &standing(&object, &composed));
            if !is_same(&object.status, &new) {
                others.push((object, new));
            }
        }
        self.statuses.add(makes);
        self.look.add(began);
        for (object, new) in &others {
            match show(&self.cluster, object, new).await.expect("the status is written") {
                Shown::Done(now) => self.known.put(object, *now),
                Shown::Gone | Shown::Overtaken => panic!("{} changed meanwhile", object.id),
            }
        }
        others.len()
    }

    fn say(&self) {
        self.compose.say("one compose");
        self.statuses.say("the statuses of one look");
        self.look.say("one look, without its writes");
        let mb = |bytes: u64| rounded(whole(bytes) * 1e-6);
        let text_bytes = u64::try_from(self.text_bytes).unwrap();
        println!(
            "text of the composed configuration: {} MB ({} are the largest)",
            mb(text_bytes),
            mb(keyroll_config::CONFIG_BYTES_MAX)
        );
    }
}

/// What would be known of an object whose rotation has ended and whose pods are current.
fn standing(object: &SecretRotation, composed: &Composed) -> Standing {
    assert_eq!(composed.each[&object.id], Accepted::Yes, "{}", object.id);
    let mut consumers = Vec::new();
    for consumer in &composed.config.secrets[object.secret().as_str()].consumers {
        let its = consumer.in_cluster.as_ref().unwrap();
        consumers.push((consumer.name.to_string(), format!("{}/{}", its.kind.word(), its.workload)));
    }
    let current = Pods { total: 10, current: 10, stale: 0, unknown: 0 };
    let seen = consumers.iter().map(|(_, workload)| (workload.clone(), current.clone())).collect();
    let time = "2026-07-01T12:00:00Z".to_owned();
    Standing {
        now: time.clone(),
        accepted: Accepted::Yes,
        consumers,
        value: Ok(keyroll_controller::Value {
            version: 4,
            since: Some(time.clone()),
            due: Some("2026-09-29T12:00:00Z".to_owned()),
            overdue: None,
        }),
        open: None,
        last: Some(Ended {
            id: "0a5fe3178d2b4c6e9f0011223344aabb".to_owned(),
            outcome: "done".to_owned(),
            ended: time,
            cause: None,
        }),
        pods: Some(Ok(seen)),
        held: None,
        queued: None,
        base: None,
        lost: None,
        asked: Asked::default(),
        pod: Some(Pod { namespace: "keyroll".to_owned(), name: "keyroll-0".to_owned() }),
    }
}

/// A span of time.
struct Span {
    began: Instant,
    processor_s: f64,
    requests: u64,
    looks: usize,
}

impl Span {
    fn begin(server: &mut Server, follower: &Follower) -> Self {
        let (requests, _) = count(server);
        let looks = follower.look.0.len();
        Self { began: Instant::now(), processor_s: processor_s(), requests, looks }
    }

    /// Says what it cost.
    fn end(self, when: &str, server: &mut Server, follower: &Follower) {
        let (spent_s, took_s) = (processor_s() - self.processor_s, self.began.elapsed().as_secs_f64());
        say(&format!("processor time {when}"), spent_s / took_s, "s each second");
        let looks = follower.look.0.len() - self.looks;
        println!("looks {when}: {looks} looks in {} s (no limit)", rounded(took_s));
        say(&format!("requests {when}"), whole(count(server).0 - self.requests), "requests");
    }
}

/// How long something took each time, milliseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, began: Instant) {
        self.0.push(began.elapsed().as_secs_f64() * 1e3);
    }

    /// Says the median and the longest.
    fn say(&self, what: &str) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        say(&format!("{what}, median of {}", sorted.len()), sorted[sorted.len() / 2], "ms");
        say(&format!("{what}, longest"), sorted[sorted.len() - 1], "ms");
    }
}

/// Says a figure without a limit.
fn say(what: &str, value: f64, unit: &str) {
    println!("{what}: {} {unit} (no limit)", rounded(value));
}

/// How many requests the server answered, with how many bytes.
fn count(server: &mut Server) -> (u64, u64) {
    let text = server.count();
    let (requests, bytes) = text.split_once(' ').expect("two numbers");
    (requests.parse().unwrap(), bytes.parse().unwrap())
}

/// A number for a figure.
fn whole(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// The processor time of this process, seconds.
fn processor_s() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.try_into().unwrap(), spent.tv_nsec.try_into().unwrap()).as_secs_f64()
}

/// Has the server change pods and objects, until it has changed all.
fn change(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "POST {CHANGES} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.contains(" 200 "), "{line}");
}
