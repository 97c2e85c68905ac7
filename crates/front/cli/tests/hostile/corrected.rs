//! A command of a consumer that was wrong: corrected in the open rotation, forward and back, and judged before it counts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::hostile::Case;
use crate::hostile::scene::{Scene, ended_for_this, put};

pub const CASES: &[Case] = &[
    ("a wrong restart command, and back without a correction", back_at_once),
    ("a wrong restart command is corrected, and the rotation goes on", forward),
    ("a restart command that breaks on the way back is corrected, and the old key is back", back),
    ("commands that cannot be taken over, and a rotation that keeps its own", refused),
    ("a command is corrected while a driver waits", driven),
    ("what is refused ends no driver", undisturbed),
];

const RIGHT: &str = r#"restart = ["./restart.sh", "api", "api/api.env"]"#;
const WRONG: &str = r#"restart = ["./wrong.sh"]"#;

/// A rotation that pauses because the restart command is wrong; returns its id.
#[track_caller]
fn paused() -> (Scene, String) {
    let scene = Scene::made(|config, _| {
        *config = config.replace(RIGHT, WRONG).replace("admin  =", "on_failure = \"pause\"\nadmin  =");
    });
    put(&scene.path("wrong.sh"), &["#!/bin/sh\nexit 3\n"], 0o755);
    // It is no newer than the process.
    scene.restart("api", "api/api.env");
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    assert!(ran.paused()["reason"].as_str().unwrap().contains("api"), "{}", ran.text);
    (scene, plan)
}

/// Changes keyroll.toml, as an editor does.
fn edit(scene: &Scene, from: &str, to: &str) {
    let path = scene.path("keyroll.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

fn forward() {
    let (scene, id) = paused();
    let correct = ["consumer", "correct", "api"];
    scene.run(&correct).exits(0).says(&["already", &format!("keyroll retry {id}")]);
    edit(&scene, WRONG, RIGHT);
    // Without it, the rotation runs what it was started with.
    scene.run(&["retry", &id]).paused();
    scene.run(&correct).exits(0).says(&["from now on", &format!("keyroll retry {id}")]);
    // The same again changes nothing: whoever was not sure whether the first one was recorded asks twice.
    scene.run(&correct).exits(0).says(&["already"]);
    scene.run(&["retry", &id]);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    scene.run(&["audit"]).exits(0).says(&["consumer correct"]);
    scene.run(&correct).refused(1, "K0811", &["keyroll plan ring"]);
}

fn back_at_once() {
    let (scene, id) = paused();
    let ran = scene.run(&["abort", &id]);
    ran.exits(5).ended("rolled_back");
    scene.as_before();
}

fn back() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    scene.sh("touch run/fail");
    let ran = scene.run(&["abort", &id]);
    assert!(ran.code != Some(5) && ran.text.contains("stuck"), "{}", ran.text);
    scene.sh("grep -v run/fail restart.sh >again.sh; chmod 755 again.sh");
    edit(&scene, RIGHT, r#"restart = ["./again.sh", "api", "api/api.env"]"#);
    scene.run(&["consumer", "correct", "api"]).exits(0).says(&[&format!("keyroll retry {id}")]);
    scene.run(&["retry", &id]).exits(5).ended("rolled_back");
    scene.as_before();
}

fn refused() {
    let (scene, id) = paused();
    let correct = ["consumer", "correct", "api"];
    scene.run(&["consumer", "correct", "web"]).refused(1, "K0811", &["keyroll status"]);
    // Another user can change it.
    scene.sh("cp restart.sh open.sh; chmod 777 open.sh");
    edit(&scene, WRONG, r#"restart = ["./open.sh", "api", "api/api.env"]"#);
    scene.run(&correct).refused(1, "K0860", &["open.sh"]);
    // It is not there.
    edit(&scene, "./open.sh", "./nowhere.sh");
    assert_eq!(scene.run(&correct).exits(1).of("error").len(), 1);
    // Another copy is another change than one of the commands.
    edit(&scene, "./nowhere.sh", "./restart.sh");
    scene.copy("api/api.env", "api/other.env");
    edit(&scene, "env_file = \"./api/api.env\"", "env_file = \"./api/other.env\"");
    scene.run(&correct).refused(1, "K0811", &["keyroll consumer waive api", &format!("keyroll abort {id}")]);
    // None of them was taken over: the rotation still runs the wrong one, and goes back.
    scene.run(&["retry", &id]).paused();
    edit(&scene, "env_file = \"./api/other.env\"", "env_file = \"./api/api.env\"");
    fs::remove_file(scene.path("api/other.env")).unwrap();
    scene.run(&correct).exits(0);
    let ran = scene.run(&["abort", &id]).exits(5).text.clone();
    assert!(ran.contains("rolled_back"), "{ran}");
    scene.as_before();
    fs::set_permissions(scene.path("open.sh"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn driven() {
    let scene = Scene::new();
    let (driver, id) = scene.waits_for_api();
    scene.sh("cp restart.sh again.sh");
    edit(&scene, RIGHT, r#"restart = ["./again.sh", "api", "api/api.env"]"#);
    let correct = ["consumer", "correct", "api"];
    scene.run(&correct).exits(0).says(&["from now on", &ended_for_this(&driver, &id)]);
    driver.end().exits(130);
    let again = scene.run(&correct);
    again.exits(0).says(&["already", &format!("to continue: keyroll resume {id}")]);
    assert!(!again.text.contains("has ended for this"), "{}", again.text);
    scene.restart("api", "api/api.env");
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

fn undisturbed() {
    let scene = Scene::new();
    let (driver, id) = scene.waits_for_api();
    let holder = driver.pid().as_raw_nonzero().to_string();
    let still_drives = || assert_eq!(scene.lock_holder(), holder);
    still_drives();
    let correct = ["consumer", "correct", "api"];
    // The rotation has no such consumer; it has these commands already.
    scene.run(&["consumer", "correct", "web"]).refused(1, "K0811", &["keyroll status"]);
    scene.run(&correct).exits(0).says(&["already"]);
    // Another user can change the command.
    scene.sh("cp restart.sh open.sh; chmod 777 open.sh");
    edit(&scene, "./restart.sh", "./open.sh");
    scene.run(&correct).refused(1, "K0860", &["open.sh"]);
    edit(&scene, "./open.sh", "./restart.sh");
    fs::remove_file(scene.path("open.sh")).unwrap();
    // Only the open rotation shows that this is not waited for.
    let last_use = ["consumer", "waive", "last-use", "--reason", "a test"];
    scene.run(&last_use).refused(1, "K0846", &[&format!("keyroll status {id}")]);
    scene.run(&["consumer", "waive", "nobody", "--reason", "a test"]).exits(2);
    scene.run(&["hosts", "waive", "nowhere", "--reason", "a test"]).exits(2);
    still_drives();
    scene.restart("api", "api/api.env");
    driver.end().exits(0).ended("done");
    scene.rotated();
}
