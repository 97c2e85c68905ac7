//! One service that uses two keys, and both are replaced: nothing is lost of either, and no request fails.

use std::fs;

use crate::hostile::ran::{Running, wait};
use crate::issuers::scene::{Scene, put};

/// One of each issuer is left, and the service calls with both.
#[track_caller]
fn both_moved(scene: &Scene, before: &[String; 2]) -> [String; 2] {
    let side = scene.side.as_ref().unwrap();
    let now = [&scene.issuer, side].map(|issuer| {
        let keys = issuer.keys();
        assert_eq!(keys.len(), 1, "exactly one key: {keys:?}");
        issuer.forget();
        for name in ["api-1", "api-2"] {
            wait("it calls with the live key", || issuer.last_of(name).as_deref() == Some(&keys[0].id));
        }
        keys[0].id.clone()
    });
    assert_eq!(scene.refused(), [] as [String; 0]);
    assert!(now.iter().zip(before).all(|(now, before)| now != before), "{now:?} after {before:?}");
    now
}

/// While one rotation stands half-way, with both of its keys alive, the other one is carried out, and drives alone; then
/// both are carried out by what a timer starts.
#[test]
fn two_keys_of_one_service() {
    let scene = Scene::of_two("openrouter");
    let side = scene.side.as_ref().unwrap();
    let load = scene.load();
    let first = [&scene.issuer, side].map(|issuer| issuer.keys()[0].id.clone());

    let ring = scene.plan();
    scene.run(&["apply", &ring, "--confirm", "ring", "--until", "quiesce"]).exits(4).paused();
    assert_eq!(scene.issuer.keys().len(), 2, "both keys are alive");
    let other = scene.plan_of("side");
    put(&scene.path("run/hold-2"), &[], 0o644);
    fs::remove_file(scene.path("run/restarting-2")).unwrap();
    let running = Running::start(scene.command(&["apply", &other, "--confirm", "side"]));
    wait("the restart", || scene.path("run/restarting-2").exists());
    // One driver at a time: restarts of one never meet those of the other.
    scene.run(&["due", "--apply"]).refused(7, "K0854", &["keyroll did not interrupt it"]);
    assert_eq!(side.keys().len(), 2, "all four keys are alive");
    fs::remove_file(scene.path("run/hold-2")).unwrap();
    running.end().exits(0).ended("done");
    scene.run(&["resume", &ring, "--confirm", "ring"]).exits(0).ended("done");
    let second = both_moved(&scene, &first);

    let ran = scene.run(&["due", "--apply"]);
    ran.exits(0);
    assert_eq!(ran.of("done").iter().filter(|event| event["outcome"] == "done").count(), 2, "{}", ran.text);
    both_moved(&scene, &second);
    println!("two keys of one service: {} requests, none failed", load.end());
}
