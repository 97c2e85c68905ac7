use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time};
use keyroll_kube::{LAST_APPLIED, Owned};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What a Secret has besides its content, as far as it is used. Source:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    /// As they stand there: that of `kubectl apply` has the values.
    #[serde(borrow)]
    annotations: Option<BTreeMap<String, &'a RawValue>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<ManagedFieldsEntry>>,
}

/// Reads the metadata without the copy of `kubectl apply`, whose values would stay in memory.
pub(super) fn without_values<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let read = Metadata::deserialize(from)?;
    let texts = read.annotations.unwrap_or_default().into_iter().filter(|(name, _)| name != LAST_APPLIED);
    let annotations =
        texts.filter_map(|(name, text)| Some((name, serde_json::from_str::<String>(text.get()).ok()?)));
    Ok(ObjectMeta {
        annotations: Some(annotations.collect()),
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        deletion_timestamp: read.deletion_timestamp,
        labels: read.labels,
        owner_references: read.owner_references,
        managed_fields: read.managed_fields,
        ..ObjectMeta::default()
    })
}

/// When the value of a key was written, milliseconds since the Unix epoch; `None` where that is not certain. The API
/// server has one time for all fields of a writer.
pub(super) fn changed_ms(meta: &ObjectMeta, key: &str) -> Option<u64> {
    let mut all = meta.managed_fields.iter().flatten().filter(|entry| Owned::of(entry).may_have(key));
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let time = only.time.as_ref().filter(|_| Owned::of(only).is_all_that_changes(key))?;
    u64::try_from(time.0.as_millisecond()).ok()
}
