//! What is refused before a key is made, and which key is never touched.

use std::io::ErrorKind;
use std::net::TcpListener;

use keyroll_aws::{ACCESS_KEY_ID, AwsKeys, AwsSettings, IamUser, SECRET_ACCESS_KEY};
use keyroll_port::conformance::PATIENT_MS;
use keyroll_port::{Class, Issuer as _, Probe};
use keyroll_secret::CredentialId;
use keyroll_testkit::{IamLogin, MOTO_REGION, MotoIam, tag};

use crate::sample::{ACCOUNT, PROFILE, Scene, credential, failed, field, open, open_in, shown};

#[tokio::test]
async fn a_second_key_stops_everything_and_is_named_with_the_command_that_deletes_it() {
    let Some(scene) = Scene::start("a second access key") else { return };
    let keys = scene.direct();
    for status in ["Active", "Inactive"] {
        let other = scene.moto.make(&scene.user);
        scene.moto.switch(&scene.user, &other.0, status);
        for outcome in [
            keys.preflight(&scene.current).await.map(drop),
            keys.mint("keyroll/r/1", &scene.current, None).await.map(drop),
        ] {
            let failure = failed(outcome, &[&scene.current, &credential(&other)]);
            assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0107"));
            let text = shown(&failure);
            let command =
                format!("aws iam delete-access-key --user-name {} --access-key-id {}", scene.user, other.0);
            for word in [other.0.as_str(), status, "created 20", "no time of a last use", &command] {
                assert!(text.contains(word), "'{word}' is not said: {text}");
            }
        }
        assert_eq!(scene.moto.keys(&scene.user).len(), 2, "nothing was made, and nothing deleted");
        scene.moto.end(&scene.user, &other.0);
    }
    keys.preflight(&scene.current).await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_used_is_named_with_the_time_and_the_service() {
    let Some(scene) = Scene::start("the last use of a second access key") else { return };
    let other = credential(&scene.moto.make(&scene.user));
    let keys = scene.direct();
    // Presented once, it was used.
    assert_eq!(keys.probe("", &other).await, Probe::Alive);
    let text = shown(&failed(keys.preflight(&scene.current).await, &[&scene.current, &other]));
    assert!(text.contains("last used 20") && text.contains("sts in eu-west-1"), "{text}");
}

#[tokio::test]
async fn keyroll_never_acts_for_the_user_that_its_own_login_is() {
    let Some(moto) = MotoIam::start_or_skip("keyroll's own access key") else { return };
    let own = moto.login(IamLogin::Keyroll);
    let current = credential(&own);
    let profile = moto.profile(PROFILE, IamLogin::Keyroll, moto.port());
    let opened = open(&profile, moto.port(), "keyroll", PATIENT_MS);
    // Another key of the same user than the one that keyroll signs with is refused too.
    let second = moto.make("keyroll");
    let id = CredentialId::new(second.0.as_str());
    for outcome in [
        opened.keys.preflight(&current).await.map(drop),
        opened.keys.preflight(&credential(&second)).await.map(drop),
        opened.keys.list(&current).await.map(drop),
        opened.keys.mint("keyroll/r/1", &current, None).await.map(drop),
        opened.keys.enable(&id).await,
        opened.keys.disable(&id).await,
        opened.keys.revoke(&id).await,
    ] {
        let failure = failed(outcome, &[&current]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
        assert!(shown(&failure).contains("this very user"), "{}", shown(&failure));
    }
    let keys = moto.keys("keyroll");
    assert!(keys.len() == 2 && keys.values().all(|status| status == "Active"), "{keys:?}");
}

#[tokio::test]
async fn a_key_of_another_user_is_refused_and_reads_neither_alive_nor_dead() {
    let Some(scene) = Scene::start("an access key of another user") else { return };
    let keys = scene.direct();
    let another = tag();
    scene.moto.user(&another);
    let theirs = credential(&scene.moto.make(&another));
    let Probe::Unknown(why) = keys.probe("", &theirs).await else { panic!("it is no key of the user") };
    assert!(why.contains(&format!("user/{another}")) && why.contains("123456789012"), "{why}");
    for outcome in [keys.preflight(&theirs).await.map(drop), keys.identify(&theirs).await.map(drop)] {
        let failure = failed(outcome, &[&theirs]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
        assert!(shown(&failure).contains(&format!("user/{another}")), "{}", shown(&failure));
    }
}

/// The id is right, so the refusal is one of the signature.
#[tokio::test]
async fn a_wrong_secret_under_a_right_id_is_not_dead() {
    let Some(scene) = Scene::start("a wrong secret access key") else { return };
    let keys = scene.direct();
    let wrong = keys.decoy(&scene.current);
    let pair = (field(&scene.current, ACCESS_KEY_ID), field(&wrong, SECRET_ACCESS_KEY));
    let Probe::Unknown(why) = keys.probe("", &credential(&pair)).await else {
        panic!("nothing shows it dead")
    };
    assert!(why.contains("SignatureDoesNotMatch"), "{why}");
    assert_eq!(keys.probe("", &wrong).await, Probe::Dead, "both fields are wrong");
}

#[tokio::test]
async fn a_right_that_is_missing_is_refused_without_an_effect() {
    let Some(scene) = Scene::start("missing rights at IAM") else { return };
    let keys = scene.through(IamLogin::Nobody, scene.moto.port());
    let failure = failed(keys.preflight(&scene.current).await, &[&scene.current]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0103"));
    assert!(shown(&failure).contains("iam:CreateAccessKey"), "{}", shown(&failure));

    // moto simulates no policy: the note says what is not visible, and the refusal has no effect.
    let keys = scene.through(IamLogin::Lister, scene.moto.port());
    let notes = keys.preflight(&scene.current).await.unwrap().join("\n");
    assert!(notes.contains("is not visible") && notes.contains("iam:DeleteAccessKey"), "{notes}");
    let id = scene.current.id.clone().unwrap();
    for outcome in [
        keys.mint("keyroll/r/1", &scene.current, None).await.map(drop),
        keys.disable(&id).await,
        keys.revoke(&id).await,
    ] {
        let failure = failed(outcome, &[&scene.current]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0103"));
    }
    let keys = scene.moto.keys(&scene.user);
    assert!(keys.len() == 1 && keys.values().all(|status| status == "Active"), "{keys:?}");
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_named() {
    let Some(scene) = Scene::start("an IAM user that does not exist") else { return };
    let config = scene.moto.profile(PROFILE, IamLogin::Keyroll, scene.moto.port());
    let opened = open(&config, scene.moto.port(), "nobody-has-this-name", PATIENT_MS);
    let id = scene.current.id.clone().unwrap();
    for outcome in [opened.keys.list(&scene.current).await.map(drop), opened.keys.revoke(&id).await] {
        let failure = failed(outcome, &[&scene.current]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
        assert!(shown(&failure).contains("nobody-has-this-name"), "{}", shown(&failure));
    }
}

#[tokio::test]
async fn a_key_that_is_gone_is_deleted_and_one_of_another_account_is_not() {
    let Some(scene) = Scene::start("a delete of a key that is gone") else { return };
    let keys = scene.direct();
    let gone = scene.moto.make(&scene.user);
    scene.moto.end(&scene.user, &gone.0);
    keys.revoke(&CredentialId::new(gone.0.as_str())).await.unwrap();

    // The same server, and a configuration that names another account.
    let config = scene.moto.profile(PROFILE, IamLogin::Keyroll, scene.moto.port());
    let elsewhere = open_in("210987654321", &config, scene.moto.port(), &scene.user, PATIENT_MS);
    let id = scene.current.id.clone().unwrap();
    for outcome in [
        elsewhere.keys.revoke(&id).await,
        elsewhere.keys.revoke(&CredentialId::new(gone.0.as_str())).await,
        elsewhere.keys.disable(&id).await,
        elsewhere.keys.enable(&id).await,
        elsewhere.keys.list(&scene.current).await.map(drop),
        elsewhere.keys.mint("keyroll/r/1", &scene.current, None).await.map(drop),
        elsewhere.keys.preflight(&scene.current).await.map(drop),
    ] {
        let failure = failed(outcome, &[&scene.current]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
        let text = shown(&failure);
        for word in
            ["210987654321", "123456789012", "user/keyroll", "the profile test", "nothing was changed"]
        {
            assert!(text.contains(word), "'{word}' is not said: {text}");
        }
    }
    let Probe::Unknown(why) = elsewhere.keys.probe("", &scene.current).await else {
        panic!("it works in another account")
    };
    assert!(why.contains("123456789012") && why.contains("210987654321"), "{why}");
    let keys = scene.moto.keys(&scene.user);
    assert!(keys.len() == 1 && keys.values().all(|status| status == "Active"), "{keys:?}");
}

#[tokio::test]
async fn without_an_address_or_a_login_nothing_is_sent() {
    let current = credential(&("AKIAIOSFODNN7EXAMPLE".to_owned(), "none".to_owned()));
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    // The profile has no login, and that of the environment or of a machine does not stand in for it.
    let config = format!("[profile {PROFILE}]\nregion = {MOTO_REGION}\n");
    let opened = open(&config, port, "app", PATIENT_MS);
    let failure = failed(opened.keys.list(&current).await, &[&current]);
    assert_eq!(failure.code.as_str(), "K0103", "{}", shown(&failure));
    assert!(shown(&failure).contains("aws sso login"), "{}", shown(&failure));

    for region in [None, Some("us-iso-east-1")] {
        let settings = AwsSettings { region: region.map(str::to_owned), ..AwsSettings::default() };
        assert!(AwsKeys::reach(&settings).is_empty());
        let (account, name) = (ACCOUNT.to_owned(), "app".to_owned());
        let keys = AwsKeys::new(IamUser { account, name, settings, request_ms_max: PATIENT_MS });
        let failure = failed(keys.list(&current).await, &[&current]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
        assert!(shown(&failure).contains("correct `region`"), "{}", shown(&failure));
        assert!(matches!(keys.probe("", &current).await, Probe::Unknown(_)));
    }
    assert_eq!(server.accept().map(drop).unwrap_err().kind(), ErrorKind::WouldBlock, "something was sent");
}
