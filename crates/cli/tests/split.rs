//! One key per consumer, with the shipped program: three workers that share a key go on calling, and none of their
//! calls fails.

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

use std::collections::BTreeSet;
use std::fs;

use ran::{Ran, wait};
use rustix::process::Signal;
use scene::{Scene, put};

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    worker::play();
}

const NAMES: [&str; 3] = ["api", "mail", "jobs"];

/// Fails as long as it is to, unless its file is as it was.
const PICKY: &str = "#!/bin/sh
# A service that does not start with another key, as long as run/picky is there.
set -eu
cd \"$(dirname \"$0\")\"
if [ -e run/picky ]; then sha256sum -c --status run/picky || exit 3; fi
exec ./restart.sh \"$@\"
";

const MORE: &str = r#"
# The mailer.
[[secrets.ring.consumers]]
name  = "mail" # not the API
runs  = { restart = ["./picky.sh", "mail", "api/mail.env"], pid_file = "./run/mail.pid" }
reads = [{ env_file = "./api/mail.env", variable = "KEY" }]
log   = { file = "./log/refused", failure = "was refused" }

[[secrets.ring.consumers]]
name  = "jobs"
runs  = { restart = ["./restart.sh", "jobs", "api/jobs.env"], pid_file = "./run/jobs.pid" }
reads = [{ env_file = "./api/jobs.env", variable = "KEY" }]
log   = { file = "./log/refused", failure = "was refused" }
"#;

/// Three workers on one key, each with a file of its own.
fn shared() -> Scene {
    let scene = Scene::made(|config, _| config.push_str(MORE));
    put(&scene.path("picky.sh"), &[PICKY], 0o755);
    for name in ["mail", "jobs"] {
        let copy = format!("api/{name}.env");
        scene.copy("api/api.env", &copy);
        scene.restart(name, &copy);
    }
    scene
}

fn plan(scene: &Scene) -> String {
    let before = scene.snapshot();
    let ran = scene.run(&["split", "ring"]);
    ran.exits(0);
    assert_eq!(scene.snapshot(), before, "a plan changes nothing");
    let told = ran.of("plan")[0];
    let steps = told["steps"].to_string();
    for word in ["ring-api", "ring-mail", "ring-jobs", "IRREVERSIBLE"] {
        assert!(steps.contains(word), "{steps}");
    }
    told["id"].as_str().unwrap().to_owned()
}

fn carry_out(scene: &Scene, plan: &str) -> Ran {
    scene.run(&["apply", plan, "--confirm", "ring"])
}

/// Whose key each worker's file holds, once each of them has called with it.
fn own(scene: &Scene, names: &[&str]) -> Vec<String> {
    scene.issuer.forget();
    let held = |name: &&str| scene.holds(&format!("api/{name}.env")).unwrap();
    let all: Vec<String> = names.iter().map(held).collect();
    for (name, id) in names.iter().zip(&all) {
        wait("a worker calls with its own key", || scene.issuer.last_of(name).as_deref() == Some(id));
    }
    all
}

/// Three keys, each with a label of its own rotation; the shared one is dead, and no call was refused.
fn split(scene: &Scene) {
    let keys = scene.issuer.keys();
    assert_eq!(keys.len(), 3, "one key per consumer, and the shared one is dead: {keys:?}");
    assert!(keys.iter().all(|key| key.id != scene.old && !key.disabled), "{keys:?}");
    let rotations: BTreeSet<&str> = keys
        .iter()
        .map(|key| key.label.strip_prefix("keyroll/").unwrap().split('/').next().unwrap())
        .collect();
    assert_eq!(rotations.len(), 3, "a label of its own each: {keys:?}");
    let own: BTreeSet<String> = own(scene, &NAMES).into_iter().collect();
    assert_eq!(own, keys.iter().map(|key| key.id.clone()).collect(), "each works on another key");
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    for line in ["# The mailer.", "name  = \"mail\" # not the API", "[secrets.ring]", "[secrets.ring-mail]"] {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert!(!config.contains("[[secrets.ring.consumers]]"), "{config}");
    scene.run(&["status"]).exits(0);
    for name in NAMES {
        let secret = format!("ring-{name}");
        scene.run(&["verify", &secret]).exits(0);
        let shown = scene.run(&["secret", "show", &secret]);
        assert_eq!(shown.of("secret")[0]["versions"][0]["label"], "current", "{}", shown.text);
        scene.run(&["history", &secret]).exits(0);
    }
    let shown = scene.run(&["secret", "show", "ring"]);
    assert_eq!(shown.of("secret")[0]["versions"][0]["label"], "retired", "{}", shown.text);
}

#[test]
fn each_consumer_gets_a_key_of_its_own_and_no_call_fails() {
    let scene = shared();
    let plan = plan(&scene);
    carry_out(&scene, &plan).exits(0).ended("done");
    split(&scene);
    // Said once more it changes nothing; and a member is rotated like any secret.
    let keys = scene.issuer.keys();
    carry_out(&scene, &plan).exits(0);
    assert_eq!(scene.issuer.keys(), keys);
    let shown = scene.run(&["secret", "show", "ring-mail"]);
    assert_eq!(shown.of("secret")[0]["versions"][0]["version"], 1, "{}", shown.text);
    let next = scene.plan_of("ring-mail");
    scene.run(&["apply", &next, "--confirm", "ring-mail"]).exits(0).ended("done");
    let now = scene.issuer.keys();
    assert_eq!(now.len(), 3, "{now:?}");
    assert_eq!(now.iter().filter(|key| keys.contains(key)).count(), 2, "only its own key changed: {now:?}");
}

#[test]
fn a_member_that_fails_goes_back_alone_and_a_stranger_holds_up_the_end_of_the_shared_key() {
    let scene = shared();
    scene.sh("sha256sum api/mail.env >run/picky");
    let plan = plan(&scene);
    let ran = carry_out(&scene, &plan);
    ran.exits(5).ended("rolled_back");
    let keys = scene.issuer.keys();
    let old = keys.iter().find(|key| key.id == scene.old).expect("the shared key is there");
    assert!(!old.disabled && keys.len() == 2, "{keys:?}");
    let held = own(&scene, &NAMES);
    assert!(held[0] != scene.old && held[1] == scene.old && held[2] == scene.old, "{held:?}");
    assert_eq!(scene.issuer.deletions().len(), 1, "its own new key alone was deleted");
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    assert!(config.contains("[secrets.ring-api]") && !config.contains("ring-mail"), "{config}");
    // The cause is removed, and the same plan goes on where it stands, up to the end of the shared key: somebody else
    // holds that too.
    scene.sh("rm run/picky");
    let pid = scene.start_by_hand("stranger", &scene.path("api/mail.env"), "");
    carry_out(&scene, &plan).exits(6).says(&[&format!("process {pid}"), "keyroll split again"]);
    let keys = scene.issuer.keys();
    let old = keys.iter().find(|key| key.id == scene.old).expect("the shared key is alive");
    assert!(!old.disabled && keys.len() == 4, "{keys:?}");
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "nobody was refused");
    // Going back from there ends nothing and moves nobody; the end of the key is had by itself later.
    scene.run(&["abort"]).exits(1).ended("rolled_back");
    scene.end(pid);
    // A member that the configuration does not name would not be asked whether it has moved.
    let end = ["revoke", "ring", "--version", "current", "--confirm", "ring"];
    scene.sh("cp keyroll.toml run/whole.toml && sed -i 's/secrets[.]ring-mail/secrets.other/' keyroll.toml");
    scene.run(&end).refused(1, "K0877", &["put [secrets.ring-mail] back"]);
    scene.sh("cp run/whole.toml keyroll.toml");
    scene.run(&end).exits(0).ended("done");
    split(&scene);
    scene.run(&["verify", "ring"]).refused(1, "K0816", &["its consumers have keys of their own"]);
}

#[test]
fn killed_in_the_middle_it_is_resumed_to_its_end() {
    let scene = shared();
    let plan = plan(&scene);
    scene.copy("keyroll.toml", "run/before.toml");
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    wait("the second of the new keys", || scene.issuer.keys().len() >= 3);
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, None);
    // As if it had been killed before it wrote down what was done.
    scene.sh("cat run/before.toml >keyroll.toml");
    let again = scene.start(&["resume", "--confirm", "ring"]);
    again.says("the end of the shared key", |event| event["type"] == "decided");
    again.signal(Signal::KILL);
    assert_eq!(again.end().code, None);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    split(&scene);
}

#[test]
fn two_that_read_one_place_are_refused_before_anything_is_changed() {
    let scene = Scene::made(|config, _| {
        config
            .push_str(&MORE.replace("./api/mail.env", "./api/api.env").replace("./picky.sh", "./restart.sh"));
    });
    scene.copy("api/api.env", "api/jobs.env");
    let before = scene.snapshot();
    let ran = scene.run(&["split", "ring"]);
    ran.refused(1, "K0874", &["api", "mail", "api/api.env", "keyroll split ring"]);
    assert_eq!(scene.snapshot(), before);
}
