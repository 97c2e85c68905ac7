//! When the driver asks, and what it takes for an answer.

use keyroll_engine::{Action, Core, Drive, Driver, Input, Pace};
use keyroll_rotation::{
    ConsumerId, Effect, Event, Fact, IllegalEvent, ListedState, Op, Outcome, Phase, PreflightSeen,
    ProbeResult, Query, Reconciled, Seq, Stamp, State, Waived, Want, Which, step,
};

use crate::parts;
use crate::shell::add_reader;

/// A request may arrive for so long.
const REQUEST_MS_MAX: u64 = 5_000;

/// A rotation whose driver died while its mint was carried out.
fn minting() -> (State, Seq) {
    let mut plan = parts::plan(parts::capabilities());
    plan.capabilities.request_ms_max = REQUEST_MS_MAX;
    add_reader(&mut plan);
    let at = Stamp { ms: 0, boot: 1, epoch: 1 };
    let mut state = State::open(plan, Stamp { epoch: 0, ..at }).unwrap();
    let seen = PreflightSeen { clear: true, control: ProbeResult::Dead, current: ProbeResult::Alive };
    for fact in [Fact::DriverStarted, Fact::Preflight(seen), Fact::Intended(Op::Mint)] {
        state = step(&state, &Event { at, fact }).unwrap().0;
    }
    let intent = state.seq();
    (state, intent)
}

/// Whether something is to be appended or looked at; an entry is durable at once.
fn polled<C: Core>(driver: &mut Driver<C>, now: u64) -> Vec<Action>
where
    Driver<C>: Drive,
{
    let actions = driver.poll(now).actions;
    if actions.iter().any(|action| matches!(action, Action::Append { .. })) {
        driver.on(Input::Appended, now);
    }
    actions
}

#[test]
fn a_look_that_began_too_early_does_not_close_an_intent() {
    let (state, intent) = minting();
    let mut driver = Driver::new(state, 2, 1, 0, Pace::default());
    polled(&mut driver, 0);
    let ask = Query::Reconcile(intent);
    let looks = |actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::Look { query, .. } if *query == ask))
    };
    let absent = || Input::Seen(ask.clone(), Some(Fact::Reconciled { intent, found: Reconciled::Absent }));
    let open = |driver: &Driver| driver.state().intents().iter().any(|open| open.seq == intent);
    for (begins, answers) in [(10, 20), (1_100, 1_110), (2_200, 9_000)] {
        assert!(looks(&polled(&mut driver, begins)), "asked at {begins}");
        driver.on(absent(), answers);
        polled(&mut driver, answers);
        assert!(open(&driver), "answered at {answers}: the request may have arrived since {begins}");
    }
    assert!(looks(&polled(&mut driver, 10_100)), "asked again");
    driver.on(absent(), 10_110);
    polled(&mut driver, 10_110);
    assert!(!open(&driver), "nothing can arrive any more");
}

#[test]
fn a_list_that_shows_nothing_new_is_written_only_now_and_then() {
    let (state, intent) = minting();
    let failed = Fact::Ended { intent, outcome: Outcome::Failed { retry: false } };
    let state = step(&state, &Event { at: state.now(), fact: failed }).unwrap().0;
    assert_eq!(state.phase(), Phase::RollingBack);
    let pace = Pace { issuer_ms: 100, clock_ms: 2_000, ..Pace::default() };
    let mut driver = Driver::new(state, 2, 1, 0, pace);
    let incomplete = Fact::Listed { complete: false, labelled: Vec::new(), old: ListedState::NotVisible };
    let (mut asked, mut written) = (0, 0);
    for now in (0..20_000).step_by(10) {
        for action in polled(&mut driver, now) {
            match action {
                Action::Look { query, .. } => {
                    assert_eq!(query, Query::List);
                    asked += 1;
                    driver.on(Input::Seen(query, Some(incomplete.clone())), now);
                }
                Action::Append { .. } => written += 1,
                Action::Reload | Action::Witness { .. } | Action::Carry { .. } => panic!("{action:?}"),
            }
        }
    }
    assert!(asked > 150, "{asked}");
    // One entry in two seconds, and the start of the driver.
    assert!(written <= 12, "{written} entries for {asked} lists");
}

/// A core that wants one consumer proven, whatever was seen.
struct Proving;

const PROVED: ConsumerId = ConsumerId(0);
const PROVE: Query = Query::Prove(PROVED, None, Which::New);

impl Core for Proving {
    fn step(&self, state: &State, event: &Event) -> Result<(State, Vec<Effect>), IllegalEvent> {
        let counts = matches!(event.fact, Fact::Proved { .. }) && state.has_gone(PROVED);
        assert!(!counts, "a proof from before the waiver");
        step(state, event)
    }

    fn wants(&self, _: &State) -> Vec<Want> {
        vec![Want::Ask(PROVE)]
    }
}

/// Red if what was seen before a consumer was let go proves the process that runs when it is back.
#[test]
fn a_proof_that_was_asked_for_before_a_consumer_was_let_go_does_not_count() {
    let asks = |actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::Look { query, .. } if *query == PROVE))
    };
    let proved = || {
        let fact = Fact::Proved { consumer: PROVED, proofs: Vec::new(), trouble: false };
        Input::Seen(PROVE, Some(fact))
    };
    // Once the answer comes after the waiver, once it waits for its entry while the waiver is written.
    for answers_first in [false, true] {
        let mut driver = Driver::over(Proving, minting().0, 2, 1, 0, Pace::default());
        polled(&mut driver, 0);
        assert!(asks(&polled(&mut driver, 10)));
        driver.on(Input::Told(Fact::Waived(Waived::Gone(PROVED))), 20);
        if answers_first {
            driver.on(proved(), 20);
        }
        polled(&mut driver, 20);
        assert!(driver.state().has_gone(PROVED), "{:?}", driver.take_rejected());
        if !answers_first {
            driver.on(proved(), 30);
        }
        assert!(asks(&polled(&mut driver, 30)), "asked again");
    }
}
