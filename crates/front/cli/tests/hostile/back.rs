//! Rollback from every step before the point of no return, and none after it.

use crate::hostile::Case;
use crate::hostile::scene::Scene;

pub const CASES: &[Case] = &[
    ("an abort at mint", || abort_at("mint")),
    ("an abort at probe", || abort_at("probe")),
    ("an abort at roll", || abort_at("roll")),
    ("an abort at quiesce", || abort_at("quiesce")),
    ("an abort at disable", || abort_at("disable")),
    ("an abort at soak", || abort_at("soak")),
    ("an abort at decide", || abort_at("decide")),
    ("undo after the end", undo_after_the_end),
];

/// Everything as it was: the old key alive, the new one gone, the file and the worker on the old value. Red where an abort before
/// a key was made exits with 1, as one that is refused and leaves the rotation open.
fn abort_at(step: &str) {
    let scene = Scene::new();
    let id = scene.until(step);
    let keys = scene.issuer.keys();
    assert!(
        keys.iter().any(|key| key.id == scene.old && !key.disabled),
        "paused with a switched-off key: {keys:?}"
    );
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    scene.as_before();
}

fn undo_after_the_end() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.run(&["apply", &plan, "--confirm", "ring"]).exits(0);
    let before = scene.snapshot();
    for verb in ["undo", "abort"] {
        scene.run(&[verb, &plan]).refused(1, "K0846", &["keyroll plan ring"]);
    }
    assert_eq!(scene.snapshot(), before);
    scene.rotated();
}
