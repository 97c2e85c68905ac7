//! The port's suite over moto's IAM and STS, behind a relay that can lose requests and answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_port::Issuer;
use keyroll_port::conformance::{FaultMode, IssuerHarness};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::{IamLogin, MotoIam, Relay, tag};

use crate::sample::{Opened, PROFILE, credential, open};

struct Harness {
    moto: MotoIam,
    relay: Relay,
    request_ms_max: u64,
    user: String,
    opened: Option<Opened>,
}

/// Whether a request changes a key.
fn changes(sent: &[u8]) -> bool {
    let has = |word: &str| sent.windows(word.len()).any(|window| window == word.as_bytes());
    ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"]
        .iter()
        .any(|action| has(&format!("Action={action}")))
}

impl Harness {
    async fn start(request_ms_max: u64) -> Option<Self> {
        let moto = MotoIam::start_or_skip("the issuer's conformance suite over IAM")?;
        let relay = Relay::start(moto.port(), changes).await.unwrap();
        Some(Self { moto, relay, request_ms_max, user: String::new(), opened: None })
    }
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.relay.fault_mode(FaultMode::Fair).await.unwrap();
        self.user = tag();
        self.moto.user(&self.user);
        let config = self.moto.profile(PROFILE, IamLogin::Keyroll, self.relay.port());
        self.opened = Some(open(&config, self.relay.port(), &self.user, self.request_ms_max));
        credential(&self.moto.make(&self.user))
    }

    fn issuer(&self) -> &dyn Issuer {
        &self.opened.as_ref().expect("a fresh user").keys
    }

    async fn fault_mode(&mut self, fault_mode: FaultMode) -> bool {
        self.relay.fault_mode(fault_mode).await.unwrap();
        true
    }

    async fn settle(&mut self) {}

    async fn live(&mut self) -> BTreeSet<CredentialId> {
        let keys = self.moto.keys(&self.user);
        let active = keys.into_iter().filter(|(_, status)| status == "Active");
        active.map(|(id, _)| CredentialId::new(id)).collect()
    }

    async fn hold_session(&mut self, _: &Credential) -> Option<SocketAddr> {
        None
    }

    async fn present(&mut self, _: &Credential) -> Option<SocketAddr> {
        None
    }
}

keyroll_port::conformance_tests!(Harness::start: ok, dead, timeout, odd, absent, lost, refused);
