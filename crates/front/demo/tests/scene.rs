//! The parts of the demo without a pipeline: nothing is lost in a restart, and what is lost is counted.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyroll_demo::{Books, Load, Scene};
use rustix::process::{Pid, Signal, kill_process};

fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/part")
}

fn raise() -> (tempfile::TempDir, Scene) {
    let place = tempfile::tempdir().unwrap();
    let scene = Scene::raise(place.path(), &program()).unwrap();
    (place, scene)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn until_more(load: &Load, requests: u64) {
    let goal = load.sent().requests + requests;
    let deadline = Instant::now() + Duration::from_secs(60);
    while load.sent().requests < goal {
        assert!(Instant::now() < deadline, "callers do not get on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const RESTARTED: [&str; 4] = ["api-1", "api-2", "report-1", "report-2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_by_hand_loses_nothing_and_leaves_the_forgotten_worker_behind() {
    let (place, scene) = raise();
    let old = std::fs::read_to_string(scene.folder().join("first.id")).unwrap();
    let load = Load::start(&scene.entrances(), |_| 400);
    until_more(&load, 200).await;
    assert_eq!(scene.pid("forgotten"), None, "it starts only when a copy was replaced");

    scene.replace_keys().unwrap();
    for worker in RESTARTED {
        let before = scene.pid(worker);
        scene.restart(worker).unwrap();
        assert_ne!(scene.pid(worker), before);
        until_more(&load, 20).await;
    }
    until("the forgotten worker starts", || {
        scene.pid("forgotten").is_some() && scene.pid("parent").is_none()
    });
    until_more(&load, 100).await;
    scene.restart("forgotten").unwrap();
    until_more(&load, 100).await;

    let sent = load.stop().await;
    assert_eq!((sent.failed, sent.reasons), (0, vec![]));
    scene.end_workers();
    let books = Books::read(scene.folder()).await.unwrap();
    assert_eq!(books.disagreeing, Vec::<String>::new());
    assert_eq!((books.worker_failed, books.issuer_refused), (0, 0));
    assert!(books.worker_calls > sent.requests, "the forgotten worker called by itself");
    assert_eq!(books.worker_calls, books.issuer_calls);
    let new = books.replaced_by(&old).unwrap();
    assert!(
        books.mint_to_last_moved_s(&old, new).is_some_and(|s| s > 0.0),
        "the old key was used after the mint"
    );

    let folder = scene.folder().to_owned();
    let pids: Vec<u32> =
        ["issuer", "front-api", "front-report"].iter().filter_map(|part| scene.pid(part)).collect();
    assert_eq!(pids.len(), 3);
    drop(scene);
    assert!(!folder.exists() && place.path().exists());
    for pid in pids {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{pid} still runs");
    }
}

/// How often a worker is killed at most; one kill meets a request in most cases.
const KILLS_MAX: usize = 50;

/// How often all calls are stopped, and how often processes that should not keep the key are then searched.
const RESTS: usize = 8;
const LOOKS: usize = 2;

/// The bug that draining prevents: a worker that ends without draining loses its requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_drain_is_seen_by_its_callers() {
    let (_place, scene) = raise();
    let load = Load::start(&scene.entrances(), |_| 200);
    until_more(&load, 100).await;
    // A kill between two requests loses none, so it is repeated until it hits one.
    for _ in 0..KILLS_MAX {
        let pid = scene.pid("api-1").and_then(|pid| Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        until("it has ended", || scene.pid("api-1").is_none());
        scene.restart("api-1").unwrap();
        until_more(&load, 100).await;
        if load.sent().failed > 0 {
            break;
        }
    }
    let sent = load.stop().await;
    assert!(sent.failed > 0, "requests to a killed worker cannot have succeeded");
    scene.end_workers();
    let books = Books::read(scene.folder()).await.unwrap();
    assert!(!books.agree(), "a killed worker leaves no count behind");
}

/// Whether a process holds these bytes in memory that it can write to; `None` where that may not be read.
fn holds(pid: u32, bytes: &[u8]) -> Option<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = false;
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
    {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        let mut region = vec![0; usize::try_from(end - start).ok()?];
        memory.seek(SeekFrom::Start(start)).ok()?;
        // A region that went away meanwhile holds nothing.
        let read = memory.read(&mut region).unwrap_or(0);
        found |= region[..read].windows(bytes.len()).any(|window| window == bytes);
    }
    Some(found)
}

/// Every worker that calls, stopped until this is dropped.
struct Stopped(Vec<Pid>);

impl Stopped {
    fn all(scene: &Scene) -> Self {
        let pid = |worker| scene.pid(worker).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let stopped = Self(RESTARTED.iter().chain(&["reader"]).filter_map(|worker| pid(worker)).collect());
        assert_eq!(stopped.0.len(), RESTARTED.len() + 1);
        for pid in &stopped.0 {
            kill_process(*pid, Signal::STOP).unwrap();
            let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
            until("it stands still", || std::fs::read_to_string(&stat).unwrap().contains(") T "));
        }
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// The issuer, the fronts and the forgotten worker's parent must not turn up in a search by value: a real issuer runs
/// elsewhere, a front has no key, and the forgotten worker must be findable only once it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_workers_hold_the_key() {
    let (_place, scene) = raise();
    let key = std::fs::read(scene.folder().join("first.key")).unwrap();
    let load = Load::start(&scene.entrances(), |_| 100);
    until_more(&load, 300).await;
    let held = |part: &str| holds(scene.pid(part).unwrap(), &key);
    if held("api-1").is_none() {
        eprintln!("skipped: the memory of other processes may not be read here");
        return;
    }
    for worker in ["api-1", "api-2", "reader"] {
        assert_eq!(held(worker), Some(true), "{worker}: the search finds what is there");
    }
    // A request in progress is in a buffer for a moment. With every worker stopped there are none, so a key that is
    // found then is kept permanently.
    let others = ["issuer", "front-api", "front-report", "parent"];
    for _ in 0..RESTS {
        until_more(&load, 20).await;
        let stopped = Stopped::all(&scene);
        for other in others {
            until(&format!("{other} keeps the key"), || held(other) == Some(false));
        }
        for other in others.iter().cycle().take(LOOKS * others.len()) {
            assert_eq!(held(other), Some(false), "{other} has the key again, and nobody called");
        }
        drop(stopped);
    }
    assert_eq!(holds(std::process::id(), &key), Some(true), "the test itself has read it");
    load.stop().await;
}
