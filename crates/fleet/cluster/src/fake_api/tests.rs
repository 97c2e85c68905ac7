use hyper::Method;
use serde_json::{Value, json};

use super::asked::{Asked, decoded};
use super::store::{Answer, path};
use super::{FakeApi, Time};

/// A server with Secret `api`, and its time.
fn server() -> (FakeApi, Time) {
    let time = Time::new();
    let api = FakeApi::new(time.clone());
    let secret = json!({ "metadata": { "name": "api" }, "data": { "a": "MA==", "b": "MQ==" } });
    api.with(|store| store.make("secrets", "kubectl-create", secret));
    time.pass(60_000);
    (api, time)
}

fn ask(api: &FakeApi, method: Method, path: &str, query: &[(&str, &str)], body: &Value) -> Answer {
    let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = body.to_string().into_bytes();
    let asked = Asked { method, path: path.to_owned(), query, metadata: false, body };
    api.with(|store| store.answer(&asked))
}

fn patch(api: &FakeApi, query: &[(&str, &str)], patch: &Value) -> Answer {
    ask(api, Method::PATCH, &path("secrets", "api"), query, patch)
}

fn secret(api: &FakeApi) -> Value {
    api.with(|store| store.get("secrets", "api"))
}

#[test]
fn a_patch_is_made_as_a_whole_or_not_at_all() {
    let (api, _) = server();
    let before = secret(&api);
    let version = before["metadata"]["resourceVersion"].clone();
    let set = json!({ "op": "replace", "path": "/data/a", "value": "Mg==" });
    for wrong in [
        json!({ "op": "test", "path": "/metadata/resourceVersion", "value": "1" }),
        json!({ "op": "test", "path": "/data/b", "value": "MA==" }),
        json!({ "op": "replace", "path": "/data/c", "value": "MA==" }),
        json!({ "op": "remove", "path": "/data/c" }),
        json!({ "op": "add", "path": "/metadata/annotations/x", "value": "y" }),
    ] {
        let (code, status) = patch(&api, &[], &json!([set, wrong]));
        assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")), "{wrong}");
        assert!(status["details"]["causes"].is_null(), "a test that fails names no field");
        assert_eq!(secret(&api), before, "{wrong}");
    }
    let fits = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version });
    let (code, after) = patch(&api, &[], &json!([fits, set]));
    assert_eq!((code, &after), (200, &secret(&api)));
    assert_eq!(after["data"], json!({ "a": "Mg==", "b": "MQ==" }));
    assert_ne!(after["metadata"]["resourceVersion"], version);
}

#[test]
fn a_write_that_changes_nothing_and_a_dry_run_leave_the_object_as_it_is() {
    let (api, _) = server();
    let before = secret(&api);
    let set = |value: &str| json!([{ "op": "replace", "path": "/data/a", "value": value }]);
    assert_eq!(patch(&api, &[], &set("MA==")), (200, before.clone()));
    let (code, shown) = patch(&api, &[("dryRun", "All")], &set("Mg=="));
    assert_eq!((code, &shown["data"]["a"]), (200, &json!("Mg==")));
    assert_eq!(secret(&api), before);
    let all = path("secrets", "");
    let other = json!({ "metadata": { "name": "other" } });
    assert_eq!(ask(&api, Method::POST, &all, &[("dryRun", "All")], &other).0, 201);
    let taken =
        ask(&api, Method::POST, &all, &[("dryRun", "All")], &json!({ "metadata": { "name": "api" } }));
    assert_eq!((taken.0, taken.1["reason"].as_str()), (409, Some("AlreadyExists")));
    assert_eq!(api.with(|store| store.names("secrets")), ["api"]);
}

#[test]
fn the_last_writer_of_a_field_owns_it_since_that_second() {
    let (api, time) = server();
    let by = |name: &str, field: &str, value: &str| {
        let patch_of = json!([{ "op": "replace", "path": field, "value": value }]);
        assert_eq!(patch(&api, &[("fieldManager", name)], &patch_of).0, 200);
    };
    let made = secret(&api)["metadata"]["creationTimestamp"].clone();
    by("one", "/data/a", "Mg==");
    let first = time.text();
    time.pass(5_000);
    by("two", "/data/b", "Mg==");
    by("one", "/data/a", "Mg==");
    let entries = secret(&api)["metadata"]["managedFields"].clone();
    let of = |name: &str| {
        let entry = entries.as_array().unwrap().iter().find(|entry| entry["manager"] == name).unwrap();
        assert_eq!(entry["operation"], "Update");
        (entry["fieldsV1"].clone(), entry["time"].clone())
    };
    let rest = json!({ "f:data": { ".": {} }, "f:type": {} });
    assert_eq!(of("kubectl-create"), (rest, made));
    assert_eq!(of("one"), (json!({ "f:data": { "f:a": {} } }), json!(first)), "the same value is no write");
    assert_eq!(of("two"), (json!({ "f:data": { "f:b": {} } }), json!(time.text())));
}

#[test]
fn an_immutable_secret_keeps_its_content_and_the_refusal_names_the_field() {
    let (api, _) = server();
    let fixed = json!([{ "op": "add", "path": "/immutable", "value": true }]);
    assert_eq!(patch(&api, &[], &fixed).0, 200);
    let (code, status) = patch(&api, &[], &json!([{ "op": "replace", "path": "/data/a", "value": "Mg==" }]));
    assert_eq!((code, &status["details"]["causes"][0]["field"]), (422, &json!("data")));
    let label = json!([{ "op": "add", "path": "/metadata/labels", "value": { "a": "b" } }]);
    assert_eq!(patch(&api, &[], &label).0, 200);
}

#[test]
fn a_list_has_the_objects_that_a_selector_fits_page_by_page() {
    let (api, _) = server();
    api.with(|store| {
        for (name, tier) in [("a", "web"), ("b", "db"), ("c", "web"), ("d", "web")] {
            let meta = json!({ "name": name, "labels": { "tier": tier } });
            store.make("pods", "x", json!({ "metadata": meta }));
        }
    });
    let list = |query: &[(&str, &str)]| {
        let (_, list) = ask(&api, Method::GET, &path("pods", ""), query, &Value::Null);
        let items = list["items"].as_array().unwrap().iter();
        let names: Vec<String> =
            items.map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        (names.concat(), list["metadata"]["continue"].as_str().unwrap().to_owned())
    };
    for (selector, names) in [
        ("", "abcd"),
        ("tier=web", "acd"),
        ("tier!=web", "b"),
        ("tier in (web,db),tier notin (db)", "acd"),
        ("tier", "abcd"),
        ("!tier", ""),
        ("app", ""),
    ] {
        assert_eq!(list(&[("labelSelector", selector)]).0, names, "{selector}");
    }
    let first = list(&[("labelSelector", "tier=web"), ("limit", "2")]);
    assert_eq!(first.0, "ac");
    let next = list(&[("labelSelector", "tier=web"), ("limit", "2"), ("continue", first.1.as_str())]);
    assert_eq!(next, ("d".to_owned(), String::new()));
}

#[test]
fn a_new_template_is_a_new_generation_and_a_new_status_is_none() {
    let (api, _) = server();
    let agent =
        json!({ "metadata": { "name": "agent" }, "spec": { "replicas": 1 }, "status": { "replicas": 1 } });
    api.with(|store| store.make("deployments", "x", agent));
    let generation = || api.with(|store| store.get("deployments", "agent"))["metadata"]["generation"].clone();
    let change = |path_of: &str, value: Value| {
        let patch_of = json!([{ "op": "add", "path": path_of, "value": value }]);
        ask(&api, Method::PATCH, &path("deployments", "agent"), &[], &patch_of)
    };
    change("/metadata/annotations", json!({ "a": "b" }));
    assert_eq!(generation(), 1);
    change("/spec/replicas", json!(2));
    assert_eq!(generation(), 2);
    let (_, after) = change("/status/replicas", json!(2));
    assert_eq!((generation(), &after["status"]["replicas"]), (json!(2), &json!(1)));
}

#[test]
fn what_an_object_owns_goes_with_it_and_a_pod_ends_later() {
    let (api, _) = server();
    let uid = secret(&api)["metadata"]["uid"].clone();
    let owned = json!({ "metadata": { "name": "owned", "ownerReferences": [{ "uid": uid }] } });
    api.with(|store| {
        store.make("configmaps", "x", owned);
        store.make("pods", "x", json!({ "metadata": { "name": "p" } }));
    });
    let delete = |path: &str, body: &Value| ask(&api, Method::DELETE, path, &[], body).0;
    let other = json!({ "preconditions": { "uid": "other" } });
    assert_eq!(delete(&path("secrets", "api"), &other), 409);
    assert_eq!(delete(&path("secrets", "api"), &json!({})), 200);
    assert_eq!(delete(&path("secrets", "api"), &json!({})), 404);
    assert_eq!(api.with(|store| store.names("configmaps")), Vec::<String>::new());
    assert_eq!(delete(&path("pods", "p"), &json!({})), 200);
    assert!(api.with(|store| store.get("pods", "p"))["metadata"]["deletionTimestamp"].is_string());
}

#[test]
fn a_query_is_decoded() {
    assert_eq!(decoded("app%3Dagent%2Ctier+in+%28a%29"), "app=agent,tier in (a)");
}
