//! The parts of the demo without a pipeline: nothing is lost in a restart, and what is lost is counted.

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
    let load = Load::start(&scene.entrances(), |_| 100);
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
    let new = books.minted_after(&old).get(2).map(|id| (*id).to_owned()).unwrap();
    assert!(
        books.mint_to_last_moved_s(&old, &new).is_some_and(|s| s > 0.0),
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

/// The bug that draining is for: a worker that ends without it loses what it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_drain_is_seen_by_its_callers() {
    let (_place, scene) = raise();
    let load = Load::start(&scene.entrances(), |_| 200);
    until_more(&load, 100).await;
    let pid = scene.pid("api-1").and_then(|pid| Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("it has ended", || scene.pid("api-1").is_none());
    scene.restart("api-1").unwrap();
    until_more(&load, 100).await;
    let sent = load.stop().await;
    assert!(sent.failed > 0, "requests to a killed worker cannot have succeeded");
    scene.end_workers();
    let books = Books::read(scene.folder()).await.unwrap();
    assert_eq!(books.disagreeing.len(), 1, "the killed worker left no count behind");
}
