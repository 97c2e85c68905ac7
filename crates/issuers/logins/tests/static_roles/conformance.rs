//! The port's suite over Vault and a real server, each behind a relay that can lose requests and answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_logins::postgres::{Options, with_static_roles};
use keyroll_port::conformance::{FaultMode, IssuerHarness};
use keyroll_port::{Issuer, Probe};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::{Postgres as Server, Relay};
use keyroll_vault::{StaticRole, VaultSettings};
use tokio_postgres::Client;

use crate::postgres::stage::{Names, field, id, options};
use crate::static_roles::stage::{PERIOD_S, ROLES, SLOTS, Stage, WATCH, Wiring};

/// A real server with two logins, and a Vault with a static role for each: the fake, or the real one.
pub trait Ground: Send + Sync {
    fn server(&self) -> &Server;

    /// Vault's port.
    fn vault_port(&self) -> u16;

    /// The issuer, which reaches both without a relay.
    fn direct(&self) -> &dyn Issuer;

    /// The issuer with Vault and the server at these ports.
    fn through(&self, vault_port: u16, server_port: u16, request_ms_max: u64) -> Box<dyn Issuer>;

    /// Both roles get a new password.
    fn renew(&self);

    /// The credential of a slot as Vault shows it now.
    fn shown_at(&self, slot: usize) -> Credential;
}

impl Ground for Stage {
    fn server(&self) -> &Server {
        &self.server
    }

    fn vault_port(&self) -> u16 {
        self.vault.port()
    }

    fn direct(&self) -> &dyn Issuer {
        &*self.issuer
    }

    fn through(&self, vault_port: u16, server_port: u16, request_ms_max: u64) -> Box<dyn Issuer> {
        let wiring = Wiring { vault_port, ..self.wiring() };
        let wired = options(server_port, &Names::default(), WATCH, &self.watch);
        let roles = wiring.roles.map(|role| StaticRole::parse(role).unwrap());
        let wired = Options { request_ms_max, ..wired };
        let vault = VaultSettings { request_ms_max: Some(request_ms_max), ..self.settings(wiring) };
        Box::new(with_static_roles(wired, roles, &vault).unwrap())
    }

    fn renew(&self) {
        for (role, login) in ROLES.into_iter().zip(SLOTS) {
            self.vault.static_role(role, login, PERIOD_S);
        }
    }

    fn shown_at(&self, slot: usize) -> Credential {
        self.shown(ROLES[slot])
    }
}

pub struct Harness<G> {
    ground: G,
    vault: Relay,
    server: Relay,
    issuer: Box<dyn Issuer>,
    held: Vec<Client>,
}

/// Whether a request changes a password.
fn rotates(sent: &[u8]) -> bool {
    sent.starts_with(b"POST /v1/database/rotate-role/")
}

impl<G: Ground> Harness<G> {
    /// The time limit is that of each call, to the server and to Vault.
    pub async fn over(ground: G, request_ms_max: u64) -> Self {
        let vault = Relay::start(ground.vault_port(), rotates).await.unwrap();
        let server = Relay::start(ground.server().port(), |_| false).await.unwrap();
        let issuer = ground.through(vault.port(), server.port(), request_ms_max);
        Self { ground, vault, server, issuer, held: Vec::new() }
    }
}

#[async_trait]
impl<G: Ground> IssuerHarness for Harness<G> {
    async fn fresh(&mut self) -> Credential {
        self.fault_mode(FaultMode::Fair).await;
        self.held.clear();
        let end =
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename LIKE 'orders%'";
        let admin = self.ground.server().connect_admin("orders").await.unwrap();
        admin.batch_execute(end).await.unwrap();
        self.ground.renew();
        self.ground.shown_at(0)
    }

    fn issuer(&self) -> &dyn Issuer {
        &*self.issuer
    }

    async fn fault_mode(&mut self, fault_mode: FaultMode) -> bool {
        self.vault.fault_mode(fault_mode).await.unwrap();
        self.server.fault_mode(fault_mode).await.unwrap();
        true
    }

    async fn settle(&mut self) {}

    /// What Vault shows and the server accepts.
    async fn live(&mut self) -> BTreeSet<CredentialId> {
        let mut live = BTreeSet::new();
        for slot in 0..ROLES.len() {
            let (shown, issuer) = (self.ground.shown_at(slot), self.ground.direct());
            if issuer.probe(&issuer.endpoints()[0], &shown).await == Probe::Alive {
                live.insert(id(&shown).clone());
            }
        }
        live
    }

    /// Nobody disables a login here, so there is no refused use of a disabled one.
    async fn present(&mut self, _: &Credential) -> Option<SocketAddr> {
        None
    }

    async fn hold_session(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        let session = self.ground.server().connect(&user, &password, "orders").await.unwrap();
        let end = "SELECT host(inet_client_addr()), inet_client_port()";
        let row = session.query_one(end, &[]).await.unwrap();
        let (address, port): (String, i32) = (row.get(0), row.get(1));
        self.held.push(session);
        Some(SocketAddr::new(address.parse().unwrap(), u16::try_from(port).unwrap()))
    }
}

async fn start(request_ms_max: u64) -> Option<Harness<Stage>> {
    let stage = Stage::new("the issuer's conformance suite over static roles").await?;
    Some(Harness::over(stage, request_ms_max).await)
}

keyroll_port::conformance_tests!(start: ok, dead, timeout, odd, absent, lost, refused);
