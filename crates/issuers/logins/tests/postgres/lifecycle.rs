//! Whole rotations against a real server.

use crate::postgres::stage::{Names, Stage, field, id, with_password};
use keyroll_port::{Class, Issuer, Probe};
use keyroll_testkit::{alphanumeric, tag};

#[tokio::test]
async fn the_first_rotation_adopts_and_later_ones_take_turns() {
    let Some(stage) = Stage::new("whole rotations").await else { return };
    let old = stage.session(&stage.current).await;
    old.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    whole_life(&stage).await;
}

#[tokio::test]
async fn hostile_role_names_live_the_same_life() {
    let names = Names {
        owner: "Orders \"; DROP ROLE postgres; --".to_owned(),
        slots: ["or'ders\\ a".to_owned(), "+ö%l:@/ \"\"".to_owned()],
        dbname: "my \"db's".to_owned(),
    };
    let Some(stage) = Stage::named(names, "hostile role names").await else { return };
    let old = stage.session(&stage.current).await;
    old.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    whole_life(&stage).await;
}

#[tokio::test]
async fn an_admin_with_createrole_is_enough() {
    let Some(stage) = Stage::new("rotations by a CREATEROLE admin").await else { return };
    let (user, password) = (tag(), alphanumeric(20));
    stage
        .sql(&format!(
            "CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'; \
         GRANT pg_read_all_stats, pg_signal_backend TO {user}"
        ))
        .await;
    stage
        .session(&stage.current)
        .await
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let issuer = stage.issuer_as(&user, &password);
    whole_life(&Stage { issuer, ..stage }).await;
}

/// Three rotations: the present login is adopted, then the slots take turns.
async fn whole_life(stage: &Stage) {
    let mut current = stage.current.duplicate();
    for (turn, slot) in [0, 1, 0].into_iter().enumerate() {
        let label = format!("keyroll/{turn}/3");
        stage.issuer.preflight(&current).await.unwrap();
        let new = stage.mint(&label, &current).await;
        assert_eq!(field(&new, "user"), stage.names.slots[slot]);
        assert_eq!(stage.probe(&new).await, Probe::Alive);
        assert_eq!(stage.probe(&current).await, Probe::Alive);
        assert_eq!(stage.issuer.identify(&new).await.unwrap().id, new.id);
        let session = stage.session(&new).await;
        let steps =
            ["INSERT INTO t VALUES (2)", "DISCARD ALL", "ALTER TABLE t ADD COLUMN IF NOT EXISTS m int"];
        for step in steps {
            session.batch_execute(step).await.unwrap();
        }
        let row = session.query_one("SELECT current_user::text, session_user::text", &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (stage.names.owner.clone(), stage.names.slots[slot].clone()));

        stage.issuer.disable(id(&current)).await.unwrap();
        assert_eq!(stage.probe(&current).await, Probe::Dead);
        stage.issuer.enable(id(&current)).await.unwrap();
        assert_eq!(stage.probe(&current).await, Probe::Alive);
        stage.issuer.revoke(id(&current)).await.unwrap();
        stage.issuer.revoke(id(&current)).await.unwrap();
        assert_eq!(stage.probe(&current).await, Probe::Dead);
        assert_eq!(stage.probe(&new).await, Probe::Alive);
        session.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
        for session in stage.issuer.sessions(id(&current)).await.unwrap().unwrap() {
            stage.issuer.end_sessions(id(&current), &[session.handle], true).await.unwrap();
        }
        let enabled = stage.issuer.enable(id(&current)).await;
        if enabled.is_ok() {
            // A bare owner without a readable password: on again, but nobody can log in.
            assert_ne!(stage.probe(&current).await, Probe::Alive);
            stage.issuer.disable(id(&current)).await.unwrap();
        }
        let listing = stage.issuer.list(&new).await.unwrap();
        let live: Vec<_> = listing.entries.iter().filter(|entry| !entry.disabled).collect();
        assert!(listing.complete);
        assert_eq!(live.len(), 1, "{listing:?}");
        assert_eq!((&live[0].id, live[0].label.as_deref()), (id(&new), Some(label.as_str())));
        drop(session);
        current = new;
    }
    let owner = stage.text("SELECT relowner::regrole::text FROM pg_class WHERE relname = 't'").await;
    assert_eq!(
        owner.unwrap(),
        stage
            .text(&format!("SELECT quote_ident('{}')", stage.names.owner.replace('\'', "''")))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_mint_whose_answer_was_lost_is_repeated_without_harm_or_new_salt() {
    let Some(stage) = Stage::new("a repeated mint").await else { return };
    let verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = 'orders_a'";
    let proposed = stage.issuer.propose(&stage.current).unwrap().unwrap();
    let first = stage.issuer.mint("keyroll/r/1", &stage.current, Some(&proposed)).await.unwrap();
    let salted = stage.text(verifier).await.unwrap();
    assert!(salted.starts_with("SCRAM-SHA-256$4096:"));
    let _session = stage.session(&proposed).await;
    let second = stage.issuer.mint("keyroll/r/1", &stage.current, Some(&proposed)).await.unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!(
        stage.text(verifier).await.unwrap(),
        salted,
        "re-salting breaks poolers that pass keys through"
    );
    assert_eq!(stage.issuer.list(&stage.current).await.unwrap().entries.len(), 2);

    // An admin that cannot read verifiers tests the password by logging in.
    let (user, password) = (tag(), alphanumeric(20));
    stage.sql(&format!("CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'")).await;
    let blind = stage.issuer_as(&user, &password);
    blind.mint("keyroll/r/1", &stage.current, Some(&proposed)).await.unwrap();
    assert_eq!(stage.text(verifier).await.unwrap(), salted);

    let another = with_password(&proposed, &alphanumeric(40));
    blind.mint("keyroll/r/1", &stage.current, Some(&another)).await.unwrap();
    assert_ne!(stage.text(verifier).await.unwrap(), salted);
    assert_eq!(stage.probe(&another).await, Probe::Alive);
}

#[tokio::test]
async fn a_late_revoke_of_what_was_in_a_slot_before_ends_nothing() {
    let Some(stage) = Stage::new("a late revoke").await else { return };
    let one = stage.mint("keyroll/r/1", &stage.current).await;
    stage.issuer.revoke(id(&stage.current)).await.unwrap();
    let two = stage.mint("keyroll/r/2", &one).await;
    stage.issuer.revoke(id(&one)).await.unwrap();
    let three = stage.mint("keyroll/r/3", &two).await;
    assert_eq!(field(&one, "user"), field(&three, "user"));

    stage.issuer.revoke(id(&one)).await.unwrap();
    stage.issuer.disable(id(&one)).await.unwrap();
    assert_eq!(stage.probe(&three).await, Probe::Alive);
    assert_eq!(stage.issuer.enable(id(&one)).await.unwrap_err().code, "K0146");
    let _session = stage.session(&three).await;
    assert!(stage.issuer.sessions(id(&one)).await.unwrap().unwrap().is_empty());

    // An overwritten comment proves nothing: keyroll does not revoke on a guess.
    stage.sql("COMMENT ON ROLE orders_a IS 'do not touch'").await;
    let failure = stage.issuer.revoke(id(&three)).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0146", Class::Permanent));
    assert_eq!(stage.probe(&three).await, Probe::Alive);
}

#[tokio::test]
async fn a_label_that_was_revoked_is_never_minted_again() {
    let Some(stage) = Stage::new("a late mint").await else { return };
    let proposed = stage.issuer.propose(&stage.current).unwrap().unwrap();
    let minted = stage.issuer.mint("keyroll/r/1", &stage.current, Some(&proposed)).await.unwrap();
    stage.issuer.revoke(&minted.id).await.unwrap();
    let late = stage.issuer.mint("keyroll/r/1", &stage.current, Some(&proposed)).await.err().unwrap();
    assert_eq!((late.code.as_str(), late.class), ("K0146", Class::Permanent));
    assert_eq!(stage.probe(&proposed).await, Probe::Dead);
    let listed = stage.issuer.list(&stage.current).await.unwrap();
    let entry = listed.entries.iter().find(|entry| entry.id == minted.id).unwrap();
    assert!(entry.disabled);
    stage.mint("keyroll/r/9", &stage.current).await;
}

#[tokio::test]
async fn preflight_changes_nothing() {
    let Some(stage) = Stage::new("preflight").await else { return };
    stage.sql("ALTER ROLE orders SET work_mem = '3MB'").await;
    let state = "SELECT md5(string_agg(a::text, '|' ORDER BY a.oid)) || coalesce((SELECT string_agg(s::text, '|') FROM \
                 pg_db_role_setting s), '') || (SELECT count(*) FROM pg_auth_members) || \
                 (SELECT count(*) FROM pg_shdescription) FROM pg_authid a";
    let before = stage.text(state).await;
    let notes = stage.issuer.preflight(&stage.current).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("adopted")), "{notes:?}");
    assert_eq!(stage.text(state).await, before);
    assert_eq!(stage.probe(&stage.current).await, Probe::Alive);
}

#[tokio::test]
async fn no_password_ever_reaches_the_server_in_the_clear() {
    let Some(stage) = Stage::new("the server's log").await else { return };
    for loud in ["log_min_duration_statement = 0", "log_error_verbosity = verbose"] {
        stage.sql(&format!("ALTER SYSTEM SET {loud}")).await;
    }
    stage.sql("SELECT pg_reload_conf()").await;
    // An admin that may not disable the logging gets a note; the password itself is in no log.
    let (user, password) = (tag(), alphanumeric(20));
    stage
        .sql(&format!(
            "CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'; \
             GRANT pg_read_all_stats, pg_signal_backend TO {user}; \
             DO $$ BEGIN IF current_setting('server_version_num')::int >= 160000 THEN \
                    EXECUTE 'GRANT orders TO {user} WITH ADMIN OPTION'; END IF; END $$"
        ))
        .await;
    let told = |notes: &[String]| notes.iter().any(|note| note.contains("SCRAM verifier"));
    let lesser = stage.issuer_as(&user, &password).preflight(&stage.current).await.unwrap();
    assert!(told(&lesser), "{lesser:?}");
    let before = stage.server.log().unwrap();
    assert!(before.contains("PASSWORD 'SCRAM-SHA-256$"), "the log shows every statement");
    // A superuser disables the logging for its own transactions.
    let notes = stage.issuer.preflight(&stage.current).await.unwrap();
    assert!(!told(&notes), "{notes:?}");
    let minted = stage.mint("keyroll/r/1", &stage.current).await;
    assert_eq!(stage.probe(&minted).await, Probe::Alive);
    stage.sql("SELECT 'the end'").await;
    let log = stage.server.log().unwrap();
    let after = &log[before.len()..];
    assert!(after.contains("SELECT 'the end'"));
    assert!(!after.contains("SCRAM-SHA-256$"), "a verifier stands in the log");
    assert!(!log.contains(&field(&minted, "password")));
}

#[tokio::test]
async fn a_server_too_full_for_both_logins_is_told_before() {
    let Some(stage) = Stage::new("room for connections").await else { return };
    let note = "sessions and the server has room for";
    let notes = stage.issuer.preflight(&stage.current).await.unwrap();
    assert!(!notes.iter().any(|said| said.contains(note)), "{notes:?}");
    let mut pool = Vec::new();
    for _ in 0..30 {
        pool.push(stage.session(&stage.current).await);
    }
    let notes = stage.issuer.preflight(&stage.current).await.unwrap();
    assert!(notes.iter().any(|said| said.contains(note)), "{notes:?}");
}
