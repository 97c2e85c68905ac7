//! Two keyrolls, each with its own state folder and its own key, at one account of an issuer.

use crate::hostile::scene::Scene;

/// Names keys of the other keyroll in keyroll.toml.
fn name(scene: &Scene, keys: &[(&str, &str)]) {
    let keys: Vec<String> =
        keys.iter().map(|(id, label)| format!("{{ id = \"{id}\", label = \"{label}\" }}")).collect();
    scene.sh("sed -i '/^other_keys/d' keyroll.toml");
    scene.sh(&format!("sed -i '/^admin/a other_keys = [{}]' keyroll.toml", keys.join(", ")));
}

#[test]
fn a_key_of_another_keyroll_is_left_alone_once_it_is_named() {
    const FIRST: &str = "keyroll/01b7/4";
    const SECOND: &str = "keyroll/01b8/4";
    let scene = Scene::new();
    let (first, _) = scene.issuer.mint(FIRST);
    let asks = ["other_keys", &first, FIRST];
    scene.run(&["plan", "ring"]).refused(6, "K0845", &asks);
    // Neither the id nor the label alone is enough.
    for wrong in [(first.as_str(), SECOND), ("another", FIRST)] {
        name(&scene, &[wrong]);
        scene.run(&["plan", "ring"]).refused(6, "K0845", &asks);
    }
    name(&scene, &[(&first, FIRST)]);
    let id = scene.until("quiesce");
    // The other keyroll begins a rotation.
    let (second, _) = scene.issuer.mint(SECOND);
    let stuck = scene.run(&["resume", &id, "--confirm", "ring"]);
    stuck.exits(6).says(&["other_keys", &second, SECOND, "another keyroll made it"]);
    assert!(scene.issuer.keys().iter().any(|key| key.id == scene.old && !key.disabled), "nothing is ended");
    name(&scene, &[(&first, FIRST), (&second, SECOND)]);
    // Nobody is there to consent.
    scene.run(&["retry", &id]).exits(6).says(&["needs your consent"]);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    let keys = scene.issuer.keys();
    let of_others = |label| keys.iter().filter(|key| key.label == label && !key.disabled).count();
    assert_eq!((keys.len(), of_others(FIRST), of_others(SECOND)), (3, 1, 1), "{keys:?}");
    assert!(keys.iter().all(|key| key.id != scene.old), "{keys:?}");
}

#[test]
fn a_command_accepts_a_key_of_another_keyroll_and_withdraws_it() {
    const LABEL: &str = "keyroll/01b7/4";
    let scene = Scene::new();
    let (other, _) = scene.issuer.mint(LABEL);
    let accept = ["secret", "accept-key", "ring", "--id", &other, "--label", LABEL];
    let withdraw = [&accept[..], &["--withdraw"]].concat();
    scene.run(&["plan", "ring"]).refused(6, "K0845", &["keyroll secret accept-key ring", &other, LABEL]);
    scene.run(&accept).exits(0).says(&["keyroll leaves it alone", "--withdraw"]);
    scene.run(&accept).exits(0).says(&["is accepted already"]);
    let id = scene.until("quiesce");
    scene.run(&withdraw).exits(0).says(&["keyroll stops at it again", &format!("keyroll retry {id}")]);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(6).says(&[&other, LABEL]);
    scene.run(&accept).exits(0);
    scene.run(&["retry", &id]).exits(6).says(&["needs your consent"]);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    // A key of this journal is not another keyroll's.
    let own = format!("keyroll/{id}/4");
    scene.run(&["secret", "accept-key", "ring", "--id", "any", "--label", &own]).refused(2, "K0802", &[&id]);
    let acts = scene.run(&["history", &id]);
    acts.exits(0).says(&["secret accept-key --withdraw", LABEL]);
}

/// It is neither written nor repeated.
#[test]
fn a_value_in_the_place_of_an_id_is_not_accepted() {
    let scene = Scene::new();
    let before = scene.snapshot();
    let value = scene.held("api/api.env");
    let label = format!("keyroll/{}/4", value.as_str());
    for (id, label, option) in [(value.as_str(), "keyroll/01b7/4", "--id"), ("9f31", &label, "--label")] {
        let pasted = ["secret", "accept-key", "ring", "--id", id, "--label", label];
        let ran = scene.run(&pasted);
        ran.refused(2, "K0802", &[option]);
        assert!(!ran.text.contains(value.as_str()));
    }
    // What is not seen, and a step that is no plain number.
    for (id, label) in
        [("9f\u{202e}31", "keyroll/01b7/4"), ("9f31", "keyroll/01b7/+4"), ("9f31", "keyroll/01\u{200b}b7/4")]
    {
        let ran = scene.run(&["secret", "accept-key", "ring", "--id", id, "--label", label]);
        assert!(ran.code != Some(0), "{}", ran.text);
    }
    assert_eq!(scene.snapshot(), before);
}
