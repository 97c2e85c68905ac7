//! What is due is rotated without anybody there, and only that.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "hostile/ran.rs"]
mod ran;
#[path = "hostile/scene.rs"]
mod scene;
#[path = "hostile/worker.rs"]
mod worker;

use rustix::process::Signal;

use keyroll_testkit::issuer::{Ask, Mood};
use scene::Scene;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    worker::play();
}

/// A secret that is due from the moment on at which it was taken in.
fn scene(every: &str, unattended: bool) -> Scene {
    Scene::made(|config, _| {
        let flag =
            format!("rotate_every = \"{every}\"\nunattended = {unattended}\n\n[secrets.ring.revoke]\n");
        let standing = if unattended { "decide = \"standing\"\n" } else { "" };
        *config = config.replace("[secrets.ring.revoke]\n", &(flag + standing));
    })
}

#[test]
fn what_is_due_is_rotated_under_a_standing_consent() {
    let scene = scene("0s", true);
    let ran = scene.run(&["due"]);
    ran.exits(3);
    let row = &ran.of("due")[0];
    assert_eq!((&row["secret"], &row["unattended"]), (&"ring".into(), &true.into()), "{}", ran.text);
    scene.run(&["due", "--apply"]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn what_is_not_due_or_needs_a_consent_is_left_alone() {
    let fresh = scene("90d", true);
    fresh.run(&["due"]).exits(0);
    fresh.run(&["due", "--apply"]).exits(0);
    assert_eq!(fresh.issuer.asked(Ask::Mint), 0);
    let asks = scene("0s", false);
    asks.run(&["due", "--apply"]).refused(6, "K0854", &["no standing consent", "keyroll plan ring"]);
    assert_eq!(asks.issuer.asked(Ask::Mint), 0);
    // A waiver takes the standing consent away: it stands still with the old key on.
    let waived = scene("0s", true);
    waived.copy("api/api.env", "also/decoy.env");
    waived.run(&["due", "--apply"]).exits(6).says(&["K0836", "also/decoy.env"]);
    waived.run(&["consumer", "waive", "also/decoy.env", "--reason", "a decoy"]).exits(0);
    waived.run(&["due", "--apply"]).exits(6).says(&["consent"]);
    assert!(waived.issuer.keys().iter().any(|key| key.id == waived.old && !key.disabled));
    // The next run does not press on.
    waived.run(&["due", "--apply"]).refused(6, "K0854", &["stands still", "keyroll status"]);
    waived.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    waived.rotated();
}

#[test]
fn a_dead_driver_is_taken_over_and_a_living_one_is_not_disturbed() {
    let scene = scene("0s", true);
    let running = scene.start(&["due", "--apply"]);
    scene.issuer.mood(Ask::Me, Mood::TooMany, 0);
    running.enters("mint");
    scene.issuer.mood(Ask::Me, Mood::TooMany, 9999);
    running.enters("probe");
    scene.run(&["due", "--apply"]).refused(7, "K0854", &["drives a rotation here"]);
    running.signal(Signal::KILL);
    drop(running.end());
    scene.issuer.calm();
    scene.run(&["due", "--apply"]).exits(0).ended("done");
    scene.rotated();
    // One that somebody paused stays paused.
    let paused = self::scene("0s", true);
    let plan = paused.plan();
    paused.run(&["apply", &plan, "--until", "quiesce"]).exits(4).paused();
    paused.run(&["due", "--apply"]).refused(6, "K0854", &["stands still"]);
    paused.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    paused.rotated();
}
