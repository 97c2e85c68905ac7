//! The cases for every kind of issuer: a rotation under load, one that is killed again and again, a rollback, faults,
//! and an emergency.

use std::fs;
use std::time::Duration;

use keyroll_testkit::issuer::{Ask, ResponseFault};

use crate::hostile::ran::{Ran, Running};
use crate::issuers::scene::{Load, Scene, put};

/// A case and its name.
pub type Day = (&'static str, fn(&str));

/// The cases of every run, though not each of them with each issuer.
pub const DAYS: &[Day] = &[("under load", under_load), ("killed", killed), ("back", back)];

/// The further cases of the nightly run.
pub const DAYS_OF_A_NIGHT: &[Day] = &[("bad fault_mode", bad_weather), ("emergency", emergency)];

/// The state after a rotation that ended well.
fn done(scene: &Scene, ran: &Ran, made: Option<String>) {
    ran.exits(0).ended("done");
    let keys = scene.issuer.keys();
    let id = made.unwrap_or_else(|| keys[0].id.clone());
    scene.all_on(&id);
    assert_eq!(scene.refused(), [] as [String; 0]);
}

/// Plays the operator: makes the key when the rotation waits for it, and passes it in a file. Returns its id.
#[track_caller]
fn made_by_hand(scene: &Scene, waits: &Ran) -> String {
    waits.exits(6).says(&["waiting for you to make the new key"]);
    let (id, value) = scene.issuer.mint("made at the console");
    put(&scene.path("run/new.key"), &[&value, "\n"], 0o600);
    id
}

/// Plays the operator: revokes the old key, if the issuer's API does not.
fn ended_by_hand(scene: &Scene, old: &str, ran: Ran) -> Ran {
    if scene.spec.revokes() || scene.spec.one_value() || scene.spec.grace().is_some() {
        return ran;
    }
    ran.exits(6).says(&["--revoked-by-hand"]);
    scene.run(&["resume", "--revoked-by-hand"]).refused(6, "K0715", &["still accepts it"]);
    scene.issuer.end(old);
    scene.run(&["resume", "--revoked-by-hand"])
}

/// One value at a time: requests that fail between its revoke and the last restart are the announced downtime.
fn through_the_gap(load: &mut Load<'_>, ran: &Ran) {
    let failed = load.outage();
    let downtime = ran.of("summary").pop().and_then(|summary| summary["downtime_s"].as_f64());
    println!("    the announced downtime: {downtime:?} s, {failed} requests failed in it");
    assert!(downtime.is_some_and(|downtime| downtime > 0.0), "the downtime was measured: {}", ran.text);
}

fn under_load(name: &str) {
    let scene = Scene::of(name, "0s");
    let mut load = scene.load();
    let old = scene.holds().unwrap();
    let planned = scene.run(&["plan", "ring"]);
    let plan = planned.exits(0).plan();
    let apply = ["apply", &plan, "--confirm", "ring"];
    if !scene.spec.by_hand() {
        done(&scene, &scene.run(&apply), None);
        println!("    {name}: {} requests, none failed", load.end());
        return;
    }
    if scene.spec.one_value() {
        planned.says(&["WHICH REVOKES THE OLD ONE AT ONCE", "keyroll measures"]);
        assert_eq!(
            planned.of("plan")[0]["downtimes"][0],
            "api",
            "the downtime is announced: {}",
            planned.text
        );
        scene.issuer.replaces(Duration::ZERO);
    }
    let waits = scene.run(&apply);
    load.none_failed(&waits);
    waits.exits(6).says(&["waiting for you to make the new key"]);
    let (id, value) = scene.issuer.mint("made at the console");
    let ran = scene.fed(&["resume", &plan, "--value-stdin", "--confirm", "ring"], &value);
    drop(value);
    if scene.spec.one_value() {
        through_the_gap(&mut load, &ran);
        ran.exits(0).ended("done");
        scene.all_on(&id);
    } else {
        let ran = ended_by_hand(&scene, &old, ran);
        done(&scene, &ran, Some(id));
    }
    println!("    {name}: {} requests, none failed but in an announced downtime", load.end());
}

/// Killed after a mint without an answer, before the restart of an instance, and after the revoke of the old key
/// without an answer.
fn killed(name: &str) {
    let scene = Scene::of(name, "0s");
    let mut load = scene.load();
    let old = scene.holds().unwrap();
    let plan = scene.plan();
    let (apply, resume) = (["apply", &plan, "--confirm", "ring"], ["resume", &plan, "--confirm", "ring"]);
    let mut made = None;
    if scene.spec.by_hand() {
        if scene.spec.one_value() {
            scene.issuer.replaces(Duration::ZERO);
        }
        made = Some(made_by_hand(&scene, &scene.run(&apply)));
        let given = ["resume", &plan, "--value-file", "run/new.key", "--confirm", "ring"];
        scene.killed_at_a_restart(&given, "2");
        fs::remove_file(scene.path("run/new.key")).unwrap();
    } else if scene.spec.grace().is_some() {
        // A mint without an answer is the operator's: the new value is lost, and the old one ends.
        scene.killed_at_a_restart(&apply, "2");
    } else if !scene.spec.finds_a_lost_mint() {
        scene.killed_at(Ask::Mint, &apply);
        deleted_by_hand(&scene, &scene.run(&resume));
        scene.killed_at_a_restart(&["retry", &plan], "2");
    } else {
        scene.killed_at(Ask::Mint, &apply);
        scene.killed_at_a_restart(&resume, "2");
    }
    if scene.spec.revokes() {
        scene.killed_at(Ask::Delete, &resume);
    }
    let ran = ended_by_hand(&scene, &old, scene.run(&resume));
    if scene.spec.one_value() {
        load.outage();
        ran.exits(0).ended("done");
        scene.all_on(&made.unwrap());
    } else {
        done(&scene, &ran, made);
    }
    println!("    {name}: {} requests, none failed", load.end());
}

/// The value of a new key is lost: keyroll stands still, names the key, and the operator deletes it at the console.
fn deleted_by_hand(scene: &Scene, ran: &Ran) {
    ran.exits(6).says(&["\"outcome\":\"stuck\""]);
    let lost = scene.issuer.keys().into_iter().find(|key| !key.deleted && key.label.is_empty()).unwrap();
    assert!(ran.text.contains(&format!("delete {} at the issuer's console", lost.id)), "{}", ran.text);
    scene.issuer.end(&lost.id);
}

fn back(name: &str) {
    let scene = Scene::of(name, "0s");
    let mut load = scene.load();
    let old = scene.holds().unwrap();
    let plan = scene.plan();
    if scene.spec.one_value() || scene.spec.grace().is_some() {
        // After the consent there is no rollback; before it nothing was changed.
        scene.run(&["apply", &plan]).exits(6).says(&["needs your consent"]);
        scene.run(&["abort", &plan]).exits(5).ended("rolled_back");
        scene.all_on(&old);
        println!("    {name}: {} requests, none failed", load.end());
        return;
    }
    let mut ran = scene.run(&["apply", &plan, "--confirm", "ring", "--until", "quiesce"]);
    let mut new = None;
    if scene.spec.by_hand() {
        new = Some(made_by_hand(&scene, &ran));
        let given =
            ["resume", &plan, "--value-file", "run/new.key", "--confirm", "ring", "--until", "quiesce"];
        ran = scene.run(&given);
        fs::remove_file(scene.path("run/new.key")).unwrap();
    }
    ran.exits(4).paused();
    load.none_failed(&ran);
    assert_ne!(scene.holds().unwrap(), old, "everybody has moved");
    let mut ran = scene.run(&["abort", &plan]);
    load.none_failed(&ran);
    if let Some(new) = new.filter(|_| !scene.spec.revokes()) {
        ran.exits(6).says(&["K0715", "keyroll retry"]);
        scene.issuer.end(&new);
        ran = scene.run(&["retry"]);
    }
    ran.exits(5).ended("rolled_back");
    scene.all_on(&old);
    println!("    {name}: {} requests, none failed", load.end());
}

/// New and revoked keys that take effect slowly, with changing answers meanwhile; lost answers; rate limits; incomplete
/// lists; a key that is refused for another reason.
fn bad_weather(name: &str) {
    let scene = Scene::of(name, "8s");
    let mut load = scene.load();
    let old = scene.holds().unwrap();
    let plan = scene.plan();
    scene.issuer.delays(Duration::from_secs(3), Duration::from_secs(3));
    scene.issuer.flaps();
    let moods = |moods: &[(Ask, ResponseFault)]| {
        moods.iter().for_each(|(ask, mood)| scene.issuer.mood(*ask, *mood, 1))
    };
    moods(&[
        (Ask::Mint, ResponseFault::TooMany),
        (Ask::Delete, ResponseFault::TooMany),
        (Ask::Delete, ResponseFault::Lost),
        (Ask::Disable, ResponseFault::Lost),
    ]);
    if scene.spec.finds_a_lost_mint() || scene.spec.by_hand() {
        moods(&[(Ask::Mint, ResponseFault::Lost)]);
    }
    let apply = ["apply", &plan, "--confirm", "ring"];
    let of_looks = [
        (Ask::List, ResponseFault::TooMany),
        (Ask::List, ResponseFault::HalfList),
        (Ask::Me, ResponseFault::OtherReason),
        (Ask::Me, ResponseFault::TooMany),
        (Ask::Me, ResponseFault::Html),
    ];
    if !scene.spec.by_hand() {
        let running = Running::start(scene.command(&apply));
        running.enters("mint");
        moods(&of_looks);
        done(&scene, &running.end(), None);
        println!("    {name}: {} requests, none failed", load.end());
        return;
    }
    if scene.spec.one_value() {
        scene.issuer.replaces(Duration::ZERO);
    }
    let id = made_by_hand(&scene, &scene.run(&apply));
    moods(&of_looks);
    let given = ["resume", &plan, "--value-file", "run/new.key", "--confirm", "ring"];
    let mut ran = scene.run(&given);
    fs::remove_file(scene.path("run/new.key")).unwrap();
    if ran.text.contains("K0112") {
        ran = scene.run(&["resume", &plan, "--confirm", "ring"]);
    }
    if scene.spec.one_value() {
        load.outage();
        ran.exits(0).ended("done");
        scene.all_on(&id);
    } else {
        let ran = ended_by_hand(&scene, &old, ran);
        done(&scene, &ran, Some(id));
    }
    println!("    {name}: {} requests, none failed", load.end());
}

/// Roll first: nothing fails, and every step has its time. With a key that is made by hand, the clock also runs while
/// the rotation waits for the operator.
fn emergency(name: &str) {
    let scene = Scene::of(name, "0s");
    let mut load = scene.load();
    let old = scene.holds().unwrap();
    let plan = scene.plan();
    let apply = ["apply", &plan, "--emergency", "roll-first", "--confirm", "ring"];
    if scene.spec.one_value() {
        scene.issuer.replaces(Duration::ZERO);
    }
    let mut ran = scene.run(&apply);
    let mut made = None;
    if scene.spec.by_hand() {
        let id = made_by_hand(&scene, &ran);
        made = Some(id);
        ran = scene.run(&["resume", &plan, "--value-file", "run/new.key", "--confirm", "ring"]);
        fs::remove_file(scene.path("run/new.key")).unwrap();
        ran = ended_by_hand(&scene, &old, ran);
    }
    ran.exits(0).ended("done");
    let clock = ran.of("summary").pop().unwrap()["emergency"].clone();
    println!("    {name}: {clock}");
    for step in ["alert_to_minted_s", "alert_to_stored_s", "alert_to_moved_s", "alert_to_dead_s"] {
        assert!(clock[step].as_f64().is_some(), "{step} is timed: {clock}");
    }
    if scene.spec.one_value() {
        load.outage();
    }
    scene.all_on(&made.unwrap_or_else(|| scene.issuer.keys()[0].id.clone()));
    load.end();
}
