//! Services of a real docker compose, with a key in their environment, replaced while they call their issuer without
//! end.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "../hostile/ran.rs"]
mod ran;
mod scene;
#[path = "../hostile/worker.rs"]
mod worker;

use std::fs;

use rustix::process::Signal;
use scene::Scene;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    worker::play();
}

#[test]
fn services_are_moved_one_by_one_while_they_call() {
    let Some(scene) = Scene::raise("services of docker compose") else { return };
    let other = scene.container("other");
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    for grade in ["loaded", "exercised"] {
        let shown: Vec<&str> = ran
            .of("evidence")
            .into_iter()
            .filter(|event| event["grade"] == grade)
            .filter_map(|event| event["instance"].as_str())
            .collect();
        for service in ["worker-a", "worker-b"] {
            let pid = format!("pid {}", scene.pid(service));
            assert!(shown.contains(&&*pid), "{service} {grade}: {pid} of {shown:?}\n{}", ran.text);
        }
    }
    scene.rotated();
    assert_eq!(scene.container("other"), other, "the neighbour was left alone");
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
}

#[test]
fn services_go_back_with_an_abort() {
    let Some(scene) = Scene::raise("services of docker compose that go back") else { return };
    let plan = scene.plan();
    scene.run(&["apply", &plan, "--confirm", "ring", "--until", "quiesce"]).exits(4).paused();
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.as_before();
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
}

#[test]
fn services_are_moved_although_the_driver_is_killed() {
    let Some(scene) = Scene::raise("services of docker compose under a killed driver") else { return };
    let plan = scene.plan();
    let before = scene.container("worker-a");
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    // In the middle of the first one's way: its container is on its way out, or the next one on its way in.
    running.enters("roll");
    ran::wait("the first container is being replaced", || scene.container("worker-a") != before);
    running.signal(Signal::KILL);
    drop(running);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
}
