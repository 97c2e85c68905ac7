//! How keyroll logs in, and the logins that are refused.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use keyroll_port::Class;
use keyroll_testkit::VaultUser;
use keyroll_truth::{VaultLogin, VaultSettings};

use crate::sample::{by, credential, failed, shown};
use crate::vault_sample::{VaultScene, is, open, try_open, unread};

const LOGIN: &str = "POST /v1/auth/approle/login";

#[tokio::test]
async fn approle_logs_in_once_and_again_when_its_token_has_ended() {
    let scene = VaultScene::start();
    let (truth, new) = (open(&scene.path, &scene.approle()), credential());
    truth.stage(&by(4), &scene.old, &new).await.unwrap();
    truth.versions().await.unwrap();
    assert_eq!(scene.asked(LOGIN, "200"), 1, "the token is kept");

    scene.vault.expire_tokens();
    unread(&*truth, &scene.old, Class::Retryable, "K0641", &["has ended", "logs in again"]).await;
    truth.give_out(&by(4), &scene.old, &new).await.unwrap();
    assert_eq!(scene.asked(LOGIN, "200"), 2);
    assert!(scene.gives(&new));
}

#[tokio::test]
async fn a_wrong_secret_id_is_refused_and_the_next_one_is_read() {
    let scene = VaultScene::start();
    let settings = scene.approle();
    let Some(VaultLogin::AppRole { secret_id, .. }) = &settings.login else { panic!("AppRole") };
    let right = fs::read_to_string(secret_id).unwrap();
    fs::write(secret_id, "not-the-secret-id").unwrap();
    let truth = open(&scene.path, &settings);
    let failure = failed(truth.current().await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0641", &["used up", "role/ROLE/secret-id", "log in"]);
    assert!(!shown(&failure).contains("not-the-secret-id"), "the secret id is shown");
    fs::write(secret_id, right).unwrap();
    truth.current().await.unwrap();
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused_with_the_next_command() {
    let scene = VaultScene::start();
    let truth = scene.direct();
    truth.current().await.unwrap();
    scene.vault.expire_tokens();
    unread(&*truth, &scene.old, Class::Retryable, "K0641", &["not valid", "vault token lookup"]).await;
}

#[tokio::test]
async fn a_file_with_a_login_must_be_closed_to_other_users() {
    let scene = VaultScene::start();
    let settings = scene.settings(VaultUser::Keyroll, scene.vault.port());
    let Some(VaultLogin::Token(file)) = &settings.login else { panic!("a token") };
    let token = fs::read_to_string(file).unwrap();
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        let failure = failed(try_open(&scene.path, &settings), &[&scene.old]);
        is(&failure, Class::Permanent, "K0860", &["other users", "chmod 600"]);
        assert!(!shown(&failure).contains(&token), "the token is shown");
    }
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    open(&scene.path, &settings).current().await.unwrap();

    let link = scene.at("link");
    symlink(file, &link).unwrap();
    let with = |file: PathBuf| VaultSettings { login: Some(VaultLogin::Token(file)), ..settings.clone() };
    open(&scene.path, &with(link)).current().await.unwrap();
    let folder = scene.at("folder");
    fs::create_dir(&folder).unwrap();
    for (file, word) in [
        (scene.at("absent"), "entity not found"),
        (folder, "not a regular file"),
        (scene.file(" \n"), "empty"),
        (scene.file(&"x".repeat(20_000)), "more than"),
    ] {
        let failure = failed(try_open(&scene.path, &with(file)), &[&scene.old]);
        is(&failure, Class::Permanent, "K0641", &[word, "vault login"]);
    }
}

#[tokio::test]
async fn what_is_not_configured_comes_from_the_environment() {
    let scene = VaultScene::start();
    let (address, token) = (scene.vault.address(), scene.vault.token(VaultUser::Keyroll));
    let variable = |name: &str| match name {
        "VAULT_ADDR" => Some(OsString::from(&address)),
        "VAULT_TOKEN" => Some(OsString::from(format!("{token}\n"))),
        _ => None,
    };
    let settings = VaultSettings::default().with_environment(&variable);
    assert!(!format!("{settings:?}").contains(&token), "the token is shown");
    open(&scene.path, &settings).current().await.unwrap();

    let failure = failed(try_open(&scene.path, &VaultSettings::default()), &[]);
    is(&failure, Class::Permanent, "K0641", &["no address", "VAULT_ADDR"]);
    let no_login = VaultSettings { address: Some(address.clone()), ..VaultSettings::default() };
    let failure = failed(try_open(&scene.path, &no_login), &[]);
    is(&failure, Class::Permanent, "K0641", &["no login", "VAULT_TOKEN"]);
}

#[tokio::test]
async fn an_agent_adds_its_own_token() {
    let scene = VaultScene::start();
    let socket = scene.at("agent.sock");
    let settings =
        VaultSettings { login: Some(VaultLogin::Agent(socket.clone())), ..VaultSettings::default() };
    let truth = open(&scene.path, &settings);
    let name = truth.name();
    assert!(name.ends_with(&format!(" (unix:{})", socket.display())), "{name}");
    unread(&*truth, &scene.old, Class::Retryable, "K0640", &["entity not found"]).await;
    scene.vault.agent(&socket);
    truth.current().await.unwrap();
    scene.vault.expire_tokens();
    truth.current().await.unwrap();
}
