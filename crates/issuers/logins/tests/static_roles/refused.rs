//! What stops a rotation before Vault changes a password, each by its code and with what to do about it.

use keyroll_port::{Class, Probe};
use keyroll_testkit::{Deadline, Postgres, VaultUser, alphanumeric, scram_verifier, until};

use crate::postgres::stage::{credential, with_password};
use crate::static_roles::stage::{PERIOD_S, ROLES, SLOTS, Stage, WATCH, Wiring, is, minted, told};

/// A preflight that is refused; everything that it says.
#[track_caller]
fn refusal(outcome: Result<Vec<String>, keyroll_port::Failure>, code: &str, words: &[&str]) -> String {
    match outcome {
        Ok(notes) => panic!("{words:?} was not refused: {notes:?}"),
        Err(failure) => is(&failure, Class::Permanent, code, words),
    }
}

/// A preflight that is not refused; its notes.
async fn passes(stage: &Stage) -> String {
    let notes = stage.issuer.preflight(&stage.current()).await;
    notes.unwrap_or_else(|failure| panic!("{}", told(&failure))).join("\n")
}

#[tokio::test]
async fn what_is_wrong_at_vault_is_refused_by_name() {
    let Some(stage) = Stage::new("refusals by what Vault shows").await else { return };
    let mut said = vec![passes(&stage).await];
    let current = stage.current();
    let wired = async |user: VaultUser, roles: [&str; 2]| {
        stage.wired(Wiring { user, roles, ..stage.wiring() }).preflight(&current).await
    };
    let both = ["database/orders-a", "database/orders-b"];
    let rights = ["rotate-role/orders-a", "rotate-role/orders-b", "capabilities = [\"update\"]"];
    said.push(refusal(wired(VaultUser::Reader, both).await, "K0103", &rights));
    let unknown = ["database/orders-a", "database/missing"];
    said.push(refusal(
        wired(VaultUser::Keyroll, unknown).await,
        "K0140",
        &["database/missing", "vault list database/static-roles"],
    ));
    let elsewhere = ["elsewhere/orders-a", "elsewhere/orders-b"];
    said.push(refusal(
        wired(VaultUser::Keyroll, elsewhere).await,
        "K0103",
        &["elsewhere/rotate-role/orders-a"],
    ));
    stage.sql("CREATE ROLE billing LOGIN").await;
    stage.vault.static_role("billing", "billing", PERIOD_S);
    let other = ["database/orders-a", "database/billing"];
    said.push(refusal(wired(VaultUser::Keyroll, other).await, "K0140", &["\"billing\"", "\"orders_b\""]));
    let swapped = ["database/orders-b", "database/orders-a"];
    said.push(refusal(wired(VaultUser::Keyroll, swapped).await, "K0140", &["\"orders_b\"", "vault read"]));
    assert_eq!(stage.asked(), [0, 0], "a refused preflight turned a role");
    stage.is_clean(&said);
}

#[tokio::test]
async fn a_role_that_makes_no_password_or_turns_too_soon_is_refused() {
    let Some(stage) = Stage::new("refusals by a role's settings").await else { return };
    let mut said = Vec::new();
    let yearly = "rotation_period=8760h";
    // The password in use ends soon; so does each one of the idle role.
    stage.vault.ttl(ROLES[0], 630);
    let current = stage.current();
    said.push(refusal(stage.issuer.preflight(&current).await, "K0148", &["10 min", yearly]));
    stage.vault.ttl(ROLES[0], PERIOD_S);
    stage.vault.static_role(ROLES[1], SLOTS[1], 600);
    let words = ["database/static-roles/orders-b", yearly];
    said.push(refusal(stage.issuer.preflight(&current).await, "K0148", &words));
    stage.vault.static_role(ROLES[1], SLOTS[1], PERIOD_S);
    stage.vault.schedule(ROLES[1], "0 3 * * SAT");
    assert!(passes(&stage).await.contains("0 3 * * SAT"), "the schedule is not told");
    // By its schedule the idle role turns in the middle of the rotation.
    stage.vault.ttl(ROLES[1], 630);
    let words = ["10 min", "database/static-roles/orders-b", yearly];
    said.push(refusal(stage.issuer.preflight(&current).await, "K0148", &words));
    stage.vault.ttl(ROLES[1], PERIOD_S);
    stage.vault.key_pair(ROLES[1]);
    let words = ["database/orders-b", "credential_type=password"];
    said.push(refusal(stage.issuer.preflight(&current).await, "K0140", &words));
    assert_eq!(stage.asked(), [0, 0], "a refused preflight turned a role");
    stage.is_clean(&said);
}

/// Vault changed the password in use by itself: the rotation is a way out, and the note has the other one. A password that
/// somebody changed at the server is Vault's no more.
#[tokio::test]
async fn a_password_that_was_changed_past_keyroll_is_told_with_the_command() {
    let Some(stage) = Stage::new("passwords that others changed").await else { return };
    let known = stage.current();
    stage.vault.rotate_by_itself(ROLES[0]);
    assert_eq!(stage.probe(&known).await, Probe::Dead);
    let notes = stage.issuer.preflight(&known).await.unwrap_or_else(|failure| panic!("{}", told(&failure)));
    let notes = notes.join("\n");
    for word in [stage.vault.rotated(ROLES[0]).as_str(), "keyroll secret import NAME"] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    let password = alphanumeric(20);
    stage.sql(&format!("ALTER ROLE orders_a PASSWORD '{}'", scram_verifier(&password))).await;
    let by_hand = with_password(&known, &password);
    assert_eq!(stage.probe(&by_hand).await, Probe::Alive);
    let words = ["vault write -f database/rotate-role/orders-a", "changed it at the server"];
    let said = refusal(stage.issuer.preflight(&by_hand).await, "K0146", &words);
    assert!(!said.contains(&password), "the password is told");
    // Vault and keyroll have the same one, and the server has another.
    let both = stage.issuer.preflight(&stage.shown(ROLES[0])).await.unwrap().join("\n");
    for word in ["past Vault", "vault write -f database/rotate-role/orders-a"] {
        assert!(both.contains(word), "{word}: {both}");
    }
    assert_eq!(stage.asked(), [0, 0], "a preflight turned a role");
    stage.is_clean(&[notes, said]);
}

#[tokio::test]
async fn a_session_of_the_idle_login_stops_the_mint_too() {
    let Some(stage) = Stage::new("sessions of the idle login").await else { return };
    let current = stage.current();
    let held = stage.session(&stage.shown(ROLES[1])).await;
    let words = ["\"orders_b\"", "live session"];
    let said = refusal(stage.issuer.preflight(&current).await, "K0144", &words);
    let failure = minted(&*stage.issuer, &current).await.err().unwrap();
    let again = is(&failure, Class::Permanent, "K0144", &words);
    assert_eq!(stage.asked(), [0, 0], "a login in use got another password");
    held.batch_execute("SELECT 1").await.unwrap();
    drop(held);
    let free = || async { stage.issuer.preflight(&current).await.ok() };
    until(Deadline::seconds(60), free).await.unwrap();
    stage.is_clean(&[said, again]);
}

/// Each line breaks one thing at the server, names it, and mends it.
#[tokio::test]
async fn what_is_wrong_at_the_server_is_refused_by_name() {
    let Some(stage) = Stage::new("refusals by what the server shows").await else { return };
    let current = stage.current();
    let mut said = Vec::new();
    let stats = [("REVOKE", "FROM"), ("GRANT", "TO")]
        .map(|(verb, to)| format!("{verb} pg_read_all_stats {to} {WATCH}"));
    let cases = [
        ("ALTER ROLE orders_b RESET role", "ALTER ROLE orders_b SET role = orders", "K0208", "SET role"),
        ("ALTER ROLE orders_b NOLOGIN", "ALTER ROLE orders_b LOGIN", "K0208", "cannot log in"),
        ("REVOKE orders FROM orders_b", "GRANT orders TO orders_b", "K0208", "no member"),
        (
            "ALTER ROLE orders_b SET statement_timeout = '7s'",
            "ALTER ROLE orders_b RESET statement_timeout",
            "K0208",
            "statement_timeout",
        ),
        ("ALTER ROLE orders_b SUPERUSER", "ALTER ROLE orders_b NOSUPERUSER", "K0140", "superuser"),
        (stats[0].as_str(), stats[1].as_str(), "K0103", "pg_read_all_stats"),
    ];
    for (breaks, mends, code, word) in cases {
        stage.sql(breaks).await;
        said.push(refusal(stage.issuer.preflight(&current).await, code, &[word]));
        stage.sql(mends).await;
        passes(&stage).await;
    }
    let stranger = credential("billing", &alphanumeric(20));
    said.push(refusal(stage.issuer.preflight(&stranger).await, "K0140", &["\"billing\"", "slots"]));
    assert_eq!(stage.asked(), [0, 0], "a refused preflight turned a role");
    stage.is_clean(&said);
}

#[tokio::test]
async fn a_server_that_takes_a_wrong_password_is_refused() {
    let Some(stage) = Stage::new("trust").await else { return };
    let current = stage.current();
    for line in ["host all all 127.0.0.1/32 trust", "host all orders_b 127.0.0.1/32 trust"] {
        trust(&stage.server, line).await;
        refusal(stage.issuer.preflight(&current).await, "K0706", &["accepted", "scram-sha-256"]);
    }
    trust(&stage.server, "").await;
    passes(&stage).await;
    assert_eq!(stage.asked(), [0, 0], "a refused preflight turned a role");
}

async fn trust(server: &Postgres, line: &str) {
    server.set_hba(line).unwrap();
    server.reload().await.unwrap();
}
