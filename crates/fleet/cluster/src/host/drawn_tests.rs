//! Drawn histories of roll-outs: what is said of each moment is compared with what the pods were given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use keyroll_config::WorkloadKind;
use keyroll_host::SystemClock;
use keyroll_port::{Host as _, Proving, Sessions, Values};
use keyroll_rotation::{ConsumerId, Incarnation, Kinds, PATHS_MAX, Visibility, Which};
use keyroll_secret::{Fields, SecretBytes};
use keyroll_testkit::alphanumeric;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::evidence::{Ground, life};
use super::rolled_out::{RollOut, state};
use super::sample::{host_at, key, pods};
use super::seen::Seen;
use super::world::{Drawing, Drawn, NEW, OLD, World};
use super::{ClusterHost, KeySetup, PodsSetup};
use crate::drawn_tests::Random;
use crate::fake_api::{EPOCH, FakeApi, Store, Time};
use crate::look::remade;
use crate::model::{From, Namespace};
use crate::objects;
use crate::verdict::{CACHE_S, CLOCK_S};

const HISTORIES: u64 = 2_000;

/// How long a container has to run before a roll-out is done, seconds.
const SETTLE_S: i64 = 10;

/// Rules that are left out, each in turn: the time within which a new container may still end; what the controller has seen
/// of the workload; old pods that still live; which pods were of the roll-out that is done; that nothing counts before it
/// is done; and the margin for the cache of a node. That keyroll waits for the caches before it rolls out is left out in half
/// of the histories: there some pods never show which value they have.
///
/// The counts of the controller, that a new pod is not ending, and that a pod takes the key from no other Secret are belts:
/// what is left makes no history wrong without them.
const LEFT_OUT: [&str; 6] = ["settle", "observed", "old", "uid", "done", "cache"];

const KINDS: [WorkloadKind; 3] =
    [WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet];

/// What the histories have in common.
struct Parts {
    values: [String; 3],
    versions: (Fields, Fields),
    /// A host of each kind, with one Secret for all versions and with one for each.
    hosts: BTreeMap<(usize, bool), ClusterHost>,
}

/// What a host is told.
fn told(kind: WorkloadKind, versioned: bool) -> (KeySetup, PodsSetup) {
    let versioned = versioned.then(|| (kind, "agent".to_owned()));
    (KeySetup { versioned, ..key() }, PodsSetup { kind, ..pods() })
}

impl Parts {
    fn new() -> Self {
        let values = [(); 3].map(|()| alphanumeric(40));
        let fields = |value: usize| Fields::single(SecretBytes::from(values[value].clone()));
        let versions = (fields(OLD), fields(NEW));
        let mut hosts = BTreeMap::new();
        for (at, kind) in KINDS.into_iter().enumerate() {
            for versioned in [false, true] {
                let (key, pods) = told(kind, versioned);
                let host = host_at(None, Arc::new(SystemClock::new()), key, vec![pods]);
                hosts.insert((at, versioned), host);
            }
        }
        Self { values, versions, hosts }
    }

    fn values(&self) -> Values<'_> {
        Values { old: &self.versions.0, new: Some(&self.versions.1), old_ended: false }
    }

    fn proving(&self, which: Which) -> Proving<'_> {
        Proving { consumer: ConsumerId(0), slot: None, which, values: self.values(), watched: false }
    }

    fn draw(&self, seed: u64) -> (&ClusterHost, World) {
        let at = usize::try_from(seed % 3).unwrap();
        let drawing = Drawing {
            kind: KINDS[at],
            versioned: (seed / 3).is_multiple_of(4),
            waits: (seed / 12).is_multiple_of(2),
            quiet: (seed / 24).is_multiple_of(2),
        };
        let world = World::new(seed, drawing, self.values.clone());
        (&self.hosts[&(at, drawing.versioned)], world)
    }
}

/// A look at the namespace, with the value and the template of each container then.
struct Look {
    seen: Seen,
    truth: BTreeMap<Incarnation, (usize, usize)>,
}

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

fn look(world: &World, out: &str) -> Look {
    let keys = |_: &From| None::<Vec<String>>;
    let workload = match world.kind().0 {
        "StatefulSet" => objects::stateful_set(&read(world.workload()), &keys),
        "DaemonSet" => objects::daemon_set(&read(world.workload()), &keys),
        _ => objects::deployment(&read(world.workload()), &keys),
    };
    let sets = world.replica_sets().into_iter().map(|set| objects::replica_set(&read(set), &keys));
    let mut namespace = Namespace {
        name: "shop".to_owned(),
        secrets: world.secrets().into_iter().map(|one| objects::secret(read(one))).collect(),
        workloads: std::iter::once(workload).chain(sets).collect(),
        pods: world.pod_objects().into_iter().map(|pod| objects::pod(&read(pod), &keys)).collect(),
        now: Some(EPOCH + world.now),
        ..Namespace::default()
    };
    if out == "cache" {
        for pod in &mut namespace.pods {
            pod.created = pod.created.map(|at| at + CACHE_S);
            for container in &mut pod.containers {
                container.started = container.started.map(|at| at + CACHE_S);
            }
        }
    }
    let mut truth = BTreeMap::new();
    for (drawn, pod) in world.pods.iter().zip(&namespace.pods) {
        if let Some(run) = drawn.run {
            truth.insert(life(pod, &pod.containers[0]), (run.value, drawn.template));
        }
    }
    namespace.sort();
    let remade = remade(&namespace);
    Look { seen: Seen { namespace, remade }, truth }
}

/// What is said of the roll-out.
fn rolled(world: &World, out: &str) -> RollOut {
    let mut workload = world.workload();
    if out == "observed" {
        workload["status"]["observedGeneration"] = workload["metadata"]["generation"].clone();
    }
    let mut pods = world.pod_objects();
    if out == "old" {
        let mut drawn = world.pods.iter();
        pods.retain(|_| drawn.next().unwrap().template == world.present);
    }
    let late = if out == "settle" { SETTLE_S } else { 0 };
    state(&workload, &pods, &world.replica_sets(), EPOCH + world.now + late)
}

/// What is wrong with the statement that a roll-out is done.
fn wrong_of_done(world: &World, done: &BTreeSet<String>) -> Option<&'static str> {
    let every = |is_it: &dyn Fn(&Drawn) -> bool| world.pods.iter().all(is_it);
    let settled = |at: i64| at + SETTLE_S - CLOCK_S <= world.now;
    let uids: BTreeSet<String> = world.pods.iter().map(|pod| pod.uid.clone()).collect();
    // How many nodes there are, the controller says later.
    let counts = world.drawing.kind == WorkloadKind::DaemonSet || world.pods.len() == world.replicas;
    let all = [
        (every(&|pod| pod.template == world.present), "an old pod lives"),
        (every(&|pod| !pod.ending), "a pod is ending"),
        (every(&|pod| pod.ready), "a pod is not ready"),
        (every(&|pod| pod.run.is_some_and(|run| settled(run.at))), "a container was started just now"),
        (*done == uids, "it names other pods"),
        (counts, "there are not as many pods as wanted"),
    ];
    all.into_iter().find(|(right, _)| !right).map(|(_, wrong)| wrong)
}

/// What was said, and what is wrong with it.
#[derive(Default)]
struct Said {
    done: bool,
    /// How many containers show the version.
    loaded: usize,
    wrong: Option<String>,
}

/// Judges what is said of a version, by a look and by a later one at the roll-out.
fn judge(parts: &Parts, host: &ClusterHost, (look, world): (&Look, &World), which: Which, out: &str) -> Said {
    let roll_out = rolled(world, out);
    let mut said = Said::default();
    if let RollOut::Done { pods } = &roll_out {
        said.done = true;
        said.wrong = wrong_of_done(world, pods).map(str::to_owned);
    }
    let stated = match (out, roll_out) {
        ("done", _) => None,
        ("uid", RollOut::Done { .. }) => {
            let pods = look.seen.namespace.pods.iter().map(|pod| pod.uid.clone()).collect();
            Some(RollOut::Done { pods })
        }
        (_, stated) => Some(stated),
    };
    let (own, other) = if which == Which::New { (NEW, OLD) } else { (OLD, NEW) };
    let ground = Ground::of(&host.setup.consumers[0], stated).0;
    let none = [Kinds::NONE; PATHS_MAX];
    for proof in host.proofs(parts.proving(which), &look.seen, (&ground, none)).unwrap() {
        if !proof.paths[0].has(Kinds::LOADED) {
            continue;
        }
        said.loaded += 1;
        let (value, template) = look.truth[&proof.who];
        let old_lives = world.pods.iter().any(|pod| pod.template != world.present);
        for (is_wrong, what) in [
            (value != own, "evidence of a version that the pod does not have"),
            (template != world.present, "evidence of a pod of another template"),
            (old_lives, "evidence while an old pod lives"),
        ] {
            if is_wrong {
                said.wrong.get_or_insert(what.to_owned());
            }
        }
    }
    let takers = look.seen.takers();
    for one in host.taken(&look.seen, &takers) {
        let seen = host.observed(&one, &look.seen, parts.values(), which);
        let (value, _) = look.truth[&seen.who];
        let (goes, stays) = if which == Which::New { (seen.old, seen.new) } else { (seen.new, seen.old) };
        if goes == Visibility::No && value == other || stays == Visibility::Yes && value != own {
            let what = format!("a look that says {goes:?} and {stays:?} of a pod with value {value}");
            said.wrong.get_or_insert(what);
        }
    }
    said
}

#[test]
fn nothing_that_is_said_of_a_drawn_roll_out_is_wrong_and_a_rule_that_is_left_out_makes_something_wrong() {
    let (parts, mut missed) = (Parts::new(), LEFT_OUT.to_vec());
    let (mut done, mut loaded, mut rests, mut unproven) = (0, 0, 0, 0);
    for seed in 0..HISTORIES {
        let (host, mut world) = parts.draw(seed);
        let mut random = Random(!seed);
        let mut check = |world: &World, looks: &(Look, Option<Look>)| {
            let mut last = Said::default();
            for which in [Which::Old, Which::New] {
                last = judge(&parts, host, (&looks.0, world), which, "");
                assert_eq!(last.wrong, None, "history {seed}, {which:?}");
                loaded += last.loaded;
                missed.retain(|out| {
                    let look = if *out == "cache" { looks.1.as_ref().unwrap_or(&looks.0) } else { &looks.0 };
                    judge(&parts, host, (look, world), which, out).wrong.is_none()
                });
            }
            done += usize::from(last.done);
            last
        };
        for _ in 0..3 {
            for _ in 0..random.below(16) {
                world.step();
            }
            let looks = (look(&world, ""), (seed < 400).then(|| look(&world, "cache")));
            // Meanwhile something happens.
            for _ in 0..random.below(5) {
                world.step();
            }
            check(&world, &looks);
        }
        world.finish();
        let last = check(&world, &(look(&world, ""), None));
        if world.replicas == 0 {
            assert_eq!(rolled(&world, ""), RollOut::AtRest, "history {seed}");
            rests += 1;
            continue;
        }
        // What comes to its end is seen to have come there.
        assert!(last.done, "history {seed}: {:?}", rolled(&world, ""));
        if world.drawing.quiet && (world.drawing.waits || world.drawing.versioned) {
            assert_eq!(last.loaded, world.pods.len(), "history {seed}");
        } else if world.drawing.quiet && last.loaded < world.pods.len() {
            unproven += 1;
        }
        // The pods of a look count for nothing if all of them were replaced since.
        let looks = (look(&world, ""), None);
        world.replace_pods();
        assert!(check(&world, &looks).done, "history {seed}: {:?}", rolled(&world, ""));
    }
    assert!(missed.is_empty(), "no history catches {missed:?}");
    let counts =
        [("done", done, 2_000), ("loaded", loaded, 2_000), ("rests", rests, 20), ("unproven", unproven, 50)];
    for (what, count, least) in counts {
        assert!(count >= least, "{what}: {counts:?}");
    }
}

/// Puts what there is at the server.
fn publish(world: &World, store: &mut Store) {
    store.replace("secrets", world.secrets());
    store.replace("pods", world.pod_objects());
    store.replace("replicasets", world.replica_sets());
    store.replace(world.kind().1, vec![world.workload()]);
}

#[tokio::test]
async fn what_happens_between_the_requests_of_a_look_makes_no_evidence_wrong() {
    let parts = Parts::new();
    let (mut during, mut after) = (0, 0);
    for seed in 0..60 {
        let (_, world) = parts.draw(seed);
        let Drawing { kind, versioned, .. } = world.drawing;
        let (world, time) = (Arc::new(Mutex::new(world)), Time::new());
        let api = FakeApi::new(time.clone());
        let (of_server, clock) = (Arc::clone(&world), time.clone());
        api.before(move |_, store| {
            let mut world = of_server.lock().unwrap();
            if world.random.one_in(3) {
                world.step();
            }
            clock.set(world.now);
            publish(&world, store);
        });
        let (key, pods) = told(kind, versioned);
        let host = host_at(Some(api.cluster()), Arc::new(time), key, vec![pods]);
        for round in 0..4 {
            if round == 3 {
                let mut world = world.lock().unwrap();
                world.finish();
                world.frozen = true;
            }
            for which in [Which::Old, Which::New] {
                let of = parts.proving(which);
                let half = host.prepare(of, &Sessions::default()).await.unwrap();
                let proved = host.go(half, of, &Sessions::default()).await;
                let evidence = proved.evidence.unwrap();
                let world = world.lock().unwrap();
                let own = if which == Which::New { NEW } else { OLD };
                for proof in evidence.proofs.iter().filter(|proof| proof.paths[0].has(Kinds::LOADED)) {
                    assert_eq!(world.runs[&proof.who], own, "history {seed}, round {round}, {which:?}");
                    *(if round == 3 { &mut after } else { &mut during }) += 1;
                }
            }
        }
    }
    assert!(during > 0 && after > 20, "{during} {after}");
}
