//! `keyroll serve --kubernetes` in a real cluster: an object is applied, annotations ask, and the status, conditions and events
//! say what happens. The server is killed at its moments, its objects are deleted, its cluster is lost, and another one waits
//! for its Lease: no key is revoked that somebody uses, no call fails, and each rotation ends once.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyroll_testkit::issuer::{Ask, without};
use keyroll_testkit::{Kubernetes, alphanumeric};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::rotate_scene::{KEY, OWN, SECRET, Scene, Takes, is_here_or_skip};
use super::served_scene::{ABORT, CONFIRM, KEY_ID, OBJECT, ROTATE, STORY, Served, Server, kill};

const DUE: &str = "rotates_due = true\n";

/// Rights that the rotations here have no use for: group, resource, verb, and why.
const NOT_USED: [(&str, &str, &str, &str); 7] = [
    ("external-secrets.io", "externalsecrets", "get", "External Secrets is not in this cluster"),
    ("external-secrets.io", "externalsecrets", "list", "External Secrets is not in this cluster"),
    ("external-secrets.io", "externalsecrets", "patch", "External Secrets is not in this cluster"),
    (
        "secrets-store.csi.x-k8s.io",
        "secretproviderclasspodstatuses",
        "list",
        "that driver is not in this cluster",
    ),
    ("argoproj.io", "rollouts", "list", "Argo Rollouts is not in this cluster"),
    ("", "pods", "get", "only where a pod changed while it was annotated"),
    ("keyroll.dev", "secretrotations", "get", "only where it was changed while its status was written"),
];

/// What the names of the objects of a check begin with.
const PROBE: &str = "keyroll-probe-";

#[test]
fn an_object_rotates_a_key_by_an_annotation() {
    let Some(served) = Served::raise("a rotation by an object") else { return };
    let status = served.is_ready(&served.spec());
    // The issuer says whose key the Secret has.
    assert_eq!(served.condition("ValueKnown").0, "True", "{status}");
    assert_eq!(served.condition("Accepted").0, "True", "{status}");
    assert_eq!(status["secret"], served.secret(), "{status}");
    assert!(served.is_composed(), "the file that keyroll's commands read has no table of it");
    assert_eq!(served.scene.given_out().as_ref(), Some(&served.scene.old));
    let before = status["version"].clone();
    assert!(before.is_string(), "{status}");
    // Nothing was asked for.
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 0);

    let id = served.rotate();
    let asked = served.waits_for_consent(&id);
    served.scene.is_on("agent", &served.scene.new_key());
    assert!(!served.events().contains("RotationDone"), "it is done without a consent");
    served.consents(&asked);
    let done = served.ended(&id, "done");
    served.is_rotated();
    assert_ne!(done["version"], before, "{done}");
    STORY.into_iter().for_each(|reason| served.happened(reason));

    // Its one pod is seen on the new version.
    let is_seen = |status: &Value| {
        let pods = &status["consumers"][0]["pods"];
        pods["total"] == 1 && pods["current"] == 1 && pods["stale"] == 0
    };
    let seen = served.waits_for("the pod on the new version", is_seen);
    assert_eq!(seen["phase"], "Ready", "{seen}");
    assert_eq!(seen["consumers"][0]["workload"], "deployment/agent", "{seen}");
    assert!(served.is_about_this_spec());

    // The annotations stay as they are, and ask for nothing again.
    let annotations = served.shown()["metadata"]["annotations"].clone();
    assert_eq!(annotations[CONFIRM], id, "{annotations}");
    assert_eq!(annotations[ROTATE], seen["asked"]["rotate"], "{annotations}");
    assert_eq!(served.outcomes(), [json!("done")]);
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1);
    served.nothing_leaked();
}

/// An issuer that does not say whose a value is: a person does.
#[test]
fn a_key_that_the_issuer_does_not_name_is_imported_by_an_annotation() {
    let Some(served) = Served::raise("an import by an annotation") else { return };
    let spec = served.scene.dir().join("acme.toml");
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(spec, without(&text, "op.identify")).unwrap();
    served.declare(&served.spec());
    // The rights for it are given after it was taken up.
    let asks = |status: &Value| status["message"].as_str().is_some_and(|message| message.contains(KEY_ID));
    let status = served.waits_for("the question for the id", asks);
    assert_eq!(status["phase"], "NoValue", "{status}");
    assert_eq!(served.condition("ValueKnown").0, "False");
    served.annotate(KEY_ID, &served.scene.old);
    served.waits_for("the phase Ready", |status| status["phase"] == "Ready");
    assert_eq!(served.condition("ValueKnown").0, "True");
    let id = served.rotate();
    served.consents(&served.waits_for_consent(&id));
    served.ended(&id, "done");
    served.is_rotated();
}

#[test]
fn an_object_with_a_standing_consent_that_is_due_rotates_by_itself_once() {
    let Some(served) = Served::raise_with("an object that is due", DUE) else { return };
    let mut spec = served.spec();
    spec["unattended"] = json!(true);
    spec["revoke"]["decide"] = json!("standing");
    spec["rotate_every"] = json!("0s");
    served.declare(&spec);
    let status = served.waits_for("its rotation", |status| status["rotation"]["id"].is_string());
    let id = status["rotation"]["id"].as_str().unwrap().to_owned();
    served.scene.cluster.wait("the new key", || served.scene.issuer.asked(Ask::Mint) == 1);
    // What has begun is not due again at once.
    spec["rotate_every"] = json!("90d");
    served.apply(&spec);
    served.is_in_the_middle();
    // Its last consumer may have moved, and the rotation ended, between two looks.
    let ended = served.ended(&id, "done");
    assert!(ended["due"].is_string(), "{ended}");
    served.is_rotated();
    assert!(!served.events().contains("NeedsConsent"), "somebody was asked");
    assert_eq!(served.outcomes(), [json!("done")]);
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1);
}

/// A `spec` that is refused, and what the sentence about it has.
fn wrong_specs(right: &Value) -> Vec<(Value, &'static str)> {
    let with = |pointer: &str, key: &str, value: Value| {
        let mut spec = right.clone();
        spec.pointer_mut(pointer).unwrap()[key] = value;
        spec
    };
    vec![
        // Of a word that is not known, the nearest one is said.
        (with("", "unit_deadlin", json!("150s")), "unit_deadline"),
        // A consumer of another namespace.
        (with("/consumers/0", "host", json!("keyroll")), "namespace"),
        // A file of the pod that is in no folder of this namespace.
        (with("", "issuer", json!("file:../../x")), "`issuer`"),
        (with("", "admin", json!("file:/etc/keyroll/tokens/admin")), "`admin`"),
        // Programs that keyroll would run.
        (with("", "store", json!("exec:./program#acme")), "`store`"),
        (
            with("/consumers/0", "runs", json!({ "restart": ["/bin/true"], "pid_file": "/run/x" })),
            "for a consumer on a machine",
        ),
        // keyroll's own login elsewhere.
        (with("", "store", json!("aws-sm:prod/acme")), "`store`"),
    ]
}

#[test]
fn a_wrong_spec_is_refused_with_a_sentence_and_the_former_one_counts() {
    let Some(served) = Served::raise("objects with a wrong spec") else { return };
    let right = served.spec();
    // One that never was right has nothing that counts.
    served.apply_as("never", &wrong_specs(&right)[0].0);
    let never = || served.scene.object("secretrotations.keyroll.dev/never")["status"].clone();
    served.scene.cluster.wait("the phase Invalid", || never()["phase"] == "Invalid");
    assert!(never()["message"].as_str().unwrap().contains("unit_deadline"), "{}", never());
    served.scene.kubectl(&["delete", "secretrotations.keyroll.dev/never"]);

    served.is_ready(&right);
    for (wrong, word) in wrong_specs(&right) {
        served.apply(&wrong);
        served.scene.cluster.wait(&format!("what is said of {word}"), || {
            served.is_about_this_spec() && served.condition("Accepted").0 == "False"
        });
        let (_, reason, message) = served.condition("Accepted");
        assert!(message.contains(word) && !reason.is_empty(), "{word}: {reason}: {message}");
        let status = served.status();
        assert_eq!((&status["phase"], &status["version"]), (&json!("Invalid"), &json!("v1")), "{status}");
        assert!(served.is_composed());
        // The fields that were applied before are given up by the next one.
        served.apply(&right);
        served.scene.cluster.wait("the right one again", || {
            served.is_about_this_spec() && served.condition("Accepted").0 == "True"
        });
    }

    // With a wrong one in the object, the former one is rotated, forward and back.
    served.apply(&wrong_specs(&right)[0].0);
    served.scene.cluster.wait("what is said of it", || served.condition("Accepted").0 == "False");
    let id = served.rotate();
    let status = served.waits_for_consent(&id);
    assert_eq!(served.condition("Accepted").0, "False", "{status}");
    served.annotate(ABORT, &id);
    let ended = served.ended(&id, "rolled back");
    assert_eq!(ended["asked"]["abort"], id, "{ended}");
    served.happened("RolledBack");
    served.is_rolled_back();
    assert_eq!(served.scene.issuer.deletions().len(), 1, "the new key alone was ended");
}

/// What a SecretRotation says of its Secret while nothing is rotated: on its condition with since when, by one event, and in its
/// message; the Secret stays as somebody left it. In a rotation it is not said, and after it of the new version.
#[test]
fn a_secret_that_somebody_changed_at_rest_is_named_and_never_written_over() {
    let Some(served) = Served::raise("a Secret that somebody changes at rest") else { return };
    let scene = &served.scene;
    served.is_ready(&served.spec());
    let waits_for = |is: &str, reason: &str| {
        scene.cluster.wait_late(&format!("the condition Drifted: {is}, {reason}"), || {
            let (status, why, _) = served.condition("Drifted");
            (status.as_str(), why.as_str()) == (is, reason)
        });
        served.condition("Drifted").2
    };
    // Secrets are looked at when something changes among the pods.
    let changes_to = |value: &str| {
        scene.change_to(value);
        scene.kubectl(&["rollout", "restart", "deployment/agent"]);
        scene.is_rolled_out("deployment/agent");
    };
    let right = waits_for("False", "HoldsCurrent");
    assert!(right.contains("secret/credentials ANTHROPIC_API_KEY holds v1"), "{right}");

    let (theirs, value) = scene.issuer.mint("by somebody");
    changes_to(&value);
    let said = waits_for("True", "SecretHoldsAnotherValue");
    let command = format!("keyroll secret add {} --replace --id ID < FILE", served.secret());
    let words =
        ["secret/credentials ANTHROPIC_API_KEY holds a value that keyroll does not know", "v1 is current"];
    for words in words.into_iter().chain(["seen since 20", command.as_str()]) {
        assert!(said.contains(words), "{words}: {said}");
    }
    let status = served.status();
    assert!(status["message"].as_str().unwrap().contains("see the condition Drifted"), "{status}");
    // A rotation does not begin with it.
    served.annotate(ROTATE, &alphanumeric(8));
    let status = served.waits_for("the refusal", |status| status["phase"] == "Refused");
    assert!(status["asked"]["refused"].as_str().unwrap().contains("secret/credentials"), "{status}");
    assert_eq!(served.condition("Drifted").2, said);
    served.happened("SecretDrifted");
    let all: Value = serde_json::from_str(&scene.kubectl(&["get", "events", "-o", "json"])).unwrap();
    let told = all["items"].as_array().unwrap().iter().filter(|one| one["reason"] == "SecretDrifted").count();
    assert_eq!(told, 1);
    assert_eq!(scene.given_out().as_ref(), Some(&theirs), "it was overwritten");

    // Somebody removes the key, and then undoes all of it.
    let path = format!(r#"[{{"op":"remove","path":"/data/{KEY}"}}]"#);
    scene.kubectl(&["patch", "secret", SECRET, "--type=json", "-p", &path]);
    scene.kubectl(&["annotate", "pods", "--all", "touched=yes"]);
    let gone = waits_for("True", "SecretHoldsNoValue");
    assert!(gone.contains("ANTHROPIC_API_KEY is not there") && !gone.contains(&command), "{gone}");
    changes_to(&scene.value);
    waits_for("False", "HoldsCurrent");
    let writes = scene.writes();
    assert!(!writes.is_empty() && !writes.contains(&format!("patch secrets/{SECRET}")), "{writes:?}");
    scene.issuer.end(&theirs);

    let id = served.rotate();
    let asked = served.waits_for_consent(&id);
    assert_eq!(served.condition("Drifted").1, "RotationOpen");
    served.consents(&asked);
    served.ended(&id, "done");
    served.is_rotated();
    let right = waits_for("False", "HoldsCurrent");
    assert!(right.contains("holds v2"), "{right}");
}

/// Where the server and all of its drivers are killed.
const MOMENTS: [&str; 4] =
    ["the plan was made", "the rotation began", "one workload was moved", "the consent was given"];

#[test]
fn a_server_that_is_killed_at_any_moment_goes_on_and_the_rotation_ends_once() {
    let Some(mut served) = Served::raise("a server that is killed in a rotation") else { return };
    served.scene.create(&served.scene.workload("Deployment", "second", Takes::Env));
    served.scene.is_rolled_out("deployment/second");
    let both = ["agent", "second"].map(|name| served.consumer("deployment", name, Takes::Env));
    served.is_ready(&served.spec_of(&both));

    let mut id = String::new();
    for moment in MOMENTS {
        eprintln!("killed: {moment}");
        match moment {
            "the plan was made" => id = served.rotate(),
            "the rotation began" => served.happened("RotationBegan"),
            "one workload was moved" => {
                served.is_in_the_middle();
                the_driver_alone_is_killed(&served);
                served.happened("ConsumerMoved");
                served.both_work();
            }
            _ => {
                let asked = served.waits_for_consent(&id);
                served.consents(&asked);
                served.waits_for("the consent", |status| status["asked"]["confirm"] == id.as_str());
            }
        }
        served.kill();
        if moment != MOMENTS[3] {
            assert_eq!(served.scene.issuer.deletions(), [] as [String; 0], "{moment}");
            assert!(served.scene.is_alive(&served.scene.old), "{moment}");
        }
        assert_eq!(served.scene.refused(), [] as [String; 0], "{moment}");
        served.serve();
    }
    served.ended(&id, "done");
    let new = served.is_rotated();
    served.scene.is_on("second", &new);
    assert_eq!(served.outcomes(), [json!("done")], "more than one rotation was opened");
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1);
    let writes = served.scene.writes();
    let count = |what: &str| writes.iter().filter(|write| *write == what).count();
    for once in ["patch secrets/credentials", "patch deployments/agent", "patch deployments/second"] {
        assert_eq!(count(once), 1, "{once}: {writes:?}");
    }
}

/// Whoever drives is killed, and the server that listens goes on and starts another one.
#[track_caller]
fn the_driver_alone_is_killed(served: &Served) {
    let mut killed = Vec::new();
    served.scene.cluster.wait("a driver", || {
        killed = served.server().drivers();
        !killed.is_empty()
    });
    let listener = served.server().listener();
    killed.iter().for_each(|pid| kill(*pid));
    let another = || served.server().drivers().iter().any(|pid| !killed.contains(pid));
    served.scene.cluster.wait("another driver", another);
    assert_eq!(served.server().listener(), listener, "the server ended with its driver");
}

#[test]
fn an_object_that_is_deleted_in_its_rotation_leaves_a_rotation_that_the_terminal_ends() {
    let Some(served) = Served::raise("an object that is deleted in its rotation") else { return };
    for (word, code, outcome) in [("abort", 5, "rolled_back"), ("resume", 0, "done")] {
        served.is_ready(&served.spec());
        let id = served.rotate();
        served.is_in_the_middle();
        served.scene.kubectl(&["delete", OBJECT]);
        // Nobody is left whom the object could ask, and what runs goes on up to where a person is needed.
        let waits = || {
            let status = served.scene.run(&["status", &id]);
            status.of("status").iter().any(|row| row["waiting"]["person"] == true)
        };
        served.scene.cluster.wait("a rotation that waits for a person", waits);
        assert!(served.is_composed(), "the commands of the terminal do not know the secret");
        served.both_work();
        let ran = match word {
            "abort" => served.scene.run(&["abort", &id]),
            _ => served.scene.run(&["resume", &id, "--confirm", &served.secret()]),
        };
        ran.exits(code).ended(outcome);
        served.scene.cluster.wait("the end of its table", || !served.is_composed());
        if word == "abort" {
            served.is_rolled_back();
        }
    }
    served.is_rotated();
    assert_eq!(served.outcomes().len(), 2);
    let gone = ["-n", served.scene.namespace.as_str(), "get", OBJECT];
    assert!(!served.scene.cluster.does(&gone), "keyroll made an object");
}

#[test]
fn the_api_server_ends_and_comes_back_and_the_rotation_goes_on() {
    if !is_here_or_skip("an API server that ends under keyroll's server") {
        return;
    }
    let scene = Scene::at(Arc::new(Kubernetes::with_node()), OWN);
    scene.make(&scene.value);
    let mut served = Served::of(scene, "keyroll", "");
    served.serve();
    served.is_ready(&served.spec());
    let id = served.rotate();
    served.is_in_the_middle();

    // For seconds: the same server goes on.
    let listener = served.server().listener();
    served.scene.cluster_mut().stop_api_server();
    served.scene.cluster_mut().start_api_server();
    served.waits_for_consent(&id);
    assert_eq!(served.server().listener(), listener, "the server ended");

    // For longer than its Lease holds: it ends by itself, and nothing is revoked.
    served.scene.cluster_mut().stop_api_server();
    let server = served.server.take().unwrap();
    let said = ends_by_itself(server);
    assert!(said.to_lowercase().contains("lease"), "{said}");
    served.both_work();
    served.scene.cluster_mut().start_api_server();
    served.serve();
    let asked = served.waits_for_consent(&id);
    served.consents(&asked);
    served.ended(&id, "done");
    assert!(served.is_about_this_spec());
    served.is_rotated();
    assert_eq!(served.outcomes(), [json!("done")]);
}

/// Awaits that a server ends because it cannot go on; what it said.
#[track_caller]
fn ends_by_itself(mut server: Server) -> String {
    keyroll_testkit::command::wait("the end of the server", || !server.runs());
    let said = server.log();
    let code = server.ended();
    assert!(code.is_some_and(|code| code != 0), "it ended with {code:?}: {said}");
    said
}

/// Somebody has the Lease who is another one than this.
#[track_caller]
fn another_holds(served: &Served, before: &str) -> String {
    let mut holder = String::new();
    served.scene.cluster.wait("another holder of the Lease", || {
        holder = served.holder();
        !holder.is_empty() && holder != before
    });
    holder
}

/// A change of the object is followed.
#[track_caller]
fn is_followed(served: &Served, deadline: &str) {
    let patch = json!({ "spec": { "unit_deadline": deadline } }).to_string();
    served.scene.kubectl(&["patch", OBJECT, "--type=merge", "-p", &patch]);
    served.scene.cluster.wait("the change in the status", || served.is_about_this_spec());
    assert_eq!(served.condition("Accepted").0, "True");
}

#[test]
fn of_two_servers_the_one_with_the_lease_serves_and_the_other_says_who_it_is() {
    let Some(mut served) = Served::raise("two servers with one Lease") else { return };
    served.is_ready(&served.spec());
    let first = served.holder();
    assert!(!first.is_empty());

    let second_place = served.second_place();
    let second = served.started_at(&second_place);
    served.scene.cluster.wait("the word of the second server", || second.log().contains(&first));
    assert_eq!(served.holder(), first, "it took the Lease of a server that runs");

    // The first ends in good order, and gives its Lease back.
    served.server().signal(Signal::TERM);
    assert_eq!(served.server.take().unwrap().ended(), Some(0));
    let holder = another_holds(&served, &first);
    is_followed(&served, "151s");

    // The second one stops without a word, as a machine that sleeps does.
    served.serve();
    served.scene.cluster.wait("the word of the first server", || served.server().log().contains(&holder));
    assert_eq!(served.holder(), holder);
    second.signal(Signal::STOP);
    another_holds(&served, &holder);
    is_followed(&served, "152s");
    second.signal(Signal::CONT);
    let said = ends_by_itself(second);
    assert!(said.to_lowercase().contains("lease"), "{said}");
    is_followed(&served, "153s");
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 0);
    assert_eq!(served.scene.refused(), [] as [String; 0]);
}

/// A right as the audit log and a Role have it: group, resource with its part, verb.
type Right = (String, String, String);

/// The rights that the service account was given.
fn given(served: &Served) -> BTreeSet<Right> {
    let list = |namespace: &str, kind: &str| -> Vec<Value> {
        let said = served.scene.cluster.kubectl(&["-n", namespace, "get", kind, "-o", "json"]);
        serde_json::from_str::<Value>(&said).unwrap()["items"].as_array().unwrap().clone()
    };
    let is_own = |binding: &Value| {
        let subjects = binding["subjects"].as_array().cloned().unwrap_or_default();
        subjects.iter().any(|one| one["namespace"] == served.home.as_str() && one["name"] == "keyroll")
    };
    let mut all = BTreeSet::new();
    for namespace in [&served.home, &served.scene.namespace] {
        let bindings = list(namespace, "rolebindings");
        let names: Vec<&Value> =
            bindings.iter().filter(|one| is_own(one)).map(|one| &one["roleRef"]["name"]).collect();
        assert!(!names.is_empty(), "no Role was given in {namespace}");
        let roles = list(namespace, "roles");
        let roles = roles.iter().filter(|role| names.contains(&&role["metadata"]["name"]));
        for rule in roles.flat_map(|role| role["rules"].as_array().unwrap()) {
            let words = |name: &str| rule[name].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
            for group in words("apiGroups") {
                for resource in words("resources") {
                    for verb in words("verbs") {
                        assert!(
                            resource != "*" && verb != "*" && group != "*",
                            "everything is given: {rule}"
                        );
                        all.insert((group.to_owned(), resource.to_owned(), verb.to_owned()));
                    }
                }
            }
        }
    }
    all
}

/// The rights that it used.
fn used(served: &Served) -> BTreeSet<Right> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let right = |event: Value| {
        let object = &event["objectRef"];
        let part = object["subresource"].as_str().map(|part| format!("/{part}")).unwrap_or_default();
        (text(&object["apiGroup"]), format!("{}{part}", text(&object["resource"])), text(&event["verb"]))
    };
    served.scene.asked().into_iter().filter(|event| event["objectRef"].is_object()).map(right).collect()
}

/// A workload of each kind and way, so that everything is done that rights are asked for.
#[test]
fn every_right_is_used_and_none_is_missing() {
    let Some(served) = Served::raise("the rights of keyroll's server") else { return };
    let mut consumers = vec![served.consumer("deployment", "agent", Takes::Env)];
    for (kind, name, takes) in [
        ("StatefulSet", "stateful", Takes::EnvFrom),
        ("DaemonSet", "on-each-node", Takes::SubPath),
        ("CronJob", "nightly", Takes::Env),
        ("Deployment", "reader", Takes::File),
    ] {
        let script = match name {
            "reader" => served.scene.reader("/secrets/ANTHROPIC_API_KEY"),
            _ => served.scene.agent(takes, 100_000),
        };
        served.scene.create(&served.scene.running(kind, name, takes, &script));
        let kind = kind.to_lowercase();
        if kind != "cronjob" {
            served.scene.is_rolled_out(&format!("{kind}/{name}"));
        }
        let mut consumer = served.consumer(&kind, name, takes);
        if name == "reader" {
            consumer["runs"]["rereads"] = json!(true);
            consumer["trusts"] = json!("rereads");
        }
        consumers.push(consumer);
    }
    let mut spec = served.spec_of(&consumers);
    spec["unit_deadline"] = json!("200s");
    spec["max_parallel"] = json!(5);
    served.is_ready(&spec);
    let last = served.scene.asked().pop().expect("a request");
    let granted = last["requestReceivedTimestamp"].as_str().unwrap().to_owned();

    // Back, and then forward.
    let id = served.rotate();
    served.waits_for_consent(&id);
    served.annotate(ABORT, &id);
    served.ended(&id, "rolled back");
    let id = served.rotate();
    let question = served.waits_for_consent(&id);
    served.consents(&question);
    served.ended(&id, "done");
    served.is_rotated();

    let asked = served.scene.asked();
    assert!(!asked.is_empty(), "the server asked for nothing");
    // Until somebody gives the rights that keyroll prints for a new object, they are missing.
    let before = |event: &&Value| event["requestReceivedTimestamp"].as_str() >= Some(granted.as_str());
    let refused = asked.iter().filter(before).filter(|event| event["responseStatus"]["code"] == 403);
    let refused: BTreeSet<(&str, &str, bool)> = refused
        .map(|event| {
            let [of, verb] = [&event["objectRef"]["resource"], &event["verb"]].map(|it| it.as_str().unwrap());
            (of, verb, event["objectRef"]["name"].as_str().is_some_and(|name| name.starts_with(PROBE)))
        })
        .collect();
    // Each Secret that a pod names is read by its name, where all of them may not be listed; that of a check may be made, and
    // not read.
    let expected = BTreeSet::from([("secrets", "list", false), ("secrets", "get", true)]);
    let missing: Vec<_> = refused.difference(&expected).collect();
    assert_eq!(missing, [] as [&(&str, &str, bool); 0], "rights that are missing");
    assert!(refused.contains(&("secrets", "list", false)), "all Secrets may be listed");
    let (given, used) = (given(&served), used(&served));
    let excused = |right: &Right| {
        NOT_USED.iter().any(|(group, resource, verb, _)| {
            right.0.as_str() == *group && right.1.as_str() == *resource && right.2.as_str() == *verb
        })
    };
    let unused: Vec<&Right> = given.difference(&used).filter(|right| !excused(right)).collect();
    assert_eq!(unused, [] as [&Right; 0], "rights that nothing needs");
    // Of the objects it writes the status alone.
    let written = |event: &&Value| {
        event["objectRef"]["resource"] == "secretrotations"
            && !["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb)
    };
    let written: Vec<&Value> = asked.iter().filter(written).collect();
    assert!(!written.is_empty());
    assert!(written.iter().all(|event| event["objectRef"]["subresource"] == "status"), "{written:?}");
}
