//! The database server and the fake Vault that changes its passwords. They are in the process outside, where no search of the
//! scene's processes finds a password.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use keyroll_testkit::{FakeVault, Postgres, VaultUser, alphanumeric, scram_verifier};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::stores::door::{DONE, END};

/// The static roles, and the login of each.
pub const ROLES: [(&str, &str); 2] = [("orders-a", "orders_a"), ("orders-b", "orders_b")];

/// Thirty days.
const PERIOD_S: u64 = 2_592_000;

const LOGINS: &str = "CREATE ROLE orders; CREATE ROLE orders_a LOGIN; CREATE ROLE orders_b LOGIN; \
                      GRANT orders TO orders_a, orders_b; ALTER ROLE orders_a SET role = orders; \
                      ALTER ROLE orders_b SET role = orders";

const SESSIONS: &str =
    "SELECT usename::text, count(*) FROM pg_stat_activity WHERE usename LIKE 'orders%' GROUP BY usename";

pub struct Outside {
    pub server: Postgres,
    pub vault: FakeVault,
    runtime: Runtime,
    /// The password of the login that only looks.
    watch: String,
    /// keyroll's token, and that of the services' host.
    tokens: [String; 2],
    /// Every password that Vault set.
    set: Arc<Mutex<Vec<String>>>,
}

impl Outside {
    /// Two logins, whose passwords Vault has changed; `None` where PostgreSQL is not installed.
    pub fn start(what: &str) -> Option<Self> {
        let server = Postgres::start_or_skip(what)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let watch = alphanumeric(20);
        let looks = format!(
            "CREATE ROLE keyroll_watch LOGIN PASSWORD '{}'; GRANT pg_read_all_stats, pg_signal_backend TO keyroll_watch",
            scram_verifier(&watch)
        );
        runtime.block_on(async {
            let admin = server.connect_admin("postgres").await.unwrap();
            for statements in [LOGINS, "CREATE DATABASE shop OWNER orders", &looks] {
                admin.batch_execute(statements).await.unwrap();
            }
        });
        let (vault, changes, set) = (FakeVault::start(), server.password_changes(), Arc::default());
        let tokens = [VaultUser::Keyroll, VaultUser::Reader].map(|user| vault.token(user));
        let seen: Arc<Mutex<Vec<String>>> = Arc::clone(&set);
        vault.database(move |login, password| {
            seen.lock().unwrap().push(password.to_owned());
            changes(login, password)
        });
        for (role, login) in ROLES {
            vault.static_role(role, login, PERIOD_S);
        }
        Some(Self { server, vault, runtime, watch, tokens, set })
    }

    /// What the scene logs in with, a line each.
    pub fn logins(&self) -> String {
        let [keyroll, reader] = &self.tokens;
        format!("{keyroll}\n{reader}\nkeyroll_watch:{}\n", self.watch)
    }

    /// Does and answers what is asked, until the end.
    pub fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let mut word = String::new();
            BufReader::new(&stream).read_line(&mut word).unwrap();
            let word = word.trim_end();
            if word == END {
                return;
            }
            (&stream).write_all(self.answer(word).as_bytes()).unwrap();
        }
    }

    fn answer(&self, word: &str) -> String {
        match word.split_once(' ').unwrap_or((word, "")) {
            ("seal", _) => self.vault.seal(true),
            ("unseal", _) => self.vault.seal(false),
            ("rotate", role) => self.vault.rotate_by_itself(role),
            ("roles", _) => return self.roles().to_string(),
            ("sessions", _) => return self.runtime.block_on(self.sessions()).to_string(),
            ("values", _) => return json!(self.values()).to_string(),
            _ => panic!("there is no word {word}"),
        }
        DONE.to_owned()
    }

    /// Of each role: how often it was rotated since it was made, and how often somebody asked for that.
    fn roles(&self) -> Value {
        let log = self.vault.log();
        let asked =
            |role: &str| log.lines().filter(|line| line.contains(&format!("/rotate-role/{role} "))).count();
        json!(ROLES.map(|(role, _)| [self.vault.rotations(role) - 1, asked(role)]))
    }

    /// The number of sessions of each login that has any.
    async fn sessions(&self) -> Value {
        let admin = self.server.connect_admin("postgres").await.unwrap();
        let rows = admin.query(SESSIONS, &[]).await.unwrap();
        let count = |row: &tokio_postgres::Row| (row.get::<_, String>(0), json!(row.get::<_, i64>(1)));
        Value::Object(rows.iter().map(count).collect())
    }

    /// Every password and token.
    fn values(&self) -> Vec<String> {
        let mut values = self.set.lock().unwrap().clone();
        values.extend(self.tokens.iter().chain([&self.watch]).cloned());
        values
    }
}
