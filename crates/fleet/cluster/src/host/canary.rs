//! One pod of a workload that is moved before the others: slot 0 of the consumer; the others are slot 1.
//!
//! Of a StatefulSet it is the pod with the highest number: a partition keeps the others. A Deployment replaces its pods in no
//! order, so one pod is made beside them, from its template and without an owner. It has the labels of the template, so that
//! Services send it calls as to the others. No ReplicaSet adopts it: the selector of each has the hash of its template, which
//! this pod does not have. It ends once the others are moved, and with the rotation.

use std::path::Path;

use keyroll_config::WorkloadKind;
use keyroll_host::place_digest;
use keyroll_port::{Asked, Failure};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::ClusterHost;
use super::api::{
    Api, Created, OWN, PODS, Patched, annotate, annotated, changed, overtaken, repeatable, unannotate,
};
use super::apply::{ATTEMPTS_MAX, attempted, gone, not_done, refuse_held};
use super::own::Own;
use super::rolled_out::{
    Held, RollOut, TEMPLATE_HASH, has_ended, held, listed, number, replicas, selector_of, state_of_pod,
    state_of_top, text,
};
use super::setup::PodsSetup;
use crate::marks::{CANARY, CANARY_OF, ROLLED_BY};
use crate::model::Pod;
use crate::takers::Taker;

/// How much of the name of a Deployment the name of such a pod has at most, bytes. A name of a pod has at most 253.
const STEM_MAX: usize = 200;

impl PodsSetup {
    /// The slot of a pod of this consumer.
    pub(super) fn slot(&self, taker: &Taker<'_>, pod: &Pod) -> u8 {
        if !self.canary {
            return 0;
        }
        let is_first = match self.kind {
            WorkloadKind::StatefulSet => {
                let made = taker.pods.iter().filter_map(|pod| ordinal(&pod.name)).max();
                let wanted = taker.workload.and_then(|one| one.wanted).map(|wanted| i64::from(wanted) - 1);
                ordinal(&pod.name).is_some() && ordinal(&pod.name) == made.max(wanted)
            }
            WorkloadKind::Deployment
            | WorkloadKind::DaemonSet
            | WorkloadKind::CronJob
            | WorkloadKind::Job
            | WorkloadKind::Pod => pod.canary,
        };
        u8::from(!is_first)
    }
}

/// The number of a pod of a StatefulSet.
fn ordinal(pod: &str) -> Option<i64> {
    pod.rsplit_once('-')?.1.parse().ok()
}

/// What is changed.
impl ClusterHost {
    /// Rolls out the pod of a StatefulSet with the highest number (slot 0), or the others.
    pub(super) async fn move_stateful_set(
        &self,
        pods: &PodsSetup,
        slot: u8,
        asked: Asked,
        mut own: Option<Own>,
    ) -> Result<(), Failure> {
        let api = self.api().await?;
        let (path, attempted) = (api.workload(pods.kind, &pods.workload), attempted(pods));
        // The stamp of the others is not in the template: its change would replace the first one once more.
        let (place, stamp) = (if slot == 0 { PODS } else { OWN }, self.stamp(asked.intent));
        for _ in 0..ATTEMPTS_MAX {
            let set: Option<Value> = api.get(&path, &attempted).await?;
            let Some(set) = set else { return Err(gone(pods)) };
            if annotated(&set, place, ROLLED_BY) == Some(stamp.as_str()) {
                return Ok(());
            }
            refuse_held(pods, held_by_others(&set, &self.setup.rotation), &api.cluster.options)?;
            refuse_empty(pods, &set)?;
            self.refuse_foreign(pods, own.take()).await?;
            self.may_begin(asked, || attempted.clone())?;
            let patch = if slot == 0 { top_alone(&set, &stamp) } else { the_others(&set, &stamp) };
            match api.patch::<IgnoredAny>(&path, patch, &attempted).await? {
                Patched::Done(_) => return Ok(()),
                Patched::Overtaken => {}
                Patched::Gone => return Err(gone(pods)),
            }
        }
        Err(overtaken(attempted))
    }

    /// Makes one pod from the template of a Deployment. One that this rotation made before ends: it has what it was given.
    pub(super) async fn make_canary(
        &self,
        pods: &PodsSetup,
        asked: Asked,
        own: Option<Own>,
    ) -> Result<(), Failure> {
        let (api, stamp) = (self.api().await?, self.stamp(asked.intent));
        let attempted = format!("make one pod of {} before the others", pods.object());
        let deployment: Option<Value> = api.get(&api.workload(pods.kind, &pods.workload), &attempted).await?;
        let Some(deployment) = deployment else { return Err(gone(pods)) };
        let before = self.canaries(pods, &attempted).await?.0;
        if before.iter().any(|pod| is_stamped(pod, &stamp)) {
            return Ok(());
        }
        refuse_held(pods, held(&deployment), &api.cluster.options)?;
        refuse_empty(pods, &deployment)?;
        self.refuse_foreign(pods, own).await?;
        self.may_begin(asked, || attempted.clone())?;
        delete_all(api, &before.iter().collect::<Vec<_>>(), &attempted).await?;
        let body = canary(&deployment, pods, (&self.setup.rotation, &stamp));
        let body = Zeroizing::new(body.to_string().into_bytes());
        match api.create::<IgnoredAny>(&api.path("", "v1", "pods"), body, &attempted).await? {
            Created::Done(_) => Ok(()),
            Created::Exists => Err(overtaken(attempted)),
        }
    }

    /// Ends what was moved first, where the others were not moved afterwards: a pod is deleted, and a StatefulSet gets its
    /// partition back.
    pub(super) async fn remove_canaries(&self) -> Result<(), Failure> {
        for pods in self.setup.consumers.iter().filter(|pods| pods.canary) {
            let attempted = format!("end what was moved first of {}", pods.object());
            // A repetition looks first, and does nothing twice: an unknown outcome can be retried.
            self.remove_canary(pods, &attempted).await.map_err(repeatable)?;
        }
        Ok(())
    }

    async fn remove_canary(&self, pods: &PodsSetup, attempted: &str) -> Result<(), Failure> {
        let api = self.api().await?;
        if pods.kind != WorkloadKind::StatefulSet {
            let all = self.canaries(pods, attempted).await?.0;
            return delete_all(api, &all.iter().collect::<Vec<_>>(), attempted).await;
        }
        let path = api.workload(pods.kind, &pods.workload);
        let Some(set) = api.get::<Value>(&path, attempted).await? else { return Ok(()) };
        let set_to = own_partition(&set, &self.setup.rotation);
        if set_to.is_none() || set_to != Some(partition(&set)) {
            return Ok(());
        }
        let patch = changed(&set, vec![with_partition(&set, 0), unannotate(OWN, CANARY)]);
        match api.patch::<IgnoredAny>(&path, patch, attempted).await? {
            Patched::Done(_) | Patched::Gone => Ok(()),
            Patched::Overtaken => Err(overtaken(attempted)),
        }
    }
}

/// What is seen.
impl ClusterHost {
    /// The state of the roll-out of one slot of a consumer, or of all of them.
    pub(super) async fn rolled_out_in(&self, pods: &PodsSetup, slot: Option<u8>) -> Result<RollOut, Failure> {
        match (pods.canary, slot, pods.kind) {
            (false, ..) => self.rolled_out(pods).await,
            (true, Some(0), WorkloadKind::StatefulSet) => self.top_rolled_out(pods).await,
            (true, _, WorkloadKind::StatefulSet) => self.rolled_out(pods).await,
            (true, Some(0), _) => self.canary_rolled_out(pods).await,
            (true, ..) => self.others_rolled_out(pods).await,
        }
    }

    async fn top_rolled_out(&self, pods: &PodsSetup) -> Result<RollOut, Failure> {
        let (api, attempted) = (self.api().await?, format!("see the pods of {}", pods.object()));
        let set: Option<Value> = api.get(&api.workload(pods.kind, &pods.workload), &attempted).await?;
        let Some(set) = set else {
            return Ok(RollOut::Going(format!("{} does not exist", pods.object())));
        };
        let (all, date) = listed(api, ("", "pods"), &selector_of(&set, &attempted)?, &attempted).await?;
        Ok(state_of_top(&set, &all, self.server_time(date)))
    }

    async fn canary_rolled_out(&self, pods: &PodsSetup) -> Result<RollOut, Failure> {
        let attempted = format!("see the pod of {} that is moved first", pods.object());
        let (all, date) = self.canaries(pods, &attempted).await?;
        let live = all.iter().filter(|pod| !has_ended(pod));
        let last = live.max_by_key(|pod| intent(pod, OWN, &self.setup.rotation));
        Ok(match last {
            Some(pod) => state_of_pod(pod, self.server_time(date)),
            None => RollOut::Going("the pod that is moved first is not there, or has ended".to_owned()),
        })
    }

    /// The pods of the Deployment. Once a roll-out that this rotation began is done, a pod that was made before it ends: until
    /// it has, it still counts.
    async fn others_rolled_out(&self, pods: &PodsSetup) -> Result<RollOut, Failure> {
        let mut uids = match self.rolled_out(pods).await? {
            RollOut::Done { pods } => pods,
            other @ (RollOut::Going(_) | RollOut::Against(_) | RollOut::AtRest) => return Ok(other),
        };
        let attempted = format!("see the pod of {} that is moved first", pods.object());
        let (all, date) = self.canaries(pods, &attempted).await?;
        if all.is_empty() {
            return Ok(RollOut::Done { pods: uids });
        }
        let api = self.api().await?;
        let deployment: Option<Value> = api.get(&api.workload(pods.kind, &pods.workload), &attempted).await?;
        let rolled = deployment.and_then(|one| intent(&one, PODS, &self.setup.rotation));
        let (over, others): (Vec<&Value>, Vec<&Value>) =
            all.iter().partition(|pod| intent(pod, OWN, &self.setup.rotation) < rolled);
        // What cannot be deleted now is deleted with the end of the rotation.
        drop(delete_all(api, &over, &attempted).await);
        uids.extend(over.into_iter().map(|pod| text(pod, "/metadata/uid").to_owned()));
        for pod in others {
            if let RollOut::Done { pods: own } = state_of_pod(pod, self.server_time(date)) {
                uids.extend(own);
            }
        }
        Ok(RollOut::Done { pods: uids })
    }

    /// Whether this intent made a pod.
    pub(super) async fn has_canary(&self, pods: &PodsSetup, stamp: &str) -> Result<bool, Failure> {
        let attempted = format!("see whether a pod of {} was made before the others", pods.object());
        let all = self.canaries(pods, &attempted).await?.0;
        Ok(all.iter().any(|pod| is_stamped(pod, stamp)))
    }

    /// The pods that this rotation made from the template of a Deployment, and when they were read.
    async fn canaries(
        &self,
        pods: &PodsSetup,
        attempted: &str,
    ) -> Result<(Vec<Value>, Option<i64>), Failure> {
        let selector = format!("{CANARY}={}", self.setup.rotation);
        let (mut all, date) = listed(self.api().await?, ("", "pods"), &selector, attempted).await?;
        all.retain(|pod| annotated(pod, OWN, CANARY_OF) == Some(pods.workload.as_str()));
        Ok((all, date))
    }
}

/// Deletes these pods; one that is ending already ends.
async fn delete_all(api: Api<'_>, pods: &[&Value], attempted: &str) -> Result<(), Failure> {
    for pod in pods {
        if pod.pointer("/metadata/deletionTimestamp").is_none() {
            let path = api.workload(WorkloadKind::Pod, text(pod, "/metadata/name"));
            api.delete(&path, attempted).await?;
        }
    }
    Ok(())
}

/// A workload that is scaled to 0 has no pod that could be moved first.
fn refuse_empty(pods: &PodsSetup, workload: &Value) -> Result<(), Failure> {
    if replicas(workload) > 0 {
        return Ok(());
    }
    let failure = not_done(pods, "it is scaled to 0, so that no pod can be moved before the others");
    Err(failure.help(format!("scale {} up", pods.object())))
}

/// The number of the intent of this rotation that stamped an object; `None`: none did.
fn intent(object: &Value, place: &str, rotation: &str) -> Option<u64> {
    annotated(object, place, ROLLED_BY)?.strip_prefix(rotation)?.strip_prefix('/')?.parse().ok()
}

fn is_stamped(pod: &Value, stamp: &str) -> bool {
    annotated(pod, OWN, ROLLED_BY) == Some(stamp)
}

/// A pod as the template makes it, but without an owner.
fn canary(deployment: &Value, pods: &PodsSetup, (rotation, stamp): (&str, &str)) -> Value {
    let of = |place: &str| {
        let found = deployment.pointer(place).and_then(Value::as_object).cloned();
        found.unwrap_or_default()
    };
    let (mut labels, mut annotations) =
        (of("/spec/template/metadata/labels"), of("/spec/template/metadata/annotations"));
    labels.remove(TEMPLATE_HASH);
    labels.insert(CANARY.to_owned(), rotation.into());
    annotations.insert(CANARY_OF.to_owned(), pods.workload.as_str().into());
    annotations.insert(ROLLED_BY.to_owned(), stamp.into());
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": canary_name(&pods.workload, stamp), "labels": labels, "annotations": annotations },
        "spec": of("/spec/template/spec"),
    })
}

/// The name of the pod of an intent: the same if it is asked for twice, and another one for the next intent.
fn canary_name(workload: &str, stamp: &str) -> String {
    let stem = workload.get(..STEM_MAX).unwrap_or(workload).trim_end_matches(['-', '.']);
    format!("{stem}-keyroll-canary-{:05x}", place_digest(Path::new(stamp)) & 0xf_ffff)
}

/// The pods of a StatefulSet below this number keep their template.
fn partition(set: &Value) -> i64 {
    number(set, "/spec/updateStrategy/rollingUpdate/partition")
}

/// What holds a StatefulSet, besides the partition that this rotation has set.
fn held_by_others(set: &Value, rotation: &str) -> Option<Held> {
    held(set).filter(|held| match held {
        Held::Partition(from) => own_partition(set, rotation) != Some(*from),
        Held::Paused | Held::OnDelete => true,
    })
}

/// The partition that this rotation has set, as the StatefulSet itself says: a keyroll that was killed reads it there.
fn own_partition(set: &Value, rotation: &str) -> Option<i64> {
    let (stamp, from) = annotated(set, OWN, CANARY)?.rsplit_once('/')?;
    let (of, _) = stamp.rsplit_once('/')?;
    from.parse().ok().filter(|_| of == rotation)
}

/// Another template, which only the pod with the highest number gets. Everything is in one patch: between two, each pod might
/// be replaced.
fn top_alone(set: &Value, stamp: &str) -> Zeroizing<Vec<u8>> {
    let from = (replicas(set) - 1).max(0);
    let parts = vec![
        with_partition(set, from),
        annotate(set, PODS, ROLLED_BY, stamp),
        annotate(set, OWN, CANARY, &format!("{stamp}/{from}")),
    ];
    changed(set, parts)
}

/// The others get the template that the first one has.
fn the_others(set: &Value, stamp: &str) -> Zeroizing<Vec<u8>> {
    let mut parts = vec![with_partition(set, 0), annotate(set, OWN, ROLLED_BY, stamp)];
    if annotated(set, OWN, CANARY).is_some() {
        parts.push(unannotate(OWN, CANARY));
    }
    changed(set, parts)
}

/// The part of a patch that sets the partition.
fn with_partition(set: &Value, from: i64) -> Value {
    let rolling = "/spec/updateStrategy/rollingUpdate";
    match set.pointer(rolling).and_then(Value::as_object) {
        Some(_) => json!({ "op": "add", "path": format!("{rolling}/partition"), "value": from }),
        None => json!({ "op": "add", "path": rolling, "value": { "partition": from } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sample;
    use crate::model::Workload;

    fn pods(kind: WorkloadKind) -> PodsSetup {
        PodsSetup { canary: true, kind, ..sample::pods() }
    }

    fn deployment() -> Value {
        json!({
            "metadata": { "name": "agent", "resourceVersion": "7" },
            "spec": { "replicas": 3, "template": {
                "metadata": {
                    "creationTimestamp": null,
                    "labels": { "app": "agent", TEMPLATE_HASH: "6d5f" },
                    "annotations": { "team": "shop", ROLLED_BY: "r0/3" },
                },
                "spec": { "containers": [{ "name": "app", "image": "agent:1" }], "restartPolicy": "Always" },
            } },
        })
    }

    #[test]
    fn the_pod_that_is_moved_first_is_as_the_template_makes_it_and_nothing_owns_it() {
        let pod = canary(&deployment(), &pods(WorkloadKind::Deployment), ("r1", "r1/9"));
        let name = pod["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("agent-keyroll-canary-") && name.len() == 26, "{name}");
        assert_eq!(pod["metadata"]["labels"], json!({ "app": "agent", CANARY: "r1" }));
        let noted = json!({ "team": "shop", CANARY_OF: "agent", ROLLED_BY: "r1/9" });
        assert_eq!(pod["metadata"]["annotations"], noted);
        assert_eq!(pod["metadata"].get("ownerReferences"), None);
        assert_eq!(pod["spec"], deployment()["spec"]["template"]["spec"]);
        assert_eq!(intent(&pod, OWN, "r1"), Some(9));
    }

    #[test]
    fn each_intent_has_a_pod_of_another_name_which_a_pod_can_have() {
        assert_eq!(canary_name("agent", "r1/9"), canary_name("agent", "r1/9"));
        assert_ne!(canary_name("agent", "r1/9"), canary_name("agent", "r1/10"));
        let long = canary_name(&format!("{}.{}", "a".repeat(199), "b".repeat(53)), "r1/9");
        assert!(long.len() <= 253 && long.starts_with(&format!("{}-keyroll", "a".repeat(199))), "{long}");
    }

    #[test]
    fn the_selector_of_a_replica_set_does_not_fit_the_pod_that_is_moved_first() {
        let pod = canary(&deployment(), &pods(WorkloadKind::Deployment), ("r1", "r1/9"));
        let selector = json!({ "app": "agent", TEMPLATE_HASH: "6d5f" });
        let fits = |labels: &Value| {
            let mut all = selector.as_object().unwrap().iter();
            all.all(|(label, value)| labels.get(label) == Some(value))
        };
        assert!(fits(&deployment()["spec"]["template"]["metadata"]["labels"]));
        assert!(!fits(&pod["metadata"]["labels"]));
    }

    fn stateful_set(partition: Option<i64>) -> Value {
        let mut set = deployment();
        let rolling = partition.map(|from| json!({ "partition": from }));
        set["spec"]["updateStrategy"] = json!({ "type": "RollingUpdate", "rollingUpdate": rolling });
        set
    }

    fn parts(patch: &[u8]) -> Vec<Value> {
        serde_json::from_slice::<Value>(patch).unwrap().as_array().unwrap().clone()
    }

    #[test]
    fn the_template_and_the_partition_of_a_stateful_set_are_changed_at_once() {
        let wanted = [
            json!({ "op": "test", "path": "/metadata/resourceVersion", "value": "7" }),
            json!({ "op": "add", "path": "/spec/updateStrategy/rollingUpdate/partition", "value": 2 }),
            json!({ "op": "add", "path": "/spec/template/metadata/annotations/keyroll.dev~1rolled-by", "value": "r1/9" }),
            json!({ "op": "add", "path": "/metadata/annotations", "value": { CANARY: "r1/9/2" } }),
        ];
        assert_eq!(parts(&top_alone(&stateful_set(Some(0)), "r1/9")), wanted);
        let bare = parts(&top_alone(&stateful_set(None), "r1/9"));
        let rolling = "/spec/updateStrategy/rollingUpdate";
        assert_eq!(bare[1], json!({ "op": "add", "path": rolling, "value": { "partition": 2 } }));
    }

    #[test]
    fn the_others_of_a_stateful_set_get_the_template_that_is_there() {
        let mut set = stateful_set(Some(2));
        set["metadata"]["annotations"] = json!({ CANARY: "r1/9/2" });
        let wanted = [
            json!({ "op": "add", "path": "/spec/updateStrategy/rollingUpdate/partition", "value": 0 }),
            json!({ "op": "add", "path": "/metadata/annotations/keyroll.dev~1rolled-by", "value": "r1/12" }),
            json!({ "op": "remove", "path": "/metadata/annotations/keyroll.dev~1canary" }),
        ];
        assert_eq!(parts(&the_others(&set, "r1/12"))[1..], wanted);
        let without = parts(&the_others(&stateful_set(Some(0)), "r1/12"));
        assert!(without.iter().all(|part| part["op"] != "remove"), "{without:?}");
    }

    #[test]
    fn a_partition_that_this_rotation_did_not_set_holds_a_stateful_set() {
        let mut set = stateful_set(Some(2));
        let held = |set: &Value| held_by_others(set, "r1");
        assert_eq!(held(&set), Some(Held::Partition(2)));
        for (note, own) in [("r1/9/2", true), ("r1/9/1", false), ("r2/9/2", false), ("r1/9", false)] {
            set["metadata"]["annotations"] = json!({ CANARY: note });
            assert_eq!(held(&set).is_none(), own, "{note}");
        }
        set["spec"]["updateStrategy"]["type"] = json!("OnDelete");
        set["metadata"]["annotations"] = json!({ CANARY: "r1/9/2" });
        assert_eq!(held(&set), Some(Held::OnDelete));
    }

    #[test]
    fn a_workload_that_is_scaled_to_0_has_no_pod_to_move_first() {
        let pods = pods(WorkloadKind::Deployment);
        assert!(refuse_empty(&pods, &deployment()).is_ok() && refuse_empty(&pods, &json!({})).is_ok());
        let failure = refuse_empty(&pods, &json!({ "spec": { "replicas": 0 } })).err().unwrap();
        assert!(failure.help.unwrap().starts_with("scale deployment/agent up"));
    }

    #[test]
    fn the_pod_that_is_moved_first_has_slot_0_and_the_others_slot_1() {
        let pod = |name: &str, canary| Pod { name: name.to_owned(), canary, ..Pod::default() };
        let slots = |kind: WorkloadKind, all: &[&Pod], wanted: i32| {
            let workload = Workload { wanted: Some(wanted), ..Workload::default() };
            let (kind_name, name) = ("StatefulSet".to_owned(), "agent".to_owned());
            let taker = Taker {
                at: 0,
                kind: kind_name,
                name,
                workload: Some(&workload),
                made: Vec::new(),
                pods: all.to_vec(),
            };
            all.iter().map(|pod| pods(kind).slot(&taker, pod)).collect::<Vec<u8>>()
        };
        let [zero, one, ten] = ["agent-0", "agent-1", "agent-10"].map(|name| pod(name, false));
        assert_eq!(slots(WorkloadKind::StatefulSet, &[&zero, &one, &ten], 11), [1, 1, 0]);
        assert_eq!(slots(WorkloadKind::StatefulSet, &[&zero, &one], 3), [1, 1], "the first one is made anew");
        let first = pod("agent-keyroll-canary-0a1b2", true);
        assert_eq!(slots(WorkloadKind::Deployment, &[&zero, &first], 2), [1, 0]);
        assert_eq!(
            sample::pods().slot(
                &Taker {
                    at: 0,
                    kind: "Deployment".to_owned(),
                    name: "agent".to_owned(),
                    workload: None,
                    made: Vec::new(),
                    pods: vec![&zero],
                },
                &zero
            ),
            0
        );
    }
}
