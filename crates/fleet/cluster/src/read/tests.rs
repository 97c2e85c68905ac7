//! A namespace as it is read from recorded answers.

use std::sync::{Arc, Mutex};

use keyroll_port::Class;
use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};

use super::*;
use crate::recorded::{Recorded, list, path, status};

/// The list of Secrets without their content.
fn versions() -> String {
    format!("{} metadata", path("api/v1/secrets"))
}

async fn read_all(recorded: &Recorded) -> Result<Namespace, Failure> {
    read(&recorded.cluster(), &|_: &str| {}).await
}

/// A Secret with one key, written by a `kubectl patch`.
fn secret(name: &str, version: &str, value: &str) -> Value {
    let written = json!({
        "manager": "kubectl-patch", "operation": "Update", "apiVersion": "v1", "time": "2026-07-01T10:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:key": {} } },
    });
    let metadata = json!({
        "name": name, "uid": format!("uid-of-{name}"), "resourceVersion": version,
        "creationTimestamp": "2026-07-01T09:00:00Z", "managedFields": [written],
    });
    let value = k8s_openapi::ByteString(value.as_bytes().to_vec());
    json!({ "metadata": metadata, "type": "Opaque", "data": { "key": value } })
}

/// The spec of a pod that takes the key of a Secret as a variable.
fn spec(secret: &str) -> Value {
    let from = json!({ "secretKeyRef": { "name": secret, "key": "key" } });
    json!({ "containers": [{ "name": "app", "env": [{ "name": "API_KEY", "valueFrom": from }] }] })
}

fn pod(name: &str, secret: &str) -> Value {
    let metadata = json!({ "name": name, "uid": name, "creationTimestamp": "2026-07-01T11:00:00Z" });
    json!({ "metadata": metadata, "spec": spec(secret), "status": { "phase": "Running" } })
}

/// A workload whose template takes a Secret.
fn workload(name: &str, secret: &str) -> Value {
    let template = json!({ "metadata": {}, "spec": spec(secret) });
    json!({
        "metadata": { "name": name, "uid": name },
        "spec": { "replicas": 1, "selector": {}, "serviceName": name, "template": template },
    })
}

fn cron_job(name: &str, secret: &str) -> Value {
    let job = workload(name, secret);
    json!({ "metadata": { "name": name, "uid": name }, "spec": { "schedule": "0 3 * * *", "jobTemplate": job } })
}

/// The answer of `/apis` with these groups in these versions.
fn groups(all: &[(&str, &str)]) -> Value {
    let of = |(name, version): &(&str, &str)| {
        let version = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
        json!({ "name": name, "versions": [version] })
    };
    json!({ "groups": all.iter().map(of).collect::<Vec<_>>() })
}

fn names(namespace: &Namespace) -> Vec<&str> {
    namespace.secrets.iter().map(|secret| secret.name.as_str()).collect()
}

/// The value of the only Secret.
fn value(namespace: &Namespace) -> &[u8] {
    assert_eq!(namespace.secrets.len(), 1);
    namespace.secrets[0].data["key"].expose()
}

#[tokio::test]
async fn a_namespace_is_read_with_all_that_it_has() {
    let (recorded, key) = (Recorded::new(), alphanumeric(32));
    recorded.lists("api/v1/secrets", &[secret("anthropic", "7", &key)]);
    recorded
        .lists("api/v1/configmaps", &[json!({ "metadata": { "name": "settings" }, "data": { "a": "b" } })]);
    recorded.lists("api/v1/pods", &[pod("agent-1", "anthropic")]);
    let account = json!({ "metadata": { "name": "default" }, "imagePullSecrets": [{ "name": "registry" }] });
    recorded.lists("api/v1/serviceaccounts", &[account]);
    for kind in ["replicasets", "deployments", "statefulsets", "daemonsets"] {
        recorded.lists(&format!("apis/apps/v1/{kind}"), &[workload("agent", "anthropic")]);
    }
    recorded.lists("apis/batch/v1/jobs", &[workload("report", "anthropic")]);
    recorded.lists("apis/batch/v1/cronjobs", &[cron_job("nightly", "anthropic")]);
    let all =
        [("external-secrets.io", "v1"), ("secrets-store.csi.x-k8s.io", "v1"), ("argoproj.io", "v1alpha1")];
    recorded.answers("/apis", &[(200, groups(&all))]);
    let remote =
        json!({ "secretKey": "key", "remoteRef": { "key": "prod/anthropic", "property": "api_key" } });
    let external = json!({
        "metadata": { "name": "anthropic" },
        "spec": {
            "refreshInterval": "1h", "secretStoreRef": { "name": "aws", "kind": "SecretStore" },
            "target": { "name": "anthropic" }, "data": [remote],
        },
    });
    recorded.lists("apis/external-secrets.io/v1/externalsecrets", &[external]);
    let mounted = json!({
        "metadata": { "name": "agent-1-shop-vault" },
        "status": {
            "podName": "agent-1", "secretProviderClassName": "vault", "mounted": true,
            "objects": [{ "id": "secret/openai", "version": "3" }],
        },
    });
    recorded.lists("apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasspodstatuses", &[mounted]);
    recorded.lists("apis/argoproj.io/v1alpha1/rollouts", &[workload("canary", "anthropic")]);

    let found = read_all(&recorded).await.unwrap();
    assert_eq!(value(&found), key.as_bytes());
    assert_eq!(found.config_maps.len(), 1);
    let pods: Vec<(&str, usize)> = found.pods.iter().map(|pod| (&*pod.name, pod.takes.len())).collect();
    assert_eq!(pods, [("agent-1", 1)]);
    let workloads: Vec<(&str, &str, usize)> =
        found.workloads.iter().map(|one| (&*one.kind, &*one.name, one.takes.len())).collect();
    assert_eq!(
        workloads,
        [
            ("CronJob", "nightly", 1),
            ("DaemonSet", "agent", 1),
            ("Deployment", "agent", 1),
            ("Job", "report", 1),
            ("ReplicaSet", "agent", 1),
            ("Rollout", "canary", 1),
            ("StatefulSet", "agent", 1),
        ]
    );
    assert_eq!(found.pull_secrets["default"], ["registry"]);
    assert_eq!(found.external["anthropic"].keys["key"], "prod/anthropic#api_key");
    assert_eq!(found.mounted.iter().map(|one| &*one.version).collect::<Vec<_>>(), ["3"]);
    assert!(found.missed.is_empty() && !found.refused, "{:?}", found.missed);
    // The time of the answers.
    assert_eq!((found.name.as_str(), found.now), ("shop", Some(1_782_907_200)));
}

#[tokio::test]
async fn the_versions_of_the_secrets_are_compared_after_the_pods_and_before_the_workloads() {
    let recorded = Recorded::new();
    read_all(&recorded).await.unwrap();
    let asked = recorded.asked();
    let at = |request: &str| asked.iter().position(|one| one == request).unwrap();
    let order = [
        at(&path("api/v1/secrets")),
        at(&path("api/v1/pods")),
        at(&versions()),
        at(&path("apis/apps/v1/deployments")),
    ];
    assert!(order.is_sorted(), "{asked:?}");
}

#[tokio::test]
async fn a_kind_that_the_login_may_not_list_is_named_with_the_rule_that_allows_it() {
    let recorded = Recorded::new();
    recorded.lists("api/v1/secrets", &[secret("anthropic", "7", &alphanumeric(32))]);
    recorded.refuses("api/v1/pods");
    recorded.refuses("apis/apps/v1/daemonsets");
    let found = read_all(&recorded).await.unwrap();
    assert_eq!(names(&found), ["anthropic"]);
    assert!(found.refused && found.pods.is_empty());
    assert!(!found.sees_pods());
    assert_eq!(found.takers_hidden().unwrap(), "pods, daemonsets cannot be listed");
    let missed: Vec<(&str, &str)> = found.missed.iter().map(|one| (&*one.what, &*one.why)).collect();
    assert_eq!(
        missed,
        [
            (
                "pods in shop",
                "forbidden: the login may not list pods; a Role with resources [pods] verbs [list] would allow it"
            ),
            (
                "daemonsets in shop",
                "forbidden: the login may not list daemonsets; a Role with apiGroups [apps] resources [daemonsets] verbs \
                 [list] would allow it"
            ),
        ]
    );
}

#[tokio::test]
async fn secrets_that_cannot_be_listed_are_read_by_the_names_that_pods_and_templates_have() {
    let (recorded, key, other) = (Recorded::new(), alphanumeric(32), alphanumeric(32));
    recorded.refuses("api/v1/secrets");
    let pods = [pod("a", "anthropic"), pod("b", "closed"), pod("c", "../pods"), pod("d", "absent")];
    recorded.lists("api/v1/pods", &pods);
    recorded.lists("apis/batch/v1/cronjobs", &[cron_job("nightly", "openai")]);
    let of = |name: &str| format!("{}/{name}", path("api/v1/secrets"));
    recorded.answers(&of("anthropic"), &[(200, secret("anthropic", "7", &key))]);
    recorded.answers(&of("openai"), &[(200, secret("openai", "8", &other))]);
    recorded.answers(&of("closed"), &[(403, status(403, "secrets is forbidden"))]);

    let found = read_all(&recorded).await.unwrap();
    assert_eq!(names(&found), ["anthropic", "openai"]);
    assert!(found.secrets.iter().all(|secret| !secret.changed.is_empty()));
    let missed: Vec<&str> = found.missed.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(missed, ["secrets in shop", "Secret closed in shop"]);
    assert!(found.missed[1].why.contains("resourceNames [closed] verbs [get]"), "{:?}", found.missed);
    // The server says of another one that it is not there.
    assert_eq!(found.hidden.iter().map(String::as_str).collect::<Vec<_>>(), ["closed"]);
    assert_eq!(found.takers_hidden(), None);
    assert!(found.refused);
    // Once before the pods that are judged, and once after them.
    assert_eq!((recorded.count(&of("anthropic")), recorded.count(&path("api/v1/pods"))), (2, 2));
    assert_eq!(recorded.count(&of("closed")), 1, "an answer that refuses stays the same");
    assert!(recorded.asked().iter().all(|request| !request.contains("..")), "{:?}", recorded.asked());
}

#[tokio::test]
async fn no_more_than_200_secrets_are_read_by_their_names() {
    let recorded = Recorded::new();
    recorded.refuses("api/v1/secrets");
    let pods: Vec<Value> = (0..201).map(|at| pod(&format!("p{at:03}"), &format!("s{at:03}"))).collect();
    recorded.lists("api/v1/pods", &pods);
    for at in 0..201 {
        let name = format!("s{at:03}");
        let answer = (200, secret(&name, "1", &alphanumeric(32)));
        recorded.answers(&format!("{}/{name}", path("api/v1/secrets")), &[answer]);
    }
    let found = read_all(&recorded).await.unwrap();
    assert_eq!(found.secrets.len(), 200);
    assert_eq!(found.missed.last().unwrap().what, "Secret s200 in shop");
    assert!(found.hidden.contains("s200") && found.hidden.len() == 1, "{:?}", found.hidden);
}

#[tokio::test]
async fn a_list_of_several_pages_begins_anew_if_its_position_expired() {
    let recorded = Recorded::new();
    let page = |names: &[&str], token| {
        let items: Vec<Value> = names.iter().map(|name| pod(name, "anthropic")).collect();
        (200, list(&items, token))
    };
    let (pods, second) = (path("api/v1/pods"), format!("{}?continue=t1", path("api/v1/pods")));
    recorded.answers(&pods, &[page(&["a", "b"], Some("t1"))]);
    recorded.answers(&second, &[(410, status(410, "the token is too old")), page(&["c"], None)]);
    let said = Mutex::new(Vec::new());
    let progress = |text: &str| said.lock().unwrap().push(text.to_owned());
    let found = read(&recorded.cluster(), &progress).await.unwrap();
    assert_eq!(found.pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((recorded.count(&pods), recorded.count(&second)), (2, 2));
    let said = said.into_inner().unwrap();
    assert!(said.contains(&"reading pods, 2 so far …".to_owned()), "{said:?}");

    recorded.answers(&second, &[(410, status(410, "the token is too old"))]);
    let failure = read_all(&recorded).await.err().unwrap();
    assert_eq!(failure.class, Class::Retryable);
    assert_eq!(recorded.count(&second), 2 + 4, "the first time, and three times anew");
}

#[tokio::test]
async fn a_list_that_leads_to_the_same_page_again_is_given_up() {
    let recorded = Recorded::new();
    let (pods, second) = (path("api/v1/pods"), format!("{}?continue=t1", path("api/v1/pods")));
    for request in [&pods, &second] {
        recorded.answers(request, &[(200, list(&[], Some("t1")))]);
    }
    let failure = read_all(&recorded).await.err().unwrap();
    assert_eq!(failure.class, Class::Retryable);
    assert_eq!((recorded.count(&pods), recorded.count(&second)), (1, 1));
}

#[test]
fn the_texts_of_what_is_kept_have_a_weight() {
    let text = "x".repeat(1_000);
    let map = json!({ "metadata": { "name": "m" }, "data": { "a": text }, "binaryData": { "b": "AAE=" } });
    assert_eq!(objects::config_map(serde_json::from_value(map).unwrap()).weight(), 1_002);
    let mut agent = pod("agent", "anthropic");
    let env = agent["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.push(json!({ "name": "MODE", "value": text }));
    let seen = objects::pod(&serde_json::from_value(agent).unwrap(), &|_: &From| None);
    assert_eq!(seen.weight(), 1_000);
}

#[tokio::test]
async fn kinds_that_are_not_installed_are_not_asked_for_and_not_missed() {
    let recorded = Recorded::new();
    let found = read_all(&recorded).await.unwrap();
    assert!(found.missed.is_empty(), "{:?}", found.missed);
    let others = ["external-secrets.io", "argoproj.io", "csi"];
    assert!(!recorded.asked().iter().any(|request| others.iter().any(|other| request.contains(other))));

    // A server that does not say which kinds it has is asked for each.
    recorded.answers("/apis", &[(403, status(403, "forbidden"))]);
    let found = read_all(&recorded).await.unwrap();
    assert!(found.missed.is_empty(), "{:?}", found.missed);
    assert_eq!(recorded.count(&path("apis/external-secrets.io/v1beta1/externalsecrets")), 1);
}

#[tokio::test]
async fn a_kind_that_may_not_be_listed_is_missed_only_if_it_is_there() {
    let recorded = Recorded::new();
    recorded.answers("/apis", &[(200, groups(&[("argoproj.io", "v1alpha1")]))]);
    recorded.refuses("apis/argoproj.io/v1alpha1/rollouts");
    let kinds = |name: &str| {
        let kind =
            json!({ "name": name, "singularName": "", "namespaced": true, "kind": name, "verbs": ["list"] });
        (200, json!({ "groupVersion": "argoproj.io/v1alpha1", "resources": [kind] }))
    };
    // Argo CD has the group, too.
    recorded.answers("/apis/argoproj.io/v1alpha1", &[kinds("applications")]);
    let found = read_all(&recorded).await.unwrap();
    assert!(found.missed.is_empty() && !found.refused, "{:?}", found.missed);

    recorded.answers("/apis/argoproj.io/v1alpha1", &[kinds("rollouts")]);
    let found = read_all(&recorded).await.unwrap();
    assert_eq!(found.missed.iter().map(|one| &*one.what).collect::<Vec<_>>(), ["rollouts in shop"]);
    assert!(found.refused);
}

#[tokio::test]
async fn an_installed_kind_that_fails_does_not_fail_the_rest() {
    let recorded = Recorded::new();
    recorded.answers("/apis", &[(200, groups(&[("external-secrets.io", "v1beta1")]))]);
    let external = path("apis/external-secrets.io/v1beta1/externalsecrets");
    recorded.answers(&external, &[(500, status(500, "the conversion webhook failed"))]);
    let found = read_all(&recorded).await.unwrap();
    assert_eq!(found.missed.iter().map(|one| &*one.what).collect::<Vec<_>>(), ["externalsecrets in shop"]);
    assert!(!found.refused);
}

#[tokio::test]
async fn a_secret_that_changes_between_the_reads_is_read_again_and_the_pods_after_it() {
    let (recorded, old, new) = (Recorded::new(), alphanumeric(32), alphanumeric(32));
    recorded.lists("api/v1/secrets", &[secret("anthropic", "7", &old)]);
    recorded.answers(&versions(), &[(200, list(&[secret("anthropic", "8", &new)], None))]);
    let by_name = format!("{}/anthropic", path("api/v1/secrets"));
    recorded.answers(&by_name, &[(200, secret("anthropic", "8", &new))]);
    recorded.lists("api/v1/pods", &[pod("agent-1", "anthropic")]);
    let found = read_all(&recorded).await.unwrap();
    assert_eq!(value(&found), new.as_bytes());
    assert!(!found.secrets[0].changed.is_empty() && found.missed.is_empty());
    let asked = recorded.asked();
    let again = asked.iter().position(|request| *request == by_name).unwrap();
    assert!(asked[again..].contains(&path("api/v1/pods")), "the pods are read after it: {asked:?}");
    assert_eq!(recorded.count(&versions()), 2);
}

#[tokio::test]
async fn a_config_map_that_is_written_while_it_is_read_has_no_time() {
    let recorded = Recorded::new();
    let map = |name: &str, version: &str| {
        let written = json!({
            "manager": "kubectl-patch", "operation": "Update", "apiVersion": "v1", "time": "2026-07-01T10:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:key": {} } },
        });
        let metadata = json!({
            "name": name, "resourceVersion": version, "creationTimestamp": "2026-07-01T09:00:00Z",
            "managedFields": [written],
        });
        json!({ "metadata": metadata, "data": { "key": "on" } })
    };
    recorded.lists("api/v1/configmaps", &[map("calm", "7"), map("gone", "9"), map("written", "8")]);
    let again = format!("{} metadata", path("api/v1/configmaps"));
    recorded.answers(&again, &[(200, list(&[map("calm", "7"), map("written", "10")], None))]);
    let mut taker = pod("agent-1", "anthropic");
    let from = json!({ "configMapKeyRef": { "name": "calm", "key": "key" } });
    taker["spec"]["containers"][0]["env"][0]["valueFrom"] = from;
    recorded.lists("api/v1/pods", &[taker]);
    let found = read_all(&recorded).await.unwrap();
    let timed = |name: &str| !found.config_map(name).unwrap().changed.is_empty();
    assert_eq!(["calm", "gone", "written"].map(timed), [true, false, false]);
    let asked = recorded.asked();
    let at = |request: &str| asked.iter().position(|one| one == request).unwrap();
    assert!(at(&path("api/v1/pods")) < at(&again), "{asked:?}");
}

#[tokio::test]
async fn a_secret_that_is_deleted_between_the_reads_is_none() {
    let recorded = Recorded::new();
    recorded.lists("api/v1/secrets", &[secret("anthropic", "7", &alphanumeric(32))]);
    recorded.answers(&versions(), &[(200, list(&[], None))]);
    let found = read_all(&recorded).await.unwrap();
    assert!(found.secrets.is_empty() && found.missed.is_empty());
}

#[tokio::test]
async fn a_secret_that_is_written_again_and_again_makes_nobody_current() {
    let recorded = Recorded::new();
    let version = |version: &str| secret("anthropic", version, &alphanumeric(32));
    recorded.lists("api/v1/secrets", &[version("1")]);
    let listed = ["2", "3", "4"].map(|at| (200, list(&[version(at)], None)));
    recorded.answers(&versions(), &listed);
    let by_name = format!("{}/anthropic", path("api/v1/secrets"));
    recorded.answers(&by_name, &["2", "3", "4"].map(|at| (200, version(at))));
    let found = read_all(&recorded).await.unwrap();
    assert!(found.secrets[0].changed.is_empty(), "no time, no verdict");
    assert_eq!(
        found.missed.iter().map(|one| &*one.what).collect::<Vec<_>>(),
        ["the last change of Secret anthropic in shop"]
    );
    assert_eq!(recorded.count(&path("api/v1/pods")), ROUNDS_MAX);
}

#[tokio::test]
async fn a_secret_that_changed_and_may_not_be_read_again_makes_nobody_current() {
    let recorded = Recorded::new();
    recorded.lists("api/v1/secrets", &[secret("anthropic", "1", &alphanumeric(32))]);
    recorded.answers(&versions(), &[(200, list(&[secret("anthropic", "2", &alphanumeric(32))], None))]);
    let by_name = format!("{}/anthropic", path("api/v1/secrets"));
    recorded.answers(&by_name, &[(403, status(403, "secrets is forbidden"))]);
    let found = read_all(&recorded).await.unwrap();
    assert!(found.secrets[0].changed.is_empty() && found.refused);
    assert_eq!(found.missed.iter().map(|one| &*one.what).collect::<Vec<_>>(), ["Secret anthropic in shop"]);
}

#[tokio::test]
async fn a_login_that_is_not_accepted_fails_at_once() {
    let recorded = Recorded::new();
    recorded.answers("/apis", &[(401, status(401, "Unauthorized"))]);
    let failure = read_all(&recorded).await.err().unwrap();
    assert_eq!(failure.class, Class::Retryable);
    assert!(failure.help.is_some());
    assert_eq!(recorded.asked().len(), 1);
}

#[tokio::test]
async fn a_login_that_expires_meanwhile_fails_instead_of_an_incomplete_result() {
    let recorded = Recorded::new();
    recorded.answers(&path("apis/batch/v1/jobs"), &[(401, status(401, "Unauthorized"))]);
    assert_eq!(read_all(&recorded).await.err().unwrap().class, Class::Retryable);
}

#[tokio::test]
async fn a_login_that_may_list_nothing_gets_the_first_refusal() {
    let recorded = Recorded::default();
    for kind in ["secrets", "pods", "configmaps", "serviceaccounts"] {
        recorded.refuses(&format!("api/v1/{kind}"));
    }
    for kind in ["apps/v1/replicasets", "apps/v1/deployments", "apps/v1/statefulsets", "apps/v1/daemonsets"] {
        recorded.refuses(&format!("apis/{kind}"));
    }
    for kind in ["jobs", "cronjobs"] {
        recorded.refuses(&format!("apis/batch/v1/{kind}"));
    }
    let failure = read_all(&recorded).await.err().unwrap();
    assert_eq!(failure.attempted, "list secrets in shop");
    assert_eq!(failure.class, Class::Permanent);
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_not_an_empty_one_and_is_not_repeated() {
    let value = alphanumeric(40);
    let broken =
        json!({ "items": [{ "metadata": { "name": "a" }, "data": { "key": format!("%{value}") } }] });
    let broken = broken.to_string();
    // What the reader of JSON expects here is a map: it says which text it found instead.
    let text = json!({ "items": [{ "metadata": { "name": "a" }, "data": value.clone() }] }).to_string();
    for answer in ["<html>", "{}", r#"{"kind":"Status"}"#, "", &broken, &text] {
        let recorded = Recorded::new();
        recorded.says(&path("api/v1/secrets"), answer);
        let failure = read_all(&recorded).await.err().unwrap();
        let shown = format!("{failure} {:?} {:?}", failure.source, failure.help);
        assert!(!shown.contains(&value), "{shown}");
    }
}

#[tokio::test]
async fn a_list_whose_last_object_is_broken_is_not_kept_in_part() {
    let recorded = Recorded::new();
    let broken = json!({ "metadata": { "name": "b" }, "spec": "broken" });
    recorded.lists("api/v1/pods", &[pod("a", "anthropic"), broken]);
    assert!(read_all(&recorded).await.is_err());
    // A kind without which the namespace is read has none of its objects.
    let recorded = Recorded::new();
    recorded.answers("/apis", &[(200, groups(&[("argoproj.io", "v1alpha1")]))]);
    let broken = json!({ "metadata": { "name": "b" }, "spec": "broken" });
    recorded.lists("apis/argoproj.io/v1alpha1/rollouts", &[workload("a", "anthropic"), broken]);
    let found = read_all(&recorded).await.unwrap();
    assert!(found.workloads.is_empty());
    assert_eq!(found.missed.iter().map(|one| &*one.what).collect::<Vec<_>>(), ["rollouts in shop"]);
}

#[tokio::test]
async fn pods_of_one_maker_share_what_they_take_if_it_is_the_same() {
    let recorded = Recorded::new();
    let of = |name: &str, maker: &str, secret: &str| {
        let mut pod = pod(name, secret);
        let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": maker, "uid": maker });
        pod["metadata"]["ownerReferences"] = json!([owner]);
        pod["metadata"]["ownerReferences"][0]["controller"] = json!(true);
        pod
    };
    let all = [of("a1", "a", "one"), of("b1", "b", "one"), of("a2", "a", "one"), of("a3", "a", "two")];
    recorded.lists("api/v1/pods", &all);
    let pods = read_all(&recorded).await.unwrap().pods;
    let taken = |pod: &model::Pod| match &pod.takes[0].from {
        From::Secret { name, .. } => name.clone(),
        From::Map { .. } | From::Text(_) | From::Class(_) => String::new(),
    };
    assert_eq!(pods.iter().map(taken).collect::<Vec<_>>(), ["one", "one", "one", "two"]);
    let same = |pod: &model::Pod| Arc::ptr_eq(&pod.takes, &pods[0].takes);
    assert_eq!(pods.iter().map(same).collect::<Vec<_>>(), [true, false, true, false]);
}

#[tokio::test]
async fn an_empty_list_of_go_is_an_empty_list() {
    let recorded = Recorded::new();
    recorded.says(&path("api/v1/pods"), r#"{"kind":"PodList","metadata":{},"items":null}"#);
    assert!(read_all(&recorded).await.unwrap().pods.is_empty());
}

#[tokio::test]
async fn a_namespace_without_its_service_account_is_said_not_to_exist() {
    let recorded = Recorded::new();
    recorded.lists("api/v1/serviceaccounts", &[]);
    let found = read_all(&recorded).await.unwrap();
    assert_eq!(found.missed.iter().map(|one| &*one.what).collect::<Vec<_>>(), ["namespace shop"]);
}

#[tokio::test]
async fn no_more_than_20_000_objects_of_a_kind_are_kept() {
    let recorded = Recorded::new();
    let maps: Vec<Value> =
        (0..20_001).map(|at| json!({ "metadata": { "name": format!("m{at}") } })).collect();
    recorded.lists("api/v1/configmaps", &maps);
    let found = read_all(&recorded).await.unwrap();
    assert_eq!(found.config_maps.len(), 20_000);
    assert_eq!(found.missed[0].what, "the rest of the configmaps in shop");
    assert_eq!(found.missed[0].why, "there are more than 20,000; the first 20,000 are read");
}

#[tokio::test]
async fn a_namespace_of_a_hundred_workloads_takes_at_most_16_requests() {
    let recorded = Recorded::new();
    let named = |at: usize| format!("w{at:03}");
    let secrets: Vec<Value> = (0..100).map(|at| secret(&named(at), "1", &alphanumeric(32))).collect();
    let pods: Vec<Value> = (0..300).map(|at| pod(&format!("p{at:03}"), &named(at % 100))).collect();
    let workloads: Vec<Value> = (0..100).map(|at| workload(&named(at), &named(at))).collect();
    recorded.lists("api/v1/secrets", &secrets);
    recorded.lists("api/v1/pods", &pods);
    recorded.lists("apis/apps/v1/deployments", &workloads);
    recorded.lists("apis/apps/v1/replicasets", &workloads);
    let all =
        [("external-secrets.io", "v1"), ("secrets-store.csi.x-k8s.io", "v1"), ("argoproj.io", "v1alpha1")];
    recorded.answers("/apis", &[(200, groups(&all))]);
    let found = read_all(&recorded).await.unwrap();
    assert_eq!((found.secrets.len(), found.pods.len(), found.workloads.len()), (100, 300, 200));
    assert!(recorded.asked().len() <= 16, "{:?}", recorded.asked());
}
