//! The step table: which facts are legal in the first state of each phase.

use std::collections::BTreeMap;

use keyroll_rotation::{
    ConsumerId, CredId, Difference, Emergency, EndpointId, Event, Fact, Hold, Op, Outcome, Phase,
    ProbeResult, Reason, Reconciled, Seq, Stamp, State, Waived, Want, Which, step, wants,
};
use keyroll_sim::{Fault, FaultPlan, Keep, Kind, Mutant, Planned, Scene, Size, run};

/// The first state of every phase of a calm rotation, and of one that is aborted.
fn states() -> BTreeMap<Phase, State> {
    let mut found = BTreeMap::new();
    for draw in 0..40 {
        let scene = Scene::plain(Size::Reduced, Kind::Independent, draw);
        for faults in [Vec::new(), vec![Planned { at: 30, fault: Fault::Abort }]] {
            let plan = FaultPlan { scene, seed: draw, faults, policy: None };
            let report = run(&plan, &Mutant::NONE, Keep { states: true, ..Keep::default() }, None);
            for state in report.states {
                found.entry(state.phase()).or_insert(state);
            }
        }
    }
    found
}

fn facts() -> Vec<(&'static str, Fact)> {
    let alive = Fact::Probed {
        endpoint: EndpointId(0),
        version: Which::New,
        answer: ProbeResult::Alive,
        control: None,
    };
    let nowhere = Fact::Probed {
        endpoint: EndpointId(99),
        version: Which::New,
        answer: ProbeResult::Alive,
        control: None,
    };
    vec![
        ("clock", Fact::Clock),
        ("intend mint", Fact::Intended(Op::Mint)),
        ("intend stage", Fact::Intended(Op::Stage)),
        ("intend promote", Fact::Intended(Op::Promote)),
        ("intend demote", Fact::Intended(Op::Demote)),
        ("intend disable", Fact::Intended(Op::Disable)),
        ("intend enable", Fact::Intended(Op::Enable)),
        ("intend revoke", Fact::Intended(Op::Revoke)),
        ("intend delete new", Fact::Intended(Op::DeleteNew)),
        ("outcome of nothing", Fact::Ended { intent: 9_999, outcome: Outcome::Done(None) }),
        ("reconcile nothing", Fact::Reconciled { intent: 9_999, found: Reconciled::Absent }),
        ("probe", alive),
        ("probe nowhere", nowhere),
        ("consent to something", Fact::Consented(1)),
        ("decide something", Fact::Decided(1)),
        ("waive", Fact::Waived(Waived::BusySessions)),
        ("accept", Fact::Accepted(Difference { name: "api/api.env:MODE".into(), digest: 1 })),
        ("pause", Fact::PauseAsked),
        ("resume", Fact::Resumed),
        ("retry", Fact::Retried),
        ("abort", Fact::AbortAsked),
        ("minted by hand", Fact::HandMinted(CredId::new("by-hand"))),
        ("revoked by hand", Fact::HandRevoked),
    ]
}

#[test]
fn every_move_is_legal_or_not() {
    let states = states();
    let mut table = String::new();
    for (phase, state) in &states {
        let legal: Vec<&str> = facts()
            .into_iter()
            .filter(|(_, fact)| {
                let at = Stamp { ms: state.now().ms + 1, ..state.now() };
                step(state, &Event { at, fact: fact.clone() }).is_ok()
            })
            .map(|(name, _)| name)
            .collect();
        table.push_str(&format!("{phase:?}: {}\n", legal.join(", ")));
    }
    insta::assert_snapshot!(table, @"
    Mint: clock, intend mint, probe, waive, accept, pause, abort, minted by hand
    Stage: clock, intend stage, probe, waive, accept, pause, abort
    Probe: clock, probe, waive, accept, pause, abort
    Roll: clock, probe, waive, accept, pause, abort
    Quiesce: clock, probe, waive, accept, pause, abort
    Disable: clock, probe, waive, accept, pause, abort
    Soak: clock, probe, waive, accept, pause, abort
    Decide: clock, probe, waive, accept, pause, abort
    Revoke: clock, intend revoke, probe, waive, accept, pause, revoked by hand
    ConfirmDead: clock, probe, waive, accept, pause
    Sweep: clock, probe, waive, accept, pause
    Done: clock, probe
    RollingBack: clock, probe, waive, accept, pause, abort
    RolledBack: clock, probe
    ");
}

#[test]
fn time_and_drivers_only_go_forward() {
    for (phase, state) in states() {
        let now = state.now();
        let say = |at| step(&state, &Event { at, fact: Fact::Clock }).is_ok();
        assert!(!say(Stamp { epoch: now.epoch - 1, ..now }), "{phase:?}: a driver that was replaced");
        assert!(!say(Stamp { epoch: now.epoch + 1, ..now }), "{phase:?}: a driver that never started");
        assert!(!say(Stamp { ms: now.ms.saturating_sub(1), ..now }), "{phase:?}: time went backwards");
    }
}

/// A rotation that is restarting a slot for the new value for the first time; every earlier step is done.
fn restarting() -> (State, Seq, ConsumerId, u8) {
    for draw in 0..40 {
        let scene = Scene::plain(Size::Reduced, Kind::Independent, draw);
        let plan = FaultPlan { scene, seed: draw, faults: Vec::new(), policy: None };
        let states = run(&plan, &Mutant::NONE, Keep { states: true, ..Keep::default() }, None).states;
        let Some(mut state) = states.into_iter().find(|state| state.phase() == Phase::Roll) else { continue };
        while let Some(Want::Do(op)) = wants(&state).into_iter().find(|want| matches!(want, Want::Do(_))) {
            state = then(&state, Fact::Intended(op.clone()));
            let intent = state.seq();
            if let Op::Apply(consumer, slot, Which::New) = op {
                return (state, intent, consumer, slot);
            }
            state = then(&state, Fact::Ended { intent, outcome: Outcome::Done(None) });
        }
    }
    panic!("no rotation restarts anything");
}

fn then(state: &State, fact: Fact) -> State {
    let at = Stamp { ms: state.now().ms + 1, ..state.now() };
    step(state, &Event { at, fact }).unwrap().0
}

#[test]
fn a_restart_that_brings_more_waits_for_a_person() {
    let (state, intent, consumer, slot) = restarting();
    assert!(state.asks_acceptance(Which::New) && !state.asks_acceptance(Which::Old));
    let edit = Difference { name: "api/api.env:MODE".into(), digest: 7 };
    let refused = Fact::Ended { intent, outcome: Outcome::Refused(vec![edit.clone()]) };
    let again = Want::Do(Op::Apply(consumer, slot, Which::New));

    let held = then(&state, refused.clone());
    assert_eq!(held.hold(), Some(Hold::Paused(Reason::Unaccepted(consumer))));
    assert_eq!(held.refused(), std::slice::from_ref(&edit));
    assert!(held.intents().is_empty() && !wants(&held).contains(&again), "{:?}", wants(&held));
    let unit = &held.units()[consumer.index()];
    assert_eq!((unit.toward, unit.moved & (1 << slot)), (Which::New, 0), "a rollback would restart it");

    let resumed = then(&then(&held, Fact::Accepted(edit.clone())), Fact::Resumed);
    assert_eq!((resumed.hold(), resumed.accepted()), (None, std::slice::from_ref(&edit)));
    assert!(resumed.refused().is_empty() && wants(&resumed).contains(&again), "{:?}", wants(&resumed));

    // In an emergency and during a rollback, pending changes hold nothing up.
    let mode = Emergency::RollFirst;
    let urgent = then(&state, Fact::Escalated { mode, pending_compromised: false });
    assert!(!urgent.asks_acceptance(Which::New));
    assert_eq!(then(&urgent, refused.clone()).hold(), None);
    let back = then(&state, Fact::AbortAsked);
    assert_eq!((back.asks_acceptance(Which::New), then(&back, refused).hold()), (false, None));
}
