//! An operation whose outcome is unknown is carried out again only where nothing shows that it was carried out.

use keyroll_engine::DriverState;
use keyroll_rotation::{
    Consumer, ConsumerId, Delivery, Event, Fact, FileId, HostId, Op, Outcome, Phase, Reconciled, ReloadMode,
    Seq, Which,
};

use crate::parts::machine::Mishap;
use crate::parts::{Scene, capabilities, locked, plan};
use crate::shell::drive;

const RESTART: Op = Op::Apply(ConsumerId(0), 0, Which::New);

/// More effects than a rotation of one consumer has.
const EFFECTS_MAX: usize = 20;

/// A rotation with one consumer that is restarted.
fn scene() -> Scene {
    let mut plan = plan(capabilities());
    plan.files.push(HostId(0));
    plan.consumers.push(Consumer {
        host: HostId(0),
        delivery: Delivery::Push,
        uptake: ReloadMode::Verb,
        files: vec![FileId(0)],
        slots: 1,
        paths: 1,
        attributable: false,
        own_word: false,
        wave: 0,
    });
    Scene::of(plan, &[], "id-2", "value-two")
}

/// The entries that began the restart.
fn restarts(entries: &[Event]) -> Vec<Seq> {
    let all = (1..).zip(entries);
    all.filter(|(_, event)| event.fact == Fact::Intended(RESTART)).map(|(seq, _)| seq).collect()
}

/// A finished rotation whose first restart had its effect and no answer, and what was found out about that restart.
fn restart_lost(is_recorded: bool) -> (Scene, Vec<Reconciled>) {
    for at in 0..EFFECTS_MAX {
        let scene = scene();
        *locked(&scene.host.is_recorded) = is_recorded;
        *locked(&scene.fate.at) = Some((at, Mishap::Lost));
        let (standing, state) = drive(&scene);
        let entries = scene.book.entries();
        let Some(first) = restarts(&entries).first().copied() else { continue };
        let lost = Fact::Ended { intent: first, outcome: Outcome::Unknown };
        if !entries.iter().any(|event| event.fact == lost) {
            continue;
        }
        assert_eq!((standing, state.phase(), state.debt()), (DriverState::Ended, Phase::Done, None));
        let found = entries.into_iter().filter_map(|event| {
            let Fact::Reconciled { intent, found } = event.fact else { return None };
            (intent == first).then_some(found)
        });
        return (scene, found.collect());
    }
    panic!("no effect of a rotation is its restart");
}

#[test]
fn a_restart_whose_answer_was_lost_is_not_repeated_where_a_record_shows_it() {
    let (scene, found) = restart_lost(true);
    assert_eq!(found, [Reconciled::Executed(None)]);
    assert_eq!((restarts(&scene.book.entries()).len(), scene.host.restarts()), (1, 1));
}

#[test]
fn a_restart_whose_answer_was_lost_is_repeated_where_no_record_shows_it() {
    let (scene, found) = restart_lost(false);
    assert!(!found.is_empty() && found.iter().all(|found| *found == Reconciled::Absent), "{found:?}");
    assert_eq!((restarts(&scene.book.entries()).len(), scene.host.restarts()), (2, 2));
}
