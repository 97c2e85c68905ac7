//! What goes wrong with a rotation in a real cluster: programs that end on the new key, others who write meanwhile, an API
//! server and a keyroll that are killed, images that are not there, rules that deny, a login that is revoked, and what a plan
//! refuses. No key is revoked that somebody uses, nothing of others is overwritten, and there is always a command on and one
//! back.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use keyroll_testkit::command::{Ran, Running};
use keyroll_testkit::issuer::{Ask, Key, Moment};
use serde_json::{Value, json};

use super::rotate_scene::{AGENT, ROLE, SECRET, Scene, Takes, is_here_or_skip, shared};
use crate::stores::relay::When::{After, Before, Meanwhile};
use crate::stores::relay::{Relay, Wanted, When};
use crate::way::Act;

const DEADLINE: &str = "unit_deadline = \"150s\"\n";

/// With a Secret for each version nothing is waited for: a roll-out, its settling and two probes.
const SHORT: &str = "unit_deadline = \"60s\"\n";
/// Twice the time until no node has the value from before, and a roll-out.
const MIDDLE: &str = "unit_deadline = \"90s\"\n";
const VERSIONED: &str = "versioned = true\n";

/// How a program ends that does not take the new key.
const DEATHS: [&str; 4] = ["exit 1", "exit 0", "sleep 3; exit 1", "sleep 7; exit 1"];

/// How many rotations run at once.
const AT_ONCE: usize = 5;

/// What keyroll asks of the API server about the namespace of a scene of its own. A dry run begins its query with another word.
const WRITE: Wanted = ("PATCH /api/v1/namespaces/shop/secrets/credentials", "/credentials?fieldManager");
const MAKE: Wanted = ("POST /api/v1/namespaces/shop/secrets", "/secrets?fieldManager");
const ROLL_OUT: Wanted = ("PATCH /apis/apps/v1/namespaces/shop/deployments/agent", "/agent?fieldManager");
const PROBE: Wanted = ("POST /apis/batch/v1/namespaces/shop/jobs", "/jobs?fieldManager");

/// How long a request may take to come.
const COMES_MAX: Duration = Duration::from_secs(200);

/// Each way of taking the key with each way to end: the new pods end, the rotation never says *done*, and everything is as it
/// was before.
#[test]
fn a_program_that_ends_on_the_new_key_is_never_called_done_and_goes_on_with_the_old_one() {
    if !is_here_or_skip("programs that end on the new key") {
        return;
    }
    let cluster = shared();
    let all = Takes::ALL.into_iter().flat_map(|takes| DEATHS.map(|death| (takes, death)));
    let left = Mutex::new(all.collect::<Vec<_>>());
    let next = || left.lock().unwrap().pop();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((takes, death)) = next() {
                    eprintln!("{takes:?}, {death}");
                    never_done(&Scene::beside(cluster.clone()), takes, death);
                }
            });
        }
    });
}

fn never_done(scene: &Scene, takes: Takes, death: &str) {
    let script = scene.refusing(takes, death);
    scene.create(&scene.running("Deployment", "agent", takes, &script));
    scene.configure(SHORT, &scene.consumer("agent", AGENT, takes, VERSIONED));
    scene.is_rolled_out("deployment/agent");
    scene.begin();
    scene.is_on("agent", &scene.old);
    let id = scene.plan();
    let applied = scene.apply(&id);
    assert!(applied.code != Some(0), "{takes:?}, {death}: {}", applied.text);
    applied.says(&["agent"]);
    if applied.code != Some(5) {
        scene.aborted(&id);
    }
    for version in scene.versions() {
        assert_eq!(scene.key_in(&version).as_ref(), Some(&scene.old), "a dead version was left");
    }
    is_back(scene);
}

/// The first key alone is alive, the Secret that is referred to has it, and every program calls with it.
#[track_caller]
pub fn is_back(scene: &Scene) {
    scene.settled(&scene.old);
    assert!(!scene.issuer.deletions().contains(&scene.old), "{:?}", scene.issuer.deletions());
    scene.is_rolled_out("deployment/agent");
    scene.is_on("agent", &scene.old);
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old));
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

/// The same where the Secret is changed: the old value is written back before the template is.
#[test]
fn a_program_that_ends_on_the_new_key_of_a_secret_that_was_changed_gets_the_old_one_back() {
    let Some(scene) = Scene::raise("a program that ends on a changed Secret") else { return };
    let script = scene.refusing(Takes::Env, "exit 1");
    scene.create(&scene.running("Deployment", "agent", Takes::Env, &script));
    scene.configure(DEADLINE, &scene.consumer("agent", AGENT, Takes::Env, ""));
    scene.is_rolled_out("deployment/agent");
    scene.begin();
    let id = scene.plan();
    let applied = scene.apply(&id);
    assert!(applied.code != Some(0), "{}", applied.text);
    if applied.code != Some(5) {
        scene.aborted(&id);
    }
    is_back(&scene);
}

/// A rotation stands still: it has not ended, nothing was revoked, and both keys work.
#[track_caller]
fn is_held(scene: &Scene, ran: &Ran, words: &[&str]) {
    assert!(matches!(ran.code, Some(4 | 6)), "{}", ran.text);
    ran.says(words);
    scene.both_work();
    assert_ne!(scene.run(&["status"]).code, Some(0), "nothing is open");
}

/// A new key was delivered, and keyroll waits until no node gives out the value from before. The rotation, with its driver.
#[track_caller]
fn in_the_middle(scene: &Scene) -> (String, Running) {
    let id = scene.plan();
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    scene.cluster.wait("the new key in the Secret", || scene.given_out().as_ref() != Some(&scene.old));
    assert_eq!(scene.given_out(), Some(scene.new_key()));
    (id, running)
}

#[test]
fn a_secret_that_somebody_changed_before_the_roll_is_not_overwritten_forward_or_back() {
    let Some(scene) = Scene::raise("a Secret that somebody changed before a roll") else { return };
    scene.with_deployment(MIDDLE, Takes::Env, "");
    let before = scene.lives("agent");
    let id = scene.until("roll");
    let (theirs, value) = scene.issuer.mint("by somebody");
    scene.change_to(&value);
    let ran = scene.resume(&id);
    // Nothing was moved yet: it may roll back by itself.
    assert!(matches!(ran.code, Some(4..=6)), "{}", ran.text);
    ran.says(&["secret/credentials"]);
    assert_eq!(scene.given_out().as_ref(), Some(&theirs), "it was overwritten");
    if ran.code != Some(5) {
        scene.both_work();
        scene.aborted(&id);
    }
    assert_eq!(scene.given_out().as_ref(), Some(&theirs), "it was overwritten by the rollback");
    assert!(scene.is_alive(&theirs) && scene.is_alive(&scene.old));
    assert_eq!(scene.lives("agent"), before, "a pod was replaced");

    // It is changed back, and rotated as ever.
    scene.issuer.end(&theirs);
    scene.change_to(&scene.value);
    let id = scene.plan();
    scene.apply(&id).exits(0).ended("done");
    let new = scene.new_key();
    scene.is_on("agent", &new);
    scene.settled(&new);
    scene.nothing_leaked();
}

#[test]
fn a_secret_that_somebody_changes_in_the_middle_of_the_roll_is_not_overwritten() {
    let Some(scene) = Scene::raise("a Secret that somebody changes in a roll") else { return };
    scene.with_deployment(MIDDLE, Takes::Env, "");
    let (id, running) = in_the_middle(&scene);
    let (theirs, value) = scene.issuer.mint("by somebody");
    scene.change_to(&value);
    is_held(&scene, &scene.heard(running.end_late()), &["secret/credentials"]);
    assert_eq!(scene.given_out().as_ref(), Some(&theirs), "it was overwritten");
    assert!(scene.is_alive(&theirs));

    // Their change is undone.
    scene.change_to(&scene.value);
    scene.aborted(&id);
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old));
    scene.is_rolled_out("deployment/agent");
    scene.is_on("agent", &scene.old);
    assert!(scene.is_alive(&scene.old));
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

#[test]
fn a_secret_that_somebody_made_anew_is_held_and_both_keys_are_kept() {
    let Some(scene) = Scene::raise("a Secret that somebody makes anew in a roll") else { return };
    scene.with_deployment(MIDDLE, Takes::Env, "");
    let uid = || scene.object(&format!("secret/{SECRET}"))["metadata"]["uid"].clone();
    let before = uid();
    let (id, running) = in_the_middle(&scene);
    let (theirs, value) = scene.issuer.mint("by somebody");
    scene.make_anew(&value);
    assert_ne!(uid(), before);
    is_held(&scene, &scene.heard(running.end_late()), &["secret/credentials"]);
    assert_eq!(scene.given_out().as_ref(), Some(&theirs), "it was overwritten");

    // None at all: that is named, and nothing is made in its place.
    scene.kubectl(&["delete", "secret", SECRET]);
    is_held(&scene, &scene.run(&["retry", &id]), &["secret/credentials"]);
    let there = ["-n", scene.namespace.as_str(), "get", "secret", SECRET];
    assert!(!scene.cluster.does(&there), "keyroll made a Secret");

    // Somebody makes it again with the value that it had. Nothing shows which Secret of this name a node gives its pods: a
    // person speaks for them.
    scene.make(&scene.value);
    scene.run(&["consumer", "waive", "agent", "--reason", "its pods were looked at"]).exits(0);
    let ended = scene.to_the_end(&id);
    let left = if ended.code == Some(0) { scene.new_key() } else { scene.old.clone() };
    scene.is_rolled_out("deployment/agent");
    scene.is_on("agent", &left);
    scene.issuer.end(&theirs);
    scene.settled(&left);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

/// The first of two workloads was moved; the second one was not.
#[test]
fn an_abort_after_the_first_workload_writes_the_secret_back_before_it_rolls_out() {
    let Some(scene) = Scene::raise("an abort after the first workload") else { return };
    let consumer = |name: &str| {
        scene.create(&scene.workload("Deployment", name, Takes::Env));
        scene.consumer(name, &format!("deployment = \"{name}\""), Takes::Env, "")
    };
    let tables = format!("\n[secrets.acme.roll]\nask = true\n{}{}", consumer("first"), consumer("second"));
    scene.configure(DEADLINE, &tables);
    ["deployment/first", "deployment/second"].into_iter().for_each(|object| scene.is_rolled_out(object));
    scene.begin();
    let untouched = scene.lives("second");
    let id = scene.plan();
    scene.apply(&id).exits(4).paused();
    let new = scene.new_key();
    scene.is_on("first", &new);
    scene.is_on("second", &scene.old);
    let before = scene.writes().len();

    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    scene.is_rolled_out("deployment/first");
    scene.is_on("first", &scene.old);
    scene.is_on("second", &scene.old);
    // While the Secret had the new value, a pod of it may have been made: nothing shows that none was.
    assert_ne!(scene.lives("second"), untouched, "its pod is known to have the old value");
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old));
    let writes = scene.writes().split_off(before);
    let at = |what: &str| writes.iter().position(|write| write == what);
    let (secret, template) = (at("patch secrets/credentials"), at("patch deployments/first"));
    assert!(secret.is_some() && secret < template, "{writes:?}");
    scene.settled(&scene.old);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

#[test]
fn an_api_server_that_is_killed_while_it_is_written_to_or_rolls_out_loses_no_key() {
    let Some((mut scene, relay)) = Scene::relayed("an API server that is killed in a rotation") else {
        return;
    };
    scene.with_deployment(DEADLINE, Takes::Env, "");
    // It never hears the write; it carries it out and nobody is told; it ends in the middle of the roll-out.
    for (wanted, when) in [(WRITE, Meanwhile), (WRITE, After), (ROLL_OUT, After)] {
        let from = scene.given_out().unwrap();
        let id = scene.plan();
        let ((asks, asked), (goes_on, may_go_on)) = (channel(), channel());
        let act = move || {
            asks.send(()).unwrap();
            may_go_on.recv_timeout(COMES_MAX).unwrap();
        };
        relay.trap(wanted, when, Box::new(act));
        let running = scene.start(&["apply", &id, "--confirm", "acme"]);
        asked.recv_timeout(COMES_MAX).expect("the request of the trap");
        scene.cluster_mut().stop_api_server();
        goes_on.send(()).unwrap();
        scene.cluster_mut().start_api_server();
        let mut ended = scene.heard(running.end_late());
        if !matches!(ended.code, Some(0 | 5)) {
            assert!(scene.issuer.keys().len() == 2 && scene.is_alive(&from), "{:?}", scene.issuer.keys());
            ended = scene.to_the_end(&id);
        }
        let keys = scene.issuer.keys();
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert_eq!(keys[0].id == from, ended.code == Some(5), "{}", ended.text);
        scene.is_rolled_out("deployment/agent");
        scene.is_on("agent", &keys[0].id);
        assert_eq!(scene.given_out().as_ref(), Some(&keys[0].id));
        scene.settled(&keys[0].id);
        assert_eq!(scene.refused(), [] as [String; 0]);
    }
    scene.nothing_leaked();
}

/// Where keyroll is killed.
#[derive(Clone, Copy)]
enum At {
    /// At a request to the API server.
    Request(Wanted, When),
    /// After the issuer was asked to delete a key.
    Deleted,
}

/// Any key.
fn any(_: &Key) -> bool {
    true
}

fn aim(scene: &Scene, relay: &Relay, at: At, act: Act) {
    match at {
        At::Request(wanted, when) => relay.trap(wanted, when, act),
        At::Deleted => scene.issuer.trap(Ask::Delete, Moment::After, any, act),
    }
}

/// Runs a command and then `resume`, each killed at its place. The programs go on to call, and none is refused.
#[track_caller]
fn killed_at(scene: &Scene, relay: &Relay, first: &[&str], places: &[(&str, At)]) {
    let id = first[1];
    let resume = ["resume", id, "--confirm", "acme"];
    for (nth, (what, at)) in places.iter().enumerate() {
        let words = if nth == 0 { first } else { &resume[..] };
        eprintln!("killed: {what}");
        assert!(scene.killed(words, |act| aim(scene, relay, *at, act)), "it never came to this: {what}");
        assert_eq!(scene.refused(), [] as [String; 0], "{what}");
    }
}

#[test]
fn a_keyroll_that_is_killed_at_each_request_goes_on_and_rolls_out_once() {
    let Some((scene, relay)) = Scene::relayed("a keyroll that is killed in a rotation in a cluster") else {
        return;
    };
    scene.with_deployment("unit_deadline = \"200s\"\n", Takes::Env, "");
    let id = scene.plan();
    let forward = [
        ("it writes the Secret", At::Request(WRITE, Before)),
        ("it has written the Secret", At::Request(WRITE, After)),
        ("it begins the roll-out", At::Request(ROLL_OUT, Before)),
        ("it has begun the roll-out", At::Request(ROLL_OUT, After)),
        ("it makes a probe", At::Request(PROBE, Before)),
        ("it has made a probe", At::Request(PROBE, After)),
        ("the old key was deleted", At::Deleted),
    ];
    killed_at(&scene, &relay, &["apply", &id, "--confirm", "acme"], &forward);
    scene.to_the_end(&id).exits(0).ended("done");
    let new = scene.new_key();
    scene.is_on("agent", &new);
    scene.settled(&new);
    let writes = scene.writes();
    let count = |what: &str| writes.iter().filter(|write| *write == what).count();
    assert_eq!(count("patch secrets/credentials"), 1, "{writes:?}");
    assert_eq!(count("patch deployments/agent"), 1, "{writes:?}");

    // And back, from the last step at which there is a way.
    let id = scene.until("disable");
    let back = [
        ("it writes the Secret back", At::Request(WRITE, Before)),
        ("it has written the Secret back", At::Request(WRITE, After)),
        ("it has begun the roll-out of the old key", At::Request(ROLL_OUT, After)),
        ("the new key was deleted", At::Deleted),
    ];
    killed_at(&scene, &relay, &["abort", &id], &back);
    scene.to_the_end(&id).exits(5).ended("rolled_back");
    scene.is_rolled_out("deployment/agent");
    scene.is_on("agent", &new);
    assert_eq!(scene.given_out().as_ref(), Some(&new));
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

#[test]
fn a_keyroll_that_is_killed_while_it_makes_a_version_leaves_one_version() {
    let left_out = "a keyroll that is killed while it makes a version";
    let Some((scene, relay)) = Scene::relayed(left_out) else { return };
    scene.with_deployment(DEADLINE, Takes::File, VERSIONED);
    let id = scene.plan();
    let places = [
        ("it makes a Secret", At::Request(MAKE, Before)),
        ("it has made a Secret", At::Request(MAKE, After)),
        ("it notes the Secret", At::Request(ROLL_OUT, Before)),
        ("it has noted the Secret", At::Request(ROLL_OUT, After)),
        ("it changes the references", At::Request(ROLL_OUT, Before)),
        ("it has changed the references", At::Request(ROLL_OUT, After)),
        ("it has made a probe", At::Request(PROBE, After)),
        ("the old key was deleted", At::Deleted),
    ];
    killed_at(&scene, &relay, &["apply", &id, "--confirm", "acme"], &places);
    scene.to_the_end(&id).exits(0).ended("done");
    let new = scene.new_key();
    scene.is_on("agent", &new);
    let versions = scene.versions();
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert_eq!(scene.key_in(&versions[0]).as_ref(), Some(&new));
    scene.settled(&new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

#[test]
fn an_image_that_is_not_there_fails_by_the_deadline_and_the_old_pods_go_on() {
    let Some(scene) = Scene::raise("an image that is not there in a roll") else { return };
    scene.with_deployment(SHORT, Takes::Env, VERSIONED);
    let id = scene.until("roll");
    // Somebody changes the template meanwhile. The pod that runs stays until a new one is ready.
    let image = |image: &str| scene.kubectl(&["set", "image", "deployment/agent", &format!("app={image}")]);
    image("test.local/not-there:1");
    let (resource, path) =
        ("deployment/agent", "jsonpath={.status.observedGeneration} {.metadata.generation}");
    let seen = || {
        let said = scene.kubectl(&["get", resource, "-o", path]);
        said.split_once(' ').is_some_and(|(observed, wanted)| observed == wanted)
    };
    scene.cluster.wait("the controller to see the other template", seen);
    // Their change would become live with keyroll's.
    let change = "agent/template:agent";
    scene.resume(&id).exits(6).says(&[&format!("--accept {change}")]);
    let failed = scene.run(&["resume", &id, "--confirm", "acme", "--accept", change]);
    assert!(matches!(failed.code, Some(4..=6)), "{}", failed.text);
    failed.says(&["agent", "ErrImageNeverPull"]);
    assert!(!scene.issuer.deletions().contains(&scene.old));
    let old = scene.pods("agent");
    assert_eq!(old.len(), 1, "{old:?}");
    assert_eq!(scene.held(&old[0]).as_ref(), Some(&scene.old));

    image("test.local/bb:1");
    scene.is_rolled_out("deployment/agent");
    if failed.code != Some(5) {
        scene.aborted(&id);
    }
    is_back(&scene);
}

/// Nothing is made, and nothing is changed, and the next command is said.
#[track_caller]
fn is_refused(scene: &Scene, words: &[&str]) {
    let (made, before) = (scene.issuer.made(), scene.writes().len());
    let ran = scene.run(&["plan", "acme"]);
    assert!(matches!(ran.code, Some(1 | 6)), "{words:?}: {}", ran.text);
    assert!(ran.of("plan").is_empty(), "{words:?}: {}", ran.text);
    ran.says(words);
    let helps = |event: &&Value| event["help"].as_str().is_some_and(|help| !help.is_empty());
    assert!(ran.of("error").iter().any(helps), "no help: {}", ran.text);
    assert_eq!(scene.issuer.made(), made, "a key was made");
    let writes = scene.writes().split_off(before);
    assert!(!writes.iter().any(|write| write.ends_with(SECRET) || write.starts_with("patch")), "{writes:?}");
}

#[test]
fn what_cannot_be_rotated_is_refused_by_the_plan_with_the_next_command() {
    let Some(mut scene) = Scene::raise("what a plan refuses in a cluster") else { return };
    for (kind, name) in [("StatefulSet", "by-hand"), ("DaemonSet", "each-by-hand")] {
        let mut object = scene.workload(kind, name, Takes::Env);
        object["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
        scene.create(&object);
        let runs = format!("{} = \"{name}\"", kind.to_lowercase());
        scene.configure(DEADLINE, &scene.consumer(name, &runs, Takes::Env, ""));
        let running = || scene.pods(name).len() == 1;
        scene.cluster.wait("its pod", running);
        if kind == "StatefulSet" {
            scene.begin();
        }
        is_refused(&scene, &["OnDelete", name]);
        scene.kubectl(&["delete", kind, name, "--wait"]);
    }
    let consumer = scene.consumer("agent", AGENT, Takes::Env, "");
    scene.configure(DEADLINE, &consumer);
    is_refused(&scene, &["deployment/agent"]);
    scene.create(&scene.workload("Deployment", "agent", Takes::Env));
    scene.is_rolled_out("deployment/agent");
    scene.plan();

    scene.kubectl(&["rollout", "pause", "deployment/agent"]);
    is_refused(&scene, &["paused", "kubectl rollout resume deployment/agent"]);
    scene.kubectl(&["rollout", "resume", "deployment/agent"]);
    scene.plan();

    // Whoever else writes the Secret would write the old value again.
    let secret = format!("secret/{SECRET}");
    let mark = format!("argocd.argoproj.io/tracking-id=tracked:/Secret:{}/{SECRET}", scene.namespace);
    scene.kubectl(&["annotate", &secret, &mark]);
    is_refused(&scene, &["Argo CD", "tracked"]);
    scene.kubectl(&["annotate", &secret, "argocd.argoproj.io/tracking-id-"]);
    let owner = json!([{ "op": "add", "path": "/metadata/ownerReferences", "value": [{
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "name": "one", "controller": true,
        "uid": "6e4ba2b6-93d4-4b2e-9b3b-0e7b5f2d3c11",
    }] }]);
    scene.kubectl(&["patch", &secret, "--type=json", "-p", &owner.to_string()]);
    is_refused(&scene, &["Sealed Secrets", "SealedSecret/one"]);
    let nobody = r#"[{"op":"remove","path":"/metadata/ownerReferences"}]"#;
    scene.kubectl(&["patch", &secret, "--type=json", "-p", nobody]);
    scene.plan();

    // A login that may read and not write.
    let reads = r#"[{apiGroups: ["", apps, batch], resources: ["*"], verbs: [get, list]}]"#;
    scene.log_in("reader", reads, ["list", "secrets"]);
    scene.configure(DEADLINE, &consumer);
    is_refused(&scene, &["patch", "secrets"]);
    scene.log_in("keyroll", ROLE, ["patch", "secrets"]);
    scene.configure(DEADLINE, &consumer);
    scene.plan();

    // Last, for this is for ever.
    scene.kubectl(&["patch", &secret, "-p", "{\"immutable\":true}"]);
    is_refused(&scene, &["immutable", "versioned"]);
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old));
    scene.is_on("agent", &scene.old);
    scene.nothing_leaked();
}

/// Whether the API server would let keyroll change an object; nothing is changed.
#[track_caller]
fn may_patch(scene: &Scene, object: &str) -> bool {
    let patch = json!({ "metadata": { "annotations": { "keyroll.dev/a-test": "tried" } } }).to_string();
    let (namespace, user) = (scene.namespace.as_str(), scene.user.as_str());
    let words =
        ["-n", namespace, "patch", object, "--type=merge", "-p", &patch, "--dry-run=server", "--as", user];
    scene.cluster.does(&words)
}

/// Makes a rule of the cluster, which is in force then: keyroll changes no object of this kind here. `object`: one of them, by
/// which that is seen. `reason`: why the API server says that it refuses; without one the answer is 422.
fn deny(scene: &Scene, (group, resource): (&str, &str), object: &str, reason: Option<&str>) {
    let (name, user) = (scene.namespace.as_str(), scene.user.as_str());
    assert!(may_patch(scene, object), "it may not change {object}");
    let (version, kind) = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy");
    let mut rule = json!({
        "expression": format!("request.userInfo.username != '{user}'"), "message": "nothing is changed today",
    });
    if let Some(reason) = reason {
        rule["reason"] = json!(reason);
    }
    let what = json!({
        "apiGroups": [group], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": [resource],
    });
    scene.create(&json!({
        "apiVersion": version, "kind": kind, "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail", "matchConstraints": { "resourceRules": [what] }, "validations": [rule],
        },
    }));
    let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
    scene.create(&json!({
        "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"], "matchResources": { "namespaceSelector": here },
        },
    }));
    scene.cluster.wait("the rule that denies", || !may_patch(scene, object));
}

/// Takes that rule away.
fn allow(scene: &Scene, object: &str) {
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        scene.cluster.kubectl(&["delete", kind, &scene.namespace]);
    }
    scene.cluster.wait("the end of the rule", || may_patch(scene, object));
}

/// Red: a key is made although nothing can be delivered; a denial of 422 is taken for a test that failed, and tried again for
/// ever; or the rotation cannot be left.
#[test]
fn a_rule_that_denies_the_write_of_the_secret_is_named_before_a_key_is_made_and_in_the_roll() {
    let Some(scene) = Scene::raise("a rule that denies the write of a Secret") else { return };
    scene.with_deployment(DEADLINE, Takes::Env, "");
    let (before, secret) = (scene.lives("agent"), format!("secret/{SECRET}"));
    let (id, made) = (scene.plan(), scene.issuer.made());
    deny(&scene, ("", "secrets"), &secret, None);
    let refused = scene.apply(&id);
    assert!(matches!(refused.code, Some(1 | 4..=6)), "{}", refused.text);
    refused.says(&[&secret, "it refused the request (422 Invalid)"]);
    assert_eq!(scene.issuer.made(), made, "a key was made");
    allow(&scene, &secret);
    if !matches!(refused.code, Some(1 | 5)) {
        scene.aborted(&id);
    }

    let id = scene.until("roll");
    deny(&scene, ("", "secrets"), &secret, Some("Forbidden"));
    let held = scene.resume(&id);
    // Nothing was moved yet: it may roll back by itself.
    assert!(matches!(held.code, Some(4..=6)), "{}", held.text);
    held.says(&[&secret, "a rule of the cluster denies it"]);
    assert_eq!(scene.given_out().as_ref(), Some(&scene.old), "it was written");
    assert!(scene.is_alive(&scene.old));
    assert_eq!(scene.lives("agent"), before, "a pod was replaced");
    allow(&scene, &secret);
    if held.code != Some(5) {
        scene.aborted(&id);
    }
    is_back(&scene);
}

/// Forward and back need a roll-out. Red: a consumer counts as moved, or as moved back, whose pods were never replaced; a key is
/// ended; or there is no way once the rule is gone.
#[test]
fn a_rule_that_denies_the_roll_out_holds_the_rotation_and_both_keys_until_it_is_gone() {
    let Some(scene) = Scene::raise("a rule that denies a roll-out") else { return };
    scene.with_deployment(DEADLINE, Takes::Env, "");
    let (before, agent) = (scene.lives("agent"), "deployment/agent");
    let id = scene.until("roll");
    deny(&scene, ("apps", "deployments"), agent, Some("Forbidden"));
    is_held(&scene, &scene.resume(&id), &["agent", "a rule of the cluster denies it"]);
    assert_eq!(scene.lives("agent"), before, "a pod was replaced");
    scene.is_on("agent", &scene.old);
    allow(&scene, agent);
    scene.aborted(&id);
    is_back(&scene);
}

/// A token that ends is the same to the API server: 401. Red: what it answers then is taken for an empty namespace; a key is ended
/// whose pods are not seen; or a new login does not go on.
#[test]
fn a_login_that_is_revoked_in_the_middle_of_the_roll_is_named_and_a_new_one_goes_on() {
    let Some(mut scene) = Scene::raise("a login that is revoked in a roll") else { return };
    scene.with_deployment(MIDDLE, Takes::Env, "");
    let (id, running) = in_the_middle(&scene);
    scene.log_out("keyroll");
    let why = "it does not accept the login";
    // It rolls back what it reaches, and waits for the namespace: no key is ended without a look at it.
    running.says("the namespace that is away", |event| {
        event["what"].as_str().is_some_and(|what| what.contains("keyroll hosts waive prod"))
    });
    scene.run_outside(&["pause", &id]).exits(4);
    let stopped = scene.heard(running.end_late());
    stopped.exits(130).says(&[why]);
    scene.both_work();
    scene.run(&["scan", "--host", "prod"]).refused(1, "K0966", &[why]);

    scene.log_in("keyroll", ROLE, ["patch", "secrets"]);
    let ended = scene.to_the_end(&id);
    let left = if ended.code == Some(0) { scene.new_key() } else { scene.old.clone() };
    scene.is_rolled_out("deployment/agent");
    scene.is_on("agent", &left);
    assert_eq!(scene.given_out().as_ref(), Some(&left));
    scene.settled(&left);
    assert_eq!(scene.refused(), [] as [String; 0]);
    scene.nothing_leaked();
}

/// What a check prints, which its pod then keeps for a while, so that the log is there when it is looked at.
const PRINTED: &str = "the check looked at its key";

/// A pod of a check has the value in a Secret of its own. Red: keyroll, or a part of the cluster, writes it into the log of that
/// pod; or that log is not among those that are searched.
#[test]
fn the_log_of_the_pod_of_a_check_has_what_the_check_printed_and_no_value() {
    let Some(scene) = Scene::raise("the log of a check") else { return };
    scene.create(&scene.workload("Deployment", "agent", Takes::Env));
    let consumer = scene.consumer("agent", AGENT, Takes::Env, "");
    let fails = consumer.replacen("\"K=", &format!("\"echo {PRINTED}; sleep 10; exit 1; K="), 1);
    assert_ne!(fails, consumer);
    scene.configure(DEADLINE, &fails);
    scene.is_rolled_out("deployment/agent");
    scene.begin();
    let (id, made) = (scene.plan(), scene.issuer.made());
    let running = scene.start(&["apply", &id, "--confirm", "acme"]);
    let mut printed = Vec::new();
    scene.cluster.wait("what the check prints", || {
        printed = scene.cluster.logs_whole();
        printed.retain(|(path, log)| {
            path.display().to_string().contains("/podlogs/") && String::from_utf8_lossy(log).contains(PRINTED)
        });
        !printed.is_empty()
    });
    let refused = scene.heard(running.end_late());
    assert!(matches!(refused.code, Some(1 | 4..=6)), "{}", refused.text);
    refused.says(&["agent"]);
    assert_eq!(scene.issuer.made(), made, "a key was made although the check works with none");
    let needles = scene.needles();
    for (path, log) in printed {
        assert!(
            path.display().to_string().contains("keyroll-probe-"),
            "{} is of another pod",
            path.display()
        );
        assert!(needles.is_clean(&log), "{} has a value", path.display());
    }
    scene.nothing_leaked();
}
