//! The state of a roll-out, from the objects of the API.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use keyroll_kube::words;
use serde_json::Value;

/// How long each container of a new pod has to run before the roll-out is done, seconds. A program that does not accept the
/// value ends within this time.
const SETTLE_S: i64 = 10;

/// The label that only the template of a ReplicaSet has.
pub(crate) const TEMPLATE_HASH: &str = "pod-template-hash";

/// Why a container does not run, where another attempt will not help by itself. Source: `pkg/kubelet/images/types.go` and
/// `pkg/kubelet/kuberuntime/kuberuntime_container.go` of <https://github.com/kubernetes/kubernetes>.
const FAILING: [&str; 6] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// The state of a roll-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RollOut {
    /// Every pod is of the present template, and ready.
    Done {
        /// The uids of the pods.
        pods: BTreeSet<String>,
    },
    /// It goes on. What it waits for.
    Going(String),
    /// The new pods fail, and why.
    Against(String),
    /// Nothing runs: it is scaled to 0, or it is a job of which no pod runs.
    AtRest,
}

/// Why a workload replaces no pod, or not all, before somebody changes the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// A Deployment is paused.
    Paused,
    /// A pod is replaced only after somebody deletes it.
    OnDelete,
    /// A StatefulSet keeps the pods below this number.
    Partition(i64),
}

impl Held {
    /// In words.
    pub(crate) fn why(self) -> String {
        match self {
            Self::Paused => "it is paused, and replaces no pod before it is resumed".to_owned(),
            Self::OnDelete => {
                "its update strategy is OnDelete: a pod is replaced only after somebody deletes it".to_owned()
            }
            Self::Partition(from) => {
                format!("its partition is {from}: pods with a number below {from} are not replaced")
            }
        }
    }

    /// The command that lets it go on. `object`: `deployment/agent`; `options`: those of kubectl.
    pub(crate) fn command(self, object: &str, options: &str) -> String {
        let patch = match self {
            Self::Paused => return format!("kubectl rollout resume {object} {options}"),
            Self::OnDelete => r#"{"spec":{"updateStrategy":{"type":"RollingUpdate"}}}"#,
            Self::Partition(_) => r#"{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}"#,
        };
        format!("kubectl patch {object} {options} -p '{patch}'")
    }
}

/// What holds the roll-out of a workload.
pub(crate) fn held(workload: &Value) -> Option<Held> {
    if workload.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Some(Held::Paused);
    }
    if text(workload, "/spec/updateStrategy/type") == "OnDelete" {
        return Some(Held::OnDelete);
    }
    let partition = number(workload, "/spec/updateStrategy/rollingUpdate/partition");
    (partition > 0).then_some(Held::Partition(partition))
}

/// The state of the roll-out of a workload, at a time by the server's clock. `pods` and `replica_sets`: those that its
/// selector fits.
pub(crate) fn state(workload: &Value, pods: &[Value], replica_sets: &[Value], now: i64) -> RollOut {
    let pods: Vec<&Value> = pods.iter().filter(|pod| !has_ended(pod)).collect();
    let kind = text(workload, "/kind");
    let sorted = match kind {
        "CronJob" | "Job" => return of_job(&pods),
        "Pod" => return state_of_pod(workload, now),
        _ if number(workload, "/status/observedGeneration") < number(workload, "/metadata/generation") => {
            return RollOut::Going("its controller has not seen the change yet".to_owned());
        }
        "Deployment" => Sorted::of_deployment(workload, &pods, replica_sets),
        "StatefulSet" => Sorted::of_stateful_set(workload, &pods),
        _ => Sorted::of_daemon_set(workload, &pods),
    };
    let wanted = wanted(workload);
    let Some(waits) = unfinished(workload, &sorted, wanted, now) else {
        let uids = sorted.new.iter().map(|pod| text(pod, "/metadata/uid").to_owned());
        return if wanted == 0 { RollOut::AtRest } else { RollOut::Done { pods: uids.collect() } };
    };
    match (held(workload), against(workload, &sorted)) {
        (Some(held), None) => RollOut::Going(held.why()),
        (None, None) => RollOut::Going(waits),
        (_, Some(why)) => RollOut::Against(why),
    }
}

/// Of a job: each of its pods takes the value at its own start, and nothing is rolled out.
fn of_job(pods: &[&Value]) -> RollOut {
    let running = pods.iter().filter(|pod| text(pod, "/status/phase") == "Running");
    let uids: BTreeSet<String> = running.map(|pod| text(pod, "/metadata/uid").to_owned()).collect();
    if uids.is_empty() { RollOut::AtRest } else { RollOut::Done { pods: uids } }
}

/// The state of the pod of a StatefulSet with the highest number: it is replaced first, and alone where a partition keeps the
/// others.
pub(crate) fn state_of_top(set: &Value, pods: &[Value], now: i64) -> RollOut {
    if number(set, "/status/observedGeneration") < number(set, "/metadata/generation") {
        return RollOut::Going("its controller has not seen the change yet".to_owned());
    }
    let wanted = wanted(set);
    if wanted == 0 {
        return RollOut::AtRest;
    }
    let top = format!("{}-{}", name(set), number(set, "/spec/ordinals/start") + wanted - 1);
    let is_it = |pod: &&Value| name(pod) == top && is_made_by(pod, set) && !has_ended(pod);
    let Some(pod) = pods.iter().find(is_it) else {
        return RollOut::Going(format!("pod {top} is not made yet"));
    };
    let next = text(set, "/status/updateRevision");
    if next.is_empty() || revision_hash(pod) != next {
        return RollOut::Going(still_there(pod));
    }
    state_of_pod(pod, now)
}

/// The state of one pod by itself.
pub(crate) fn state_of_pod(pod: &Value, now: i64) -> RollOut {
    if has_ended(pod) {
        return RollOut::AtRest;
    }
    match (not_ready(pod).or_else(|| unsettled(pod, now)), failing(pod)) {
        (None, _) => RollOut::Done { pods: BTreeSet::from([text(pod, "/metadata/uid").to_owned()]) },
        (Some(_), Some(why)) => RollOut::Against(why),
        (Some(waits), None) => RollOut::Going(waits),
    }
}

/// How many pods a workload is to have.
fn wanted(workload: &Value) -> i64 {
    match text(workload, "/kind") {
        "DaemonSet" => number(workload, "/status/desiredNumberScheduled"),
        _ => replicas(workload),
    }
}

/// How many pods its specification asks for. The server sets it; without it the meaning is 1.
pub(crate) fn replicas(workload: &Value) -> i64 {
    workload.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

/// The pods of a workload that have not ended.
#[derive(Default)]
struct Sorted<'p> {
    /// Those of the present template.
    new: Vec<&'p Value>,
    /// Those of another template.
    old: Vec<&'p Value>,
    /// Why it is not visible which pods are of the present template.
    unclear: Option<&'static str>,
}

impl<'p> Sorted<'p> {
    /// A pod of a ReplicaSet that is not there any more is of another template. One that something else made, or nothing, is
    /// no pod of this Deployment.
    fn of_deployment(deployment: &Value, pods: &[&'p Value], replica_sets: &[Value]) -> Self {
        let is_own = |set: &Value| is_made_by(set, deployment);
        let template = without_hash(deployment);
        let same = |set: &&Value| is_own(set) && template.is_some() && without_hash(set) == template;
        let newest = replica_sets.iter().filter(same).max_by_key(|set| revision(set));
        let mut sorted = Self::default();
        if newest.is_none() {
            sorted.unclear = Some("its ReplicaSet for the present template is not made yet");
        }
        for pod in pods.iter().copied() {
            let made_by = |set: &&Value| is_made_by(pod, set);
            match replica_sets.iter().find(made_by) {
                Some(set) if newest.is_some_and(|newest| std::ptr::eq(newest, set)) => sorted.new.push(pod),
                Some(set) if !is_own(set) => {}
                None if maker(pod).is_none_or(|(kind, _)| kind != "ReplicaSet") => {}
                Some(_) | None => sorted.old.push(pod),
            }
        }
        sorted
    }

    fn of_stateful_set(stateful_set: &Value, pods: &[&'p Value]) -> Self {
        let (next, present) =
            (text(stateful_set, "/status/updateRevision"), text(stateful_set, "/status/currentRevision"));
        let own = pods.iter().copied().filter(|pod| is_made_by(pod, stateful_set));
        let (new, old) = own.partition(|pod| !next.is_empty() && revision_hash(pod) == next);
        // The controller says so after the last pod.
        let unclear = (next.is_empty() || next != present)
            .then_some("its controller has not said yet that every pod has the present template");
        Self { new, old, unclear }
    }

    /// The controller says how many pods have the newest template; which ones shows itself by their labels. It makes no pod
    /// of another template any more, so the pod that was made last has the newest one.
    fn of_daemon_set(daemon_set: &Value, pods: &[&'p Value]) -> Self {
        let own: Vec<&'p Value> = pods.iter().copied().filter(|pod| is_made_by(pod, daemon_set)).collect();
        if number(daemon_set, "/status/updatedNumberScheduled") == 0 {
            return Self { old: own, ..Self::default() };
        }
        let last = own.iter().max_by_key(|pod| text(pod, "/metadata/creationTimestamp"));
        let hash = last.map(|pod| revision_hash(pod)).unwrap_or_default();
        let (new, old) = own.into_iter().partition(|pod| !hash.is_empty() && revision_hash(pod) == hash);
        Self { new, old, unclear: None }
    }
}

/// What a roll-out waits for; `None`: for nothing.
fn unfinished(workload: &Value, sorted: &Sorted<'_>, wanted: i64, now: i64) -> Option<String> {
    let Sorted { new, old, unclear } = sorted;
    let has = i64::try_from(new.len()).unwrap_or(i64::MAX);
    let made = (has < wanted).then(|| {
        // A StatefulSet and a DaemonSet make the new one only in the place of the old one.
        let place = old.iter().find(|pod| is_ending(pod)).map(|pod| format!(", and {}", still_there(pod)));
        format!("{has} of {wanted} pods of the present template are made{}", place.unwrap_or_default())
    });
    made.or_else(|| new.iter().find_map(|pod| not_ready(pod)))
        .or_else(|| old.first().map(|pod| still_there(pod)))
        .or_else(|| (has > wanted).then(|| format!("it has {has} pods and is to have {wanted}")))
        .or_else(|| unclear.filter(|_| wanted > 0).map(str::to_owned))
        .or_else(|| miscounted(workload, wanted))
        .or_else(|| new.iter().find_map(|pod| unsettled(pod, now)))
}

/// Of a pod of another template. One that does not end may be on a node that is lost.
fn still_there(pod: &Value) -> String {
    let (name, node) = (name(pod), text(pod, "/spec/nodeName"));
    match is_ending(pod) {
        false => format!("old pod {name} is not replaced yet"),
        true if node.is_empty() => format!("old pod {name} is still ending"),
        true => format!("old pod {name} is still ending on node {}", words(node)),
    }
}

/// Whether what the controller counts is not what is wanted.
fn miscounted(workload: &Value, wanted: i64) -> Option<String> {
    let counts: &[(&str, &str)] = match text(workload, "/kind") {
        "DaemonSet" => &[
            ("/status/currentNumberScheduled", "scheduled"),
            ("/status/updatedNumberScheduled", "of the present template"),
            ("/status/numberReady", "ready"),
            ("/status/numberAvailable", "available"),
        ],
        _ => &[
            ("/status/replicas", "counted"),
            ("/status/updatedReplicas", "of the present template"),
            ("/status/readyReplicas", "ready"),
            ("/status/availableReplicas", "available"),
        ],
    };
    let counted = counts.iter().map(|(path, what)| (number(workload, path), what));
    let mut wrong = counted.filter(|(count, _)| *count != wanted);
    wrong.next().map(|(count, what)| format!("its controller says that {count} of {wanted} pods are {what}"))
}

/// Why a pod does not serve.
fn not_ready(pod: &Value) -> Option<String> {
    let name = name(pod);
    if is_ending(pod) {
        return Some(format!("pod {name} is still ending"));
    }
    if condition(pod, "Ready").is_some_and(|ready| text(ready, "/status") == "True") {
        let containers = items(pod, "/status/containerStatuses");
        let runs = |one: &Value| one.pointer("/state/running").is_some();
        let all = !containers.is_empty() && containers.iter().all(runs);
        return (!all).then(|| format!("not every container of pod {name} runs"));
    }
    let refused = condition(pod, "PodScheduled").filter(|one| text(one, "/status") == "False");
    if let Some(refused) = refused {
        return Some(format!("pod {name} has no node: {}", words(text(refused, "/message"))));
    }
    let waiting = statuses(pod).find_map(|one| {
        let reason = text(one, "/state/waiting/reason");
        (!reason.is_empty())
            .then(|| format!(": its container {} waits: {}", text(one, "/name"), words(reason)))
    });
    Some(format!("pod {name} is not ready{}", waiting.unwrap_or_default()))
}

/// Whether a container of a pod was started so short a time ago that it may still end.
fn unsettled(pod: &Value, now: i64) -> Option<String> {
    let mut running = statuses(pod).filter(|one| one.pointer("/state/running").is_some());
    let young = |one: &&Value| {
        let started = seconds(text(one, "/state/running/startedAt"));
        started.is_none_or(|started| now.saturating_sub(started) < SETTLE_S)
    };
    running.find(young).map(|one| {
        let how = if number(one, "/restartCount") > 0 { "was restarted" } else { "was started" };
        format!("container {} of pod {} {how} less than {SETTLE_S} s ago", text(one, "/name"), name(pod))
    })
}

/// Why the new pods fail.
fn against(workload: &Value, sorted: &Sorted<'_>) -> Option<String> {
    if let Some(why) = sorted.new.iter().find_map(|pod| failing(pod)) {
        return Some(why);
    }
    if text(workload, "/kind") != "Deployment" {
        return None;
    }
    if let Some(refused) = condition(workload, "ReplicaFailure").filter(|one| text(one, "/status") == "True")
    {
        let (reason, message) = (text(refused, "/reason"), text(refused, "/message"));
        // Another refusal may repeat what the pod has.
        let quota = message.contains("exceeded quota").then(|| format!(": {}", words(message)));
        return Some(format!("its pods cannot be made: {}{}", words(reason), quota.unwrap_or_default()));
    }
    let late = condition(workload, "Progressing").is_some_and(|one| {
        text(one, "/status") == "False" && text(one, "/reason") == "ProgressDeadlineExceeded"
    });
    late.then(|| {
        let limit = number(workload, "/spec/progressDeadlineSeconds");
        format!("its new pods were not ready within {limit} s (ProgressDeadlineExceeded)")
    })
}

/// Why a pod does not come up by itself.
fn failing(pod: &Value) -> Option<String> {
    if is_ending(pod) {
        return None;
    }
    statuses(pod).find_map(|one| {
        let reason = text(one, "/state/waiting/reason");
        let reason = FAILING.into_iter().find(|failing| *failing == reason)?;
        // Which Secret or key is missing. The words of other reasons may repeat arguments.
        let message = text(one, "/state/waiting/message");
        let why = (reason == "CreateContainerConfigError" && !message.is_empty())
            .then(|| format!(": {}", words(message)));
        let container = text(one, "/name");
        Some(format!("container {container} of pod {}: {reason}{}", name(pod), why.unwrap_or_default()))
    })
}

/// A pod that has ended uses nothing. One that was asked to end still does.
pub(crate) fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn is_ending(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_some()
}

/// The states of the containers, also of those that initialise the pod or run beside the others.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, "/status/initContainerStatuses").iter().chain(items(pod, "/status/containerStatuses"))
}

/// The condition of this type.
fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    items(object, "/status/conditions").iter().find(|one| text(one, "/type") == kind)
}

/// What made an object, as its kind and uid.
fn maker(object: &Value) -> Option<(&str, &str)> {
    let owners = items(object, "/metadata/ownerReferences").iter();
    let mut owners =
        owners.filter(|owner| owner.pointer("/controller").and_then(Value::as_bool) == Some(true));
    owners.next().map(|owner| (text(owner, "/kind"), text(owner, "/uid")))
}

fn is_made_by(object: &Value, other: &Value) -> bool {
    let uid = text(other, "/metadata/uid");
    !uid.is_empty() && maker(object).is_some_and(|(_, maker)| maker == uid)
}

/// The pod template, without the label that only that of a ReplicaSet has.
fn without_hash(object: &Value) -> Option<Value> {
    let mut template = object.pointer("/spec/template").cloned()?;
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(TEMPLATE_HASH);
    }
    Some(template)
}

/// The number of a ReplicaSet among those of its Deployment.
fn revision(replica_set: &Value) -> i64 {
    text(replica_set, "/metadata/annotations/deployment.kubernetes.io~1revision").parse().unwrap_or(0)
}

/// Which template a pod of a StatefulSet or DaemonSet has.
fn revision_hash(pod: &Value) -> &str {
    text(pod, "/metadata/labels/controller-revision-hash")
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// A text at a place of an object; empty: there is none.
pub(crate) fn text<'v>(object: &'v Value, place: &str) -> &'v str {
    object.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

/// A number at a place of an object; the API leaves out one that is 0.
pub(crate) fn number(object: &Value, place: &str) -> i64 {
    object.pointer(place).and_then(Value::as_i64).unwrap_or(0)
}

/// The objects at a place of an object.
pub(crate) fn items<'v>(object: &'v Value, place: &str) -> &'v [Value] {
    object.pointer(place).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A time of the API, in seconds since the Unix epoch.
fn seconds(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The time of the tests: 2026-01-01T00:10:00Z.
    const NOW: i64 = 1_767_226_200;

    fn template(stamp: &str) -> Value {
        json!({
            "metadata": { "labels": { "app": "agent" }, "annotations": { "keyroll.dev/rolled-by": stamp } },
            "spec": { "containers": [{ "name": "app", "image": "agent:1" }] },
        })
    }

    fn owners(kind: &str, uid: &str) -> Value {
        json!([{ "kind": kind, "name": "agent", "uid": uid, "controller": true }])
    }

    /// A Deployment of two pods whose roll-out is done, as its controller says.
    fn deployment() -> Value {
        json!({
            "kind": "Deployment",
            "metadata": { "name": "agent", "uid": "d", "generation": 4 },
            "spec": { "replicas": 2, "template": template("r/2"), "progressDeadlineSeconds": 600 },
            "status": {
                "observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
                "availableReplicas": 2,
            },
        })
    }

    /// A ReplicaSet of the Deployment.
    fn replica_set(uid: &str, stamp: &str, revision: &str) -> Value {
        let mut template = template(stamp);
        template["metadata"]["labels"]["pod-template-hash"] = json!(uid);
        json!({
            "metadata": {
                "name": format!("agent-{uid}"), "uid": uid, "ownerReferences": owners("Deployment", "d"),
                "annotations": { "deployment.kubernetes.io/revision": revision },
            },
            "spec": { "template": template },
        })
    }

    fn sets() -> Vec<Value> {
        vec![replica_set("s1", "r/1", "1"), replica_set("s2", "r/2", "2")]
    }

    /// A pod that was started five minutes ago and is ready.
    fn pod(name: &str, made_by: Value) -> Value {
        json!({
            "metadata": {
                "name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-01-01T00:05:00Z",
                "ownerReferences": made_by, "labels": { "app": "agent" },
            },
            "status": {
                "phase": "Running",
                "conditions": [{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }],
                "containerStatuses": [{
                    "name": "app", "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:05:00Z" } },
                }],
            },
        })
    }

    fn of_set(name: &str, set: &str) -> Value {
        pod(name, owners("ReplicaSet", set))
    }

    /// The pod with a container that waits for this reason.
    fn waiting(mut pod: Value, reason: &str, message: &str) -> Value {
        pod["status"]["conditions"][1]["status"] = json!("False");
        pod["status"]["containerStatuses"][0]["state"] =
            json!({ "waiting": { "reason": reason, "message": message } });
        pod
    }

    fn of(workload: &Value, pods: &[Value]) -> RollOut {
        state(workload, pods, &sets(), NOW)
    }

    /// What the roll-out waits for.
    #[track_caller]
    fn going(state: RollOut) -> String {
        let RollOut::Going(what) = state else { panic!("{state:?}") };
        what
    }

    /// Why the new pods fail.
    #[track_caller]
    fn fails(state: RollOut) -> String {
        let RollOut::Against(why) = state else { panic!("{state:?}") };
        why
    }

    fn done(names: &[&str]) -> RollOut {
        RollOut::Done { pods: names.iter().map(|name| format!("uid-{name}")).collect() }
    }

    #[test]
    fn a_roll_out_is_done_once_every_pod_is_of_the_present_template_and_ready() {
        assert_eq!(of(&deployment(), &[of_set("a", "s2"), of_set("b", "s2")]), done(&["a", "b"]));
    }

    #[test]
    fn an_old_pod_that_is_still_ending_is_waited_for() {
        let mut old = of_set("old", "s1");
        old["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:09:00Z");
        let mut pods = [of_set("a", "s2"), of_set("b", "s2"), old];
        assert_eq!(going(of(&deployment(), &pods)), "old pod old is still ending");
        // What it runs on may be lost.
        pods[2]["spec"] = json!({ "nodeName": "n-1" });
        assert_eq!(going(of(&deployment(), &pods)), "old pod old is still ending on node n-1");
    }

    #[test]
    fn an_old_pod_that_has_ended_is_not_waited_for() {
        for phase in ["Succeeded", "Failed"] {
            let mut old = of_set("old", "s1");
            old["status"]["phase"] = json!(phase);
            assert_eq!(of(&deployment(), &[of_set("a", "s2"), of_set("b", "s2"), old]), done(&["a", "b"]));
        }
    }

    #[test]
    fn a_surge_with_an_old_pod_that_is_ready_is_not_done() {
        let pods = [of_set("a", "s2"), of_set("b", "s2"), of_set("old", "s1")];
        assert_eq!(going(of(&deployment(), &pods)), "old pod old is not replaced yet");
        // The ReplicaSet of the old pod is not there any more.
        let pods = [of_set("a", "s2"), of_set("b", "s2"), of_set("old", "s0")];
        assert_eq!(going(of(&deployment(), &pods)), "old pod old is not replaced yet");
    }

    #[test]
    fn a_pod_with_the_same_labels_that_is_not_of_the_deployment_is_not_waited_for() {
        let mut other = replica_set("s9", "r/1", "1");
        other["metadata"]["ownerReferences"] = owners("Deployment", "another");
        let sets = [sets(), vec![other]].concat();
        let strangers = [of_set("x", "s9"), pod("y", json!([])), pod("z", owners("StatefulSet", "q"))];
        let pods = [vec![of_set("a", "s2"), of_set("b", "s2")], strangers.to_vec()].concat();
        assert_eq!(state(&deployment(), &pods, &sets, NOW), done(&["a", "b"]));
    }

    #[test]
    fn a_controller_that_has_not_seen_the_change_is_not_believed() {
        let mut deployment = deployment();
        deployment["metadata"]["generation"] = json!(5);
        assert!(
            going(of(&deployment, &[of_set("a", "s2"), of_set("b", "s2")]))
                .contains("has not seen the change")
        );
    }

    #[test]
    fn pods_of_the_former_template_are_not_done_before_the_new_replica_set_is_made() {
        let mut deployment = deployment();
        deployment["spec"]["template"] = template("r/3");
        let what = going(of(&deployment, &[of_set("a", "s2"), of_set("b", "s2")]));
        assert_eq!(what, "0 of 2 pods of the present template are made");
        assert_eq!(going(state(&deployment, &[of_set("a", "s2")], &[], NOW)), what);
    }

    #[test]
    fn of_two_replica_sets_with_the_present_template_the_newest_has_the_pods() {
        let sets = [replica_set("s3", "r/2", "9"), replica_set("s2", "r/2", "10")];
        let pods = [of_set("a", "s2"), of_set("b", "s2")];
        assert_eq!(state(&deployment(), &pods, &sets, NOW), done(&["a", "b"]));
    }

    #[test]
    fn what_the_controller_counts_has_to_fit() {
        for count in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
            let mut deployment = deployment();
            deployment["status"][count] = json!(1);
            let what = going(of(&deployment, &[of_set("a", "s2"), of_set("b", "s2")]));
            assert!(what.starts_with("its controller says that 1 of 2 pods are"), "{what}");
        }
    }

    #[test]
    fn an_autoscaler_that_wants_more_pods_is_followed() {
        let mut deployment = deployment();
        deployment["spec"]["replicas"] = json!(3);
        let what = going(of(&deployment, &[of_set("a", "s2"), of_set("b", "s2")]));
        assert_eq!(what, "2 of 3 pods of the present template are made");
    }

    #[test]
    fn a_container_that_was_restarted_a_moment_ago_may_end_again() {
        let mut young = of_set("b", "s2");
        young["status"]["containerStatuses"][0]["restartCount"] = json!(1);
        let mut at = |time: &str| {
            young["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = json!(time);
            of(&deployment(), &[of_set("a", "s2"), young.clone()])
        };
        let what = "container app of pod b was restarted less than 10 s ago";
        assert_eq!(going(at("2026-01-01T00:09:57Z")), what);
        assert_eq!(going(at("2026-01-01T00:09:51Z")), what);
        assert_eq!(going(at("2026-01-01T00:10:02Z")), what, "the clock of its node is ahead");
        assert_eq!(at("2026-01-01T00:09:50Z"), done(&["a", "b"]));
    }

    #[test]
    fn a_sidecar_that_was_restarted_a_moment_ago_is_waited_for_too() {
        let mut young = of_set("b", "s2");
        young["status"]["initContainerStatuses"] = json!([
            { "name": "setup", "state": { "terminated": { "startedAt": "2026-01-01T00:09:58Z" } } },
            { "name": "proxy", "state": { "running": { "startedAt": "2026-01-01T00:09:58Z" } } },
        ]);
        let what = going(of(&deployment(), &[of_set("a", "s2"), young]));
        assert_eq!(what, "container proxy of pod b was started less than 10 s ago");
    }

    #[test]
    fn a_new_pod_that_crashes_speaks_against_the_value() {
        let crashed =
            waiting(of_set("b", "s2"), "CrashLoopBackOff", "back-off 10s restarting failed container");
        let pods = [of_set("a", "s2"), crashed, of_set("old", "s1")];
        assert_eq!(fails(of(&deployment(), &pods)), "container app of pod b: CrashLoopBackOff");
    }

    #[test]
    fn an_old_pod_that_crashes_does_not_speak_against_the_value() {
        let crashed = waiting(of_set("old", "s1"), "CrashLoopBackOff", "");
        let pods = [of_set("a", "s2"), of_set("b", "s2"), crashed];
        assert_eq!(going(of(&deployment(), &pods)), "old pod old is not replaced yet");
    }

    #[test]
    fn an_image_that_cannot_be_pulled_or_a_key_that_is_missing_fails_the_roll_out() {
        let with = |reason: &str| {
            let pods = [waiting(of_set("a", "s2"), reason, "couldn't find key x"), of_set("old", "s1")];
            of(&deployment(), &pods)
        };
        let mut deployment = deployment();
        deployment["spec"]["replicas"] = json!(1);
        assert_eq!(fails(with("ImagePullBackOff")), "container app of pod a: ImagePullBackOff");
        let why = fails(with("CreateContainerConfigError"));
        assert_eq!(why, "container app of pod a: CreateContainerConfigError: couldn't find key x");
        let pods = [waiting(of_set("a", "s2"), "ContainerCreating", ""), of_set("old", "s1")];
        assert_eq!(
            going(of(&deployment, &pods)),
            "pod a is not ready: its container app waits: ContainerCreating"
        );
    }

    #[test]
    fn a_quota_and_the_deadline_of_the_deployment_fail_the_roll_out() {
        let with = |condition: Value| {
            let mut deployment = deployment();
            deployment["status"]["conditions"] = json!([condition]);
            of(&deployment, &[of_set("a", "s2")])
        };
        let refused = |message: &str| json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message });
        let why = fails(with(refused("pods is forbidden: exceeded quota: pods")));
        assert_eq!(why, "its pods cannot be made: FailedCreate: pods is forbidden: exceeded quota: pods");
        let why = fails(with(refused("admission webhook denied the request: TOKEN=abc")));
        assert_eq!(why, "its pods cannot be made: FailedCreate");
        let late = json!({ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" });
        assert!(fails(with(late)).contains("within 600 s"));
    }

    #[test]
    fn a_pod_without_a_node_is_waited_for_with_the_reason() {
        let mut pending = of_set("b", "s2");
        pending["status"] = json!({
            "phase": "Pending",
            "conditions": [{ "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" }],
        });
        let what = going(of(&deployment(), &[of_set("a", "s2"), pending]));
        assert_eq!(what, "pod b has no node: 0/3 nodes are available");
    }

    #[test]
    fn what_is_scaled_to_0_is_at_rest_once_its_last_pod_is_gone() {
        let mut deployment = deployment();
        deployment["spec"]["replicas"] = json!(0);
        deployment["status"] = json!({ "observedGeneration": 4 });
        assert_eq!(of(&deployment, &[]), RollOut::AtRest);
        assert_eq!(going(of(&deployment, &[of_set("old", "s1")])), "old pod old is not replaced yet");
    }

    #[test]
    fn a_paused_deployment_is_done_only_if_it_was_done_before() {
        let mut deployment = deployment();
        deployment["spec"]["paused"] = json!(true);
        assert_eq!(of(&deployment, &[of_set("a", "s2"), of_set("b", "s2")]), done(&["a", "b"]));
        let what = going(of(&deployment, &[of_set("a", "s2"), of_set("old", "s1")]));
        assert_eq!(what, Held::Paused.why());
        let command = Held::Paused.command("deployment/agent", "-n shop");
        assert_eq!(command, "kubectl rollout resume deployment/agent -n shop");
    }

    /// A StatefulSet of two pods.
    fn stateful_set(present: &str) -> Value {
        let mut workload = deployment();
        workload["kind"] = json!("StatefulSet");
        workload["spec"]["updateStrategy"] =
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
        workload["status"]["updateRevision"] = json!("h2");
        workload["status"]["currentRevision"] = json!(present);
        workload
    }

    /// A pod of a StatefulSet or a DaemonSet.
    fn hashed(name: &str, kind: &str, hash: &str) -> Value {
        let mut pod = pod(name, owners(kind, "d"));
        pod["metadata"]["labels"]["controller-revision-hash"] = json!(hash);
        pod
    }

    #[test]
    fn a_stateful_set_is_done_once_its_present_revision_is_the_next_one() {
        let pods = [hashed("0", "StatefulSet", "h2"), hashed("1", "StatefulSet", "h2")];
        assert_eq!(of(&stateful_set("h2"), &pods), done(&["0", "1"]));
        assert!(going(of(&stateful_set("h1"), &pods)).contains("has not said yet"));
    }

    #[test]
    fn a_partition_of_a_stateful_set_keeps_old_pods() {
        let mut workload = stateful_set("h1");
        workload["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(1);
        workload["status"]["updatedReplicas"] = json!(1);
        let pods = [hashed("0", "StatefulSet", "h1"), hashed("1", "StatefulSet", "h2")];
        assert_eq!(going(of(&workload, &pods)), Held::Partition(1).why());
        let what = going(of(&stateful_set("h1"), &pods));
        assert_eq!(what, "1 of 2 pods of the present template are made");
    }

    #[test]
    fn the_pod_of_a_stateful_set_with_the_highest_number_is_looked_at_alone() {
        let mut set = stateful_set("h1");
        set["metadata"]["name"] = json!("agent");
        let top = |hash: &str| hashed("agent-1", "StatefulSet", hash);
        let first = hashed("agent-0", "StatefulSet", "h1");
        assert_eq!(state_of_top(&set, &[first.clone(), top("h2")], NOW), done(&["agent-1"]));
        let what = going(state_of_top(&set, &[first.clone(), top("h1")], NOW));
        assert_eq!(what, "old pod agent-1 is not replaced yet");
        assert_eq!(going(state_of_top(&set, &[first], NOW)), "pod agent-1 is not made yet");
        let crashed = waiting(top("h2"), "CrashLoopBackOff", "");
        assert!(fails(state_of_top(&set, &[crashed], NOW)).contains("CrashLoopBackOff"));
        set["spec"]["ordinals"] = json!({ "start": 3 });
        assert_eq!(going(state_of_top(&set, &[top("h2")], NOW)), "pod agent-4 is not made yet");
        set["metadata"]["generation"] = json!(5);
        assert!(going(state_of_top(&set, &[top("h2")], NOW)).contains("has not seen the change"));
    }

    /// A DaemonSet on two nodes, of which so many pods have the newest template.
    fn daemon_set(updated: i64) -> Value {
        let mut workload = deployment();
        workload["kind"] = json!("DaemonSet");
        workload["status"] = json!({
            "observedGeneration": 4, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberReady": 2,
            "numberAvailable": 2, "updatedNumberScheduled": updated,
        });
        workload
    }

    #[test]
    fn a_daemon_set_is_done_once_its_pods_have_one_template_and_its_controller_says_so() {
        let (old, new) = (hashed("a", "DaemonSet", "h1"), hashed("a", "DaemonSet", "h2"));
        let mut last = hashed("b", "DaemonSet", "h2");
        last["metadata"]["creationTimestamp"] = json!("2026-01-01T00:06:00Z");
        assert_eq!(of(&daemon_set(2), &[new.clone(), last.clone()]), done(&["a", "b"]));
        assert_eq!(
            going(of(&daemon_set(1), &[old.clone(), last.clone()])),
            "1 of 2 pods of the present template are made"
        );
        // All have one template, and it is not the newest.
        let pods = [old.clone(), hashed("b", "DaemonSet", "h1")];
        assert_eq!(going(of(&daemon_set(0), &pods)), "0 of 2 pods of the present template are made");
        // On a node that is lost, the old one does not make room.
        let mut ending = old.clone();
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:09:00Z");
        ending["spec"] = json!({ "nodeName": "n-1" });
        assert_eq!(
            going(of(&daemon_set(1), &[ending, last.clone()])),
            "1 of 2 pods of the present template are made, and old pod a is still ending on node n-1"
        );
        // With a surge, each node has one of each.
        let what = going(of(&daemon_set(2), &[old, new, last]));
        assert_eq!(what, "old pod a is not replaced yet");
    }

    #[test]
    fn a_daemon_set_that_waits_for_deletions_says_so() {
        let mut workload = daemon_set(0);
        workload["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
        let pods = [hashed("a", "DaemonSet", "h1"), hashed("b", "DaemonSet", "h1")];
        assert_eq!(going(of(&workload, &pods)), Held::OnDelete.why());
    }

    #[test]
    fn a_new_pod_that_is_ending_is_not_done() {
        let mut ending = of_set("b", "s2");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:09:00Z");
        assert_eq!(going(of(&deployment(), &[of_set("a", "s2"), ending])), "pod b is still ending");
    }

    #[test]
    fn a_job_is_at_rest_unless_a_pod_of_it_runs() {
        let job = json!({ "kind": "Job", "metadata": { "name": "nightly", "uid": "j", "generation": 1 } });
        let run = pod("a", owners("Job", "j"));
        let mut ended = pod("b", owners("Job", "j"));
        ended["status"]["phase"] = json!("Succeeded");
        assert_eq!(of(&job, std::slice::from_ref(&ended)), RollOut::AtRest);
        assert_eq!(of(&job, &[run, ended]), done(&["a"]));
    }

    #[test]
    fn a_pod_that_nothing_manages_is_looked_at_by_itself() {
        let mut alone = pod("a", json!([]));
        alone["kind"] = json!("Pod");
        assert_eq!(of(&alone, &[]), done(&["a"]));
        assert!(fails(of(&waiting(alone.clone(), "CrashLoopBackOff", ""), &[])).contains("CrashLoopBackOff"));
        alone["status"]["phase"] = json!("Failed");
        assert_eq!(of(&alone, &[]), RollOut::AtRest);
    }
}
