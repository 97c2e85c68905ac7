//! Consumers with `reads = "store"`: two that read it when they start, and one that reads it again and again.

use std::fs;

use keyroll_testkit::command::{Ran, wait};
use keyroll_testkit::issuer::{Ask, Moment};
use serde_json::Value;

use crate::hostile::scene::put;
use crate::stores::killed::GIVE_OUT;
use crate::stores::part::PART;
use crate::stores::relay::When::{After, Before};
use crate::stores::scene::{At, INSTANCES, Scene, by_hand, by_keyroll};

/// The programs that read the store when they start.
const READERS: [&str; 2] = ["reader-1", "reader-2"];
/// The one that reads it again and again.
const AGENT: &str = "agent";

/// Starts them beside the service that fetches, and declares them.
fn declare(scene: &Scene) {
    put(&scene.dir().join("try.sh"), &[&scene.filled(include_str!("try.sh"))], 0o755);
    for name in READERS.into_iter().chain([AGENT]) {
        scene.sh(&format!("./restart.sh {name}"));
    }
    let all = [&configuration(scene), include_str!("followers.toml")].concat();
    fs::write(scene.dir().join("keyroll.toml"), all).unwrap();
}

fn configuration(scene: &Scene) -> String {
    fs::read_to_string(scene.dir().join("keyroll.toml")).unwrap()
}

fn pid(scene: &Scene, name: &str) -> String {
    fs::read_to_string(scene.dir().join("run").join(name).with_extension("pid")).unwrap().trim().to_owned()
}

/// Every one of them calls with this key.
fn all_on(scene: &Scene, id: &str) {
    scene.is_on(id);
    for name in READERS.into_iter().chain([AGENT]) {
        wait("every program calls with the live key", || scene.issuer.last_of(name).as_deref() == Some(id));
    }
}

/// The steps of one consumer's restarts, by the place of their events.
fn restarts(events: &[Value], consumer: &str) -> Vec<usize> {
    let applied = |event: &Value| {
        event["type"] == "host_step"
            && event["consumer"] == consumer
            && event["step"] == "applied"
            && event["state"] == "done"
    };
    events.iter().enumerate().filter(|(_, event)| applied(event)).map(|(at, _)| at).collect()
}

/// Nothing moves before the store gives the new value out. Then those that read it at their start are restarted one by one, and
/// the one that reads it again is not touched, forward and back.
pub fn forward_and_back(scene: &Scene) {
    declare(scene);
    let agent = pid(scene, AGENT);
    let id = scene.until("roll");
    let new = scene.new_key();
    assert_eq!(scene.given_out().as_deref(), Some(scene.old.as_str()), "it is given out already");
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    let steps = restarts(&ran.events, "reader");
    assert_eq!(steps.len(), READERS.len(), "{}", ran.text);
    let proven = |event: &Value| event["type"] == "evidence" && event["consumer"] == "reader";
    assert!(ran.events[steps[0]..steps[1]].iter().any(proven), "the first one was not awaited: {}", ran.text);
    assert_eq!(restarts(&ran.events, AGENT), [0; 0], "{}", ran.text);
    assert_eq!(pid(scene, AGENT), agent, "the agent was restarted");
    assert_eq!(scene.issuer.deletions().last(), Some(&scene.old), "the old key was not revoked");
    all_on(scene, &new);

    let id = scene.until("quiesce");
    let third = scene.new_third(&new);
    let ran = scene.run(&["abort", &id]);
    ran.exits(5).ended("rolled_back");
    assert_eq!(scene.given_out(), Some(new.clone()), "the previous value is given out again");
    assert_eq!(restarts(&ran.events, "reader").len(), READERS.len(), "{}", ran.text);
    assert_eq!(pid(scene, AGENT), agent, "the agent was restarted");
    // Its memory still holds the other value, which shows nothing: a call with the previous one does.
    let agents = ran.of("evidence").into_iter().filter(|it| it["consumer"] == AGENT);
    let grades: Vec<&str> = agents.filter_map(|it| it["grade"].as_str()).collect();
    assert!(grades.contains(&"exercised") && !grades.contains(&"loaded"), "{grades:?}");
    assert!(scene.issuer.deletions().contains(&third), "the new key was not deleted");
    all_on(scene, &new);
}

/// A rotation that was stuck goes on.
fn retried(scene: &Scene, id: &str) -> Ran {
    let ran = scene.run(&["retry", id]);
    if ran.code == Some(0) || ran.code == Some(5) {
        ran
    } else {
        scene.run(&["resume", id, "--confirm", "ring"])
    }
}

/// Killed where the value is given out and where a program is restarted. The agent has taken the value by then, and that still
/// shows to the next driver.
pub fn killed(scene: &Scene) {
    declare(scene);
    let id = scene.plan();
    let resume = ["resume", &id, "--confirm", "ring"];
    scene.killed(&["apply", &id, "--confirm", "ring"], At::Issuer(Ask::Mint, Moment::After, by_keyroll));
    let places = [
        ("it is given out", At::Store(GIVE_OUT, Before)),
        ("it was given out", At::Store(GIVE_OUT, After)),
        ("a program is restarted", At::Script("restart", "before")),
        ("a program was restarted", At::Script("restart", "after")),
        ("the old key is revoked", At::Issuer(Ask::Delete, Moment::Before, by_hand)),
    ];
    for (what, at) in places {
        println!("killed when {what}");
        scene.killed(&resume, at);
    }
    scene.resumed(&id);
    assert_eq!(scene.issuer.deletions().last(), Some(&scene.old));
    let new = scene.new_key();
    all_on(scene, &new);
}

/// Somebody puts another value there after the first program was restarted: no other one is restarted to take it, and both keys
/// are kept.
pub fn changed_by_somebody(scene: &Scene) {
    declare(scene);
    let id = scene.until("roll");
    let by_hand = scene.made_by_hand();
    let second = pid(scene, READERS[1]);
    let text = format!(
        "{}='{}' @PROGRAM@ stores::part --exact\n",
        PART,
        scene.words_of_others("change", "copy=run/by-hand.env")
    );
    fs::write(scene.dir().join("run/then-reader-1"), scene.filled(&text)).unwrap();
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["keyroll did not write", &format!("keyroll retry {id}")]);
    assert_eq!(scene.given_out(), Some(by_hand.clone()), "it was overwritten");
    assert_eq!(pid(scene, READERS[1]), second, "a program was restarted to take it");
    assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 3);
    scene.others("back", "");
    // It has read three values by now: nobody sees which one it uses until it begins anew.
    scene.sh("./restart.sh agent");
    retried(scene, &id).exits(0).ended("done");
    scene.issuer.end(&by_hand);
    all_on(scene, &scene.new_key());
}

/// Somebody puts another value there before the new one is given out, and keyroll meets it. A rollback leaves the store and every
/// program as they are; then the other value is taken over.
pub fn changed_before_it_is_given_out(scene: &Scene) {
    declare(scene);
    let id = scene.until("roll");
    let by_hand = scene.made_by_hand();
    let pids = || -> Vec<String> {
        INSTANCES.iter().chain(&READERS).chain([&AGENT]).map(|name| pid(scene, name)).collect()
    };
    let before = pids();
    scene.others("change", "copy=run/by-hand.env");
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    let back = format!("keyroll abort {id}, which leaves the store as it is");
    ran.exits(6).says(&["keyroll did not write", &back]);
    let ran = scene.run(&["abort", &id]);
    ran.exits(5).ended("rolled_back");
    assert_eq!(scene.given_out(), Some(by_hand.clone()), "it was overwritten");
    assert_eq!(pids(), before, "a program was restarted");
    let keys: Vec<String> = scene.issuer.keys().into_iter().map(|key| key.id).collect();
    assert_eq!(keys, [scene.old.clone(), by_hand.clone()], "the new key was not deleted alone");
    scene.fetch_and_restart();
    READERS.iter().for_each(|name| scene.sh(&format!("./restart.sh {name}")));
    scene.run(&["secret", "import", "ring", "--id", &by_hand]).exits(0);
    scene.issuer.end(&scene.old);
    all_on(scene, &by_hand);
}
