//! Whole rotations between two static roles: which role turns when, and which does not.

use std::collections::BTreeSet;

use crate::postgres::stage::{field, id};
use crate::static_roles::stage::{ROLES, Stage, told};
use keyroll_port::Probe;
use keyroll_rotation::{MintedBy, Overlap};
use keyroll_secret::CredentialId;
use keyroll_testkit::{Deadline, until};

#[tokio::test]
async fn a_mint_turns_the_idle_role_only_and_the_other_login_goes_on() {
    let Some(stage) = Stage::new("static roles take turns").await else { return };
    let capabilities = stage.issuer.capabilities();
    assert_eq!((capabilities.minted_by, capabilities.overlap), (MintedBy::Api, Overlap::TwoSlots));
    assert!(capabilities.mint_replaces && !capabilities.disable);
    let (current, idle) = (stage.current(), stage.shown(ROLES[1]));
    let open = stage.session(&current).await;
    stage.issuer.preflight(&current).await.unwrap_or_else(|failure| panic!("{}", told(&failure)));
    assert_eq!((stage.rotations(), stage.asked()), ([0, 0], [0, 0]), "a preflight turned a role");

    let new = stage.mint(&current).await;
    assert_eq!((stage.rotations(), stage.asked()), ([0, 1], [0, 1]));
    assert_eq!(id(&new), id(&stage.shown(ROLES[1])), "its id is the login at the time that Vault shows");
    assert_eq!(field(&new, "password"), stage.vault.static_password(ROLES[1]));
    let role = "SELECT session_user::text || ' ' || current_user::text";
    let said: String = stage.session(&new).await.query_one(role, &[]).await.unwrap().get(0);
    assert_eq!(said, "orders_b orders");
    assert_eq!(stage.probe(&idle).await, Probe::Dead, "the idle role's password of before");
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Alive, Probe::Alive));
    open.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(stage.issuer.identify(&new).await.unwrap().id.as_ref(), Some(id(&new)));

    // The second time the other way round: the role that was used first turns once for its end, once for the mint.
    stage.issuer.revoke(id(&current)).await.unwrap();
    assert_eq!((stage.rotations(), stage.asked()), ([1, 1], [1, 1]));
    assert_eq!((stage.probe(&current).await, stage.probe(&new).await), (Probe::Dead, Probe::Alive));
    open.batch_execute("SELECT 1").await.unwrap();
    drop(open);
    // The server may show a session for a moment after its end.
    until(Deadline::seconds(60), || async { stage.issuer.preflight(&new).await.ok() }).await.unwrap();
    let third = stage.mint(&new).await;
    assert_eq!((stage.rotations(), stage.asked()), ([2, 1], [2, 1]));
    assert_eq!(field(&third, "user"), "orders_a");
    assert_eq!((stage.probe(&new).await, stage.probe(&third).await), (Probe::Alive, Probe::Alive));
    stage.is_clean(&[]);
}

#[tokio::test]
async fn a_second_mint_replaces_what_the_first_made() {
    let Some(stage) = Stage::new("a second mint").await else { return };
    let current = stage.current();
    let first = stage.mint(&current).await;
    let second = stage.mint(&current).await;
    assert_eq!(stage.rotations(), [0, 2]);
    assert_ne!(first.id, second.id);
    assert_eq!((stage.probe(&first).await, stage.probe(&second).await), (Probe::Dead, Probe::Alive));
    let listed = stage.issuer.list(&current).await.unwrap();
    assert!(listed.complete);
    let ids: BTreeSet<CredentialId> = listed.entries.into_iter().map(|entry| entry.id).collect();
    assert_eq!(
        ids,
        BTreeSet::from([id(&current).clone(), id(&second).clone()]),
        "what is gone is not listed"
    );
}

#[tokio::test]
async fn a_revoke_ends_what_its_id_names_and_nothing_that_came_later() {
    let Some(stage) = Stage::new("late revokes").await else { return };
    let current = stage.current();
    let new = stage.mint(&current).await;
    for _ in 0..2 {
        stage.issuer.revoke(id(&current)).await.unwrap();
        assert_eq!((stage.rotations(), stage.asked()), ([1, 1], [1, 1]), "what is gone was revoked again");
    }
    assert_eq!(stage.probe(&current).await, Probe::Dead);
    // Vault rotated the role itself meanwhile: the id is that of an earlier password.
    let known = stage.shown(ROLES[0]);
    stage.vault.rotate_by_itself(ROLES[0]);
    let later = stage.shown(ROLES[0]);
    stage.issuer.revoke(id(&known)).await.unwrap();
    assert_eq!((stage.rotations(), stage.asked()), ([2, 1], [1, 1]));
    assert_eq!((stage.probe(&later).await, stage.probe(&new).await), (Probe::Alive, Probe::Alive));
}

/// Vault's storage was put back: it shows an earlier password, and the login has the later one.
#[tokio::test]
async fn what_vault_shows_after_a_restored_snapshot_is_not_taken_for_the_login() {
    let Some(stage) = Stage::new("a restored snapshot").await else { return };
    let current = stage.current();
    let snapshot = stage.vault.snapshot();
    let new = stage.mint(&current).await;
    stage.vault.restore(&snapshot);
    assert_ne!(id(&new), id(&stage.shown(ROLES[1])), "it shows an earlier one");
    assert_eq!(
        (stage.probe(&new).await, stage.probe(&stage.shown(ROLES[1])).await),
        (Probe::Alive, Probe::Dead)
    );
    assert_eq!(stage.issuer.identify(&new).await.unwrap().id, None, "it has an id that Vault does not show");
    // The earlier time does not show that the later password is gone: it is listed, and its end turns the role.
    let listed = stage.issuer.list(&new).await.unwrap().entries;
    assert!(listed.iter().any(|entry| entry.id == *id(&new)), "{listed:?}");
    let notes = stage.issuer.preflight(&new).await.unwrap().join("\n");
    assert!(notes.contains("Vault was put back from a backup"), "{notes}");
    let rotations = stage.rotations();
    stage.issuer.revoke(id(&new)).await.unwrap();
    assert_eq!((stage.probe(&new).await, stage.rotations()[1]), (Probe::Dead, rotations[1] + 1));
    stage.issuer.revoke(id(&new)).await.unwrap();
    assert_eq!(stage.rotations()[1], rotations[1] + 1, "what is gone was revoked again");
    let next = stage.mint(&current).await;
    assert_eq!((stage.probe(&new).await, stage.probe(&next).await), (Probe::Dead, Probe::Alive));
}
