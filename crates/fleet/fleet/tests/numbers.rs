//! Every place of an answer that has a number: the plan's number in the join, and no other machine's.

use std::path::PathBuf;
use std::time::Duration;

use keyroll_port::{Back, Class, Described, Downtime, Host as _, Named, Prepared, Proving, Sessions};
use keyroll_rotation::{
    BystanderId, BystanderSeen, ConsumerId, FileId, FoundBy, Holds, HostId, Incarnation, InstanceIdentity,
    Kinds, ObservedInstance, PATHS_MAX, Proof, SearchLimit, Unsearched, Visibility, Which, digest_of_life,
};

use crate::fleet::survey_of;
use crate::scripted::{Scene, Scripted, at_rest, of_host, process, session};

pub(crate) fn instance(who: Incarnation, consumer: Option<u16>) -> ObservedInstance {
    ObservedInstance {
        who,
        consumer: consumer.map(ConsumerId),
        slot: 0,
        old: Visibility::Yes,
        new: Visibility::No,
        by: FoundBy::Memory,
    }
}

fn proof(who: Incarnation) -> Proof {
    let paths = [Kinds::LOADED; PATHS_MAX];
    Proof { who, slot: 0, version: Which::New, paths, other_session: Visibility::No }
}

fn downtime(consumer: u16) -> Downtime {
    Downtime { consumer: ConsumerId(consumer), length: Duration::from_millis(300), back: Back::Ready }
}

fn unsearched(who: Incarnation) -> Unsearched {
    Unsearched { who, limit: SearchLimit::Time }
}

fn bystander(who: Incarnation) -> BystanderSeen {
    BystanderSeen { who, id: BystanderId(8) }
}

/// web-1, whose consumer 0 is the plan's 3, and whose file 1 is the plan's 1.
fn scene(web_1: Scripted) -> Scene {
    Scene::new([Scripted::default(), web_1, Scripted::default()])
}

async fn prove(scene: &Scene) -> keyroll_port::Proved {
    let (values, which) = (scene.values(), Which::New);
    let of = Proving { consumer: ConsumerId(3), slot: None, which, values, watched: false };
    let prepared = Prepared { number: 1, reads_again: false };
    scene.fleet.go(prepared, of, &Sessions::default()).await
}

#[tokio::test]
async fn every_number_of_an_answer_is_the_plans_in_the_join() {
    let client = "192.0.2.1:4000";
    let web_1 = Scripted {
        instances: vec![
            instance(process(5), Some(1)),
            instance(at_rest(0), Some(0)),
            instance(process(6), None),
        ],
        files: vec![(FileId(0), Holds::Old), (FileId(1), Holds::New)],
        unsearched: vec![unsearched(process(5))],
        bystanders: vec![bystander(process(5))],
        downtimes: vec![downtime(0)],
        proofs: vec![proof(process(5)), proof(at_rest(0))],
        programs: vec![(ConsumerId(1), PathBuf::from("/usr/bin/api"))],
        owns: [(client.parse().unwrap(), process(5))].into(),
        ..Scripted::default()
    };
    let scene = scene(web_1);
    let looked = scene.look(Some(vec![session(client)])).await.unwrap();
    let there = |life| of_host(HostId(1), life);
    let (five, six) = (there(process(5).life), there(process(6).life));
    let rests = there(InstanceIdentity::AtRest(ConsumerId(3)));
    let seen = looked.enumeration;
    let expected = [instance(five, Some(1)), instance(rests, Some(3)), instance(six, None)];
    assert!(seen.complete && seen.instances == expected, "{:?}", seen.instances);
    assert_eq!(seen.files, [(FileId(1), Holds::New), (FileId(3), Holds::Old)]);
    assert_eq!(seen.unsearched, [unsearched(five)]);
    assert_eq!(seen.bystanders, [bystander(five)]);
    assert_eq!(seen.sessions.unwrap()[0].who, Some(five));
    assert_eq!(looked.downtimes, [downtime(3)]);
    let proved = prove(&scene).await;
    assert_eq!(proved.evidence.unwrap().proofs, [proof(five), proof(rests)]);
    assert_eq!(proved.downtimes, [downtime(3)]);
    assert_eq!(scene.fleet.sweep(scene.values()).await.unwrap().downtimes, [downtime(3)]);
    let survey = survey_of(&scene).await.unwrap();
    assert_eq!(survey.programs, [(ConsumerId(1), PathBuf::from("/usr/bin/api"))]);
    assert_eq!(survey.looked.enumeration.instances, expected);
}

#[tokio::test]
async fn a_container_of_a_member_is_the_same_life_under_its_host_and_is_waived_by_its_name() {
    let life = InstanceIdentity::Container { pod: 7, run: 3 };
    let own = of_host(HostId(0), life);
    let there = of_host(HostId(1), life);
    let name = |name: &str| {
        let (name, found_by) = (name.to_owned(), "it takes the key".to_owned());
        Described { name, found_by }.text()
    };
    let web_1 = Scripted {
        instances: vec![instance(own, None)],
        proofs: vec![proof(own)],
        strangers: vec![Named { digest: digest_of_life(own), name: name("pod/agent-6d5f-x2x1z/app") }],
        ..Scripted::default()
    };
    let scene = scene(web_1);
    let looked = scene.look(None).await.unwrap();
    let named = Named { digest: digest_of_life(there), name: name("pod/agent-6d5f-x2x1z/app on web-1") };
    assert_eq!(looked.names, [named]);
    assert_eq!(looked.enumeration.instances, [instance(there, None)]);
    assert_eq!(prove(&scene).await.evidence.unwrap().proofs, [proof(there)]);
    let holder = scene.fleet.describe(there).await.unwrap();
    assert_eq!((holder.host, holder.pid), (HostId(1), None));
    assert_eq!(holder.name, "pod/agent-6d5f-x2x1z/app on web-1");
    assert_eq!(
        holder.how_to_move,
        "declare its workload as a consumer, or keyroll consumer waive web-1:pod/agent-6d5f-x2x1z/app --reason WHY"
    );
}

#[tokio::test]
async fn a_look_with_a_number_that_the_machine_does_not_have_shows_nothing_of_it() {
    let elsewhere = of_host(HostId(1), process(5).life);
    let client = "192.0.2.1:4000";
    let ours = || vec![instance(process(5), Some(1))];
    let foreign: Vec<(&str, Scripted)> = vec![
        ("consumer 2", Scripted { instances: vec![instance(process(5), Some(2))], ..Scripted::default() }),
        ("consumer 2", Scripted { instances: vec![instance(at_rest(2), None)], ..Scripted::default() }),
        ("host 1", Scripted { instances: vec![instance(elsewhere, Some(1))], ..Scripted::default() }),
        ("file 2", Scripted { files: vec![(FileId(2), Holds::New)], ..Scripted::default() }),
        ("host 1", Scripted { unsearched: vec![unsearched(elsewhere)], ..Scripted::default() }),
        ("host 1", Scripted { bystanders: vec![bystander(elsewhere)], ..Scripted::default() }),
        ("consumer 2", Scripted { downtimes: vec![downtime(2)], ..Scripted::default() }),
        ("host 1", Scripted { owns: [(client.parse().unwrap(), elsewhere)].into(), ..Scripted::default() }),
        ("consumer 9", Scripted { says: vec![at_rest(9)], ..Scripted::default() }),
    ];
    for (named, web_1) in foreign {
        let mut instances = ours();
        instances.extend(web_1.instances.clone());
        let scene = scene(Scripted { instances, ..web_1 });
        let looked = scene.look(Some(vec![session(client)])).await.unwrap();
        let seen = looked.enumeration;
        assert!(seen.instances.is_empty() && seen.unsearched.is_empty(), "{named}");
        assert!(looked.downtimes.is_empty(), "{named}");
        // It is there: a waiver does not cover it.
        let unreadable = seen.files.iter().all(|(_, holds)| *holds == Holds::Unreadable);
        assert!(!seen.complete && seen.absent.is_empty() && unreadable, "{named}: {seen:?}");
        let line = looked.not_visible.iter().find(|line| line.starts_with("web-1: could not")).unwrap();
        assert!(line.contains(named), "{line}");
        // The session that it claimed has no known owner, and is not lost.
        let sessions = seen.sessions.unwrap();
        assert!(sessions.len() == 1 && sessions[0].who.is_none(), "{named}: {sessions:?}");
    }
}

#[tokio::test]
async fn evidence_programs_and_downtimes_of_foreign_numbers_are_failures_that_name_the_host() {
    let elsewhere = of_host(HostId(2), process(5).life);
    let mut failures = Vec::new();
    for proofs in [vec![proof(process(5)), proof(elsewhere)], vec![proof(at_rest(2))]] {
        let proved = prove(&scene(Scripted { proofs, ..Scripted::default() })).await;
        failures.push(proved.evidence.unwrap_err());
    }
    let late = || scene(Scripted { downtimes: vec![downtime(2)], ..Scripted::default() });
    let proved = prove(&late()).await;
    assert!(proved.downtimes.is_empty());
    failures.push(proved.evidence.unwrap_err());
    let scene_of_late = late();
    let swept = scene_of_late.fleet.sweep(scene_of_late.values()).await.unwrap();
    assert!(swept.downtimes.is_empty());
    assert!(swept.not_visible.iter().any(|line| line.contains("which it does not have")), "{swept:?}");
    failures.push(survey_of(&scene_of_late).await.unwrap_err());
    let programs = vec![(ConsumerId(2), PathBuf::from("/usr/bin/api"))];
    failures.push(survey_of(&scene(Scripted { programs, ..Scripted::default() })).await.unwrap_err());
    for failure in failures {
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0963"));
        assert_eq!(failure.attempted, "use an answer of web-1");
    }
}
