//! The output of `status` for a rotation that is paused, rolls back, or has no driver.

use std::fs;

use rustix::process::Signal;

use crate::hostile::ran::wait;
use crate::hostile::scene::Scene;

#[test]
fn a_watch_says_that_nobody_drives_and_ends_as_status_does() {
    let scene = Scene::new();
    // Nothing is open: there is nothing to say.
    scene.run(&["status", "-w"]).exits(0);
    let id = scene.until("mint");
    let undriven = format!("{id} has no driver, and nothing changes without one: keyroll resume {id}");
    scene.run(&["status", "-w"]).exits(4).says(&[&undriven]);
    // `status -w` follows a driven rotation until its driver has ended.
    fs::write(scene.path("run/hold"), "").unwrap();
    fs::remove_file(scene.path("run/restarting-api")).unwrap();
    let driver = scene.start(&["resume", &id, "--confirm", "ring"]);
    driver.enters("roll");
    wait("its restart", || scene.path("run/restarting-api").exists());
    let watch = scene.start(&["status", "-w", &id]);
    watch.says("the rotation", |event| event["type"] == "status" && !event["driver"].is_null());
    driver.signal(Signal::KILL);
    let _ = driver.end();
    let ran = watch.end();
    ran.exits(4).says(&[&undriven]);
    fs::remove_file(scene.path("run/hold")).unwrap();
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.run(&["status", "-w", &id]).exits(0);
    scene.rotated();
}

/// The shown cause is the present one: the file was restored, but its worker did not start.
#[test]
fn the_way_back_does_not_tell_of_a_copy_as_it_was_before_it_was_put_back() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    fs::write(scene.path("run/fail"), "").unwrap();
    let ran = scene.run(&["abort", &id]);
    ran.exits(6).paused();
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(scene.old.as_str()));
    let status = scene.run(&["status", &id]);
    for told in [&ran, &status] {
        let copies: Vec<_> =
            told.of("blocked").into_iter().filter(|it| it["holder"]["kind"] == "copy").collect();
        assert!(copies.is_empty() && !told.text.contains("it holds the new key"), "{}", told.text);
    }
    assert_eq!(scene.issuer.keys().len(), 2, "both keys work");
    status.says(&["`api` did not load the old key: its restart or reload failed each time, at 2"]);
    fs::remove_file(scene.path("run/fail")).unwrap();
    scene.run(&["retry", &id]).exits(5).ended("rolled_back");
    scene.run(&["status", &id]).exits(0).says(&["the operator asked for it (keyroll abort or undo), at 2"]);
    scene.as_before();
}

/// An operator who comes later sees the cause, without the output of the failed run.
#[test]
fn what_turned_it_back_is_told_afterwards() {
    let limit = |config: &mut String, _: &mut String| {
        *config = config.replace("[secrets.ring.revoke]", "unit_deadline = \"5s\"\n\n[secrets.ring.revoke]");
    };
    let scene = Scene::made(limit);
    // The restart command reports success, but nothing was restarted.
    scene.sh("sed -i 's|^exec 9.*|if [ -e run/skip ]; then exit 0; fi; &|' restart.sh; touch run/skip");
    let accept = ["--accept", "api/restart:restart.sh"];
    let plan = scene.plan();
    scene.run(&[&["apply", &plan, "--confirm", "ring"][..], &accept].concat()).exits(5).ended("rolled_back");
    let tells = |words: &[&str]| {
        for command in [["status", &plan], ["history", &plan]] {
            let ran = scene.run(&command);
            let kind = if command[0] == "status" { "status" } else { "past" };
            let cause = ran.of(kind)[0]["cause"].as_str().unwrap_or_else(|| panic!("no cause: {}", ran.text));
            assert!(words.iter().all(|word| cause.contains(word)), "{cause}");
        }
    };
    tells(&["`api` did not prove the new key within 5 s", "process ", ", at 2"]);
    scene.as_before();
    let id = scene.plan();
    scene.run(&[&["apply", &id, "--until", "mint"][..], &accept].concat()).exits(4);
    scene.run(&["abort", &id[..30]]).exits(5).ended("rolled_back");
    // An id by its beginning, an ambiguous beginning, and a mistyped id.
    scene.run(&["status", &id[..31]]).exits(0).says(&[&id]);
    scene.run(&["history", &id[..31]]).exits(0).says(&[&id]);
    for command in ["status", "resume", "pause", "history"] {
        scene.run(&[command, &id[..3]]).refused(1, "K0805", &["2 ids begin with these characters", &plan]);
    }
    let flip = if id.ends_with('0') { "1" } else { "0" };
    let mistyped = format!("{}{flip}", &id[..31]);
    for command in ["status", "resume", "abort", "history"] {
        scene.run(&[command, &mistyped]).refused(1, "K0805", &[&format!("did you mean {id}?")]);
    }
    scene.run(&["apply", &id[..3]]).refused(1, "K0805", &["2 ids begin with these characters"]);
    scene.run(&["apply", &mistyped]).refused(1, "K0805", &["did you mean"]);
}
