//! The port's suite over a real server, behind a relay that can lose requests and answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::postgres::stage::{Names, Stage, credential, field, options};
use async_trait::async_trait;
use keyroll_logins::postgres::{Options, Postgres};
use keyroll_port::conformance::{self, FaultMode, IssuerHarness};
use keyroll_port::{Issuer, RefusalLog};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::{Relay, alphanumeric};
use tokio::net::TcpStream;
use tokio_postgres::{Client, Config, NoTls};

struct Harness {
    stage: Stage,
    relay: Relay,
    issuer: Postgres,
    held: Vec<Client>,
}

impl Harness {
    async fn start(request_ms_max: u64) -> Option<Self> {
        Self::start_with(request_ms_max, &[]).await
    }

    async fn start_with(request_ms_max: u64, settings: &[&str]) -> Option<Self> {
        let stage = Stage::with(Names::default(), "the issuer's conformance suite", settings).await?;
        let relay = Relay::start(stage.server.port(), commits).await.unwrap();
        let wiring = options(relay.port(), &Names::default(), "postgres", stage.server.password());
        let issuer = Postgres::new(Options { request_ms_max, ..wiring }).unwrap();
        Some(Self { stage, relay, issuer, held: Vec::new() })
    }
}

/// The simple query that ends a transaction, as it goes over the wire.
fn commits(sent: &[u8]) -> bool {
    sent.windows(7).any(|window| window == b"COMMIT\0")
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.relay.fault_mode(FaultMode::Fair).await.unwrap();
        self.held.clear();
        let password = alphanumeric(20);
        let end =
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename LIKE 'orders%'";
        self.stage.sql(end).await;
        let reset = format!(
            "DROP ROLE IF EXISTS orders_a; DROP ROLE IF EXISTS orders_b; \
             ALTER ROLE orders LOGIN PASSWORD '{password}'; COMMENT ON ROLE orders IS NULL"
        );
        self.stage.sql(&reset).await;
        credential("orders", &password)
    }

    fn issuer(&self) -> &dyn Issuer {
        &self.issuer
    }

    async fn fault_mode(&mut self, fault_mode: FaultMode) -> bool {
        self.relay.fault_mode(fault_mode).await.unwrap();
        true
    }

    async fn settle(&mut self) {}

    async fn live(&mut self) -> BTreeSet<CredentialId> {
        let live = "SELECT concat_ws('#', rolname, shobj_description(oid, 'pg_authid')) FROM pg_authid
                     WHERE rolcanlogin AND rolpassword IS NOT NULL AND rolname LIKE 'orders%'";
        let rows = self.stage.admin().await.query(live, &[]).await.unwrap();
        rows.iter().map(|row| CredentialId::new(row.get::<_, String>(0))).collect()
    }

    async fn present(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        let stream = TcpStream::connect(("127.0.0.1", self.stage.server.port())).await.unwrap();
        let client = stream.local_addr().unwrap();
        let mut config = Config::new();
        config.user(&user).password(&password).dbname("orders");
        let refused = config.connect_raw(stream, NoTls).await.err().unwrap();
        assert_eq!(refused.code().unwrap().code(), "28000");
        Some(client)
    }

    async fn recorded(&mut self) {
        self.stage.recorded().await;
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

/// Long enough for a loaded machine: only the silent case waits for it.
const PATIENT_MS: u64 = 60_000;
const SILENT_MS: u64 = 2_000;

#[tokio::test]
async fn ok() {
    let Some(mut harness) = Harness::start(PATIENT_MS).await else { return };
    conformance::ok(&mut harness).await.unwrap();
}

#[tokio::test]
async fn dead() {
    let Some(mut harness) = Harness::start(PATIENT_MS).await else { return };
    conformance::dead(&mut harness).await.unwrap();
}

#[tokio::test]
async fn timeout() {
    let Some(mut harness) = Harness::start(SILENT_MS).await else { return };
    conformance::timeout(&mut harness).await.unwrap();
}

#[tokio::test]
async fn odd() {
    let Some(mut harness) = Harness::start(PATIENT_MS).await else { return };
    conformance::odd(&mut harness).await.unwrap();
}

#[tokio::test]
async fn absent() {
    let Some(mut harness) = Harness::start(PATIENT_MS).await else { return };
    conformance::absent(&mut harness).await.unwrap();
}

#[tokio::test]
async fn lost() {
    let Some(mut harness) = Harness::start(PATIENT_MS).await else { return };
    conformance::lost(&mut harness).await.unwrap();
}

/// With each form of the log, and without one.
#[tokio::test]
async fn refused() {
    for form in ["jsonlog", "csvlog", "stderr", ""] {
        let destination = format!("log_destination={form}");
        let on = ["logging_collector=on", &destination, "log_line_prefix=%m [%p] %q%u@%d %r "];
        let settings = if form.is_empty() { &[][..] } else { &on[..] };
        let Some(mut harness) = Harness::start_with(PATIENT_MS, settings).await else { return };
        let current = harness.fresh().await;
        let seen = harness.issuer.sees_refusals(&current).await;
        assert_eq!(matches!(seen, RefusalLog::Read { .. }), !form.is_empty(), "{form}: {seen:?}");
        conformance::refused(&mut harness).await.unwrap_or_else(|breach| panic!("{form}: {breach}"));
    }
}
