//! The causes of failed rotations, each as a scene with real processes and a known truth that the program does not get:
//! which copies there are, who holds which version, which copy wins. `scan`, `why` and `trace` must name each cause in
//! one line; and their output for all scenes together is scored: every visible copy is found by its value, no process
//! is wrongly called current or stale, and nearly none is unknown.

pub(crate) mod containers;
pub(crate) mod kept;
pub(crate) mod named;
pub(crate) mod rotated;
pub(crate) mod score;
pub(crate) mod shells;
pub(crate) mod stage;
pub(crate) mod truth;
pub(crate) mod units;

use stage::Stage;
use truth::Truth;

/// All scenes on this machine, in one inspection: scripts, managers, containers.
#[test]
fn every_cause_is_named_and_nobody_is_judged_wrongly() {
    let stage = Stage::new();
    let mut all: Vec<Truth> = Vec::new();
    let (of_shells, of_managers, of_containers) = std::thread::scope(|scope| {
        let shells = scope.spawn(|| shells::scenes(&stage));
        let managers = scope.spawn(|| kept::Managers::raise(&stage));
        let containers = scope.spawn(|| containers::Containers::raise(&stage));
        (shells.join().unwrap(), managers.join().unwrap(), containers.join().unwrap())
    });
    all.extend(of_shells);
    all.extend(of_managers.iter().flat_map(|all| all.truths()));
    all.extend(of_containers.iter().flat_map(|all| all.truths()));
    let host = of_containers.as_ref().map(|all| all.engine.host());
    let look = |words: &[&str]| stage.keyroll(words, host.as_deref());
    score::every_cause_is_named(&[stage.root()], &all, &look);
}

/// The same inside a host with systemd.
#[test]
fn units_are_judged_by_what_systemd_would_start() {
    let Some(host) = units::Host::raise() else { return };
    let all = host.truths();
    score::every_cause_is_named(&[host.root(), "/etc/systemd/system".into()], &all, &|words| {
        host.keyroll(words)
    });
}

/// A rotation that meets one of the causes succeeds or refuses; until the cause is fixed both keys work.
#[test]
fn a_rotation_that_meets_a_cause_comes_out_right_or_refuses() {
    rotated::all();
}
