//! What an API server answers, and what is said of it.

use hyper::Method;
use keyroll_port::{Class, FailureKind};
use serde_json::json;

use crate::kubernetes_sample::{Next, scene, status};
use crate::sample::{KEY, by, credential, failed, value};
use crate::vault_sample::is;

#[tokio::test]
async fn what_is_given_out_has_a_version_and_the_time_of_a_write_that_is_certain() {
    let (api, old) = scene();
    let truth = api.open();
    assert_eq!(truth.name(), format!("k8s:shop/agents#{KEY} (https://127.0.0.1:6443, context prod)"));
    let given = truth.current().await.unwrap();
    assert_eq!((given.id.as_str(), given.unix_ms), ("1@0b6e-41", None));
    let new = credential();
    truth.give_out(&by(4), &old, &new).await.unwrap();
    let given = truth.current().await.unwrap();
    assert_eq!((given.id.as_str(), given.unix_ms), ("2@0b6e-41", Some(1_795_985_821_000)));
    let versions = truth.versions().await.unwrap();
    assert_eq!((versions.len(), versions[0].id.as_str()), (1, "2@0b6e-41"));
    assert_eq!(versions[0].labels, ["current"]);
    assert_eq!(api.text(KEY), value(&new));
}

#[tokio::test]
async fn a_line_end_behind_the_value_stays() {
    let (api, old) = scene();
    api.put(KEY, &format!("{}\n", value(&old)));
    let (truth, new) = (api.open(), credential());
    assert!(truth.current().await.unwrap().fields.encode() == old.fields.encode());
    truth.stage(&by(4), &old, &new).await.unwrap();
    truth.give_out(&by(4), &old, &new).await.unwrap();
    assert_eq!(api.text(KEY), format!("{}\n", value(&new)));
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let (api, old) = scene();
    let truth = api.open();
    api.next(Method::GET, Next::Answer(200, json!("x".repeat(17 << 20))));
    let failure = failed(truth.current().await, &[&old]);
    is(&failure, Class::Retryable, "K0640", &["length limit exceeded"]);
    assert!(truth.current().await.unwrap().fields.encode() == old.fields.encode());
}

#[tokio::test]
async fn a_refused_read_is_said_with_its_reason() {
    let forbidden = "secrets \"agents\" is forbidden: User \"ci\" cannot get resource \"secrets\"";
    for (answer, class, code, words) in [
        (status(401, "Unauthorized", "Unauthorized", &json!({})), Class::Retryable, "K0641", "auth whoami"),
        (
            status(403, "Forbidden", forbidden, &json!({})),
            Class::Permanent,
            "K0641",
            "User \"ci\" cannot get",
        ),
        (status(403, "Forbidden", forbidden, &json!({})), Class::Permanent, "K0641", "verbs: [get, patch]"),
        (status(404, "NotFound", "not found", &json!({})), Class::Permanent, "K0642", "no Secret agents"),
        (status(429, "TooManyRequests", "", &json!({})), Class::Retryable, "K0640", "the rate of requests"),
        (status(500, "InternalError", "", &json!({})), Class::Retryable, "K0640", "HTTP 500"),
        (status(503, "ServiceUnavailable", "", &json!({})), Class::Retryable, "K0640", "--raw /readyz"),
        (Next::Answer(200, json!("<html>")), Class::Retryable, "K0640", "not that of a Secret"),
        (Next::Answer(302, json!("<html>")), Class::Permanent, "K0642", "HTTP 302"),
    ] {
        let (api, old) = scene();
        let truth = api.open();
        api.next(Method::GET, answer);
        is(&failed(truth.current().await, &[&old]), class, code, &[words]);
    }
}

#[tokio::test]
async fn a_refused_write_shows_nothing_of_what_the_server_says() {
    let causes = |field: &str, message: &str| json!({ "causes": [{ "reason": "x", "field": field, "message": message }] });
    let immutable = "Forbidden: field is immutable when `immutable` is set";
    for (code, reason, details, class, page, words) in [
        (403, "Forbidden", json!({}), Class::Permanent, "K0641", "verbs: [get, patch]"),
        (404, "NotFound", json!({}), Class::Permanent, "K0642", "get secrets"),
        (413, "RequestEntityTooLarge", json!({}), Class::Permanent, "K0304", "1 MiB"),
        (422, "Invalid", causes("data", immutable), Class::Permanent, "K0642", "is immutable"),
        (
            422,
            "Invalid",
            causes("data", "Too long: may not be more than 1048576 bytes"),
            Class::Permanent,
            "K0304",
            "1 MiB",
        ),
        (422, "Invalid", causes("data[KEY]", "Invalid value"), Class::Permanent, "K0304", "data[KEY]"),
        (429, "TooManyRequests", json!({}), Class::Retryable, "K0640", "the rate of requests"),
        (500, "InternalError", json!({}), Class::Unknown, "K0640", "HTTP 500"),
        (503, "ServiceUnavailable", json!({}), Class::Retryable, "K0640", "is not ready"),
        (504, "Timeout", json!({}), Class::Unknown, "K0640", "HTTP 504"),
    ] {
        let (api, old) = scene();
        let (truth, new) = (api.open(), credential());
        api.next(Method::PATCH, status(code, reason, &format!("denied: {}", value(&new)), &details));
        is(&failed(truth.give_out(&by(4), &old, &new).await, &[&old, &new]), class, page, &[words]);
        assert_eq!(api.text(KEY), value(&old));
        // The next attempt finds it as it was.
        truth.give_out(&by(4), &old, &new).await.unwrap();
        assert_eq!(api.text(KEY), value(&new));
    }
    let (api, old) = scene();
    let (truth, new) = (api.open(), credential());
    let denied = "admission webhook \"policy.example\" denied the request";
    api.next(Method::PATCH, status(403, "Forbidden", denied, &json!({})));
    let failure = failed(truth.give_out(&by(4), &old, &new).await, &[&old, &new]);
    is(&failure, Class::Permanent, "K0641", &["an admission rule", "validatingwebhookconfigurations"]);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_seen_and_not_repeated() {
    let (api, old) = scene();
    let (truth, new) = (api.open(), credential());
    truth.stage(&by(4), &old, &new).await.unwrap();
    assert_eq!(api.count(&Method::PATCH), 0, "what is staged is not written");
    for (before, after, count) in [(&old, &new, 1), (&new, &old, 2)] {
        api.next(Method::PATCH, Next::Lost);
        let failure = failed(truth.give_out(&by(4), before, after).await, &[&old, &new]);
        assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::AnswerUnclear));
        assert_eq!(api.text(KEY), value(after), "it was written");
        truth.give_out(&by(4), before, after).await.unwrap();
        assert_eq!(api.count(&Method::PATCH), count, "and not written twice");
    }
}

#[tokio::test]
async fn a_value_that_somebody_else_writes_at_the_same_moment_stays() {
    let (api, old) = scene();
    let (truth, new, theirs) = (api.open(), credential(), credential());
    api.next(Method::PATCH, Next::After(value(&theirs)));
    let failure = failed(truth.give_out(&by(4), &old, &new).await, &[&old, &new, &theirs]);
    assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
    assert_eq!(api.text(KEY), value(&theirs));
    // The same value by somebody else is what was wanted.
    let (api, old) = scene();
    let truth = api.open();
    api.next(Method::PATCH, Next::After(value(&new)));
    truth.give_out(&by(4), &old, &new).await.unwrap();
    assert_eq!(api.text(KEY), value(&new));
}

#[tokio::test]
async fn a_secret_that_was_made_anew_meanwhile_is_looked_at_again() {
    let (api, old) = scene();
    let (truth, new) = (api.open(), credential());
    api.next(Method::PATCH, status(409, "Conflict", "the object has been modified", &json!({})));
    let failure = failed(truth.give_out(&by(4), &old, &new).await, &[&old, &new]);
    is(&failure, Class::Retryable, "K0640", &["another party changed the secret at the same moment"]);
    api.edit(|secret| secret["metadata"]["uid"] = json!("0b6e-42"));
    truth.give_out(&by(4), &old, &new).await.unwrap();
    assert_eq!(truth.current().await.unwrap().id, "3@0b6e-42");
    api.delete();
    is(
        &failed(truth.current().await, &[&new]),
        Class::Permanent,
        "K0642",
        &["no Secret agents in the namespace shop"],
    );
}

#[tokio::test]
async fn what_could_not_be_written_or_would_be_undone_is_refused_before_anything_is_made() {
    let owner = json!([
        { "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "llm", "uid": "o", "controller": true }
    ]);
    let (api, old) = scene();
    let (truth, new) = (api.open(), credential());
    truth.writable().await.unwrap();
    api.edit(|secret| secret["metadata"]["ownerReferences"] = owner);
    let external = ["by ExternalSecret/llm", "would undo", "name that store in `store`"];
    is(&failed(truth.writable().await, &[&old]), Class::Permanent, "K0642", &external);
    let failure = failed(truth.stage(&by(4), &old, &new).await, &[&old, &new]);
    is(&failure, Class::Permanent, "K0642", &external);

    let (api, old) = scene();
    let truth = api.open();
    api.edit(|secret| secret["immutable"] = json!(true));
    is(
        &failed(truth.writable().await, &[&old]),
        Class::Permanent,
        "K0642",
        &["immutable", "make one of another name"],
    );

    let (api, old) = scene();
    let truth = api.open();
    api.put("URL", &format!("https://u:{}@h", value(&old)));
    is(&failed(truth.writable().await, &[&old]), Class::Permanent, "K0642", &["at another place"]);

    let (api, old) = scene();
    let truth = api.open();
    api.forbid_patches();
    let failure = failed(truth.writable().await, &[&old]);
    is(&failure, Class::Permanent, "K0641", &["may not patch", "resourceNames: [agents]"]);
    assert_eq!(api.count(&Method::PATCH), 0);
}
