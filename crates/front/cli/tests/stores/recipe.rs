//! The recipe as people do it by hand, step by step, and back.

use std::fs;

use keyroll_testkit::command::Ran;
use serde_json::Value;

use crate::stores::scene::{INSTANCES, Scene};

/// Stage, read back as the service will, fetch again, restart one instance and then the rest, a successful login in the log of
/// each, revoke; then a second rotation, of which the previous version is put back.
pub fn forward_and_back(scene: &Scene) {
    let staged = |new: &str| {
        assert_eq!(
            scene.given("AWSPENDING").as_deref(),
            Some(new),
            "what was staged, read by the service's login"
        );
    };
    let moved = |_: &Ran| {
        assert_eq!(
            scene.given("AWSPREVIOUS").as_deref(),
            Some(scene.old.as_str()),
            "what a rollback gives out"
        );
        assert!(scene.labels()["AWSPENDING"].is_null(), "a label is left pending");
    };
    let new = forward(scene, staged, moved);
    back(scene, &new, || {});
    // And once more, from there.
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.is_on(&scene.new_key());
}

/// A rotation, step by step; its key. What a store has beside what it gives out is looked at while nothing is given out yet, and
/// once it is, with what keyroll said meanwhile.
pub fn forward(scene: &Scene, staged: impl FnOnce(&str), moved: impl FnOnce(&Ran)) -> String {
    let before = logins(scene);
    let id = scene.until("probe");
    let new = scene.new_key();
    assert_eq!(scene.given_out().as_deref(), Some(scene.old.as_str()), "it is given out already");
    staged(&new);
    assert_eq!(scene.holds(scene.env_file()).as_deref(), Some(scene.old.as_str()));
    let ran = scene.run(&["resume", &id, "--confirm", "ring", "--until", "quiesce"]);
    ran.exits(4).paused();
    assert_eq!(scene.given_out(), Some(new.clone()));
    moved(&ran);
    assert_eq!(scene.holds(scene.env_file()), Some(new.clone()), "it was not fetched again");
    one_and_then_the_rest(&ran.events);
    logged_in_once_more(scene, before);
    scene.resumed(&id);
    assert_eq!(scene.issuer.deletions().last(), Some(&scene.old), "the old key was not revoked");
    scene.is_on(&new);
    new
}

/// A rotation from this key that is rolled back once all is moved.
pub fn back(scene: &Scene, from: &str, moved: impl FnOnce()) {
    let id = scene.until("quiesce");
    let third = scene.new_third(from);
    assert_eq!(scene.given_out(), Some(third.clone()));
    let before = logins(scene);
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    assert_eq!(scene.given_out().as_deref(), Some(from), "the previous value is given out again");
    moved();
    assert!(scene.issuer.deletions().contains(&third), "the new key was not deleted");
    logged_in_once_more(scene, before);
    scene.is_on(from);
}

fn logged_in_once_more(scene: &Scene, before: Vec<usize>) {
    for (instance, before) in INSTANCES.iter().zip(before) {
        assert_eq!(logged_in(scene, instance), before + 1, "{instance} logged in once more");
    }
}

/// The first instance is seen to use the value before the next one is restarted.
fn one_and_then_the_rest(events: &[Value]) {
    let steps = restarts(events);
    assert!(steps.len() >= INSTANCES.len(), "{} restarts", steps.len());
    let between = &events[steps[0]..steps[1]];
    assert!(between.iter().any(|event| is(event, "evidence")), "the first instance was not awaited");
}

/// Where among the events an instance was restarted.
pub fn restarts(events: &[Value]) -> Vec<usize> {
    let applied =
        |event: &Value| is(event, "host_step") && event["step"] == "applied" && event["state"] == "done";
    events.iter().enumerate().filter(|(_, event)| applied(event)).map(|(at, _)| at).collect()
}

/// Whether an event is of this kind, and about the service.
pub fn is(event: &Value, kind: &str) -> bool {
    event["type"] == kind && event["consumer"] == "app"
}

fn logins(scene: &Scene) -> Vec<usize> {
    INSTANCES.iter().map(|instance| logged_in(scene, instance)).collect()
}

/// How often an instance logged in, by its own log.
fn logged_in(scene: &Scene, instance: &str) -> usize {
    let log = fs::read_to_string(scene.dir().join("log").join(instance)).unwrap_or_default();
    log.lines().filter(|line| line.ends_with("logged in")).count()
}

/// `secret drift` compares what the store gives out with the versions and with what runs.
pub fn drift_is_shown(scene: &Scene) {
    let drift = || scene.run(&["secret", "drift", "--wait", "30"]);
    let ran = drift();
    ran.exits(0);
    let shown = ran.of("drift").pop().unwrap();
    assert_eq!(shown["secret"], "ring", "{shown}");
    assert_eq!(shown["gives_out"], "current", "{shown}");
    assert_eq!(shown["given_out"]["version"], 1, "{shown}");
    assert!(shown["store"].as_str().unwrap().starts_with("aws-sm:prod/ring#RING_KEY"), "{shown}");
    assert!(shown["there"][0]["labels"].as_array().unwrap().contains(&"AWSCURRENT".into()), "{shown}");
    let processes = |shown: &Value, holds: &str| {
        shown["processes"].as_array().unwrap().iter().filter(|one| one["holds"] == holds).count()
    };
    assert_eq!(processes(shown, "given out"), INSTANCES.len(), "{shown}");

    let id = scene.made_by_hand();
    scene.others("change", "copy=run/by-hand.env");
    let ran = drift();
    ran.exits(3).says(&["keyroll secret import ring"]);
    let shown = ran.of("drift").pop().unwrap();
    assert_eq!(shown["gives_out"], "changed elsewhere", "{shown}");
    assert_eq!(processes(shown, "another version"), INSTANCES.len(), "what runs has not changed: {shown}");
    scene.run(&["doctor"]).exits(3).says(&["source of truth", "keyroll did not write"]);

    // The service takes it: then it is the store's version that runs, and keyroll's that is behind.
    scene.sh("./init.sh");
    INSTANCES.iter().for_each(|instance| scene.sh(&format!("./restart.sh {instance}")));
    let ran = drift();
    ran.exits(3);
    let shown = ran.of("drift").pop().unwrap();
    assert_eq!(processes(shown, "given out"), INSTANCES.len(), "{shown}");
    assert_eq!(scene.given("AWSCURRENT"), Some(id), "nothing was changed there");
}
