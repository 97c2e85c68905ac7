//! Which fields of a Secret a writer owns: the API server keeps it in `managedFields`, one entry for each writer.
//!
//! Form: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/> (`managedFields`), where
//! `f:NAME` is a field and `.` stands for the field itself, apart from what is in it.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// What of a Secret one entry owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned {
    /// It may own every key: the entry does not name them, or has another form.
    Any,
    /// These keys, and possibly the type and other fields of the object.
    Keys {
        /// Their names, without `f:`.
        keys: BTreeSet<String>,
        /// Whether it owns the type, as whoever creates a Secret does. The type never changes.
        typed: bool,
        /// Whether it owns yet another field.
        others: bool,
    },
}

impl Owned {
    /// What this entry owns.
    pub fn of(entry: &ManagedFieldsEntry) -> Self {
        Self::named(entry).unwrap_or(Self::Any)
    }

    fn named(entry: &ManagedFieldsEntry) -> Option<Self> {
        if entry.fields_type.as_deref().is_some_and(|form| form != "FieldsV1") {
            return None;
        }
        let (mut keys, mut typed, mut others) = (BTreeSet::new(), false, false);
        for (field, below) in entry.fields_v1.as_ref()?.0.as_object()? {
            match field.as_str() {
                // An apply with `stringData` owns it under that name, although the API server stores it as `data`.
                "f:data" | "f:stringData" | "f:binaryData" => keys.extend(keys_below(below)?),
                "." => {}
                "f:type" => typed = true,
                _ => others = true,
            }
        }
        Some(Self::Keys { keys, typed, others })
    }

    /// Whether the writer may own this key.
    pub fn may_have(&self, key: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Keys { keys, .. } => keys.contains(key),
        }
    }

    /// Whether the writer owns this key for certain.
    pub fn names(&self, key: &str) -> bool {
        !matches!(self, Self::Any) && self.may_have(key)
    }

    /// Whether the writer owns this key and no other field.
    pub fn is_only(&self, key: &str) -> bool {
        self.is_all_that_changes(key) && !self.has_others()
    }

    /// Whether the writer owns this key and no other field that can change.
    pub fn is_all_that_changes(&self, key: &str) -> bool {
        match self {
            Self::Any => false,
            Self::Keys { keys, others, .. } => !others && keys.len() == 1 && keys.contains(key),
        }
    }

    /// Whether the writer surely owns another field than keys.
    pub fn has_others(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Keys { typed, others, .. } => *typed || *others,
        }
    }

    /// Whether the writer may own a key at all.
    pub fn has_keys(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Keys { keys, .. } => !keys.is_empty(),
        }
    }
}

/// The keys that stand below `f:data`. `None`: there are none, or they have another form.
fn keys_below(data: &Value) -> Option<Vec<String>> {
    let fields = data.as_object()?.keys().filter(|field| *field != ".");
    let keys: Vec<String> =
        fields.map(|field| Some(field.strip_prefix("f:")?.to_owned())).collect::<Option<_>>()?;
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned(fields: Value) -> Owned {
        let mut entry = json!({"manager": "m", "operation": "Update", "fieldsType": "FieldsV1"});
        entry["fieldsV1"] = fields;
        Owned::of(&serde_json::from_value(entry).unwrap())
    }

    #[test]
    fn an_entry_owns_the_keys_that_it_names() {
        let data = owned(json!({"f:data": {".": {}, "f:tls.crt": {}}}));
        assert!(data.may_have("tls.crt") && data.is_only("tls.crt") && data.has_keys());
        assert!(!data.may_have("tls.key"));
        let text = owned(json!({"f:stringData": {"f:a": {}}}));
        assert!(text.is_only("a"));
        let both = owned(json!({"f:data": {"f:a": {}, "f:b": {}}}));
        assert!(both.may_have("a") && both.may_have("b") && !both.is_only("a"));
    }

    #[test]
    fn an_entry_with_another_field_owns_not_only_a_key() {
        let labelled = owned(json!({"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}));
        assert!(labelled.may_have("a") && !labelled.is_only("a"));
        let kind = owned(json!({"f:type": {}}));
        assert!(!kind.may_have("a") && !kind.has_keys() && kind.has_others());
        let made = owned(json!({"f:data": {".": {}, "f:a": {}}, "f:type": {}}));
        assert!(!made.is_only("a") && made.is_all_that_changes("a") && !labelled.is_all_that_changes("a"));
    }

    #[test]
    fn an_entry_that_does_not_name_keys_may_own_each() {
        for fields in
            [json!({"f:data": {}}), json!({"f:data": {".": {}}}), json!({"f:data": {"k:a": {}}}), json!("x")]
        {
            assert_eq!(owned(fields.clone()), Owned::Any, "{fields}");
        }
        let other = json!({"manager": "m", "fieldsType": "FieldsV2", "fieldsV1": {"f:type": {}}});
        assert_eq!(Owned::of(&serde_json::from_value(other).unwrap()), Owned::Any);
        assert_eq!(Owned::of(&serde_json::from_value(json!({"manager": "m"})).unwrap()), Owned::Any);
    }
}
