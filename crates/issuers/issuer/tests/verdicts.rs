//! The verdicts of a probe, also for an issuer where new and revoked keys take effect late.

use keyroll_port::conformance::IssuerHarness;
use keyroll_port::{Class, Probe};
use keyroll_secret::{Credential, CredentialId};

use crate::fake::{Behaviour, Dialect, Odd};
use crate::harness::Harness;

async fn probe(harness: &Harness, credential: &Credential) -> Probe {
    let endpoint = harness.issuer().endpoints().remove(0);
    harness.issuer().probe(&endpoint, credential).await
}

/// The verdict of a probe for one answer.
async fn judged(harness: &mut Harness, current: &Credential, status: u16, body: &str) -> Probe {
    harness.fake.world().scripted.push((status, "application/json", body.to_owned()));
    probe(harness, current).await
}

#[tokio::test]
async fn births_and_deaths_are_told_as_they_show() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let minted = harness.issuer().mint("keyroll/1/1", &current, None).await.unwrap();
    let minted = Credential { id: Some(minted.id), fields: minted.fields };
    let id = minted.id.clone().unwrap();
    assert_eq!(probe(&harness, &minted).await, Probe::Dead, "not born yet: the issuer refuses it");
    harness.settle().await;
    assert_eq!(probe(&harness, &minted).await, Probe::Alive);
    harness.issuer().revoke(&id).await.unwrap();
    assert_eq!(probe(&harness, &minted).await, Probe::Alive, "a deleted key goes on working for a while");
    harness.settle().await;
    assert_eq!(probe(&harness, &minted).await, Probe::Dead);
}

#[tokio::test]
async fn a_flapping_issuer_is_told_answer_by_answer_on_new_connections() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let before = harness.fake.world().connections;
    let refused = "{\"error\":{\"code\":\"revoked_key\"}}";
    let mut seen = Vec::new();
    for round in 0..8 {
        if round % 3 == 0 {
            seen.push(judged(&mut harness, &current, 401, refused).await);
        } else {
            seen.push(probe(&harness, &current).await);
        }
    }
    assert_eq!(seen.iter().filter(|probe| **probe == Probe::Dead).count(), 3);
    assert_eq!(seen.iter().filter(|probe| **probe == Probe::Alive).count(), 5);
    assert_eq!(harness.fake.world().connections - before, 8, "each probe is a connection of its own");
}

#[tokio::test]
async fn a_status_alone_does_not_decide() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    let unknown = |probe: Probe| matches!(probe, Probe::Unknown(_));
    // Alive, but 401: two-factor wanted. Narrow `dead` keeps it unknown.
    assert!(unknown(judged(&mut harness, &current, 401, "{\"error\":{\"code\":\"otp_required\"}}").await));
    assert!(unknown(judged(&mut harness, &current, 403, "{\"error\":{\"code\":\"blocked_address\"}}").await));
    assert!(unknown(judged(&mut harness, &current, 200, "{\"ok\":false}").await));
    assert!(unknown(judged(&mut harness, &current, 200, "{\"account\":null}").await));
    assert!(unknown(judged(&mut harness, &current, 200, "").await));
    let scope = "{\"error\":{\"code\":\"missing_scope\"}}";
    assert_eq!(judged(&mut harness, &current, 403, scope).await, Probe::Denied);
    assert_eq!(judged(&mut harness, &current, 200, "{\"account\":\"a\"}").await, Probe::Alive);
    let numbers = "{\"error\":{\"code\":401}}";
    assert!(
        unknown(judged(&mut harness, &current, 401, numbers).await),
        "a number is not the text it looks like"
    );
}

/// A 401 that names a missing scope is a living key, also where the spec's `dead` is as wide as `401`.
#[tokio::test]
async fn denied_stands_before_dead_and_alive_before_both() {
    let wide = |text: String| {
        let dead =
            "dead = [{ status = [401], json = { \"/error/code\" = [\"invalid_key\", \"revoked_key\"] } }]";
        assert!(text.contains(dead));
        let text = text.replace(dead, "dead = [{ status = [200, 401] }]");
        text.replace(
            "denied = [{ status = [403], json = { \"/error/code\" = [\"missing_scope\"] } }]",
            "denied = [{ status = [401], body_has = [\"invalid permission\", \"required scope\"] }]",
        )
    };
    let mut harness = Harness::edited(Dialect::Acme, wide).await;
    let current = harness.current().await;
    let scope = "{\"message\":\"a required scope is missing\"}";
    assert_eq!(judged(&mut harness, &current, 401, scope).await, Probe::Denied);
    assert_eq!(judged(&mut harness, &current, 401, "{\"message\":\"no\"}").await, Probe::Dead);
    assert_eq!(judged(&mut harness, &current, 200, "{\"account\":\"a\"}").await, Probe::Alive);
    assert_eq!(judged(&mut harness, &current, 200, "{\"ok\":false}").await, Probe::Dead);
}

#[tokio::test]
async fn sendgrids_403_is_a_living_key() {
    let mut harness = Harness::new(Dialect::SendGrid).await;
    let current = harness.current().await;
    let errors = "{\"errors\":[{\"message\":\"access forbidden\"}]}";
    assert_eq!(judged(&mut harness, &current, 403, errors).await, Probe::Denied);
    // So is a key of an account without credits. Only these words mean that the key does not exist.
    let credits = "{\"errors\":[{\"message\":\"Maximum credits exceeded\",\"field\":null}]}";
    assert!(matches!(judged(&mut harness, &current, 401, credits).await, Probe::Unknown(_)));
    let ended =
        "{\"errors\":[{\"message\":\"The provided authorization grant is invalid, expired, or revoked\"}]}";
    assert_eq!(judged(&mut harness, &current, 401, ended).await, Probe::Dead);
}

/// Bodies that users received: <https://github.com/home-assistant/core/issues/120072>,
/// <https://github.com/microsoft/PowerToys/issues/32989>.
#[tokio::test]
async fn openai_refuses_for_more_than_a_dead_key() {
    let mut harness = Harness::new(Dialect::Shipped("openai-service-account")).await;
    let current = harness.fresh().await;
    let error = |code: &str, message: &str| {
        format!(
            "{{\"error\":{{\"code\":{code},\"message\":\"{message}\",\"param\":null,\"type\":\"invalid_request_error\"}}}}"
        )
    };
    let scopes =
        "You have insufficient permissions for this operation. Missing scopes: model.request. Check that";
    let country =
        error("\"unsupported_country_region_territory\"", "Country, region, or territory not supported");
    let address = error("\"ip_not_authorized\"", "Your IP is not authorized");
    let wrong = error("\"invalid_api_key\"", "Incorrect API key provided: sk-…");
    for (status, body, wanted) in [
        (403, &country, None),
        (401, &address, None),
        (401, &error("null", "You must be a member of an organization"), None),
        (401, &error("null", scopes), Some(Probe::Denied)),
        (403, &error("null", scopes), Some(Probe::Denied)),
        (403, &wrong, None),
        (401, &wrong, Some(Probe::Dead)),
    ] {
        let seen = judged(&mut harness, &current, status, body).await;
        match wanted {
            Some(wanted) => assert_eq!(seen, wanted, "{status} {body}"),
            None => assert!(matches!(seen, Probe::Unknown(_)), "{status} {body}: {seen:?}"),
        }
    }
}

/// The words are those of lib/api/api_guard.rb, as users received them:
/// <https://github.com/mattermost/mattermost-plugin-gitlab/issues/142>,
/// <https://github.com/lindell/multi-gitter/issues/250>.
#[tokio::test]
async fn gitlab_says_of_an_ended_token_that_it_was_ended() {
    let mut harness = Harness::new(Dialect::Shipped("gitlab")).await;
    let current = harness.fresh().await;
    let invalid = |why: &str| format!("{{\"error\":\"invalid_token\",\"error_description\":\"{why}\"}}");
    for dead in [
        invalid("Token was revoked. You have to re-authorize from the user."),
        invalid("Token is expired. You can either do re-authorization or token refresh."),
        "{\"message\":\"401 Unauthorized\"}".to_owned(),
    ] {
        assert_eq!(judged(&mut harness, &current, 401, &dead).await, Probe::Dead, "{dead}");
    }
    for other in [
        invalid("Token is an impersonation token but impersonation was disabled."),
        "{\"error\":\"dpop_error\",\"error_description\":\"DPoP validation error\"}".to_owned(),
        "{\"message\":\"Unauthorized\"}".to_owned(),
    ] {
        let seen = judged(&mut harness, &current, 401, &other).await;
        assert!(matches!(seen, Probe::Unknown(_)), "{other}: {seen:?}");
    }
}

/// The words are those of pkg/services/authn/clients/api_key.go, and where an error has none those of
/// pkg/services/contexthandler/model/model.go; as users received them:
/// <https://github.com/hastic-zzz/hastic-grafana-app/issues/422>.
#[tokio::test]
async fn grafana_refuses_for_more_than_a_dead_token() {
    let mut harness = Harness::new(Dialect::Shipped("grafana")).await;
    let current = harness.fresh().await;
    for dead in [
        "{\"message\":\"Invalid API key\",\"messageId\":\"api-key.invalid\",\"statusCode\":401,\"traceID\":\"\"}",
        "{\"message\":\"Revoked API key\",\"messageId\":\"api-key.revoked\",\"statusCode\":401,\"traceID\":\"\"}",
        "{\"message\":\"Expired API key\"}",
        "{\"message\":\"Unauthorized\",\"traceID\":\"\"}",
    ] {
        assert_eq!(judged(&mut harness, &current, 401, dead).await, Probe::Dead, "{dead}");
    }
    for other in [
        "{\"message\":\"API key does not belong to the requested organization\",\"traceID\":\"\"}",
        "{\"message\":\"Unauthorized\"}",
        "{\"message\":\"No API key found in request\"}",
    ] {
        let seen = judged(&mut harness, &current, 401, other).await;
        assert!(matches!(seen, Probe::Unknown(_)), "{other}: {seen:?}");
    }
}

/// A firewall in front of an issuer also answers 403, whatever the token is.
#[tokio::test]
async fn a_403_that_is_not_about_a_scope_says_nothing() {
    for (name, scope) in [
        ("gitlab", "{\"error\":\"insufficient_scope\",\"scope\":\"api read_api\"}"),
        (
            "grafana",
            "{\"accessErrorId\":\"ACE1\",\"message\":\"You need permissions\",\"title\":\"Access denied\"}",
        ),
    ] {
        let mut harness = Harness::new(Dialect::Shipped(name)).await;
        let current = harness.fresh().await;
        let wall = judged(&mut harness, &current, 403, "{\"message\":\"403 Forbidden\"}").await;
        assert!(matches!(wall, Probe::Unknown(_)), "{name}: {wall:?}");
        assert_eq!(judged(&mut harness, &current, 403, scope).await, Probe::Denied, "{name}");
    }
}

/// Even with a spec that reads every 4xx as dead, these statuses prove nothing.
#[tokio::test]
async fn what_settles_nothing_stays_unknown_whatever_the_spec() {
    let wide = |text: String| {
        text.replace(
            "dead = [{ status = [401], json = { \"/error/code\" = [\"invalid_key\", \"revoked_key\"] } }]",
            "dead = [{ status = [400, 401, 403, 404, 410] }]",
        )
    };
    let mut harness = Harness::edited(Dialect::Acme, wide).await;
    let current = harness.current().await;
    let odds = [
        Odd::Status(429),
        Odd::Status(503),
        Odd::HtmlWith(401),
        Odd::HtmlWith(200),
        Odd::BrokenJson,
        Odd::HalfBody,
    ];
    for odd in odds {
        harness.fake.world().mood = Behaviour::Odd(odd);
        let probe = probe(&harness, &current).await;
        assert!(matches!(probe, Probe::Unknown(_)), "{odd:?}: {probe:?}");
    }
    let wrong = harness.issuer().probe("elsewhere.example:443", &current).await;
    assert!(matches!(wrong, Probe::Unknown(_)));
}

/// Readers differ on which of two keys counts: such an answer to a mint says neither that the key was made nor which one.
#[tokio::test]
async fn an_answer_with_a_key_twice_is_refused_and_the_mint_in_it_is_unknown() {
    let mut harness = Harness::new(Dialect::Acme).await;
    let current = harness.current().await;
    harness.fake.world().mood = Behaviour::RepeatsKey("secret");
    let before = harness.fake.world().keys.len();
    let minted = harness.issuer().mint("keyroll/twice/1", &current, None).await;
    let failure = minted.map(|minted| minted.id).unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Unknown, "K0105"));
    let made = harness.fake.world().keys.last().unwrap().clone();
    assert_eq!((harness.fake.world().keys.len(), made.name.as_str()), (before + 1, "keyroll/twice/1"));
    let cause = failure.source.as_ref().map(ToString::to_string).unwrap_or_default();
    let said = format!("{failure}: {cause}: {}", failure.help.as_deref().unwrap_or_default());
    assert!(said.contains("the key \"secret\" twice in one object, at /secret"), "{said}");
    assert!(said.contains("tell the issuer"), "{said}");
    assert!(!said.contains(&made.value) && !said.contains("another"), "{said}");

    // Every other answer of this kind proves nothing either.
    harness.fake.world().mood = Behaviour::RepeatsKey("account");
    let probe = probe(&harness, &current).await;
    assert!(matches!(&probe, Probe::Unknown(why) if why.contains("/account")), "{probe:?}");
    harness.fake.world().mood = Behaviour::RepeatsKey("keys");
    let failure = harness.issuer().list(&current).await.map(drop).unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "K0105"));
}

/// If an issuer repeats the value as its error code, no message shows it.
#[tokio::test]
async fn an_echoed_value_is_not_repeated() {
    let any_letters = |text: String| {
        let text = text.replace("prefix = \"acme_\"\n", "");
        text.replace("alphabet = \"A-Za-z0-9\"", "alphabet = \"a-z_\"")
            .replace("length_min = 37", "length_min = 4")
    };
    let mut harness = Harness::edited(Dialect::Acme, any_letters).await;
    let _ = harness.current().await;
    let credential = Harness::credential("k", "correct_horse_battery");
    let body = "{\"error\":{\"code\":\"correct_horse_battery\"}}";
    let probe = judged(&mut harness, &credential, 400, body).await;
    let Probe::Unknown(why) = probe else { panic!("{probe:?}") };
    assert!(!why.contains("horse"), "{why}");
}

#[tokio::test]
async fn identity_by_a_hint_needs_a_whole_list_and_one_match() {
    let mut harness = Harness::new(Dialect::OpenRouter).await;
    let current = harness.current().await;
    let unbound = Credential { id: None, fields: current.fields.duplicate() };
    assert_eq!(harness.issuer().identify(&unbound).await.unwrap().id, current.id);
    let decoy = harness.issuer().decoy(&current);
    assert_eq!(harness.issuer().identify(&decoy).await.unwrap().id, None);
    let twin = {
        let mut world = harness.fake.world();
        let mut twin = world.keys.iter().find(|key| key.name == "in use").unwrap().clone();
        twin.id = "twin".to_owned();
        world.keys.push(twin.clone());
        twin
    };
    assert_eq!(harness.issuer().identify(&unbound).await.unwrap().id, None, "two fit: {}", twin.id);
}

#[tokio::test]
async fn identity_by_asking() {
    let ask = |text: String| {
        let own =
            text.split("request = { method = \"GET\", url = ").nth(1).unwrap().split(' ').next().unwrap();
        let op = format!(
            "[op.identify]\nrequest = {{ method = \"GET\", url = {own} }}\nok = [{{ status = [200] }}]\n\
             id = \"/id\"\nprincipal = \"/account\"\n\n[op.disable]"
        );
        text.replacen("[op.disable]", &op, 1)
    };
    let mut harness = Harness::edited(Dialect::Acme, ask).await;
    let current = harness.current().await;
    let told = (200, "application/json", "{\"id\":77,\"account\":\"acct_1\"}".to_owned());
    harness.fake.world().scripted.push(told);
    let identity = harness.issuer().identify(&current).await.unwrap();
    assert_eq!(identity.id, Some(CredentialId::new("77")));
    assert_eq!(identity.principal.as_deref(), Some("acct_1"));
    harness.fake.world().scripted.push((200, "application/json", "{\"account\":\"acct_1\"}".to_owned()));
    assert_eq!(harness.issuer().identify(&current).await.unwrap_err().code, "K0105");
}
