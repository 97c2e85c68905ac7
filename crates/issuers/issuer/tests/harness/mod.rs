//! The spec runner over the fake, for the conformance suite and for tests of its own.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a part that fails is a test that fails"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_issuer::{Runner, Spec};
use keyroll_port::Issuer;
use keyroll_port::conformance::{FaultMode, IssuerHarness};
use keyroll_rotation::Overlap;
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake::{Behaviour, Dialect, Fake, Odd, described};

const GUIDE: &str = include_str!("../../../../../docs/guides/write-an-issuer.md");

/// The spec of a dialect as it is shipped or shown in the guide, pointed at the fake.
pub fn spec_text(dialect: Dialect, address: SocketAddr) -> String {
    let plain;
    let (text, host) = match dialect {
        Dialect::Acme => {
            let mut block = GUIDE.split("```toml\n").filter_map(|rest| rest.split("```").next());
            let block = block.find(|block| block.starts_with("spec = 1")).unwrap();
            // Tests take operations away: no source may state one that is gone.
            let (facts, _) = block.split_once("[provenance]").unwrap();
            plain = format!(
                "{facts}[provenance]\nchecked = \"2026-11-20\"\nsources = [\"https://docs.acme.example\"]\n"
            );
            (plain.as_str(), "api.acme.example")
        }
        Dialect::OpenRouter => (include_str!("../../../../../issuers/openrouter.toml"), "openrouter.ai"),
        Dialect::SendGrid => (include_str!("../../../../../issuers/sendgrid.toml"), "api.sendgrid.com"),
        Dialect::Shipped(name) => return described::pointed_at(name, address),
    };
    let text = text.replace(&format!("url = \"https://{host}"), &format!("url = \"http://{address}"));
    text.replace(&format!("\"{host}\""), &format!("\"{address}\""))
}

/// How long a request may take in a test: long on a loaded machine, short where silence is the point.
pub const PATIENT: &str = "[limits]\nrequest_max = \"20s\"";
pub const HASTY: &str = "[limits]\nrequest_max = \"1s\"";

pub struct Harness {
    pub fake: Fake,
    pub odd: Odd,
    runner: Runner,
    edit: Box<dyn Fn(String) -> String + Send + Sync>,
    held: Vec<TcpStream>,
    /// Answers tell no time.
    pub timeless: bool,
}

impl Harness {
    pub async fn new(dialect: Dialect) -> Self {
        Self::edited(dialect, |text| text).await
    }

    /// With a change to the spec's text.
    pub async fn edited(dialect: Dialect, edit: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        let fake = Fake::start(dialect).await;
        let runner = runner(&fake, &edit);
        Self { fake, odd: Odd::Status(503), runner, edit: Box::new(edit), held: Vec::new(), timeless: false }
    }

    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// The fake's key as a credential.
    pub fn credential(id: &str, value: &str) -> Credential {
        let fields = Fields::single(SecretBytes::from(value.to_owned()));
        Credential { id: Some(CredentialId::new(id)), fields }
    }

    /// The fake's key as a credential of its dialect.
    pub fn holding(&self, id: &str, value: &str) -> Credential {
        let Dialect::Shipped(name) = self.fake.dialect else { return Self::credential(id, value) };
        let mut fields = Fields::new();
        for (field, secret) in Spec::shipped(name).unwrap().fields() {
            let is_id = described::spec(name)["id_in"] == format!("{{cred.{field}}}");
            let text = if secret {
                value
            } else if is_id {
                id
            } else {
                "7"
            };
            let text = text.to_owned();
            fields.insert(field, SecretBytes::from(text), secret);
        }
        Credential { id: Some(CredentialId::new(id)), fields }
    }

    /// One planted key, in use.
    pub async fn current(&mut self) -> Credential {
        self.fresh().await
    }
}

fn runner(fake: &Fake, edit: &dyn Fn(String) -> String) -> Runner {
    let text = edit(spec_text(fake.dialect, fake.address));
    let spec = Spec::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error} ({:?})", error.help));
    let admin = fake.world().admin.clone();
    Runner::new(spec, Some(SecretBytes::from(admin)))
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.held.clear();
        self.fake.leave().await;
        self.fake = Fake::start(self.fake.dialect).await;
        self.runner = runner(&self.fake, &*self.edit);
        let dialect = self.fake.dialect;
        let mut world = self.fake.world();
        world.dated = !self.timeless;
        // Neighbours, so that lists have pages; where there are two slots, the other is free.
        let shipped = matches!(dialect, Dialect::Shipped(_));
        let alone = shipped && self.runner.capabilities().overlap == Overlap::TwoSlots;
        for name in ["ci", "old laptop", "keyroll/earlier/1"].into_iter().filter(|_| !alone) {
            world.plant(dialect, name);
        }
        let key = world.plant(dialect, "in use");
        if !alone {
            world.plant(dialect, "batch");
        }
        drop(world);
        self.holding(&key.id, &key.value)
    }

    fn issuer(&self) -> &dyn Issuer {
        &self.runner
    }

    async fn fault_mode(&mut self, fault_mode: FaultMode) -> bool {
        self.fake.world().mood = match fault_mode {
            FaultMode::Fair | FaultMode::Absent => Behaviour::Fair,
            FaultMode::Silent => Behaviour::Silent,
            FaultMode::Odd => Behaviour::Odd(self.odd),
            FaultMode::AnswerLost => Behaviour::LoseNext,
        };
        if fault_mode == FaultMode::Absent {
            self.fake.leave().await;
        } else {
            self.fake.come_back().await;
        }
        true
    }

    async fn settle(&mut self) {
        self.fake.world().now += 10_000;
    }

    async fn live(&mut self) -> BTreeSet<CredentialId> {
        let world = self.fake.world();
        let on = world.keys.iter().filter(|key| key.enabled && !key.deleted && key.born <= world.now);
        on.map(|key| CredentialId::new(key.id.clone())).collect()
    }

    async fn present(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (_, value) = credential.fields.secrets().next().unwrap();
        let value = String::from_utf8(value.expose().to_vec()).unwrap();
        let mut stream = TcpStream::connect(self.fake.address).await.unwrap();
        let request = format!(
            "GET /v1/whoami HTTP/1.1\r\nauthorization: Bearer {value}\r\nuser-agent: report/2\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        Some(stream.local_addr().unwrap())
    }

    async fn hold_session(&mut self, credential: &Credential) -> Option<SocketAddr> {
        if self.fake.dialect != Dialect::Acme {
            return None;
        }
        let (_, value) = credential.fields.secrets().next().unwrap();
        let value = String::from_utf8(value.expose().to_vec()).unwrap();
        let mut stream = TcpStream::connect(self.fake.address).await.unwrap();
        let request = format!("GET /v1/whoami HTTP/1.1\r\nauthorization: Bearer {value}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        let client = stream.local_addr().unwrap();
        self.held.push(stream);
        Some(client)
    }
}
