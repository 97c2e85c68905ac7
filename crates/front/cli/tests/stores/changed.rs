//! What others do at a store that gives out what was written last: they change the value, put the whole store back, delete a
//! version, or seal it. Nothing of theirs is overwritten, and no key is revoked that is given out.

use std::sync::OnceLock;

use keyroll_testkit::command::{Ran, kill};

use crate::stores::cells::WRITE;
use crate::stores::in_cluster;
use crate::stores::kind::Kind;
use crate::stores::relay::{Wanted, When};
use crate::stores::scene::Scene;

/// The file of the value that somebody made by hand.
const COPY: &str = "copy=run/by-hand.env";

/// Before a plan, while a rotation is open, and at Vault and Kubernetes at the very moment when keyroll writes; then it is taken over.
pub fn by_somebody(scene: &Scene) {
    let by_hand = scene.made_by_hand();
    scene.others("change", COPY);
    let refused = ["keyroll did not write", "keyroll secret import ring"];
    scene.run(&["plan", "ring"]).refused(6, "K0643", &refused);
    assert_eq!(scene.issuer.keys().len(), 2, "a key was made");
    scene.others("back", "");

    let id = scene.until("roll");
    scene.others("change", COPY);
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["keyroll did not write", &format!("keyroll retry {id}")]);
    // A rotation that is stuck takes no `resume`.
    for again in [&["plan", "ring"][..], &["apply", &id]] {
        let ran = scene.run(again);
        ran.refused(7, "K0846", &[&format!("keyroll retry {id}")]);
        assert!(!ran.text.contains("keyroll resume"), "{again:?}: {}", ran.text);
    }
    assert_eq!(scene.given_out(), Some(by_hand.clone()), "it was overwritten");
    assert_eq!(scene.holds("app/service.env").as_deref(), Some(scene.old.as_str()), "somebody was moved");
    assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 3);
    scene.others("back", "");
    retried(scene, &id).exits(0).ended("done");
    let new = scene.new_key();
    assert_eq!(scene.given_out(), Some(new.clone()));

    match scene.kind {
        Kind::Vault => at_the_same_moment(scene, WRITE),
        Kind::Kubernetes => at_the_same_moment(scene, in_cluster::WRITE),
        Kind::Aws | Kind::File | Kind::Program => scene.others("change", COPY),
    }
    assert_eq!(scene.given_out(), Some(by_hand.clone()));
    scene.fetch_and_restart();
    scene.run(&["secret", "import", "ring", "--id", &by_hand]).exits(0);
    scene.run(&["secret", "drift", "ring", "--wait", "30"]).exits(0);
    scene.issuer.end(&new);
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.is_on(&scene.new_key());
}

/// A compare-and-set, not a look and then a write. A rollback does not overwrite it either.
fn at_the_same_moment(scene: &Scene, write: Wanted) {
    let id = scene.until("roll");
    let change = scene.other_process("change", COPY);
    scene.relay.trap(write, When::Meanwhile, Box::new(change));
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    let theirs = scene.version();
    scene.run(&["abort", &id]).exits(5);
    assert_eq!(scene.version(), theirs, "it was overwritten by the rollback");
}

/// A rotation that was stuck goes on.
pub fn retried(scene: &Scene, id: &str) -> Ran {
    let ran = scene.run(&["retry", id]);
    if ran.code == Some(0) { ran } else { scene.run(&["resume", id, "--confirm", "ring"]) }
}

/// Sealed, and without an active node: a plan says so, and nothing is made. In the middle of a rotation nothing is given out,
/// both keys work, and it goes on.
pub fn sealed(scene: &Scene) {
    scene.door.ask("seal");
    scene.run(&["plan", "ring"]).exits(1).says(&["K0640", "operator unseal"]);
    scene.door.ask("unseal");
    assert_eq!(scene.issuer.keys().len(), 1, "a key was made");

    let id = scene.until("roll");
    let from = scene.version();
    for (closes, opens) in [("seal", "unseal"), ("standby", "active")] {
        scene.door.ask(closes);
        let running = scene.start(&["resume", &id, "--confirm", "ring"]);
        running.says("the store cannot be used", |event| event.to_string().contains("K0640"));
        // The driver dies before the store is back.
        kill(&OnceLock::from(u32::try_from(running.pid().as_raw_nonzero().get()).unwrap()));
        scene.heard(running.end());
        assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 2);
        assert_eq!(scene.holds("app/service.env").as_deref(), Some(scene.old.as_str()), "somebody was moved");
        scene.run(&["status"]).says(&[&format!("keyroll resume {id}")]);
        scene.door.ask(opens);
        assert_eq!(scene.version(), from, "{closes}: it was written");
    }
    scene.resumed(&id);
    assert_eq!(scene.version(), from.map(|from| from + 1));
    scene.is_on(&scene.new_key());
}

/// The last version is deleted, which can be undone: a plan refuses and says how.
pub fn deleted(scene: &Scene) {
    let (version, made) = (scene.version().unwrap(), scene.issuer.made());
    scene.others("delete", "");
    let undelete = format!("-versions={version}");
    scene.run(&["plan", "ring"]).exits(1).says(&["K0642", "kv undelete", &undelete]);
    assert_eq!(scene.issuer.made(), made, "a key was made");
    scene.others("undelete", "");
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.is_on(&scene.new_key());
}

/// The whole store is put back from a snapshot after the new value was given out: it gives out the old value again, so the old
/// key is not revoked. Once it gives out the new value, it is.
pub fn restored(scene: &Scene) {
    scene.door.ask("snapshot");
    let from = scene.version();
    let id = scene.until("quiesce");
    let new = scene.new_key();
    assert_eq!(scene.given_out(), Some(new.clone()));
    scene.door.ask("restore");
    assert_eq!(scene.given_out().as_deref(), Some(scene.old.as_str()), "it was not put back");
    assert_eq!(scene.version(), from);
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["K0643", &format!("keyroll retry {id}")]);
    assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 2);
    assert!(!scene.issuer.deletions().contains(&scene.old), "the old key was revoked");
    retried(scene, &id).exits(0).ended("done");
    assert_eq!(scene.issuer.deletions().last(), Some(&scene.old));
    scene.is_on(&new);
}

/// A file that others may read, and one that cannot be replaced: refused before anything is made. Then changes of the value.
pub fn a_file(scene: &Scene) {
    let made = scene.issuer.made();
    scene.sh("chmod 644 secrets/ring.env");
    let ran = scene.run(&["plan", "ring"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    ran.says(&["ring.env", "600"]);
    scene.sh("chmod 600 secrets/ring.env");
    // No mode of a folder keeps root from writing, so the folder is mounted read-only. Only this scene sees the mount.
    scene.sh("mount --bind secrets secrets && mount -o remount,bind,ro secrets");
    let mut ran = scene.run(&["plan", "ring"]);
    if ran.code == Some(0) {
        let id = ran.plan();
        ran = scene.run(&["apply", &id, "--confirm", "ring"]);
    }
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    ran.says(&["ring.env"]);
    assert_eq!(scene.issuer.made(), made, "a key was made");
    scene.sh("umount secrets");
    by_somebody(scene);
}
