//! What a caller derives from its credential: access tokens, JWTs, HMACs. Who presents what is judged by the fake, which
//! verifies signatures itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_issuer::{Runner, Spec};
use keyroll_port::conformance::IssuerHarness;
use keyroll_port::{Class, Issuer, Probe};
use keyroll_secret::{Credential, Fields, SecretBytes};

use crate::fake::{Behaviour, Dialect, Fake, Odd, described, random};
use crate::harness::Harness;

fn exchanges(fake: &Fake) -> usize {
    fake.world().seen.iter().filter(|seen| seen.path.ends_with("/token")).count()
}

/// A runner of the same spec at the same place, with another admin credential.
fn with_admin(fake: &Fake, name: &str, admin: &str) -> Runner {
    let spec = Spec::parse(&described::pointed_at(name, fake.address), "test.toml").unwrap();
    Runner::new(spec, Some(SecretBytes::from(admin.to_owned())))
}

async fn fresh(name: &'static str) -> (Harness, Credential) {
    let mut harness = Harness::new(Dialect::Shipped(name)).await;
    let current = harness.fresh().await;
    (harness, current)
}

#[tokio::test]
async fn one_access_token_serves_many_calls_until_it_is_refused() {
    for name in ["mongodb-atlas", "gcp-service-account-key", "entra-client-secret"] {
        let (harness, current) = fresh(name).await;
        for _ in 0..3 {
            harness.issuer().list(&current).await.unwrap();
        }
        assert_eq!(exchanges(&harness.fake), 1, "{name}");
        harness.fake.world().tokens.clear();
        let failure = harness.issuer().list(&current).await.unwrap_err();
        assert_eq!(
            failure.class,
            Class::Retryable,
            "{name}: a token that the issuer no longer knows: {failure:?}"
        );
        assert!(harness.issuer().list(&current).await.unwrap().complete, "{name}: a new token");
        assert_eq!(exchanges(&harness.fake), 2, "{name}");
    }
}

#[tokio::test]
async fn a_wrong_admin_gets_no_token_and_changes_nothing() {
    let (harness, current) = fresh("mongodb-atlas").await;
    let keys = harness.fake.world().keys.len();
    let admin = r#"{"clientId": "mdb_sa_id_canary", "clientSecret": "mdb_sa_sk_canary_canary"}"#;
    let wrong = with_admin(&harness.fake, "mongodb-atlas", admin);
    let failure = wrong.mint("keyroll/1/1", &current, None).await.map(|_| ()).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0103", Class::Permanent), "{failure:?}");
    assert!(failure.to_string().contains("exchange the admin credential for an access token"), "{failure}");
    assert_eq!(harness.fake.world().keys.len(), keys);
    for part in ["{}", "no json", r#"{"clientId": "mdb_sa_id_canary"}"#] {
        let sent = harness.fake.world().seen.len();
        let lacking = with_admin(&harness.fake, "mongodb-atlas", part);
        let failure = lacking.list(&current).await.map(|_| ()).unwrap_err();
        let told = format!("{failure:?} {failure}");
        assert_eq!((failure.code.as_str(), failure.class), ("K0140", Class::Permanent), "{part}");
        assert!(
            told.contains("not a JSON document with a text at /client") && !told.contains("canary"),
            "{told}"
        );
        assert_eq!(harness.fake.world().seen.len(), sent, "{part}: nothing was sent");
    }
}

/// The answer to the exchange is lost, or is none: nothing was changed, so it may be tried again.
#[tokio::test]
async fn an_exchange_without_an_answer_has_no_effect() {
    let (harness, current) = fresh("mongodb-atlas").await;
    let keys = harness.fake.world().keys.len();
    for odd in [Odd::HalfBody, Odd::Status(503), Odd::HtmlWith(200), Odd::NoHttp] {
        harness.fake.world().mood = Behaviour::Odd(odd);
        let failure = harness.issuer().mint("keyroll/1/1", &current, None).await.map(|_| ()).unwrap_err();
        assert_eq!(failure.class, Class::Retryable, "{odd:?}: {failure:?}");
    }
    assert_eq!(harness.fake.world().keys.len(), keys);
    harness.fake.world().mood = Behaviour::Fair;
    harness.issuer().mint("keyroll/1/1", &current, None).await.unwrap();
}

#[tokio::test]
async fn a_decoy_of_a_private_key_is_another_private_key() {
    for name in ["gcp-service-account-key", "github-app-key"] {
        let (harness, current) = fresh(name).await;
        let endpoint = harness.issuer().endpoints().remove(0);
        assert_eq!(harness.issuer().probe(&endpoint, &current).await, Probe::Alive, "{name}");
        let sent = harness.fake.world().seen.len();
        let decoy = harness.issuer().decoy(&current);
        assert_eq!(harness.issuer().probe(&endpoint, &decoy).await, Probe::Dead, "{name}");
        assert_eq!(harness.fake.world().seen.len(), sent + 1, "{name}: the decoy was really shown");
    }
}

#[tokio::test]
async fn a_value_that_is_no_document_is_refused_before_it_is_sent() {
    let spec = Spec::shipped("gcp-service-account-key").unwrap();
    let faults = |text: &str| {
        let mut fields = Fields::new();
        fields.insert("value", SecretBytes::from(text.to_owned()), true);
        spec.faults(&fields).join("; ")
    };
    let whole = described::value("gcp-service-account-key");
    assert_eq!(faults(&whole), "");
    assert!(faults(&whole[..whole.len() - 3]).contains("not a JSON document"));
    assert!(faults("[1]").contains("not a JSON document"));
    assert!(faults(&format!("{whole}{}", " ".repeat(9_000))).contains("longer"));
    let spec = Spec::shipped("github-app-key").unwrap();
    let mut fields = Fields::new();
    fields.insert("value", SecretBytes::from(described::value("github-app-key").replace("END", "EN")), true);
    assert!(spec.faults(&fields).join("; ").contains("not an RSA private key in PEM"));
}

#[tokio::test]
async fn an_okta_secret_is_deactivated_before_it_is_deleted() {
    let (harness, current) = fresh("okta-client-secret").await;
    harness.issuer().remember(&current);
    harness.issuer().revoke(current.id.as_ref().unwrap()).await.unwrap();
    let seen: Vec<String> =
        harness.fake.world().seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    let last: Vec<&String> = seen.iter().rev().take(2).collect();
    assert!(last[1].ends_with("/lifecycle/deactivate") && last[0].starts_with("DELETE "), "{seen:?}");
    harness.issuer().revoke(current.id.as_ref().unwrap()).await.unwrap();
}

/// The Base64 of the key may have any length, and the last letter of a decoy may have bits that stand for nothing.
#[tokio::test]
async fn a_decoy_of_an_hmac_secret_is_always_sent() {
    let mut harness = Harness::new(Dialect::Shipped("hmac-set")).await;
    let _ = harness.fresh().await;
    for bytes in [24, 25, 32, 48] {
        let value = format!("whsec_{}", STANDARD.encode(random("", bytes)));
        let key = harness.fake.world().make(Dialect::Shipped("hmac-set"), "of another length", Some(value));
        harness.settle().await;
        let current = harness.holding(&key.id, &key.value);
        let endpoint = harness.issuer().endpoints().remove(0);
        assert_eq!(harness.issuer().probe(&endpoint, &current).await, Probe::Alive, "{bytes}");
        for _ in 0..20 {
            let decoy = harness.issuer().decoy(&current);
            assert_eq!(harness.issuer().probe(&endpoint, &decoy).await, Probe::Dead, "{bytes}");
        }
    }
}

#[tokio::test]
async fn the_id_in_a_credential_is_told_without_a_request() {
    for name in ["twilio", "confluent", "gcp-service-account-key"] {
        let (harness, current) = fresh(name).await;
        let sent = harness.fake.world().seen.len();
        let told = harness.issuer().identify(&Credential { id: None, ..current.duplicate() }).await.unwrap();
        assert_eq!((told.id, told.principal), (current.id.clone(), None), "{name}");
        assert_eq!(harness.fake.world().seen.len(), sent, "{name}");
    }
}
