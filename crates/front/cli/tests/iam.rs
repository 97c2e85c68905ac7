//! Rotations of the access keys of an IAM user, with a service and a job that use both fields of the key: forward and back
//! under load, keyroll killed after a key was made, and a second key of somebody else. IAM and STS are moto, which checks
//! signatures and policies, and refuses inactive keys as AWS does.
//!
//! moto has the secrets in its memory, where a search of all processes would find them. Each scene therefore runs in a
//! namespace of processes of its own, as if AWS were on another machine.

pub(crate) mod part;
pub(crate) mod scene;

use std::fs;

use keyroll_testkit::{IamLogin, MotoIam, TempDir};
use scene::Scene;

use crate::kill::apart;
use crate::stores::needles::needles_of;

/// One case, in a scene of its own.
type Case = fn(&Scene);

/// The cases by name.
const CASES: [(&str, Case); 3] = [("forward", forward_and_back), ("killed", killed), ("foreign", foreign)];

/// How many secrets there are before a rotation: those of moto's three users, and that of the first key.
const SEEDED: usize = 4;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    part::play();
}

/// One case, where this program was started as a lane: the address of IAM, the file with keyroll's login, and the case.
#[test]
fn lane() {
    let Some((report, words)) = apart::lane() else { return };
    let words: Vec<&str> = words.split(' ').collect();
    let [store, login, name] = words[..] else { panic!("a lane has three words") };
    let (_, case) = CASES.iter().find(|(one, _)| *one == name).unwrap();
    let scene = Scene::new(store, login.as_ref());
    case(&scene);
    // Nothing searches this process any more. AWS's log is searched outside.
    let values = scene.end();
    fs::write(report, serde_json::to_string(&values).unwrap()).unwrap();
}

/// Runs a case with an IAM of its own. `made`: how many keys are made in it. The log of IAM, which has the first line of each
/// request, shows that no secret is in an address.
fn run(name: &str, made: usize) {
    if !apart::namespaces_or_skip(name) {
        return;
    }
    let Some(moto) = MotoIam::start_or_skip(&format!("a rotation of access keys of AWS, {name}")) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let login = folder.path().join("login");
    let (id, secret) = moto.login(IamLogin::Keyroll);
    let text = format!("[rotator]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::write(&login, text).unwrap();
    let words = format!("127.0.0.1:{} {} {name}", moto.port(), login.display());
    let report = apart::run("iam::lane", &words).unwrap();
    let values: Vec<Vec<u8>> = serde_json::from_str(&report).unwrap();
    assert_eq!(values.len(), SEEDED + made, "not every secret was looked for");
    let log = moto.log();
    assert!(log.contains("POST / "), "the log has no request: {log}");
    assert!(needles_of(&values).is_clean(log.as_bytes()), "the log has a secret");
}

/// Both fields are replaced in every copy while the service calls; a second rotation is rolled back once all is moved.
fn forward_and_back(scene: &Scene) {
    let plan = scene.run(&["plan", "mail"]);
    plan.exits(0).says(&[
        "is not visible",
        "the access key id changes too",
        "arn:aws:iam::123456789012:user/keyroll",
    ]);
    let id = plan.plan();
    scene.run(&["apply", &id, "--confirm", "mail"]).exits(0).ended("done");
    let new = scene.holds(scene::COPIES[0]);
    assert_ne!(new, scene.old);
    scene.is_on(&new);

    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "mail", "--until", "quiesce"]).exits(4).paused();
    let third = scene.key_beside(&new);
    assert_eq!(scene.holds(scene::COPIES[1]), third, "it was not moved");
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    scene.is_on(&new);
}

/// The secret of the key is lost with the answer. keyroll names the key and the command that deletes it, deletes nothing, and
/// goes on once the operator has.
fn killed(scene: &Scene) {
    let id = scene.plan();
    scene.killed_after("CreateAccessKey", &["apply", &id, "--confirm", "mail"]);
    let lost = scene.key_beside(&scene.old);
    let ran = scene.run(&["resume", &id, "--confirm", "mail"]);
    let command = format!("aws iam delete-access-key --user-name mailer --access-key-id {lost}");
    ran.exits(6).says(&[&command, &format!("keyroll retry {id}")]);
    assert_eq!(scene.keys().len(), 2, "nothing was deleted, and nothing made");
    scene.part("end", &format!("id={lost}"));
    scene.run(&["retry", &id]).exits(6).says(&["needs your consent"]);
    scene.run(&["resume", &id, "--confirm", "mail"]).exits(0).ended("done");
    let new = scene.holds(scene::COPIES[0]);
    assert!(new != lost && new != scene.old, "{new}");
    scene.is_on(&new);
}

/// A second key of somebody else stops the plan, and is left alone.
fn foreign(scene: &Scene) {
    scene.part("make", "");
    let theirs = scene.key_beside(&scene.old);
    let command = format!("aws iam delete-access-key --user-name mailer --access-key-id {theirs}");
    scene.run(&["plan", "mail"]).refused(1, "K0107", &[&command, "Active, created 20"]);
    assert_eq!(scene.keys().len(), 2, "nothing was deleted, and nothing made");
    scene.part("end", &format!("id={theirs}"));
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "mail"]).exits(0).ended("done");
    scene.is_on(&scene.holds(scene::COPIES[0]));
}

#[test]
fn access_keys_are_replaced_under_load_and_rolled_back() {
    run("forward", 2);
}

#[test]
fn a_killed_rotation_of_access_keys_names_the_key_whose_secret_is_lost() {
    run("killed", 2);
}

#[test]
fn a_second_access_key_of_somebody_else_stops_the_plan() {
    run("foreign", 2);
}
