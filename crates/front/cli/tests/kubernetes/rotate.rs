//! Whole rotations of a key whose consumers are pods of a real cluster: each way of taking it, each kind of workload, a Secret
//! that is changed and a Secret of its own for each version, a file that is read again, and the real External Secrets.

use std::sync::Arc;
use std::time::Instant;

use keyroll_testkit::{ExternalSecrets, Kubernetes, MOTO_REGION, Moto, MotoUser, figure};
use serde_json::{Value, json};

use super::rotate_scene::{AGENT, KEY, OWN, ROLE, SECRET, Scene, Takes, is_here_or_skip};
use crate::kill::apart::namespaces_or_skip;

/// How many calls each of two programs makes a second, and how many of both are answered at least for each second that passes:
/// half of them, for a machine that is busy.
const PACE: u32 = 100;
const ANSWERED_MIN: u128 = 100;

const DEADLINE: &str = "unit_deadline = \"150s\"\n";

/// For files that are read again: they count as followed after two minutes.
const LONGER: &str = "unit_deadline = \"200s\"\n";

/// A program that reads its file at each call.
const TRUSTED: &str = "trusts = \"rereads\"\n";

#[test]
fn two_replicas_get_a_new_key_and_not_one_of_their_calls_is_refused() {
    let Some(scene) = Scene::raise("a rotation in a cluster") else { return };
    let script = scene.paced(Takes::Env, PACE);
    let mut agent = scene.running("Deployment", "agent", Takes::Env, &script);
    agent["spec"]["replicas"] = json!(2);
    scene.create(&agent);
    scene.configure(DEADLINE, &scene.consumer("agent", AGENT, Takes::Env, ""));
    scene.is_rolled_out("deployment/agent");
    scene.begin();
    let before = scene.pods("agent");
    assert_eq!(before.len(), 2);
    scene.is_on("agent", &scene.old);

    let id = scene.plan();
    let answered = || u128::try_from(scene.answered().values().sum::<usize>()).unwrap();
    let (called, began) = (answered(), Instant::now());
    let applied = scene.apply(&id);
    let (calls, passed_ms) = (answered() - called, began.elapsed().as_millis());
    applied.exits(0).ended("done");
    eprintln!("{calls} calls were answered in {passed_ms} ms");
    assert!(calls * 1_000 >= ANSWERED_MIN * passed_ms, "only {calls} calls in {passed_ms} ms");
    assert_eq!(scene.refused(), [] as [String; 0]);

    let new = scene.new_key();
    assert_eq!(scene.given_out().as_deref(), Some(new.as_str()));
    scene.is_on("agent", &new);
    let after = scene.pods("agent");
    assert_eq!(after.len(), 2);
    assert!(before.iter().all(|pod| !after.contains(pod)), "a pod was not replaced: {after:?}");
    assert!(!scene.is_alive(&scene.old), "the old key is alive");
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_was_run_in_pods();
    scene.nothing_leaked();
    // They would go on to call as long as other scenes have the cluster.
    scene.kubectl(&["delete", "deployment", "agent", "--wait=false"]);
}

/// A workload of each kind beside one of each way, with its consumer: `(kind, name, way)`.
fn all_workloads() -> Vec<(&'static str, &'static str, Takes)> {
    let mut all: Vec<_> = Takes::ALL.into_iter().map(|takes| ("Deployment", takes.word(), takes)).collect();
    all.push(("StatefulSet", "stateful", Takes::Env));
    all.push(("DaemonSet", "on-each-node", Takes::Env));
    all.push(("CronJob", "nightly", Takes::Env));
    all
}

/// Rotates a key that all of them take; further keys of each consumer.
fn every_way_and_kind(scene: &Scene, more: &str) {
    let mut tables = String::new();
    for (kind, name, takes) in all_workloads() {
        scene.create(&scene.workload(kind, name, takes));
        let runs = format!("{} = \"{name}\"", kind.to_lowercase());
        tables += &scene.consumer(name, &runs, takes, more);
    }
    scene.configure(&format!("{DEADLINE}max_parallel = 4\n"), &tables);
    let pods = || all_workloads().into_iter().filter(|(kind, ..)| *kind != "CronJob");
    for (kind, name, _) in pods() {
        scene.is_rolled_out(&format!("{}/{name}", kind.to_lowercase()));
    }
    scene.begin();
    let id = scene.plan();
    scene.apply(&id).exits(0).ended("done");
    let new = scene.new_key();
    for (_, name, _) in pods() {
        scene.is_on(name, &new);
    }
    // The next run starts with it, and nothing ran it early.
    assert_eq!(scene.key_in(&secret_of_next_run(scene)).as_deref(), Some(new.as_str()));
    let jobs = scene.kubectl(&["get", "jobs", "-o", "name"]);
    assert!(!jobs.contains("nightly"), "it was run: {jobs}");
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_was_run_in_pods();
    scene.nothing_leaked();
}

/// The Secret that the template of the CronJob names.
fn secret_of_next_run(scene: &Scene) -> String {
    let job = scene.object("cronjob/nightly");
    let container = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    let takes = container["env"].as_array().unwrap().iter().find(|one| one["name"] == KEY).unwrap();
    takes["valueFrom"]["secretKeyRef"]["name"].as_str().unwrap().to_owned()
}

#[test]
fn every_way_of_taking_a_secret_and_every_kind_of_workload_gets_the_new_key() {
    let Some(scene) = Scene::raise("every way of taking a Secret that is rotated") else { return };
    every_way_and_kind(&scene, "");
    assert_eq!(scene.given_out(), Some(scene.new_key()));
    assert!(scene.versions().is_empty(), "{:?}", scene.versions());
}

#[test]
fn every_way_and_kind_gets_the_new_key_by_a_secret_of_its_own_for_each_version() {
    let Some(scene) = Scene::raise("every way of taking a Secret for each version") else { return };
    every_way_and_kind(&scene, "versioned = true\n");
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old), "the Secret that people made was changed");
    // The content is the same for all, and so is the name.
    assert_eq!(scene.versions().len(), 1, "{:?}", scene.versions());
    assert_eq!(scene.versions(), [secret_of_next_run(&scene)]);
}

#[test]
fn a_secret_for_each_version_is_rotated_twice_under_two_names() {
    let Some(scene) = Scene::raise("two rotations with a Secret for each version") else { return };
    scene.with_deployment(DEADLINE, Takes::EnvFrom, "versioned = true\n");
    let mut names = vec![SECRET.to_owned()];
    for _ in 0..2 {
        let id = scene.plan();
        scene.apply(&id).exits(0).ended("done");
        let new = scene.new_key();
        scene.is_on("agent", &new);
        let agent = scene.object("deployment/agent");
        let container = &agent["spec"]["template"]["spec"]["containers"][0];
        let named = container["envFrom"][0]["secretRef"]["name"].as_str().unwrap().to_owned();
        assert!(!names.contains(&named), "two versions have one name: {names:?} {named}");
        assert!(scene.versions().contains(&named), "keyroll did not make {named}");
        assert_eq!(scene.key_in(&named), Some(new.clone()));
        names.push(named);
        scene.settled(&new);
    }
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

#[test]
fn a_file_that_is_read_again_follows_because_its_pod_is_marked_and_no_pod_is_replaced() {
    let left_out = "a file that is read again, on a node that does not look by itself";
    if !is_here_or_skip(left_out) {
        return;
    }
    // Without the mark, the file of a pod follows only an hour later.
    let scene = Scene::beside(Arc::new(Kubernetes::with_slow_node()));
    let script = scene.reader(&format!("/secrets/{KEY}"));
    scene.create(&scene.running("Deployment", "agent", Takes::File, &script));
    let runs = format!("{AGENT}, rereads = true");
    scene.configure(LONGER, &scene.consumer("agent", &runs, Takes::File, TRUSTED));
    scene.is_rolled_out("deployment/agent");
    scene.begin();
    scene.is_on("agent", &scene.old);
    let before = scene.lives("agent");

    let id = scene.plan();
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    scene.cluster.wait("the new key in the Secret", || scene.given_out().as_ref() != Some(&scene.old));
    let (new, pod) = (scene.new_key(), &before[0].0);
    let follows = || scene.issuer.last_of(pod).as_deref() == Some(new.as_str());
    scene.cluster.wait("a call with the new key", follows);
    let refreshed =
        scene.object(&format!("pod/{pod}"))["metadata"]["annotations"]["keyroll.dev/refresh"].clone();
    assert!(refreshed.as_str().is_some_and(|stamp| stamp.starts_with(&id)), "{refreshed}");

    scene.heard(running.end_late()).exits(0).ended("done");
    scene.is_on("agent", &new);
    assert_eq!(scene.lives("agent"), before, "a pod was replaced");
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

/// Nothing makes it again, so it has to stay. Red: it is replaced or ended; or its file counts as followed before two minutes
/// have passed, or never.
#[test]
fn a_pod_that_nothing_manages_and_that_reads_its_file_again_gets_the_new_key_and_stays() {
    let Some(scene) = Scene::raise("a pod that nothing manages") else { return };
    let script = scene.reader(&format!("/secrets/{KEY}"));
    scene.create(&scene.running("Pod", "alone", Takes::File, &script));
    let runs = "pod = \"alone\", container = \"app\", rereads = true";
    scene.configure(LONGER, &scene.consumer("alone", runs, Takes::File, TRUSTED));
    scene.kubectl(&["wait", "--for=condition=Ready", "pod/alone", "--timeout=100s"]);
    scene.begin();
    scene.is_on("alone", &scene.old);
    let uid = || scene.object("pod/alone")["metadata"]["uid"].clone();
    let before = (uid(), scene.lives("alone"));

    let id = scene.plan();
    scene.apply(&id).exits(0).ended("done");
    let new = scene.new_key();
    scene.is_on("alone", &new);
    assert_eq!((uid(), scene.lives("alone")), before, "the pod was replaced, or its program was restarted");
    assert_eq!(scene.given_out().as_ref(), Some(&new));
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_was_run_in_pods();
    scene.nothing_leaked();
}

/// Its pod keeps the key of its start. Red: the old key is ended under it; or the Job that has ended holds it up for ever.
#[test]
fn a_job_that_runs_with_the_old_key_holds_up_the_revocation_until_it_has_ended() {
    let Some(scene) = Scene::raise("a job that runs in a rotation") else { return };
    scene.create(&scene.workload("Job", "batch", Takes::Env));
    scene.configure(DEADLINE, &scene.consumer("batch", "job = \"batch\"", Takes::Env, ""));
    let runs = || scene.pods("batch").len() == 1;
    scene.cluster.wait("the pod of the job", runs);
    scene.begin();
    scene.is_on("batch", &scene.old);
    let before = scene.lives("batch");

    let id = scene.plan();
    let held_up = scene.heard(scene.start(&["apply", &id, "--confirm", "acme"]).end_late());
    assert!(matches!(held_up.code, Some(4 | 6)), "{}", held_up.text);
    scene.both_work();
    assert_eq!(scene.lives("batch"), before, "its pod was replaced or ended");
    scene.is_on("batch", &scene.old);
    // It does what it is there for, and ends.
    scene.kubectl(&["exec", &before[0].0, "--", "kill", "-TERM", "1"]);
    scene.kubectl(&["wait", "--for=condition=Complete", "job/batch", "--timeout=100s"]);

    scene.to_the_end(&id).exits(0).ended("done");
    let new = scene.new_key();
    assert_eq!(scene.given_out().as_ref(), Some(&new));
    assert!(!scene.is_alive(&scene.old), "the old key is alive");
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_was_run_in_pods();
    scene.nothing_leaked();
}

/// The name of the key's document at the store.
const STORED: &str = "prod/acme";

/// What brings the key from the store into the Secret.
fn external(namespace: &str) -> Value {
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": { "name": "acme", "namespace": namespace },
        "spec": {
            "refreshInterval": "1h",
            "secretStoreRef": { "kind": "SecretStore", "name": "aws" },
            "target": { "name": SECRET, "creationPolicy": "Owner" },
            "data": [{ "secretKey": KEY, "remoteRef": { "key": STORED, "property": "api_key" } }],
        },
    })
}

/// A key that External Secrets brings from a store into the Secret, and two pods that read its file at each call.
struct Brought {
    moto: Moto,
    scene: Scene,
    controller: ExternalSecrets,
    /// What keyroll shows the store.
    proof: String,
}

impl Brought {
    /// On a node that does not look by itself: without a mark, the file of a pod follows only an hour later. `None` where one of
    /// the parts cannot run.
    fn raise(left_out: &str) -> Option<Self> {
        if !ExternalSecrets::is_here_or_skip(left_out) || !namespaces_or_skip(left_out) {
            return None;
        }
        let moto = Moto::start_or_skip(left_out)?;
        let mut scene = Scene::at(Arc::new(Kubernetes::with_slow_node()), OWN);
        moto.create(STORED, &json!({ "api_key": scene.value.as_str() }).to_string(), None);
        let (key, proof) = moto.key(MotoUser::Keyroll);
        scene.environment = vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", moto.port())),
            ("AWS_REGION", MOTO_REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", proof.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        let controller = ExternalSecrets::start(&scene.cluster, &moto);
        ExternalSecrets::store(&scene.cluster, &moto, OWN, "aws");
        scene.create(&external(OWN));
        let there = ["-n", OWN, "get", "secret", SECRET];
        scene.cluster.wait("the Secret", || scene.cluster.does(&there));

        let mut agent =
            scene.running("Deployment", "agent", Takes::File, &scene.reader("\"$ANTHROPIC_KEY_PATH\""));
        let variable = json!({ "name": "ANTHROPIC_KEY_PATH", "value": format!("/secrets/{KEY}") });
        agent["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(variable);
        agent["spec"]["replicas"] = json!(2);
        scene.create(&agent);
        let runs = format!("{AGENT}, rereads = true");
        let keys = format!("{LONGER}store = \"aws-sm:{STORED}#api_key\"\n");
        let more = format!("{TRUSTED}synced = true\n");
        scene.configure(&keys, &scene.consumer("agent", &runs, Takes::File, &more));
        scene.is_rolled_out("deployment/agent");
        scene.run(&["secret", "import", "acme", "--id", &scene.old]).exits(0);
        scene.is_on("agent", &scene.old);
        Some(Self { moto, scene, controller, proof })
    }
}

/// Waits until the store gives out another text than this. The beginning of the last look at which it did not: what is
/// measured from there on is never too short.
#[track_caller]
fn is_promoted(scene: &Scene, moto: &Moto, before: &str) -> Instant {
    let mut last = Instant::now();
    scene.cluster.wait_late("the new key at the store", || {
        let look = Instant::now();
        let is_there = moto.text(STORED) != before;
        if !is_there {
            last = look;
        }
        is_there
    });
    last
}

#[test]
fn a_key_that_external_secrets_brings_is_rotated_at_its_store_and_no_pod_is_replaced() {
    let raised = Brought::raise("a rotation with External Secrets");
    // The controller ends before its cluster.
    let Some(Brought { moto, scene, controller, proof }) = raised else { return };
    let before = scene.lives("agent");
    assert_eq!(before.len(), 2);

    let (id, first) = (scene.plan(), moto.text(STORED));
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    let promoted = is_promoted(&scene, &moto, &first);
    let new = scene.new_key();
    let follows = || before.iter().all(|(pod, _)| scene.issuer.last_of(pod).as_ref() == Some(&new));
    scene.cluster.wait("a call of every pod with the new key", follows);
    // The aim is 3 s on a machine that does nothing else. What a test asserts is that it does not take an hour.
    let took_s = promoted.elapsed().as_secs_f64();
    scene.heard(running.end_late()).exits(0).ended("done");
    assert_eq!(scene.new_key(), new);
    scene.is_on("agent", &new);
    assert_eq!(scene.lives("agent"), before, "a pod was replaced");
    assert_eq!(scene.given_out().as_deref(), Some(new.as_str()));
    let given: Value = serde_json::from_str(&moto.text(STORED)).unwrap();
    let given = given["api_key"].as_str().unwrap();
    assert_eq!(scene.issuer.whose(given.as_bytes()), Some(new.clone()), "the store gives out another key");
    let wrote: Vec<String> = scene.writes().into_iter().filter(|one| one.ends_with(SECRET)).collect();
    assert_eq!(wrote, [] as [String; 0], "keyroll wrote the Secret itself");
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
    let log = controller.log();
    assert!(!log.contains(&proof) && !log.contains(given), "External Secrets logged a value");
    figure("store-to-file", &format!("{took_s:.2} s for {} pods", before.len()));
}

/// Nobody brings the new key while the controller is away. Red: it counts as brought, and the old key is ended under the pods;
/// or the controller that is started again is not asked, and the rotation fails.
#[test]
fn a_controller_of_external_secrets_that_has_ended_brings_the_key_once_it_is_back() {
    let raised = Brought::raise("a controller of External Secrets that has ended");
    let Some(Brought { moto, scene, controller, .. }) = raised else { return };
    let before = scene.lives("agent");
    let (id, first) = (scene.plan(), moto.text(STORED));
    drop(controller);
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    is_promoted(&scene, &moto, &first);
    let stamp = "/metadata/annotations/keyroll.dev~1sync";
    let is_asked = || scene.object("externalsecret/acme").pointer(stamp).is_some();
    scene.cluster.wait("the question to the controller", is_asked);
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old), "somebody else brought it");
    scene.both_work();
    scene.is_on("agent", &scene.old);

    let _controller = ExternalSecrets::start(&scene.cluster, &moto);
    scene.heard(running.end_late()).exits(0).ended("done");
    let new = scene.new_key();
    scene.is_on("agent", &new);
    assert_eq!(scene.lives("agent"), before, "a pod was replaced");
    assert_eq!(scene.given_out().as_ref(), Some(&new));
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

/// A second workload with the same key that keyroll.toml does not name.
#[test]
fn an_undeclared_workload_with_the_same_key_holds_up_the_revocation_until_it_is_waived_by_name() {
    let Some(scene) = Scene::raise("an undeclared workload in a cluster") else { return };
    scene.create(&scene.workload("Deployment", "forgotten", Takes::Env));
    scene.is_rolled_out("deployment/forgotten");
    scene.with_deployment(DEADLINE, Takes::Env, "");
    let id = scene.plan();
    let held_up = scene.apply(&id);
    assert!(matches!(held_up.code, Some(4 | 6)), "{}", held_up.text);
    held_up.says(&["forgotten", "keyroll consumer waive "]);
    scene.both_work();
    let new = scene.new_key();
    scene.is_on("agent", &new);
    scene.is_on("forgotten", &scene.old);
    // A second look says the same.
    assert!(matches!(scene.resume(&id).code, Some(4 | 6)));
    let status = scene.run(&["status", &id]);
    status.says(&["forgotten"]);

    let named = status.text.split("keyroll consumer waive ").skip(1);
    let mut named = named.filter_map(|rest| rest.split(" --reason").next());
    let place =
        named.find(|place| place.contains("forgotten")).expect("the command that waives it").to_owned();
    let waived = scene.run(&["consumer", "waive", &place, "--reason", "a test"]);
    waived.exits(0).says(&["forgotten"]);
    scene.resume(&id).exits(0).ended("done");
    scene.is_on("agent", &new);
    scene.settled(&new);
    let refused = scene.refused();
    assert!(refused.iter().all(|call| call.starts_with("forgotten-")), "{refused:?}");
    let old = scene.pods("forgotten");
    assert_eq!(scene.held(&old[0]).as_ref(), Some(&scene.old), "it was touched");
    scene.nothing_leaked();
}

/// What a canary of a Deployment needs besides.
const PODS: &str = "{apiGroups: [\"\"], resources: [pods], verbs: [get, list, patch]}";
const MAKES_PODS: &str = "{apiGroups: [\"\"], resources: [pods], verbs: [get, list, create, patch, delete]}";

/// A workload of two pods of which one is moved first. That is rolled back once, and rotated to the end once.
fn one_pod_first(scene: &mut Scene, kind: &str, is_first: impl Fn(&str) -> bool) {
    assert!(ROLE.contains(PODS));
    scene.log_in("keyroll", &ROLE.replace(PODS, MAKES_PODS), ["create", "pods"]);
    let object = format!("{}/agent", kind.to_lowercase());
    let mut agent = scene.workload(kind, "agent", Takes::Env);
    agent["spec"]["replicas"] = json!(2);
    scene.create(&agent);
    let runs = format!("{} = \"agent\", canary = true", kind.to_lowercase());
    let tables = format!(
        "\n[secrets.acme.roll]\ncanary = \"instance\"\nask = true\n{}",
        scene.consumer("agent", &runs, Takes::Env, "")
    );
    scene.configure(DEADLINE, &tables);
    scene.is_rolled_out(&object);
    scene.begin();

    let id = stopped_after_one(scene, &is_first);
    scene.aborted(&id);
    scene.is_rolled_out(&object);
    nothing_of_it_is_left(scene, &object, &is_first);
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old));
    scene.is_on("agent", &scene.old);
    scene.settled(&scene.old);

    let id = stopped_after_one(scene, &is_first);
    scene.resume(&id).exits(0).ended("done");
    let new = scene.new_key();
    nothing_of_it_is_left(scene, &object, &is_first);
    scene.is_on("agent", &new);
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

/// A rotation that stopped when one pod had the new key; its id. The others still call with the old one.
#[track_caller]
fn stopped_after_one(scene: &Scene, is_first: &dyn Fn(&str) -> bool) -> String {
    let (before, revoked) = (scene.pods("agent"), scene.issuer.deletions());
    assert_eq!(before.len(), 2, "{before:?}");
    let id = scene.plan();
    scene.apply(&id).exits(4).paused();
    let new = scene.new_key();
    let (first, others): (Vec<String>, Vec<String>) =
        scene.pods("agent").into_iter().partition(|pod| is_first(pod));
    let [first] = first.as_slice() else { panic!("{first:?} {others:?}") };
    let stayed: Vec<String> = before.into_iter().filter(|pod| !is_first(pod)).collect();
    assert_eq!(others, stayed, "a pod was replaced");
    assert_eq!(scene.held(first), Some(new.clone()));
    scene.cluster.wait("a call of the first pod", || scene.issuer.last_of(first).as_ref() == Some(&new));
    for pod in &others {
        assert_eq!(scene.held(pod).as_ref(), Some(&scene.old), "{pod}");
    }
    scene.both_work_since(&revoked);
    id
}

/// Two pods run, the workload is held by nothing, and no pod is left that nothing owns.
#[track_caller]
fn nothing_of_it_is_left(scene: &Scene, object: &str, is_first: &dyn Fn(&str) -> bool) {
    let canaries = ["get", "pods", "-l", "keyroll.dev/canary", "-o", "name"];
    scene
        .cluster
        .wait("the end of the pod that was moved first", || scene.kubectl(&canaries).trim().is_empty());
    let pods = scene.pods("agent");
    assert_eq!(pods.len(), 2, "{pods:?}");
    let workload = scene.object(object);
    assert!(workload["metadata"]["annotations"]["keyroll.dev/canary"].is_null(), "{workload}");
    if object.starts_with("statefulset") {
        assert!(pods.iter().any(|pod| is_first(pod)));
        let from = &workload["spec"]["updateStrategy"]["rollingUpdate"]["partition"];
        assert_eq!(from.as_i64().unwrap_or(0), 0, "{workload}");
    }
}

#[test]
fn one_pod_beside_those_of_a_deployment_gets_the_new_key_before_them() {
    let Some(mut scene) = Scene::raise("a canary of a Deployment") else { return };
    one_pod_first(&mut scene, "Deployment", |pod| pod.starts_with("agent-keyroll-canary-"));
}

#[test]
fn the_last_pod_of_a_stateful_set_gets_the_new_key_before_the_others() {
    let Some(mut scene) = Scene::raise("a canary of a StatefulSet") else { return };
    one_pod_first(&mut scene, "StatefulSet", |pod| pod == "agent-1");
}
