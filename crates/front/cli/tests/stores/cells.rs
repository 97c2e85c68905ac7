//! Stores that give out what was written last: Vault, a file, a program. Nothing is pending there. The recipe forward and
//! back, and keyroll killed at each step of it: each value is written exactly once, which the count of versions tells.

use keyroll_testkit::issuer::{Ask, Moment};

use crate::stores::kind::Kind;
use crate::stores::recipe::{back, forward};
use crate::stores::relay::Wanted;
use crate::stores::relay::When::{After, Before};
use crate::stores::scene::{At, Scene, by_hand, by_keyroll};

/// The requests to Vault.
pub const LOGIN: Wanted = ("POST /v1/auth/approle/login", "");
pub const ENGINE: Wanted = ("GET /v1/sys/internal/ui/mounts/kv/prod/ring", "");
pub const RIGHTS: Wanted = ("POST /v1/sys/capabilities-self", "");
pub const READ: Wanted = ("GET /v1/kv/data/prod/ring", "");
pub const WRITE: Wanted = ("POST /v1/kv/data/prod/ring", "");

/// The number of versions, where the store counts them, after so many writes.
fn written(from: Option<u64>, writes: u64) -> Option<u64> {
    from.map(|from| from + writes)
}

/// The new value waits in keyroll until it is given out; then one instance, and then the rest. A second rotation is rolled
/// back, and a third one begins from there.
pub fn forward_and_back(scene: &Scene) {
    let from = scene.version();
    let staged = |_: &str| assert_eq!(scene.version(), from, "something waits at the store");
    let new = forward(scene, staged, |_| assert_eq!(scene.version(), written(from, 1)));
    back(scene, &new, || assert_eq!(scene.version(), written(from, 3), "as a version of its own"));
    if let (Kind::Vault, Some(from)) = (scene.kind, from) {
        let version = |writes: u64| scene.given(&(from + writes).to_string());
        assert_eq!(version(1), Some(new.clone()), "the version of before is still there");
        changed_beside(scene);
    } else {
        let id = scene.plan();
        scene.run(&["apply", &id, "--confirm", "ring"]).exits(0).ended("done");
        scene.sh("grep -qx OTHER=kept app/service.env");
    }
    scene.is_on(&scene.new_key());
}

/// Somebody changes another key of the document while a rotation is open.
pub fn changed_beside(scene: &Scene) {
    let id = scene.until("roll");
    scene.others("change-other", "");
    scene.resumed(&id);
    scene.sh("grep -qx OTHER=changed app/service.env");
}

/// Vault: keyroll is killed at each request, before it and after it was carried out.
pub fn killed_at_vault(scene: &Scene) {
    let forward = [
        ("it logs in", At::Store(LOGIN, Before)),
        ("it has logged in", At::Store(LOGIN, After)),
        ("it has found the engine", At::Store(ENGINE, After)),
        ("it reads", At::Store(READ, Before)),
        ("it looks for its rights", At::Store(RIGHTS, Before)),
        ("it has found its rights", At::Store(RIGHTS, After)),
        ("it writes", At::Store(WRITE, Before)),
        ("it has written", At::Store(WRITE, After)),
        ("the service has fetched", At::Script("fetch", "after")),
        ("the old key was revoked", At::Issuer(Ask::Delete, Moment::After, by_hand)),
    ];
    killed_and_written_once(scene, forward, back_at_a_server(WRITE, READ));
}

/// A file of this host: what it says is written in one step, so only what surrounds that is interrupted.
pub fn killed_at_a_file(scene: &Scene) {
    let forward = [
        ("the service fetches", At::Script("fetch", "before")),
        ("the service has fetched", At::Script("fetch", "after")),
        ("an instance was restarted", At::Script("restart", "after")),
        ("the old key is revoked", At::Issuer(Ask::Delete, Moment::Before, by_hand)),
    ];
    let new = killed_forward(scene, forward);
    let back = [
        ("the service fetches", At::Script("fetch", "before")),
        ("an instance was restarted", At::Script("restart", "after")),
    ];
    killed_back(scene, &new, back);
    // Nothing is left beside it.
    scene.sh("test \"$(ls -A secrets)\" = ring.env");
}

/// A program: keyroll is killed before and after the program writes, and the program ends after it wrote, without an answer.
pub fn killed_at_a_program(scene: &Scene) {
    let from = scene.version();
    let forward =
        [("it writes", At::Script("store", "before")), ("it has written", At::Script("store", "after"))];
    let back = [("it has written", At::Script("store", "after"))];
    killed_and_written_once(scene, forward, back);

    let id = scene.until("roll");
    scene.sh("touch run/dies-after-write");
    scene.resumed(&id);
    scene.sh("test ! -e run/dies-after-write");
    assert_eq!(scene.version(), written(from, 4), "it was written more than once");
    scene.is_on(&scene.new_key());
}

/// Where keyroll is killed in a rollback at a store that is a server, by the requests that write and read there.
pub fn back_at_a_server(write: Wanted, read: Wanted) -> [(&'static str, At); 3] {
    [
        ("it writes", At::Store(write, Before)),
        ("it reads what it has written", At::StoreAfter(write, read, Before)),
        ("the service has fetched", At::Script("fetch", "after")),
    ]
}

/// One rotation that is killed at these places, and one from there that is killed in its rollback: each value is written once.
pub fn killed_and_written_once<const N: usize, const M: usize>(
    scene: &Scene,
    forward: [(&str, At); N],
    back: [(&str, At); M],
) {
    let from = scene.version();
    let new = killed_forward(scene, forward);
    assert_eq!(scene.version(), written(from, 1), "it was written more than once");
    killed_back(scene, &new, back);
    assert_eq!(scene.version(), written(from, 3), "it was written more than once");
}

/// One rotation that is killed again and again, and then ends; its key.
fn killed_forward<const N: usize>(scene: &Scene, places: [(&str, At); N]) -> String {
    let id = scene.plan();
    scene.killed(&["apply", &id, "--confirm", "ring"], At::Issuer(Ask::Mint, Moment::After, by_keyroll));
    for (what, at) in places {
        println!("killed when {what}");
        scene.killed(&["resume", &id, "--confirm", "ring"], at);
    }
    scene.resumed(&id);
    assert_eq!(scene.issuer.deletions().last(), Some(&scene.old));
    let new = scene.new_key();
    scene.is_on(&new);
    new
}

/// One rotation from this key that is rolled back, and killed again and again meanwhile.
fn killed_back<const N: usize>(scene: &Scene, from: &str, places: [(&str, At); N]) {
    let id = scene.until("quiesce");
    let third = scene.new_third(from);
    let (abort, resume) = (["abort", &id], ["resume", &id, "--confirm", "ring"]);
    let mut words: &[&str] = &abort;
    for (what, at) in places {
        println!("killed in a rollback when {what}");
        scene.killed(words, at);
        words = &resume;
    }
    scene.run(words).exits(5).ended("rolled_back");
    assert!(scene.issuer.deletions().contains(&third), "the new key was not deleted");
    scene.is_on(from);
}
