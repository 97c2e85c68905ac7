//! Rotations with the real Vault: one that works, and those in which Vault does not reach the server, loses its answer, or
//! is sealed. A test whose relay must answer while Vault is awaited has threads for it.

use keyroll_port::conformance::FaultMode;
use keyroll_port::{Class, Probe};
use keyroll_testkit::{Deadline, alphanumeric, scram_verifier, until};
use serde_json::json;

use crate::postgres::stage::{field, id, with_password};
use crate::static_roles::stage::{ROLES, SLOTS, is, minted, told};
use crate::static_roles_real::stage::Stage;

/// How long Vault may need after an unseal, seconds.
const UNSEALED_S_MAX: u64 = 60;

/// The simple query that ends a transaction, as Vault's driver sends it.
fn commits(sent: &[u8]) -> bool {
    sent.windows(7).any(|window| window.eq_ignore_ascii_case(b"COMMIT\0"))
}

#[tokio::test]
async fn a_mint_turns_the_idle_role_and_a_revocation_the_old_one() {
    let Some(stage) = Stage::new("static roles of the real Vault").await else { return };
    let (current, idle) = (stage.shown(0), stage.shown(1));
    stage.issuer.preflight(&current).await.unwrap_or_else(|failure| panic!("{}", told(&failure)));
    assert_eq!(
        (&stage.shown(0).id, &stage.shown(1).id),
        (&current.id, &idle.id),
        "a preflight turned a role"
    );

    let new = stage.mint(&current).await;
    let shown = stage.shown(1);
    assert_eq!(id(&new), id(&shown), "its id is the login at the time that Vault shows");
    assert_eq!(field(&new, "password"), field(&shown, "password"));
    assert_eq!(stage.probe(&idle).await, Probe::Dead, "the idle role's password of before");
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Alive, Probe::Alive));
    assert_eq!(stage.issuer.identify(&new).await.unwrap().id.as_ref(), Some(id(&new)));

    stage.issuer.revoke(id(&current)).await.unwrap();
    let later = stage.shown(0);
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));
    stage.issuer.revoke(id(&current)).await.unwrap();
    assert_eq!(stage.shown(0).id, later.id, "what is gone was revoked again");

    // The second time the other way round.
    let third = stage.mint(&new).await;
    assert_eq!(field(&third, "user"), SLOTS[0]);
    assert_eq!((stage.probe(&new).await, stage.probe(&third).await), (Probe::Alive, Probe::Alive));
    assert_eq!(stage.probe(&later).await, Probe::Dead);
    stage.is_clean(&[&current, &idle, &new, &later, &third], &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vault_could_not_do_is_unknown_and_done_later_by_vault() {
    let Some(stage) = Stage::new("the real Vault without its database").await else { return };
    let mut relay = stage.relay(commits).await;
    let (current, idle) = (stage.shown(0), stage.shown(1));
    stage.ready(&current).await;
    stage.cut(&mut relay).await;
    let failure = minted(&*stage.issuer, &current).await.err().unwrap();
    assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
    assert_eq!(stage.shown(1).id, idle.id, "Vault shows the rotation before");
    assert_eq!((stage.probe(&current).await, stage.probe(&idle).await), (Probe::Alive, Probe::Alive));
    relay.fault_mode(FaultMode::Fair).await.unwrap();
    let by_vault = stage.turned(1, &idle).await;
    assert_eq!((stage.probe(&idle).await, stage.probe(&by_vault).await), (Probe::Dead, Probe::Alive));
    assert_eq!(stage.probe(&current).await, Probe::Alive);
    let new = stage.mint(&current).await;
    assert_eq!((stage.probe(&by_vault).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));

    // The same at the end of the old one: it is not said to be dead, and it is dead once Vault has repeated it.
    stage.cut(&mut relay).await;
    let revoked = stage.issuer.revoke(id(&current)).await.unwrap_err();
    assert_eq!(revoked.class, Class::Unknown, "{}", told(&revoked));
    assert_eq!(stage.probe(&current).await, Probe::Alive);
    relay.fault_mode(FaultMode::Fair).await.unwrap();
    let after = stage.turned(0, &current).await;
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));
    stage.issuer.revoke(id(&current)).await.unwrap();
    assert_eq!(stage.shown(0).id, after.id, "what is gone was revoked again");
    stage.is_clean(&[&current, &idle, &by_vault, &new, &after], &[told(&failure), told(&revoked)]);
}

/// The server has the new password, and Vault does not know it: until it repeats the rotation, the password that it shows is
/// none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_vault_lost_is_unknown_and_the_next_mint_works() {
    let Some(stage) = Stage::new("the real Vault and a lost answer of its database").await else { return };
    let mut relay = stage.relay(commits).await;
    let (current, idle) = (stage.shown(0), stage.shown(1));
    stage.ready(&current).await;
    relay.fault_mode(FaultMode::AnswerLost).await.unwrap();
    let failure = minted(&*stage.issuer, &current).await.err().unwrap();
    assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
    assert_eq!(stage.shown(1).id, idle.id, "Vault shows the rotation before");
    assert_eq!((stage.probe(&current).await, stage.probe(&idle).await), (Probe::Alive, Probe::Dead));
    let new = stage.mint(&current).await;
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Alive, Probe::Alive));
    stage.issuer.revoke(id(&current)).await.unwrap();
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));
    assert_eq!(id(&stage.shown(1)), id(&new), "Vault turned the role once more");
    stage.is_clean(&[&current, &idle, &new], &[told(&failure)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vault_does_after_a_restart_what_it_could_not_do_before() {
    let Some(mut stage) = Stage::new("a restart of the real Vault").await else { return };
    let mut relay = stage.relay(commits).await;
    let (current, idle) = (stage.shown(0), stage.shown(1));
    stage.ready(&current).await;
    stage.cut(&mut relay).await;
    let failure = minted(&*stage.issuer, &current).await.err().unwrap();
    assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
    relay.fault_mode(FaultMode::Fair).await.unwrap();
    stage.vault.restart().unwrap();
    let by_vault = stage.turned(1, &idle).await;
    assert_eq!((stage.probe(&idle).await, stage.probe(&by_vault).await), (Probe::Dead, Probe::Alive));
    assert_eq!(stage.probe(&current).await, Probe::Alive);
    let new = stage.mint(&current).await;
    assert_eq!((stage.probe(&by_vault).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));
}

#[tokio::test]
async fn sealed_nothing_turns_and_both_logins_work() {
    let Some(stage) = Stage::new("the real Vault, sealed").await else { return };
    let current = stage.shown(0);
    let new = stage.mint(&current).await;
    stage.vault.seal();
    let revoked = stage.issuer.revoke(id(&current)).await.unwrap_err();
    let mint = minted(&*stage.issuer, &current).await.err().unwrap();
    let preflight = stage.issuer.preflight(&current).await.unwrap_err();
    for failure in [&revoked, &mint, &preflight] {
        assert_eq!(failure.class, Class::Retryable, "{}", told(failure));
        assert!(told(failure).contains("sealed"), "{}", told(failure));
    }
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Alive, Probe::Alive));
    stage.vault.unseal();
    assert_eq!((id(&stage.shown(0)), id(&stage.shown(1))), (id(&current), id(&new)), "a role turned");
    // Right after the unseal Vault may answer 500 although the role turned: its queue is not there yet. Then the outcome is
    // unknown, and a repetition is harmless.
    let revoked = async || match stage.issuer.revoke(id(&current)).await {
        Ok(()) => Some(()),
        Err(failure) => {
            assert_eq!(failure.class, Class::Unknown, "{}", told(&failure));
            None
        }
    };
    until(Deadline::seconds(UNSEALED_S_MAX), revoked).await.unwrap();
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));
}

#[tokio::test]
async fn what_is_wrong_at_vault_is_refused_and_its_help_is_what_vault_takes() {
    let Some(stage) = Stage::new("refusals with the real Vault").await else { return };
    let (current, idle) = (stage.shown(0), stage.shown(1));
    let reads = "path \"database/static-roles/*\" { capabilities = [\"read\"] }\n\
                 path \"database/static-creds/*\" { capabilities = [\"read\"] }";
    stage.vault.policy("reader", reads);
    let failure = stage.with_policy("reader").preflight(&current).await.unwrap_err();
    is(
        &failure,
        Class::Permanent,
        "K0103",
        &["rotate-role/orders-a", "rotate-role/orders-b", "[\"update\"]"],
    );

    // Ten minutes: Vault would turn the role in the middle of a rotation.
    stage.vault.static_role(ROLES[0], SLOTS[0], 600);
    let failure = stage.issuer.preflight(&current).await.unwrap_err();
    let command = "vault write database/static-roles/orders-a username=orders_a rotation_period=8760h";
    assert_eq!(failure.help.as_deref(), Some(command), "{}", told(&failure));
    let settings = json!({ "username": "orders_a", "rotation_period": "8760h" });
    stage.vault.post("database/static-roles/orders-a", &settings);
    stage.issuer.preflight(&current).await.unwrap_or_else(|failure| panic!("{}", told(&failure)));
    assert_eq!((&stage.shown(0).id, &stage.shown(1).id), (&current.id, &idle.id), "a setting turned a role");

    // Somebody changes the password at the server, beside Vault.
    let by_hand = alphanumeric(20);
    stage.sql(&format!("ALTER ROLE orders_a PASSWORD '{}'", scram_verifier(&by_hand))).await;
    let changed = with_password(&current, &by_hand);
    let failure = stage.issuer.preflight(&changed).await.unwrap_err();
    is(&failure, Class::Permanent, "K0146", &["vault write -f database/rotate-role/orders-a"]);
}
