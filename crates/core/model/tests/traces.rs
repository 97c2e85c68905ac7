//! What once broke the code, as traces of the model: possible and wrong without the guard, refused with it.

use crate::action::Action as A;
use crate::effects::Answer;
use crate::guard::{Guard, Guards};
use crate::state::{Broken, Emergency, Hold, Left, Once, Op, State, Version};

/// An operation from its intent to its outcome, by this driver.
fn carried(op: Op, driver: u8) -> Vec<A> {
    vec![A::Intend(op), A::Send(driver), A::Arrive(0, Answer::Heard)]
}

/// Both instances are moved: Quiesce.
fn rolled() -> Vec<A> {
    let mut steps = vec![A::Preflight];
    steps.extend(carried(Op::Mint, 0));
    steps.extend([A::Wait, A::ProbeNew]);
    for at in 0..2 {
        steps.extend(carried(Op::Move(at, Version::New), 0));
        steps.push(A::Prove(at));
    }
    steps
}

/// Nothing uses the old key: Disable, with a look.
fn idle() -> Vec<A> {
    [rolled(), vec![A::Look, A::Look]].concat()
}

/// The old key is off, and the soak is over: Decide, with a consent and a look after it.
fn consented() -> Vec<A> {
    let asked = vec![
        A::Wait,
        A::ReadRefusals,
        A::Look,
        A::ReadRefusals,
        A::List,
        A::Consent,
        A::Look,
        A::ReadRefusals,
    ];
    [idle(), carried(Op::Disable, 0), asked].concat()
}

/// The point of no return is passed: Revoke.
fn decided() -> Vec<A> {
    [consented(), vec![A::Decide]].concat()
}

/// What once went wrong.
struct Hole {
    name: &'static str,
    /// The guard that was missing.
    guard: Guard,
    left: &'static [Once],
    steps: Vec<A>,
    broken: Broken,
    /// The first step that the guard refuses. `None`: it refuses none, and the last state is not broken.
    refused: Option<A>,
}

const REFUSED: A = A::ProbeOld { accepted: false };
const ACCEPTED: A = A::ProbeOld { accepted: true };

fn before_decide() -> Vec<Hole> {
    vec![
        Hole {
            name: "a refusal in Preflight was hidden by the answer of another endpoint",
            guard: Guard::PreflightRefusalCounts,
            left: &[],
            steps: [vec![A::Preflight], carried(Op::Mint, 0)].concat(),
            broken: Broken::Order,
            refused: Some(A::Intend(Op::Mint)),
        },
        Hole {
            name: "plan abort-while-disabling: a rollback relied on a key that was being disabled",
            guard: Guard::RollbackWaitsForDisable,
            left: &[Once::Abort],
            steps: [
                idle(),
                vec![A::Intend(Op::Disable), A::Send(0), A::Abort, ACCEPTED, A::Look],
                vec![A::Intend(Op::Move(1, Version::Old)), A::Send(0), A::Arrive(1, Answer::Heard)],
                vec![A::Arrive(0, Answer::Heard)],
            ]
            .concat(),
            broken: Broken::I1,
            refused: Some(A::Intend(Op::Move(1, Version::Old))),
        },
        Hole {
            name: "plan old-key-ends-on-the-way-back: the old key ended while consumers were restored",
            guard: Guard::AliveOnceMore,
            left: &[Once::Abort, Once::EndedByOthers],
            steps: [
                rolled(),
                vec![A::Abort, ACCEPTED, A::Look],
                carried(Op::Move(1, Version::Old), 0),
                vec![A::Prove(1), A::Look],
                carried(Op::Move(0, Version::Old), 0),
                vec![A::Prove(0), A::OthersEndKey, A::Wait, A::Look],
                carried(Op::DeleteNew, 0),
            ]
            .concat(),
            broken: Broken::I5,
            refused: Some(A::Intend(Op::DeleteNew)),
        },
        Hole {
            name: "another party enabled the key during the soak, and the operator was asked all the same",
            guard: Guard::ListShowsEnabled,
            left: &[Once::EnabledByOthers],
            steps: [
                idle(),
                carried(Op::Disable, 0),
                vec![A::OthersEnableKey, A::Wait, A::ReadRefusals, A::Look, A::ReadRefusals, A::List],
                vec![A::Consent, A::Look, A::ReadRefusals, A::Decide],
            ]
            .concat(),
            broken: Broken::I4,
            refused: Some(A::Consent),
        },
        Hole {
            name: "Decide rested on a look that was hours old",
            guard: Guard::YoungLook,
            left: &[Once::Restart],
            steps: [consented(), vec![A::Restart(0, Version::Old), A::Wait, A::ReadRefusals, A::Decide]]
                .concat(),
            broken: Broken::I4,
            refused: Some(A::Decide),
        },
    ]
}

fn after_decide() -> Vec<Hole> {
    vec![
        Hole {
            name: "plan revoke-on-an-old-look: the old key was ended on a look that was ten hours old",
            guard: Guard::YoungLook,
            left: &[Once::Restart],
            steps: [decided(), vec![A::Restart(0, Version::Old), A::Wait], carried(Op::Revoke, 0)].concat(),
            broken: Broken::I1,
            refused: Some(A::Intend(Op::Revoke)),
        },
        Hole {
            name: "a driver that was stopped before its call made it hours later",
            guard: Guard::AgedIsNotSent,
            left: &[Once::Restart],
            steps: [
                decided(),
                vec![A::Intend(Op::Revoke), A::Restart(0, Version::Old), A::Wait, A::Send(0)],
                vec![A::Arrive(0, Answer::Heard)],
            ]
            .concat(),
            broken: Broken::I1,
            refused: Some(A::Send(0)),
        },
        Hole {
            name: "Revoke was sent although an instance had lost its evidence since Decide",
            guard: Guard::EvidenceStillThere,
            left: &[Once::Restart],
            steps: [
                decided(),
                vec![A::Restart(0, Version::Old), A::Prove(0), A::Intend(Op::Revoke), A::Send(0)],
            ]
            .concat(),
            broken: Broken::I1,
            refused: Some(A::Intend(Op::Revoke)),
        },
        Hole {
            name: "revoke now waited for the outcome of something else",
            guard: Guard::RevokeNowWaitsForNothing,
            left: &[Once::CrashFirst, Once::RevokeNow],
            steps: vec![
                A::Preflight,
                A::Intend(Op::Mint),
                A::Crash(0),
                A::Start(1, None),
                A::Escalate(Emergency::RevokeNow),
            ],
            broken: Broken::P23,
            refused: None,
        },
        Hole {
            name: "a key that was only disabled was ended by the operator's statement",
            guard: Guard::StatementIsNoProof,
            left: &[Once::Statement],
            steps: [
                decided(),
                vec![A::Statement { done: false }, REFUSED, A::Wait, REFUSED, A::Look, A::List],
                carried(Op::Retire, 0),
            ]
            .concat(),
            broken: Broken::End,
            refused: Some(A::Intend(Op::Retire)),
        },
        Hole {
            name: "the late answer of a Disable hid that a revoked key was only disabled",
            guard: Guard::EndedStaysEnded,
            left: &[Once::RevokeNow, Once::Statement],
            steps: [
                idle(),
                vec![A::Intend(Op::Disable), A::Escalate(Emergency::RevokeNow), A::Statement { done: false }],
                vec![A::Send(0), A::Arrive(0, Answer::Heard), REFUSED, A::Wait, REFUSED, A::Look, A::List],
                carried(Op::Retire, 0),
            ]
            .concat(),
            broken: Broken::End,
            refused: Some(A::Intend(Op::Retire)),
        },
        Hole {
            name: "an acceptance that came in Sweep was passed over",
            guard: Guard::AcceptanceInSweep,
            left: &[Once::SlowDeath],
            steps: [
                decided(),
                carried(Op::Revoke, 0),
                vec![REFUSED, A::WaitSlowly, REFUSED, ACCEPTED, A::Look, A::List],
                carried(Op::Retire, 0),
            ]
            .concat(),
            broken: Broken::End,
            refused: Some(A::Look),
        },
    ]
}

/// Takes the steps as far as they are possible: the last state, and the step that is refused.
fn replay(start: &State, steps: &[A], guards: Guards) -> (State, Option<A>) {
    let mut state = start.clone();
    for step in steps {
        if !state.can(*step, guards) {
            return (state, Some(*step));
        }
        state = state.step(*step, guards);
    }
    (state, None)
}

#[test]
fn every_hole_that_was_found_is_closed_by_its_guard() {
    for hole in before_decide().into_iter().chain(after_decide()) {
        let start = State::open(Left::of(hole.left), hole.guard == Guard::PreflightRefusalCounts);
        let (state, refused) = replay(&start, &hole.steps, Guards::without(hole.guard));
        assert_eq!(refused, None, "{}: {:?}", hole.name, state.belief);
        assert_eq!(state.broken, Some(hole.broken), "{}", hole.name);
        let (state, refused) = replay(&start, &hole.steps, Guards::ON);
        assert_eq!(refused, hole.refused, "{}: {:?}", hole.name, state.belief);
        assert_eq!(state.broken, None, "{}", hole.name);
    }
}

#[test]
fn what_was_seen_before_a_hold_does_not_hold_again() {
    let start = State::open(Left::of(&[Once::Stranger]), false);
    let steps = [rolled(), vec![A::StrangerAppears, A::Look, A::StrangerGoes, A::Resume]].concat();
    let (old, refused) = replay(&start, &steps, Guards::without(Guard::LookAfterHold));
    assert_eq!((old.belief.hold, refused), (Some(Hold::Stranger), None));
    let (state, refused) = replay(&start, &steps, Guards::ON);
    assert_eq!((state.belief.hold, refused), (None, None));
    assert!(state.can(A::Look, Guards::ON));
}
