//! A probe from another host: each of its connections is that host's, and encrypted.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyroll_http::via::{Dial, Dialed, UNENCRYPTED, through};
use keyroll_logins::postgres::{self, Postgres};
use keyroll_logins::{Admin, Broker, MariaDb, Options, RabbitMq, Redis};
use keyroll_port::{Issuer, Probe};
use keyroll_secret::{Credential, Fields, SecretBytes};
use keyroll_testkit::TempDir;

/// A name that leads nowhere: a connection from this machine would end with another reason.
const NOWHERE: &str = "issuer.invalid";

/// A root that signed nothing.
const ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBkTCCATegAwIBAgIULWQPvwVrUmea4Ctp76OuVlmDUwkwCgYIKoZIzj0EAwIw
HjEcMBoGA1UEAwwTYSByb290IG9mIHRoaXMgdGVzdDAeFw0yNjExMjkxNTA3MjFa
Fw0zNjExMjYxNTA3MjFaMB4xHDAaBgNVBAMME2Egcm9vdCBvZiB0aGlzIHRlc3Qw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQrMrymMDpZJu4xG+7FduosZB5CSp3A
z6rcUWzJHP/rvw0NbTqnhZ9gwe76UM1ygHt7SJu9seqsqPc3BdYH4+ino1MwUTAd
BgNVHQ4EFgQUunsCRU5w6+1UmcOx/QuIaqCy82cwHwYDVR0jBBgwFoAUunsCRU5w
6+1UmcOx/QuIaqCy82cwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBF
AiEAolbQXk5wn4Y84kuB3nc6vwrfwVdB1Jnzs1R5Yqn9cq0CIEJz8PFW88kNh4fk
4K6xNdBM/kcklQ0I1zRaAWB0P0dp
-----END CERTIFICATE-----
";

/// A host that reaches nothing.
#[derive(Default)]
struct CutOff(Mutex<Vec<(String, u16)>>);

impl CutOff {
    fn asked(&self) -> Vec<(String, u16)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Dial for CutOff {
    async fn dial(&self, host: &str, port: u16) -> io::Result<Dialed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((host.to_owned(), port));
        Err(io::Error::other("no route from there"))
    }
}

fn password() -> SecretBytes {
    SecretBytes::from("a password".to_owned())
}

fn options(host: &str, port: u16, roots: Option<&Path>) -> Options {
    Options {
        host: host.to_owned(),
        port,
        slots: ["app_a", "app_b"].map(str::to_owned),
        root_certificates: roots.map(Path::to_owned),
        admin: Admin { user: "keyroll".to_owned(), password: password() },
        request_ms_max: 60_000,
    }
}

fn postgres(host: &str, port: u16, roots: Option<&Path>) -> Postgres {
    let options = postgres::Options {
        host: host.to_owned(),
        port,
        dbname: "app".to_owned(),
        owner_role: "app".to_owned(),
        slots: ["app_a", "app_b"].map(str::to_owned),
        root_certificates: roots.map(Path::to_owned),
        log: None,
        poolers: Vec::new(),
        admin: postgres::Admin { user: "keyroll".to_owned(), password: Some(password()), socket_dir: None },
        request_ms_max: 60_000,
    };
    Postgres::new(options).unwrap()
}

/// Every server that speaks TLS.
fn encrypted(host: &str, port: u16, roots: Option<&Path>) -> Vec<(&'static str, Box<dyn Issuer>)> {
    let broker = Broker { management_port: 15_672, vhost: "/".to_owned() };
    vec![
        ("postgres", Box::new(postgres(host, port, roots))),
        ("redis", Box::new(Redis::issuer(options(host, port, roots)).unwrap())),
        ("rabbitmq", Box::new(RabbitMq::issuer(options(host, port, roots), broker).unwrap())),
    ]
}

/// What a probe from that host says, and whom that host was asked for.
async fn probed(issuer: &dyn Issuer) -> (String, Vec<(String, u16)>) {
    let mut fields = Fields::new();
    fields.insert("user", SecretBytes::from("app_a".to_owned()), false);
    fields.insert("password", password(), true);
    let credential = Credential { id: None, fields };
    let (host, endpoint) = (Arc::new(CutOff::default()), issuer.endpoints().remove(0));
    match through(host.clone(), issuer.probe(&endpoint, &credential)).await {
        Probe::Unknown(why) => (why, host.asked()),
        other @ (Probe::Alive | Probe::Denied | Probe::Dead) => panic!("{other:?}"),
    }
}

fn root_in(folder: &TempDir) -> PathBuf {
    let file = folder.path().join("root.pem");
    std::fs::write(&file, ROOT).unwrap();
    file
}

#[tokio::test]
async fn every_connection_of_a_probe_is_the_hosts_own() {
    let folder = TempDir::new().unwrap();
    let root = root_in(&folder);
    for (kind, issuer) in encrypted(NOWHERE, 4_711, Some(&root)) {
        let (why, asked) = probed(issuer.as_ref()).await;
        assert_eq!(
            (why.as_str(), asked),
            ("no route from there", vec![(NOWHERE.to_owned(), 4_711)]),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_server_without_encryption_is_asked_from_no_other_host() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut issuers = encrypted("127.0.0.1", port, None);
    issuers.push(("mariadb", Box::new(MariaDb::issuer(options("127.0.0.1", port, None)).unwrap())));
    for (kind, issuer) in issuers {
        let (why, asked) = probed(issuer.as_ref()).await;
        assert_eq!((why.as_str(), asked), (UNENCRYPTED, Vec::new()), "{kind}");
        assert!(server.accept().is_err(), "{kind} was asked from this machine");
    }
}
