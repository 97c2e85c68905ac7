//! Issuers with two slots, with a grace, and with one value at a time.

use std::time::Duration;

use keyroll_testkit::issuer::{Ask, ResponseFault};

use crate::hostile::scene::Scene;

fn scene(overlap: &str) -> Scene {
    within(overlap, "20s")
}

/// With a limit for each instance.
fn within(overlap: &str, unit: &str) -> Scene {
    Scene::made(|config, spec| {
        let before = r#"overlap   = { kind = "independent", max = 0 }"#;
        assert!(spec.contains(before));
        *spec = spec.replace(before, &format!("overlap   = {overlap}"));
        let limits =
            format!("unit_deadline = \"{unit}\"\nphase_deadline = \"1m\"\n\n[secrets.ring.revoke]\n");
        *config = config.replace("[secrets.ring.revoke]\n", &limits);
    })
}

#[test]
fn one_value_at_a_time_ends_the_old_one_only_after_consent_to_the_gap() {
    let scene = scene(r#"{ kind = "none" }"#);
    scene.issuer.replaces(Duration::ZERO);
    let planned = scene.run(&["plan", "ring"]);
    planned.exits(0).says(&["WHICH REVOKES THE OLD ONE AT ONCE", "DOWNTIME of"]);
    assert_eq!(planned.of("plan")[0]["downtimes"][0], "api", "{}", planned.text);
    let plan = planned.plan();
    // Without an operator nothing is made, and the old key keeps working.
    scene.run(&["apply", &plan]).exits(6).says(&["consent"]);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
    assert_eq!(scene.issuer.refused_workers(), Vec::<String>::new());
    let ran = scene.run(&["resume", &plan, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    assert!(
        ran.of("summary")[0]["downtime_s"].as_f64().is_some_and(|downtime| downtime > 0.0),
        "{}",
        ran.text
    );
    scene.rotated();
}

#[test]
fn a_host_that_fails_after_the_old_value_is_gone_is_moved_forward() {
    let scene = scene(r#"{ kind = "none" }"#);
    scene.issuer.replaces(Duration::ZERO);
    scene.sh("touch run/fail");
    let ran = scene.apply();
    assert!(matches!(ran.code, Some(4 | 6)), "{}", ran.text);
    let id = ran.rotation();
    let back = scene.run(&["abort", &id]);
    assert!(back.code != Some(5), "no rollback: {}", back.text);
    scene.sh("rm run/fail");
    scene.run(&["resume", &id]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_lost_answer_of_the_only_mint_is_a_persons_and_is_not_repeated() {
    let scene = scene(r#"{ kind = "none" }"#);
    scene.issuer.replaces(Duration::ZERO);
    scene.issuer.mood(Ask::Mint, ResponseFault::Lost, 1);
    // The new value is lost, and the old one is dead: the operator is told at once what to do.
    let ran = scene.apply();
    ran.exits(6).says(&["K0105", "make the new key at the issuer's console"]);
    // It is not made a second time by itself.
    scene.run(&["resume", &ran.rotation(), "--confirm", "ring"]).exits(6);
    assert_eq!(scene.issuer.asked(Ask::Mint), 1);
}

#[test]
fn a_grace_is_used_for_the_roll_and_waited_for() {
    let short = within(r#"{ kind = "grace", grace = "10s" }"#, "5s");
    // Moving all consumers may take longer than the old value stays valid.
    short.run(&["plan", "ring"]).refused(1, "K0712", &["of the grace may be used"]);
    let scene = within(r#"{ kind = "grace", grace = "20s" }"#, "5s");
    scene.issuer.replaces(Duration::from_secs(20));
    scene.run(&["plan", "ring"]).exits(0).says(&["WHICH REVOKES THE OLD ONE 20 s later"]);
    scene.apply().exits(0).ended("done");
    assert_eq!(scene.issuer.refused_workers(), Vec::<String>::new());
    scene.rotated();
}

#[test]
fn two_slots_take_turns() {
    let scene = scene(r#"{ kind = "two-slots" }"#);
    for _ in 0..2 {
        scene.apply().exits(0).ended("done");
        assert_eq!(scene.issuer.keys().len(), 1);
    }
    assert_eq!(scene.issuer.refused_workers(), Vec::<String>::new());
}
