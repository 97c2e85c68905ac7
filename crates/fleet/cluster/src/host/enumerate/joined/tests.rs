use keyroll_port::{Host as _, Looked, Values};
use keyroll_rotation::{Incarnation, InstanceIdentity, digest_of_life};
use keyroll_secret::{Fields, SecretBytes};
use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};

use super::*;
use crate::host::PodsSetup;
use crate::host::sample::{deployment, env, host, key, pods, secret, seen, takes};
use crate::model::{Taking, Unlisted, Workload};
use crate::recorded::Recorded;

/// The two versions.
fn versions() -> (Fields, Fields) {
    let field = || Fields::single(SecretBytes::from(alphanumeric(40)));
    (field(), field())
}

fn text(fields: &Fields) -> String {
    String::from_utf8(fields.get("value").unwrap().value.expose().to_vec()).unwrap()
}

fn of_key() -> Vec<Taking> {
    vec![takes("api", "key", env())]
}

/// A Deployment with one pod at this address, which was rolled out after the change.
fn at(name: &str, address: &str) -> (Workload, Pod) {
    let (workload, mut pod) = deployment(name, 600, &of_key);
    pod.addresses = [address.parse().unwrap()].into();
    (workload, pod)
}

fn session(client: &str) -> Session {
    let client = Some(client.parse().unwrap());
    Session { client, pid: None, busy: false, handle: format!("handle of {client:?}"), calls: None }
}

/// The session that a fleet sends behind the others, which no process has.
fn mark() -> Session {
    Session { client: None, pid: None, busy: false, handle: String::new(), calls: None }
}

fn on_old(clients: &[&str]) -> Sessions {
    let old = clients.iter().map(|client| session(client)).chain([mark()]).collect();
    Sessions { old: Some(old), new: Some(Vec::new()) }
}

/// A host whose looks are at these pods.
struct Scene {
    host: ClusterHost,
    both: (Fields, Fields),
}

impl Scene {
    fn new() -> Self {
        Self { host: host(&Recorded::new(), key(), vec![pods()]), both: versions() }
    }

    fn values(&self) -> Values<'_> {
        Values { old: &self.both.0, new: Some(&self.both.1), old_ended: false }
    }

    fn namespace(&self, running: Vec<(Workload, Pod)>) -> Seen {
        seen(vec![secret("api", "key", &text(&self.both.1))], running)
    }

    fn look(&self, running: Vec<(Workload, Pod)>, sessions: &Sessions) -> Looked {
        self.host.looked(&self.namespace(running), self.values(), sessions, Which::New).unwrap()
    }

    /// Whose the sessions are, by the names behind their digests.
    fn owners(looked: &Looked) -> Vec<Option<String>> {
        let sessions = looked.enumeration.sessions.as_ref().unwrap();
        sessions.iter().map(|seen| seen.who.map(|who| name_of(looked, who))).collect()
    }
}

fn name_of(looked: &Looked, who: Incarnation) -> String {
    let digest = digest_of_life(who);
    let named = looked.names.iter().find(|named| named.digest == digest).unwrap();
    keyroll_port::Described::read(&named.name).unwrap().name
}

fn lines(looked: &Looked) -> Vec<&str> {
    let all = looked.not_visible.iter().map(String::as_str);
    all.filter(|line| line.starts_with("who has a session")).collect()
}

/// The join of a fleet goes by the places: each session has an entry, also the mark.
#[test]
fn a_session_from_the_address_of_a_pod_of_a_consumer_is_that_pods_and_every_other_session_is_nobodys() {
    let scene = Scene::new();
    let mut sessions =
        on_old(&["198.51.100.4:40000", "10.42.0.7:40001", "[::ffff:10.42.0.7]:40002", "10.42.0.8:1"]);
    sessions.old.as_mut().unwrap()[1].busy = true;
    let looked = scene.look(vec![at("agent", "10.42.0.7")], &sessions);
    let own = || Some("pod/agent-1/app".to_owned());
    assert_eq!(Scene::owners(&looked), [None, own(), own(), None, None]);
    let busy: Vec<bool> =
        looked.enumeration.sessions.as_ref().unwrap().iter().map(|seen| seen.busy).collect();
    assert_eq!(busy, [false, true, false, false, false]);
    assert!(lines(&looked).is_empty());
    // It proves nothing, and takes nothing away from what the pod shows otherwise.
    let without = scene.look(vec![at("agent", "10.42.0.7")], &Sessions::default());
    assert_eq!(without.enumeration.instances, looked.enumeration.instances);
    assert_eq!(without.enumeration.sessions, None);
}

#[test]
fn an_address_that_several_pods_have_or_a_pod_that_has_ended_is_nobodys() {
    let owners = |running: Vec<(Workload, Pod)>| {
        let looked = Scene::new().look(running, &on_old(&["10.42.0.7:40001"]));
        (Scene::owners(&looked), lines(&looked).len())
    };
    let nobody = || (vec![None::<String>, None], 0_usize);
    assert_eq!(owners(vec![at("agent", "10.42.0.7"), at("other", "10.42.0.7")]), nobody());
    let ended = |name: &str| {
        let (workload, mut pod) = at(name, "10.42.0.7");
        pod.phase = "Succeeded".to_owned();
        (workload, pod)
    };
    assert_eq!(owners(vec![ended("agent")]), nobody());
    // Its address was given to another pod.
    let (found, _) = owners(vec![at("agent", "10.42.0.7"), ended("other")]);
    assert_eq!(found, [Some("pod/agent-1/app".to_owned()), None]);
    // A pod in the network of its node has no address of its own.
    let (workload, mut pod) = at("agent", "10.42.0.7");
    pod.addresses.clear();
    assert_eq!(owners(vec![(workload, pod)]), nobody());
}

#[test]
fn without_all_pods_no_session_is_anybodys() {
    let scene = Scene::new();
    let mut seen = scene.namespace(vec![at("agent", "10.42.0.7")]);
    let look = |seen: &Seen| {
        let sessions = on_old(&["10.42.0.7:40001"]);
        scene.host.looked(seen, scene.values(), &sessions, Which::New).unwrap().enumeration.sessions
    };
    assert!(look(&seen).is_some_and(|all| all.iter().any(|one| one.who.is_some())));
    seen.namespace.unlisted = vec![Unlisted { plural: "pods", in_part: true }];
    assert_eq!(look(&seen), None);
}

/// A server keeps sessions of a pod that is gone, and its address is given to the next pod.
#[test]
fn a_session_that_was_seen_before_the_pod_had_its_address_is_not_its_own() {
    let scene = Scene::new();
    let (workload, mut former) = at("agent", "10.42.0.7");
    former.uid = "uid-of-the-former".to_owned();
    let looked = scene.look(vec![(workload, former)], &on_old(&["10.42.0.7:40001"]));
    assert_eq!(Scene::owners(&looked), [Some("pod/agent-1/app".to_owned()), None]);
    let both = on_old(&["10.42.0.7:40001", "10.42.0.7:40002"]);
    for _ in 0..2 {
        let looked = scene.look(vec![at("agent", "10.42.0.7")], &both);
        assert_eq!(Scene::owners(&looked), [None, Some("pod/agent-1/app".to_owned()), None]);
        // A look without the issuer's list forgets nothing.
        scene.look(vec![at("agent", "10.42.0.7")], &Sessions::default());
    }
}

/// An operator may waive an undeclared pod by its name: then no session may go with it that another machine has.
#[test]
fn a_pod_of_no_consumer_is_reported_and_its_sessions_stay_nobodys() {
    let scene = Scene::new();
    let sessions = on_old(&["10.42.0.8:40001", "10.42.0.8:40002", "10.42.0.9:40001", "10.42.0.10:1"]);
    let (other, mut reporter) = at("reporter", "10.42.0.9");
    reporter.takes = Vec::<Taking>::new().into();
    let (probe, mut probing) = at("probe", "10.42.0.10");
    (probing.of_probe, probing.takes) = (true, Vec::<Taking>::new().into());
    let running = vec![at("undeclared", "10.42.0.8"), (other, reporter), (probe, probing)];
    let looked = scene.look(running, &sessions);
    assert_eq!(Scene::owners(&looked), [const { None::<String> }; 5]);
    assert_eq!(
        lines(&looked),
        [
            "who has a session with the old key from 10.42.0.8: pod/undeclared-1 has this address, and an undeclared \
             container takes the key there",
            "who has a session with the old key from 10.42.0.9: pod/reporter-1 has this address, and no declared consumer \
             takes the key there",
        ]
    );
}

#[test]
fn a_session_of_a_pod_in_which_an_undeclared_container_takes_the_key_too_is_nobodys() {
    let only_app = PodsSetup { container: Some("app".to_owned()), ..pods() };
    let scene = Scene { host: host(&Recorded::new(), key(), vec![only_app]), both: versions() };
    let (workload, mut pod) = at("agent", "10.42.0.7");
    let beside = Taking { container: "beside".to_owned(), ..takes("api", "key", env()) };
    pod.takes = of_key().into_iter().chain([beside]).collect();
    let mut container = pod.containers[0].clone();
    container.name = "beside".to_owned();
    pod.containers.push(container);
    let looked = scene.look(vec![(workload, pod)], &on_old(&["10.42.0.7:40001"]));
    assert_eq!(Scene::owners(&looked), [const { None::<String> }; 2]);
    assert_eq!(lines(&looked).len(), 1);
}

#[test]
fn in_a_rollback_the_sessions_on_the_new_version_are_matched() {
    let scene = Scene::new();
    let seen = scene.namespace(vec![at("agent", "10.42.0.7")]);
    let sessions = Sessions {
        old: Some(vec![session("10.42.0.7:40001")]),
        new: Some(vec![session("10.42.0.8:40002"), session("10.42.0.7:40003"), mark()]),
    };
    let looked = scene.host.looked(&seen, scene.values(), &sessions, Which::Old).unwrap();
    assert_eq!(Scene::owners(&looked), [None, Some("pod/agent-1/app".to_owned()), None]);
}

/// As the API server shows a pod in a network of its own.
fn recorded_pod(host_network: bool) -> Value {
    let from = json!({ "secretKeyRef": { "name": "api", "key": "key" } });
    let container = json!({ "name": "app", "env": [{ "name": "KEY", "valueFrom": from }] });
    let running = json!({ "running": { "startedAt": "2026-07-01T11:00:05Z" } });
    json!({
        "metadata": { "name": "agent", "uid": "u-1", "creationTimestamp": "2026-07-01T11:00:00Z" },
        "spec": { "hostNetwork": host_network, "containers": [container] },
        "status": {
            "phase": "Running", "hostIP": "192.0.2.1", "podIP": "10.42.0.7", "podIPs": [{ "ip": "10.42.0.7" }],
            "containerStatuses": [{
                "name": "app", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "state": running,
            }],
        },
    })
}

#[tokio::test]
async fn the_addresses_are_those_that_the_api_server_shows_and_a_node_address_is_nobodys() {
    for (host_network, owned) in [(false, true), (true, false)] {
        let (recorded, both) = (Recorded::new(), versions());
        let data = json!({ "key": k8s_openapi::ByteString(text(&both.1).into_bytes()) });
        let metadata = json!({ "name": "api", "uid": "s", "resourceVersion": "7" });
        recorded.lists("api/v1/secrets", &[json!({ "metadata": metadata, "type": "Opaque", "data": data })]);
        recorded.lists("api/v1/pods", &[recorded_pod(host_network)]);
        let alone = PodsSetup { kind: keyroll_config::WorkloadKind::Pod, ..pods() };
        let host = host(&recorded, key(), vec![alone]);
        let values = Values { old: &both.0, new: Some(&both.1), old_ended: false };
        let sessions = on_old(&["192.0.2.1:40000", "10.42.0.7:40001"]);
        let looked = host.enumerate(values, &sessions, Which::New).await.unwrap();
        let seen = looked.enumeration.sessions.unwrap();
        let owners: Vec<bool> = seen
            .iter()
            .map(|one| one.who.is_some_and(|who| matches!(who.life, InstanceIdentity::Container { .. })))
            .collect();
        assert_eq!(owners, [false, owned, false], "{host_network}");
    }
}
