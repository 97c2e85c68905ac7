//! The Roles that keyroll needs in a cluster: in each namespace what the secrets of the configuration ask for there, and no
//! more.
//!
//! Invariant, by what is absent: no rule is for every resource, every verb or every namespace; nothing is executed in a pod,
//! and no log is read.

mod account;
mod needed;
mod render;

use std::collections::BTreeMap;

use keyroll_config::Config;
use serde_json::{Value, json};

use account::RBAC;
pub use account::{Account, Rule};
use needed::Needed;

/// A Role and a RoleBinding for each namespace in which keyroll needs something.
pub fn roles(config: &Config, account: &Account) -> Vec<Value> {
    let mut all = Vec::new();
    for (namespace, rules) in rules(config, account) {
        let metadata = json!({ "name": account.name, "namespace": namespace });
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        all.push(json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "Role",
            "metadata": metadata,
            "rules": rules,
        }));
        all.push(json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": { "apiGroup": RBAC, "kind": "Role", "name": account.name },
            "subjects": [{
                "kind": "ServiceAccount",
                "name": account.name,
                "namespace": account.namespace,
            }],
        }));
    }
    all
}

/// The same as YAML; before each rule a comment says what it is for.
pub fn roles_yaml(config: &Config, account: &Account) -> String {
    let all = rules(config, account);
    let all = all.iter().map(|(namespace, rules)| render::role(account, namespace, rules));
    all.collect::<Vec<_>>().join("---\n")
}

/// The rules by namespace.
fn rules(config: &Config, account: &Account) -> BTreeMap<String, Vec<Rule>> {
    let needed = Needed::by_namespace(config, account);
    needed.into_iter().map(|(namespace, needed)| (namespace, needed.rules())).collect()
}

fn rule(rule: &Rule) -> Value {
    let mut made = json!({
        "apiGroups": [rule.api_group],
        "resources": rule.resources,
        "verbs": rule.verbs,
    });
    if let Some(keys) = made.as_object_mut().filter(|_| !rule.names.is_empty()) {
        keys.insert("resourceNames".to_owned(), json!(rule.names));
    }
    made
}

#[cfg(test)]
mod tests;
