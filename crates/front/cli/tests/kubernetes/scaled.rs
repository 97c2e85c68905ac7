//! A cluster that does something itself while it rolls out: an autoscaler adds pods, a budget allows no disruption, a quota
//! allows no pod, an old pod does not end, a node is lost, a job begins too late. Each pod counts until it is seen on the new
//! value, or waived by name; and what keyroll waits for, it says.

use keyroll_testkit::command::{Ran, Running};
use keyroll_testkit::issuer::{Ask, Key, Moment};
use serde_json::{Value, json};

use super::bad_days_in_clusters::is_back;
use super::rotate_scene::{AGENT, ENDS, KEY, PAUSE_US, SECRET, Scene, Takes};

const VERSIONED: &str = "versioned = true\n";

/// With a Secret for each version nothing is waited for: a roll-out, its settling and two probes.
const SHORT: &str = "unit_deadline = \"60s\"\n";
/// The same, after keyroll has said what it waits for, which it does when a quarter of the time is over.
const MIDDLE: &str = "unit_deadline = \"100s\"\n";
/// Twice the time until no node has the value from before, and a roll-out of four pods that are slow.
const LONG: &str = "unit_deadline = \"300s\"\n";

/// How long a pod must be ready before it counts, seconds: longer than the autoscaler takes to look, which is 15 s.
const SLOW_S: u32 = 20;

/// What holds a pod as long as it is there.
const FINALIZER: &str = "keyroll.dev/a-test";

/// A file in a container whose program does not end while it is there.
const STAYS: &str = "/tmp/stays";

/// A node without a machine, and what keeps pods away from it that do not want to be there.
const LOST: &str = "lost";
const TAINT: &str = "keyroll.dev/lost";

/// The one event of this kind.
#[track_caller]
fn one<'r>(ran: &'r Ran, kind: &str) -> &'r Value {
    let all = ran.of(kind);
    let [event] = all.as_slice() else { panic!("{} times {kind}: {}", all.len(), ran.text) };
    event
}

/// A rotation that is driven: no consumer counts as moved, and nothing was revoked.
#[track_caller]
fn nothing_is_moved(scene: &Scene, id: &str) {
    let status = scene.run(&["status", id]);
    let seen = one(&status, "status");
    assert_eq!(seen["moved"], 0, "{}", status.text);
    assert_eq!(seen["decided"], false, "{}", status.text);
    scene.both_work();
}

/// Waits until keyroll says this.
#[track_caller]
fn says(running: &Running, words: &str) {
    running.says(words, |event| event["text"].as_str().is_some_and(|text| text.contains(words)));
}

/// A Deployment of two pods that take the key.
fn two_pods(scene: &Scene) -> Value {
    let mut agent = scene.workload("Deployment", "agent", Takes::Env);
    agent["spec"]["replicas"] = json!(2);
    agent
}

#[test]
fn pods_that_an_autoscaler_adds_in_the_middle_of_a_roll_out_are_counted() {
    let Some(scene) = Scene::raise("an autoscaler in a roll-out") else { return };
    let mut agent = two_pods(&scene);
    agent["spec"]["minReadySeconds"] = json!(SLOW_S);
    scene.create(&agent);
    scene.configure(LONG, &scene.consumer("agent", AGENT, Takes::Env, ""));
    scene.is_rolled_out("deployment/agent");
    scene.begin();
    scene.is_on("agent", &scene.old);

    let id = scene.plan();
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    let deployment = || scene.object("deployment/agent");
    let stamp = "/spec/template/metadata/annotations/keyroll.dev~1rolled-by";
    scene.cluster.wait_late("the roll-out", || deployment().pointer(stamp).is_some());
    // Below the least number the real autoscaler adds pods without any metrics.
    scene.create(&json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "agent", "namespace": scene.namespace },
        "spec": {
            "minReplicas": 4, "maxReplicas": 4,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "agent" },
        },
    }));
    scene.cluster.wait("the autoscaler", || deployment()["spec"]["replicas"] == 4);
    nothing_is_moved(&scene, &id);
    let pods = scene.pods("agent");
    assert!(pods.iter().any(|pod| scene.issuer.last_of(pod).as_ref() == Some(&scene.old)), "it was too late");

    let applied = scene.heard(running.end_late());
    applied.exits(0).ended("done");
    assert_eq!(one(&applied, "decided")["instances"], 4, "{}", applied.text);
    let new = scene.new_key();
    let pods = scene.pods("agent");
    assert_eq!(pods.len(), 4, "{pods:?}");
    for pod in &pods {
        let shows = |event: &&Value| event["grade"] == "checked" && event["instance"] == format!("pod {pod}");
        assert!(applied.of("evidence").iter().any(shows), "nothing was seen of {pod}: {}", applied.text);
    }
    scene.is_on("agent", &new);
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_was_run_in_pods();
    scene.nothing_leaked();
}

/// A controller replaces its own pods, which is no disruption that somebody asks for.
#[test]
fn a_budget_that_allows_no_disruption_does_not_hold_up_a_roll_out() {
    let Some(scene) = Scene::raise("a budget that allows no disruption") else { return };
    scene.create(&two_pods(&scene));
    scene.create(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "agent", "namespace": scene.namespace },
        "spec": { "minAvailable": "100%", "selector": { "matchLabels": { "app": "agent" } } },
    }));
    scene.configure(SHORT, &scene.consumer("agent", AGENT, Takes::Env, VERSIONED));
    scene.is_rolled_out("deployment/agent");
    let is_in_force = || {
        let budget = scene.object("poddisruptionbudget/agent");
        let status = &budget["status"];
        status["currentHealthy"] == 2 && status["disruptionsAllowed"] == 0
    };
    scene.cluster.wait("the budget", is_in_force);
    scene.begin();
    scene.is_on("agent", &scene.old);
    let before = scene.pods("agent");

    let id = scene.plan();
    let applied = scene.apply(&id);
    applied.exits(0).ended("done");
    assert_eq!(one(&applied, "decided")["instances"], 2, "{}", applied.text);
    let (new, after) = (scene.new_key(), scene.pods("agent"));
    assert!(before.iter().all(|pod| !after.contains(pod)), "a pod was not replaced: {after:?}");
    scene.is_on("agent", &new);
    scene.cluster.wait("the budget", is_in_force);
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

#[test]
fn a_quota_that_allows_no_more_pods_fails_the_consumer_by_name_and_the_old_pods_go_on() {
    let Some(scene) = Scene::raise("a quota that allows no more pods") else { return };
    scene.with_deployment(SHORT, Takes::Env, VERSIONED);
    let before = scene.pods("agent");
    let id = scene.until("roll");
    scene.create(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "no-more", "namespace": scene.namespace },
        "spec": { "hard": { "pods": "1" } },
    }));
    let counts = || scene.object("resourcequota/no-more")["status"]["used"]["pods"] == "1";
    scene.cluster.wait("the quota", counts);

    let failed = scene.resume(&id);
    assert!(matches!(failed.code, Some(4..=6)), "{}", failed.text);
    failed.says(&["agent", "exceeded quota: no-more"]);
    scene.run(&["status", &id]).says(&["its new pods fail"]);
    assert!(!scene.issuer.deletions().contains(&scene.old));
    assert_eq!(scene.pods("agent"), before, "a pod was replaced, or one was made");
    scene.is_on("agent", &scene.old);

    scene.kubectl(&["delete", "resourcequota", "no-more"]);
    if failed.code != Some(5) {
        scene.aborted(&id);
    }
    for version in scene.versions() {
        assert_eq!(scene.key_in(&version).as_ref(), Some(&scene.old), "a dead version was left");
    }
    is_back(&scene);
}

/// A Deployment of one pod, whose program goes on with the first key when it is asked to end; that pod.
#[track_caller]
fn with_one_that_stays(scene: &Scene, keys: &str) -> String {
    let trap = format!("trap '[ -e {STAYS} ] || E=1' TERM");
    let script = scene.agent(Takes::Env, PAUSE_US);
    assert!(script.starts_with(ENDS), "{script}");
    let script = script.replacen(ENDS, &trap, 1);
    let mut agent = scene.running("Deployment", "agent", Takes::Env, &script);
    agent["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(3600);
    scene.create(&agent);
    scene.configure(keys, &scene.consumer("agent", AGENT, Takes::Env, VERSIONED));
    scene.is_rolled_out("deployment/agent");
    scene.begin();
    scene.is_on("agent", &scene.old);
    let pods = scene.pods("agent");
    let [pod] = pods.as_slice() else { panic!("{pods:?}") };
    scene.kubectl(&["exec", pod, "--", "touch", STAYS]);
    pod.clone()
}

/// Its program ends after all.
fn ends(scene: &Scene, pod: &str) {
    scene.kubectl(&["exec", pod, "--", "sh", "-c", &format!("rm {STAYS}; kill -TERM 1")]);
}

/// A pod that was asked to end goes on to call with the first key.
#[track_caller]
fn goes_on(scene: &Scene, pod: &str) {
    let object = scene.object(&format!("pod/{pod}"));
    assert!(object["metadata"]["deletionTimestamp"].is_string(), "{object}");
    scene.issuer.forget();
    let calls = || scene.issuer.last_of(pod).as_ref() == Some(&scene.old);
    scene.cluster.wait("a call of the old pod", calls);
}

/// The API server has the object of a pod with a finalizer long after its container has ended: that alone uses nothing.
#[test]
fn an_old_pod_that_does_not_end_is_waited_for_until_its_container_has_ended() {
    let Some(scene) = Scene::raise("an old pod that does not end") else { return };
    let pod = with_one_that_stays(&scene, MIDDLE);
    let object = format!("pod/{pod}");
    let hold = |by: Value| {
        let patch = json!({ "metadata": { "finalizers": by } }).to_string();
        scene.kubectl(&["patch", &object, "--type=merge", "-p", &patch]);
    };
    hold(json!([FINALIZER]));
    let id = scene.plan();
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    says(&running, &format!("old pod {pod} is still ending"));
    nothing_is_moved(&scene, &id);
    scene.is_on("agent", &scene.new_key());
    goes_on(&scene, &pod);

    ends(&scene, &pod);
    let ended = scene.heard(running.end_late());
    ended.exits(0).ended("done");
    assert_eq!(one(&ended, "decided")["instances"], 1, "{}", ended.text);
    let left = scene.object(&object);
    assert_eq!(left["status"]["phase"], "Succeeded", "{left}");
    assert_eq!(left["metadata"]["finalizers"], json!([FINALIZER]));
    let new = scene.new_key();
    scene.is_on("agent", &new);
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    hold(Value::Null);
    let there = ["-n", scene.namespace.as_str(), "get", &object];
    scene.cluster.wait("the end of the pod", || !scene.cluster.does(&there));
    scene.nothing_leaked();
}

#[test]
fn an_old_pod_that_never_ends_fails_the_consumer_by_its_deadline_and_both_keys_are_kept() {
    let Some(scene) = Scene::raise("an old pod that never ends") else { return };
    let pod = with_one_that_stays(&scene, SHORT);
    let id = scene.plan();
    let failed = scene.apply(&id);
    assert!(matches!(failed.code, Some(4 | 6)), "{}", failed.text);
    assert!(failed.entered("rolling_back"), "{}", failed.text);
    failed.says(&["keyroll consumer waive agent ", &format!("old pod {pod} is still ending")]);
    scene.both_work();
    assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
    goes_on(&scene, &pod);
    scene.is_rolled_out("deployment/agent");
    scene.is_on("agent", &scene.old);

    ends(&scene, &pod);
    let is_there = || scene.cluster.does(&["-n", scene.namespace.as_str(), "get", "pod", &pod]);
    scene.cluster.wait("the end of the old pod", || !is_there());
    scene.aborted(&id);
    is_back(&scene);
}

/// Makes a node that no machine is behind. What its kubelet would say stands in its status once and never again, so the
/// cluster's own controllers find it lost. There is one real kubelet here: as the API server shows it, this is a lost node.
fn a_node_is_lost(scene: &Scene) {
    scene.create(&json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": LOST, "labels": { "kubernetes.io/hostname": LOST } },
        "spec": { "taints": [{ "key": TAINT, "effect": "NoSchedule" }] },
    }));
    // For one pod: no check is run there.
    let room = json!({ "cpu": "1", "memory": "1Gi", "pods": "1" });
    let heard = "2026-01-01T00:00:00Z";
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": heard,
        "lastTransitionTime": heard,
    });
    let status = json!({ "status": { "capacity": room, "allocatable": room, "conditions": [ready] } });
    says_once(scene, &format!("node/{LOST}"), &status);
}

/// Writes a status, as a kubelet does.
fn says_once(scene: &Scene, object: &str, status: &Value) {
    let status = status.to_string();
    scene.kubectl(&["patch", object, "--subresource=status", "--type=merge", "-p", &status]);
}

/// The pods of a DaemonSet by their nodes: the one that runs, and the one on the lost node, with the status of the first, which
/// its kubelet would have given it.
#[track_caller]
fn one_on_each_node(scene: &Scene) -> [String; 2] {
    let pod_on = |node: &str| {
        let said = scene.kubectl(&["get", "pods", "-l", "app=agent", "-o", "json"]);
        let all: Value = serde_json::from_str(&said).unwrap();
        let pods = all["items"].as_array().unwrap();
        pods.iter().find(|pod| pod["spec"]["nodeName"] == node).cloned()
    };
    let (mut real, mut lost) = (Value::Null, Value::Null);
    scene.cluster.wait("a pod on each node", || {
        real = pod_on("localhost").unwrap_or_default();
        lost = pod_on(LOST).unwrap_or_default();
        real["status"]["phase"] == "Running" && lost.is_object()
    });
    let mut container = real["status"]["containerStatuses"][0].clone();
    container["ready"] = json!(true);
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": real["status"]["startTime"] });
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    let status = json!({ "status": {
        "phase": "Running", "startTime": real["status"]["startTime"], "conditions": conditions,
        "containerStatuses": [container],
    } });
    says_once(scene, &format!("pod/{}", name(&lost)), &status);
    [name(&real), name(&lost)]
}

#[test]
fn a_pod_on_a_lost_node_is_not_called_current_and_holds_up_the_revocation_until_it_is_waived() {
    let Some(scene) = Scene::raise("a node that is lost in a roll-out") else { return };
    a_node_is_lost(&scene);
    let mut agent = scene.workload("DaemonSet", "agent", Takes::Env);
    agent["spec"]["template"]["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    // One that is not available does not hold up the other.
    agent["spec"]["updateStrategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 2 } });
    scene.create(&agent);
    let [real, lost] = one_on_each_node(&scene);
    scene.is_rolled_out("daemonset/agent");
    let runs = "daemonset = \"agent\", container = \"app\"";
    scene.configure(MIDDLE, &scene.consumer("agent", runs, Takes::Env, VERSIONED));
    scene.begin();

    let id = scene.plan();
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    says(&running, &format!("old pod {lost} is still ending on node {LOST}"));
    // Everywhere else the new key is used, and still nothing is called moved.
    let new = scene.new_key();
    assert!(!scene.pods("agent").contains(&real), "its pod was not replaced");
    scene.is_on("agent", &new);
    nothing_is_moved(&scene, &id);
    let why = scene.run(&["why", "acme", "--host", "prod"]);
    let seen = why.of("instance");
    let of_lost = |one: &&&Value| one["pod"] == format!("{lost}/app");
    let of_lost = seen.iter().find(of_lost).unwrap_or_else(|| panic!("{lost} is not seen: {}", why.text));
    assert_eq!(of_lost["verdict"], "stale", "{}", why.text);

    scene.interrupted(running);
    scene.both_work();
    scene.run(&["consumer", "waive", "agent", "--reason", "a node of it is lost"]).exits(0);
    let ended = scene.resume(&id);
    ended.exits(0).ended("done");
    assert_eq!(one(&ended, "decided")["waivers"], 1, "{}", ended.text);
    let left = |event: &&Value| event["place"] == format!("prod:pod/{lost}/app");
    assert!(ended.of("residue").iter().any(left), "what was waived is not named: {}", ended.text);
    assert_eq!(scene.issuer.deletions(), [scene.old.as_str()]);
    scene.is_on("agent", &new);
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.kubectl(&["delete", "node", LOST]);
    scene.nothing_leaked();
}

/// The key that everything starts with.
fn first(key: &Key) -> bool {
    key.label == "by hand"
}

/// Its manifest names the Secret that people made, which keeps the old value where each version has a Secret of its own.
#[test]
fn a_job_that_begins_with_the_old_value_after_the_decision_is_found_and_named() {
    let Some(scene) = Scene::raise("a job that begins after the decision") else { return };
    scene.create(&scene.workload("CronJob", "nightly", Takes::Env));
    scene.with_deployment(SHORT, Takes::Env, VERSIONED);
    let id = scene.plan();
    let (cluster, namespace) = (scene.cluster.clone(), scene.namespace.clone());
    // The revocation is on its way.
    scene.issuer.trap(Ask::Delete, Moment::Meanwhile, first, move || {
        let own = |words: &[&str]| cluster.kubectl(&[&["-n", namespace.as_str()][..], words].concat());
        own(&["create", "job", "late", "--from=cronjob/nightly"]);
        let phase = ["get", "pods", "-l", "job-name=late", "-o", "jsonpath={.items[*].status.phase}"];
        cluster.wait("the pod of the job", || own(&phase).trim() == "Running");
    });

    let applied = scene.apply(&id);
    applied.exits(0).ended("done");
    let late =
        scene.kubectl(&["get", "pods", "-l", "job-name=late", "-o", "jsonpath={.items[*].metadata.name}"]);
    assert_eq!(scene.held(&late).as_ref(), Some(&scene.old), "it has another key");
    let places = [
        (format!("prod:pod/{late}/app"), "cronjob/nightly"),
        (format!("prod:secret/{SECRET} {KEY}"), "cronjob/nightly refers to it"),
    ];
    for (place, words) in &places {
        let is_named = |event: &&Value| {
            event["place"] == *place && event["reason"].as_str().is_some_and(|reason| reason.contains(words))
        };
        assert!(applied.of("residue").iter().any(is_named), "{place} is not named: {}", applied.text);
    }
    let new = scene.new_key();
    scene.is_on("agent", &new);
    scene.settled(&new);
    let refused = scene.refused();
    assert!(refused.iter().all(|call| call.starts_with("late-")), "{refused:?}");
    scene.kubectl(&["delete", "job", "late", "--wait=false"]);
    scene.nothing_leaked();
}
