//! The issuer is asked from each host of the plan, and the operator reads what only one of them was answered.

use std::time::Duration;

use keyroll_engine::{DriverState, Ending, Note, Observer, ObserverReply, run};
use keyroll_port::{Probe, RotationId};
use keyroll_rotation::{Event, HostId, Phase, Seq, State};
use tokio::sync::mpsc;

use crate::parts::{Scene, capabilities, locked, plan};
use crate::shell::pace;

/// A rotation here takes milliseconds; one that waits is ended by its phase, and one that hangs by this.
const RUN_S_MAX: u64 = 20;

const HERE: HostId = HostId(0);
const NEAR: HostId = HostId(1);
const FAR: HostId = HostId(2);

/// Keeps what is shown of single hosts.
#[derive(Default)]
struct Heard(Vec<(HostId, String)>);

impl Observer for Heard {
    fn appended(&mut self, _: Seq, _: &Event, _: &State) {}
    fn note(&mut self, note: Note) {
        if let Note::AskedFrom { host, endpoint, what } = note {
            self.0.push((host, format!("{endpoint}: {what}")));
        }
    }
    fn standing(&mut self, _: &DriverState, _: &State) -> ObserverReply {
        ObserverReply::Nobody
    }
}

/// A rotation whose plan has these pairs with the issuer's one endpoint.
fn scene(pairs: &[HostId]) -> Scene {
    let mut plan = plan(capabilities());
    plan.endpoints = pairs.to_vec();
    Scene::of(plan, &[], "id-2", "value-two")
}

/// The same with phases that last a moment.
fn shortly(pairs: &[HostId]) -> Scene {
    let mut plan = plan(capabilities());
    (plan.endpoints, plan.policy.phase_ms_max) = (pairs.to_vec(), 1_500);
    Scene::of(plan, &[], "id-2", "value-two")
}

/// How the rotation ended, or where it waits for the operator.
fn drive(scene: &Scene) -> (Box<State>, Vec<(HostId, String)>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (_tell, commands) = mpsc::channel(8);
        let mut heard = Heard::default();
        let id = RotationId("0192".to_owned());
        let driving = run(scene.ports(), id, pace(), commands, &mut heard);
        let ended = tokio::time::timeout(Duration::from_secs(RUN_S_MAX), driving).await;
        let Ok(Ending::At(_, state)) = ended else { panic!("it stands: {:?}", heard.0) };
        (state, heard.0)
    })
}

fn count(scene: &Scene, host: HostId) -> usize {
    locked(&scene.host.asked_from).iter().filter(|asked| **asked == host).count()
}

#[test]
fn from_every_host_the_new_key_is_seen_accepted_and_the_old_one_dead() {
    let scene = scene(&[HERE, NEAR, FAR]);
    let (state, heard) = drive(&scene);
    assert_eq!((state.phase(), state.debt(), heard), (Phase::Done, None, Vec::new()));
    for host in [HERE, NEAR, FAR] {
        // A wrong credential and the current one before the mint, the new one, then the old one beside the new one.
        assert!(count(&scene, host) >= 5, "{host:?}: {:?}", locked(&scene.host.asked_from));
    }
}

#[test]
fn nothing_is_made_while_one_host_cannot_ask_and_that_host_is_named() {
    let scene = shortly(&[HERE, NEAR, FAR]);
    *locked(&scene.host.answers) = Some((FAR, Probe::Unknown("connection refused".to_owned())));
    let (state, heard) = drive(&scene);
    assert_ne!(state.phase(), Phase::Done);
    assert_eq!(locked(&scene.keys.alive).len(), 1, "a key was made");
    assert!(heard.contains(&(FAR, "here:1: connection refused".to_owned())), "{heard:?}");
    assert!(heard.iter().all(|(host, _)| *host == FAR), "{heard:?}");
}

/// Red: nothing is shown while the phase waits for an issuer that answers 500.
#[test]
fn where_the_machine_of_keyroll_gets_no_clear_answer_its_reason_is_shown_too() {
    let scene = shortly(&[HERE, NEAR]);
    *locked(&scene.host.answers) = Some((HERE, Probe::Unknown("HTTP 500".to_owned())));
    let (state, heard) = drive(&scene);
    assert_ne!(state.phase(), Phase::Done);
    assert!(heard.contains(&(HERE, "here:1: HTTP 500".to_owned())), "{heard:?}");
    assert!(heard.iter().all(|(host, _)| *host == HERE), "{heard:?}");
}

#[test]
fn nothing_is_made_while_one_host_is_answered_otherwise() {
    for (answer, shown) in [
        (Probe::Dead, "here:1: the current value is refused"),
        (Probe::Alive, "here:1: a deliberately wrong credential is accepted"),
    ] {
        let scene = shortly(&[HERE, NEAR]);
        *locked(&scene.host.answers) = Some((NEAR, answer));
        let (state, heard) = drive(&scene);
        assert_ne!(state.phase(), Phase::Done);
        assert_eq!(locked(&scene.keys.alive).len(), 1, "a key was made");
        assert!(heard.contains(&(NEAR, shown.to_owned())), "{heard:?}");
    }
}

#[test]
fn a_plan_that_has_other_endpoints_than_the_issuer_is_not_carried_out() {
    let scene = shortly(&[HERE, HERE]);
    assert_ne!(drive(&scene).0.phase(), Phase::Done);
    assert_eq!(locked(&scene.keys.alive).len(), 1, "a key was made");
    assert!(locked(&scene.host.asked_from).is_empty());
}

fn endpoints(scene: &Scene, all: &[&str]) {
    *locked(&scene.keys.endpoints) = all.iter().map(|&endpoint| endpoint.to_owned()).collect();
}

#[test]
fn before_a_rotation_the_hosts_are_asked_at_the_same_time_and_the_endpoints_of_a_host_one_by_one() {
    let scene = scene(&[HERE, HERE, NEAR, NEAR, FAR, FAR]);
    endpoints(&scene, &["here:1", "here:2"]);
    assert_eq!(drive(&scene).0.phase(), Phase::Done);
    // Each host asks two endpoints about two credentials.
    let asked = locked(&scene.host.asked_from);
    assert_eq!(asked[..12], [HERE, NEAR, FAR].repeat(4));
}

#[test]
fn an_endpoint_that_the_issuer_got_since_does_not_hold_up_a_rotation_that_asks_from_one_host() {
    let scene = scene(&[HERE]);
    endpoints(&scene, &["here:1", "here:2"]);
    let (state, _) = drive(&scene);
    assert_eq!((state.phase(), state.debt()), (Phase::Done, None));
}
