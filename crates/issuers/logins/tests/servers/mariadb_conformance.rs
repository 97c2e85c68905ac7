//! The port's suite over a real MariaDB, behind a relay that can lose requests and answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::servers::stage::{credential, field, options};
use async_trait::async_trait;
use keyroll_logins::{MariaDb, TwoLogins};
use keyroll_port::Issuer;
use keyroll_port::conformance::{FaultMode, IssuerHarness};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::{MariaDb as Server, Relay, alphanumeric};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

struct Harness {
    server: Server,
    relay: Relay,
    issuer: TwoLogins,
    held: Vec<Conn>,
}

/// The statement that lets an account in or ends it, as it goes over the wire.
fn changes(sent: &[u8]) -> bool {
    sent.windows(10).any(|window| window == b"ALTER USER")
}

impl Harness {
    async fn start(request_ms_max: u64) -> Option<Self> {
        let server = Server::start_or_skip("the issuer's conformance suite over MariaDB")?;
        let relay = Relay::start(server.port(), changes).await.unwrap();
        let admin = (server.admin(), server.password());
        let options = options(relay.port(), "orders", admin, request_ms_max);
        let issuer = MariaDb::issuer(options).unwrap();
        Some(Self { server, relay, issuer, held: Vec::new() })
    }
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.relay.fault_mode(FaultMode::Fair).await.unwrap();
        self.held.clear();
        let password = alphanumeric(20);
        let mut admin = self.server.connect_admin().await.unwrap();
        let marks = "SELECT User FROM mysql.global_priv WHERE User LIKE '%keyroll/%'";
        let marks: Vec<String> = admin.query(marks).await.unwrap();
        let make = format!("CREATE USER orders@'127.0.0.1' IDENTIFIED BY '{password}'");
        let mut statements: Vec<String> = marks.iter().map(|role| format!("DROP ROLE `{role}`")).collect();
        statements.push(
            "DROP USER IF EXISTS orders@'127.0.0.1', orders_a@'127.0.0.1', orders_b@'127.0.0.1'".to_owned(),
        );
        statements.push(make);
        statements.push("GRANT SELECT, INSERT ON shop.* TO orders@'127.0.0.1'".to_owned());
        for statement in statements {
            admin.query_drop(statement).await.unwrap();
        }
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
        let live = "SELECT g.User, (SELECT Role FROM mysql.roles_mapping r
                      WHERE r.User = g.User AND r.Host = g.Host AND Role LIKE 'keyroll/%')
                      FROM mysql.global_priv g WHERE User LIKE 'orders%' AND Priv LIKE '%\"*%'
                       AND COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') NOT IN ('1', 'true')";
        let live: Vec<(String, Option<String>)> = admin.query(live).await.unwrap();
        let id = |(user, label): (String, Option<String>)| match label {
            Some(label) => CredentialId::new(format!("{user}#{label}")),
            None => CredentialId::new(user),
        };
        live.into_iter().map(id).collect()
    }

    async fn present(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        assert!(self.server.connect(&user, &password).await.is_err());
        None
    }

    async fn hold_session(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        let mut session = self.server.connect(&user, &password).await.unwrap();
        let host = "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";
        let address: Option<String> = session.query_first(host).await.unwrap();
        self.held.push(session);
        Some(address.unwrap().parse().unwrap())
    }
}

keyroll_port::conformance_tests!(Harness::start: ok, dead, timeout, odd, absent, lost, refused);
