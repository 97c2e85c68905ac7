//! One key per consumer, with the shipped program: three workers that share a key go on calling, and none of their
//! calls fails.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;

use crate::hostile::ran::{Ran, wait};
use crate::hostile::scene::{Scene, put};

const NAMES: [&str; 3] = ["api", "mail", "jobs"];

/// Fails as long as the test wants, unless its file is unchanged.
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

const LATE: &str = r#"
[[secrets.ring.consumers]]
name  = "late"
runs  = { restart = ["./restart.sh", "late", "api/late.env"], pid_file = "./run/late.pid" }
reads = [{ env_file = "./api/late.env", variable = "KEY" }]
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

/// Ids sort by time.
fn newest_plan(scene: &Scene, secret: &str) -> String {
    let named = format!("\"secret\": \"{secret}\",\n  \"from_version\"");
    let all = fs::read_dir(scene.state().join("plans")).unwrap().map(|entry| entry.unwrap().path());
    let mut its = all.filter(|path| fs::read_to_string(path).unwrap().contains(&named)).collect::<Vec<_>>();
    its.sort();
    its.pop().unwrap().file_stem().unwrap().to_str().unwrap().to_owned()
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

/// Each has its own key, labelled by its own rotation; the shared key is dead, and no call was refused.
fn split(scene: &Scene, names: &[&str]) {
    let keys = scene.issuer.keys();
    assert_eq!(keys.len(), names.len(), "one key per consumer, and the shared one is dead: {keys:?}");
    assert!(keys.iter().all(|key| key.id != scene.old && !key.disabled), "{keys:?}");
    let rotations: BTreeSet<&str> = keys
        .iter()
        .map(|key| key.label.strip_prefix("keyroll/").unwrap().split('/').next().unwrap())
        .collect();
    assert_eq!(rotations.len(), names.len(), "a label of its own each: {keys:?}");
    let own: BTreeSet<String> = own(scene, names).into_iter().collect();
    assert_eq!(own, keys.iter().map(|key| key.id.clone()).collect(), "each works on another key");
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "no call was refused");
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    for line in ["# The mailer.", "name  = \"mail\" # not the API", "[secrets.ring]", "[secrets.ring-mail]"] {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert!(!config.contains("[[secrets.ring.consumers]]"), "{config}");
    scene.run(&["status"]).exits(0);
    for name in names {
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
    split(&scene, &NAMES);
    // Running it again changes nothing; and a member is rotated like any secret.
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
    // A member can be split like any other secret, although it came from a split itself.
    let again = scene.run(&["split", "ring-api"]).exits(0).plan();
    let ran = scene.run(&["apply", &again, "--confirm", "ring-api"]);
    ran.exits(0).ended("done");
    put(&scene.path("run/late.toml"), &[&LATE.replace("secrets.ring.", "secrets.ring-api.")], 0o644);
    scene.sh("cat run/late.toml >>keyroll.toml; cp api/api.env api/late.env");
    scene.run(&["plan", "ring-api"]).refused(1, "K0816", &["its last key was revoked"]);
    scene.sh("rm api/late.env");
    scene.run(&["verify", "ring-api-api"]).exits(0);
}

#[test]
fn a_member_that_fails_goes_back_alone_and_a_stranger_holds_up_the_end_of_the_shared_key() {
    let scene = shared();
    scene.sh("sha256sum api/mail.env >run/picky");
    put(&scene.path("run/late.toml"), &[LATE], 0o644);
    let plan = plan(&scene);
    let ran = carry_out(&scene, &plan);
    ran.exits(5).ended("rolled_back");
    // The first consumer stays moved: no rollback, and nothing was revoked.
    let first = ran.of("rotation")[0]["id"].as_str().unwrap().to_owned();
    let undo = scene.run(&["undo", &first]);
    undo.refused(1, "K0846", &["it did not revoke the key of ring", "keyroll plan ring-api"]);
    assert!(!undo.text.contains("is revoked or being revoked"), "{}", undo.text);
    let keys = scene.issuer.keys();
    let old = keys.iter().find(|key| key.id == scene.old).expect("the shared key is there");
    assert!(!old.disabled && keys.len() == 2, "{keys:?}");
    let held = own(&scene, &NAMES);
    assert!(held[0] != scene.old && held[1] == scene.old && held[2] == scene.old, "{held:?}");
    assert_eq!(scene.issuer.deletions().len(), 1, "its own new key alone was deleted");
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    assert!(config.contains("[secrets.ring-api]") && !config.contains("ring-mail"), "{config}");
    // The cause is fixed, and the same plan continues to the revoke of the shared key, which an undeclared process
    // holds too.
    scene.sh("rm run/picky; cp api/mail.env run/late.env");
    let pid = scene.start_by_hand("stranger", &scene.path("api/mail.env"), "");
    // A consent to a member's plan covers only that plan; the following plans run without it.
    let lock = fs::File::open(scene.state().join("lock")).unwrap();
    lock.try_lock().unwrap();
    carry_out(&scene, &plan).refused(7, "K0828", &[]);
    drop(lock);
    let member = newest_plan(&scene, "ring-mail");
    let ran = scene.run(&["apply", &member, "--confirm", "ring-mail"]);
    ran.exits(6).says(&[&format!("process {pid}"), "keyroll split again"]);
    let keys = scene.issuer.keys();
    let old = keys.iter().find(|key| key.id == scene.old).expect("the shared key is alive");
    assert!(!old.disabled && keys.len() == 4, "{keys:?}");
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "nobody was refused");
    // An abort at this point revokes nothing and moves no consumer; the key can be revoked separately later.
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.end(pid);
    // A member that the configuration does not name would not be asked whether it has moved.
    let end = ["revoke", "ring", "--version", "current", "--confirm", "ring"];
    scene.sh("cp keyroll.toml run/whole.toml && sed -i 's/secrets[.]ring-mail/secrets.other/' keyroll.toml");
    scene.run(&end).refused(1, "K0817", &["restore [secrets.ring-mail]"]);
    scene.sh("cp run/whole.toml keyroll.toml");
    // A late consumer is split off too, and the revoke checks the consumers of the first split as well.
    scene.sh("cp run/late.env api/late.env; cat run/late.toml >>keyroll.toml");
    scene.restart("late", "api/late.env");
    let second = scene.run(&["split", "ring"]).exits(0).plan();
    scene.restart("jobs", "run/late.env");
    carry_out(&scene, &second).exits(4).says(&["`jobs` does not use its own key, or did not prove it"]);
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old), "the shared key is alive");
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.restart("jobs", "api/jobs.env");
    scene.run(&end).exits(0).ended("done");
    split(&scene, &["api", "mail", "jobs", "late"]);
    scene.run(&["verify", "ring"]).refused(1, "K0816", &["its consumers have their own keys"]);
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
    // As if it had been killed before it recorded what was done.
    scene.sh("cat run/before.toml >keyroll.toml");
    let again = scene.start(&["resume", "--confirm", "ring"]);
    again.says("the end of the shared key", |event| event["type"] == "decided");
    again.signal(Signal::KILL);
    assert_eq!(again.end().code, None);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    split(&scene, &NAMES);
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
    ran.refused(1, "K0873", &["api", "mail", "api/api.env", "keyroll split ring"]);
    assert_eq!(scene.snapshot(), before);
    // A key that the store had before is not mistaken for a consumer's own key.
    let (id, value) = scene.issuer.mint("by hand");
    let other = "\n[secrets.ring-jobs]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n";
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    fs::write(scene.path("keyroll.toml"), config.clone() + other).unwrap();
    scene.add("ring-jobs", &id, &value).exits(0);
    let apart = config.replacen("./api/api.env", "./api/other.env", 1);
    fs::write(scene.path("keyroll.toml"), apart).unwrap();
    let taken = scene.run(&["split", "ring"]);
    taken.refused(1, "K0873", &["already has a secret ring-jobs: its v1 is current", "--into jobs=NAME"]);
}

/// A member that can neither continue nor roll back does not delay the emergency of the shared key: its open rotation
/// is named, and continues afterwards.
#[test]
fn a_leak_of_the_shared_key_does_not_wait_for_a_member_that_is_stuck() {
    let scene = shared();
    let split = plan(&scene);
    // No restart of it works any more, neither forward nor back.
    scene
        .sh("printf nothing >run/picky.txt; sha256sum run/picky.txt >run/picky; printf other >run/picky.txt");
    let ran = carry_out(&scene, &split);
    ran.exits(6);
    let open = ran.rotation();
    let refused = scene.run(&["resume", &open, "--emergency", "roll-first", "--confirm", "ring-mail"]);
    refused.refused(2, "K0873", &["keyroll plan ring"]);
    let planned = scene.run(&["plan", "ring"]);
    planned
        .exits(0)
        .says(&[&format!("mail is not moved by this: the open rotation {open}"), "only with --emergency"]);
    let leaked = planned.plan();
    scene.run(&["apply", &leaked, "--confirm", "ring"]).refused(7, "K0846", &[&open, "--emergency"]);
    let ran = scene.run(&["apply", &leaked, "--emergency", "roll-first", "--confirm", "ring"]);
    // All other consumers have moved. The consumer that still uses the leaked key is named, and so is its rotation.
    ran.exits(6).says(&[&format!("`mail` (keyroll status {open})")]);
    let held = own(&scene, &["api", "jobs"]);
    assert!(!held.contains(&scene.old), "{held:?}");
    scene.run(&["resume", &leaked, "--emergency", "revoke-now", "--confirm", "ring"]).exits(0).ended("done");
    assert!(scene.issuer.keys().iter().all(|key| key.id != scene.old), "the leaked key is dead");
    // The member's rotation can only continue now, and the rest of the split is about a revoked key.
    scene.sh("rm run/picky");
    scene.run(&["retry", &open]).exits(0).ended("done");
    scene.run(&["resume", &open]).refused(1, "K0838", &["keyroll split ring"]);
    let held = own(&scene, &NAMES);
    assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), 3, "{held:?}");
    assert_eq!(scene.issuer.keys().len(), 3, "{:?}", scene.issuer.keys());
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    assert!(config.contains("[secrets.ring-mail]"), "{config}");
    scene.run(&["status"]).exits(0);
    scene.run(&["verify", "ring"]).exits(0);
}
