//! What AWS refuses, as moto answers it, and what is not configured.

use keyroll_port::{Class, Failure, Truth as _};
use keyroll_testkit::{MOTO_REGION, MotoUser, free_port};

use crate::sample::{KEY, PROFILE, Scene, by, credential, failed, open, shown, try_open};

#[track_caller]
fn is(failure: &Failure, class: Class, code: &str, words: &[&str]) {
    let text = shown(failure);
    assert_eq!((failure.class, failure.code.as_str()), (class, code), "{text}");
    for word in words {
        assert!(text.contains(word), "'{word}' is not said: {text}");
    }
    assert!(failure.help.is_some(), "no help: {text}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_refused_with_its_reason() {
    let Some(scene) = Scene::start("AWS Secrets Manager's refusals") else { return };
    let moto = &scene.moto;
    let profile = moto.profile(PROFILE, MotoUser::Keyroll, moto.port());
    let current = async |id: &str, key: Option<&str>| {
        failed(open(&profile, id, key).await.truth.current().await, &[&scene.old])
    };

    is(
        &current("prod/absent", None).await,
        Class::Permanent,
        "K0642",
        &["ResourceNotFoundException", "region"],
    );
    is(&current(&scene.id, Some("absent")).await, Class::Permanent, "K0642", &["no key absent"]);
    moto.create("prod/plain", "not JSON", None);
    is(&current("prod/plain", Some(KEY)).await, Class::Permanent, "K0642", &["not a JSON object", "#KEY"]);
    moto.create("prod/number", &format!("{{\"{KEY}\": 7}}"), None);
    is(&current("prod/number", Some(KEY)).await, Class::Permanent, "K0642", &["a number or a word"]);
    moto.create("prod/twice", &format!("{{\"{KEY}\": \"a\", \"{KEY}\": \"b\"}}"), None);
    is(&current("prod/twice", Some(KEY)).await, Class::Permanent, "K0642", &["twice"]);
    moto.create_binary("prod/binary", "AAEC");
    is(&current("prod/binary", None).await, Class::Permanent, "K0642", &["SecretBinary"]);

    let opened = scene.direct().await;
    moto.delete(&scene.id);
    let failure = failed(opened.truth.current().await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0642", &["scheduled for deletion", "restore-secret"]);
    let failure = failed(opened.truth.stage(&by(4), &scene.old, &credential()).await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0642", &["restore-secret"]);
}

#[tokio::test]
async fn a_replica_is_refused_before_and_while_it_is_written() {
    let Some(scene) = Scene::start("AWS Secrets Manager's replicas") else { return };
    let moto = &scene.moto;
    moto.create("prod/replicated", &crate::sample::value(&scene.old), Some("us-east-2"));
    let profile = moto.profile(PROFILE, MotoUser::Keyroll, moto.port());
    open(&profile, "prod/replicated", None).await.truth.current().await.unwrap();
    let there = profile.replace(MOTO_REGION, "us-east-2");
    let opened = open(&there, "prod/replicated", None).await;
    let failure = failed(opened.truth.current().await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0642", &["replica", MOTO_REGION, "primary"]);
    let failure = failed(opened.truth.stage(&by(4), &scene.old, &credential()).await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0642", &["primary"]);
}

#[tokio::test]
async fn a_missing_right_and_a_wrong_key_change_nothing() {
    let Some(scene) = Scene::start("AWS Secrets Manager's rights") else { return };
    let new = credential();
    let reader = scene.moto.profile(PROFILE, MotoUser::Reader, scene.moto.port());
    let opened = open(&reader, &scene.id, Some(KEY)).await;
    opened.truth.current().await.unwrap();
    let failure = failed(opened.truth.stage(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
    is(&failure, Class::Permanent, "K0641", &["AccessDeniedException", "PutSecretValue"]);
    assert_eq!(scene.moto.count(&scene.id), 1);

    let wrong = format!("{}x", reader.trim_end());
    let opened = open(&wrong, &scene.id, Some(KEY)).await;
    let failure = failed(opened.truth.current().await, &[&scene.old]);
    is(&failure, Class::Permanent, "K0641", &["InvalidSignatureException", "get-caller-identity"]);
    let secret = reader.rsplit("= ").next().unwrap().trim();
    assert!(!shown(&failure).contains(secret), "the key of AWS is shown");
}

#[tokio::test]
async fn a_version_that_may_be_put_and_not_made_pending_is_refused_for_good() {
    let Some(scene) = Scene::start("AWS Secrets Manager without the right to move labels") else { return };
    let new = credential();
    let putter = scene.moto.profile(PROFILE, MotoUser::Putter, scene.moto.port());
    let opened = open(&putter, &scene.id, Some(KEY)).await;
    for _ in 0..2 {
        let failure = failed(opened.truth.stage(&by(4), &scene.old, &new).await, &[&scene.old, &new]);
        // Nobody is given the version: the rotation ends or waits, and does not try for ever to find out.
        is(&failure, Class::Permanent, "K0641", &["AccessDeniedException", "UpdateSecretVersionStage"]);
        assert!(scene.pending().is_empty());
        assert_eq!(scene.moto.count(&scene.id), 2, "one version, whatever the number of attempts");
    }
    // Once the right is there, the same version is made pending.
    let opened = scene.direct().await;
    opened.truth.stage(&by(4), &scene.old, &new).await.unwrap();
    assert_eq!((scene.pending().len(), scene.moto.count(&scene.id)), (1, 2));
    opened.truth.withdraw(&by(4)).await.unwrap();
    assert!(scene.pending().is_empty());
}

#[tokio::test]
async fn the_account_and_the_region_are_named() {
    let Some(scene) = Scene::start("AWS Secrets Manager's names") else { return };
    let opened = scene.direct().await;
    let reference = format!("aws-sm:{}#{KEY}", scene.id);
    assert_eq!(opened.truth.name(), format!("{reference} ({MOTO_REGION})"));
    let given = opened.truth.current().await.unwrap();
    assert!(given.unix_ms.is_some());
    assert!(!format!("{given:?}").contains(&crate::sample::value(&scene.old)));
    assert_eq!(opened.truth.name(), format!("{reference} ({MOTO_REGION}, account 123456789012)"));

    let arn = "arn:aws:secretsmanager:us-west-2:210987654321:secret:prod/x-AbCdEf";
    let profile = scene.moto.profile(PROFILE, MotoUser::Keyroll, scene.moto.port());
    let opened = open(&profile, arn, None).await;
    assert_eq!(opened.truth.name(), format!("aws-sm:{arn} (us-west-2, account 210987654321)"));
}

/// No machine of AWS: the address for a machine's own credentials is one where nobody listens.
fn nowhere() -> String {
    format!(
        "[profile {PROFILE}]\nec2_metadata_service_endpoint = http://127.0.0.1:{}\n",
        free_port().unwrap()
    )
}

#[tokio::test]
async fn what_is_not_configured_is_named_with_the_next_command() {
    let outcome = try_open(&nowhere(), "prod/x", None).await;
    is(&failed(outcome, &[]), Class::Permanent, "K0641", &["region", "AWS_REGION"]);

    let endpoint = format!("endpoint_url = http://127.0.0.1:{}\n", free_port().unwrap());
    let config = format!("{}region = {MOTO_REGION}\n{endpoint}", nowhere());
    let failure = failed(open(&config, "prod/x", None).await.truth.current().await, &[]);
    is(&failure, Class::Permanent, "K0641", &["credential", "aws sso login"]);

    let session = "sso_session = nobody\nsso_account_id = 123456789012\nsso_role_name = reader\n";
    let portal = format!(
        "[sso-session nobody]\nsso_region = {MOTO_REGION}\nsso_start_url = https://127.0.0.1/start\n"
    );
    let failure =
        failed(open(&format!("{config}{session}{portal}"), "prod/x", None).await.truth.current().await, &[]);
    is(&failure, Class::Permanent, "K0641", &["SSO", "run `aws sso login`"]);
}

#[tokio::test]
async fn an_endpoint_that_is_away_or_not_encrypted_has_no_request() {
    let keys = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = none\n";
    let config =
        |endpoint: &str| format!("{}region = {MOTO_REGION}\n{keys}endpoint_url = {endpoint}\n", nowhere());
    let away = config(&format!("http://127.0.0.1:{}", free_port().unwrap()));
    let failure = failed(open(&away, "prod/x", None).await.truth.current().await, &[]);
    is(&failure, Class::Retryable, "K0640", &["connection refused"]);
    // An address for documents (RFC 5737), which is not asked.
    let plain = config("http://192.0.2.1:5000");
    let failure = failed(open(&plain, "prod/x", None).await.truth.current().await, &[]);
    is(&failure, Class::Retryable, "K0640", &["no address that may be asked"]);
}
