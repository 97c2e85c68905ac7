//! Decisions of the operator: waivers by name, and emergencies.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use keyroll_testkit::issuer::{Ask, Moment};
use rustix::process::{Pid, Signal, kill_process};

use crate::hostile::Case;
use crate::hostile::ran::wait;
use crate::hostile::scene::{Scene, put};

pub const CASES: &[Case] = &[
    ("a decoy that is waived", waived_copy),
    ("a holder that is waived by its process id", waived_holder),
    ("an emergency: roll first", roll_first),
    ("an emergency: revoke now", revoke_now),
    ("an emergency in an open rotation", escalated),
    ("an emergency that is stopped before it began", stopped_before_it_began),
    ("an emergency that is asked for again", asked_for_again),
];

fn waived_copy() {
    let scene = Scene::new();
    scene.copy("api/api.env", "also/decoy.env");
    scene.run(&["plan", "ring"]).refused(6, "K0836", &["also/decoy.env"]);
    scene.run(&["consumer", "waive", "also/decoy.env", "--reason", "a decoy for thieves"]).exits(0);
    let ran = scene.apply();
    ran.exits(0).ended("done");
    let residues = &ran.of("summary")[0]["residues"];
    assert!(residues.to_string().contains("also/decoy.env"), "the report does not name it: {}", ran.text);
    let told = ran.of("residue").iter().any(|one| one["place"].to_string().contains("also/decoy.env"));
    assert!(told, "nobody at the terminal is told: {}", ran.text);
    assert_eq!(scene.holds("also/decoy.env").as_deref(), Some(scene.old.as_str()));
    scene.rotated();
    // The waiver was for the key that is dead now: keyroll asks again about the next key there.
    scene.copy("api/api.env", "also/decoy.env");
    scene.run(&["plan", "ring"]).refused(6, "K0836", &["also/decoy.env"]);
}

fn waived_holder() {
    let scene = Scene::new();
    let pid = scene.start_by_hand("keeper", &scene.path("api/api.env"), "idle=yes");
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(6).says(&[&format!("process {pid}")]);
    assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
    scene.run(&["consumer", "waive", &pid.to_string(), "--reason", "it never calls"]).exits(0);
    let ran = scene.run(&["resume", "--confirm", "ring"]);
    ran.exits(0).ended("done");
    assert_eq!(ran.of("decided")[0]["waivers"], 1, "{}", ran.text);
    scene.rotated();
}

/// Faster, with the same proof: nothing is revoked before every consumer has moved.
fn roll_first() {
    let scene =
        Scene::made(|config, _| *config = config.replace("soak         = \"0s\"", "soak         = \"30m\""));
    let plan = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let words = ["apply", &plan, "--emergency", "roll-first", "--confirm", "ring"];
    let later = [&words[..], &["--alerted-at", "2199-01-01T00:00:00Z"]].concat();
    scene.run(&later).refused(2, "K0802", &["2199-01-01", "in the future", "it is 2"]);
    let running = scene.start(&[&words[..], &["--alerted-at", "2026-01-01T00:00:00Z"]].concat());
    wait("the restart", || scene.path("run/restarting-api").exists());
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled));
    scene.sh("rm run/hold");
    let ran = running.end();
    ran.exits(0).ended("done");
    assert!(!ran.entered("soak"), "{}", ran.text);
    // Each step since the alert, in the order in which they must come.
    let clock = ran.of("summary")[0]["emergency"].clone();
    assert_eq!(clock["alerted"], "2026-01-01 00:00:00Z", "{}", ran.text);
    let steps = ["minted", "stored", "moved", "dead"]
        .map(|step| clock[format!("alert_to_{step}_s")].as_f64().unwrap());
    assert!(steps.is_sorted() && steps[0] > 0.0, "{clock}");
    let past = scene.run(&["history"]);
    assert_eq!(past.of("past")[0]["emergency"], clock, "{}", past.text);
    scene.rotated();
}

/// Red where the command that is named then applies the plan as an ordinary rotation.
fn stopped_before_it_began() {
    let scene = Scene::new();
    let plan = scene.plan();
    let (asks, asked) = mpsc::channel();
    let (answer, answered) = mpsc::channel::<()>();
    scene.issuer.trap(
        Ask::Me,
        Moment::Meanwhile,
        |_| true,
        move || {
            asks.send(()).unwrap();
            let _ = answered.recv();
        },
    );
    let mut apply = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    apply.args(["apply", &plan, "--emergency", "roll-first", "--no-input", "--state", "../state"]);
    apply.current_dir(scene.dir()).env("HOME", scene.dir());
    apply.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut apply = apply.spawn().unwrap();
    asked.recv_timeout(Duration::from_secs(60)).unwrap();
    kill_process(Pid::from_child(&apply), Signal::INT).unwrap();
    let mut said = BufReader::new(apply.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("stopping at the next safe point")).unwrap();
    drop(answer);
    let said: Vec<String> = said.collect();
    assert_eq!(apply.wait().unwrap().code(), Some(130), "{said:?}");
    let again = format!("keyroll apply {plan} --emergency roll-first");
    assert!(said.iter().any(|line| line.contains(&again)), "{said:?}");
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
}

/// Red where the command that is named leaves out the key that was made, or the time of the alert.
fn asked_for_again() {
    let scene = Scene::new();
    let (_, value) = scene.issuer.mint("made at the console");
    put(&scene.path("new.key"), &[&value, "\n"], 0o600);
    drop(value);
    let again = ["emergency", "ring", "--value-file", "./new.key", "--alerted-at=2026-01-01T00:00:00Z"];
    scene.sh("mv admin.key kept");
    scene.run(&again).refused(1, "K0310", &[&format!("then: keyroll {}", again.join(" "))]);
    scene.sh("mv kept admin.key");
    let ran = scene.run(&[&again[..], &["--confirm", "ring"]].concat());
    ran.exits(0).ended("done");
    assert_eq!(ran.of("summary")[0]["emergency"]["alerted"], "2026-01-01 00:00:00Z", "{}", ran.text);
}

/// An announced outage: the old key is dead before the consumers have moved.
fn revoke_now() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let words = ["apply", &plan, "--emergency", "revoke-now", "--confirm", "ring", "--alerted-at", "5m"];
    let running = scene.start(&words);
    wait("the restart", || scene.path("run/restarting-api").exists());
    assert!(scene.issuer.keys().iter().all(|key| key.id != scene.old), "the old key is alive still");
    scene.sh("rm run/hold");
    let ran = running.end();
    ran.exits(0).ended("done").says(&["counting from the alert at 2", "5 min ago"]);
    let clock = &ran.of("summary")[0]["emergency"];
    assert!(clock["alert_to_minted_s"].as_f64().unwrap() >= 300.0, "{clock}");
    // The same for people, without the flag for machines.
    let past = std::process::Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(["history", &plan, "--state", "../state", "--no-input"])
        .current_dir(scene.dir())
        .env_clear()
        .output()
        .unwrap();
    let past = String::from_utf8_lossy(&past.stdout).into_owned();
    assert!(past.contains("since the alert at 2") && past.contains("old key dead"), "{past}");
    scene.rotated();
}

/// It does not wait for the pending step of the rotation; revoking the key at once needs its own consent.
fn escalated() {
    let scene =
        Scene::made(|config, _| *config = config.replace("soak         = \"0s\"", "soak         = \"30m\""));
    let id = scene.until("soak");
    let before = scene.snapshot();
    let unasked = scene.run(&["resume", &id, "--emergency", "revoke-now"]);
    unasked.refused(6, "K0802", &["--confirm=ring"]);
    assert_eq!(scene.snapshot(), before);
    scene.run(&["resume", &id, "--emergency", "roll-first", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}
