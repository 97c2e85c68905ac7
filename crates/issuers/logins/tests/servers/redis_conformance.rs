//! The port's suite over a real Redis, behind a relay that can lose requests and answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::servers::stage::{credential, field, options};
use async_trait::async_trait;
use keyroll_logins::{Redis, TwoLogins};
use keyroll_port::Issuer;
use keyroll_port::conformance::{FaultMode, IssuerHarness};
use keyroll_secret::{Credential, CredentialId};
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
        let admin = (server.admin(), server.password());
        let options = options(relay.port(), "orders", admin, request_ms_max);
        let issuer = Redis::issuer(options).unwrap();
        Some(Self { server, relay, issuer, held: Vec::new() })
    }
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.relay.fault_mode(FaultMode::Fair).await.unwrap();
        self.held.clear();
        let password = alphanumeric(20);
        self.server.admin_says("ACL DELUSER orders orders_a orders_b").await.unwrap();
        let make = format!("ACL SETUSER orders on >{password} ~orders:* &* +@all -@dangerous");
        self.server.admin_says(&make).await.unwrap();
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
        // Its own id; another connection's list then shows its end.
        let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut session).await.unwrap();
        let mut admin = self.server.connect_admin().await.unwrap();
        let line: String =
            redis::cmd("CLIENT").arg("LIST").arg("ID").arg(id).query_async(&mut admin).await.unwrap();
        self.held.push(session);
        let address = line.split(' ').find_map(|word| word.strip_prefix("addr=")).unwrap();
        Some(address.parse().unwrap())
    }
}

keyroll_port::conformance_tests!(Harness::start: ok, dead, timeout, odd, absent, lost, refused);
