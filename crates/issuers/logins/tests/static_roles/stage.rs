//! A real cluster with two logins under one owner, Vault with a static role for each, and the issuer over both.

use std::error::Error as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use keyroll_http::Addresses;
use keyroll_logins::{Admins, Table, Value, login_server};
use keyroll_port::{Class, Failure, Issuer, Probe};
use keyroll_secret::{Credential, CredentialId, SecretBytes};
use keyroll_testkit::{FakeVault, Postgres as Server, TempDir, VaultUser, alphanumeric, scram_verifier, tag};
use keyroll_vault::{VaultLogin, VaultSettings};
use tokio_postgres::Client;

use crate::postgres::stage::{credential, field};

/// The logins that take turns, and the static role of each.
pub const SLOTS: [&str; 2] = ["orders_a", "orders_b"];
pub const ROLES: [&str; 2] = ["orders-a", "orders-b"];

/// The login that only looks.
pub const WATCH: &str = "keyroll_watch";

/// Thirty days.
pub const PERIOD_S: u64 = 2_592_000;

/// The label of a mint.
const LABEL: &str = "keyroll/r/1";

/// What each login of consumers must be: a member of the owner, which it becomes.
pub const LOGINS: &str = "CREATE ROLE orders; CREATE ROLE orders_a LOGIN; CREATE ROLE orders_b LOGIN; \
                      GRANT orders TO orders_a, orders_b; ALTER ROLE orders_a SET role = orders; \
                      ALTER ROLE orders_b SET role = orders";

pub struct Stage {
    pub server: Server,
    pub vault: FakeVault,
    pub issuer: Box<dyn Issuer>,
    /// The server refuses every change of a password.
    refuses: Arc<AtomicBool>,
    /// Every password that Vault set or tried to set.
    tried: Arc<Mutex<Vec<String>>>,
    /// The password of the login that only looks.
    pub watch: String,
    home: TempDir,
}

/// How the issuer is wired where it is not as usual.
#[derive(Clone, Copy)]
pub struct Wiring<'a> {
    pub user: VaultUser,
    pub vault_port: u16,
    pub server_port: u16,
    pub roles: [&'a str; 2],
}

impl Stage {
    /// The usual stage: consumers use `orders_a`.
    pub async fn new(left_out: &str) -> Option<Self> {
        let server = Server::start_or_skip(left_out)?;
        let admin = server.connect_admin("postgres").await.unwrap();
        let watch = alphanumeric(20);
        let verifier = scram_verifier(&watch);
        admin.batch_execute(LOGINS).await.unwrap();
        admin.batch_execute("CREATE DATABASE orders OWNER orders").await.unwrap();
        let looks = format!(
            "CREATE ROLE {WATCH} LOGIN PASSWORD '{verifier}'; GRANT pg_read_all_stats, pg_signal_backend TO {WATCH}"
        );
        admin.batch_execute(&looks).await.unwrap();
        let (vault, refuses) = (FakeVault::start(), Arc::new(AtomicBool::new(false)));
        let tried = Arc::new(Mutex::new(Vec::new()));
        let (changes, is_refusing, seen) =
            (server.password_changes(), Arc::clone(&refuses), Arc::clone(&tried));
        vault.database(move |login, password| {
            seen.lock().unwrap().push(password.to_owned());
            !is_refusing.load(Ordering::SeqCst) && changes(login, password)
        });
        for (role, login) in ROLES.into_iter().zip(SLOTS) {
            vault.static_role(role, login, PERIOD_S);
        }
        let home = TempDir::new().unwrap();
        let (user, roles) = (VaultUser::Keyroll, ["database/orders-a", "database/orders-b"]);
        let wiring = Wiring { user, vault_port: vault.port(), server_port: server.port(), roles };
        let issuer = issuer(wiring, &watch, &settings(&vault, &home, wiring)).unwrap();
        Some(Self { server, vault, issuer, refuses, tried, watch, home })
    }

    /// The usual wiring.
    pub fn wiring(&self) -> Wiring<'static> {
        Wiring {
            user: VaultUser::Keyroll,
            vault_port: self.vault.port(),
            server_port: self.server.port(),
            roles: ["database/orders-a", "database/orders-b"],
        }
    }

    /// The issuer with another wiring.
    pub fn wired(&self, wiring: Wiring<'_>) -> Box<dyn Issuer> {
        issuer(wiring, &self.watch, &self.settings(wiring)).unwrap()
    }

    /// How Vault is reached, with a new token.
    pub fn settings(&self, wiring: Wiring<'_>) -> VaultSettings {
        settings(&self.vault, &self.home, wiring)
    }

    /// The issuer with Vault behind a relay.
    pub fn through(&self, vault_port: u16) -> Box<dyn Issuer> {
        self.wired(Wiring { vault_port, ..self.wiring() })
    }

    /// From now on the server refuses every change of a password, or none any more.
    pub fn refuse(&self, is: bool) {
        self.refuses.store(is, Ordering::SeqCst);
    }

    /// The credential of a role as Vault shows it now.
    pub fn shown(&self, role: &str) -> Credential {
        let at = ROLES.iter().position(|one| *one == role).unwrap();
        let mut shown = credential(SLOTS[at], &self.vault.static_password(role));
        shown.id = Some(CredentialId::new(format!("{}@{}", SLOTS[at], self.vault.rotated(role))));
        shown
    }

    /// The credential in use.
    pub fn current(&self) -> Credential {
        self.shown(ROLES[0])
    }

    /// How often each role was rotated since it was made.
    pub fn rotations(&self) -> [usize; 2] {
        ROLES.map(|role| self.vault.rotations(role) - 1)
    }

    /// How often each role was asked to rotate.
    pub fn asked(&self) -> [usize; 2] {
        let log = self.vault.log();
        ROLES.map(|role| log.lines().filter(|line| line.contains(&format!("/rotate-role/{role} "))).count())
    }

    /// Mints the next credential.
    pub async fn mint(&self, current: &Credential) -> Credential {
        minted(&*self.issuer, current).await.unwrap_or_else(|failure| panic!("{}", told(&failure)))
    }

    pub async fn probe(&self, credential: &Credential) -> Probe {
        let endpoint = self.issuer.endpoints().remove(0);
        self.issuer.probe(&endpoint, credential).await
    }

    /// A session of the credential, as a consumer would hold it.
    pub async fn session(&self, credential: &Credential) -> Client {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        self.server.connect(&user, &password, "orders").await.unwrap()
    }

    /// Runs statements as the superuser.
    pub async fn sql(&self, statements: &str) {
        self.server.connect_admin("orders").await.unwrap().batch_execute(statements).await.unwrap();
    }

    /// None of the passwords stands in these texts, in Vault's log or in the server's.
    #[track_caller]
    pub fn is_clean(&self, said: &[String]) {
        let tried = self.tried.lock().unwrap();
        assert!(tried.len() >= 2, "{} passwords were looked for", tried.len());
        let logs = [self.vault.log(), self.server.log().unwrap()];
        for (at, text) in said.iter().chain(&logs).enumerate() {
            assert!(
                tried.iter().all(|password| !text.contains(password.as_str())),
                "text {at} has a password"
            );
        }
    }

    /// Every password that Vault set or tried to set, in its order.
    pub fn tried(&self) -> Vec<String> {
        self.tried.lock().unwrap().clone()
    }
}

fn settings(vault: &FakeVault, home: &TempDir, wiring: Wiring<'_>) -> VaultSettings {
    let token: PathBuf = home.path().join(tag());
    fs::write(&token, vault.token(wiring.user)).unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    VaultSettings {
        address: Some(format!("http://127.0.0.1:{}", wiring.vault_port)),
        login: Some(VaultLogin::Token(token)),
        ..VaultSettings::default()
    }
}

fn issuer(wiring: Wiring<'_>, watch: &str, vault: &VaultSettings) -> Result<Box<dyn Issuer>, Failure> {
    let text = |text: &str| Value::Text(text.to_owned());
    let table = Table {
        values: vec![
            ("host", text("127.0.0.1")),
            ("port", Value::Port(wiring.server_port)),
            ("dbname", text("orders")),
            ("owner_role", text("orders")),
            ("slots", Value::Slots(SLOTS.map(str::to_owned))),
            ("vault_roles", Value::StaticRoles(wiring.roles.map(str::to_owned))),
        ],
    };
    let watch = SecretBytes::from(format!("{WATCH}:{watch}"));
    let admins = Admins { server: &watch, poolers: &[], vault, addresses: Addresses::Any };
    login_server("postgres").unwrap().issuer(&table, &admins)
}

/// Vault makes the password: nothing is proposed.
pub async fn minted(issuer: &dyn Issuer, current: &Credential) -> Result<Credential, Failure> {
    assert!(issuer.propose(current).unwrap().is_none());
    let minted = issuer.mint(LABEL, current, None).await?;
    Ok(Credential { id: Some(minted.id), fields: minted.fields })
}

/// Everything that a failure can print.
pub fn told(failure: &Failure) -> String {
    let mut text = format!("{failure} {failure:?} {}", failure.help.as_deref().unwrap_or_default());
    let mut cause = failure.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// The failure has this class and this code, says these words, and helps; everything that it can print.
#[track_caller]
pub fn is(failure: &Failure, class: Class, code: &str, words: &[&str]) -> String {
    let text = told(failure);
    assert_eq!((failure.class, failure.code.as_str()), (class, code), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not said: {text}");
    }
    assert!(failure.help.is_some(), "no help: {text}");
    text
}
