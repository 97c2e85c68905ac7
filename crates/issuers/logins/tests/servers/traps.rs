//! The surprising behaviour of each server.

use std::fs;
use std::sync::Arc;

use crate::servers::stage::{credential, field, mint, probe, refusal, three_turns};
use keyroll_logins::{MariaDb, Options, Redis, TwoLogins};
use keyroll_port::conformance::PATIENT_MS;
use keyroll_port::{Class, Issuer, Probe};
use keyroll_secret::Credential;
use keyroll_testkit::{MariaDb as MariaDbServer, Redis as RedisServer, alphanumeric};
use mysql_async::prelude::Queryable;

fn options(port: u16, admin: &str, password: &str) -> Options {
    crate::servers::stage::options(port, "orders", (admin, password), PATIENT_MS)
}

/// Redis with `orders`, which consumers use, and the issuer over it.
async fn redis() -> Option<(RedisServer, TwoLogins, Credential)> {
    let server = RedisServer::start_or_skip("the traps of Redis")?;
    let password = alphanumeric(20);
    server
        .admin_says(&format!("ACL SETUSER orders on >{password} ~orders:* +@all -@dangerous"))
        .await
        .unwrap();
    let issuer = Redis::issuer(options(server.port(), server.admin(), server.password())).unwrap();
    Some((server, issuer, credential("orders", &password)))
}

/// MariaDB with `orders`, which consumers use, and the issuer over it.
async fn mariadb() -> Option<(MariaDbServer, TwoLogins, Credential)> {
    let server = MariaDbServer::start_or_skip("the traps of MariaDB")?;
    let password = alphanumeric(20);
    let make =
        format!("CREATE USER orders@'127.0.0.1' IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS 7");
    // The rights that docs/guides/rotate-a-mariadb-account.md gives to the admin, and no others.
    let own = alphanumeric(20);
    let admin = format!("CREATE USER keyroll_admin@'127.0.0.1' IDENTIFIED BY '{own}'");
    let rights = "GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO keyroll_admin@'127.0.0.1'";
    let read = "GRANT SELECT ON mysql.* TO keyroll_admin@'127.0.0.1'";
    let on = "GRANT SELECT ON shop.* TO keyroll_admin@'127.0.0.1' WITH GRANT OPTION";
    let all = [&make, "GRANT SELECT ON shop.* TO orders@'127.0.0.1'", &admin, rights, read, on];
    server.admin_says(&all).await.unwrap();
    let issuer = MariaDb::issuer(options(server.port(), "keyroll_admin", &own)).unwrap();
    Some((server, issuer, credential("orders", &password)))
}

#[tokio::test]
async fn redis_users_take_turns_and_outlive_a_restart() {
    let Some((mut server, issuer, current)) = redis().await else { return };
    three_turns(&issuer, current.duplicate()).await;
    server.restart().unwrap();
    let listed = issuer.list(&current).await.unwrap();
    let live: Vec<_> = listed.entries.iter().filter(|entry| !entry.disabled).collect();
    assert_eq!(live.len(), 1, "{listed:?}");
    assert_eq!(live[0].label.as_deref(), Some("keyroll/r2/1"));
}

#[tokio::test]
async fn mariadb_accounts_take_turns_and_no_password_is_in_a_statement() {
    let Some((server, issuer, current)) = mariadb().await else { return };
    three_turns(&issuer, current.duplicate()).await;
    let new = credential("orders_a", "");
    let minted = mint(&issuer, "keyroll/r9/1", &new).await;
    let log = fs::read_to_string(server.general_log()).unwrap();
    assert!(log.contains("ALTER USER `orders_b`@`127.0.0.1` IDENTIFIED VIA mysql_native_password USING '*"));
    assert!(!log.contains(&field(&minted, "password")));
    let mut admin = server.connect_admin().await.unwrap();
    let grants: Vec<String> = admin.query("SHOW GRANTS FOR orders_b@'127.0.0.1'").await.unwrap();
    assert!(grants.iter().any(|grant| grant.ends_with("MAX_USER_CONNECTIONS 7")), "{grants:?}");
    assert!(
        grants.iter().any(|grant| grant == "GRANT SELECT ON `shop`.* TO `orders_b`@`127.0.0.1`"),
        "{grants:?}"
    );
    admin.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_that_mariadb_refuses_is_no_session() {
    let Some((_server, issuer, current)) = mariadb().await else { return };
    let id = current.id.clone().unwrap();
    let issuer = Arc::new(issuer);
    let refused = (0..4).map(|_| {
        let (issuer, wrong) = (Arc::clone(&issuer), credential("orders", &alphanumeric(20)));
        tokio::spawn(async move {
            for _ in 0..60 {
                assert_eq!(probe(&issuer, &wrong).await, Probe::Dead);
            }
        })
    });
    let refused: Vec<_> = refused.collect();
    while refused.iter().any(|task| !task.is_finished()) {
        let sessions = issuer.sessions(&id).await.unwrap().unwrap();
        assert!(sessions.is_empty(), "{sessions:?}");
    }
    for task in refused {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn redis_is_refused_where_a_rotation_would_not_last() {
    let Some((server, issuer, current)) = redis().await else { return };
    server.admin_says("ACL SETUSER orders >another").await.unwrap();
    assert_eq!(refusal(issuer.preflight(&current).await), ("K0140", Class::Permanent));
    server.admin_says("ACL SETUSER orders nopass").await.unwrap();
    assert_eq!(refusal(issuer.preflight(&current).await), ("K0706", Class::Permanent));
    let password = field(&current, "password");
    server.admin_says(&format!("ACL SETUSER orders resetpass >{password}")).await.unwrap();
    issuer.preflight(&current).await.unwrap();
    server.admin_says("ACL SETUSER orders_a on >somebody").await.unwrap();
    assert_eq!(refusal(issuer.preflight(&current).await), ("K0144", Class::Permanent));
    server.admin_says("ACL DELUSER orders_a").await.unwrap();

    let narrow = alphanumeric(20);
    server.admin_says(&format!("ACL SETUSER narrow on >{narrow} +acl +info +config|get")).await.unwrap();
    let narrow = Redis::issuer(options(server.port(), "narrow", &narrow)).unwrap();
    let failure = narrow.preflight(&current).await.err().unwrap();
    assert_eq!(failure.code.as_str(), "K0103");
    assert!(failure.help.unwrap().contains("+client|list"));

    server.admin_says("REPLICAOF 127.0.0.1 1").await.unwrap();
    assert_eq!(refusal(issuer.preflight(&current).await), ("K0148", Class::Permanent));
}

#[tokio::test]
async fn a_redis_that_cannot_write_its_users_down_is_found_before_anything_is_changed() {
    let Some((server, issuer, current)) = redis().await else { return };
    let home = server.users_file().parent().unwrap().to_owned();
    let away = home.with_extension("away");
    fs::rename(&home, &away).unwrap();
    let proposed = issuer.propose(&current).unwrap().unwrap();
    let outcome = issuer.mint("keyroll/r/1", &current, Some(&proposed)).await;
    let ended = issuer.revoke(current.id.as_ref().unwrap()).await;
    fs::rename(&away, &home).unwrap();
    assert_eq!(refusal(outcome), ("K0105", Class::Permanent));
    assert_eq!(refusal(ended), ("K0105", Class::Permanent));
    assert_eq!(probe(&issuer, &current).await, Probe::Alive);
    assert_eq!(probe(&issuer, &proposed).await, Probe::Dead);
}

#[tokio::test]
async fn users_in_memory_alone_are_refused() {
    let settings = ["--aclfile", ""];
    let Some(server) = RedisServer::start_or_skip_with("users in memory", &settings) else { return };
    let issuer = Redis::issuer(options(server.port(), "default", "any")).unwrap();
    let outcome = issuer.preflight(&credential("orders", "any")).await;
    assert_eq!(refusal(outcome), ("K0148", Class::Permanent));
}

#[tokio::test]
async fn a_busy_redis_connection_is_ended_only_when_that_is_meant() {
    let Some((server, issuer, current)) = redis().await else { return };
    let id = current.id.clone().unwrap();
    let mut session = server.connect("orders", &field(&current, "password")).await.unwrap();
    redis::cmd("MULTI").exec_async(&mut session).await.unwrap();
    let seen = issuer.sessions(&id).await.unwrap().unwrap();
    assert!(seen.len() == 1 && seen[0].busy, "{seen:?}");
    let handles = [seen[0].handle.clone()];
    assert_eq!(issuer.end_sessions(&id, &handles, false).await.unwrap(), 0);
    assert_eq!(issuer.end_sessions(&id, &handles, true).await.unwrap(), 1);
    assert!(issuer.sessions(&id).await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_of_two_mariadb_accounts_is_refused_and_an_open_transaction_is_busy() {
    let Some((server, issuer, current)) = mariadb().await else { return };
    let id = current.id.clone().unwrap();
    let mut session = server.connect("orders", &field(&current, "password")).await.unwrap();
    for statement in ["START TRANSACTION", "SELECT * FROM shop.requests"] {
        session.query_drop(statement).await.unwrap();
    }
    let seen = issuer.sessions(&id).await.unwrap().unwrap();
    assert!(seen.len() == 1 && seen[0].busy, "{seen:?}");
    let handles = [seen[0].handle.clone()];
    assert_eq!(issuer.end_sessions(&id, &handles, false).await.unwrap(), 0);
    session.query_drop("COMMIT").await.unwrap();
    assert_eq!(issuer.end_sessions(&id, &handles, false).await.unwrap(), 1);

    server.admin_says(&["CREATE USER orders@'10.%' IDENTIFIED BY 'another'"]).await.unwrap();
    assert_eq!(refusal(issuer.preflight(&current).await), ("K0140", Class::Permanent));
    server.admin_says(&["DROP USER orders@'10.%'", "SET GLOBAL max_password_errors = 3"]).await.unwrap();
    assert_eq!(refusal(issuer.preflight(&current).await), ("K0148", Class::Permanent));
}
