//! Pending changes: shown, accepted by name, and never made live unnoticed.

use std::fs;

use crate::hostile::Case;
use crate::hostile::ran::wait;
use crate::hostile::scene::Scene;
use keyroll_testkit::issuer::Ask;

pub const CASES: &[Case] = &[
    ("an earlier edit goes live only if it is accepted", earlier_edit),
    ("an acceptance does not cover a further edit", further_edit),
    ("an edit made meanwhile is not made live", made_meanwhile),
    ("an abort does not restart what was held up", abort_of_the_held),
];

const MODE: &str = "api/api.env:MODE";

/// Two instances that start from the file as their environment.
fn scene() -> Scene {
    let scene = Scene::made(|config, _| {
        *config = config.replace("\"./restart.sh\", \"api\"", "\"./restart.sh\", \"{instance}\"").replace(
            "pid_file = \"./run/api.pid\"",
            "pid_file = \"./run/{instance}.pid\", instances = [\"api\", \"two\"]",
        );
    });
    scene.sh("sed -i 's|^KEYROLL_TEST_PART|set -a; . ./$2; set +a\\n&|' restart.sh");
    scene.restart("api", "api/api.env");
    scene.restart("two", "api/api.env");
    scene
}

fn pid(scene: &Scene, instance: &str) -> String {
    fs::read_to_string(scene.path(&format!("run/{instance}.pid"))).unwrap().trim().to_owned()
}

/// Whether an instance was started with this line in its environment.
fn runs_with(scene: &Scene, instance: &str, line: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid(scene, instance))).unwrap();
    environment.split(|byte| *byte == 0).any(|entry| entry == line.as_bytes())
}

fn earlier_edit() {
    let scene = scene();
    scene.sh("sed -i 's/^POOL=4/POOL=8/' api/api.env; echo MODE=by-somebody >> api/api.env");
    let shown = scene.run(&["plan", "ring"]);
    shown.exits(0);
    let names: Vec<&str> = shown.of("live").iter().filter_map(|event| event["name"].as_str()).collect();
    assert_eq!(names, ["api/api.env:POOL", MODE], "{}", shown.text);
    assert!(!shown.text.contains("by-somebody"), "a value of the file is shown: {}", shown.text);
    let id = shown.plan();
    let before = scene.snapshot();
    let pids = ["api", "two"].map(|instance| pid(&scene, instance));
    let apply = ["apply", id.as_str(), "--confirm", "ring"];
    scene.run(&apply).refused(6, "K0851", &[MODE, "POOL", "--accept api/api.env:MODE"]);
    let half = [&apply[..], &["--accept", MODE]].concat();
    scene.run(&half).refused(6, "K0851", &["api/api.env:POOL: "]);
    let none = ["is a plan for ring that was not applied", &format!("keyroll apply {id}")];
    scene.run(&["abort", &id]).refused(1, "K0805", &none);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(pids, ["api", "two"].map(|instance| pid(&scene, instance)));
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
    let both = [&half[..], &["--accept", "api/api.env:POOL"]].concat();
    scene.run(&both).exits(0).ended("done");
    assert!(["api", "two"].iter().all(|one| runs_with(&scene, one, "MODE=by-somebody")));
    scene.rotated();
    // A change that is live is no longer pending.
    let again = scene.run(&["plan", "ring"]);
    assert!(again.exits(0).of("live").is_empty(), "{}", again.text);
}

fn further_edit() {
    let scene = scene();
    scene.sh("echo '# by somebody' >> restart.sh");
    let shown = scene.run(&["plan", "ring"]);
    shown.exits(0).says(&["api/restart:restart.sh"]);
    let id = shown.plan();
    scene.sh("echo '# by another' >> restart.sh");
    let before = scene.snapshot();
    let apply = ["apply", id.as_str(), "--confirm", "ring", "--accept", "api/restart:restart.sh"];
    scene.run(&apply).refused(1, "K0851", &["api/restart:restart.sh", "keyroll plan ring"]);
    assert_eq!(scene.snapshot(), before);
    let id = scene.plan();
    let apply = ["apply", id.as_str(), "--confirm", "ring", "--accept", "api/restart:restart.sh"];
    scene.run(&apply).exits(0).ended("done");
    scene.rotated();
}

/// The first instance is being restarted with the accepted changes; then somebody edits the file.
fn held_up(scene: &Scene) -> String {
    let id = scene.plan();
    scene.sh("rm -f run/restarting-*; touch run/hold");
    let running = scene.start(&["apply", &id, "--confirm", "ring"]);
    wait("the restart of the first instance", || scene.path("run/restarting-api").exists());
    scene.sh("echo MODE=one >> api/api.env; rm -f run/hold");
    let ran = running.end();
    ran.exits(6);
    let refused = ran.of("live");
    assert_eq!((&refused[0]["name"], &refused[0]["refused"]), (&MODE.into(), &true.into()), "{}", ran.text);
    let with = ran.paused()["resume_with"].as_str().unwrap();
    assert_eq!(with, format!("keyroll resume {id} --accept {MODE}"));
    untouched(scene);
    id
}

/// The second instance was not restarted, and both keys work.
fn untouched(scene: &Scene) {
    assert!(!scene.path("run/restarting-two").exists(), "the second instance was restarted");
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
}

fn made_meanwhile() {
    let scene = scene();
    let id = held_up(&scene);
    scene.run(&["status"]).exits(6).says(&[MODE, "--accept"]);
    let resume = ["resume", id.as_str(), "--confirm", "ring"];
    scene.run(&resume).exits(6).says(&[MODE]);
    // What the paused rotation does not wait for is refused, with the commands that it takes.
    let next = format!("; then: keyroll resume {id}, or keyroll abort {id}");
    let other = scene.run(&[&resume[..], &["--accept", "api/api.env:POOL"]].concat());
    other.refused(1, "K0851", &[MODE, &next]);
    // The acceptance covers the content that was shown, not a later edit.
    scene.sh("sed -i 's/^MODE=one/MODE=two/' api/api.env");
    let accept = [&resume[..], &["--accept", MODE]].concat();
    scene.run(&accept).exits(6).says(&["K0851"]);
    untouched(&scene);
    scene.run(&accept).exits(0).ended("done");
    assert!(runs_with(&scene, "two", "MODE=two"));
    scene.rotated();
}

fn abort_of_the_held() {
    let scene = scene();
    let before = pid(&scene, "two");
    let id = held_up(&scene);
    let ran = scene.run(&["abort", &id]);
    ran.exits(5).ended("rolled_back");
    // The rollback restarted the first instance; pending changes were shown and did not stop it. The second instance
    // was never moved.
    assert_eq!(before, pid(&scene, "two"));
    untouched_by_the_way_back(&scene);
}

fn untouched_by_the_way_back(scene: &Scene) {
    assert!(!scene.path("run/restarting-two").exists(), "the way back restarted it");
    assert!(!runs_with(scene, "two", "MODE=one"));
    scene.as_before();
}
