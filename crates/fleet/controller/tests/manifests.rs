//! The Roles of the manifests are those that keyroll prints for the example: neither can change without the other.

use std::fs;
use std::path::Path;

use keyroll_config::Config;
use keyroll_controller::{Account, roles};
use serde_json::{Value, json};

/// The documents of a file of the manifests.
#[track_caller]
fn documents(name: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/kubernetes").join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The base file of `overlay`, with the example's object as the table that it becomes: its consumers have their host.
fn config() -> Config {
    let base = documents("overlay/configmap.yaml").remove(0);
    let object = documents("example/secretrotation.yaml").remove(0);
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    let name = format!("{namespace}.{}", object["metadata"]["name"].as_str().unwrap());
    let mut spec = object["spec"].clone();
    for consumer in spec["consumers"].as_array_mut().unwrap() {
        consumer["host"] = json!("shop");
    }
    let table = toml::Table::try_from(json!({ "secrets": { name: spec } })).unwrap();
    let table = toml::to_string(&table).unwrap();
    let text = format!("{}\n{table}", base["data"]["base.toml"].as_str().unwrap());
    Config::parse(&text, "/var/lib/keyroll/config/keyroll.toml")
        .unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

/// The Role and the RoleBinding that keyroll prints for a namespace of the example.
fn printed(namespace: &str) -> Vec<Value> {
    let account = Account {
        namespace: "keyroll".to_owned(),
        name: "keyroll".to_owned(),
        home: "keyroll".to_owned(),
        follows: vec!["shop".to_owned()],
        everywhere: false,
    };
    let all = roles(&config(), &account);
    let all: Vec<Value> = all.into_iter().filter(|one| one["metadata"]["namespace"] == namespace).collect();
    assert_eq!(all.iter().map(|one| &one["kind"]).collect::<Vec<_>>(), ["Role", "RoleBinding"]);
    all
}

/// Compares what both give; the first rule that differs is shown.
#[track_caller]
fn are_one(found: &Value, printed: &Value) {
    let rules = |role: &Value| role["rules"].as_array().cloned().unwrap_or_default();
    for (found, printed) in rules(found).iter().zip(&rules(printed)) {
        assert_eq!(found, printed);
    }
    for part in ["apiVersion", "kind", "rules", "roleRef", "subjects"] {
        assert_eq!(found.get(part), printed.get(part), "{part}");
    }
    assert_eq!(found["metadata"]["name"], printed["metadata"]["name"]);
}

#[test]
fn the_role_of_a_followed_namespace_is_the_one_that_its_example_needs() {
    let printed = printed("shop");
    let found = [documents("namespace/role.yaml"), documents("namespace/rolebinding.yaml")].concat();
    assert_eq!(found.len(), printed.len());
    for (found, printed) in found.iter().zip(&printed) {
        are_one(found, printed);
    }
}

#[test]
fn the_role_of_keyrolls_own_namespace_is_the_one_that_its_lease_needs() {
    let printed = printed("keyroll");
    let found = documents("base/role.yaml");
    assert_eq!(found.len(), printed.len());
    for (found, printed) in found.iter().zip(&printed) {
        are_one(found, printed);
        assert_eq!(found["metadata"]["namespace"], "keyroll");
    }
}
