//! Under which address a server sees a connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::servers::stage::{credential, options};
use keyroll_logins::{MariaDb, Redis, TwoLogins};
use keyroll_port::Issuer;
use keyroll_port::conformance::PATIENT_MS;
use keyroll_secret::Credential;
use keyroll_testkit::{MariaDb as MariaDbServer, Redis as RedisServer, alphanumeric};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Stands between a client and a server: the server sees its ends in place of the client's.
struct Between {
    port: u16,
    ends: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Between {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&ends);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut onward = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(onward.local_addr().unwrap());
                tokio::spawn(async move { drop(copy_bidirectional(&mut client, &mut onward).await) });
            }
        });
        Self { port, ends }
    }

    /// Its ends, in the order of the connections.
    fn ends(&self) -> Vec<SocketAddr> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The consumer's connection is the first one.
async fn is_seen_as_the_end_before_the_server(between: &Between, issuer: &TwoLogins, current: &Credential) {
    let endpoint = issuer.endpoints().remove(0);
    let seen = issuer.seen_as(&endpoint, current).await.unwrap();
    assert_eq!(seen, between.ends().first().copied());
    let sessions = issuer.sessions(current.id.as_ref().unwrap()).await.unwrap().unwrap();
    assert!(sessions.is_empty(), "a trial is nobody's session: {sessions:?}");
    let wrong = issuer.decoy(current);
    assert!(issuer.seen_as(&endpoint, &wrong).await.is_err());
    assert!(issuer.seen_as("db.example.org:1", current).await.is_err(), "it would not be encrypted");
}

#[tokio::test]
async fn redis_sees_what_is_in_front_of_it_in_place_of_the_client() {
    let Some(server) = RedisServer::start_or_skip("the address that Redis sees") else { return };
    let password = alphanumeric(20);
    // A consumer's user that may not ask for it.
    let make = format!("ACL SETUSER orders on >{password} ~orders:* +get");
    server.admin_says(&make).await.unwrap();
    let between = Between::start(server.port()).await;
    let admin = (server.admin(), server.password());
    let issuer = Redis::issuer(options(between.port, "orders", admin, PATIENT_MS)).unwrap();
    is_seen_as_the_end_before_the_server(&between, &issuer, &credential("orders", &password)).await;
}

#[tokio::test]
async fn mariadb_sees_what_is_in_front_of_it_in_place_of_the_client() {
    let Some(server) = MariaDbServer::start_or_skip("the address that MariaDB sees") else { return };
    let password = alphanumeric(20);
    let make = format!("CREATE USER orders@'127.0.0.1' IDENTIFIED BY '{password}'");
    server.admin_says(&[&make]).await.unwrap();
    let between = Between::start(server.port()).await;
    let admin = (server.admin(), server.password());
    let issuer = MariaDb::issuer(options(between.port, "orders", admin, PATIENT_MS)).unwrap();
    is_seen_as_the_end_before_the_server(&between, &issuer, &credential("orders", &password)).await;
}
