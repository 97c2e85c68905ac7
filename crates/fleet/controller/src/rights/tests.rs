use super::*;

const GOLDEN: &str = include_str!("golden.yaml");

/// A consumer of each kind in `shop`, a store in `stores`, a consumer at another cluster, and keyroll in `keyroll`.
const CONFIG: &str = r#"version = 1
[hosts.keyroll]
connect = "kube://in-cluster"
[hosts.shop]
connect = "kube://in-cluster/shop"
[hosts.empty]
connect = "kube://in-cluster/empty"
[hosts.far]
connect = "kube://eks/far"

[secrets."shop.anthropic"]
issuer = "anthropic"
admin = "file:./admin.key"

[[secrets."shop.anthropic".consumers]]
name = "agent"
host = "shop"
runs = { deployment = "agent", canary = true }
reads = { secret = "anthropic-credentials", key = "api-key" }
check = { exec = ["/app/agent", "--check"] }

[[secrets."shop.anthropic".consumers]]
name = "again"
host = "shop"
runs = { deployment = "agent-again", rereads = true }
reads = { secret = "anthropic-credentials", key = "api-key" }

[[secrets."shop.anthropic".consumers]]
name = "indexer"
host = "shop"
runs = { statefulset = "indexer" }
reads = { secret = "indexer-key", key = "api-key" }
versioned = true

[[secrets."shop.anthropic".consumers]]
name = "nodes"
host = "shop"
runs = { daemonset = "nodes" }
reads = { secret = "anthropic-credentials", key = "api-key" }

[[secrets."shop.anthropic".consumers]]
name = "nightly"
host = "shop"
runs = { cronjob = "nightly" }
reads = { secret = "123", key = "api-key" }

[[secrets."shop.anthropic".consumers]]
name = "import"
host = "shop"
runs = { job = "import" }
reads = { secret = "anthropic-credentials", key = "api-key" }

[[secrets."shop.anthropic".consumers]]
name = "alone"
host = "shop"
runs = { pod = "alone", rereads = true }
reads = { secret = "anthropic-credentials", key = "api-key" }

[[secrets."shop.anthropic".consumers]]
name = "far"
host = "far"
runs = { deployment = "far" }
reads = { secret = "far", key = "api-key" }

[secrets."shop.synced"]
issuer = "anthropic"
admin = "file:./admin.key"
store = "aws-sm:shop/anthropic"

[[secrets."shop.synced".consumers]]
name = "agent"
host = "shop"
runs = { deployment = "agent" }
reads = { secret = "synced-credentials", key = "api-key" }
synced = true

[secrets.own]
issuer = "anthropic"
admin = "file:./admin.key"
store = "k8s:stores/llm#KEY"
kubernetes = { in_cluster = true }

[secrets.elsewhere]
issuer = "anthropic"
admin = "file:./admin.key"
store = "k8s:elsewhere/llm#KEY"
kubernetes = { context = "eks" }
"#;

fn config(text: &str) -> Config {
    Config::parse(text, "/etc/keyroll/keyroll.toml")
        .unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

fn account() -> Account {
    Account {
        namespace: "keyroll".to_owned(),
        name: "keyroll".to_owned(),
        home: "keyroll".to_owned(),
        follows: vec!["shop".to_owned(), "empty".to_owned()],
        everywhere: false,
    }
}

#[test]
fn each_kind_of_consumer_has_the_rules_that_its_rotation_needs() {
    let found = roles_yaml(&config(CONFIG), &account());
    for (number, (found, wanted)) in found.lines().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(found, wanted, "line {}", number + 1);
    }
    assert_eq!(found, GOLDEN);
}

#[test]
fn the_yaml_has_the_same_roles() {
    let config = config(CONFIG);
    let read: Vec<Value> = serde_saphyr::from_multiple(&roles_yaml(&config, &account())).unwrap();
    assert_eq!(read, roles(&config, &account()));
}

#[test]
fn without_consumers_only_the_objects_and_the_lease_may_be_touched() {
    let config = config("version = 1\n[hosts.keyroll]\nconnect = \"kube://in-cluster/keyroll\"\n");
    let account = Account { follows: vec!["keyroll".to_owned()], ..account() };
    let all = rules(&config, &account);
    assert_eq!(all.keys().collect::<Vec<_>>(), ["keyroll"]);
    let kinds: Vec<&str> = all["keyroll"].iter().flat_map(|rule| rule.resources).copied().collect();
    assert_eq!(kinds, ["secretrotations", "secretrotations/status", "events", "leases", "leases"]);
}

#[test]
fn a_right_for_secrets_is_for_names_unless_a_name_is_made_with_its_secret() {
    let loose = |config: &Config| {
        let rules = rules(config, &account()).into_values().flatten();
        let of_secrets = rules.filter(|rule| rule.resources.contains(&"secrets") && rule.names.is_empty());
        of_secrets.flat_map(|rule| rule.verbs).copied().collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(Vec::from_iter(loose(&config(CONFIG))), ["create", "delete", "get"]);
    let unversioned = config(&CONFIG.replace("versioned = true\n", ""));
    assert_eq!(Vec::from_iter(loose(&unversioned)), ["create"]);
    let check = "check = { exec = [\"/app/agent\", \"--check\"] }\n";
    let unchecked = config(&CONFIG.replace("versioned = true\n", "").replace(check, ""));
    assert!(loose(&unchecked).is_empty());
}

#[test]
fn no_rule_is_for_everything_or_lets_keyroll_into_a_pod() {
    let config = config(CONFIG);
    for rule in rules(&config, &account()).into_values().flatten() {
        let words = rule.resources.iter().chain(rule.verbs).copied().chain([rule.api_group]);
        for word in words.chain(rule.names.iter().map(String::as_str)) {
            assert!(!word.contains('*'), "{rule:?}");
        }
        assert!(!rule.names.iter().any(String::is_empty) && rule.names.is_sorted(), "{rule:?}");
        let into = |kind: &&&str| kind.starts_with("pods/") || kind.ends_with("/token");
        assert_eq!(rule.resources.iter().find(into), None, "{rule:?}");
        assert!(!rule.verbs.contains(&"deletecollection"), "{rule:?}");
        assert!(!rule.why.is_empty(), "{rule:?}");
    }
    for role in roles(&config, &account()) {
        assert!(role["kind"] == "Role" || role["kind"] == "RoleBinding", "{role}");
        assert!(role["metadata"]["namespace"].is_string(), "{role}");
    }
}
