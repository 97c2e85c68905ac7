//! Makes the nodes refresh the mounted files of a key at once, instead of within about a minute.
//!
//! A node looks at a pod again as soon as an annotation of the pod changes, and refreshes its files then.

use std::time::Duration;

use keyroll_config::WorkloadKind;
use keyroll_port::Failure;
use keyroll_rotation::{FileId, Seq};
use serde::Deserialize as _;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ClusterHost;
use super::api::{OWN, Patched, annotation};
use super::rolled_out::{selector_of, text};
use super::setup::{KeySetup, PodsSetup};
use crate::marks::REFRESH;
use crate::model::{From, Pod, Taking, Way};
use crate::objects;
use crate::read::requests::is_name;

/// How long it may take for all pods of a key. The files of the rest follow by themselves.
const REFRESH_MAX: Duration = Duration::from_secs(10);

impl ClusterHost {
    /// Has the mounted files of a key refreshed in the pods whose program reads them again. Where this does not succeed, the
    /// files follow by themselves, later.
    pub(super) async fn refresh_pods(&self, file: FileId, intent: Seq) {
        let Ok(key) = self.key_setup(file) else { return };
        let all = async {
            for (_, pods) in self.setup.takers_of(file).filter(|(_, pods)| pods.rereads) {
                // A right that is missing for one workload may be there for the next.
                self.refresh_those(key, pods, intent).await.ok();
            }
        };
        tokio::time::timeout(REFRESH_MAX, all).await.ok();
    }

    async fn refresh_those(&self, key: &KeySetup, pods: &PodsSetup, intent: Seq) -> Result<(), Failure> {
        let attempted = format!("refresh the mounted files of {}", pods.object());
        let (api, stamp) = (self.api().await?, self.stamp(intent));
        let workload: Option<Value> = api.get(&api.workload(pods.kind, &pods.workload), &attempted).await?;
        let Some(workload) = workload else { return Ok(()) };
        let all = match pods.kind {
            WorkloadKind::Pod => vec![workload],
            WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::Job => {
                let selector = selector_of(&workload, &attempted)?;
                let listed = api.list::<Value>(&api.path("", "v1", "pods"), &selector, &attempted).await?;
                listed.map(|listed| listed.items).unwrap_or_default()
            }
            // Each of its jobs has the file as it is at its start.
            WorkloadKind::CronJob => Vec::new(),
        };
        for pod in all.iter().filter(|pod| is_refreshed(pod, key)) {
            let path = api.workload(WorkloadKind::Pod, text(pod, "/metadata/name"));
            let patched = api.patch::<IgnoredAny>(&path, annotation(pod, OWN, REFRESH, &stamp), &attempted);
            if let Patched::Overtaken = patched.await? {
                // Its state changed meanwhile.
                let pod: Option<Value> = api.get(&path, &attempted).await?;
                if let Some(pod) = pod.filter(|pod| is_refreshed(pod, key)) {
                    let again = annotation(&pod, OWN, REFRESH, &stamp);
                    api.patch::<IgnoredAny>(&path, again, &attempted).await?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a pod runs and has the key in a file that follows the Secret.
fn is_refreshed(pod: &Value, key: &KeySetup) -> bool {
    let read = k8s_openapi::api::core::v1::Pod::deserialize(pod);
    read.is_ok_and(|read| mounts(&objects::pod(&read, &|_| None), key))
}

fn mounts(pod: &Pod, key: &KeySetup) -> bool {
    let mounted = |taking: &Taking| match (&taking.way, &taking.from) {
        (Way::File(_) | Way::Projected(_), From::Secret { name, key: one }) => {
            key.is_of(name) && one.as_ref().is_none_or(|one| *one == key.key)
        }
        _ => false,
    };
    is_name(&pod.name) && pod.phase == "Running" && !pod.ending && pod.takes.iter().any(mounted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::sample::key;

    /// A pod that mounts a volume with this mount.
    fn pod(volume: Value, mount: Value) -> Value {
        let mut volume = volume;
        volume["name"] = json!("keys");
        let mut mount = mount;
        mount["name"] = json!("keys");
        json!({
            "metadata": { "name": "agent-1", "uid": "u" },
            "spec": { "containers": [{ "name": "app", "volumeMounts": [mount] }], "volumes": [volume] },
            "status": { "phase": "Running" },
        })
    }

    fn whole() -> Value {
        json!({ "mountPath": "/keys" })
    }

    #[test]
    fn a_pod_that_mounts_the_key_is_refreshed() {
        let key = key();
        let all = json!({ "secret": { "secretName": "api" } });
        let one = json!({ "secret": { "secretName": "api", "items": [{ "key": "key", "path": "k" }] } });
        let projected = json!({ "projected": { "sources": [{ "secret": { "name": "api" } }] } });
        for volume in [all, one, projected] {
            assert!(is_refreshed(&pod(volume.clone(), whole()), &key), "{volume}");
        }
    }

    #[test]
    fn a_pod_whose_file_does_not_follow_the_secret_is_left_alone() {
        let key = key();
        let all = json!({ "secret": { "secretName": "api" } });
        let fixed = json!({ "mountPath": "/keys/key", "subPath": "key" });
        assert!(!is_refreshed(&pod(all, fixed), &key));
        let other = json!({ "secret": { "secretName": "api", "items": [{ "key": "other", "path": "k" }] } });
        let another = json!({ "secret": { "secretName": "another" } });
        for volume in [other, another] {
            assert!(!is_refreshed(&pod(volume.clone(), whole()), &key), "{volume}");
        }
        let mut variable = pod(json!({ "emptyDir": {} }), whole());
        variable["spec"]["containers"][0]["env"] =
            json!([{ "name": "K", "valueFrom": { "secretKeyRef": { "name": "api", "key": "key" } } }]);
        assert!(!is_refreshed(&variable, &key));
    }

    #[test]
    fn a_pod_that_does_not_run_any_more_is_left_alone() {
        let volume = json!({ "secret": { "secretName": "api" } });
        let mut ending = pod(volume.clone(), whole());
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:09:00Z");
        assert!(!is_refreshed(&ending, &key()));
        for phase in ["Pending", "Succeeded"] {
            let mut other = pod(volume.clone(), whole());
            other["status"]["phase"] = json!(phase);
            assert!(!is_refreshed(&other, &key()), "{phase}");
        }
    }
}
