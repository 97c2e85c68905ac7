//! The answer to `rotate-role` is lost, Vault cannot reach the server, or Vault is sealed: nothing is claimed that was not
//! seen, and no login in use loses its password.

use std::sync::Arc;

use crate::postgres::stage::{field, id};
use crate::static_roles::stage::{ROLES, Stage, minted, told};
use keyroll_port::conformance::FaultMode;
use keyroll_port::{Class, Probe};
use keyroll_testkit::{AfterRotation, Deadline, Relay, until};

fn rotates(request: &[u8]) -> bool {
    request.starts_with(b"POST /v1/database/rotate-role/")
}

#[tokio::test]
async fn a_rotation_whose_answer_is_lost_is_unknown_and_claims_nothing() {
    let Some(stage) = Stage::new("lost answers").await else { return };
    let mut relay = Relay::start(stage.vault.port(), rotates).await.unwrap();
    let issuer = stage.through(relay.port());
    let current = stage.current();
    let mut said = Vec::new();
    relay.fault_mode(FaultMode::AnswerLost).await.unwrap();
    let failure = minted(&*issuer, &current).await.err().unwrap();
    assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
    said.push(told(&failure));
    assert_eq!(
        (stage.rotations(), stage.asked()),
        ([0, 1], [0, 1]),
        "it had its effect, and was not repeated"
    );
    assert_eq!(stage.probe(&current).await, Probe::Alive);
    // The next mint turns the role once more: the password of the lost answer was given to nobody.
    let lost = stage.shown(ROLES[1]);
    let new = minted(&*issuer, &current).await.unwrap_or_else(|failure| panic!("{}", told(&failure)));
    assert_eq!((stage.probe(&lost).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));

    relay.fault_mode(FaultMode::AnswerLost).await.unwrap();
    let failure = issuer.revoke(id(&current)).await.unwrap_err();
    assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
    said.push(told(&failure));
    let before = (stage.rotations(), stage.asked());
    assert_eq!(before, ([1, 2], [1, 2]));
    assert_eq!(stage.probe(&current).await, Probe::Dead);
    issuer.revoke(id(&current)).await.unwrap();
    assert_eq!((stage.rotations(), stage.asked()), before, "what is gone was revoked again");
    stage.is_clean(&said);
}

#[tokio::test]
async fn a_rotation_that_the_server_refuses_is_unknown_and_vault_repeats_it() {
    let Some(stage) = Stage::new("a server that refuses").await else { return };
    let (current, idle) = (stage.current(), stage.shown(ROLES[1]));
    let open = stage.session(&current).await;
    stage.refuse(true);
    let failure = minted(&*stage.issuer, &current).await.err().unwrap();
    assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
    assert_eq!((stage.rotations(), stage.asked()), ([0, 0], [0, 1]));
    assert_eq!((stage.probe(&current).await, stage.probe(&idle).await), (Probe::Alive, Probe::Alive));
    // Vault repeats it in the background with the same password, which nobody was given.
    stage.refuse(false);
    assert!(stage.vault.retry(ROLES[1]));
    let tried = stage.tried();
    assert_eq!(tried[2], tried[3]);
    let by_vault = stage.shown(ROLES[1]);
    assert_eq!(field(&by_vault, "password"), tried[3]);
    assert_eq!(stage.probe(&by_vault).await, Probe::Alive);
    let new = stage.mint(&current).await;
    assert_eq!((stage.rotations(), stage.asked()), ([0, 2], [0, 2]));
    assert_eq!((stage.probe(&by_vault).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));

    // The same at the end of the old one: it is not said to be dead, and it is dead once Vault has repeated it.
    stage.refuse(true);
    let revoked = stage.issuer.revoke(id(&current)).await.unwrap_err();
    assert_eq!(revoked.class, Class::Unknown, "{}", told(&revoked));
    assert_eq!(stage.probe(&current).await, Probe::Alive);
    stage.refuse(false);
    assert!(stage.vault.retry(ROLES[0]));
    assert_eq!(stage.probe(&current).await, Probe::Dead);
    let rotations = stage.rotations();
    stage.issuer.revoke(id(&current)).await.unwrap();
    assert_eq!(stage.rotations(), rotations, "what is gone was revoked again");
    open.batch_execute("SELECT 1").await.unwrap();
    stage.is_clean(&[told(&failure), told(&revoked)]);
}

/// A rotation that Vault reports and does not show is no new password, and a read that fails after it leaves its outcome open.
#[tokio::test]
async fn what_follows_a_rotation_decides_whether_it_is_known() {
    let Some(stage) = Stage::new("what follows a rotation").await else { return };
    let current = stage.current();
    let idle = stage.shown(ROLES[1]);
    stage.vault.after_rotation(AfterRotation::Late);
    let failure = minted(&*stage.issuer, &current).await.err().unwrap();
    assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
    assert!(told(&failure).contains("shows the time of the rotation before"), "{}", told(&failure));
    assert_eq!((stage.rotations(), stage.probe(&idle).await), ([0, 1], Probe::Dead));
    let revoked = stage.issuer.revoke(id(&current)).await.unwrap_err();
    assert_eq!((revoked.class, stage.rotations()), (Class::Unknown, [1, 1]), "{}", told(&revoked));
    stage.vault.after_rotation(AfterRotation::Shown);
    stage.issuer.revoke(id(&current)).await.unwrap();
    assert_eq!(stage.rotations(), [1, 1], "what is gone was revoked again");

    let current = stage.current();
    stage.vault.after_rotation(AfterRotation::Sealed);
    let sealed = minted(&*stage.issuer, &current).await.err().unwrap();
    assert_eq!((sealed.class, stage.rotations()), (Class::Unknown, [1, 2]), "{}", told(&sealed));
    stage.vault.seal(false);
    let ended = stage.issuer.revoke(id(&current)).await.unwrap_err();
    assert_eq!((ended.class, stage.rotations()), (Class::Unknown, [2, 2]), "{}", told(&ended));
    stage.is_clean(&[told(&failure), told(&revoked), told(&sealed), told(&ended)]);
}

/// The mint's next attempt is the repetition: Vault sets the same password then.
#[tokio::test]
async fn a_mint_after_a_refused_one_has_the_password_that_vault_kept() {
    let Some(stage) = Stage::new("a kept password").await else { return };
    let current = stage.current();
    stage.refuse(true);
    drop(minted(&*stage.issuer, &current).await.err().unwrap());
    stage.refuse(false);
    let new = stage.mint(&current).await;
    let tried = stage.tried();
    assert_eq!((tried[2].as_str(), field(&new, "password")), (tried[3].as_str(), tried[3].clone()));
    assert_eq!(stage.probe(&new).await, Probe::Alive);
}

#[tokio::test]
async fn sealed_nothing_turns_and_both_logins_work() {
    let Some(stage) = Stage::new("a sealed Vault").await else { return };
    let current = stage.current();
    let new = stage.mint(&current).await;
    let before = (stage.rotations(), stage.asked());
    stage.vault.seal(true);
    let revoked = stage.issuer.revoke(id(&current)).await.unwrap_err();
    let mint = minted(&*stage.issuer, &current).await.err().unwrap();
    let preflight = stage.issuer.preflight(&current).await.unwrap_err();
    for failure in [&revoked, &mint, &preflight] {
        assert_eq!(failure.class, Class::Retryable, "{}", told(failure));
        assert!(told(failure).contains("sealed"), "{}", told(failure));
    }
    assert_eq!(stage.rotations(), before.0);
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Alive, Probe::Alive));
    stage.vault.seal(false);
    stage.issuer.revoke(id(&current)).await.unwrap();
    assert_eq!(stage.probe(&current).await, Probe::Dead);
}

/// The rotation has happened, and its answer is still on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_answer_is_awaited_the_login_in_use_goes_on() {
    let Some(stage) = Stage::new("an answer that is awaited").await else { return };
    let stage = Arc::new(stage);
    let current = stage.current();
    let open = stage.session(&current).await;
    stage.vault.hold(true);
    let (there, used) = (Arc::clone(&stage), current.duplicate());
    let minting = tokio::spawn(async move { there.mint(&used).await });
    let turned = || async { (stage.rotations() == [0, 1]).then_some(()) };
    until(Deadline::seconds(60), turned).await.unwrap();
    assert_eq!(stage.probe(&current).await, Probe::Alive);
    open.batch_execute("SELECT 1").await.unwrap();
    assert!(!minting.is_finished());
    stage.vault.hold(false);
    let new = minting.await.unwrap();
    assert_eq!(stage.probe(&new).await, Probe::Alive);
    assert_eq!(stage.rotations(), [0, 1]);
}
