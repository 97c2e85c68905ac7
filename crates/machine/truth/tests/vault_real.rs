//! The adapter with the real Vault: the conformance suite, and what Vault refuses.

use keyroll_port::{Class, FailureKind, Truth};
use keyroll_secret::Credential;
use keyroll_testkit::{RealVault, TempDir, tag};
use keyroll_truth::{VaultLogin, VaultSettings};
use serde_json::{Value, json};

use crate::sample::{KEY, by, credential, document, failed, value};
use crate::vault_conformance::{Holder, keeps_every_rule};
use crate::vault_sample::{is, open, private_file, unread};

/// With the rights that keyroll needs.
const KEYROLL: &str = "keyroll";
/// With the right to read versions alone.
const READER: &str = "reader";

/// What the fake's users of the same names may do.
const POLICIES: [(&str, &str); 2] = [
    (
        KEYROLL,
        "path \"kv/data/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n\
         path \"kv/metadata/*\" { capabilities = [\"read\"] }\n\
         path \"team/kv/data/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n\
         path \"team/kv/metadata/*\" { capabilities = [\"read\"] }\n\
         path \"old/*\" { capabilities = [\"read\"] }",
    ),
    (READER, "path \"kv/data/*\" { capabilities = [\"read\"] }"),
];

/// A secret whose JSON object has this value and a second key.
struct Scene {
    vault: RealVault,
    /// With the path of its engine.
    path: String,
    old: Credential,
    /// The value of the second key.
    beside: String,
    home: TempDir,
}

impl Scene {
    fn start(left_out: &str) -> Option<Self> {
        let vault = RealVault::start_or_skip(left_out)?;
        for (name, text) in POLICIES {
            vault.policy(name, text);
        }
        let (old, beside, path) = (credential(), tag(), format!("kv/agents/{}", tag()));
        let scene = Self { vault, path, old, beside, home: TempDir::new().unwrap() };
        scene.put(&scene.path, &document(&scene.old, &scene.beside));
        Some(scene)
    }

    /// The number of the last version.
    fn version(&self) -> u64 {
        self.vault.get(&below(&self.path, "metadata"))["current_version"].as_u64().unwrap()
    }

    /// Deletes, undeletes or destroys a version.
    fn mark(&self, how: &str, version: u64) {
        self.vault.post(&below(&self.path, how), &json!({ "versions": [version] }));
    }

    /// Whether the document that is given out is this value with what stands beside it.
    fn gives(&self, credential: &Credential) -> bool {
        let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        read(&self.text(&self.path)) == read(&document(credential, &self.beside))
    }

    fn with(&self, login: VaultLogin) -> VaultSettings {
        let address = Some(self.vault.address());
        VaultSettings { address, login: Some(login), ..VaultSettings::default() }
    }

    /// With a new token, which is told too.
    fn token(&self, policy: &str) -> (VaultSettings, String) {
        let token = self.vault.token(policy);
        (self.with(VaultLogin::Token(private_file(self.home.path(), &token))), token)
    }

    fn approle(&self) -> VaultSettings {
        let (role_id, secret_id) = self.vault.approle(KEYROLL);
        let secret_id = private_file(self.home.path(), &secret_id);
        self.with(VaultLogin::AppRole { mount: "approle".to_owned(), role_id, secret_id })
    }

    fn of(&self, policy: &str) -> Box<dyn Truth> {
        open(&self.path, &self.token(policy).0)
    }

    fn direct(&self) -> Box<dyn Truth> {
        self.of(KEYROLL)
    }
}

/// The path of an endpoint for a secret: `kv/data/agents/a`.
fn below(path: &str, endpoint: &str) -> String {
    path.replacen("kv/", &format!("kv/{endpoint}/"), 1)
}

impl Holder for Scene {
    fn put(&self, path: &str, document: &str) {
        let document: Value = serde_json::from_str(document).unwrap();
        self.vault.post(&below(path, "data"), &json!({ "data": document }));
    }

    /// In Vault's writing.
    fn text(&self, path: &str) -> String {
        self.vault.get(&below(path, "data"))["data"].to_string()
    }
}

#[tokio::test]
async fn a_secret_read_with_a_token_keeps_every_rule() {
    let Some(scene) = Scene::start("the real Vault with a token") else { return };
    let (settings, _) = scene.token(KEYROLL);
    keeps_every_rule(scene, settings).await;
}

#[tokio::test]
async fn a_secret_read_with_approle_keeps_every_rule() {
    let Some(scene) = Scene::start("the real Vault with AppRole") else { return };
    let settings = scene.approle();
    keeps_every_rule(scene, settings).await;
}

#[tokio::test]
async fn of_two_writers_at_once_one_writes_and_the_other_leaves_it() {
    let Some(scene) = Scene::start("two writers at the real Vault") else { return };
    let (one, two) = (scene.direct(), scene.direct());
    let mut before = scene.old.duplicate();
    for round in 0..8 {
        let (ours, theirs) = (credential(), credential());
        let (by_one, by_two) = (by(2 * round), by(2 * round + 1));
        let (first, second) =
            tokio::join!(one.give_out(&by_one, &before, &ours), two.give_out(&by_two, &before, &theirs));
        assert!(first.is_ok() != second.is_ok(), "round {round}: one of the two writes");
        let (loser, winner) = if first.is_ok() { (second, ours) } else { (first, theirs) };
        let failure = failed(loser, &[&before, &winner]);
        assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
        assert!(scene.gives(&winner), "round {round}");
        assert_eq!(scene.version(), round + 2, "one version each");
        before = winner;
    }
}

/// Vault changes numbers and the order of keys when it is given a document; keyroll adds no change of its own.
#[tokio::test]
async fn what_stands_beside_the_value_stays_as_vault_shows_it() {
    let Some(scene) = Scene::start("documents at the real Vault") else { return };
    let (old, new) = (credential(), credential());
    let text = format!(
        "{{\"z\":1.50,\"big\":12345678901234567890123,\"e\":1E+2,\"{KEY}\":\"{}\",\"t\":\"\\u00e9<&\\/é\",\
         \"list\":[ 1,\t2 ],\"{KEY}2\":{{\"{KEY}\":\"{}\"}}}}",
        value(&old),
        value(&scene.old)
    );
    let path = "team/kv/deep/er";
    scene.put(path, &text);
    let shown = scene.text(path);
    let truth = open(path, &scene.token(KEYROLL).0);
    truth.stage(&by(4), &old, &new).await.unwrap();
    assert_eq!(scene.text(path), shown, "what is staged is not written");
    truth.give_out(&by(4), &old, &new).await.unwrap();
    assert_eq!(scene.text(path), shown.replace(&value(&old), &value(&new)));
    truth.give_out(&by(4), &new, &old).await.unwrap();
    assert_eq!(scene.text(path), shown);
    for (what, text) in [("audit", scene.vault.audit()), ("log", scene.vault.log())] {
        assert!(!text.is_empty(), "the {what} is empty");
        assert!(!text.contains(&value(&old)) && !text.contains(&value(&new)), "a value is in the {what}");
    }
}

#[tokio::test]
async fn a_missing_right_changes_nothing_and_the_policy_is_named() {
    let Some(scene) = Scene::start("rights at the real Vault") else { return };
    let (truth, new) = (scene.of(READER), credential());
    truth.current().await.unwrap();
    let data = format!("path \"{}\"", below(&scene.path, "data"));
    let failure = failed(truth.stage(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Permanent, "K0641", &[&data, "\"update\"", "look for the right to write"]);
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Permanent, "K0641", &[&data, "\"update\"", "permission denied"]);
    let metadata = format!("path \"{}\"", below(&scene.path, "metadata"));
    let failure = failed(truth.versions().await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0641", &[&metadata, "[\"read\"]"]);
    assert_eq!(scene.version(), 1);
    assert!(scene.gives(&scene.old));
}

#[tokio::test]
async fn an_ended_version_is_refused_with_its_reason() {
    let Some(scene) = Scene::start("ended versions at the real Vault") else { return };
    let truth = scene.direct();
    scene.mark("delete", 1);
    unread(&*truth, &scene.old, Class::Permanent, "K0642", &["was deleted at 2", "vault kv undelete"]).await;
    assert_eq!(truth.versions().await.unwrap()[0].labels, ["current", "deleted"]);
    scene.mark("undelete", 1);
    let given = truth.current().await.unwrap();
    assert!(given.id == "1" && given.unix_ms.is_some());

    let theirs = credential();
    scene.put(&scene.path, &document(&theirs, "b"));
    scene.mark("destroy", 2);
    unread(&*truth, &theirs, Class::Permanent, "K0642", &["2, was destroyed", "vault kv put"]).await;
    let versions = truth.versions().await.unwrap();
    assert!(versions[0].id == "1" && versions[0].labels.is_empty());
    assert_eq!(versions[1].labels, ["current", "destroyed"]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_refused_with_its_reason() {
    let Some(scene) = Scene::start("refusals of the real Vault") else { return };
    let (settings, _) = scene.token(KEYROLL);
    scene.vault.post("old/plain", &json!({ KEY: "v" }));
    scene.put("kv/number", &format!("{{\"{KEY}\": 7}}"));
    scene.put("kv/other", "{\"other\": \"v\"}");
    for (path, code, word) in [
        ("kv/agents/absent", "K0642", "no secret at this path"),
        ("nowhere/agents/openai", "K0641", "no secrets engine at this path"),
        ("team/kv", "K0642", "not that of a secret"),
        ("old/plain", "K0642", "version 1"),
        ("kv/number", "K0642", "a number or a word"),
        ("kv/other", "K0642", "no key VONAGE_SMS_API_KEY"),
    ] {
        let truth = open(path, &settings);
        unread(&*truth, &scene.old, Class::Permanent, code, &[word]).await;
    }
}

#[tokio::test]
async fn logins_that_ended_are_refused_with_the_reason() {
    let Some(scene) = Scene::start("logins at the real Vault") else { return };
    let (settings, token) = scene.token(KEYROLL);
    let truth = open(&scene.path, &settings);
    truth.current().await.unwrap();
    scene.vault.revoke_token(&token);
    unread(&*truth, &scene.old, Class::Retryable, "K0641", &["not valid", "vault token lookup"]).await;

    let (role_id, _) = scene.vault.approle(KEYROLL);
    let secret_id = private_file(scene.home.path(), "not-the-secret-id");
    let login = VaultLogin::AppRole { mount: "approle".to_owned(), role_id, secret_id };
    let truth = open(&scene.path, &scene.with(login));
    unread(&*truth, &scene.old, Class::Permanent, "K0641", &["used up", "role/ROLE/secret-id"]).await;
}

#[tokio::test]
async fn sealed_and_limited_it_is_asked_again_later() {
    let Some(scene) = Scene::start("the states of the real Vault") else { return };
    let (truth, new) = (scene.direct(), credential());
    truth.current().await.unwrap();
    scene.vault.seal();
    unread(&*truth, &scene.old, Class::Retryable, "K0640", &["it is sealed", "vault operator unseal"]).await;
    scene.vault.unseal();
    // One request in an hour.
    scene.vault.post("sys/quotas/rate-limit/kv", &json!({ "path": "kv", "rate": 1, "interval": "1h" }));
    drop(truth.current().await);
    let failure = failed(truth.current().await, &[&scene.old]);
    is(&failure, Class::Retryable, "K0640", &["limits the rate"]);
    assert_eq!(failure.kind, FailureKind::RateLimited);
    scene.vault.call("DELETE", "sys/quotas/rate-limit/kv", &Value::Null);
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    assert!(scene.gives(&new));
}
