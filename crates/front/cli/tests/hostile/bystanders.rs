//! Declared bystanders: a process that holds the value and was declared does not hold up the rotation, and is named wherever
//! the rotation says what may keep the old value. Any other process does, whatever it has in common with a declared one.

use std::fs;
use std::process::{Child, Command, Stdio};

use rustix::process::geteuid;

use crate::hostile::Case;
use crate::hostile::ran::wait;
use crate::hostile::scene::Scene;

pub const CASES: &[Case] = &[
    ("a declared bystander", declared),
    ("a declared bystander and a stranger beside it", a_stranger_beside_it),
    ("the executable of a bystander, run by another user or in another unit", in_one_thing_another),
    ("a bystander that was given the value in its environment", given_the_value),
    ("a plan from before a bystander was declared", declared_after_the_plan),
];

const REASON: &str = "it keeps the header of the last call";

/// A declaration with these lines.
fn bystander(lines: &str) -> String {
    format!("\n[[secrets.ring.bystanders]]\nname = \"gateway\"\nreason = \"{REASON}\"\n{lines}")
}

/// The lines that declare this test program, as this user runs it; `beyond` is added to the number of the user.
fn this_program(beyond: u32) -> String {
    let program = std::env::current_exe().unwrap();
    format!("executable = \"{}\"\nuser = \"{}\"\n", program.display(), geteuid().as_raw() + beyond)
}

fn scene(lines: &str) -> Scene {
    Scene::made(|config, _| config.push_str(&bystander(lines)))
}

/// A process that holds the value in its memory and never calls.
fn holder(scene: &Scene, name: &str) -> u32 {
    scene.start_by_hand(name, &scene.path("api/api.env"), "idle=yes")
}

/// The rotation stops at this process before the old key is disabled, and names it as one that nobody declared.
#[track_caller]
fn blocks(scene: &Scene, pid: u32) {
    let plan = scene.run(&["plan", "ring"]);
    let undeclared = format!("undeclared process {pid}");
    // It may be one more bystander, which no rotation has to name anew.
    plan.exits(0).says(&[&undeclared, "[[secrets.ring.bystanders]]"]);
    let ran = scene.run(&["apply", &plan.plan(), "--confirm", "ring"]);
    ran.exits(6).says(&[&format!("process {pid}")]);
    assert!(ran.paused()["reason"].as_str().unwrap().contains("not a declared consumer"), "{}", ran.text);
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled), "{}", ran.text);
}

fn declared() {
    let scene = scene(&this_program(0));
    let pid = holder(&scene, "keeper");
    let (name, process) = ("declared bystander gateway", format!("process {pid}"));
    let plan = scene.run(&["plan", "ring"]);
    plan.exits(0).says(&[name, &process, REASON]);
    assert!(!plan.text.contains("undeclared process"), "{}", plan.text);
    let id = plan.plan();
    // Nobody consents yet: the question says what may keep the old value.
    let asked = scene.run(&["apply", &id]);
    asked.exits(6);
    let told = asked.of("consent").first().map(|event| event["waivers"].to_string()).unwrap_or_default();
    assert!([name, &process, REASON].iter().all(|word| told.contains(word)), "{told}\n{}", asked.text);
    scene.run(&["status", &id]).exits(6).says(&[name, &process, REASON]);
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    let blocked = ran.of("blocked").into_iter().chain(asked.of("blocked"));
    assert!(blocked.into_iter().all(|event| event["holder"]["pid"] != pid), "{}", ran.text);
    // The declaration is no waiver: nothing was decided for this rotation alone.
    assert_eq!(ran.of("decided")[0]["waivers"], 0, "{}", ran.text);
    scene.run(&["history", &id]).exits(0).says(&[name, REASON]);
    scene.rotated();
}

/// Only one of the two processes is of the declaration: a user's own unit would be another one.
fn a_stranger_beside_it() {
    let scene = scene(&this_program(0));
    let bystander = holder(&scene, "keeper");
    let stranger = Sleeper::of(&scene);
    let plan = scene.run(&["plan", "ring"]);
    plan.exits(0).says(&[&format!("undeclared process {}", stranger.pid())]);
    assert!(!plan.text.contains(&format!("undeclared process {bystander}")), "{}", plan.text);
    blocks(&scene, stranger.pid());
}

fn in_one_thing_another() {
    for lines in [this_program(1), this_program(0) + "unit = \"gateway.service\"\n"] {
        let scene = scene(&lines);
        let pid = holder(&scene, "keeper");
        let plan = scene.run(&["plan", "ring"]);
        plan.exits(0).says(&["declared bystander gateway: no process of it was found"]);
        blocks(&scene, pid);
        scene.end(pid);
        scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
        scene.rotated();
    }
}

/// It is more than a bystander: it was started with the value.
fn given_the_value() {
    let scene = scene("executable = \"/bin/sleep\"\n");
    let sleeper = Sleeper::of(&scene);
    blocks(&scene, sleeper.pid());
}

fn declared_after_the_plan() {
    let scene = Scene::new();
    holder(&scene, "keeper");
    let plan = scene.plan();
    let file = scene.path("keyroll.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + &bystander(&this_program(0))).unwrap();
    let before = scene.snapshot();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.refused(1, "K0838", &["declares other bystanders of ring", "keyroll plan ring"]);
    assert_eq!(scene.snapshot(), before);
    scene.apply().exits(0).ended("done");
    scene.rotated();
}

/// A program that was started with the value in its environment, and does nothing with it. Dropping it ends it.
struct Sleeper(Child);

impl Sleeper {
    fn of(scene: &Scene) -> Self {
        let text = "KEY=$(sed -n 's/^KEY=//p' api/api.env); export KEY; exec sleep 3600";
        let child = Command::new("sh")
            .args(["-euc", text])
            .current_dir(scene.dir())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let name = format!("/proc/{}/comm", child.id());
        let sleeper = Self(child);
        wait("a program with the value", || {
            fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep")
        });
        sleeper
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        // Its end is awaited, so that it does not stay a zombie.
        let _ = self.0.wait();
    }
}
