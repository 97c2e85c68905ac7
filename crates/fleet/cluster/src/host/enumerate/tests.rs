use keyroll_rotation::ConsumerId;
use keyroll_rotation::Visibility::{No, NotVisible, Yes};
use keyroll_secret::{Fields, SecretBytes};
use keyroll_testkit::alphanumeric;

use super::*;
use crate::host::sample::{CHANGE, deployment, env, host, key, pods, secret, seen, takes};
use crate::host::seen::FOLLOW_S;
use crate::model::{From, MapSeen, Pod, Taking, Unlisted, Workload};
use crate::recorded::Recorded;
use crate::verdict::CACHE_S;

#[test]
fn the_version_that_goes_is_excluded_only_by_proof_of_the_other() {
    for (word, lag) in
        [("current", false), ("stale", false), ("likely stale", true), ("unknown", false), ("unknown", true)]
    {
        for holds in [Holds::Old, Holds::New, Holds::Other, Holds::Unreadable] {
            for stays in [Which::Old, Which::New] {
                let (goes, _) = sees(word, holds, stays, lag);
                let proven = word == "current" && holds == Holds::of(stays);
                assert_eq!(goes == No, proven, "{word} {holds:?} {stays:?}");
            }
        }
    }
}

#[test]
fn a_container_that_is_behind_the_secret_has_the_version_that_goes() {
    let seen = |word: &str, holds: Holds| sees(word, holds, Which::New, false);
    assert_eq!(seen("current", Holds::New), (No, Yes));
    assert_eq!(seen("current", Holds::Old), (Yes, No));
    assert_eq!(seen("stale", Holds::New), (Yes, No));
    assert_eq!(seen("likely stale", Holds::New), (NotVisible, No));
    assert_eq!(seen("unknown", Holds::New), (NotVisible, NotVisible));
    // What it had before the present value is not known to be the new version.
    assert_eq!(seen("stale", Holds::Old), (NotVisible, NotVisible));
    assert_eq!(seen("current", Holds::Other), (NotVisible, NotVisible));
}

#[test]
fn a_file_that_may_not_have_followed_yet_counts_as_what_it_was() {
    assert_eq!(sees("unknown", Holds::New, Which::New, true), (Yes, NotVisible));
    assert_eq!(sees("unknown", Holds::Old, Which::Old, true), (Yes, NotVisible));
    assert_eq!(sees("unknown", Holds::Old, Which::New, true), (NotVisible, NotVisible));
}

/// The two versions.
fn versions() -> (Fields, Fields) {
    let field = || Fields::single(SecretBytes::from(alphanumeric(40)));
    (field(), field())
}

fn text(fields: &Fields) -> String {
    String::from_utf8(fields.get("value").unwrap().value.expose().to_vec()).unwrap()
}

fn values((old, new): &(Fields, Fields)) -> Values<'_> {
    Values { old, new: Some(new), old_ended: false }
}

fn a_host() -> ClusterHost {
    host(&Recorded::new(), key(), vec![pods()])
}

fn of_key() -> Vec<Taking> {
    vec![takes("api", "key", env())]
}

#[test]
fn an_undeclared_pod_that_is_not_current_is_described_and_has_the_version_that_goes() {
    let both = versions();
    let secrets = vec![secret("api", "key", &text(&both.1))];
    let running = vec![
        deployment("agent", 600, &of_key),
        deployment("other", -600, &of_key),
        deployment("third", 600, &of_key),
    ];
    let (host, seen) = (a_host(), seen(secrets, running));
    let looked = host.looked(&seen, values(&both), &Sessions::default(), Which::New).unwrap();
    let all: Vec<_> =
        looked.enumeration.instances.iter().map(|one| (one.consumer, one.old, one.new)).collect();
    assert_eq!(all, [(Some(ConsumerId(0)), No, Yes), (None, Yes, No), (None, No, Yes)]);
    let who = looked.enumeration.instances[1].who;
    let holder = host.memo().described.get(&who).cloned().unwrap();
    assert_eq!(holder.name, "pod/other-1/app");
    assert_eq!(holder.found_by, "it is of deployment/other, which takes secret/api key");
    assert_eq!(looked.enumeration.files, [(FileId(0), Holds::New)]);
    assert!(looked.enumeration.complete);
    // The other way round nobody is excluded.
    let looked = host.looked(&seen, values(&both), &Sessions::default(), Which::Old).unwrap();
    let goes: Vec<_> = looked.enumeration.instances.iter().map(|one| one.new).collect();
    assert_eq!(goes, [Yes, Yes, Yes]);
}

#[test]
fn whether_a_declared_pod_that_was_asked_to_end_has_the_version_that_goes_is_not_visible() {
    let both = versions();
    let look = |ending: bool, stays: Which| {
        let secrets = vec![secret("api", "key", &text(&both.1))];
        let mut running = vec![deployment("agent", -600, &of_key), deployment("other", -600, &of_key)];
        running.iter_mut().for_each(|(_, pod)| pod.ending = ending);
        let looked =
            a_host().looked(&seen(secrets, running), values(&both), &Sessions::default(), stays).unwrap();
        looked.enumeration.instances.iter().map(|one| (one.consumer, one.old, one.new)).collect::<Vec<_>>()
    };
    let own = Some(ConsumerId(0));
    assert_eq!(look(false, Which::New), [(own, Yes, No), (None, Yes, No)]);
    // It is not said to be without it: it blocks until it is gone, or its consumer is waived.
    assert_eq!(look(true, Which::New), [(own, NotVisible, No), (None, Yes, No)]);
    // The other way round nothing is seen of a value that is not in the Secret any more.
    assert_eq!(look(true, Which::Old), look(false, Which::Old));
}

#[test]
fn a_declared_pod_that_was_asked_to_end_is_left_with_its_node() {
    let both = versions();
    let (workload, mut pod) = deployment("agent", -600, &of_key);
    (pod.ending, pod.node) = (true, Some("n-1".to_owned()));
    let seen = seen(vec![secret("api", "key", &text(&both.1))], vec![(workload, pod)]);
    let swept = a_host().swept(&seen, values(&both)).unwrap();
    let [left] = swept.residues.as_slice() else { panic!("{:?}", swept.residues) };
    assert_eq!(left.place, "pod/agent-1/app");
    assert_eq!(left.reason, "is not seen to be without the dead value until its pod has ended, on node n-1");
}

#[test]
fn a_pod_that_is_left_and_takes_the_dead_value_again_is_not_said_to_be_moved_by_a_restart() {
    let both = versions();
    let versioned = || KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key() };
    let of_new = || vec![takes("api-0123456789", "key", env())];
    let secrets = vec![secret("api", "key", &text(&both.0)), secret("api-0123456789", "key", &text(&both.1))];
    let running = vec![deployment("agent", 600, &of_new), deployment("other", 600, &of_key)];
    let host = host(&Recorded::new(), versioned(), vec![pods()]);
    let swept = host.swept(&seen(secrets, running), values(&both)).unwrap();
    let other = swept.residues.iter().find(|one| one.place == "pod/other-1/app").unwrap();
    let wanted = "is not seen to be without the dead value, which secret/api key still holds for the next pod of \
                  deployment/other";
    assert_eq!(other.reason, wanted);
}

#[test]
fn a_consumer_without_a_running_container_is_at_rest_and_its_next_pod_is_not_known() {
    let both = versions();
    let secrets = || vec![secret("api", "key", &text(&both.1))];
    let (workload, mut pod) = deployment("agent", 600, &of_key);
    let mut scaled = seen(secrets(), vec![(workload, Pod::default())]);
    scaled.namespace.pods.clear();
    let rest = |seen: &Seen| {
        let looked = a_host().looked(seen, values(&both), &Sessions::default(), Which::New).unwrap();
        let [one] = looked.enumeration.instances.as_slice() else { panic!("one consumer") };
        assert_eq!(one.who.life, InstanceIdentity::AtRest(ConsumerId(0)));
        (one.old, one.new)
    };
    assert_eq!(rest(&scaled), (No, No));
    (pod.containers[0].running, pod.containers[0].started) = (false, None);
    let (workload, _) = deployment("agent", 600, &of_key);
    assert_eq!(rest(&seen(secrets(), vec![(workload, pod)])), (NotVisible, NotVisible));
}

/// The same, with a pod whose image is still pulled.
fn not_started((workload, mut pod): (Workload, Pod)) -> (Workload, Pod) {
    (pod.containers[0].running, pod.containers[0].started) = (false, None);
    pod.containers[0].waits = Some("ContainerCreating".to_owned());
    (workload, pod)
}

/// Which consumers have an instance that is a container, and what is said of it.
fn containers(looked: &Looked) -> Vec<(Option<ConsumerId>, Visibility, Visibility)> {
    let all = looked.enumeration.instances.iter();
    let all = all.filter(|one| matches!(one.who.life, InstanceIdentity::Container { .. }));
    all.map(|one| (one.consumer, one.old, one.new)).collect()
}

#[test]
fn a_container_that_has_not_started_in_a_pod_of_before_may_come_up_with_the_version_that_goes() {
    let both = versions();
    let fixed = || vec![takes("api", "key", Way::SubPath("/keys/key".to_owned()))];
    for takes in [&of_key as &dyn Fn() -> Vec<Taking>, &fixed] {
        let look = |since: i64| {
            let running = ["agent", "other"].map(|name| not_started(deployment(name, since, takes)));
            let seen = seen(vec![secret("api", "key", &text(&both.1))], running.into());
            let host = a_host();
            let looked = host.looked(&seen, values(&both), &Sessions::default(), Which::New).unwrap();
            let described = host.memo().described.len();
            (containers(&looked), described, looked.enumeration.instances.len())
        };
        let own = (Some(ConsumerId(0)), NotVisible, NotVisible);
        for since in [-600, 2, 2 + CACHE_S] {
            assert_eq!(
                look(since),
                (vec![own, (None, Yes, NotVisible)], 2, 2),
                "made {since} - 2 s after it"
            );
        }
        // The consumer is at rest, and its next container is not known.
        assert_eq!(look(3 + CACHE_S), (Vec::new(), 0, 1));
    }
}

#[test]
fn a_pod_of_a_job_that_has_not_started_is_no_consumer_at_rest() {
    let both = versions();
    let nightly = || PodsSetup { kind: WorkloadKind::CronJob, ..pods() };
    let host = host(&Recorded::new(), key(), vec![nightly()]);
    let (mut workload, mut pod) = not_started(deployment("agent", -600, &of_key));
    workload.kind = "CronJob".to_owned();
    pod.made_by = Some(("CronJob".to_owned(), "agent".to_owned()));
    let seen = seen(vec![secret("api", "key", &text(&both.1))], vec![(workload, pod)]);
    let looked = host.looked(&seen, values(&both), &Sessions::default(), Which::New).unwrap();
    assert_eq!(containers(&looked), [(Some(ConsumerId(0)), NotVisible, NotVisible)]);
    assert_eq!(looked.enumeration.instances.len(), 1);
    let swept = host.swept(&seen, values(&both)).unwrap();
    assert!(swept.not_visible.iter().any(|line| line.contains("pod/agent-1/app")), "{:?}", swept.not_visible);
}

#[test]
fn a_pod_that_takes_all_keys_of_a_version_that_is_gone_may_have_it() {
    let both = versions();
    let versioned = || KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key() };
    let of_new = || vec![takes("api-0123456789", "key", env())];
    let all_of_old = || {
        let from = From::Secret { name: "api-aaaaaaaaaa".to_owned(), key: None };
        vec![Taking { from, ..takes("", "", Way::EnvFrom(String::new())) }]
    };
    let look = |secrets| {
        let (workload, _) = deployment("agent", 600, &of_new);
        let (_, former) = deployment("agent", -600, &all_of_old);
        let running = vec![(workload, former), deployment("other", -600, &all_of_old)];
        let host = host(&Recorded::new(), versioned(), vec![pods()]);
        containers(
            &host.looked(&seen(secrets, running), values(&both), &Sessions::default(), Which::New).unwrap(),
        )
    };
    let new = || secret("api-0123456789", "key", &text(&both.1));
    assert_eq!(look(vec![new()]), [(Some(ConsumerId(0)), NotVisible, NotVisible), (None, Yes, NotVisible)]);
    // Where it is there, what it holds says whether the key is taken.
    let without = secret("api-aaaaaaaaaa", "another", "x");
    assert!(look(vec![new(), without]).is_empty());
}

#[test]
fn a_pod_that_has_not_started_on_the_secret_of_another_version_takes_that_one() {
    let both = versions();
    let versioned = || KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key() };
    let look = |name: &'static str| {
        let of_it = || vec![takes(name, "key", env())];
        let (workload, _) = deployment("agent", 600, &|| vec![takes("api-0123456789", "key", env())]);
        let (_, pod) = not_started(deployment("agent", 600, &of_it));
        let secrets = vec![
            secret("api-0123456789", "key", &text(&both.1)),
            secret("api-aaaaaaaaaa", "key", &text(&both.0)),
        ];
        let host = host(&Recorded::new(), versioned(), vec![pods()]);
        containers(
            &host
                .looked(
                    &seen(secrets, vec![(workload, pod)]),
                    values(&both),
                    &Sessions::default(),
                    Which::New,
                )
                .unwrap(),
        )
    };
    assert!(look("api-0123456789").is_empty());
    assert_eq!(look("api-aaaaaaaaaa"), [(Some(ConsumerId(0)), NotVisible, NotVisible)]);
}

#[test]
fn a_look_without_the_list_that_leads_to_a_consumer_or_without_its_secret_is_not_whole() {
    let whole = |namespace: &Namespace| a_host().is_whole(namespace);
    let without =
        |plural| Namespace { unlisted: vec![Unlisted { plural, in_part: false }], ..Namespace::default() };
    assert!(whole(&Namespace::default()) && whole(&without("cronjobs")));
    for plural in ["pods", "deployments", "replicasets"] {
        assert!(!whole(&without(plural)), "{plural}");
    }
    assert!(!whole(&Namespace { hidden: ["api".to_owned()].into(), ..Namespace::default() }));
}

#[test]
fn a_file_lags_until_the_kubelet_has_refreshed_it() {
    let file = || vec![takes("api", "key", Way::File("/keys".to_owned()))];
    let both = versions();
    let old_at = |after: Option<i64>| {
        let mut seen =
            seen(vec![secret("api", "key", &text(&both.1))], vec![deployment("agent", -600, &file)]);
        seen.namespace.now = after.map(|after| CHANGE + after);
        a_host().looked(&seen, values(&both), &Sessions::default(), Which::New).unwrap().enumeration.instances
            [0]
        .old
    };
    assert_eq!((old_at(Some(FOLLOW_S)), old_at(Some(FOLLOW_S + 1))), (Yes, NotVisible));
    assert_eq!(old_at(None), Yes, "without the time of the server nobody knows that it is over");
}

#[test]
fn other_places_of_the_version_that_goes_are_named_and_its_own_versions_are_not() {
    let both = versions();
    let (old, new) = (text(&both.0), text(&both.1));
    let versioned = || KeySetup { versioned: Some((WorkloadKind::Deployment, "agent".to_owned())), ..key() };
    let host = host(&Recorded::new(), versioned(), vec![pods()]);
    let mut former = secret("api-0123456789", "key", &old);
    former.data.insert("copy".to_owned(), SecretBytes::from(old.clone()));
    let mut probe = secret("keyroll-probe", "key", &old);
    probe.of_probe = true;
    let mut applied = secret("api", "key", &new);
    applied.last_applied = Some(SecretBytes::from(format!("{{\"stringData\":{{\"key\":\"{old}\"}}}}")));
    let secrets = vec![
        applied,
        former,
        probe,
        secret("url", "dsn", &format!("https://:{old}@db")),
        secret("else", "key", &new),
    ];
    let mut seen = seen(secrets, Vec::new());
    let data = [("note".to_owned(), SecretBytes::from(format!("use {old}")))].into();
    seen.namespace.config_maps = vec![MapSeen { name: "settings".to_owned(), data, ..MapSeen::default() }];
    let found = host.strangers(&seen, &seen.takers(), values(&both), Which::New).unwrap();
    let named: Vec<&str> = found.names.iter().map(|one| one.name.as_str()).collect();
    let wanted = [
        "secret/api annotation of kubectl apply",
        "secret/api copy",
        "secret/url dsn",
        "configmap/settings note",
    ];
    assert_eq!(named, wanted);
    assert_eq!(found.probes, ["keyroll-probe"]);
    // Before the new version exists, nothing of it is anywhere.
    let only = Values { new: None, ..values(&both) };
    assert!(host.strangers(&seen, &seen.takers(), only, Which::Old).unwrap().names.is_empty());
}

#[test]
fn what_is_left_at_the_end_has_its_command() {
    let both = versions();
    let running = vec![deployment("agent", -600, &of_key)];
    let seen =
        seen(vec![secret("api", "key", &text(&both.1)), secret("b", "other", &text(&both.0))], running);
    let swept = a_host().swept(&seen, values(&both)).unwrap();
    let all: Vec<_> = swept.residues.iter().map(|one| (one.place.as_str(), one.reason.as_str())).collect();
    let restart = "is not seen to be without the dead value until it is replaced: kubectl rollout restart deployment/agent -n shop";
    let copy = "holds the dead value; no consumer takes it from there";
    assert_eq!(all, [("secret/b other", copy), ("pod/agent-1/app", restart)]);
}

#[test]
fn each_declared_container_has_a_name_behind_its_digest() {
    let both = versions();
    let running = vec![deployment("agent", -600, &of_key), deployment("other", -600, &of_key)];
    let seen = seen(vec![secret("api", "key", &text(&both.1))], running);
    let looked = a_host().looked(&seen, values(&both), &Sessions::default(), Which::New).unwrap();
    let declared = looked.enumeration.instances.iter().find(|one| one.consumer.is_some()).unwrap();
    let [named] = looked.names.as_slice() else { panic!("{:?}", looked.names) };
    assert_eq!(named.digest, keyroll_rotation::digest_of_life(declared.who));
    let described = keyroll_port::Described::read(&named.name).unwrap();
    assert_eq!(described.name, "pod/agent-1/app");
    assert!(looked.enumeration.strangers.is_empty());
}
