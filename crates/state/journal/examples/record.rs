//! Records rotations of several kinds through the real driver, on ports in memory, as the journal would hold them:
//! `cargo run -p keyroll-journal --example record`. A recording stays in `tests/fixtures/rotations` for ever; a new
//! protocol adds files and changes none.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../../../core/engine/tests/parts/mod.rs"]
mod parts;
#[path = "../../../core/rotation/tests/walk/mod.rs"]
mod walk;

use std::fs;
use std::path::Path;

use keyroll_engine::{Command, DriverState, Ending, Note, Observer, ObserverReply, Pace, run};
use keyroll_journal::{encode_event, encode_opening};
use keyroll_port::{Journal as _, Opening, RotationId};
use keyroll_rotation::{
    Aim, Canary, Capabilities, Consumer, Delivery, Event, Fact, FileId, HostId, OnFailure, Op, Outcome,
    Overlap, PROTOCOL, Person, Phase, Plan, Refusals, ReloadMode, RollPolicy, Seq, Stamp, State, TruthValue,
    Want, wants,
};
use parts::machine::Mishap;
use parts::{Scene, locked};
use tokio::sync::mpsc;

const DRIVES_MAX: usize = 6;

/// The pace of a roll for which nothing is configured.
const AT_ONCE: RollPolicy =
    RollPolicy { canary: Canary::Consumer, bake_ms: 0, ask: false, pause_ms: 0, hosts_max: 1 };

const PACE: Pace = Pace {
    probe_ms: 1,
    prove_ms: 1,
    watch_ms: 1,
    enumerate_ms: 1,
    issuer_ms: 1,
    reconcile_ms: 1,
    retry_ms: 1,
    clock_ms: 50,
    look_ms_max: 60_000,
    host_look_ms_max: 60_000,
    carry_ms_max: 60_000,
    leave_ms_max: 30_000,
};

/// Consents from its second drive on, if it is to be asked at all.
struct There(bool);

impl Observer for There {
    fn appended(&mut self, _: Seq, _: &Event, _: &State) {}
    fn note(&mut self, _: Note) {}
    fn standing(&mut self, standing: &DriverState, _: &State) -> ObserverReply {
        match standing {
            DriverState::Person(people) => match people.as_slice() {
                [Person::Consent(digest)] if self.0 => {
                    ObserverReply::Say(Command::Tell(Fact::Consented(*digest)))
                }
                _ => ObserverReply::Nobody,
            },
            DriverState::Driving | DriverState::Held(_) | DriverState::Ended | DriverState::Lost => {
                ObserverReply::Nobody
            }
        }
    }
}

fn plan(capabilities: Capabilities) -> Plan {
    let mut plan = parts::plan(capabilities);
    plan.policy.on_failure = OnFailure::Pause;
    plan.policy.roll = Some(AT_ONCE);
    let consumer = |delivery, uptake, file, slots| Consumer {
        host: HostId(0),
        delivery,
        uptake,
        files: vec![FileId(file)],
        slots,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    };
    plan.files = vec![HostId(0), HostId(0), HostId(0)];
    plan.consumers = vec![
        consumer(Delivery::Push, ReloadMode::Verb, 0, 2),
        consumer(Delivery::Push, ReloadMode::Rereads, 1, 1),
        consumer(Delivery::Fetch, ReloadMode::Verb, 2, 1),
    ];
    plan
}

fn with_a_switch() -> Capabilities {
    Capabilities { disable: true, refusals: Refusals::ConsumerLogs, ..parts::capabilities() }
}

/// Drives a scene to its end, and writes the content of its journal to a file.
fn record(folder: &Path, name: &str, scene: &Scene, nobody_at_first: bool) {
    let id = RotationId("0192".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = (0..DRIVES_MAX).any(|drive| {
        let mut there = There(!nobody_at_first || drive > 0);
        let (tell, commands) = mpsc::channel(1);
        let ending = runtime.block_on(async {
            let recorded = scene.book.load(&id).await.unwrap();
            let state = keyroll_engine::replay(&recorded).unwrap();
            if state.hold().is_some() {
                tell.send(Command::Tell(Fact::Resumed)).await.unwrap();
            }
            run(scene.ports(), id.clone(), PACE, commands, &mut there).await
        });
        matches!(ending, Ending::At(DriverState::Ended, _))
    });
    assert!(ended, "{name} does not end");
    let recorded = runtime.block_on(scene.book.load(&id)).unwrap();
    write_down(folder, name, &recorded.opening, &recorded.events);
}

/// Records a rotation on paper, for cases that the ports in memory cannot have.
fn record_walk(folder: &Path, name: &str, plan: Plan) {
    let mut walk = walk::Walk::of(plan.clone());
    walk.until(State::ended);
    write_walk(folder, name, plan, &walk);
}

/// The plan of a rotation on paper.
fn on_paper() -> Plan {
    let mut plan = walk::plan();
    plan.policy.roll = Some(AT_ONCE);
    plan
}

/// The same over two hosts, in two waves, with a canary after which the operator is asked, and pauses.
fn record_paced(folder: &Path) {
    let mut plan = on_paper();
    plan.policy.roll = Some(RollPolicy {
        canary: Canary::Instance,
        bake_ms: 5_000,
        ask: true,
        pause_ms: 1_000,
        hosts_max: 1,
    });
    plan.files.push(HostId(1));
    plan.endpoints.push(HostId(1));
    plan.consumers[0].slots = 2;
    plan.consumers[1].wave = 1;
    plan.consumers.push(Consumer { host: HostId(1), files: vec![FileId(2)], ..plan.consumers[0].clone() });
    let mut walk = walk::Walk::of(plan.clone());
    walk.until(|state| state.hold().is_some());
    walk.another_driver();
    walk.say(Fact::Resumed);
    walk.until(State::ended);
    write_walk(folder, "paced", plan, &walk);
}

/// The same, where another party changes the source of truth before Promote, and puts the old value back there after it.
fn record_changed_elsewhere(folder: &Path) {
    let mut walk = walk::Walk::of(on_paper());
    walk.until(|state| wants(state).contains(&Want::Do(Op::Promote)));
    let promote = walk.begin(&Op::Promote);
    walk.end(promote, Outcome::ChangedElsewhere);
    walk.say(Fact::Retried);
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::TruthRead(TruthValue::Old));
    walk.say(Fact::Retried);
    walk.until(State::ended);
    write_walk(folder, "changed-elsewhere", on_paper(), &walk);
}

fn write_walk(folder: &Path, name: &str, plan: Plan, walk: &walk::Walk) {
    let at = Stamp { epoch: 0, ..walk.said[0].at };
    let secret = "acme".to_owned();
    let opening = Opening { secret, from_version: 1, plan, names: String::new(), at, unix_ms: 1 };
    write_down(folder, name, &opening, &walk.said);
}

fn write_down(folder: &Path, name: &str, opening: &Opening, events: &[Event]) {
    let mut lines = vec![encode_opening(opening).unwrap()];
    let mut state = State::open(opening.plan.clone(), opening.at).unwrap();
    let mut phases = vec![state.phase()];
    for event in events {
        lines.push(encode_event(event).unwrap());
        state = keyroll_rotation::step(&state, event).unwrap().0;
        if phases.last() != Some(&state.phase()) {
            phases.push(state.phase());
        }
    }
    let write = |kind: &str, bytes: Vec<u8>| {
        let path = folder.join(format!("p{PROTOCOL}-{name}.{kind}"));
        if path.exists() {
            println!("{} stays as it is", path.display());
        } else {
            fs::write(path, bytes).unwrap();
        }
    };
    write("jsonl", lines.join(&b'\n').into_iter().chain([b'\n']).collect());
    let phases: Vec<String> = phases.iter().map(|phase| format!("{phase:?}\n")).collect();
    write("phases", phases.concat().into_bytes());
}

fn scene(capabilities: Capabilities) -> Scene {
    Scene::of(plan(capabilities), &[], "id-2", "value-two")
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rotations");
    fs::create_dir_all(&folder).unwrap();
    record(&folder, "calm", &scene(with_a_switch()), false);
    record(
        &folder,
        "one-at-a-time",
        &scene(Capabilities { overlap: Overlap::None, ..parts::capabilities() }),
        false,
    );
    let mut asked = plan(with_a_switch());
    asked.policy.standing_consent = false;
    record(&folder, "nobody-there", &Scene::of(asked, &[], "id-2", "value-two"), true);
    let refused = Scene::of(plan(with_a_switch()), &[0, 1, 0], "id-2", "value-two");
    record(&folder, "refused-use", &refused, false);
    let crashed = scene(parts::capabilities());
    *locked(&crashed.book.breaks_at) = Some(Op::Promote);
    record(&folder, "crashed", &crashed, false);
    let lost = scene(parts::capabilities());
    *locked(&lost.fate.at) = Some((0, Mishap::Lost));
    record(&folder, "lost-mint", &lost, false);
    let mut back = plan(with_a_switch());
    back.policy.on_failure = OnFailure::Rollback;
    let back = Scene::of(back, &[], "id-2", "value-two");
    *locked(&back.fate.at) = Some((4, Mishap::FailedForGood));
    record(&folder, "rolled-back", &back, false);
    for (name, aim) in [("part-of-a-shared-key", Aim::Part), ("end-of-a-shared-key", Aim::End)] {
        record_walk(&folder, name, Plan { aim, ..on_paper() });
    }
    let mut trusted = on_paper();
    trusted.consumers.iter_mut().skip(1).for_each(|consumer| consumer.own_word = true);
    record_walk(&folder, "word-of-a-process", trusted);
    record_changed_elsewhere(&folder);
    record_paced(&folder);
}
