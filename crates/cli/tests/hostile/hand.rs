//! Keys that a person makes at the issuer's console: taken in once they are right, refused with the old key in use where
//! they are not; and a word that something was ended, which is nothing until it is seen.

use crate::Case;
use crate::scene::Scene;

pub const CASES: &[Case] = &[("a key made by hand, given on stdin", given_on_stdin)];

/// The issuer's spec without its mint; a person makes keys.
fn human(spec: &mut String) {
    let table = |spec: &str, name: &str| -> String {
        let (before, rest) = spec.split_once(&format!("[{name}]\n")).unwrap();
        let after = rest.split_once("\n[").map_or("", |(_, after)| after);
        format!("{before}[{after}")
    };
    *spec = table(spec, "op.mint").replace("minted_by = \"api\"", "minted_by = \"human\"");
    *spec += "\n[human]\nurl = \"https://acme.example/keys\"\nsteps = [\"press New key\", \"copy it\"]\n";
    *spec += "revoke_steps = [\"press Delete beside the old key\"]\n";
}

fn scene() -> Scene {
    Scene::made(|_, spec| human(spec))
}

/// Up to where the key is waited for: the plan's id.
#[track_caller]
fn waiting(scene: &Scene) -> String {
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(6).says(&["https://acme.example/keys", "1. press New key", "2. copy it"]);
    assert!(ran.paused()["reason"].as_str().unwrap().contains("a person makes the new key"), "{}", ran.text);
    plan
}

#[track_caller]
fn moved_to(scene: &Scene, id: &str) {
    let keys = scene.issuer.keys();
    assert!(keys.len() == 1 && keys[0].id == id && !keys[0].disabled, "{keys:?}");
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(id));
    scene.run(&["status"]).exits(0);
}

fn given_on_stdin() {
    let scene = scene();
    let plan = waiting(&scene);
    scene.run(&["status"]).exits(6).says(&["a person makes the new key", "--value-stdin"]);
    let (id, value) = scene.issuer.mint("made at the console");
    let ran = scene.fed(&["resume", &plan, "--value-stdin", "--confirm", "ring"], &value);
    ran.exits(0).ended("done");
    moved_to(&scene, &id);
}
