//! Obstacles for a rotation at a real server, one test each.

use crate::postgres::stage::{Names, Stage, credential, field, id, issuer, options, with_password};
use keyroll_port::{Class, Issuer, Probe};
use keyroll_testkit::{Deadline, alphanumeric, tag, until};

#[tokio::test]
async fn settings_that_membership_does_not_carry_are_copied() {
    let Some(stage) = Stage::new("role settings").await else { return };
    stage
        .sql(
            r#"CREATE SCHEMA "odd, name"; GRANT USAGE ON SCHEMA "odd, name" TO orders;
               ALTER ROLE orders SET search_path = "$user", "odd, name", public;
               ALTER ROLE orders SET statement_timeout = '77s';
               ALTER ROLE orders SET app.motto = 'it''s "quoted", \ so';
               ALTER ROLE orders IN DATABASE orders SET work_mem = '5MB';
               ALTER ROLE orders CONNECTION LIMIT 7 VALID UNTIL '2099-01-02 03:04:05+00'"#,
        )
        .await;
    let show = async |credential| {
        let session = stage.session(credential).await;
        let settings =
            "SELECT concat_ws('|', current_setting('search_path'), current_setting('statement_timeout'),
                        current_setting('app.motto'), current_setting('work_mem'), current_user,
                        array_to_string(current_schemas(false), '+'))";
        session.query_one(settings, &[]).await.unwrap().get::<_, String>(0)
    };
    let before = show(&stage.current).await;
    assert!(
        before.starts_with(r#""$user", "odd, name", public|77s|it's "quoted", \ so|5MB|orders|"#),
        "{before}"
    );
    let one = stage.mint("keyroll/r/1", &stage.current).await;
    assert_eq!(show(&one).await, before);
    let limits = "SELECT concat_ws('|', rolconnlimit, rolvaliduntil AT TIME ZONE 'UTC') FROM pg_roles WHERE rolname = ";
    let expected = Some("7|2099-01-02 03:04:05".to_owned());
    assert_eq!(stage.text(&format!("{limits}'orders_a'")).await, expected);

    // The next rotation copies from the login, and removes settings from the slot that the login no longer has.
    stage.issuer.revoke(id(&stage.current)).await.unwrap();
    let two = stage.mint("keyroll/r/2", &one).await;
    assert_eq!(show(&two).await, before);
    assert_eq!(stage.text(&format!("{limits}'orders_b'")).await, expected);
    stage.issuer.revoke(id(&one)).await.unwrap();
    stage
        .sql("ALTER ROLE orders_b RESET statement_timeout; ALTER ROLE orders_b VALID UNTIL 'infinity'")
        .await;
    let three = stage.mint("keyroll/r/3", &two).await;
    assert!(show(&three).await.contains("public|0|"));
    assert_eq!(stage.text(&format!("{limits}'orders_a'")).await, Some("7|infinity".to_owned()));
}

#[tokio::test]
async fn a_setting_that_the_admin_may_not_copy_is_refused_before_minting() {
    let Some(stage) = Stage::new("settings of superusers").await else { return };
    let (user, password) = (tag(), alphanumeric(20));
    stage
        .sql(&format!(
            "ALTER ROLE orders SET log_min_duration_statement = '1s'; \
         CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'; \
         GRANT pg_read_all_stats, pg_signal_backend TO {user}"
        ))
        .await;
    let failure = stage.issuer_as(&user, &password).preflight(&stage.current).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0208", Class::Permanent));
    assert!(failure.help.unwrap().contains("log_min_duration_statement"));
    stage.issuer.preflight(&stage.current).await.unwrap();
}

#[tokio::test]
async fn a_setting_that_the_server_does_not_take_is_refused_without_its_value() {
    let Some(stage) = Stage::new("the value of a setting").await else { return };
    let canary = alphanumeric(20);
    // A setting that the server once accepted may be refused now; the server names it.
    stage
        .sql(&format!(
            "INSERT INTO pg_db_role_setting (setdatabase, setrole, setconfig) \
             SELECT 0, oid, ARRAY['work_mem={canary}'] FROM pg_roles WHERE rolname = 'orders'"
        ))
        .await;
    let proposed = stage.issuer.propose(&stage.current).unwrap();
    let minted = stage.issuer.mint("keyroll/r/1", &stage.current, proposed.as_ref()).await;
    for failure in [stage.issuer.preflight(&stage.current).await.unwrap_err(), minted.err().unwrap()] {
        assert_eq!((failure.code.as_str(), failure.class), ("K0208", Class::Permanent));
        let said = format!("{failure:?}");
        assert!(said.contains("work_mem") && said.contains("22023"), "it is not told what is refused");
        assert!(!said.contains(&canary), "the value of a setting is told");
    }
}

#[tokio::test]
async fn nologin_is_dead_by_the_catalogue_and_no_pg_hba_entry_is_unknown() {
    let Some(stage) = Stage::new("the two meanings of 28000").await else { return };
    let minted = stage.mint("keyroll/r/1", &stage.current).await;
    stage.issuer.disable(id(&minted)).await.unwrap();
    let refusal =
        stage.server.connect("orders_a", &field(&minted, "password"), "orders").await.err().unwrap();
    assert_eq!(refusal.code().unwrap().code(), "28000");
    assert_eq!(stage.probe(&minted).await, Probe::Dead);

    stage.issuer.enable(id(&minted)).await.unwrap();
    stage.server.set_hba("host all orders_a 127.0.0.1/32 reject").unwrap();
    stage.server.reload().await.unwrap();
    let refusal =
        stage.server.connect("orders_a", &field(&minted, "password"), "orders").await.err().unwrap();
    assert_eq!(refusal.code().unwrap().code(), "28000");
    assert!(matches!(stage.probe(&minted).await, Probe::Unknown(_)));

    // Without the admin it is unknown which of the two it is.
    stage.server.set_hba("").unwrap();
    stage.server.reload().await.unwrap();
    stage.issuer.disable(id(&minted)).await.unwrap();
    let blind = stage.issuer_as("nobody", "nothing");
    let endpoint = blind.endpoints().remove(0);
    assert!(matches!(blind.probe(&endpoint, &minted).await, Probe::Unknown(_)));
}

#[tokio::test]
async fn nologin_with_a_wrong_password_is_28p01_and_dead() {
    let Some(stage) = Stage::new("28P01").await else { return };
    let minted = stage.mint("keyroll/r/1", &stage.current).await;
    stage.issuer.disable(id(&minted)).await.unwrap();
    let refusal = stage.server.connect("orders_a", "wrong", "orders").await.err().unwrap();
    assert_eq!(refusal.code().unwrap().code(), "28P01");
    assert_eq!(stage.probe(&with_password(&minted, "wrong")).await, Probe::Dead);
}

#[tokio::test]
async fn a_full_role_is_alive_and_a_full_server_is_unknown() {
    let Some(stage) = Stage::new("53300").await else { return };
    stage.sql("ALTER ROLE orders CONNECTION LIMIT 1").await;
    let held = stage.session(&stage.current).await;
    let endpoint = stage.issuer.endpoints().remove(0);
    let refusal =
        stage.server.connect("orders", &field(&stage.current, "password"), "orders").await.err().unwrap();
    assert_eq!(refusal.code().unwrap().code(), "53300");
    assert_eq!(stage.probe(&stage.current).await, Probe::Alive);
    let wrong = with_password(&stage.current, "wrong");
    assert_eq!(stage.probe(&wrong).await, Probe::Dead);
    drop(held);

    // Every connection slot of the server is taken: it answers 53300 before it asks for a password, also to a dead
    // credential.
    let mut all = Vec::new();
    while let Ok(client) = stage.server.connect_admin("orders").await {
        all.push(client);
    }
    let refusal = stage.server.connect("orders", "wrong", "orders").await.err().unwrap();
    assert_eq!(refusal.code().unwrap().code(), "53300");
    assert!(matches!(stage.issuer.probe(&endpoint, &wrong).await, Probe::Unknown(_)));
    assert!(matches!(stage.issuer.probe(&endpoint, &stage.current).await, Probe::Unknown(_)));
    let failure = stage.issuer.revoke(id(&stage.current)).await.unwrap_err();
    assert_eq!(failure.class, Class::Retryable);
}

#[tokio::test]
async fn a_missing_database_is_told_only_to_who_has_logged_in() {
    let Some(stage) = Stage::new("3D000").await else { return };
    let elsewhere = |credential: &keyroll_secret::Credential| {
        let mut copy = credential.duplicate();
        copy.fields.insert("dbname", "missing".to_owned().into(), false);
        copy
    };
    assert_eq!(stage.probe(&elsewhere(&stage.current)).await, Probe::Alive);
    assert_eq!(stage.probe(&elsewhere(&with_password(&stage.current, "wrong"))).await, Probe::Dead);
    stage.sql("REVOKE CONNECT ON DATABASE orders FROM PUBLIC, orders").await;
    assert_eq!(stage.probe(&stage.current).await, Probe::Denied);
}

#[tokio::test]
async fn an_expired_password_is_dead() {
    let Some(stage) = Stage::new("VALID UNTIL").await else { return };
    stage.sql("ALTER ROLE orders VALID UNTIL '2001-01-01'").await;
    assert_eq!(stage.probe(&stage.current).await, Probe::Dead);
}

#[tokio::test]
async fn a_login_that_does_not_become_its_owner_is_not_alive() {
    let Some(stage) = Stage::new("SET role").await else { return };
    let minted = stage.mint("keyroll/r/1", &stage.current).await;
    stage.sql("ALTER ROLE orders_a RESET role").await;
    let Probe::Unknown(why) = stage.probe(&minted).await else {
        panic!("it does not do what consumers need")
    };
    assert!(why.contains("orders_a"), "{why}");
}

#[tokio::test]
async fn hidden_sessions_are_no_empty_list() {
    let Some(stage) = Stage::new("<insufficient privilege>").await else { return };
    let (user, password) = (tag(), alphanumeric(20));
    stage.sql(&format!("CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'")).await;
    let blind = stage.issuer_as(&user, &password);
    let _held = stage.session(&stage.current).await;
    let failure = blind.sessions(id(&stage.current)).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0103", Class::Permanent));
    let failure = blind.preflight(&stage.current).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0103");
    let help = failure.help.unwrap();
    assert!(help.contains("pg_read_all_stats") && help.contains("pg_signal_backend"), "{help}");
}

#[tokio::test]
async fn an_admin_without_createrole_is_refused_before_minting() {
    let Some(stage) = Stage::new("rights").await else { return };
    let (user, password) = (tag(), alphanumeric(20));
    stage
        .sql(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD '{password}'; \
         GRANT pg_read_all_stats, pg_signal_backend TO {user}"
        ))
        .await;
    let failure = stage.issuer_as(&user, &password).preflight(&stage.current).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0103", Class::Permanent));
    let failure = stage.issuer_as(&user, "wrong").preflight(&stage.current).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0104", Class::Permanent));
}

#[tokio::test]
async fn a_trust_line_makes_preflight_refuse() {
    let Some(stage) = Stage::new("trust").await else { return };
    for line in ["host all all 127.0.0.1/32 trust", "host all +orders 127.0.0.1/32 trust"] {
        stage.server.set_hba(line).unwrap();
        stage.server.reload().await.unwrap();
        let failure = stage.issuer.preflight(&stage.current).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0706", Class::Permanent), "{line}");
        assert_ne!(stage.probe(&stage.issuer.decoy(&stage.current)).await, Probe::Dead, "{line}");
    }
    stage.server.set_hba("").unwrap();
    stage.server.reload().await.unwrap();
    stage.issuer.preflight(&stage.current).await.unwrap();
    assert_eq!(stage.probe(&stage.issuer.decoy(&stage.current)).await, Probe::Dead);
}

#[tokio::test]
async fn lines_of_pg_hba_that_name_one_login_are_refused() {
    let Some(stage) = Stage::new("pg_hba.conf").await else { return };
    let (user, password) = (tag(), alphanumeric(20));
    stage
        .sql(&format!(
            "CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'; \
         GRANT pg_read_all_stats, pg_signal_backend TO {user}"
        ))
        .await;
    let blind = stage.issuer_as(&user, &password);
    for line in [
        "host orders orders 127.0.0.1/32 scram-sha-256\nhost orders all 127.0.0.1/32 reject",
        "host sameuser all 127.0.0.1/32 scram-sha-256\nhost orders !nobody 127.0.0.1/32 reject",
        "host all orders_a 127.0.0.1/32 trust",
    ] {
        // The admin keeps its own way in.
        let admins = format!("host all postgres,{user} 127.0.0.1/32 scram-sha-256\n{line}");
        stage.server.set_hba(&admins).unwrap();
        stage.server.reload().await.unwrap();
        let failure = stage.issuer.preflight(&stage.current).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0208", Class::Permanent), "{line}");
        if !line.contains("sameuser") {
            // An admin that may not read the file detects it by a wrong password that the server does not ask for.
            let failure = blind.preflight(&stage.current).await.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.class), ("K0706", Class::Permanent), "{line}");
        }
    }
    stage.server.set_hba("host all +orders 127.0.0.1/32 scram-sha-256").unwrap();
    stage.server.reload().await.unwrap();
    stage.issuer.preflight(&stage.current).await.unwrap();
    let notes = blind.preflight(&stage.current).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("not visible")));
}

#[tokio::test]
async fn row_level_security_on_session_user_is_refused() {
    let Some(stage) = Stage::new("row-level security").await else { return };
    stage
        .sql(
            "CREATE TABLE t (who text DEFAULT session_user); ALTER TABLE t ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY fine ON t USING (who = current_user)",
        )
        .await;
    let notes = stage.issuer.preflight(&stage.current).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("default in public.t")), "{notes:?}");
    stage.sql("CREATE POLICY mine ON t USING (who = session_user)").await;
    let failure = stage.issuer.preflight(&stage.current).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0208", Class::Permanent));
    assert!(failure.source.unwrap().to_string().contains("mine on public.t"));
}

#[tokio::test]
async fn a_slot_is_free_only_if_shown_unused() {
    let Some(stage) = Stage::new("free slots").await else { return };
    let refused = async |code: &str, why: &str| {
        for failure in [stage.issuer.preflight(&stage.current).await.unwrap_err(), {
            let proposed = stage.issuer.propose(&stage.current).unwrap().unwrap();
            stage.issuer.mint("keyroll/r/1", &stage.current, Some(&proposed)).await.err().unwrap()
        }] {
            assert_eq!((failure.code.as_str(), failure.class), (code, Class::Permanent));
            let said = failure.source.unwrap().to_string();
            assert!(said.contains(why), "{said}");
        }
    };
    stage.sql("CREATE ROLE orders_a NOLOGIN").await;
    refused("K0144", "somebody else's").await;
    let password = alphanumeric(20);
    stage.sql(&format!("GRANT orders TO orders_a; ALTER ROLE orders_a LOGIN PASSWORD '{password}'")).await;
    refused("K0144", "did not make").await;
    let held = stage.server.connect("orders_a", &password, "orders").await.unwrap();
    stage.sql("ALTER ROLE orders_a NOLOGIN").await;
    refused("K0144", "live sessions").await;
    drop(held);
    until(Deadline::seconds(20), || async { stage.issuer.preflight(&stage.current).await.ok() })
        .await
        .unwrap();
    stage.mint("keyroll/r/1", &stage.current).await;
}

#[tokio::test]
async fn a_second_key_that_nobody_knows_stops_the_rotation() {
    let Some(stage) = Stage::new("a second key").await else { return };
    let password = alphanumeric(20);
    stage
        .sql(&format!(
            "CREATE ROLE alice LOGIN; GRANT orders TO alice; \
         CREATE ROLE orders_old LOGIN PASSWORD '{password}'; GRANT orders TO orders_old; \
         ALTER ROLE orders_old SET role = orders"
        ))
        .await;
    let failure = stage.issuer.preflight(&stage.current).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0144", Class::Permanent));
    assert!(failure.source.unwrap().to_string().contains("orders_old"));
    let listed = stage.issuer.list(&stage.current).await.unwrap();
    let names: Vec<_> = listed.entries.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(names, ["orders", "orders_old"]);
    stage.sql("ALTER ROLE orders_old NOLOGIN").await;
    let notes = stage.issuer.preflight(&stage.current).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("alice")), "{notes:?}");
}

#[tokio::test]
async fn a_login_that_cannot_be_a_member_of_its_owner_is_refused() {
    let Some(stage) = Stage::new("superusers as consumers").await else { return };
    stage.sql("ALTER ROLE orders SUPERUSER").await;
    let failure = stage.issuer.preflight(&stage.current).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0140", Class::Permanent));
    stage.sql("ALTER ROLE orders NOSUPERUSER; CREATE ROLE stranger LOGIN PASSWORD 'x'").await;
    let failure = stage.issuer.preflight(&credential("stranger", "x")).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0140");
    stage
        .sql(
            "CREATE ROLE \"x#keyroll/y\" LOGIN; GRANT orders TO \"x#keyroll/y\"; \
         ALTER ROLE \"x#keyroll/y\" SET role = orders; ALTER ROLE orders NOLOGIN",
        )
        .await;
    let failure = stage.issuer.preflight(&credential("x#keyroll/y", "x")).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0140");
    let names = Names { owner: "absent".to_owned(), ..Names::default() };
    let other = issuer(&stage.server, &names, "postgres", stage.server.password());
    assert_eq!(other.preflight(&stage.current).await.unwrap_err().code, "K0140");
}

#[tokio::test]
async fn only_idle_sessions_are_ended_unless_busy_ones_are_meant() {
    let Some(stage) = Stage::new("sessions").await else { return };
    let [idle, open, active] = [
        stage.session(&stage.current).await,
        stage.session(&stage.current).await,
        stage.session(&stage.current).await,
    ];
    open.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let running = tokio::spawn(async move { active.batch_execute("SELECT pg_sleep(600)").await });
    let current = id(&stage.current);
    let seen = until(Deadline::seconds(20), || async {
        let seen = stage.issuer.sessions(current).await.unwrap().unwrap();
        (seen.len() == 3 && seen.iter().filter(|session| session.busy).count() == 2).then_some(seen)
    });
    let seen = seen.await.unwrap();
    assert!(seen.iter().all(|session| session.client.is_some_and(|client| client.ip().is_loopback())));
    let mut handles: Vec<_> = seen.iter().map(|session| session.handle.clone()).collect();
    let (pid, start) = handles[0].split_once('@').unwrap();
    // The same process id with another start time is another session.
    let other = format!("{pid}@{}", start.parse::<i64>().unwrap() + 1);
    assert_eq!(stage.issuer.end_sessions(current, &[other, "garbage".to_owned()], true).await.unwrap(), 0);
    assert_eq!(stage.issuer.end_sessions(current, &handles, false).await.unwrap(), 1);
    assert!(idle.batch_execute("SELECT 1").await.is_err());
    open.batch_execute("SELECT 1; COMMIT").await.unwrap();
    assert!(!running.is_finished());
    open.batch_execute("BEGIN").await.unwrap();
    // A handle of another role's session is not ours to end.
    let foreign = stage.admin().await;
    let row = foreign
        .query_one(
            "SELECT pg_backend_pid() || '@' || (extract(epoch FROM backend_start) * 1000000)::bigint \
         FROM pg_stat_activity WHERE pid = pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    handles.push(row.get(0));
    assert_eq!(stage.issuer.end_sessions(current, &handles, true).await.unwrap(), 2);
    assert!(running.await.unwrap().is_err());
    foreign.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn our_own_probes_are_nobodys_sessions() {
    let Some(stage) = Stage::new("our own sessions").await else { return };
    for _ in 0..20 {
        assert_eq!(stage.probe(&stage.current).await, Probe::Alive);
        assert!(stage.issuer.sessions(id(&stage.current)).await.unwrap().unwrap().is_empty());
    }
}

#[tokio::test]
async fn two_mints_at_once_leave_one_credential() {
    let Some(stage) = Stage::new("two drivers").await else { return };
    let one = stage.issuer.propose(&stage.current).unwrap().unwrap();
    let two = stage.issuer.propose(&stage.current).unwrap().unwrap();
    let (first, second) = tokio::join!(
        stage.issuer.mint("keyroll/r/1", &stage.current, Some(&one)),
        stage.issuer.mint("keyroll/s/1", &stage.current, Some(&two)),
    );
    assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let probes = [stage.probe(&one).await, stage.probe(&two).await];
    assert_eq!(probes.iter().filter(|probe| **probe == Probe::Alive).count(), 1);
    let [loser] = [first.err().or(second.err()).unwrap()];
    assert_eq!(loser.code, "K0144");
}

#[tokio::test]
async fn over_a_unix_socket_all_works_but_the_clients_end() {
    let Some(stage) = Stage::new("Unix sockets").await else { return };
    let folder = stage.server.socket_dir();
    let mut wiring = options(stage.server.port(), &Names::default(), "postgres", stage.server.password());
    wiring.host = folder.to_str().unwrap().to_owned();
    wiring.admin.socket_dir = Some(folder.clone());
    let issuer = keyroll_logins::postgres::Postgres::new(wiring).unwrap();
    assert!(!issuer.capabilities().attributes);
    issuer.preflight(&stage.current).await.unwrap();
    let proposed = issuer.propose(&stage.current).unwrap().unwrap();
    assert_eq!(field(&proposed, "host"), folder.to_str().unwrap());
    let minted = issuer.mint("keyroll/r/1", &stage.current, Some(&proposed)).await.unwrap();
    let endpoint = issuer.endpoints().remove(0);
    assert_eq!(issuer.probe(&endpoint, &proposed).await, Probe::Alive);
    assert_eq!(issuer.probe(&endpoint, &issuer.decoy(&proposed)).await, Probe::Dead);
    assert_eq!(issuer.seen_as(&endpoint, &proposed).await.unwrap(), None);
    let url = format!(
        "host={} port={} user=orders_a password={} dbname=orders",
        folder.display(),
        stage.server.port(),
        field(&proposed, "password")
    );
    let (_client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let seen = issuer.sessions(&minted.id).await.unwrap().unwrap();
    assert_eq!((seen.len(), seen[0].client), (1, None));
    connection.abort();
}

#[tokio::test]
async fn a_probe_goes_to_this_machine_only() {
    let Some(stage) = Stage::new("endpoints").await else { return };
    for endpoint in ["192.0.2.1:5432", "db.example.org:5432", "nothing", ""] {
        assert!(
            matches!(stage.issuer.probe(endpoint, &stage.current).await, Probe::Unknown(_)),
            "{endpoint}"
        );
    }
}

#[tokio::test]
async fn an_md5_password_is_followed_by_a_scram_one_and_told() {
    let Some(stage) = Stage::new("md5 passwords").await else { return };
    let password = field(&stage.current, "password");
    stage.sql(&format!("SET password_encryption = 'md5'; ALTER ROLE orders PASSWORD '{password}'")).await;
    stage.server.set_hba("host orders +orders 127.0.0.1/32 md5").unwrap();
    stage.server.reload().await.unwrap();
    let notes = stage.issuer.preflight(&stage.current).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("md5")), "{notes:?}");
    let minted = stage.mint("keyroll/r/1", &stage.current).await;
    assert_eq!(stage.probe(&stage.current).await, Probe::Alive);
    assert_eq!(stage.probe(&minted).await, Probe::Alive);
    assert_eq!(stage.probe(&stage.issuer.decoy(&minted)).await, Probe::Dead);
}
