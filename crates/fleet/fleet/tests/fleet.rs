use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use keyroll_fleet::{Fleet, Member, place_digest_of};
use keyroll_http::via::{self, Dialed};
use keyroll_port::{
    AllowedChanges, Asked, Class, CopySeen, Failure, Host as _, Named, Numbers, Prepared, Probe, Probing,
    Proving, Sessions, Survey, Surveying, Surveyor as _, Touched,
};
use keyroll_rotation::{ConsumerId, FileId, Holds, HostId, Incarnation, Which};

use crate::numbers::instance;
use crate::scripted::{Scene, Scripted, at_rest, process, session};

fn three() -> [Scripted; 3] {
    [Scripted::default(), Scripted::default(), Scripted::default()]
}

fn proving<'a>(scene: &'a Scene, consumer: u16) -> Proving<'a> {
    let consumer = ConsumerId(consumer);
    Proving { consumer, slot: None, which: Which::New, values: scene.values(), watched: false }
}

#[tokio::test]
async fn what_is_about_one_file_or_consumer_goes_to_its_machine_by_that_ones_number() {
    let scene = Scene::new(three());
    let (fleet, values) = (&scene.fleet, scene.values());
    let asked = Asked { intent: 8, until_ms: u64::MAX };
    fleet.deliver(FileId(1), Which::New, values, asked).await.unwrap();
    fleet.delivered(FileId(3), Which::New, values, 8).await.unwrap();
    fleet.fetch(ConsumerId(2), Which::New, values, asked).await.unwrap();
    fleet.apply(ConsumerId(1), 4, asked, AllowedChanges::Anything).await.unwrap();
    fleet.apply(ConsumerId(0), 0, asked, AllowedChanges::Anything).await.unwrap();
    fleet.await_end(Touched::File(FileId(1)), 8).await.unwrap();
    fleet.await_end(Touched::Consumer(ConsumerId(2)), 8).await.unwrap();
    let sessions = Sessions {
        old: Some(vec![session("127.0.0.1:4000"), session("192.0.2.1:4000")]),
        new: Some(vec![session("192.0.2.1:4001")]),
    };
    let prepared = fleet.prepare(proving(&scene, 3), &sessions).await.unwrap();
    assert!(prepared.reads_again && prepared.number == 5);
    fleet.go(prepared, proving(&scene, 3), &sessions).await.evidence.unwrap();
    assert_eq!(scene.calls(0), ["apply 0 0"]);
    let of_web_1 = [
        "deliver 1 8",
        "delivered 0",
        "apply 1 4",
        "await_end File(FileId(1)) 8",
        "prepare 0 1+1",
        "go 5 0 1+1",
    ];
    assert_eq!(scene.calls(1), of_web_1);
    assert_eq!(scene.calls(2), ["fetch 0", "await_end Consumer(ConsumerId(0)) 8"]);
}

#[tokio::test]
async fn a_number_that_no_machine_has_is_a_plan_that_no_longer_fits() {
    let scene = Scene::new(three());
    let asked = Asked { intent: 8, until_ms: u64::MAX };
    let prepared = Prepared { number: 1, reads_again: false };
    let none = Sessions::default();
    for failure in [
        scene.fleet.deliver(FileId(4), Which::New, scene.values(), asked).await.unwrap_err(),
        scene.fleet.fetch(ConsumerId(4), Which::New, scene.values(), asked).await.unwrap_err(),
        scene.fleet.await_end(Touched::Consumer(ConsumerId(4)), 8).await.unwrap_err(),
        scene.fleet.go(prepared, proving(&scene, 4), &none).await.evidence.unwrap_err(),
    ] {
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0838"), "{failure}");
    }
    assert!((0..3).all(|at| scene.calls(at).is_empty()));
}

#[tokio::test]
async fn a_failure_of_one_machine_has_its_name_and_ended_entries_are_removed_on_the_others_all_the_same() {
    let scene = Scene::new([
        Scripted::default(),
        Scripted { fails: true, ..Scripted::default() },
        Scripted::default(),
    ]);
    let asked = Asked { intent: 8, until_ms: u64::MAX };
    let failure = scene.fleet.remove_superseded(scene.values(), asked).await.unwrap_err();
    assert_eq!(failure.to_string(), "could not do what was asked on web-1");
    assert_eq!(failure.help.as_deref(), Some("repair it"));
    assert_eq!(scene.calls(2).len(), 1);
    let failure = scene.fleet.await_end(Touched::All, 8).await.unwrap_err();
    assert_eq!((failure.class, failure.attempted.as_str()), (Class::Retryable, "do what was asked on web-1"));
    // The mark is kept here, and only if every log has one.
    assert!(scene.fleet.watch_refusals(Some("4711")).await.is_err());
    assert!(!scene.calls(0).contains(&"watch_refusals Some(\"4711\")".to_owned()));
    for failed in [
        scene.fleet.trial(scene.values()).await.map(drop),
        scene.fleet.carries(scene.values().old).await,
        scene.fleet.refusals().await.map(drop),
    ] {
        assert_eq!(failed.unwrap_err().attempted, "do what was asked on web-1");
    }
    // The last search names what it could not search.
    let swept = scene.fleet.sweep(scene.values()).await.unwrap();
    assert!(swept.not_visible.iter().any(|line| line.starts_with("web-1: could not do what was asked")));
}

#[tokio::test]
async fn what_is_about_all_machines_is_joined_and_the_issuers_mark_stays_here() {
    let scene = Scene::new(three());
    let fleet = &scene.fleet;
    fleet.watch_refusals(Some("4711")).await.unwrap();
    assert_eq!(scene.calls(0), ["watch_refusals Some(\"4711\")"]);
    assert_eq!(scene.calls(1), ["watch_refusals None"]);
    assert_eq!(fleet.refusals_mark().await.unwrap().as_deref(), Some("4711"));
    assert_eq!(scene.calls(1).len(), 1);
    assert_eq!(fleet.refusals().await.unwrap().count, 6);
    let obstacles = fleet.trial(scene.values()).await.unwrap();
    let attempted: Vec<&str> = obstacles.iter().map(|one| one.attempted.as_str()).collect();
    assert_eq!(attempted, ["find the value", "find the value on web-1", "find the value on web-2"]);
    let swept = fleet.sweep(scene.values()).await.unwrap();
    let places: Vec<&str> = swept.residues.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(places, ["/srv/old.env", "web-1:/srv/old.env", "web-2:/srv/old.env"]);
    let live = fleet.live().await;
    assert_eq!(live.not_visible[1], "web-1: unit api.service: no systemd");
    let all = Sessions { old: Some(vec![session("[::1]:4000"), session("192.0.2.1:1")]), new: None };
    fleet.before_given_out(Which::New, scene.values(), &all).await.unwrap();
    let last = |at| scene.calls(at).last().cloned();
    assert_eq!(last(0).as_deref(), Some("before_given_out 2+0"));
    assert_eq!(last(1).as_deref(), Some("before_given_out 1+0"));
}

#[tokio::test]
async fn a_machine_that_does_not_answer_a_look_is_absent_and_nothing_is_said_of_its_files() {
    let mut machines = three();
    machines[2].fails = true;
    machines[1].files = vec![(FileId(1), Holds::New), (FileId(0), Holds::Old)];
    machines[0].files = vec![(FileId(0), Holds::New)];
    let looked = Scene::new(machines).look(None).await.unwrap();
    assert!(looked.enumeration.complete, "the others saw everything");
    assert_eq!(looked.enumeration.absent, [HostId(2)]);
    let files = [(FileId(0), Holds::New), (FileId(1), Holds::New), (FileId(3), Holds::Old)];
    assert_eq!(looked.enumeration.files, files);
    let lines = [
        "process 9: permission denied",
        "web-1: process 9: permission denied",
        "web-2: could not do what was asked: it is out of order",
    ];
    assert_eq!(looked.not_visible, lines);
    let fails = || Scripted { fails: true, ..Scripted::default() };
    let failure = Scene::new([fails(), fails(), fails()]).look(None).await.unwrap_err();
    assert_eq!(failure.attempted, "do what was asked");
    // This machine is never absent.
    let [_, web_1, web_2] = three();
    let seen = Scene::new([fails(), web_1, web_2]).look(None).await.unwrap().enumeration;
    assert!(!seen.complete && seen.absent.is_empty(), "{seen:?}");
    assert_eq!(seen.files, [(FileId(0), Holds::Unreadable)]);
}

/// What the calls about all machines come to, by their names.
async fn about_all(scene: &Scene) -> Vec<(&'static str, Result<(), Failure>)> {
    let (fleet, values) = (&scene.fleet, scene.values());
    let asked = Asked { intent: 8, until_ms: u64::MAX };
    let sessions = Sessions::default();
    vec![
        ("trial", fleet.trial(values).await.map(drop)),
        ("carries", fleet.carries(values.old).await),
        ("survey", survey_of(scene).await.map(drop)),
        ("remove_superseded", fleet.remove_superseded(values, asked).await),
        ("before_given_out", fleet.before_given_out(Which::New, values, &sessions).await),
        ("await_end", fleet.await_end(Touched::All, 8).await.map(drop)),
        ("watch_refusals", fleet.watch_refusals(Some("4711")).await),
        ("refusals", fleet.refusals().await.map(drop)),
    ]
}

/// The names of the calls that fail.
async fn fail(scene: &Scene) -> Vec<&'static str> {
    let failing = |(name, done): (&'static str, Result<(), Failure>)| done.is_err().then_some(name);
    about_all(scene).await.into_iter().filter_map(failing).collect()
}

const ABOUT_ALL: [&str; 8] = [
    "trial",
    "carries",
    "survey",
    "remove_superseded",
    "before_given_out",
    "await_end",
    "watch_refusals",
    "refusals",
];

#[tokio::test]
async fn a_waived_machine_holds_up_nothing_however_it_fails_and_is_asked_all_the_same() {
    for for_good in [false, true] {
        let mut machines = three();
        (machines[1].fails, machines[1].for_good) = (true, for_good);
        let scene = Scene::new(machines);
        assert_eq!(fail(&scene).await, ABOUT_ALL);
        let asked = scene.calls(1).len();
        scene.fleet.may_be_away(&[HostId(1)]);
        assert_eq!(fail(&scene).await, [""; 0]);
        assert_eq!(scene.calls(1).len(), 2 * asked);
        assert_eq!(scene.fleet.refusals().await.unwrap().count, 4);
        let survey = survey_of(&scene).await.unwrap();
        assert_eq!(survey.looked.enumeration.absent, [HostId(1)]);
        assert!(survey.linked.iter().all(|line| !line.starts_with("web-1")), "{:?}", survey.linked);
        // What is about one of its files is not left out.
        let asked = Asked { intent: 8, until_ms: u64::MAX };
        assert!(scene.fleet.deliver(FileId(1), Which::New, scene.values(), asked).await.is_err());
        // What was said last counts, and this machine cannot be away.
        scene.fleet.may_be_away(&[HostId(0), HostId(2)]);
        assert_eq!(fail(&scene).await, ABOUT_ALL);
    }
    let mut machines = three();
    machines[0].fails = true;
    let scene = Scene::new(machines);
    scene.fleet.may_be_away(&[HostId(0)]);
    assert_eq!(fail(&scene).await, ABOUT_ALL);
}

#[tokio::test]
async fn a_waiver_does_not_cover_a_machine_that_is_there_and_answers_wrongly() {
    let mut machines = three();
    machines[1].programs = vec![(ConsumerId(9), PathBuf::from("/usr/bin/api"))];
    let scene = Scene::new(machines);
    scene.fleet.may_be_away(&[HostId(1)]);
    assert!(survey_of(&scene).await.is_err());
    let mut machines = three();
    machines[1].files = vec![(FileId(9), Holds::New)];
    let scene = Scene::new(machines);
    scene.fleet.may_be_away(&[HostId(1)]);
    let seen = scene.look(None).await.unwrap().enumeration;
    assert!(!seen.complete && seen.absent.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn an_emergency_begins_without_a_machine_that_is_away_and_leaves_nothing_out_on_it() {
    let mut machines = three();
    machines[1].fails = true;
    let mut scene = Scene::new(machines);
    scene.fleet = scene.fleet.that_waits_for_none();
    let (_, later) = ABOUT_ALL.split_at(3);
    assert_eq!(fail(&scene).await, later);
    let mut machines = three();
    (machines[1].fails, machines[1].for_good) = (true, true);
    let mut scene = Scene::new(machines);
    scene.fleet = scene.fleet.that_waits_for_none();
    assert_eq!(fail(&scene).await, ABOUT_ALL);
}

#[tokio::test]
async fn a_machine_that_is_only_searched_is_absent_as_long_as_it_cannot_be_searched_for_whatever_reason() {
    let broken = |machine: Scripted| Scene::searched([Scripted::default(), Scripted::default(), machine]);
    let fails = || Scripted { fails: true, for_good: true, ..Scripted::default() };
    let in_part = || Scripted { looks_in_part: true, ..Scripted::default() };
    for machine in [fails(), in_part()] {
        let seen = broken(machine).look(None).await.unwrap().enumeration;
        assert!(seen.complete && seen.absent == [HostId(2)], "{seen:?}");
    }
    // What it shows has to be ended or waived, and is not covered by a waiver of the machine.
    let shows = Scripted { instances: vec![instance(process(5), None)], ..in_part() };
    let seen = broken(shows).look(None).await.unwrap().enumeration;
    assert!(!seen.complete && seen.absent.is_empty() && !seen.instances.is_empty(), "{seen:?}");
    // Neither is a machine with a part of the plan.
    let mut machines = three();
    machines[1].looks_in_part = true;
    let seen = Scene::searched(machines).look(None).await.unwrap().enumeration;
    assert!(!seen.complete && seen.absent.is_empty(), "{seen:?}");
    // A plan waits for it, unless it is left out, or the old key is revoked first.
    assert!(survey_of(&broken(fails())).await.is_err());
    let scene = broken(fails());
    scene.fleet.may_be_away(&[HostId(2)]);
    survey_of(&scene).await.unwrap();
    let mut scene = broken(fails());
    scene.fleet = scene.fleet.that_waits_for_none();
    survey_of(&scene).await.unwrap();
}

/// A call that says from where its connection would leave.
fn leaves() -> Probing<'static> {
    Box::pin(async {
        let Some(dialer) = via::current() else { return Probe::Alive };
        match dialer.dial("api.example.org", 443).await {
            Ok(_) => Probe::Denied,
            Err(error) => Probe::Unknown(error.to_string()),
        }
    })
}

#[tokio::test]
async fn a_call_leaves_from_the_machine_that_is_meant_or_is_not_made() {
    let fleet = Scene::new(three()).fleet;
    assert_eq!(fleet.call_from(HostId(0), leaves()).await, Probe::Alive);
    for (host, why) in [
        (1, "api.example.org:443 from web-1: closed"),
        (2, "no connection can be made from web-2"),
        (9, "host 9 is not one of the plan"),
    ] {
        let probe = fleet.call_from(HostId(host), leaves()).await;
        assert_eq!(probe, Probe::Unknown(why.to_owned()));
    }
}

/// Opens every connection.
struct Open;

#[async_trait]
impl via::Dial for Open {
    async fn dial(&self, _: &str, port: u16) -> io::Result<Dialed> {
        Ok(Dialed {
            stream: Box::new(tokio::io::duplex(1).0),
            local: SocketAddr::from(([192, 0, 2, 7], port)),
        })
    }
}

#[tokio::test]
async fn a_clear_answer_without_a_connection_from_there_is_none() {
    let fleet = Scene::new(three()).fleet;
    for clear in [Probe::Alive, Probe::Denied, Probe::Dead] {
        let probe = fleet.call_from(HostId(1), Box::pin(async { clear })).await;
        assert_eq!(probe, Probe::Unknown("the call did not leave from there".to_owned()));
    }
    let fleet = Fleet::new(vec![Member {
        id: HostId(1),
        name: "web-1".to_owned(),
        machine: Arc::new(Scripted::default()),
        numbers: Numbers::default(),
        is_here: false,
        dialer: Some(Arc::new(Open)),
    }]);
    assert_eq!(fleet.call_from(HostId(1), leaves()).await, Probe::Denied);
}

/// A survey while nobody has a session.
pub(crate) async fn survey_of(scene: &Scene) -> Result<Survey, Failure> {
    let of = Surveying {
        values: scene.values(),
        next: None,
        sessions: &Sessions::default(),
        begins_on: Holds::Old,
        restarts: false,
        rehearses: false,
    };
    scene.fleet.survey(of).await
}

#[tokio::test]
async fn a_survey_needs_every_machine() {
    let scene = Scene::new(three());
    let survey = survey_of(&scene).await.unwrap();
    assert!(survey.looked.enumeration.complete);
    let ways: Vec<&str> = survey.holders.iter().map(|holder| holder.how_to_move.as_str()).collect();
    assert_eq!(ways[1], "end it, or keyroll consumer waive web-1:4711 --reason WHY");
    assert_eq!(survey.linked[2], "web-2: /srv/a.env has two names");
    let mut machines = three();
    machines[2].fails = true;
    let failure = survey_of(&Scene::new(machines)).await.unwrap_err();
    assert_eq!(failure.attempted, "do what was asked on web-2");
}

#[tokio::test]
async fn equal_paths_of_two_machines_are_two_places() {
    let place = || vec![Named { digest: 77, name: "/srv/.env.bak".to_owned() }];
    let mut machines = three();
    machines.iter_mut().for_each(|machine| machine.strangers = place());
    let looked = Scene::new(machines).look(None).await.unwrap();
    let places = [77, place_digest_of("web-1", 77), place_digest_of("web-2", 77)];
    assert_eq!(looked.enumeration.strangers, places);
    assert!(places[1] != 77 && places[1] != places[2]);
    assert_eq!(place_digest_of("web-1", 0x0f), {
        keyroll_host::place_digest(std::path::Path::new("web-1:000000000000000f"))
    });
    let names: Vec<(u64, &str)> =
        looked.names.iter().map(|named| (named.digest, named.name.as_str())).collect();
    let expected =
        [(77, "/srv/.env.bak"), (places[1], "web-1:/srv/.env.bak"), (places[2], "web-2:/srv/.env.bak")];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn no_command_of_another_machine_is_shown_and_its_process_has_its_name() {
    let scene = Scene::new(three());
    let who = Incarnation { host: HostId(2), ..process(4711) };
    let holder = scene.fleet.describe(who).await.unwrap();
    assert_eq!(holder.name, "python3 on web-2");
    assert_eq!(holder.how_to_move, "end it, or keyroll consumer waive web-2:4711 --reason WHY");
    assert_eq!(scene.calls(2), [format!("describe {:?}", process(4711))]);
    let here = scene.fleet.describe(process(4711)).await.unwrap();
    assert!(here.name == "python3" && here.how_to_move.starts_with("curl"), "{here:?}");
    // A consumer of another machine is not on this one.
    assert!(scene.fleet.describe(Incarnation { host: HostId(2), ..at_rest(3) }).await.is_none());
    assert!(scene.fleet.describe(Incarnation { host: HostId(9), ..process(1) }).await.is_none());
}

#[tokio::test]
async fn a_caller_is_sought_here_first_and_at_a_loopback_address_only_here() {
    let mut machines = three();
    machines[1].owns.insert("192.0.2.1:4000".parse().unwrap(), process(4711));
    machines[1].owns.insert("127.0.0.1:4000".parse().unwrap(), process(4711));
    let scene = Scene::new(machines);
    let holder = scene.fleet.caller("192.0.2.1:4000".parse().unwrap()).await.unwrap();
    assert_eq!(holder.name, "python3 on web-1");
    assert_eq!(scene.calls(0), ["caller 192.0.2.1:4000"]);
    assert!(scene.calls(2).is_empty(), "it was found before");
    for near in ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
        assert!(scene.fleet.caller(near.parse().unwrap()).await.is_none(), "{near}");
    }
    assert_eq!((scene.calls(0).len(), scene.calls(1).len()), (4, 1));
}

#[tokio::test]
async fn copies_are_in_the_plans_order_and_an_answer_of_another_length_says_nothing() {
    let copy = |path: &str, holds| CopySeen { path: PathBuf::from(path), holds, unclear: None };
    let mut machines = three();
    machines[0].copies = vec![copy("/srv/a.env", Holds::New)];
    machines[1].copies = vec![copy("/srv/d.env", Holds::Old), copy("/srv/b.env", Holds::New)];
    machines[2].copies = vec![copy("/srv/c.env", Holds::New), copy("/srv/x.env", Holds::New)];
    let scene = Scene::new(machines);
    let seen = scene.fleet.copies(scene.values()).await;
    let seen: Vec<(String, Holds)> =
        seen.iter().map(|one| (one.path.display().to_string(), one.holds)).collect();
    let expected = [
        ("/srv/a.env", Holds::New),
        ("web-1:/srv/b.env", Holds::New),
        ("web-2:file 2 of the plan", Holds::Unreadable),
        ("web-1:/srv/d.env", Holds::Old),
    ];
    assert_eq!(seen, expected.map(|(path, holds)| (path.to_owned(), holds)));
}
