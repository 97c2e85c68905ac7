//! A Secret of the real Kubernetes: the recipe, keyroll killed at each request, an API server that is killed, and a Secret
//! that somebody deletes or makes anew. How often keyroll wrote it is in the audit log of the API server.

use keyroll_testkit::command::{Ran, Running};
use keyroll_testkit::issuer::{Ask, Moment};

use crate::stores::cells::{self, back_at_a_server, changed_beside, killed_and_written_once};
use crate::stores::changed::retried;
use crate::stores::relay::Wanted;
use crate::stores::relay::When::{After, Before, Meanwhile};
use crate::stores::scene::{At, Scene, by_hand};

const READ: Wanted = ("GET /api/v1/namespaces/shop/secrets/acme", "");
const RIGHTS: Wanted = ("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "");
pub const WRITE: Wanted = ("PATCH /api/v1/namespaces/shop/secrets/acme", "");

/// Where the lost value of a Secret is kept.
const KEPT: &str = "run/kept.env";

/// Forward and back; then somebody changes another key of the Secret while a rotation is open.
pub fn forward_and_back(scene: &Scene) {
    cells::forward_and_back(scene);
    changed_beside(scene);
    scene.is_on(&scene.new_key());
}

/// keyroll is killed at each request, before it and after it was carried out: each value is written once.
pub fn killed(scene: &Scene) {
    let forward = [
        ("it reads", At::Store(READ, Before)),
        ("it looks for its rights", At::Store(RIGHTS, Before)),
        ("it has found its rights", At::Store(RIGHTS, After)),
        ("it writes", At::Store(WRITE, Before)),
        ("it has written", At::Store(WRITE, After)),
        ("the service fetches", At::Script("fetch", "before")),
        ("the service has fetched", At::Script("fetch", "after")),
        ("an instance was restarted", At::Script("restart", "after")),
        ("the old key was revoked", At::Issuer(Ask::Delete, Moment::After, by_hand)),
    ];
    killed_and_written_once(scene, forward, back_at_a_server(WRITE, READ));
}

/// The API server is killed: before a plan, which makes nothing then; and before the new value is given out.
pub fn server_away(scene: &Scene) {
    scene.door.ask("stop");
    scene.run(&["plan", "ring"]).exits(1).says(&["K0640", "k8s:shop/acme#key"]);
    scene.door.ask("start");
    assert_eq!(scene.issuer.keys().len(), 1, "a key was made");

    let (id, from) = (scene.until("roll"), scene.version());
    scene.door.ask("stop");
    let running = scene.start(&["resume", &id, "--confirm", "ring"]);
    says(&running, "K0640");
    all_work(scene, 2);
    assert_eq!(scene.holds("app/service.env").as_deref(), Some(scene.old.as_str()), "somebody was moved");
    assert_eq!(scene.version(), from, "it was written");
    scene.door.ask("start");
    ended(scene, running, &scene.old);
}

/// The API server is killed while it is asked to write, and when it has written but nobody was told. In both cases keyroll finds
/// out which it was, and ends one way or the other, with nothing left open.
pub fn server_lost(scene: &Scene) {
    let mut on = scene.old.clone();
    for when in [Meanwhile, After] {
        let id = scene.until("roll");
        let door = scene.door;
        scene.relay.trap(WRITE, when, Box::new(move || door.ask("stop")));
        let running = scene.start(&["resume", &id, "--confirm", "ring"]);
        says(&running, "K0640");
        all_work(scene, 2);
        scene.door.ask("start");
        on = ended(scene, running, &on);
    }
}

/// Somebody makes the Secret anew while a rotation is open: with another value it is not overwritten, and there is a way on and
/// one back. One that was deleted stops nothing for good.
pub fn made_anew(scene: &Scene) {
    let id = scene.until("roll");
    let by_hand = scene.made_by_hand();
    anew(scene, "run/by-hand.env");
    stops(scene, &id, &by_hand);
    anew(scene, KEPT);
    retried(scene, &id).exits(0).ended("done");
    scene.issuer.end(&by_hand);
    let new = scene.new_key();
    scene.is_on(&new);

    let id = scene.until("roll");
    let by_hand = scene.made_by_hand();
    anew(scene, "run/by-hand.env");
    stops(scene, &id, &by_hand);
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    assert_eq!(scene.given_out(), Some(by_hand.clone()), "it was overwritten by the rollback");
    anew(scene, KEPT);
    scene.issuer.end(&by_hand);
    scene.is_on(&new);

    let id = scene.until("roll");
    scene.others("delete", "");
    let running = scene.start(&["resume", &id, "--confirm", "ring"]);
    says(&running, "there is no Secret acme");
    scene.others("create", "copy=run/before.env");
    ended(scene, running, &new);
}

/// Deletes the Secret, and makes it again with the value of a file. The value that it had is kept in [`KEPT`], which that file
/// may be.
fn anew(scene: &Scene, file: &str) {
    scene.sh(&format!("cp {file} run/next.env"));
    scene.others("delete", "");
    scene.sh(&format!("cp run/before.env {KEPT}"));
    scene.others("create", "copy=run/next.env");
    scene.sh("rm run/next.env");
}

/// The rotation stops at the value of somebody else, and says how to go on and back.
#[track_caller]
fn stops(scene: &Scene, id: &str, theirs: &str) {
    let ran = scene.run(&["resume", id, "--confirm", "ring"]);
    let (on, back) =
        (format!("keyroll retry {id}"), format!("keyroll abort {id}, which leaves the store as it is"));
    ran.exits(6).says(&["K0643", "keyroll did not write", &on, &back]);
    assert_eq!(scene.given_out().as_deref(), Some(theirs), "it was overwritten");
    all_work(scene, 3);
    scene.run(&["status"]).says(&[&on, &back]);
}

/// Every key of the issuer works, so many.
#[track_caller]
fn all_work(scene: &Scene, count: usize) {
    let keys = scene.issuer.keys();
    assert!(keys.len() == count && keys.iter().all(|key| !key.disabled), "{keys:?}");
}

#[track_caller]
fn says(running: &Running, word: &str) {
    running.says(word, |event| event.to_string().contains(word));
}

/// A rotation from this key ends by itself: forward, or back if its attempts were used up meanwhile. The key that all is on.
#[track_caller]
fn ended(scene: &Scene, running: Running, from: &str) -> String {
    let ran: Ran = scene.heard(running.end());
    let left = match ran.code {
        Some(5) => {
            ran.ended("rolled_back");
            from.to_owned()
        }
        _ => {
            ran.exits(0).ended("done");
            scene.new_key()
        }
    };
    scene.is_on(&left);
    left
}
