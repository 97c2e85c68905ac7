//! A revoked value that is found again by the shipped program, with and without `keep_retired`.

use std::fs;
use std::process::Command;

use keyroll_testkit::TempDir;

use crate::hostile::ran::Ran;
use crate::hostile::scene::Scene;

/// A rotation that is done, and a folder elsewhere with a text that has the old value. This process never holds it.
fn rotated(wish: &str) -> (Scene, TempDir) {
    let scene = Scene::made(|config, _| *config = config.replacen("admin ", &format!("{wish}\nadmin "), 1));
    let elsewhere = TempDir::new().unwrap();
    let text = elsewhere.path().join("old.txt");
    scene.copy("api/api.env", text.to_str().unwrap());
    scene.apply().exits(0);
    scene.rotated();
    (scene, elsewhere)
}

#[test]
fn a_value_that_was_ended_is_a_dead_leak_where_its_owner_wants_to_find_it() {
    let (scene, elsewhere) = rotated("keep_retired = true");
    let folder = elsewhere.path().to_str().unwrap();
    let by_value = scene.run(&["leaks", "--known", folder]);
    by_value.exits(3);
    let prints = elsewhere.path().join("ring.prints");
    let written = scene.run(&["fingerprints", "--out", prints.to_str().unwrap()]);
    written.exits(0);
    assert_eq!(
        (&written.of("prints")[0]["values"], &written.of("prints")[0]["ended"]),
        (&2.into(), &0.into())
    );
    // The other folder has no store.
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    command.args(["--json", "--state", "none", "leaks", "--known", "--fingerprints", "ring.prints"]);
    let by_print = Ran::run(command.current_dir(elsewhere.path()).env_clear());
    by_print.exits(3);
    for found in [&by_value, &by_print] {
        let leaks = found.of("leak");
        assert_eq!(leaks.len(), 1, "{}", found.text);
        let told = ["secret", "label", "state"].map(|key| leaks[0][key].as_str().unwrap());
        assert_eq!((told, leaks[0]["version"].as_u64()), (["ring", "retired", "retired"], Some(1)));
        assert_eq!(leaks[0]["place"]["line"], 3);
    }
    // No output of keyroll contains it either.
    let clean = scene.run(&["redact", "--known", elsewhere.path().join("old.txt").to_str().unwrap()]);
    assert!(clean.text.contains("KEY=[redacted:ring]"), "{}", clean.text);
    // The value is kept only to be recognised.
    assert_eq!(scene.run(&["verify", "ring"]).code, Some(0));
    let refused = scene.run(&["revoke", "ring", "--version", "previous"]);
    assert_eq!(refused.code, Some(1), "{}", refused.text);
}

#[test]
fn without_that_wish_nothing_is_left_of_it() {
    let (scene, elsewhere) = rotated("");
    let folder = elsewhere.path().to_str().unwrap();
    scene.run(&["leaks", "--known", folder]).exits(0);
    let prints = elsewhere.path().join("ring.prints");
    let written = scene.run(&["fingerprints", "--out", prints.to_str().unwrap()]);
    written.exits(0);
    assert_eq!(
        (&written.of("prints")[0]["values"], &written.of("prints")[0]["ended"]),
        (&1.into(), &1.into())
    );
    assert!(fs::read_to_string(&prints).unwrap().contains(" 2 current ring\n"));
}
