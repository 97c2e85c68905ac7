//! The conformance suite, run over the fake of Vault: with a token, with AppRole, and through an agent.

use async_trait::async_trait;
use keyroll_port::Truth;
use keyroll_port::conformance::truth::{TruthHarness, run};
use keyroll_secret::Credential;
use keyroll_testkit::{VaultUser, tag};
use keyroll_truth::{VaultLogin, VaultSettings};

use crate::sample::{credential, document, value};
use crate::vault_sample::{VaultScene, open};

/// A Vault with secrets in a key/value engine: the fake, or the real one.
pub(crate) trait Holder: Send + Sync {
    /// Somebody else writes a version.
    fn put(&self, path: &str, document: &str);

    /// The document of the last version.
    fn text(&self, path: &str) -> String;
}

impl Holder for VaultScene {
    fn put(&self, path: &str, document: &str) {
        self.vault.put(path, document);
    }

    fn text(&self, path: &str) -> String {
        self.vault.text(path)
    }
}

struct AtVault<S> {
    scene: S,
    settings: VaultSettings,
    path: String,
    beside: String,
    opened: Option<Box<dyn Truth>>,
}

#[async_trait]
impl<S: Holder> TruthHarness for AtVault<S> {
    async fn fresh(&mut self) -> Credential {
        let old = credential();
        (self.path, self.beside) = (format!("kv/agents/{}", tag()), tag());
        self.scene.put(&self.path, &document(&old, &self.beside));
        self.opened = Some(open(&self.path, &self.settings));
        old
    }

    fn truth(&self) -> &dyn Truth {
        self.opened.as_deref().expect("a fresh secret")
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn credential(&mut self) -> Credential {
        credential()
    }

    async fn change(&mut self, to: &Credential) {
        self.scene.put(&self.path, &document(to, &self.beside));
    }

    async fn change_beside(&mut self) -> bool {
        let before = std::mem::replace(&mut self.beside, tag());
        let text = self.scene.text(&self.path).replace(&before, &self.beside);
        self.scene.put(&self.path, &text);
        true
    }

    async fn pending_of_others(&mut self) -> String {
        panic!("there is no place for one")
    }

    async fn pending(&self) -> Vec<String> {
        Vec::new()
    }

    async fn without(&self, credential: &Credential) -> Vec<u8> {
        self.scene.text(&self.path).replace(&value(credential), "").into_bytes()
    }
}

/// Runs the suite over secrets there.
pub(crate) async fn keeps_every_rule(scene: impl Holder, settings: VaultSettings) {
    let mut harness = AtVault { scene, settings, path: String::new(), beside: String::new(), opened: None };
    run(&mut harness).await.unwrap();
}

#[tokio::test]
async fn a_secret_read_with_a_token_keeps_every_rule() {
    let scene = VaultScene::start();
    let settings = scene.settings(VaultUser::Keyroll, scene.vault.port());
    keeps_every_rule(scene, settings).await;
}

#[tokio::test]
async fn a_secret_read_with_approle_keeps_every_rule() {
    let scene = VaultScene::start();
    let settings = scene.approle();
    keeps_every_rule(scene, settings).await;
}

#[tokio::test]
async fn a_secret_read_through_an_agent_keeps_every_rule() {
    let scene = VaultScene::start();
    let socket = scene.at("agent.sock");
    scene.vault.agent(&socket);
    let settings = VaultSettings { login: Some(VaultLogin::Agent(socket)), ..VaultSettings::default() };
    keeps_every_rule(scene, settings).await;
}
