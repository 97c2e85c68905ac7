//! The answer to a change is lost: the outcome is unknown, and a repetition finds what was done.

use keyroll_port::conformance::FaultMode;
use keyroll_port::{Class, FailureKind, Truth as _};
use keyroll_testkit::Relay;

use crate::sample::{Scene, by, credential, failed};

fn has(request: &[u8], word: &str) -> bool {
    request.windows(word.len()).any(|window| window == word.as_bytes())
}

fn writes(request: &[u8]) -> bool {
    has(request, "secretsmanager.PutSecretValue")
}

fn moves(request: &[u8]) -> bool {
    has(request, "secretsmanager.UpdateSecretVersionStage")
}

#[tokio::test]
async fn a_staged_version_whose_answer_was_lost_is_found_again() {
    for changes in [writes as fn(&[u8]) -> bool, moves] {
        let Some(scene) = Scene::start("lost answers of AWS Secrets Manager") else { return };
        let mut relay = Relay::start(scene.moto.port(), changes).await.unwrap();
        let opened = scene.through(relay.port()).await;
        let new = credential();
        relay.fault_mode(FaultMode::AnswerLost).await.unwrap();
        let failure = failed(opened.truth.stage(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
        assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::AnswerUnclear));
        assert_eq!(scene.moto.count(&scene.id), 2, "the version was written");
        assert!(scene.gives(&scene.old), "and is given out to nobody");

        opened.truth.stage(&by(4), &scene.old, &new).await.unwrap();
        assert_eq!(scene.moto.count(&scene.id), 2, "and not written twice");
        assert_eq!(scene.pending().len(), 1);
    }
}

#[tokio::test]
async fn a_move_whose_answer_was_lost_is_seen_and_not_repeated() {
    let Some(scene) = Scene::start("lost answers of AWS Secrets Manager") else { return };
    let mut relay = Relay::start(scene.moto.port(), moves).await.unwrap();
    let opened = scene.through(relay.port()).await;
    let new = credential();
    opened.truth.stage(&by(4), &scene.old, &new).await.unwrap();

    for (before, after) in [(&scene.old, &new), (&new, &scene.old)] {
        relay.fault_mode(FaultMode::AnswerLost).await.unwrap();
        let outcome = opened.truth.give_out(&by(4), before, after).await;
        let failure = failed(outcome, &[&scene.old, &new]);
        assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::AnswerUnclear));
        assert!(scene.gives(after), "it was moved");
        opened.truth.give_out(&by(4), before, after).await.unwrap();
        assert!(scene.gives(after));
        assert!(scene.pending().is_empty(), "a repetition takes the label off, too");
    }
    assert_eq!(scene.moto.count(&scene.id), 2);
}

#[tokio::test]
async fn a_withdrawal_whose_answer_was_lost_can_be_repeated() {
    let Some(scene) = Scene::start("lost answers of AWS Secrets Manager") else { return };
    let mut relay = Relay::start(scene.moto.port(), moves).await.unwrap();
    let opened = scene.through(relay.port()).await;
    opened.truth.stage(&by(4), &scene.old, &credential()).await.unwrap();
    relay.fault_mode(FaultMode::AnswerLost).await.unwrap();
    let failure = failed(opened.truth.withdraw(&by(4)).await, &[&scene.old]);
    assert_eq!(failure.class, Class::Unknown);
    opened.truth.withdraw(&by(4)).await.unwrap();
    assert!(scene.pending().is_empty());
}

#[tokio::test]
async fn a_source_that_is_away_had_no_request() {
    let Some(scene) = Scene::start("AWS Secrets Manager that is away") else { return };
    let mut relay = Relay::start(scene.moto.port(), moves).await.unwrap();
    let opened = scene.through(relay.port()).await;
    relay.fault_mode(FaultMode::Absent).await.unwrap();
    let failure = failed(opened.truth.stage(&by(4), &scene.old, &credential()).await, &[&scene.old]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "K0640"));
    assert_eq!(scene.moto.count(&scene.id), 1);
}
