//! The CustomResourceDefinition of `SecretRotation`.
//!
//! The schema of `spec` is made from that of keyroll.toml. It names the keys and their types, for `kubectl explain` and for
//! the API server, which refuses a value of another type. Unknown keys are kept, so that keyroll sees them and refuses them by
//! name, instead of never knowing that they were written.

mod status;
mod structural;

use serde_json::{Value, json};

use crate::object::{GROUP, KIND, PLURAL, VERSION};

/// The same as a text: a test compares both.
pub const CRD_YAML: &str = include_str!("../../../../deploy/kubernetes/base/crd.yaml");

/// The CustomResourceDefinition.
pub fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{PLURAL}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": PLURAL,
                "singular": KIND.to_ascii_lowercase(),
                "kind": KIND,
                "listKind": format!("{KIND}List"),
                "shortNames": ["srot"],
                "categories": ["keyroll"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": columns(),
                "schema": { "openAPIV3Schema": whole() },
            }],
        },
    })
}

/// What `kubectl get` shows. The date of `due` is a text: kubectl shows a date as an age, and this one is in the future.
fn columns() -> Value {
    let text = |name: &str, path: &str| json!({ "name": name, "type": "string", "jsonPath": path });
    json!([
        text("Phase", ".status.phase"),
        text("Version", ".status.version"),
        text("Rotation", ".status.rotation.phase"),
        text("Old Key", ".status.rotation.oldKey"),
        text("Due", ".status.due"),
        { "name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1 },
        { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
    ])
}

/// The schema of an object.
fn whole() -> Value {
    json!({
        "type": "object",
        "description": "A credential that keyroll rotates, and the pods that use it.",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": structural::spec(),
            "status": status::status(),
        },
    })
}

#[cfg(test)]
mod tests;
