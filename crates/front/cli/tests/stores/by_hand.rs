//! What others do at the store: it is named, and never overwritten.

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::{Ask, ResponseFault};

use crate::stores::relay::When;
use crate::stores::scene::{INSTANCES, Scene};

/// Somebody else is about to give a version out: before a plan, and between the plan and its stage.
pub fn a_second_writer(scene: &Scene) {
    scene.made_by_hand();
    scene.others("pend", "copy=run/by-hand.env");
    let pending = scene.labels()["AWSPENDING"].clone();
    let named = [pending.as_str().unwrap(), "AWSPENDING", "update-secret-version-stage"];
    scene.run(&["plan", "ring"]).refused(6, "K0644", &named);
    assert_eq!(scene.labels()["AWSPENDING"], pending);
    assert!(scene.issuer.keys().iter().all(|key| !key.label.starts_with("keyroll/")), "a key was made");
    scene.others("unpend", "");

    let id = scene.until("stage");
    scene.others("pend", "copy=run/by-hand.env");
    let pending = scene.labels()["AWSPENDING"].clone();
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    ran.says(&[pending.as_str().unwrap()]);
    assert_eq!(scene.labels()["AWSPENDING"], pending, "it was overwritten");
    assert_eq!(scene.given("AWSCURRENT").as_deref(), Some(scene.old.as_str()));
    // A rollback leaves it alone too, wherever the rotation stands by now.
    if ran.code != Some(5) {
        scene.run(&["abort", &id]).exits(5);
    }
    assert_eq!(scene.labels()["AWSPENDING"], pending, "it was withdrawn");
    scene.others("unpend", "");
    let by_hand = scene.issuer.keys().into_iter().find(|key| key.id != scene.old).unwrap();
    scene.issuer.end(&by_hand.id);
    let old = scene.old.clone();
    scene.is_on(&old);
}

/// Changed before the new version is given out, and changed right then: at the moment when the label is moved.
pub fn a_value_that_somebody_changed(scene: &Scene) {
    let id = scene.until("roll");
    let by_hand = scene.made_by_hand();
    scene.others("change", "copy=run/by-hand.env");
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["keyroll did not write", &format!("keyroll retry {id}")]);
    assert_eq!(scene.given("AWSCURRENT"), Some(by_hand.clone()), "it was overwritten");
    assert_eq!(scene.holds("app/service.env").as_deref(), Some(scene.old.as_str()), "nobody was moved");
    assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 3);
    // Put back, the rotation goes on.
    scene.others("back", "");
    let mut ran = scene.run(&["retry", &id]);
    if ran.code != Some(0) {
        ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    }
    ran.exits(0).ended("done");
    scene.issuer.end(&by_hand);
    let new = scene.new_key();
    scene.is_on(&new);

    // A compare-and-swap, not a look and then a write.
    let id = scene.until("roll");
    let by_hand = scene.made_by_hand();
    let change = scene.other_process("change", "copy=run/by-hand.env");
    scene.relay.trap(("UpdateSecretVersionStage", "AWSCURRENT"), When::Meanwhile, Box::new(change));
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    assert_eq!(scene.given("AWSCURRENT"), Some(by_hand.clone()), "it was overwritten");
    // A rollback does not overwrite it either.
    scene.run(&["abort", &id]).exits(5);
    assert_eq!(scene.given("AWSCURRENT"), Some(by_hand.clone()), "it was overwritten by the rollback");
    scene.others("back", "");
    scene.issuer.end(&by_hand);
    scene.is_on(&new);
}

/// No rotation is open: a plan refuses, and `secret import` takes the value over.
pub fn a_changed_value_is_taken_over(scene: &Scene) {
    let by_hand = scene.made_by_hand();
    scene.others("change", "copy=run/by-hand.env");
    let refused = ["keyroll did not write", "keyroll secret import ring", "keyroll secret drift ring"];
    scene.run(&["plan", "ring"]).refused(6, "K0643", &refused);
    assert_eq!(scene.issuer.keys().len(), 2, "a key was made");
    // The service runs on the old value: a plan from the new one would name its file.
    scene
        .run(&["secret", "import", "ring", "--id", &by_hand])
        .exits(1)
        .says(&["holds another value", "--anyway"]);
    scene.sh("./init.sh");
    INSTANCES.iter().for_each(|instance| scene.sh(&format!("./restart.sh {instance}")));
    let wrong =
        scene.run(&["secret", "import", "ring", "--from", "aws-sm:prod/ring#OTHER", "--id", &by_hand]);
    wrong.exits(2).says(&["aws-sm:prod/ring#RING_KEY"]);
    let named = ["secret", "import", "ring", "--from", "aws-sm:prod/ring#RING_KEY", "--id", &by_hand];
    scene.run(&named).exits(0).says(&["keyroll verify ring"]);
    scene.run(&named).exits(0).says(&["nothing was changed"]);
    scene.run(&["secret", "drift", "ring", "--wait", "30"]).exits(0);
    // It was a mistake, and is undone in the same way; and then not.
    for words in [&["secret", "import", "ring"][..], &named] {
        scene.others("back", "");
        scene.run(&["plan", "ring"]).refused(
            6,
            "K0643",
            &["which is previous", "keyroll secret import ring"],
        );
        scene.sh("./init.sh");
        INSTANCES.iter().for_each(|instance| scene.sh(&format!("./restart.sh {instance}")));
        scene.run(words).exits(0);
        scene.run(&["secret", "drift", "ring", "--wait", "30"]).exits(0);
    }
    let old = scene.old.clone();
    scene.issuer.end(&old);
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.is_on(&scene.new_key());
    // What the rotation replaced is not taken over: its key is dead.
    scene.others("back", "");
    scene.run(&["secret", "import", "ring"]).exits(6).says(&["gives out v2, which is retired"]);
    scene.others("back", "");
    scene.is_on(&scene.new_key());
}

/// The old key could not be revoked, and somebody gives it out again: to take it over would end a value in use.
pub fn a_value_whose_key_is_still_to_be_revoked(scene: &Scene) {
    let id = scene.plan();
    scene.issuer.mood(Ask::Delete, ResponseFault::Forbidden, 999);
    let ran = scene.run(&["apply", &id, "--confirm", "ring"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    let new = scene.new_key();
    scene.others("back", "");
    let refused = scene.run(&["secret", "import", "ring", "--anyway"]);
    refused.exits(6).says(&["still has to revoke", &format!("keyroll resume {id}")]);
    // As it says: the current version again, the revocation, and then the value of somebody else.
    scene.others("back", "");
    scene.issuer.calm();
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    assert!(scene.issuer.deletions().contains(&scene.old), "the old key lives");
    scene.is_on(&new);
    let by_hand = scene.made_by_hand();
    scene.others("change", "copy=run/by-hand.env");
    scene.sh("./init.sh");
    INSTANCES.iter().for_each(|instance| scene.sh(&format!("./restart.sh {instance}")));
    scene.run(&["secret", "import", "ring", "--id", &by_hand]).exits(0);
    scene.issuer.end(&new);
    scene.is_on(&by_hand);
}

/// Somebody changes another key of the document between the stage and the moment when the new version is given out.
pub fn another_key_of_the_same_secret_is_kept(scene: &Scene) {
    let id = scene.until("roll");
    scene.others("change-other", "");
    scene.resumed(&id);
    scene.is_on(&scene.new_key());
    // Somebody's change is there.
    scene.sh("grep -qx OTHER=changed app/service.env");
}

/// Away, and scheduled for deletion: a plan says so, and nothing is made. Away in the middle: both keys work, and it goes on.
pub fn a_store_that_does_not_answer(scene: &Scene) {
    scene.relay.set_away(true);
    scene.run(&["plan", "ring"]).exits(1).says(&["K0640", "aws-sm:prod/ring#RING_KEY"]);
    scene.run(&["doctor"]).exits(3).says(&["ring: source of truth"]);
    scene.relay.set_away(false);
    assert_eq!(scene.issuer.keys().len(), 1, "a key was made");

    let id = scene.until("roll");
    // Another region than that of the plan: nothing is done there.
    let resume = ["resume", &id, "--confirm", "ring"];
    scene.run_in("us-east-2", &resume).refused(1, "K0838", &["us-east-2", "eu-west-1"]);
    assert_eq!(scene.issuer.keys().len(), 2, "the new key was ended");
    scene.relay.set_away(true);
    let asked = scene.relay.refused();
    let running = scene.start(&resume);
    wait("the rotation has asked several times", || scene.relay.refused() >= asked + 6);
    assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 2);
    let old = scene.old.clone();
    assert_eq!(scene.holds("app/service.env"), Some(old), "nothing was given out");
    scene.relay.set_away(false);
    // It ends by itself: forward, or back if its attempts were used up meanwhile.
    let ran = scene.heard(running.end());
    ran.says(&["K0640", "aws-sm:prod/ring#RING_KEY"]);
    match ran.code {
        Some(5) => ran.ended("rolled_back"),
        _ => ran.exits(0).ended("done"),
    };
    let left = if ran.code == Some(5) { scene.old.clone() } else { scene.new_key() };
    scene.is_on(&left);

    let made = scene.issuer.made();
    scene.others("delete", "");
    scene.run(&["plan", "ring"]).exits(1).says(&["K0642", "deletion"]);
    assert_eq!(scene.issuer.made(), made, "a key was made");
}

/// A key leaks while the store is away, and no region is configured in the shell of the operator: the key dies all the same.
/// Then the rotation waits for the store, and goes on when it is back.
pub fn a_leaked_key_while_the_store_cannot_be_used(scene: &Scene) {
    let id = scene.plan();
    scene.relay.set_away(true);
    let leaked = ["apply", &id, "--emergency", "revoke-now", "--confirm", "ring"];
    let ran = scene.run_in("", &leaked);
    ran.says(&["K0641", "no region of AWS is configured", "AWS_PROFILE", "set `region` in the profile"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    assert!(scene.issuer.deletions().contains(&scene.old), "the leaked key lives: {}", ran.text);
    scene.relay.set_away(false);
    // The next command that it names, where the region is configured.
    scene.run(&["status"]).says(&[&format!("keyroll resume {id}")]);
    scene.resumed(&id);
    scene.is_on(&scene.new_key());
}
