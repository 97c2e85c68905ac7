//! Alerts that are forged, replayed, too large or too many: no effect, and the others are served.

use keyroll_testkit::command::wait;
use serde_json::{Value, json};

use super::sent::{Sent, hex, incidents, now_s};
use crate::hostile::scene::Scene;

/// What is recorded of this sender.
fn acts(scene: &Scene, by: &str) -> Vec<Value> {
    let audit = scene.run(&["audit", "--all"]);
    let all = audit.exits(0).of("act").into_iter().filter(|act| act["by"] == by);
    all.cloned().collect()
}

/// Nothing of it opens an incident or reaches the issuer, and the log says that it was refused.
#[test]
fn a_forged_or_replayed_alert_has_no_effect() {
    let sent = Sent::start(1, "emergency_revoke = true");
    let scene = &sent.served.scene;
    let value = scene.held("api/api.env");
    let body = json!({"type": "acme", "value": value.as_str()}).to_string();
    let body = body.as_bytes();
    let token = std::fs::read_to_string(scene.path("ci.token")).unwrap();
    sent.served.put("ci.admin", &format!("X-Admin-Token: {token}\n"));
    let key = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\n\
               AjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n";
    let keys = json!({"public_keys": [{"key_identifier": "abc", "key": key, "is_current": true}]});
    sent.served.put("github-keys.json", &keys.to_string());
    let before = scene.snapshot();
    let now = now_s();
    let code = |source: &str, headers: &[&str]| {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        sent.post(source, &headers, body).code
    };
    let signed = hex(b"github's secret", b"another body");
    let stranger = format!("X-Hub-Signature-256: {signed}");
    assert_eq!(code("github", &[]), 401, "no signature");
    assert_eq!(code("github", &[&stranger]), 401, "the signature of another body");
    // The documented signature, which is of another body.
    let partner = "Github-Public-Key-Signature: MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAd\
                   jxji410VQV4xg==";
    assert_eq!(code("github", &["Github-Public-Key-Identifier: abc", partner]), 401);
    assert_eq!(code("gitguardian", &["Gitguardian-Signature: sha256=00", &format!("Timestamp: {now}")]), 401);
    assert_eq!(
        code(
            "generic",
            &["webhook-id: 1", &format!("webhook-timestamp: {now}"), "webhook-signature: v1,AAAA"]
        ),
        401
    );
    assert_eq!(code("trufflehog", &["Authorization: Bearer wrong"]), 401);
    assert_eq!(code("trufflehog", &["@ada.header"]), 401, "an admin token is not a scanner's");
    assert_eq!(code("gitlab/revoke_tokens", &["Authorization: wrong"]), 401);
    assert_eq!(code("nobody", &["@ci.header"]), 404);
    assert_eq!(code("gitlab", &["@gitlab.header"]), 404, "GitLab has addresses of its own");
    assert_eq!(sent.served.curl("/alerts/gitlab/revocable_token_types", &[], b"").code, 401);
    // Signed an hour ago, and replayed now.
    let stale = sent.signed_at(now - 3_600, body, "msg_old");
    assert_eq!(stale.code, 401, "{stale:?}");
    let age = stale.text("detail").split(' ').find_map(|word| word.parse::<u64>().ok());
    assert!(age.is_some_and(|age| age >= 3_600) && stale.text("detail").contains("s old"), "{stale:?}");
    assert_eq!(sent.signed_at(now + 3_600, body, "msg_new").code, 401);
    // A scanner's token opens nothing else.
    assert_eq!(sent.served.curl("/secret-status", &["-H", "@ci.admin"], b"").code, 401);
    assert_eq!(sent.post("github", &[stranger.clone(), "Host: evil.example".to_owned()], body).code, 403);
    assert!(incidents(scene, &["--all"]).is_empty(), "{:?}", incidents(scene, &["--all"]));
    assert_eq!(scene.snapshot(), before);
    let log = sent.served.log();
    for source in ["github", "gitguardian", "generic", "trufflehog", "gitlab"] {
        assert!(log.contains(&format!("refused an alert of {source}")), "{source}: {log}");
    }
    // Wrong ones are told to wait, and a right one is served.
    let codes: Vec<u16> = (0..30).map(|_| code("github", &[&stranger])).collect();
    assert!(codes.contains(&429), "{codes:?}");
    assert_eq!(sent.generic(&json!({"type": "acme", "value": "no-such-value-at-all"})).code, 202);
    // Who forges alerts cannot fill the journal, and the one that was taken stands there.
    wait("the alert is recorded", || acts(scene, "alert generic").len() == 1);
    let refused: Vec<Value> =
        acts(scene, "unknown").into_iter().filter(|act| act["what"] == "alert").collect();
    assert!((1..=6).contains(&refused.len()), "{refused:?}");
    assert!(refused.iter().all(|act| act["refused"].is_string() && act["secret"].is_null()), "{refused:?}");
    sent.served.nothing_leaked(&[&value]);
}

/// Bodies that are no alerts, or too large: a clear answer, and nothing was opened.
#[test]
fn what_cannot_be_read_is_answered_and_opens_nothing() {
    let sent = Sent::start(1, "");
    let deep = "[".repeat(50_000);
    for body in ["", "{", "{\"type\":1}", "[[]]", deep.as_str(), "\u{0}"] {
        let answer = sent.signed_at(now_s(), body.as_bytes(), "msg_1");
        let empty = body.is_empty();
        assert_eq!(answer.code, if empty { 202 } else { 400 }, "{answer:?}");
    }
    let large = vec![b' '; 300 << 10];
    assert_eq!(sent.signed_at(now_s(), &large, "msg_2").code, 413);
    assert_eq!(sent.with_token("sarif", &vec![b' '; 5 << 20]).code, 413);
    let many: Vec<_> =
        (0..6_000).map(|at| json!({"type": "acme", "value": format!("value-number-{at:06}")})).collect();
    let answer = sent.with_token("generic", json!(many).to_string().as_bytes());
    assert_eq!(answer.code, 400, "{answer:?}");
    assert!(answer.text("detail").contains("5000"), "{answer:?}");
    assert!(incidents(&sent.served.scene, &["--all"]).is_empty());
    // A flood of unknown values is bounded, and does not keep out a stored one.
    let answer = sent.with_token("generic", json!(many[..2_000]).to_string().as_bytes());
    assert_eq!(answer.code, 503, "what is left out must be sent again: {answer:?}");
    assert!(answer.text("detail").contains("1500 were left out"), "{answer:?}");
    assert_eq!(incidents(&sent.served.scene, &[]).len(), 500);
    // Another source is not kept out.
    let other = sent.with_token("gitleaks", br#"[{"RuleID":"x","Secret":"a-value-of-another-source"}]"#);
    assert_eq!((other.code, &other.body["incidents"][0]["new"]), (202, &json!(true)), "{other:?}");
    let value = sent.served.scene.held("api/api.env");
    let answer = sent.generic(
        &json!([{"type": "x", "value": "yet-another-value"}, {"type": "acme", "value": value.as_str()}]),
    );
    assert_eq!(answer.code, 503, "the other one is left out: {answer:?}");
    let scene = &sent.served.scene;
    wait("its emergency begins all the same", || scene.issuer.made() == 2);
}
