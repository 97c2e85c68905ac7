use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What a Secret has besides its content. Source:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    /// Another Secret of the same name has another.
    pub(super) uid: String,
    /// It changes with every write.
    pub(super) resource_version: String,
    /// When it was asked to be deleted.
    pub(super) deletion_timestamp: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// As they stand there: that of `kubectl apply` has the values.
    #[serde(borrow)]
    annotations: Option<BTreeMap<String, &'a RawValue>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Managed>>,
}

/// What a Secret was made by.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerReference {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: Option<bool>,
}

/// The fields that one writer wrote. Source:
/// <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Managed {
    manager: Option<String>,
    time: Option<String>,
    fields_v1: Option<Value>,
}

impl Metadata<'_> {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.annotations.as_ref()?.get(name)?.get()).ok()
    }

    pub(super) fn owners(&self) -> &[OwnerReference] {
        self.owner_references.as_deref().unwrap_or_default()
    }

    /// Who wrote the value of a key, as the API server names them. Several, if they wrote the same value.
    pub(super) fn writers(&self, key: &str) -> impl Iterator<Item = &str> {
        self.managed(key).filter_map(|managed| managed.manager.as_deref())
    }

    fn managed(&self, key: &str) -> impl Iterator<Item = &Managed> {
        let field = format!("f:{key}");
        let all = self.managed_fields.iter().flatten();
        all.filter(move |managed| {
            let data = managed.fields_v1.as_ref().and_then(|fields| fields.get("f:data"));
            data.is_some_and(|data| data.get(&field).is_some())
        })
    }

    /// When the value of a key was written, milliseconds since the Unix epoch; `None` where that is not certain. The API
    /// server has one time for all fields of a writer.
    pub(super) fn changed_ms(&self, key: &str) -> Option<u64> {
        let mut all = self.managed(key);
        let (Some(only), None) = (all.next(), all.next()) else { return None };
        let fields = only.fields_v1.as_ref()?.as_object()?;
        let data = fields.get("f:data")?.as_object()?;
        // The type of a Secret never changes.
        let others = fields.keys().any(|field| field != "f:data" && field != "f:type");
        let keys = data.keys().filter(|field| *field != ".").count();
        if others || keys != 1 {
            return None;
        }
        let time: Timestamp = only.time.as_deref()?.parse().ok()?;
        u64::try_from(time.as_millisecond()).ok()
    }
}
