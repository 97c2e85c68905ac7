//! Rotations of a secret whose source of truth is AWS Secrets Manager (moto, which checks signatures and policies), with a
//! service that fetches its value from there by a login of its own. The recipe as people do it by hand, its rollback, and what
//! goes wrong: keyroll killed at each step, a second writer, a value that somebody changed by hand, a store that is away.
//!
//! moto has the values in its memory, where a search of all processes would find them. Each scene therefore runs in a
//! namespace of processes of its own, as if the store were on another machine.

pub(crate) mod by_hand;
pub(crate) mod killed;
pub(crate) mod part;
pub(crate) mod recipe;
pub(crate) mod relay;
pub(crate) mod scene;
pub(crate) mod signed;

use std::fs;

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;
use keyroll_testkit::{Moto, MotoUser, TempDir};
use scene::Scene;

use crate::kill::apart;

/// The case in which a key that is in use is revoked first: the calls with it are refused.
const EMERGENCY: &str = "emergency";

/// One case, in a scene of its own.
type Case = fn(&Scene);

/// The cases by name.
const CASES: [(&str, Case); 11] = [
    ("recipe", recipe::forward_and_back),
    ("drift", recipe::drift_is_shown),
    ("killed-forward", killed::forward),
    ("killed-back", killed::back),
    ("second-writer", by_hand::a_second_writer),
    ("changed", by_hand::a_value_that_somebody_changed),
    ("taken-over", by_hand::a_changed_value_is_taken_over),
    ("owed", by_hand::a_value_whose_key_is_still_to_be_revoked),
    ("other-key", by_hand::another_key_of_the_same_secret_is_kept),
    ("away", by_hand::a_store_that_does_not_answer),
    (EMERGENCY, by_hand::a_leaked_key_while_the_store_cannot_be_used),
];

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    part::play();
}

/// One case, where this program was started as a lane: the store's address, the file of its users, and the case.
#[test]
fn lane() {
    let Some((report, words)) = apart::lane() else { return };
    let words: Vec<&str> = words.split(' ').collect();
    let [store, users, name] = words[..] else { panic!("a lane has three words") };
    let (_, case) = CASES.iter().find(|(one, _)| *one == name).unwrap();
    let scene = Scene::new(store, users.as_ref());
    case(&scene);
    if name != EMERGENCY {
        scene.was_never_refused();
    }
    // Nothing searches this process any more. The store's log is searched outside.
    let values = scene.end();
    fs::write(report, serde_json::to_string(&values).unwrap()).unwrap();
}

/// Runs a case with a store of its own, and searches the store's log for every value.
fn run(name: &str) {
    if !apart::namespaces() {
        assert!(std::env::var("CI").is_err(), "no namespace of processes in CI");
        eprintln!("left out, because a namespace of processes cannot be made: {name}");
        return;
    }
    let Some(moto) = Moto::start_or_skip(&format!("a rotation with AWS Secrets Manager, {name}")) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let users = folder.path().join("users");
    fs::write(&users, identities(&moto)).unwrap();
    let words = format!("127.0.0.1:{} {} {name}", moto.port(), users.display());
    let report = apart::run("stores::lane", &words).unwrap();
    let values: Vec<Vec<u8>> = serde_json::from_str(&report).unwrap();
    assert!(values.len() >= 4, "{} values were looked for", values.len());
    let needles = (0u32..)
        .zip(values)
        .fold(Needles::builder(), |all, (id, value)| all.add(NeedleId(id), &SecretBytes::new(value)));
    let log = moto.log();
    assert!(log.contains("POST / "), "the store's log has no request: {log}");
    assert!(needles.build().unwrap().is_clean(log.as_bytes()), "the store's log has a value");
}

/// The users of the store, one a line: name, key id, secret key.
fn identities(moto: &Moto) -> String {
    let line = |(name, user): (&str, MotoUser)| {
        let profile = moto.profile(name, user, moto.port());
        let of = |key: &str| profile.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        format!("{name} {} {}\n", of("aws_access_key_id = "), of("aws_secret_access_key = "))
    };
    [("keyroll", MotoUser::Keyroll), ("reader", MotoUser::Reader)].map(line).concat()
}

#[test]
fn the_recipe_by_hand_and_the_previous_version_back() {
    run("recipe");
}

#[test]
fn drift_shows_what_the_store_says_beside_what_runs() {
    run("drift");
}

#[test]
fn killed_at_each_step_forward() {
    run("killed-forward");
}

#[test]
fn killed_at_each_step_back() {
    run("killed-back");
}

#[test]
fn a_pending_version_of_somebody_else_is_never_overwritten() {
    run("second-writer");
}

#[test]
fn a_value_that_somebody_changed_meanwhile_is_never_overwritten() {
    run("changed");
}

#[test]
fn a_value_that_somebody_changed_is_taken_over_by_import() {
    run("taken-over");
}

#[test]
fn a_value_whose_key_is_still_to_be_revoked_is_not_taken_over() {
    run("owed");
}

#[test]
fn what_somebody_changed_in_another_key_of_the_document_stays() {
    run("other-key");
}

#[test]
fn a_store_that_does_not_answer_is_seen_before_anything_is_made() {
    run("away");
}

#[test]
fn a_leaked_key_is_revoked_first_while_the_store_cannot_be_used() {
    run(EMERGENCY);
}
