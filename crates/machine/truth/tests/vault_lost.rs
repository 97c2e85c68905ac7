//! The answer to a write is lost, the server is away, or its storage is an older one.

use keyroll_port::conformance::FaultMode;
use keyroll_port::{Class, FailureKind};
use keyroll_testkit::Relay;

use crate::sample::{by, credential, failed};
use crate::vault_sample::{VaultScene, is};

fn writes(request: &[u8]) -> bool {
    request.starts_with(b"POST /v1/kv/data/")
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_seen_and_not_repeated() {
    let scene = VaultScene::start();
    let mut relay = Relay::start(scene.vault.port(), writes).await.unwrap();
    let (truth, new) = (scene.through(relay.port()), credential());
    truth.stage(&by(4), &scene.old, &new).await.unwrap();
    assert_eq!(scene.vault.count(&scene.path), 1, "what is staged is not written");

    for (before, after, count) in [(&scene.old, &new, 2), (&new, &scene.old, 3)] {
        relay.fault_mode(FaultMode::AnswerLost).await.unwrap();
        let failure = failed(truth.give_out(&by(4), before, after).await, &[&scene.old, &new]);
        assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::AnswerUnclear));
        assert!(scene.gives(after), "it was written");
        truth.give_out(&by(4), before, after).await.unwrap();
        assert!(scene.gives(after));
        assert_eq!(scene.vault.count(&scene.path), count, "and not written twice");
    }
}

#[tokio::test]
async fn a_server_that_is_away_had_no_request() {
    let scene = VaultScene::start();
    let mut relay = Relay::start(scene.vault.port(), writes).await.unwrap();
    let (truth, new) = (scene.through(relay.port()), credential());
    truth.stage(&by(4), &scene.old, &new).await.unwrap();
    relay.fault_mode(FaultMode::Absent).await.unwrap();
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Retryable, "K0640", &["connection refused", "vault status"]);
    assert_eq!(scene.vault.count(&scene.path), 1);
    relay.fault_mode(FaultMode::Fair).await.unwrap();
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    assert!(scene.gives(&new));
}

#[tokio::test]
async fn an_older_version_after_a_restored_snapshot_is_seen() {
    let scene = VaultScene::start();
    let (truth, new) = (scene.direct(), credential());
    truth.current().await.unwrap();
    let snapshot = scene.vault.snapshot();
    truth.stage(&by(4), &scene.old, &new).await.unwrap();
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    let there = truth.current().await.unwrap();
    assert_eq!(there.id, "2");

    scene.vault.restore(&snapshot);
    let now = truth.current().await.unwrap();
    assert_eq!((now.id.as_str(), truth.versions().await.unwrap().len()), ("1", 1));
    let failure = failed(truth.stage(&by(9), &new, &credential()).await, &[&scene.old, &new]);
    assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
    is(&failure, Class::Permanent, "K0643", &["version 1"]);
    assert!(scene.gives(&scene.old), "nothing was written over it");
}
