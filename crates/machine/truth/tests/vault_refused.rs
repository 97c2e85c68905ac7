//! What Vault refuses, and what is not asked of it.

use keyroll_port::{Class, FailureKind};
use keyroll_testkit::VaultUser;
use keyroll_truth::VaultSettings;

use crate::sample::{KEY, by, credential, failed};
use crate::vault_sample::{VaultScene, is, open, try_open, unread};

#[tokio::test]
async fn a_missing_right_changes_nothing_and_the_policy_is_named() {
    let scene = VaultScene::start();
    let (truth, new) = (scene.of(VaultUser::Reader), credential());
    truth.current().await.unwrap();
    let data = format!("path \"{}\"", scene.path.replace("kv/", "kv/data/"));
    let failure = failed(truth.stage(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Permanent, "K0641", &[&data, "\"update\"", "look for the right to write"]);
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Permanent, "K0641", &[&data, "\"update\"", "permission denied"]);
    let metadata = format!("path \"{}\"", scene.path.replace("kv/", "kv/metadata/"));
    let failure = failed(truth.versions().await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0641", &[&metadata, "[\"read\"]"]);
    assert_eq!(scene.vault.count(&scene.path), 1);
    assert!(scene.gives(&scene.old));
}

#[tokio::test]
async fn looking_for_the_right_to_write_writes_nothing() {
    let scene = VaultScene::start();
    scene.direct().stage(&by(4), &scene.old, &credential()).await.unwrap();
    let log = scene.vault.log();
    assert!(log.contains("POST /v1/sys/capabilities-self 200"), "{log}");
    assert!(!log.contains("POST /v1/kv/"), "{log}");
}

#[tokio::test]
async fn an_ended_version_is_refused_with_its_reason() {
    let scene = VaultScene::start();
    let truth = scene.direct();
    let arguments = scene.path.replacen("kv/", "-mount=kv ", 1);
    scene.vault.delete(&scene.path, 1);
    let undelete = format!("vault kv undelete -versions=1 {arguments}");
    unread(&*truth, &scene.old, Class::Permanent, "K0642", &["was deleted at 2", &undelete]).await;
    assert_eq!(truth.versions().await.unwrap()[0].labels, ["current", "deleted"]);
    scene.vault.undelete(&scene.path, 1);
    let given = truth.current().await.unwrap();
    assert!(given.id == "1" && given.unix_ms.is_some());

    let theirs = credential();
    scene.vault.put(&scene.path, &crate::sample::document(&theirs, "b"));
    scene.vault.destroy(&scene.path, 2);
    unread(&*truth, &theirs, Class::Permanent, "K0642", &["2, was destroyed", "vault kv put"]).await;
    let versions = truth.versions().await.unwrap();
    assert!(versions[0].id == "1" && versions[0].labels.is_empty());
    assert_eq!(versions[1].labels, ["current", "destroyed"]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_refused_with_its_reason() {
    let scene = VaultScene::start();
    let settings = scene.settings(VaultUser::Keyroll, scene.vault.port());
    let refused = async |path: &str, code: &str, words: &[&str]| {
        let truth = open(path, &settings);
        unread(&*truth, &scene.old, Class::Permanent, code, words).await;
    };
    refused("kv/agents/absent", "K0642", &["no secret at this path", "vault kv get -mount=kv agents/absent"])
        .await;
    let failure = failed(open("kv/agents/absent", &settings).versions().await, &[]);
    is(&failure, Class::Permanent, "K0642", &["no secret at this path"]);
    refused("nowhere/agents/openai", "K0641", &["no secrets engine at this path"]).await;
    refused("team/kv", "K0642", &["not that of a secret"]).await;
    scene.vault.put("old/plain", &format!("{{\"{KEY}\": \"v\"}}"));
    refused("old/plain", "K0642", &["version 1", "vault kv enable-versioning old"]).await;
    scene.vault.put("kv/number", &format!("{{\"{KEY}\": 7}}"));
    refused("kv/number", "K0642", &["a number or a word"]).await;
    scene.vault.put("kv/other", "{\"other\": \"v\"}");
    refused("kv/other", "K0642", &["no key VONAGE_SMS_API_KEY"]).await;
    for path in ["kv", "kv/", "/kv/a", "kv//a", "kv/../a"] {
        let failure = failed(try_open(path, &settings), &[]);
        is(&failure, Class::Permanent, "K0642", &["its path"]);
    }
}

#[tokio::test]
async fn the_states_of_the_server_are_named() {
    let scene = VaultScene::start();
    let (truth, new) = (scene.direct(), credential());
    let vault = &scene.vault;
    truth.current().await.unwrap();
    vault.seal(true);
    unread(&*truth, &scene.old, Class::Retryable, "K0640", &["it is sealed", "vault operator unseal"]).await;
    vault.seal(false);
    vault.standby(true);
    let words = ["active.vault.example:8200", "standby node", "load balancer"];
    unread(&*truth, &scene.old, Class::Retryable, "K0640", &words).await;
    vault.standby(false);
    vault.quota(true);
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Retryable, "K0640", &["limits the rate"]);
    assert_eq!(failure.kind, FailureKind::RateLimited);
    vault.quota(false);
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    assert!(scene.gives(&new));
}

#[tokio::test]
async fn nothing_is_sent_unencrypted_to_another_machine() {
    let scene = VaultScene::start();
    let settings = |address: &str| VaultSettings {
        address: Some(address.to_owned()),
        ..scene.settings(VaultUser::Keyroll, scene.vault.port())
    };
    for address in ["http://192.0.2.1:8200", "http://vault.example:8200"] {
        let failure = failed(try_open(&scene.path, &settings(address)), &[]);
        is(&failure, Class::Permanent, "K0640", &["http", "another machine"]);
    }
    let failure = failed(try_open(&scene.path, &settings("vault.example:8200")), &[]);
    is(&failure, Class::Permanent, "K0640", &["no URL"]);
    // An authority that is not that of the server, and one that is no authority.
    let with_ca = VaultSettings { ca: Some(scene.file("no PEM")), ..settings("https://127.0.0.1:1") };
    let failure = failed(try_open(&scene.path, &with_ca), &[]);
    is(&failure, Class::Permanent, "K0640", &["root certificate", "VAULT_CACERT"]);
}

#[tokio::test]
async fn the_address_and_the_namespace_are_named() {
    let scene = VaultScene::start();
    let settings = VaultSettings {
        address: Some("https://vault.example:8200/".to_owned()),
        namespace: Some("team-a/".to_owned()),
        ..scene.settings(VaultUser::Keyroll, scene.vault.port())
    };
    let name = open(&scene.path, &settings).name();
    let reference = format!("vault:{}#{KEY}", scene.path);
    assert_eq!(name, format!("{reference} (https://vault.example:8200, namespace team-a)"));
    let settings = VaultSettings { namespace: None, ..settings };
    assert_eq!(open(&scene.path, &settings).name(), format!("{reference} (https://vault.example:8200)"));
}
