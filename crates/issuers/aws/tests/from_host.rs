//! A probe from another host: its one connection is that host's, and encrypted.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyroll_aws::{AwsKeys, AwsSettings, IamUser};
use keyroll_http::via::{Dial, Dialed, UNENCRYPTED, through};
use keyroll_port::conformance::PATIENT_MS;
use keyroll_port::{Issuer as _, Probe};

use crate::sample::{ACCOUNT, credential};

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

/// What a probe from that host says, and whom that host was asked for.
async fn probed(endpoint: String) -> (String, Vec<(String, u16)>) {
    let settings = AwsSettings { endpoint: Some(endpoint), ..AwsSettings::default() };
    let (account, name) = (ACCOUNT.to_owned(), "app".to_owned());
    let keys = AwsKeys::new(IamUser { account, name, settings, request_ms_max: PATIENT_MS });
    let key = credential(&("AKIAIOSFODNN7EXAMPLE".to_owned(), "none".to_owned()));
    let host = Arc::new(CutOff::default());
    match through(host.clone(), keys.probe("", &key)).await {
        Probe::Unknown(why) => (why, host.asked()),
        other @ (Probe::Alive | Probe::Denied | Probe::Dead) => panic!("{other:?}"),
    }
}

/// The name leads nowhere: a connection from this machine would end with another reason.
#[tokio::test]
async fn the_connection_of_a_probe_is_the_hosts_own() {
    let (why, asked) = probed("https://issuer.invalid".to_owned()).await;
    assert!(why.contains("no route from there"), "{why}");
    assert_eq!(asked, [("issuer.invalid".to_owned(), 443)]);
}

#[tokio::test]
async fn an_address_without_encryption_is_asked_from_no_other_host() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let (why, asked) = probed(format!("http://{}", server.local_addr().unwrap())).await;
    assert!(why.contains(UNENCRYPTED) && asked.is_empty(), "{why}");
    assert!(server.accept().is_err(), "it was asked from this machine");
}
