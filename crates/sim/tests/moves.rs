//! The step table: which facts are legal in the first state of each phase.

use std::collections::BTreeMap;

use keyroll_rotation::{
    Answer, CredId, EndpointId, Event, Fact, Found, Op, Outcome, Phase, Stamp, State, Waived, Which, step,
};
use keyroll_sim::{Fault, FaultPlan, Keep, Kind, Mutant, Planned, Scene, Size, run};

/// The first state of every phase that a calm rotation, and one that is aborted, go through.
fn states() -> BTreeMap<Phase, State> {
    let mut found = BTreeMap::new();
    for draw in 0..40 {
        let scene = Scene { size: Size::Reduced, kind: Kind::Independent, draw, recovery: false };
        for faults in [Vec::new(), vec![Planned { at: 30, fault: Fault::Abort }]] {
            let plan = FaultPlan { scene, seed: draw, faults };
            let report = run(&plan, &Mutant::NONE, Keep { states: true, ..Keep::default() }, None);
            for state in report.states {
                found.entry(state.phase()).or_insert(state);
            }
        }
    }
    found
}

fn facts() -> Vec<(&'static str, Fact)> {
    let alive =
        Fact::Probed { endpoint: EndpointId(0), version: Which::New, answer: Answer::Alive, control: None };
    let nowhere =
        Fact::Probed { endpoint: EndpointId(99), version: Which::New, answer: Answer::Alive, control: None };
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
        ("reconcile nothing", Fact::Reconciled { intent: 9_999, found: Found::Absent }),
        ("probe", alive),
        ("probe nowhere", nowhere),
        ("consent to something", Fact::Consented(1)),
        ("decide something", Fact::Decided(1)),
        ("waive", Fact::Waived(Waived::BusySessions)),
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
    Mint: clock, intend mint, probe, waive, pause, abort, minted by hand
    Stage: clock, intend stage, probe, waive, pause, abort
    Probe: clock, probe, waive, pause, abort
    Roll: clock, probe, waive, pause, abort
    Quiesce: clock, probe, waive, pause, abort
    Disable: clock, probe, waive, pause, abort
    Soak: clock, probe, waive, pause, abort
    Decide: clock, probe, waive, pause, abort
    Revoke: clock, intend revoke, probe, waive, pause, revoked by hand
    ConfirmDead: clock, probe, waive, pause
    Sweep: clock, probe, waive, pause
    Done: clock, probe
    RollingBack: clock, probe, waive, pause, abort
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
