//! keyroll killed right before and right after each thing that it does at the store, at the issuer and on the host; the next
//! driver finds out what happened, and the rotation ends as it should. One rotation is killed again and again.

use keyroll_testkit::issuer::{Ask, Moment};

use crate::stores::relay::Wanted;
use crate::stores::relay::When::{After, Before};
use crate::stores::scene::{At, INSTANCES, Scene, by_hand, by_keyroll};

const PUT: Wanted = ("PutSecretValue", "");
const STAGE: Wanted = ("UpdateSecretVersionStage", "AWSPENDING");
pub const GIVE_OUT: Wanted = ("UpdateSecretVersionStage", "AWSCURRENT");

pub fn forward(scene: &Scene) {
    let id = scene.plan();
    let resume = ["resume", &id, "--confirm", "ring"];
    scene.killed(&["apply", &id, "--confirm", "ring"], At::Issuer(Ask::Mint, Moment::After, by_keyroll));
    let places = [
        ("a version is put", At::Store(PUT, Before)),
        ("a version was put", At::Store(PUT, After)),
        ("it is made pending", At::Store(STAGE, Before)),
        ("it was made pending", At::Store(STAGE, After)),
        ("it is given out", At::Store(GIVE_OUT, Before)),
        ("it was given out", At::Store(GIVE_OUT, After)),
        ("the service fetches", At::Script("fetch", "before")),
        ("the service has fetched", At::Script("fetch", "after")),
        ("an instance is restarted", At::Script("restart", "before")),
        ("an instance was restarted", At::Script("restart", "after")),
        ("the old key is revoked", At::Issuer(Ask::Delete, Moment::Before, by_hand)),
        ("the old key was revoked", At::Issuer(Ask::Delete, Moment::After, by_hand)),
    ];
    for (what, at) in places {
        println!("killed when {what}");
        scene.killed(&resume, at);
    }
    scene.resumed(&id);
    assert_eq!(scene.issuer.deletions().last(), Some(&scene.old));
    scene.is_on(&scene.new_key());
}

/// The same where compose replaces containers.
pub fn in_containers(scene: &Scene) {
    let id = scene.plan();
    let resume = ["resume", &id, "--confirm", "ring"];
    scene.killed(&["apply", &id, "--confirm", "ring"], At::Store(STAGE, After));
    let places = [
        ("it was given out", At::Store(GIVE_OUT, After)),
        ("the service fetches", At::Script("fetch", "before")),
        ("the service has fetched", At::Script("fetch", "after")),
        ("the first container is replaced", At::Replaced(INSTANCES[0])),
        ("a later container is replaced", At::Replaced(INSTANCES[1])),
    ];
    for (what, at) in places {
        println!("killed when {what}");
        scene.killed(&resume, at);
    }
    scene.resumed(&id);
    assert_eq!(scene.issuer.deletions().last(), Some(&scene.old));
    scene.is_on(&scene.new_key());
}

pub fn back(scene: &Scene) {
    let id = scene.until("quiesce");
    let new = scene.new_key();
    assert_eq!(scene.given("AWSCURRENT"), Some(new.clone()));
    let resume = ["resume", &id, "--confirm", "ring"];
    scene.killed(&["abort", &id], At::Store(GIVE_OUT, Before));
    let places = [
        ("the previous version was given out", At::Store(GIVE_OUT, After)),
        ("the service fetches", At::Script("fetch", "before")),
        ("the service has fetched", At::Script("fetch", "after")),
        ("an instance is restarted", At::Script("restart", "before")),
        ("an instance was restarted", At::Script("restart", "after")),
        ("the new key is deleted", At::Issuer(Ask::Delete, Moment::Before, by_keyroll)),
        ("the new key was deleted", At::Issuer(Ask::Delete, Moment::After, by_keyroll)),
    ];
    for (what, at) in places {
        println!("killed when {what}");
        scene.killed(&resume, at);
    }
    scene.run(&resume).exits(5).ended("rolled_back");
    assert!(!scene.issuer.deletions().contains(&scene.old) && scene.issuer.deletions().contains(&new));
    let old = scene.old.clone();
    scene.is_on(&old);
}
