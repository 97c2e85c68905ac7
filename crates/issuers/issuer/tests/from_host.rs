//! A probe from another host: each of its connections is that host's, and encrypted.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyroll_http::via::{Dial, Dialed, UNENCRYPTED, through};
use keyroll_issuer::{Runner, Spec};
use keyroll_port::conformance::IssuerHarness;
use keyroll_port::{Issuer, Probe, RefusedUse};
use keyroll_secret::SecretBytes;
use serde_json::json;

use crate::fake::Dialect;
use crate::harness::{Harness, spec_text};

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

/// The name leads nowhere: a connection from this machine would end with another reason.
#[tokio::test]
async fn every_connection_of_a_probe_is_the_hosts_own() {
    let address = "127.0.0.1:9".parse().unwrap();
    let text = spec_text(Dialect::Acme, address)
        .replace(&format!("http://{address}"), "https://issuer.invalid")
        .replace(&format!("\"{address}\""), "\"issuer.invalid\"");
    let spec = Spec::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error} ({:?})", error.help));
    let runner = Runner::new(spec, Some(SecretBytes::from("an admin's".to_owned())));
    let (host, credential) = (Arc::new(CutOff::default()), Harness::credential("key_1", "sk-1"));
    let probe = through(host.clone(), runner.probe("issuer.invalid:443", &credential)).await;
    assert!(matches!(&probe, Probe::Unknown(why) if why.contains("no route from there")), "{probe:?}");
    assert_eq!(host.asked(), [("issuer.invalid".to_owned(), 443)]);
}

#[tokio::test]
async fn an_endpoint_without_encryption_is_asked_from_no_other_host() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let (before, host) = (harness.fake.world().connections, Arc::new(CutOff::default()));
    let endpoint = harness.runner().endpoints().remove(0);
    let probe = through(host.clone(), harness.runner().probe(&endpoint, &current)).await;
    assert!(matches!(&probe, Probe::Unknown(why) if why.contains(UNENCRYPTED)), "{probe:?}");
    assert!(host.asked().is_empty() && harness.fake.world().connections == before);
    assert_eq!(harness.runner().probe(&endpoint, &current).await, Probe::Alive);
}

/// The record shows no address, so our own uses would be told from others by their count alone.
#[tokio::test]
async fn what_is_asked_from_a_host_explains_no_use_of_somebody_else() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let mark = harness.issuer().mark_refusals(&current).await.unwrap();
    let endpoint = harness.runner().endpoints().remove(0);
    let probe = through(Arc::new(CutOff::default()), harness.runner().probe(&endpoint, &current)).await;
    assert!(matches!(probe, Probe::Unknown(_)), "{probe:?}");
    let entry = json!({"id": "a", "at": 2_000_000, "client": null, "agent": null});
    harness.fake.world().refused_body = Some(json!({"refusals": [entry], "next": null}).to_string());
    let found = harness.issuer().refusals(&current, &mark).await.unwrap();
    assert_eq!(found, [RefusedUse { client: None, told: None }]);
}
