//! Requests: escaped by position, sent to the hosts of the spec only; and the content that a mint's answer must have.

use keyroll_issuer::{Runner, Spec};
use keyroll_port::conformance::IssuerHarness;
use keyroll_port::{Class, Issuer, Probe};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use crate::fake::{self, Dialect, RecordedRequest};
use crate::harness::{self, Harness};

fn last(harness: &Harness) -> RecordedRequest {
    harness.fake.world().seen.last().unwrap().clone()
}

#[tokio::test]
async fn ids_are_escaped_in_paths() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let _ = harness.current().await;
    for id in ["a/b", "a b", "a?b=c", "a#b", "ä", "a%2Fb", "a/../../admin", "a\r\nX: y", "{cred.id}"] {
        let gone = harness.issuer().revoke(&CredentialId::new(id)).await;
        assert!(gone.is_ok(), "404 means gone: {id}");
        let seen = last(&harness);
        let segments: Vec<&str> = seen.path.split('/').collect();
        assert_eq!(segments.len(), 4, "{id} is one segment: {}", seen.path);
        assert!(seen.query.is_empty() && !seen.headers.contains_key("x"), "{id}");
    }
    let sent = harness.fake.world().seen.len();
    for id in ["", ".", ".."] {
        let failure = harness.issuer().revoke(&CredentialId::new(id)).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0140", Class::Permanent), "{id:?}");
    }
    assert_eq!(harness.fake.world().seen.len(), sent, "nothing was sent");
}

#[tokio::test]
async fn labels_are_escaped_in_json() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let label = "a\"b\\c\n{admin} \u{1F511}";
    harness.issuer().mint(label, &current, None).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(&last(&harness).body).unwrap();
    assert_eq!(body["name"], label);
    assert_eq!(body["scopes"], serde_json::json!(["send", "read"]), "a copied setting keeps its type");
    assert_eq!(last(&harness).headers["content-type"], "application/json");
}

#[tokio::test]
async fn forms_queries_and_basic_authentication() {
    let edit = |text: String| {
        let text = text.replace(
            "json = { name = \"{label}\", scopes = \"{copy.scopes}\" }",
            "form = { \"na me\" = \"{label}&x\" }",
        );
        let text = text.replace(
            "header = { Authorization = \"Bearer {cred.value}\" }",
            "basic = { user = \"api\", password = \"{cred.value}\" }",
        );
        text.replace("query = { limit = \"100\" }", "query = { limit = \"100\", of = \"{current.id}\" }")
    };
    let mut harness = Harness::edited(Dialect::Acme, edit).await;
    let current = Harness::credential("a&b=c d", "acme_x");
    let _ = harness.fresh().await;
    let _ = harness.issuer().list(&current).await;
    assert!(harness.fake.world().seen.iter().all(|seen| seen.query["of"] == "a&b=c d"));
    let endpoint = harness.issuer().endpoints().remove(0);
    let _ = harness.issuer().probe(&endpoint, &current).await;
    assert_eq!(last(&harness).headers["authorization"], "Basic YXBpOmFjbWVfeA==");
}

/// The credential in use may be its own admin: the chosen value is sent, and the value in use authenticates the
/// request.
#[tokio::test]
async fn a_mint_as_the_credential_itself_shows_the_one_in_use() {
    let edit = |text: String| {
        let (before, rest) = text.split_once("[op.get]").unwrap();
        let (_, after) = rest.split_once("[op.mint]").unwrap();
        let text = format!("{before}[op.mint]{after}").replace("minted_by = \"api\"", "minted_by = \"us\"");
        let text = text.replacen("as = \"admin\"", "as = \"self\"", 1);
        text.replace(
            "json = { name = \"{label}\", scopes = \"{copy.scopes}\" }",
            "json = { name = \"{label}\", value = \"{cred.value}\" }",
        )
    };
    let mut harness = Harness::edited(Dialect::Acme, edit).await;
    let current = harness.current().await;
    let proposed = harness.issuer().propose(&current).unwrap().unwrap();
    let outcome = harness.issuer().mint("keyroll/1/1", &current, Some(&proposed)).await;
    assert_eq!(outcome.map(|_| ()).unwrap_err().code, "K0103", "the fake lets only its admin mint");
    let text = |credential: &Credential| {
        String::from_utf8(credential.fields.secrets().next().unwrap().1.expose().to_vec()).unwrap()
    };
    let seen = last(&harness);
    assert_eq!(seen.headers["authorization"], format!("Bearer {}", text(&current)));
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body["value"], text(&proposed));
}

#[tokio::test]
async fn a_value_that_cannot_stand_in_a_header_is_not_sent() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let _ = harness.current().await;
    let connections = harness.fake.world().connections;
    for value in ["a\r\nX-Admin: 1", "a\nb", "tab\tbed", "ünï", "nul\0"] {
        let endpoint = harness.issuer().endpoints().remove(0);
        let probe = harness.issuer().probe(&endpoint, &Harness::credential("k", value)).await;
        let Probe::Unknown(why) = probe else { panic!("{probe:?}") };
        assert!(!why.contains(value), "{why}");
    }
    assert_eq!(harness.fake.world().connections, connections, "nothing was sent");
}

#[tokio::test]
async fn only_what_is_due_is_sent() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let endpoint = harness.issuer().endpoints().remove(0);
    assert_eq!(harness.issuer().probe(&endpoint, &current).await, Probe::Alive);
    let mut names: Vec<String> = last(&harness).headers.into_keys().collect();
    names.sort();
    assert_eq!(names, ["accept", "authorization", "connection", "host", "user-agent"]);
}

/// A mint with an invalid answer may have made a key: the outcome is never "no effect".
#[tokio::test]
async fn a_mints_odd_answer_is_unknown() {
    let edits = [
        ("id = \"/key/id\"", "id = \"/key\""),
        ("id = \"/key/id\"", "id = \"/nowhere\""),
        ("value = \"/secret\"", "value = \"/key\""),
        ("prefix = \"acme_\"", "prefix = \"other_\""),
    ];
    for (from, to) in edits {
        let mut harness = Harness::edited(Dialect::Acme, move |text| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
        .await;
        let current = harness.current().await;
        let failure = harness.issuer().mint("keyroll/1/1", &current, None).await.map(|_| ()).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0105", Class::Unknown), "{from}");
        assert_eq!(harness.fake.world().made, 6, "a key was made all the same");
    }
}

#[tokio::test]
async fn refusals_are_for_good_and_name_the_admin() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    harness.fake.world().admin = "changed".to_owned();
    for failure in [
        harness.issuer().preflight(&current).await.unwrap_err(),
        harness.issuer().list(&current).await.unwrap_err(),
        harness.issuer().mint("keyroll/1/1", &current, None).await.map(|_| ()).unwrap_err(),
        harness.issuer().disable(&CredentialId::new("x")).await.unwrap_err(),
        harness.issuer().revoke(&CredentialId::new("x")).await.unwrap_err(),
    ] {
        assert_eq!((failure.code.as_str(), failure.class), ("K0103", Class::Permanent));
        let cause = failure.source.unwrap().to_string();
        assert_eq!(cause, "status 401, JSON, code not_the_admin");
    }
    assert_eq!(harness.fake.world().made, 5);
}

#[tokio::test]
async fn without_an_admin_nothing_is_sent() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let text = harness::spec_text(Dialect::Acme, harness.fake.address);
    let runner = Runner::new(Spec::parse(&text, "x.toml").unwrap(), None);
    assert_eq!(runner.preflight(&current).await.unwrap_err().code, "K0103");
    assert_eq!(runner.list(&current).await.unwrap_err().code, "K0103");
    assert_eq!(runner.revoke(&CredentialId::new("x")).await.unwrap_err().code, "K0103");
    assert_eq!(harness.fake.world().connections, 0);
    let endpoint = runner.endpoints().remove(0);
    assert_eq!(runner.probe(&endpoint, &current).await, Probe::Alive, "verify needs no admin");
}

#[tokio::test]
async fn preflight_counts_and_looks_at_slots() {
    let max = |text: String| text.replace("max = 20", "max = 5");
    let mut harness = Harness::edited(Dialect::Acme, max).await;
    let current = harness.current().await;
    let failure = harness.issuer().preflight(&current).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0107", Class::Permanent));
    harness.fake.world().keys[0].deleted = true;
    harness.issuer().preflight(&current).await.unwrap();

    let slots = |text: String| text.replace("\"independent\", max = 20", "\"two-slots\"");
    let mut harness = Harness::edited(Dialect::Acme, slots).await;
    let current = harness.current().await;
    let failure = harness.issuer().preflight(&current).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0107", "keys that keyroll did not make are there");
    for key in &mut harness.fake.world().keys {
        key.deleted |= key.name != "in use" && !key.name.starts_with("keyroll/");
    }
    harness.issuer().preflight(&current).await.unwrap();
}

#[tokio::test]
async fn settings_need_the_id_of_the_key_in_use() {
    let mut harness = Harness::new(Dialect::SendGrid).await;
    let current = harness.current().await;
    let unbound = Credential { id: None, fields: current.fields.duplicate() };
    assert!(harness.issuer().preflight(&unbound).await.is_err());
    let failure = harness.issuer().mint("keyroll/1/1", &unbound, None).await.map(|_| ()).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0140", Class::Permanent));
    assert_eq!(harness.fake.world().made, 5);
}

#[tokio::test]
async fn a_busy_session_is_spared() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let id = current.id.clone().unwrap();
    harness.hold_session(&current).await.unwrap();
    harness.fake.world().live.values_mut().for_each(|live| live.busy = true);
    let sessions = harness.issuer().sessions(&id).await.unwrap().unwrap();
    assert!(sessions[0].busy && sessions[0].calls == Some(1));
    let handles = [sessions[0].handle.clone()];
    assert_eq!(harness.issuer().end_sessions(&id, &handles, false).await.unwrap(), 0);
    let ends =
        |harness: &Harness| harness.fake.world().seen.iter().filter(|seen| seen.method == "DELETE").count();
    assert_eq!(ends(&harness), 0, "a busy session is not even asked about");
    assert_eq!(harness.issuer().end_sessions(&id, &handles, true).await.unwrap(), 0, "the issuer spared it");
    assert_eq!(ends(&harness), 1);
    harness.fake.world().live.values_mut().for_each(|live| live.busy = false);
    assert_eq!(harness.issuer().end_sessions(&id, &handles, false).await.unwrap(), 1);
}

/// A port without TLS gets no value, and the call certainly had no effect.
#[tokio::test]
async fn https_is_never_tried_without_tls() {
    let fake = fake::Fake::start(Dialect::Acme).await;
    let text =
        harness::spec_text(Dialect::Acme, fake.address).replace("http://127.0.0.1", "https://127.0.0.1");
    let text = text.replace(harness::PATIENT, harness::HASTY);
    let runner = Runner::new(Spec::parse(&text, "x.toml").unwrap(), Some(SecretBytes::from("a".to_owned())));
    let endpoint = runner.endpoints().remove(0);
    let fields = Fields::single(SecretBytes::from("acme_canary".to_owned()));
    let probe = runner.probe(&endpoint, &Credential { id: None, fields }).await;
    assert!(matches!(probe, Probe::Unknown(_)), "{probe:?}");
    let failure = runner.revoke(&CredentialId::new("x")).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0104", Class::Retryable));
    assert!(fake.world().seen.is_empty());
}
