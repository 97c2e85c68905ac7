//! A roll that is paced: the first of three instances is the canary, and the others wait for it.

use std::fs;

use serde_json::json;

use crate::hostile::ran::wait;
use crate::hostile::scene::{Scene, put};
use crate::hostile::worker::log;

/// The instances of the consumer, in the order in which they are moved. All start from the same copy.
const INSTANCES: [&str; 3] = ["api", "two", "three"];
const COPY: &str = "api/api.env";

/// Three instances behind one command, and these keys of the table `roll`.
fn scene(roll: &str) -> Scene {
    let scene = Scene::made(|config, _| {
        let one = r#"restart = ["./restart.sh", "api", "api/api.env"], pid_file = "./run/api.pid""#;
        let all = r#"restart = ["./restart.sh", "{instance}", "api/api.env"], instances = ["api", "two", "three"], pid_file = "./run/{instance}.pid""#;
        assert!(config.contains(one), "{config}");
        *config = config.replace(one, all);
        let at = config.find("[[secrets.ring.consumers]]").unwrap();
        config.insert_str(at, &format!("[secrets.ring.roll]\n{roll}\n"));
    });
    for name in &INSTANCES[1..] {
        scene.restart(name, COPY);
    }
    scene
}

/// The new key, which keyroll made.
fn new_key(scene: &Scene) -> String {
    let keys = scene.issuer.keys();
    let made: Vec<&str> = keys.iter().map(|key| key.id.as_str()).filter(|id| *id != scene.old).collect();
    assert_eq!(made.len(), 1, "{keys:?}");
    made[0].to_owned()
}

/// Each instance calls with this key from now on.
#[track_caller]
fn call_with(scene: &Scene, expected: [&str; 3]) {
    scene.issuer.forget();
    for (name, id) in INSTANCES.into_iter().zip(expected) {
        wait(name, || scene.issuer.last_of(name).as_deref() == Some(id));
    }
}

/// The processes of the instances after the canary.
fn others(scene: &Scene) -> [String; 2] {
    let pid = |name: &str| fs::read_to_string(scene.path(&format!("run/{name}.pid"))).unwrap();
    [pid("two"), pid("three")]
}

/// A rotation that has stopped at its canary; its id.
fn asked_at_the_canary(scene: &Scene) -> String {
    let planned = scene.run(&["plan", "ring"]);
    let pace = json!(["canary: api, its first instance alone; then watched for 1 s; then you are asked"]);
    assert_eq!(planned.exits(0).of("plan")[0]["pace"], pace, "{}", planned.text);
    let id = planned.plan();
    let before = others(scene);

    let ran = scene.run(&["apply", &id, "--confirm", "ring"]);
    let paused = ran.exits(4).paused();
    let reason = "the canary (the first instance of `api`) has worked with the new key for 1 s; nothing else was moved";
    assert_eq!(paused["reason"], reason);
    let next = paused["resume_with"].as_str().unwrap();
    assert!(next.starts_with(&format!("keyroll resume {id}, ")), "{next}");
    assert!(next.contains(&format!("keyroll abort {id}, which rolls back")), "{next}");
    scene.run(&["status", &id]).exits(4).says(&[reason, "proved the new key so far"]);

    call_with(scene, [&new_key(scene), &scene.old, &scene.old]);
    assert_eq!(others(scene), before, "another instance was restarted");
    id
}

#[test]
fn the_operator_is_asked_after_the_canary_and_resume_moves_the_others() {
    let scene = scene("canary = \"instance\"\nbake = \"1s\"\nask = true\n");
    let id = asked_at_the_canary(&scene);
    let new = new_key(&scene);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    call_with(&scene, [&new; 3]);
}

#[test]
fn abort_gives_the_canary_its_old_key_and_touches_nothing_else() {
    let scene = scene("canary = \"instance\"\nbake = \"1s\"\nask = true\n");
    let id = asked_at_the_canary(&scene);
    let before = others(&scene);
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    scene.as_before();
    call_with(&scene, [&scene.old; 3]);
    assert_eq!(others(&scene), before, "an instance that was never moved was restarted");
}

#[test]
fn a_canary_that_fails_while_it_is_watched_goes_back_and_the_others_were_never_touched() {
    let scene = scene("canary = \"instance\"\nbake = \"10m\"\n");
    let (id, before) = (scene.plan(), others(&scene));
    let running = scene.start(&["apply", &id, "--confirm", "ring"]);
    let status = || scene.run(&["status", &id]).text;
    wait("the watch of the canary", || status().contains("watched with the new key"));
    call_with(&scene, [&new_key(&scene), &scene.old, &scene.old]);

    log(scene.path("log/refused").to_str().unwrap(), "api was refused");
    running.end().exits(5).ended("rolled_back");
    scene.run(&["status", &id]).says(&["used the new key, and failed while it was watched"]);
    scene.as_before();
    call_with(&scene, [&scene.old; 3]);
    assert_eq!(others(&scene), before, "an instance behind the canary was restarted");
}

#[test]
fn a_check_that_begins_to_fail_while_the_canary_is_watched_counts() {
    let scene = scene("canary = \"instance\"\nbake = \"10m\"\n");
    let (config, broken) = (scene.path("keyroll.toml"), scene.path("broken"));
    let logs = "log   = {";
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains(logs), "{text}");
    fs::write(&config, text.replacen(logs, &format!("check = {{ exec = [\"./works.sh\"] }}\n{logs}"), 1))
        .unwrap();
    let check = format!("#!/bin/sh\n[ ! -e '{}' ]\n", broken.display());
    put(&scene.path("works.sh"), &[&check], 0o755);
    let (id, before) = (scene.plan(), others(&scene));
    let running = scene.start(&["apply", &id, "--confirm", "ring"]);
    let status = || scene.run(&["status", &id]).text;
    wait("the watch of the canary", || status().contains("watched with the new key"));

    // Nothing else shows it: the process runs on and makes its calls, and its log is silent.
    put(&broken, &[""], 0o644);
    wait("the end of the watch", || status().contains("proving the new key"));
    fs::remove_file(&broken).unwrap();
    wait("the watch of the canary", || status().contains("watched with the new key"));
    log(scene.path("log/refused").to_str().unwrap(), "api was refused");
    running.end().exits(5).ended("rolled_back");
    scene.as_before();
    call_with(&scene, [&scene.old; 3]);
    assert_eq!(others(&scene), before, "an instance behind the canary was restarted");
}
