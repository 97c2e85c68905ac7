//! What other people and machines do while a rotation is open.

use std::fs;

use crate::hostile::Case;
use crate::hostile::scene::Scene;

pub const CASES: &[Case] = &[
    ("an old value that is written back", written_back),
    ("an edit of somebody else", foreign_edit),
    ("a late instance on the old value", late_instance),
    ("a refused use while the old key is off", refused_use),
];

fn written_back() {
    let scene = Scene::new();
    scene.copy("api/api.env", "../kept.env");
    scene.until("quiesce");
    assert_ne!(scene.holds("api/api.env").as_deref(), Some(scene.old.as_str()));
    // As configuration management would: the file, then a restart.
    scene.sh("cat ../kept.env > api/api.env; rm ../kept.env");
    scene.restart("api", "api/api.env");
    let ran = scene.run(&["resume", "--confirm", "ring"]);
    ran.exits(0).ended("done");
    let delivered = ran.of("host_step").iter().filter(|step| step["step"] == "delivered").count();
    assert!(delivered >= 1 && ran.entered("roll"), "it was not rolled again: {}", ran.text);
    scene.rotated();
}

/// A third value belongs to whoever wrote it: keyroll never overwrites it, and both keys stay alive.
fn foreign_edit() {
    let scene = Scene::new();
    scene.until("quiesce");
    scene.copy("api/api.env", "../kept.env");
    scene.sh("sed -i 's/^KEY=.*/KEY=of_somebody_else/' api/api.env");
    let before = scene.snapshot();
    let ran = scene.run(&["resume", "--confirm", "ring"]);
    ran.exits(6);
    let next = ran.paused()["resume_with"].as_str().unwrap().to_owned();
    assert!(next.contains("keyroll retry"), "{next}");
    ran.says(&["holds content that neither keyroll nor the plan wrote"]);
    assert_eq!(scene.snapshot(), before);
    assert!(before == scene.snapshot() && scene.issuer.keys().len() == 2);
    scene.sh("cat ../kept.env > api/api.env; rm ../kept.env");
    let id = next.split(' ').next_back().unwrap().to_owned();
    let mut ran = scene.run(&["retry", &id]);
    if ran.code != Some(0) {
        ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    }
    ran.exits(0).ended("done");
    scene.rotated();
}

/// A process that was started by hand with the old value is found and named; the old key is not revoked while it runs.
fn late_instance() {
    let scene = Scene::new();
    scene.copy("api/api.env", "../kept.env");
    scene.until("quiesce");
    let kept = scene.path("../kept.env").canonicalize().unwrap();
    let pid = scene.start_by_hand("late", &kept, "");
    let before = scene.snapshot();
    let ran = scene.run(&["resume", "--confirm", "ring"]);
    ran.exits(6).says(&[&format!("process {pid}"), "keyroll consumer adopt"]);
    let blocked = ran.of("blocked").pop().unwrap();
    assert_eq!(blocked["holder"]["pid"], pid, "{}", ran.text);
    assert_eq!(scene.snapshot(), before);
    scene.end(pid);
    fs::remove_file(kept).unwrap();
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// Somebody still needs the key: it is enabled again at once, and the operator is asked.
fn refused_use() {
    let scene =
        Scene::made(|config, _| *config = config.replace("soak         = \"0s\"", "soak         = \"30s\""));
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    running.enters("soak");
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && key.disabled));
    scene.sh("echo 'api was refused' >> log/refused");
    let ran = running.end();
    ran.exits(6).paused();
    ran.says(&["used while it was disabled"]);
    assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 2);
    // It goes through Quiesce and Disable again.
    let again = scene.start(&["resume", "--confirm", "ring"]);
    again.enters("quiesce");
    again.enters("soak");
    again.signal(rustix::process::Signal::INT);
    again.end().exits(130);
    let id = scene.run(&["status"]).rotation();
    scene.run(&["abort", &id]).exits(5);
    scene.as_before();
}
