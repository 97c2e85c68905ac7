//! The port's suite over a real Redis behind a relay that can be spoiled.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken step is a failed test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_port::Issuer;
use keyroll_port::conformance::{self, IssuerHarness, Weather};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};
use keyroll_servers::{Admin, Options, Redis, TwoLogins};
use keyroll_testkit::{Redis as Server, Relay, alphanumeric};
use redis::aio::MultiplexedConnection;

struct Harness {
    server: Server,
    relay: Relay,
    issuer: TwoLogins,
    held: Vec<MultiplexedConnection>,
}

/// The command that changes a user, as it goes over the wire.
fn changes(sent: &[u8]) -> bool {
    sent.windows(7).any(|window| window == b"SETUSER")
}

impl Harness {
    async fn start(request_ms_max: u64) -> Option<Self> {
        let server = Server::start_or_skip("the issuer's conformance suite over Redis")?;
        let relay = Relay::start(server.port(), changes).await.unwrap();
        let admin = Admin {
            user: server.admin().to_owned(),
            password: SecretBytes::from(server.password().to_owned()),
        };
        let options = Options {
            host: "127.0.0.1".to_owned(),
            port: relay.port(),
            slots: ["orders_a".to_owned(), "orders_b".to_owned()],
            root_certificates: None,
            admin,
            request_ms_max,
        };
        let issuer = Redis::issuer(options).unwrap();
        Some(Self { server, relay, issuer, held: Vec::new() })
    }
}

fn field(credential: &Credential, name: &str) -> String {
    String::from_utf8(credential.fields.get(name).unwrap().value.expose().to_vec()).unwrap()
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.relay.weather(Weather::Fair).await.unwrap();
        self.held.clear();
        let password = alphanumeric(20);
        self.server.admin_says("ACL DELUSER orders orders_a orders_b").await.unwrap();
        let make = format!("ACL SETUSER orders on >{password} ~orders:* &* +@all -@dangerous");
        self.server.admin_says(&make).await.unwrap();
        let mut fields = Fields::new();
        fields.insert("user", SecretBytes::from("orders".to_owned()), false);
        fields.insert("password", SecretBytes::from(password), true);
        Credential { id: Some(CredentialId::new("orders")), fields }
    }

    fn issuer(&self) -> &dyn Issuer {
        &self.issuer
    }

    async fn weather(&mut self, weather: Weather) -> bool {
        self.relay.weather(weather).await.unwrap();
        true
    }

    async fn settle(&mut self) {}

    async fn live(&mut self) -> BTreeSet<CredentialId> {
        let mut admin = self.server.connect_admin().await.unwrap();
        let lines: Vec<String> = redis::cmd("ACL").arg("LIST").query_async(&mut admin).await.unwrap();
        let theirs = lines.iter().filter(|line| line.starts_with("user orders"));
        let live = theirs.filter(|line| line.contains(" on ") && line.contains('#'));
        live.map(|line| {
            let name = line.split(' ').nth(1).unwrap();
            let label = line.split(' ').find_map(|word| word.strip_prefix("(~keyroll/"));
            CredentialId::new(label.map_or(name.to_owned(), |label| format!("{name}#keyroll/{label}")))
        })
        .collect()
    }

    async fn present(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        assert!(self.server.connect(&user, &password).await.is_err());
        None
    }

    async fn hold_session(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        let mut session = self.server.connect(&user, &password).await.unwrap();
        // Its own number; another's list then tells its end.
        let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut session).await.unwrap();
        let mut admin = self.server.connect_admin().await.unwrap();
        let line: String =
            redis::cmd("CLIENT").arg("LIST").arg("ID").arg(id).query_async(&mut admin).await.unwrap();
        self.held.push(session);
        let address = line.split(' ').find_map(|word| word.strip_prefix("addr=")).unwrap();
        Some(address.parse().unwrap())
    }
}

/// Long enough for a loaded machine: only the silent case waits for it.
const PATIENT_MS: u64 = 60_000;
const SILENT_MS: u64 = 3_000;

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

#[tokio::test]
async fn refused() {
    let Some(mut harness) = Harness::start(PATIENT_MS).await else { return };
    conformance::refused(&mut harness).await.unwrap();
}
