//! From the objects of the API to the model.

mod installed;
mod pod;
mod workload;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use keyroll_kube::{LAST_APPLIED, annotation, owner};
use keyroll_secret::SecretBytes;

use crate::changed::{changed, made_at_once, seconds};
use crate::marks::{PROBE, VERSION_OF};
use crate::model::{MapSeen, SecretSeen};

pub(crate) use self::installed::{external_secret, pod_status, rollout};
pub(crate) use self::pod::pod;
pub(crate) use self::workload::{cron_job, daemon_set, deployment, job, replica_set, stateful_set};

/// A Secret; its values are moved.
pub(crate) fn secret(secret: Secret) -> SecretSeen {
    let mut meta = secret.metadata;
    let data = secret.data.unwrap_or_default();
    let last_applied = meta.annotations.as_mut().and_then(|annotations| annotations.remove(LAST_APPLIED));
    SecretSeen {
        changed: changed(&meta, data.keys()),
        made_at_once: made_at_once(&meta),
        owner: owner(&meta, None),
        version_of: annotation(&meta, VERSION_OF).map(str::to_owned),
        of_probe: meta.labels.as_ref().is_some_and(|labels| labels.contains_key(PROBE)),
        created: meta.creation_timestamp.as_ref().map(seconds),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        kind: secret.type_.unwrap_or_default(),
        immutable: secret.immutable.unwrap_or_default(),
        data: data.into_iter().map(|(key, value)| (key, SecretBytes::new(value.0))).collect(),
        last_applied: last_applied.map(|text| SecretBytes::new(text.into_bytes())),
    }
}

/// A ConfigMap; its texts are moved.
pub(crate) fn config_map(map: ConfigMap) -> MapSeen {
    let texts = map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
    let data: BTreeMap<String, SecretBytes> =
        texts.chain(binary).map(|(key, bytes)| (key, SecretBytes::new(bytes))).collect();
    let meta = map.metadata;
    MapSeen {
        changed: changed(&meta, data.keys()),
        made_at_once: made_at_once(&meta),
        created: meta.creation_timestamp.as_ref().map(seconds),
        version: meta.resource_version,
        name: meta.name.unwrap_or_default(),
        immutable: map.immutable.unwrap_or_default(),
        data,
    }
}

/// The name of a service account and the Secrets with which its pods pull images.
pub(crate) fn service_account(account: &ServiceAccount) -> (String, Vec<String>) {
    let secrets = account.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone());
    let named = secrets.filter(|name| !name.is_empty()).collect();
    (account.metadata.name.clone().unwrap_or_default(), named)
}

#[cfg(test)]
mod tests {
    use keyroll_kube::Owner;
    use keyroll_testkit::alphanumeric;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_has_its_values_decoded_and_the_copy_of_kubectl() {
        let applied = alphanumeric(24);
        let time = "2026-01-01T00:00:00Z";
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
            "data": {"key": "c2VjcmV0IGtleQ=="},
            "metadata": {
                "name": "api", "creationTimestamp": time,
                "annotations": {LAST_APPLIED: applied},
                "labels": {"argocd.argoproj.io/instance": "shop"},
                "managedFields": [{"manager": "m", "operation": "Update", "time": time, "fieldsV1": {"f:data": {"f:key": {}}}}],
            },
        });
        let seen = secret(serde_json::from_value(object).unwrap());
        assert_eq!((seen.name.as_str(), seen.kind.as_str()), ("api", "Opaque"));
        assert!(seen.immutable);
        assert_eq!(seen.created, Some(1_767_225_600));
        assert!(seen.data.get("key").unwrap().expose() == b"secret key");
        assert!(seen.last_applied.unwrap().expose() == applied.as_bytes());
        assert_eq!(seen.changed.get("key").unwrap().at, 1_767_225_600);
        assert_eq!(seen.owner, Some(Owner::ArgoCd("shop".to_owned())));
    }

    #[test]
    fn a_config_map_has_its_texts_and_its_bytes() {
        let text = alphanumeric(24);
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
            "metadata": {
                "name": "app", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": [
                    {"manager": "m", "operation": "Update", "time": "2026-01-01T00:00:05Z",
                     "fieldsV1": {"f:data": {"f:text": {}}}},
                    {"manager": "n", "operation": "Update", "time": "2026-01-01T00:00:09Z",
                     "fieldsV1": {"f:binaryData": {"f:bytes": {}}}},
                ],
            },
            "data": {"text": text}, "binaryData": {"bytes": "AAE="},
        });
        let seen = config_map(serde_json::from_value(object).unwrap());
        assert_eq!(seen.name, "app");
        assert!(seen.data.get("text").unwrap().expose() == text.as_bytes());
        assert!(seen.data.get("bytes").unwrap().expose() == [0, 1]);
        assert!(seen.immutable && seen.created == Some(1_767_225_600));
        let changed = |key: &str| seen.changed.get(key).map(|one| (one.at - 1_767_225_600, one.by.as_str()));
        assert_eq!((changed("text"), changed("bytes")), (Some((5, "m")), Some((9, "n"))));
    }

    #[test]
    fn a_service_account_has_the_secrets_for_its_images() {
        let object = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"},
            "imagePullSecrets": [{"name": "registry"}, {}],
        });
        let account = service_account(&serde_json::from_value(object).unwrap());
        assert_eq!(account, ("runner".to_owned(), vec!["registry".to_owned()]));
    }
}
