//! Files that are moved, and disks that cannot be written: refused before a key is made.

use std::fs;
use std::process::Command;

use crate::hostile::Case;
use crate::hostile::ran::{Running, wait};
use crate::hostile::scene::Scene;
use keyroll_testkit::issuer::{Ask, ResponseFault};
use rustix::process::Signal;

pub const CASES: &[Case] = &[
    ("a link that changed between plan and apply", changed_link_before),
    ("a link that changes while it is carried out", changed_link_during),
    ("a folder that changed after a file in it was adopted", changed_folder_of_the_adopted),
    ("a disk that is read-only", || in_own_mounts("a disk that is read-only", read_only)),
    ("a disk that is full", || in_own_mounts("a disk that is full", full)),
    ("a file that may not be changed", immutable),
    ("a journal without space, and SIGTERM", || {
        in_own_mounts("a journal without space, and SIGTERM", || {
            without_space(|_, running| running.signal(Signal::TERM));
        });
    }),
    ("a journal without space, and a pause", || {
        in_own_mounts("a journal without space, and a pause", || {
            without_space(|scene, _| {
                scene.run(&["pause"]).exits(4);
            });
        });
    }),
    ("a state folder without space before a rotation", || {
        in_own_mounts("a state folder without space before a rotation", no_space_to_begin)
    }),
    ("a state folder without space in a rotation", || {
        in_own_mounts("a state folder without space in a rotation", looked_at_without_space)
    }),
    ("a state folder that became read-only", || {
        in_own_mounts("a state folder that became read-only", became_read_only)
    }),
];

/// Runs a case in its own mount namespace, so that its mounts are invisible to others and end with it.
fn in_own_mounts(name: &str, case: fn()) {
    if std::env::var_os("KEYROLL_OWN_MOUNTS").is_some() {
        return case();
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root may mount ({name})");
        return;
    }
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["hostile::disks_that_fail", "--exact", "--nocapture"])
        .envs([("KEYROLL_OWN_MOUNTS", "yes"), ("KEYROLL_CASE", name)])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains(&format!(": {name}")),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Two places, and a link to the first of them where the copy is configured.
fn linked() -> Scene {
    let scene = Scene::new();
    scene.sh("mkdir one two; mv api/api.env one/api.env; ln -s ../one/api.env api/api.env");
    scene
}

const RELINK: &str = "cp -p one/api.env two/api.env; ln -sfn ../two/api.env api/api.env";

fn changed_link_before() {
    let scene = linked();
    let plan = scene.plan();
    scene.sh(RELINK);
    let before = scene.snapshot();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.refused(1, "K0838", &["api/api.env", "keyroll plan ring"]);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
}

/// The new place was never inspected: nothing is written there, and the rotation rolls back as far as possible.
fn changed_link_during() {
    let scene = linked();
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 0);
    running.enters("mint");
    scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 9999);
    running.enters("probe");
    scene.sh(RELINK);
    scene.issuer.calm();
    let ran = running.end();
    ran.says(&["K0314", "led elsewhere"]);
    assert!(matches!(ran.code, Some(4..=6)), "{}", ran.text);
    for file in ["one/api.env", "two/api.env"] {
        assert_eq!(scene.holds(file).as_deref(), Some(scene.old.as_str()), "{file}");
    }
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled));
    assert_eq!(scene.issuer.last_of("api").as_deref(), Some(scene.old.as_str()));
}

/// A file that was adopted into an open rotation is written at the path that it had at the adoption, or not at all.
fn changed_folder_of_the_adopted() {
    let scene = Scene::new();
    scene.sh("cp -p api/api.env ../late.env");
    let plan = scene.until("quiesce");
    scene.sh("mv ../late.env also/");
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(6).says(&["also/late.env"]);
    let adopt = ["consumer", "adopt", "also/late.env", "--name", "late", "--env-file", "also/late.env"];
    let flags = ["--variable", "KEY", "--check", "./check.sh KEY {copy}"];
    scene.run(&[&adopt[..], &flags].concat()).exits(0);
    scene.sh("mkdir two; cp -p also/late.env two/; mv also one; ln -s two also");
    let ran = scene.run(&["resume", &plan, "--confirm", "ring"]);
    ran.says(&["K0314", "led elsewhere"]);
    assert!(matches!(ran.code, Some(4..=6)), "{}", ran.text);
    for file in ["one/late.env", "two/late.env"] {
        assert_eq!(scene.holds(file).as_deref(), Some(scene.old.as_str()), "{file}");
    }
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled));
}

/// `plan` only reads; `apply` tries a real file beside each target before anything is made.
#[track_caller]
fn refused_at_trial(scene: &Scene, words: &[&str]) {
    let plan = scene.plan();
    let before = scene.snapshot();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(1).ended("rolled_back").says(words);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
    scene.as_before();
}

fn read_only() {
    let scene = Scene::new();
    scene.sh("mount --bind api api; mount -o remount,ro,bind api");
    refused_at_trial(&scene, &["Read-only file system", "api.env", "help"]);
    scene.sh("umount api");
}

fn full() {
    let scene = Scene::new();
    scene.sh(
        "mv api kept; mkdir api; mount -t tmpfs -o size=64k tmpfs api; cp -p kept/api.env api/; rm -r kept",
    );
    scene.sh("cat /dev/zero > api/filler || true");
    refused_at_trial(&scene, &["No space left on device", "api.env", "help"]);
    scene.sh("umount api");
}

/// A driver in the middle of a restart, and the rotation's id.
fn in_a_restart(scene: &Scene) -> (Running, String) {
    let plan = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    wait("the restart", || scene.path("run/restarting-api").exists());
    (running, plan)
}

/// The state folder on a small disk of its own, which `cat /dev/zero` fills.
fn on_own_disk(scene: &Scene) {
    scene.sh("mv ../state ../kept; mkdir ../state; mount -t tmpfs -o size=3m,mode=700 tmpfs ../state");
    scene.sh("cp -a ../kept/. ../state/; rm -r ../kept");
}

/// Red: "disk I/O error", with the advice to restore a backup or a sealing key.
fn no_space_to_begin() {
    let scene = Scene::new();
    on_own_disk(&scene);
    scene.sh("cat /dev/zero > ../state/filler || true");
    for words in [&["secret", "list"][..], &["plan", "ring"], &["doctor"]] {
        let ran = scene.run(words);
        ran.says(&["K0601", "no space is left on its disk", "free space"]);
        for wrong in ["I/O error", "sealing.key into", "from the same backup"] {
            assert!(!ran.text.contains(wrong), "{wrong}: {}", ran.text);
        }
        assert!(ran.code.is_some_and(|code| code != 0), "{}", ran.text);
    }
    scene.sh("rm ../state/filler");
    scene.plan();
    scene.sh("umount ../state");
}

/// Red: K0601 alone, also for `status`. What needs writing is refused as before, and nothing is lost.
fn looked_at_without_space() {
    let scene = Scene::new();
    on_own_disk(&scene);
    let id = scene.until("quiesce");
    scene.sh("cat /dev/zero > ../state/filler || true");
    for (command, event) in [("status", "status"), ("history", "past"), ("audit", "act")] {
        let ran = scene.run(&[command]);
        ran.refused(6, "K0601", &["no space is left on its disk", "unchecked journal", "free space"]);
        assert!(!ran.of(event).is_empty(), "{command} shows nothing: {}", ran.text);
    }
    let shown = scene.run(&["status"]);
    let row = shown.of("status")[0];
    assert_eq!(row["id"], id.as_str(), "{}", shown.text);
    assert_eq!(row["phase"], "quiesce", "{}", shown.text);
    assert_eq!(row["next"], format!("keyroll resume {id}"), "it goes on once there is space: {}", shown.text);
    let journal = scene.state().join("journal.db");
    let before = fs::read(&journal).unwrap();
    for words in [&["resume", "--confirm", "ring"][..], &["abort"], &["retry"]] {
        scene.run(words).refused(6, "K0601", &["no space is left on its disk"]);
    }
    assert!(fs::read(&journal).unwrap() == before);
    scene.sh("rm ../state/filler");
    scene.run(&["status"]).exits(4);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    scene.sh("umount ../state");
}

/// The disk of the state folder is full. The driver says that it waits for the journal, ends when it is asked to, and nothing
/// is lost.
fn without_space(end: fn(&Scene, &Running)) {
    let scene = Scene::new();
    on_own_disk(&scene);
    let (running, plan) = in_a_restart(&scene);
    scene.sh("cat /dev/zero > ../state/filler || true; rm run/hold");
    running.says("that it waits for the journal", |event| {
        let what = event["what"].as_str().unwrap_or_default();
        event["type"] == "waiting" && what.starts_with("the journal (") && event["since"].is_string()
    });
    end(&scene, &running);
    let ran = running.end();
    let resume = format!("keyroll resume {plan}");
    ran.exits(130).says(&["it was asked to stop while the journal could not be written", &resume]);
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled));
    scene.sh("rm ../state/filler");
    scene.run(&["resume", &plan, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    scene.sh("umount ../state");
}

/// A driver began before: it is still the driver.
fn became_read_only() {
    let scene = Scene::new();
    let (running, _) = in_a_restart(&scene);
    scene.sh("mount --bind ../state ../state; mount -o remount,ro,bind ../state");
    let shown = scene.run(&["status"]);
    let driver = shown.of("status")[0]["driver"].as_i64();
    assert_eq!(driver, Some(running.pid().as_raw_nonzero().get().into()), "{}", shown.text);
    scene.sh("umount ../state; rm run/hold");
    running.end().exits(0).ended("done");
    scene.rotated();
}

fn immutable() {
    let scene = Scene::new();
    let path = scene.path("api/api.env");
    let chattr = |how: &str| Command::new("chattr").arg(how).arg(&path).status().is_ok_and(|it| it.success());
    if !chattr("+i") {
        eprintln!("left out: chattr +i does not work here");
        return;
    }
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        refused_at_trial(&scene, &["api.env", "chattr"]);
    }));
    assert!(chattr("-i"));
    refused.unwrap();
    assert!(fs::metadata(path).is_ok());
}
