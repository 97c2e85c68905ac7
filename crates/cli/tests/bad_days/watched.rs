//! What `status` says of a rotation that stands, goes back, or that nobody drives.

use std::fs;

use rustix::process::Signal;

use crate::ran::wait;
use crate::scene::Scene;

#[test]
fn a_watch_says_that_nobody_drives_and_ends_as_status_does() {
    let scene = Scene::new();
    // Nothing is open: there is nothing to say.
    scene.run(&["status", "-w"]).exits(0);
    let id = scene.until("mint");
    let undriven =
        format!("nobody drives {id}, and nothing changes until somebody does: keyroll resume {id}");
    scene.run(&["status", "-w"]).exits(4).says(&[&undriven]);
    // One that is driven is watched until its driver is gone.
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

/// What it waits for is told as it is now: the file was put back, and its worker alone did not come up.
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
    fs::remove_file(scene.path("run/fail")).unwrap();
    scene.run(&["retry", &id]).exits(5).ended("rolled_back");
    scene.as_before();
}
