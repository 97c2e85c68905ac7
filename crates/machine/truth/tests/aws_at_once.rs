//! Two parties change one secret at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyroll_port::{Class, FailureKind, Truth as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::sample::{Scene, by, credential, document, failed};

/// A relay that lets another party act once, right before the first request with all of these words is passed on.
pub(crate) async fn meddling(
    server: u16,
    words: &'static [&'static str],
    act: impl Fn() + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (act, done) = (Arc::new(act), Arc::new(AtomicBool::new(false)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, server, words, Arc::clone(&act), Arc::clone(&done)));
        }
    });
    port
}

async fn pass(
    mut client: TcpStream,
    server: u16,
    words: &'static [&'static str],
    act: Arc<impl Fn() + Send + Sync + 'static>,
    done: Arc<AtomicBool>,
) -> Option<()> {
    let request = crate::aws_answers::request(&mut client).await?;
    let text = String::from_utf8_lossy(&request).into_owned();
    if words.iter().all(|word| text.contains(word)) && !done.swap(true, Ordering::SeqCst) {
        act();
    }
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.ok()?;
    server.write_all(&request).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    client.write_all(&answer).await.ok()
}

/// The scene, shared with the other party.
fn start() -> Option<Arc<Scene>> {
    Scene::start("two parties at AWS Secrets Manager").map(Arc::new)
}

#[tokio::test]
async fn of_two_rotations_at_once_one_stages_and_the_other_leaves_it() {
    let Some(scene) = start() else { return };
    let (one, two) = (scene.direct().await, scene.direct().await);
    for round in 0..8 {
        let (ours, theirs) = (credential(), credential());
        let (by_one, by_two) = (by(2 * round), by(2 * round + 1));
        let (first, second) = tokio::join!(
            one.truth.stage(&by_one, &scene.old, &ours),
            two.truth.stage(&by_two, &scene.old, &theirs),
        );
        assert!(first.is_ok() != second.is_ok(), "round {round}: one of the two stages");
        let (loser, winner) = if first.is_ok() { (second, 2 * round) } else { (first, 2 * round + 1) };
        let failure = failed(loser, &[&scene.old, &ours, &theirs]);
        assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::PendingElsewhere));
        assert_eq!(scene.pending().len(), 1, "round {round}");
        one.truth.withdraw(&by(winner)).await.unwrap();
        assert!(scene.pending().is_empty(), "the pending version was the winner's");
    }
}

#[tokio::test]
async fn a_pending_version_that_appears_while_keyroll_stages_is_left_alone() {
    let Some(scene) = start() else { return };
    let theirs = credential();
    let (text, other) = (document(&theirs, &scene.beside), Arc::clone(&scene));
    let act = move || drop(other.moto.put(&other.id, &text, &["AWSPENDING"]));
    let words = &["secretsmanager.UpdateSecretVersionStage", "AWSPENDING"];
    let opened = scene.through(meddling(scene.moto.port(), words, act).await).await;
    let failure = failed(opened.truth.stage(&by(4), &scene.old, &credential()).await, &[&scene.old, &theirs]);
    assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::PendingElsewhere));
    opened.truth.withdraw(&by(4)).await.unwrap();
    let pending = scene.pending();
    assert_eq!(pending.len(), 1);
    assert!(crate::sample::shown(&failure).contains(&pending[0]), "the version is named");
}

#[tokio::test]
async fn a_value_that_changes_between_look_and_move_stays() {
    let Some(scene) = start() else { return };
    let (new, theirs) = (credential(), credential());
    let (text, other) = (document(&theirs, &scene.beside), Arc::clone(&scene));
    let act = move || drop(other.moto.put(&other.id, &text, &["AWSCURRENT"]));
    let words = &["secretsmanager.UpdateSecretVersionStage", "AWSCURRENT"];
    let opened = scene.through(meddling(scene.moto.port(), words, act).await).await;
    opened.truth.stage(&by(4), &scene.old, &new).await.unwrap();
    let outcome = opened.truth.give_out(&by(4), &scene.old, &new).await;
    let failure = failed(outcome, &[&scene.old, &new, &theirs]);
    assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
    assert!(scene.gives(&theirs), "the other party's value is given out");
}

#[tokio::test]
async fn what_changes_beside_the_value_between_look_and_move_is_kept_by_the_next_attempt() {
    let Some(scene) = start() else { return };
    let new = credential();
    let (text, other) = (document(&scene.old, "theirs"), Arc::clone(&scene));
    let act = move || drop(other.moto.put(&other.id, &text, &["AWSCURRENT"]));
    let words = &["secretsmanager.UpdateSecretVersionStage", "AWSCURRENT"];
    let opened = scene.through(meddling(scene.moto.port(), words, act).await).await;
    opened.truth.stage(&by(4), &scene.old, &new).await.unwrap();
    let failure = failed(opened.truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    assert_eq!((failure.class, failure.kind), (Class::Retryable, FailureKind::Other));
    opened.truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    assert_eq!(scene.moto.text(&scene.id), document(&new, "theirs"));
    assert!(scene.pending().is_empty());
}

#[tokio::test]
async fn a_value_that_changes_right_after_the_move_leaves_the_outcome_open() {
    let Some(scene) = start() else { return };
    let (new, theirs) = (credential(), credential());
    scene.direct().await.truth.stage(&by(4), &scene.old, &new).await.unwrap();
    let (text, other) = (document(&theirs, &scene.beside), Arc::clone(&scene));
    let act = move || drop(other.moto.put(&other.id, &text, &["AWSCURRENT"]));
    // The first label of this name that is moved now is taken off, once the new version is given out.
    let words = &["secretsmanager.UpdateSecretVersionStage", "AWSPENDING"];
    let opened = scene.through(meddling(scene.moto.port(), words, act).await).await;
    let outcome = opened.truth.give_out(&by(4), &scene.old, &new).await;
    let failure = failed(outcome, &[&scene.old, &new, &theirs]);
    assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::ChangedElsewhere));
    assert!(scene.gives(&theirs), "the other party's value is given out");
}
