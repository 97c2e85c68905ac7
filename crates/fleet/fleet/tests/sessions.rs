use std::collections::BTreeSet;
use std::net::SocketAddr;

use keyroll_port::Session;
use keyroll_rotation::{HostId, Incarnation, SessionSeen};

use crate::scripted::{Scene, Scripted, of_host, process, session};

/// What is true of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Truth {
    /// A process here has its socket.
    here: bool,
    /// A process of web-1 has one with the same address.
    there: bool,
    /// It is gone, or it is keyroll's own: this machine leaves it out.
    left_out: bool,
}

const TRUTHS: [Truth; 6] = [
    Truth { here: false, there: false, left_out: false },
    Truth { here: true, there: false, left_out: false },
    Truth { here: false, there: true, left_out: false },
    Truth { here: true, there: true, left_out: false },
    Truth { here: false, there: false, left_out: true },
    Truth { here: false, there: true, left_out: true },
];

fn client(at: usize) -> String {
    format!("192.0.2.1:{}", 4000 + at)
}

fn pid(at: usize) -> u32 {
    u32::try_from(100 + at).unwrap()
}

fn there(at: usize) -> Incarnation {
    of_host(HostId(1), process(pid(at)).life)
}

/// The process whose word is added.
fn word() -> Incarnation {
    process(900)
}

/// What the machines make of these sessions, joined. Every second one is busy.
async fn joined(truths: &[Truth], says: bool) -> Vec<SessionSeen> {
    let (mut here, mut web_1) = (Scripted::default(), Scripted::default());
    let mut all = Vec::new();
    for (at, truth) in truths.iter().enumerate() {
        let address: SocketAddr = client(at).parse().unwrap();
        if truth.here {
            here.owns.insert(address, process(pid(at)));
        }
        if truth.there {
            web_1.owns.insert(address, process(pid(at)));
        }
        if truth.left_out {
            here.leaves_out.insert(address);
        }
        all.push(Session { busy: at % 2 == 1, ..session(&client(at)) });
    }
    if says {
        here.says.push(word());
    }
    let looked = Scene::new([here, web_1, Scripted::default()]).look(Some(all)).await.unwrap();
    looked.enumeration.sessions.unwrap()
}

/// What is to be seen of a session if each answer is about its place.
fn expected(at: usize, truth: Truth) -> SessionSeen {
    let who = match (truth.here, truth.there) {
        (true, false) => Some(process(pid(at))),
        (false, true) => Some(there(at)),
        (true, true) | (false, false) => None,
    };
    SessionSeen { who, busy: at % 2 == 1 }
}

#[tokio::test]
async fn a_session_belongs_to_the_one_host_that_claims_it_and_none_is_lost_if_some_are_left_out() {
    for number in 0..TRUTHS.len().pow(3) {
        let truths = [0, 1, 2].map(|at| TRUTHS[number / TRUTHS.len().pow(at) % TRUTHS.len()]);
        for says in [false, true] {
            let joined = joined(&truths, says).await;
            if truths.iter().all(|truth| !truth.left_out) {
                let mut exact: Vec<SessionSeen> =
                    truths.iter().enumerate().map(|(at, truth)| expected(at, *truth)).collect();
                exact.extend(says.then_some(SessionSeen { who: Some(word()), busy: false }));
                assert_eq!(joined, exact, "{truths:?}");
            }
            let unowned = joined.iter().filter(|seen| seen.who.is_none()).count();
            let live = truths.iter().filter(|truth| !truth.here && !truth.there && !truth.left_out).count();
            assert!(unowned >= live, "{truths:?} {joined:?}");
            for (at, truth) in truths.iter().enumerate() {
                let claimed = joined.iter().any(|seen| seen.who == Some(there(at)));
                assert!(claimed || !truth.there || truth.here, "{truths:?} {joined:?}");
            }
            let there_or_here = truths.iter().filter(|truth| truth.there || !truth.left_out).count();
            assert!(joined.len() >= there_or_here + usize::from(says), "{truths:?} {joined:?}");
        }
    }
}

#[tokio::test]
async fn another_machine_hears_no_address_of_the_issuers_machine_and_cannot_claim_one() {
    let near = ["127.0.0.1:4000", "[::1]:4001", "[::ffff:127.0.0.1]:4002"];
    let mut web_1 = Scripted::default();
    for client in near {
        web_1.owns.insert(client.parse().unwrap(), process(5));
    }
    web_1.owns.insert("192.0.2.1:4003".parse().unwrap(), process(6));
    let scene = Scene::new([Scripted::default(), web_1, Scripted::default()]);
    let local = Session { client: None, pid: Some(77), ..session("192.0.2.1:1") };
    let mut all: Vec<Session> = near.into_iter().map(session).collect();
    all.extend([local, session("192.0.2.1:4003")]);
    let seen = scene.look(Some(all)).await.unwrap().enumeration.sessions.unwrap();
    let who: Vec<Option<Incarnation>> = seen.iter().map(|seen| seen.who).collect();
    let six = of_host(HostId(1), process(6).life);
    assert_eq!(who, [None, None, None, None, Some(six)]);
    let heard = |at: usize| scene.machines[at].heard.lock().unwrap().clone();
    let heard_there: BTreeSet<SocketAddr> = heard(1).into_iter().flatten().collect();
    assert_eq!(heard_there, BTreeSet::from(["192.0.2.1:4003".parse::<SocketAddr>().unwrap()]));
    assert_eq!(heard(0).into_iter().flatten().count(), 4, "this machine hears all");
}

#[tokio::test]
async fn sessions_that_the_issuer_does_not_show_stay_invisible() {
    let scene = Scene::new([Scripted::default(), Scripted::default(), Scripted::default()]);
    assert_eq!(scene.look(None).await.unwrap().enumeration.sessions, None);
    let web_1 = Scripted { says: vec![process(5)], ..Scripted::default() };
    let scene = Scene::new([Scripted::default(), web_1, Scripted::default()]);
    let said = SessionSeen { who: Some(of_host(HostId(1), process(5).life)), busy: false };
    assert_eq!(scene.look(None).await.unwrap().enumeration.sessions, Some(vec![said]));
}

#[tokio::test]
async fn a_session_of_a_machine_that_fails_has_no_owner() {
    let fails = || Scripted { fails: true, ..Scripted::default() };
    for machines in
        [[Scripted::default(), fails(), fails()], [fails(), Scripted::default(), Scripted::default()]]
    {
        let looked = Scene::new(machines).look(Some(vec![session("192.0.2.1:4000")])).await.unwrap();
        let unowned = SessionSeen { who: None, busy: false };
        assert_eq!(looked.enumeration.sessions, Some(vec![unowned]));
    }
}
