//! A pod and the states of its containers.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/>.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod as Object, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyroll_kube::{annotation, controller};

use crate::changed::seconds;
use crate::marks::{CANARY, CANARY_OF, PROBE};
use crate::model::{Container, Pod};
use crate::takes::{ContainerSpec, Keys, takes};

/// A pod.
pub(crate) fn pod(object: &Object, keys: &Keys<'_>) -> Pod {
    let (meta, spec, status) = (&object.metadata, object.spec.as_ref(), object.status.as_ref());
    let maker = controller(meta).map(|maker| (maker.kind.clone(), maker.name.clone()));
    let canary = if maker.is_none() { canary_of(meta) } else { None };
    Pod {
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().map(seconds),
        node: spec.and_then(|spec| spec.node_name.clone()),
        addresses: spec.zip(status).map(|(spec, status)| addresses(spec, status)).unwrap_or_default(),
        phase: status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned()),
        ending: meta.deletion_timestamp.is_some(),
        canary: canary.is_some(),
        made_by: maker.or_else(|| canary.map(|name| ("Deployment".to_owned(), name.to_owned()))),
        of_probe: meta.labels.as_ref().is_some_and(|labels| labels.contains_key(PROBE)),
        takes: spec.map(|spec| takes(spec, keys).into()).unwrap_or_default(),
        containers: spec.map(|spec| containers(spec, status)).unwrap_or_default(),
    }
}

/// The addresses of a pod; none if it has them together with its node, and with every other such pod there.
fn addresses(spec: &PodSpec, status: &PodStatus) -> BTreeSet<IpAddr> {
    let own = status.pod_ips.iter().flatten().map(|one| one.ip.as_str());
    let own = parsed(own.chain(status.pod_ip.as_deref()));
    let of_node = status.host_ips.iter().flatten().map(|one| one.ip.as_str());
    let of_node = parsed(of_node.chain(status.host_ip.as_deref()));
    let shares = spec.host_network == Some(true) || !own.is_disjoint(&of_node);
    if shares { BTreeSet::new() } else { own }
}

/// The addresses among these texts.
fn parsed<'t>(texts: impl Iterator<Item = &'t str>) -> BTreeSet<IpAddr> {
    texts.filter_map(|text| text.parse::<IpAddr>().ok()).map(|address| address.to_canonical()).collect()
}

/// The Deployment whose template a pod without an owner was made from, to move one pod before the others.
fn canary_of(meta: &ObjectMeta) -> Option<&str> {
    let is_it = meta.labels.as_ref().is_some_and(|labels| labels.contains_key(CANARY));
    annotation(meta, CANARY_OF).filter(|_| is_it)
}

/// The containers of a pod, in the order of their kinds.
fn containers(spec: &PodSpec, status: Option<&PodStatus>) -> Vec<Container> {
    let all = ContainerSpec::all(spec).into_iter();
    all.map(|one| container(one.name, one.init, status)).collect()
}

fn container(name: &str, init: bool, status: Option<&PodStatus>) -> Container {
    let mut container = Container { name: name.to_owned(), init, ..Container::default() };
    let Some(own) = status.and_then(|status| status_of(name, status)) else {
        container.waits = status.and_then(pod_waits);
        return container;
    };
    let state = own.state.as_ref();
    container.running = state.is_some_and(|state| state.running.is_some());
    container.started = state.and_then(started).or_else(|| own.last_state.as_ref().and_then(started));
    container.restarts = own.restart_count;
    container.waits = state.and_then(|state| waits(state, init));
    container
}

/// The names of a pod's containers of all kinds differ.
fn status_of<'a>(name: &str, status: &'a PodStatus) -> Option<&'a ContainerStatus> {
    let all =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// When the run began that the state describes.
fn started(state: &ContainerState) -> Option<i64> {
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    let ended = state.terminated.as_ref().and_then(|ended| ended.started_at.as_ref());
    running.or(ended).map(seconds)
}

/// Why the container does not run. One that initialised the pod and ended well does not wait.
fn waits(state: &ContainerState, init: bool) -> Option<String> {
    if let Some(waiting) = &state.waiting {
        return waiting.reason.clone();
    }
    let ended = state.terminated.as_ref().filter(|ended| !init || ended.exit_code != 0)?;
    ended.reason.clone()
}

/// Why no container of the pod was begun: `Evicted`, `Unschedulable` …
fn pod_waits(status: &PodStatus) -> Option<String> {
    let refused = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.reason.is_some()
    });
    status.reason.clone().or_else(|| refused?.reason.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const MADE: i64 = 1_767_225_600;

    fn time(minute: i64) -> String {
        format!("2026-01-01T00:{minute:02}:00Z")
    }

    fn read(meta: Value, spec: Value, status: Value) -> Pod {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod"});
        object["metadata"] = meta;
        object["spec"] = spec;
        object["status"] = status;
        pod(&serde_json::from_value(object).unwrap(), &|_| None)
    }

    #[test]
    fn a_pod_has_addresses_only_in_a_network_of_its_own() {
        let of = |host_network: bool, mut status: Value| {
            status["phase"] = json!("Running");
            let spec = json!({"containers": [{"name": "app"}], "hostNetwork": host_network});
            let seen = read(json!({"name": "p"}), spec, status);
            seen.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let both = json!({
            "podIP": "10.42.0.7", "podIPs": [{"ip": "10.42.0.7"}, {"ip": "fd00::7"}],
            "hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}],
        });
        assert_eq!(of(false, both.clone()), ["10.42.0.7", "fd00::7"]);
        assert!(of(true, both).is_empty());
        // The field may be absent from what a proxy shows; the addresses say the same.
        for shared in [
            json!({"podIP": "192.0.2.1", "hostIP": "192.0.2.1"}),
            json!({"podIP": "::ffff:192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}]}),
        ] {
            assert!(of(false, shared.clone()).is_empty(), "{shared}");
        }
        assert!(of(false, json!({"podIP": "none yet"})).is_empty() && of(false, json!({})).is_empty());
    }

    /// A container that is in this state, and was in that one before.
    fn in_state(state: Value, last: Value) -> Container {
        let mut status =
            json!({"name": "app", "ready": false, "restartCount": 3, "image": "i", "imageID": "i"});
        status["state"] = state;
        status["lastState"] = last;
        let spec = json!({"containers": [{"name": "app"}]});
        let mut read = read(json!({"name": "p"}), spec, json!({"containerStatuses": [status]}));
        read.containers.remove(0)
    }

    #[test]
    fn a_pod_that_keyroll_made_from_the_template_of_a_deployment_is_one_of_its_pods() {
        let of = |labels: Value, owners: Value| {
            let notes = json!({ CANARY_OF: "app" });
            let meta =
                json!({"name": "p", "labels": labels, "annotations": notes, "ownerReferences": owners});
            let seen = read(meta, json!({"containers": [{"name": "app"}]}), json!({"phase": "Running"}));
            (seen.canary, seen.made_by)
        };
        let made_by = |kind: &str, name: &str| Some((kind.to_owned(), name.to_owned()));
        assert_eq!(of(json!({ CANARY: "r1" }), json!([])), (true, made_by("Deployment", "app")));
        assert_eq!(of(json!({}), json!([])), (false, None));
        let owner = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-1", "uid": "u", "controller": true,
        }]);
        assert_eq!(of(json!({ CANARY: "r1" }), owner), (false, made_by("ReplicaSet", "app-1")));
    }

    #[test]
    fn a_pod_has_its_maker_its_node_and_how_it_takes_values() {
        let owner = |kind: &str, controller: bool| {
            let mut reference = json!({"apiVersion": "apps/v1", "kind": kind, "name": "app-1", "uid": "u"});
            reference["controller"] = json!(controller);
            reference
        };
        let seen = read(
            json!({
                "name": "app-1-x", "uid": "u-1", "creationTimestamp": time(1), "deletionTimestamp": time(2),
                "ownerReferences": [owner("Node", false), owner("ReplicaSet", true)],
            }),
            json!({"nodeName": "n-1", "containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "api"}}]}]}),
            json!({"phase": "Running"}),
        );
        assert_eq!(
            (seen.name.as_str(), seen.uid.as_str(), seen.phase.as_str()),
            ("app-1-x", "u-1", "Running")
        );
        assert_eq!(seen.created, Some(MADE + 60));
        assert_eq!(seen.node.as_deref(), Some("n-1"));
        assert!(seen.ending);
        assert_eq!(seen.made_by, Some(("ReplicaSet".to_owned(), "app-1".to_owned())));
        assert_eq!(seen.takes.len(), 1);
        assert_eq!(seen.containers, [Container { name: "app".to_owned(), ..Container::default() }]);
    }

    #[test]
    fn a_container_that_runs_began_when_its_present_run_did() {
        let ended = json!({"terminated": {"exitCode": 1, "startedAt": time(1)}});
        let seen = in_state(json!({"running": {"startedAt": time(5)}}), ended);
        assert_eq!(seen.started, Some(MADE + 300));
        assert!(seen.running);
        assert_eq!(seen.restarts, 3);
        assert_eq!(seen.waits, None);
    }

    #[test]
    fn a_container_that_waits_began_when_its_last_run_did() {
        let ended = json!({"terminated": {"exitCode": 1, "startedAt": time(1)}});
        let seen = in_state(json!({"waiting": {"reason": "CrashLoopBackOff"}}), ended);
        assert_eq!(seen.started, Some(MADE + 60));
        assert!(!seen.running);
        assert_eq!(seen.waits.as_deref(), Some("CrashLoopBackOff"));
        let seen = in_state(json!({"waiting": {"reason": "ImagePullBackOff"}}), Value::Null);
        assert_eq!(seen.started, None);
    }

    #[test]
    fn a_container_that_ended_says_why() {
        let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": time(1)}});
        let seen = in_state(ended, Value::Null);
        assert_eq!(seen.started, Some(MADE + 60));
        assert_eq!(seen.waits.as_deref(), Some("Completed"));
    }

    #[test]
    fn containers_of_all_kinds_have_their_states() {
        let status = |name: &str, state: Value| {
            let mut status =
                json!({"name": name, "ready": true, "restartCount": 0, "image": "i", "imageID": "i"});
            status["state"] = state;
            status
        };
        let running = json!({"running": {"startedAt": time(5)}});
        let seen = read(
            json!({"name": "p"}),
            json!({
                "initContainers": [{"name": "setup"}, {"name": "failed"}, {"name": "side", "restartPolicy": "Always"}],
                "containers": [{"name": "app"}],
                "ephemeralContainers": [{"name": "debug"}],
            }),
            json!({
                "initContainerStatuses": [
                    status("setup", json!({"terminated": {"exitCode": 0, "reason": "Completed"}})),
                    status("failed", json!({"terminated": {"exitCode": 1, "reason": "Error"}})),
                    status("side", running.clone()),
                ],
                "containerStatuses": [status("app", running.clone())],
                "ephemeralContainerStatuses": [status("debug", running)],
            }),
        );
        let states: Vec<_> = seen.containers.iter().map(|c| (c.name.as_str(), c.init, c.running)).collect();
        let expected = [
            ("setup", true, false),
            ("failed", true, false),
            ("side", false, true),
            ("app", false, true),
            ("debug", false, true),
        ];
        assert_eq!(states, expected);
        let waits: Vec<_> =
            seen.containers.iter().filter_map(|container| container.waits.as_deref()).collect();
        assert_eq!(waits, ["Error"]);
    }

    #[test]
    fn a_pod_that_no_node_takes_says_why() {
        let conditions = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        let spec = json!({"containers": [{"name": "app"}]});
        let seen = read(json!({"name": "p"}), spec, json!({"phase": "Pending", "conditions": conditions}));
        assert_eq!(seen.containers[0].waits.as_deref(), Some("Unschedulable"));
    }
}
