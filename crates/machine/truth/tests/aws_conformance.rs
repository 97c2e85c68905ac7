//! The conformance suite, run over moto: a key of a JSON object, and a whole text.

use async_trait::async_trait;
use keyroll_port::Truth;
use keyroll_port::conformance::truth::{TruthHarness, run};
use keyroll_secret::Credential;
use keyroll_testkit::{Moto, MotoUser, tag};

use crate::sample::{KEY, Opened, PROFILE, credential, document, open, value};

struct AtMoto {
    moto: Moto,
    keyed: bool,
    id: String,
    beside: String,
    opened: Option<Opened>,
}

impl AtMoto {
    fn text(&self, credential: &Credential) -> String {
        if self.keyed { document(credential, &self.beside) } else { value(credential) }
    }
}

#[async_trait]
impl TruthHarness for AtMoto {
    async fn fresh(&mut self) -> Credential {
        let old = credential();
        (self.id, self.beside) = (format!("prod/{}", tag()), tag());
        self.moto.create(&self.id, &self.text(&old), None);
        let config = self.moto.profile(PROFILE, MotoUser::Keyroll, self.moto.port());
        self.opened = Some(open(&config, &self.id, self.keyed.then_some(KEY)).await);
        old
    }

    fn truth(&self) -> &dyn Truth {
        &self.opened.as_ref().expect("a fresh secret").truth
    }

    fn credential(&mut self) -> Credential {
        credential()
    }

    async fn change(&mut self, to: &Credential) {
        self.moto.put(&self.id, &self.text(to), &["AWSCURRENT"]);
    }

    async fn change_beside(&mut self) -> bool {
        if self.keyed {
            let before = std::mem::replace(&mut self.beside, tag());
            let text = self.moto.text(&self.id).replace(&before, &self.beside);
            self.moto.put(&self.id, &text, &["AWSCURRENT"]);
        }
        self.keyed
    }

    async fn pending_of_others(&mut self) -> String {
        self.moto.put(&self.id, &self.text(&credential()), &["AWSPENDING"])
    }

    async fn pending(&self) -> Vec<String> {
        self.moto.labelled(&self.id, "AWSPENDING")
    }

    async fn without(&self, credential: &Credential) -> Vec<u8> {
        self.moto.text(&self.id).replace(&value(credential), "").into_bytes()
    }
}

async fn keeps_every_rule(keyed: bool) {
    let Some(moto) = Moto::start_or_skip("the conformance of AWS Secrets Manager") else { return };
    let mut harness = AtMoto { moto, keyed, id: String::new(), beside: String::new(), opened: None };
    run(&mut harness).await.unwrap();
}

#[tokio::test]
async fn a_key_of_an_object_keeps_every_rule() {
    keeps_every_rule(true).await;
}

#[tokio::test]
async fn a_whole_text_keeps_every_rule() {
    keeps_every_rule(false).await;
}
