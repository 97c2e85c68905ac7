//! A real cluster with two logins under one owner, the real Vault with a static role for each, and the issuer over both.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use keyroll_logins::postgres::{Options, with_static_roles};
use keyroll_port::conformance::FaultMode;
use keyroll_port::{Issuer, Probe};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::{
    Deadline, Postgres as Server, RealVault, Relay, TempDir, alphanumeric, scram_verifier, tag, until,
};
use keyroll_vault::{StaticRole, VaultLogin, VaultSettings};

use crate::postgres::stage::{Names, credential, field, options};
use crate::static_roles::stage::{LOGINS, PERIOD_S, ROLES, SLOTS, WATCH, minted, told};

/// The login as which Vault changes the passwords of others.
const CHANGER: &str = "vault_admin";

/// How long Vault may take to repeat a rotation that failed, seconds: it does so after 10 seconds, and looks every 5.
const REPEATED_S_MAX: u64 = 60;

/// What the documentation says that keyroll needs.
const POLICY: &str = "path \"database/static-roles/*\" { capabilities = [\"read\"] }\n\
                      path \"database/static-creds/*\" { capabilities = [\"read\"] }\n\
                      path \"database/rotate-role/*\" { capabilities = [\"update\"] }";

pub struct Stage {
    pub server: Server,
    pub vault: RealVault,
    pub issuer: Box<dyn Issuer>,
    /// The password of the login that only looks.
    watch: String,
    /// That of the login as which Vault changes passwords.
    changer: String,
    home: TempDir,
}

impl Stage {
    /// The usual stage: consumers use `orders_a`.
    pub async fn new(left_out: &str) -> Option<Self> {
        let server = Server::start_or_skip(left_out)?;
        let vault = RealVault::start_or_skip(left_out)?;
        let (watch, changer) = (alphanumeric(20), alphanumeric(20));
        let admin = server.connect_admin("postgres").await.unwrap();
        admin.batch_execute(LOGINS).await.unwrap();
        admin.batch_execute("CREATE DATABASE orders OWNER orders").await.unwrap();
        let others = format!(
            "CREATE ROLE {WATCH} LOGIN PASSWORD '{}'; GRANT pg_read_all_stats, pg_signal_backend TO {WATCH}; \
             CREATE ROLE {CHANGER} LOGIN CREATEROLE PASSWORD '{}'",
            scram_verifier(&watch),
            scram_verifier(&changer)
        );
        admin.batch_execute(&others).await.unwrap();
        vault.policy("keyroll", POLICY);
        vault.database(server.port(), "orders", (CHANGER, &changer));
        for (role, login) in ROLES.into_iter().zip(SLOTS) {
            vault.static_role(role, login, PERIOD_S);
        }
        let home = TempDir::new().unwrap();
        let settings = settings(&vault, &home, "keyroll", vault.port());
        let issuer = issuer(wired(server.port(), &watch), &settings);
        Some(Self { server, vault, issuer, watch, changer, home })
    }

    /// The issuer with Vault and the server at these ports.
    pub fn through(&self, vault_port: u16, server_port: u16, request_ms_max: u64) -> Box<dyn Issuer> {
        let wired = Options { request_ms_max, ..wired(server_port, &self.watch) };
        let settings = settings(&self.vault, &self.home, "keyroll", vault_port);
        issuer(wired, &VaultSettings { request_ms_max: Some(request_ms_max), ..settings })
    }

    /// The issuer with a token of this policy.
    pub fn with_policy(&self, name: &str) -> Box<dyn Issuer> {
        let settings = settings(&self.vault, &self.home, name, self.vault.port());
        issuer(wired(self.server.port(), &self.watch), &settings)
    }

    /// From now on Vault, and Vault alone, reaches the server through a relay.
    pub async fn relay(&self, changes: fn(&[u8]) -> bool) -> Relay {
        let relay = Relay::start(self.server.port(), changes).await.unwrap();
        self.vault.database(relay.port(), "orders", (CHANGER, &self.changer));
        relay
    }

    /// Vault does not reach the server any more.
    pub async fn cut(&self, relay: &mut Relay) {
        relay.fault_mode(FaultMode::Absent).await.unwrap();
        let end = format!(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = '{CHANGER}'"
        );
        self.sql(&end).await;
    }

    /// The credential of a slot as Vault shows it now.
    pub fn shown(&self, at: usize) -> Credential {
        let (password, rotated) = self.vault.static_credential(ROLES[at]);
        let mut shown = credential(SLOTS[at], &password);
        shown.id = Some(CredentialId::new(format!("{}@{rotated}", SLOTS[at])));
        shown
    }

    /// The credential of a slot after Vault has rotated its role by itself.
    pub async fn turned(&self, at: usize, before: &Credential) -> Credential {
        let look = || async {
            let now = self.shown(at);
            (now.id != before.id).then_some(now)
        };
        until(Deadline::seconds(REPEATED_S_MAX), look).await.unwrap()
    }

    /// Waits until a preflight finds nothing: the server may show a session for a moment after its end.
    pub async fn ready(&self, current: &Credential) {
        let looked =
            until(Deadline::seconds(60), || async { self.issuer.preflight(current).await.ok() }).await;
        if looked.is_err() {
            let said = self.issuer.preflight(current).await.map_err(|failure| told(&failure));
            panic!("{said:?}");
        }
    }

    /// Mints the next credential.
    pub async fn mint(&self, current: &Credential) -> Credential {
        self.ready(current).await;
        minted(&*self.issuer, current).await.unwrap_or_else(|failure| panic!("{}", told(&failure)))
    }

    pub async fn probe(&self, credential: &Credential) -> Probe {
        let endpoint = self.issuer.endpoints().remove(0);
        self.issuer.probe(&endpoint, credential).await
    }

    /// Runs statements as the superuser.
    pub async fn sql(&self, statements: &str) {
        self.server.connect_admin("orders").await.unwrap().batch_execute(statements).await.unwrap();
    }

    /// None of these passwords stands in these texts, in the logs of both servers, or in Vault's audit file.
    #[track_caller]
    pub fn is_clean(&self, credentials: &[&Credential], said: &[String]) {
        let (audit, log) = (self.vault.audit(), self.vault.log());
        assert!(audit.contains("database/rotate-role/") && !log.is_empty(), "nothing was written down");
        let logs = [audit, log, self.server.log().unwrap()];
        for (at, text) in said.iter().chain(&logs).enumerate() {
            for credential in credentials {
                assert!(!text.contains(&field(credential, "password")), "text {at} has a password");
            }
        }
    }
}

fn wired(server_port: u16, watch: &str) -> Options {
    options(server_port, &Names::default(), WATCH, watch)
}

fn settings(vault: &RealVault, home: &TempDir, policy: &str, port: u16) -> VaultSettings {
    let token = home.path().join(tag());
    fs::write(&token, vault.token(policy)).unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    VaultSettings {
        address: Some(format!("http://127.0.0.1:{port}")),
        login: Some(VaultLogin::Token(token)),
        ..VaultSettings::default()
    }
}

fn issuer(options: Options, settings: &VaultSettings) -> Box<dyn Issuer> {
    let roles = ROLES.map(|role| StaticRole::parse(&format!("database/{role}")).unwrap());
    Box::new(with_static_roles(options, roles, settings).unwrap())
}
