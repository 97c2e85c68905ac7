//! The port's suite over Vault and a real server, each behind a relay that can lose requests and answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_logins::postgres::{Options, with_static_roles};
use keyroll_port::conformance::{FaultMode, IssuerHarness};
use keyroll_port::{Issuer, Probe};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::Relay;
use keyroll_vault::StaticRole;
use tokio_postgres::Client;

use crate::postgres::stage::{Names, id, options};
use crate::static_roles::stage::{PERIOD_S, ROLES, SLOTS, Stage, WATCH, Wiring};

struct Harness {
    stage: Stage,
    vault: Relay,
    server: Relay,
    issuer: Box<dyn Issuer>,
    held: Vec<Client>,
}

/// Whether a request changes a password.
fn rotates(sent: &[u8]) -> bool {
    sent.starts_with(b"POST /v1/database/rotate-role/")
}

impl Harness {
    /// The time limit is that of the calls to the server; those to Vault have their own.
    async fn start(request_ms_max: u64) -> Option<Self> {
        let stage = Stage::new("the issuer's conformance suite over static roles").await?;
        let vault = Relay::start(stage.vault.port(), rotates).await.unwrap();
        let server = Relay::start(stage.server.port(), |_| false).await.unwrap();
        let wiring = Wiring { vault_port: vault.port(), ..stage.wiring() };
        let wired = options(server.port(), &Names::default(), WATCH, &stage.watch);
        let roles = wiring.roles.map(|role| StaticRole::parse(role).unwrap());
        let issuer =
            with_static_roles(Options { request_ms_max, ..wired }, roles, &stage.settings(wiring)).unwrap();
        Some(Self { stage, vault, server, issuer: Box::new(issuer), held: Vec::new() })
    }
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.fault_mode(FaultMode::Fair).await;
        self.held.clear();
        let end =
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename LIKE 'orders%'";
        self.stage.sql(end).await;
        for (role, login) in ROLES.into_iter().zip(SLOTS) {
            self.stage.vault.static_role(role, login, PERIOD_S);
        }
        self.stage.current()
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
        for role in ROLES {
            let shown = self.stage.shown(role);
            if self.stage.probe(&shown).await == Probe::Alive {
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
        let session = self.stage.session(credential).await;
        let end = "SELECT host(inet_client_addr()), inet_client_port()";
        let row = session.query_one(end, &[]).await.unwrap();
        let (address, port): (String, i32) = (row.get(0), row.get(1));
        self.held.push(session);
        Some(SocketAddr::new(address.parse().unwrap(), u16::try_from(port).unwrap()))
    }
}

keyroll_port::conformance_tests!(Harness::start: ok, dead, timeout, odd, absent, lost, refused);
