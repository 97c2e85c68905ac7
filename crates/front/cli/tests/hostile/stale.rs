//! Stale plans, and two rotations at the same time.

use std::fs;

use crate::hostile::Case;
use crate::hostile::scene::{Scene, put, side};
use keyroll_testkit::issuer::Ask;

pub const CASES: &[Case] = &[
    ("a stale plan: the file was edited", file_edited),
    ("a stale plan: another process", another_process),
    ("a stale plan: another key at the issuer", another_key),
    ("a plan that was carried out already", carried_out_already),
    ("two rotations of one secret", two_of_one_secret),
    ("two secrets in one file", two_secrets_in_one_file),
];

/// Refused with the line that differs, with nothing changed.
#[track_caller]
fn stale(scene: &Scene, plan: &str, words: &[&str]) {
    let before = scene.snapshot();
    let ran = scene.run(&["apply", plan, "--confirm", "ring"]);
    ran.refused(1, "K0838", words).says(&["keyroll plan ring"]);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
}

fn file_edited() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.sh("echo '# by somebody' >> api/api.env");
    stale(&scene, &plan, &["api/api.env"]);
}

fn another_process() {
    let program = std::env::current_exe().unwrap();
    let scene = Scene::made(|config, _| {
        *config = config.replace(
            "pid_file = \"./run/api.pid\"",
            &format!("process = \"{}\", arg = \"@ARG@\"", program.display()),
        );
    });
    // The worker is recognised by a word of its command line, because other scenes run the same program.
    let arg = format!("of-{}", scene.issuer.port());
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap().replace("@ARG@", &arg);
    fs::write(scene.path("keyroll.toml"), config).unwrap();
    scene.sh(&format!("sed -i 's/part --exact/part {arg} --exact/' restart.sh"));
    scene.restart("api", "api/api.env");
    let plan = scene.plan();
    scene.start_by_hand("api2", &scene.path("api/api.env"), &arg);
    stale(&scene, &plan, &["api"]);
}

fn another_key() {
    let scene = Scene::new();
    let plan = scene.plan();
    let (id, _) = scene.issuer.mint("of somebody");
    stale(&scene, &plan, &[&id]);
}

/// The message says what happened to the plan, never "stale": if its rotation is open, another plan would be wrong.
fn carried_out_already() {
    let scene = Scene::new();
    let (plan, other) = (scene.plan(), scene.plan());
    scene.run(&["apply", &plan, "--confirm", "ring", "--until", "roll"]).exits(4);
    let before = scene.snapshot();
    let again = |plan: &str| scene.run(&["apply", plan, "--confirm", "ring"]);
    again(&plan).refused(7, "K0846", &["is at roll", &format!("keyroll resume {plan}")]);
    again(&other).refused(7, "K0846", &[&format!("rotation {plan} of the same secret is open")]);
    assert_eq!(scene.snapshot(), before);
    scene.run(&["abort", &plan]).exits(5).ended("rolled_back");
    again(&plan).refused(1, "K0846", &["rolled back", "keyroll plan ring"]);
    scene.as_before();
    let third = scene.plan();
    again(&third).exits(0).ended("done");
    let before = scene.snapshot();
    again(&third).refused(1, "K0846", &["is done", "keyroll plan ring"]);
    assert_eq!(scene.snapshot(), before);
    scene.rotated();
}

fn two_of_one_secret() {
    let scene = Scene::new();
    let other = scene.plan();
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    running.enters("preflight");
    scene.run(&["apply", &other, "--confirm", "ring"]).refused(7, "K0828", &["keyroll status -w"]);
    running.enters("probe");
    running.signal(rustix::process::Signal::INT);
    running.end().exits(130);
    // It has no driver, but is still open.
    scene.run(&["plan", "ring"]).refused(7, "K0846", &[&plan, "keyroll resume"]);
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// One file, with a variable for each: each rotation changes its own bytes, also while the other is paused half-way.
fn two_secrets_in_one_file() {
    let scene = Scene::made(|config, _| {
        *config += &side("./api/api.env");
    });
    let (side, value) = scene.issuer.mint("by hand");
    put(&scene.path("line"), &["SIDE=", &value, "\n"], 0o600);
    scene.sh("cat line >> api/api.env; rm line");
    scene.add("side", &side, &value).exits(0);
    drop(value);
    let first = scene.until("quiesce");
    let moved = scene.holds("api/api.env").unwrap();
    assert_ne!(moved, scene.old);
    let second = scene.plan_of("side");
    scene.run(&["apply", &second, "--confirm", "side"]).exits(0).ended("done");
    assert_eq!(scene.holds("api/api.env"), Some(moved), "the other rotation's edit is lost");
    scene.run(&["resume", &first, "--confirm", "ring"]).exits(0).ended("done");
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| key.label.starts_with("keyroll/")), "{keys:?}");
    scene.sh("test $(grep -c '^KEY=\\|^SIDE=\\|^LOG=info$\\|^POOL=4$\\|^# The API$' api/api.env) = 5");
    assert!(scene.run(&["verify", "side"]).code == Some(0));
}
