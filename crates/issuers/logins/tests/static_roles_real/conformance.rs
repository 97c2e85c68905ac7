//! The port's suite over the real Vault and a real server, each behind a relay that can lose requests and answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_port::Issuer;
use keyroll_port::conformance::{FaultMode, IssuerHarness};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::Relay;
use serde_json::json;
use tokio_postgres::Client;

use crate::postgres::stage::{field, id};
use crate::static_roles::stage::ROLES;
use crate::static_roles_real::stage::Stage;

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
        let stage = Stage::new("the issuer's conformance suite over the real Vault").await?;
        let vault = Relay::start(stage.vault.port(), rotates).await.unwrap();
        let server = Relay::start(stage.server.port(), |_| false).await.unwrap();
        let issuer = stage.through(vault.port(), server.port(), request_ms_max);
        Some(Self { stage, vault, server, issuer, held: Vec::new() })
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
        for role in ROLES {
            self.stage.vault.post(&format!("database/rotate-role/{role}"), &json!({}));
        }
        self.stage.shown(0)
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

    /// Whatever Vault shows is what the server accepts: Vault alone changes passwords here.
    async fn live(&mut self) -> BTreeSet<CredentialId> {
        [0, 1].map(|at| id(&self.stage.shown(at)).clone()).into()
    }

    /// Nobody disables a login here, so there is no refused use of a disabled one.
    async fn present(&mut self, _: &Credential) -> Option<SocketAddr> {
        None
    }

    async fn hold_session(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        let session = self.stage.server.connect(&user, &password, "orders").await.unwrap();
        let end = "SELECT host(inet_client_addr()), inet_client_port()";
        let row = session.query_one(end, &[]).await.unwrap();
        let (address, port): (String, i32) = (row.get(0), row.get(1));
        self.held.push(session);
        Some(SocketAddr::new(address.parse().unwrap(), u16::try_from(port).unwrap()))
    }
}

keyroll_port::conformance_tests!(Harness::start: ok, dead, timeout, odd, absent, lost, refused);
