//! Each guard that is taken out breaks an invariant.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::guard::{Guard as G, Guards};
use crate::model::{Graph, Rotation};
use crate::state::{Left, Once as O, State};

/// A guard, the invariant that a model without it breaks, and what must happen for that.
const BREAKS: [(G, &str, &[O]); 50] = [
    (G::PreflightRefusalCounts, "order", &[]),
    (G::IntentFirst, "I2", &[]),
    (G::JournalFence, "I9", &[O::Stopped]),
    (G::WitnessFence, "I2", &[O::Stopped]),
    (G::HostDeadline, "I1", &[O::Stopped, O::Abort]),
    (G::AcceptedFirst, "order", &[]),
    (G::EvidenceOfThisProcess, "I1", &[O::Restart]),
    (G::NothingMoves, "I1", &[O::Abort]),
    (G::CompleteLook, "I1", &[O::Late, O::Partial]),
    (G::YoungLook, "I1", &[O::Restart]),
    (G::AgedIsNotSent, "I1", &[O::Restart]),
    (G::LookOfThisDriver, "I1", &[O::CrashFirst, O::Restart]),
    (G::GateBeforeDisable, "I1", &[O::Restart]),
    (G::GateBeforeDecide, "I4", &[O::Restart]),
    (G::GateBeforeRevoke, "I1", &[O::Restart]),
    (G::EvidenceStillThere, "I1", &[O::Restart]),
    (G::GateBeforeDeletion, "I1", &[O::Abort]),
    (G::ConsentAsked, "I4", &[]),
    (G::ConsentBound, "I4", &[O::Ends]),
    (G::LookAfterConsent, "I4", &[]),
    (G::SoakLasts, "I4", &[]),
    (G::WindowsBeginAnew, "I4", &[O::Stopped]),
    (G::RefusedCallPauses, "I4", &[O::RareCall]),
    (G::ListShowsEnabled, "I4", &[O::EnabledByOthers]),
    (G::RefusalsReadLast, "I4", &[O::RareCall]),
    (G::EnabledUnderHold, "P-84", &[]),
    (G::UnansweredHolds, "P-84", &[]),
    (G::PerhapsDisabled, "P-84", &[O::CrashFirst, O::Unclear, O::Pause]),
    (G::RollbackWaitsForDisable, "I1", &[O::Abort]),
    (G::AliveFirst, "order", &[O::Abort, O::EndedByOthers]),
    (G::AliveOnceMore, "I5", &[O::Abort, O::EndedByOthers]),
    (G::TurnsForward, "I7", &[O::Abort, O::EndedByOthers]),
    (G::DeletionIsFinal, "I1", &[O::Abort, O::RollFirst]),
    (G::NoAbortAfterDecide, "I5", &[O::Abort]),
    (G::NoAbortInEmergency, "I5", &[O::Abort, O::RollFirst]),
    (G::UnknownIsNotFailed, "I2", &[O::Lost]),
    (G::UnknownIsNotDone, "I2", &[O::Lost]),
    (G::AbsenceAfterSettling, "I2", &[O::CrashFirst]),
    (G::RevokeNowWaitsForNothing, "P-23", &[O::CrashFirst, O::RevokeNow]),
    (G::RevokeNowIsNow, "P-23", &[O::RevokeNow]),
    (G::RevokeNowStays, "order", &[O::RollFirst, O::RevokeNow]),
    (G::DebtNeedsLook, "I1", &[O::Refusal, O::Pause, O::Restart]),
    (G::StatementIsNoProof, "end", &[O::Statement]),
    (G::EndedStaysEnded, "end", &[O::RevokeNow, O::Statement]),
    (G::ControlBeside, "I5", &[O::Abort, O::Outage]),
    (G::DeathLasts, "end", &[]),
    (G::AcceptanceInSweep, "end", &[O::SlowDeath]),
    (G::SweepLooks, "end", &[O::Restart]),
    (G::DebtKeepsValue, "end", &[O::Refusal]),
    (G::LookAfterHold, "I7", &[O::Stranger]),
];

/// A second line behind another guard: it alone changes nothing, as long as the other one holds.
const BEHIND: (G, G, &str, &[O]) = (G::HostFence, G::HostDeadline, "I8", &[O::Stopped]);

/// Whether a model without this guard breaks this invariant, and how many states were explored.
fn breaks(guard: G, invariant: &'static str, left: &[O]) -> (bool, usize) {
    explore(Guards::without(guard), guard, invariant, left)
}

fn explore(guards: Guards, guard: G, invariant: &'static str, left: &[O]) -> (bool, usize) {
    // Only an issuer that accepts anything somewhere needs the refusal of Preflight.
    let start = State::open(Left::of(left), guard == G::PreflightRefusalCounts);
    let rotation = Rotation { guards, starts: vec![start] };
    if ["I7", "P-84"].contains(&invariant) {
        let graph = Graph::of(&rotation);
        let path = if invariant == "I7" { graph.endless() } else { graph.left_disabled() };
        return (path.is_some(), graph.states());
    }
    let found = HasDiscoveries::AnyOf(BTreeSet::from([invariant]));
    let checker = rotation.checker().finish_when(found).spawn_bfs().join();
    (checker.discovery(invariant).is_some(), checker.unique_state_count())
}

#[test]
fn each_guard_that_is_taken_out_breaks_its_invariant() {
    let named: Vec<G> = BREAKS.iter().map(|(guard, ..)| *guard).collect();
    assert_eq!(G::ALL.iter().find(|guard| !named.contains(guard)), Some(&BEHIND.0), "a guard without a row");
    let mut held = Vec::new();
    for (guard, invariant, left) in BREAKS {
        let (broken, states) = breaks(guard, invariant, left);
        println!("{guard:?}: {invariant} after {states} states");
        if !broken {
            held.push((guard, invariant));
        }
    }
    assert_eq!(held, Vec::new());
}

#[test]
fn the_fence_of_hosts_is_a_second_line_behind_their_deadlines() {
    let (second, first, invariant, left) = BEHIND;
    for guard in [second, first] {
        assert!(!explore(Guards::without(guard), guard, invariant, left).0, "{guard:?}");
    }
    assert!(explore(Guards::without(second).and_without(first), second, invariant, left).0);
}

#[test]
fn the_page_of_the_model_has_each_guard() {
    let page = include_str!("../../../../docs/reference/model.md");
    for (guard, invariant, left) in BREAKS {
        let left: Vec<String> = left.iter().map(|once| format!("{once:?}")).collect();
        let left = if left.is_empty() { "none".to_owned() } else { left.join(", ") };
        let row = page.lines().find(|line| line.starts_with(&format!("| {guard:?} |")));
        let end = format!("| {invariant} | {left} |");
        assert!(row.is_some_and(|row| row.ends_with(&end)), "{guard:?} {end}");
    }
}
