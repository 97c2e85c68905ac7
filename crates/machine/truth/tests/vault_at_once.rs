//! Two parties change one secret at once, and what stands beside the value.

use std::sync::Arc;

use keyroll_port::{Class, FailureKind};
use keyroll_testkit::VaultUser;

use crate::aws_at_once::meddling;
use crate::sample::{KEY, by, credential, document, failed, value};
use crate::vault_sample::{VaultScene, open};

const WRITE: &[&str] = &["POST /v1/kv/data/"];

#[tokio::test]
async fn of_two_writers_at_once_one_writes_and_the_other_leaves_it() {
    let scene = VaultScene::start();
    let (one, two) = (scene.direct(), scene.direct());
    let mut before = scene.old.duplicate();
    for round in 0..8 {
        let (ours, theirs) = (credential(), credential());
        let (by_one, by_two) = (by(2 * round), by(2 * round + 1));
        let (first, second) =
            tokio::join!(one.give_out(&by_one, &before, &ours), two.give_out(&by_two, &before, &theirs),);
        assert!(first.is_ok() != second.is_ok(), "round {round}: one of the two writes");
        let (loser, winner) = if first.is_ok() { (second, ours) } else { (first, theirs) };
        let failure = failed(loser, &[&before, &winner]);
        assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
        assert!(scene.gives(&winner), "round {round}");
        assert_eq!(scene.vault.version(&scene.path), round + 2, "one version each");
        before = winner;
    }
}

#[tokio::test]
async fn a_value_that_changes_between_look_and_write_stays() {
    let scene = Arc::new(VaultScene::start());
    let (new, theirs) = (credential(), credential());
    let (text, other) = (document(&theirs, &scene.beside), Arc::clone(&scene));
    let act = move || {
        other.vault.put(&other.path, &text);
    };
    let truth = scene.through(meddling(scene.vault.port(), WRITE, act).await);
    truth.stage(&by(4), &scene.old, &new).await.unwrap();
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new, &theirs]);
    assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
    assert!(scene.gives(&theirs), "the other party's value is given out");
    assert_eq!(scene.asked("POST /v1/kv/data/", "400"), 1, "the server compared the versions");
}

#[tokio::test]
async fn what_changes_beside_the_value_between_look_and_write_is_kept_by_the_next_attempt() {
    let scene = Arc::new(VaultScene::start());
    let new = credential();
    let (text, other) = (document(&scene.old, "theirs"), Arc::clone(&scene));
    let act = move || {
        other.vault.put(&other.path, &text);
    };
    let truth = scene.through(meddling(scene.vault.port(), WRITE, act).await);
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    assert_eq!((failure.class, failure.kind), (Class::Retryable, FailureKind::Other));
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    assert_eq!(scene.vault.text(&scene.path), document(&new, "theirs").trim());
}

#[tokio::test]
async fn every_byte_beside_the_value_stays() {
    let scene = VaultScene::start();
    let (old, new) = (credential(), credential());
    let text = |credential: &keyroll_secret::Credential| {
        format!(
            "{{\"a\":1.50,\"big\":12345678901234567890123,\"e\":1E+2,\"{KEY}\":\"{}\",\"t\":\"\\u00e9\\u003c\\/é\",\
             \"list\":[ 1,\t2 ],\"{KEY}2\":{{\"{KEY}\":\"{}\"}}}}",
            value(credential),
            value(&scene.old)
        )
    };
    let path = "team/kv/deep/er";
    scene.vault.put(path, &text(&old));
    let truth = open(path, &scene.settings(VaultUser::Keyroll, scene.vault.port()));
    truth.stage(&by(4), &old, &new).await.unwrap();
    assert_eq!(scene.vault.text(path), text(&old), "what is staged is not written");
    truth.give_out(&by(4), &old, &new).await.unwrap();
    assert_eq!(scene.vault.text(path), text(&new));
    truth.give_out(&by(4), &new, &old).await.unwrap();
    assert_eq!(scene.vault.text(path), text(&old));
    let asked = scene.asked("GET /v1/sys/internal/ui/mounts/team/kv/deep/er", "200");
    assert_eq!(asked, 1, "the engine is asked for once");
}
