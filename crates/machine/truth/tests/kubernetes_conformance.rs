//! The conformance suite, run over the fake API server.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_port::Truth;
use keyroll_port::conformance::truth::{TruthHarness, run};
use keyroll_secret::Credential;
use keyroll_testkit::tag;

use crate::kubernetes_sample::{FakeApi, scene};
use crate::sample::{KEY, credential, value};

struct AtFake {
    api: FakeApi,
    truth: Box<dyn Truth>,
}

#[async_trait]
impl TruthHarness for AtFake {
    async fn fresh(&mut self) -> Credential {
        let (api, old) = scene();
        self.truth = api.open();
        self.api = api;
        old
    }

    fn truth(&self) -> &dyn Truth {
        &*self.truth
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn credential(&mut self) -> Credential {
        credential()
    }

    async fn change(&mut self, to: &Credential) {
        self.api.put(KEY, &value(to));
    }

    async fn change_beside(&mut self) -> bool {
        self.api.put("OTHER", &tag());
        true
    }

    async fn pending_of_others(&mut self) -> String {
        unreachable!("there is no place for one")
    }

    async fn pending(&self) -> Vec<String> {
        Vec::new()
    }

    async fn without(&self, credential: &Credential) -> Vec<u8> {
        let text = self.api.content().to_string();
        text.replace(&STANDARD.encode(value(credential)), "").into_bytes()
    }
}

#[tokio::test]
async fn a_secret_of_kubernetes_keeps_every_rule() {
    let (api, _) = scene();
    let truth = api.open();
    run(&mut AtFake { api, truth }).await.unwrap();
}
