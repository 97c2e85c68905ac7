//! Every wait is left by each of the ways that are named for it, and by that the rotation ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use keyroll_rotation::{
    Adoptee, Consumer, ConsumerId, CredId, Delivery, Emergency, Event, Fact, FileId, Hold, HostId,
    Incarnation, MintedBy, Next, Op, Outcome, Outside, Overlap, Person, Phase, Query, Reason, ReloadMode,
    Step, Until, Visibility, Waived, Want, Which, step, wants, way,
};

use crate::walk::reach::{Row, phases, reach, row_of};
use crate::walk::world::{STRAY, Trouble};
use crate::walk::{self, Walk};

/// How often a driver answers everything that is wanted, before it is going round in circles.
const PASSES_MAX: usize = 1_000;

/// The time between two passes, milliseconds.
const PASS_MS: u64 = 500;

/// How often the operator acts after a step, if the rotation is held for something else.
const WORDS_MAX: usize = 4;

/// What the command brings with it, where the state does not say that.
fn brought(walk: &Walk, next: Next) -> Vec<Fact> {
    match next {
        Next::Adopt(explains) => {
            let host = match explains {
                Adoptee::Holder(who) => who.host,
                Adoptee::Copy(_) => HostId(0),
            };
            let file = u16::try_from(walk.state.plan().files.len()).unwrap();
            let consumer = Consumer {
                host,
                delivery: Delivery::Push,
                uptake: ReloadMode::Verb,
                files: vec![FileId(file)],
                slots: 1,
                paths: 1,
                attributable: false,
                own_word: false,
                wave: 0,
            };
            vec![Fact::Adopted { consumer, files: vec![host], explains, names: "".into() }]
        }
        // It is for another rotation.
        Next::Declare(_) => Vec::new(),
        Next::Correct(consumer) => vec![Fact::Corrected { consumers: vec![consumer], names: "".into() }],
        Next::HandMint => {
            let made = Fact::HandMinted(CredId::new("by-hand"));
            let paused = matches!(walk.state.hold(), Some(Hold::Paused(_)));
            paused.then_some(Fact::Resumed).into_iter().chain([made]).collect()
        }
        Next::Resume
        | Next::Retry
        | Next::Confirm
        | Next::Abort
        | Next::Accept
        | Next::Waive(_)
        | Next::HandRevoked
        | Next::AnotherKey
        | Next::PayDebt => panic!("the state says what {next:?} is"),
    }
}

/// Does what a step says; each command is a process of its own.
fn take(walk: &mut Walk, step: &Step) {
    if let Some(outside) = step.first {
        walk.world.mend(outside, &walk.state);
    }
    assert!(!step.then.is_empty(), "a step without a command");
    for next in &step.then {
        assert!(next.is_possible(&walk.state), "{next:?} is refused in {:?}", walk.state.hold());
        walk.another_driver();
        let facts = next.facts(&walk.state).unwrap_or_else(|| brought(walk, *next));
        walk.world.told(*next);
        facts.into_iter().for_each(|fact| walk.say(fact));
    }
}

/// Goes on until the rotation has ended, or is held and asks for nothing. Returns whether it left the row meanwhile.
fn drive(walk: &mut Walk, row: Row) -> bool {
    let mut left = false;
    for _ in 0..PASSES_MAX {
        left |= row_of(&walk.state) != Some(row);
        if walk.state.ended() || wants(&walk.state).is_empty() {
            return left;
        }
        walk.go_on();
        left |= row_of(&walk.state) != Some(row);
        if !walk.state.ended() {
            walk.wait(PASS_MS);
        }
    }
    panic!("it waits for ever: {:?} {:?}", row_of(&walk.state), wants(&walk.state));
}

/// Takes a step in a row, and after that the first way of every other hold, until the rotation has ended.
fn take_to_the_end(walk: &mut Walk, row: Row, step: &Step) {
    take(walk, step);
    let mut left = false;
    for _ in 0..WORDS_MAX {
        left |= drive(walk, row);
        if walk.state.ended() {
            assert!(left, "the row is not left");
            return;
        }
        assert_ne!(row_of(&walk.state), Some(row), "it waits for the same again");
        let on = way(&walk.state).unwrap();
        take(walk, &on.forward[0]);
    }
    panic!("the operator has to act again and again: {:?}", row_of(&walk.state));
}

/// What is wrong with a step, if anything is.
fn fault(walk: &Walk, row: Row, step: &Step, back: bool) -> Option<String> {
    let rolls_back = back || walk.state.phase() == Phase::RollingBack || step.then.contains(&Next::Abort);
    let mut walk = walk.clone();
    let result = catch_unwind(AssertUnwindSafe(|| {
        take_to_the_end(&mut walk, row, step);
        let end = if rolls_back { Phase::RolledBack } else { Phase::Done };
        assert_eq!((walk.state.phase(), walk.state.debt()), (end, None));
    }));
    result.err().map(|why| format!("{row:?}: {step:?}: {}", said(&*why)))
}

/// What a panic said.
fn said(why: &(dyn Any + Send)) -> String {
    let text = why.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| why.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// The walk of a row, or why it does not come there.
fn reached(row: Row) -> Result<Walk, String> {
    let walk =
        catch_unwind(|| reach(row)).map_err(|why| format!("{row:?} is not reached: {}", said(&*why)))?;
    let (found, phase) = (row_of(&walk.state), walk.state.phase());
    if found != Some(row) || !phases(row).contains(&phase) {
        return Err(format!("{row:?} is {found:?} in {phase:?}, {:?}", walk.state.hold()));
    }
    Ok(walk)
}

#[test]
fn every_wait_is_left_by_each_of_its_ways() {
    let mut faults = Vec::new();
    for row in Row::ALL {
        let walk = match reached(*row) {
            Ok(walk) => walk,
            Err(why) => {
                faults.push(why);
                continue;
            }
        };
        let ways = way(&walk.state).unwrap();
        if ways.forward.is_empty() {
            faults.push(format!("{row:?} has no way forward"));
        }
        faults.extend(ways.forward.iter().filter_map(|step| fault(&walk, *row, step, false)));
        faults.extend(ways.back.iter().filter_map(|step| fault(&walk, *row, step, true)));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A rotation of a key that the operator makes.
fn by_hand() -> Walk {
    let mut plan = walk::plan();
    plan.capabilities.minted_by = MintedBy::Human;
    Walk::of(plan)
}

/// The one way forward past the present wait.
fn only_way(walk: &Walk) -> Step {
    let ways = way(&walk.state).unwrap();
    assert_eq!(ways.forward.len(), 1, "{ways:?}");
    ways.forward[0].clone()
}

/// Red where the command counts as refused as long as the outcome of an operation is unknown.
#[test]
fn a_key_by_hand_is_taken_in_a_pause_while_an_operation_is_under_way() {
    let restores = |want: &Want| matches!(want, Want::Do(Op::Deliver(_, Which::Old)));
    let mut walk = by_hand();
    walk.until(|state| state.phase() == Phase::Quiesce);
    walk.say(Fact::AbortAsked);
    walk.until(|state| wants(state).iter().any(restores));
    let restore = walk.first_op().unwrap();
    walk.begin(&restore);
    walk.say(Fact::Escalated { mode: Emergency::RollFirst, pending_compromised: true });
    walk.say(Fact::PauseAsked);
    assert_eq!((walk.state.phase(), walk.state.intents().len()), (Phase::Mint, 1));
    for another_drives in [false, true] {
        let mut walk = walk.clone();
        if another_drives {
            walk.another_driver();
        }
        let named = only_way(&walk);
        assert_eq!((named.first, named.then.as_slice()), (Some(Outside::MakeKey), &[Next::HandMint][..]));
        take(&mut walk, &named);
        assert!(walk.state.new_version().is_some(), "another driver: {another_drives}");
    }
}

/// Red where what a rotation will ask for once it goes on is named before that.
#[test]
fn a_key_by_hand_is_not_named_before_it_is_taken() {
    let mut walk = by_hand();
    walk.say(Fact::PauseAsked);
    walk.say(walk.see(&Query::Preflight));
    assert_eq!(walk.state.phase(), Phase::Preflight);
    assert!(!Next::HandMint.is_possible(&walk.state));
    let named = only_way(&walk);
    assert_eq!((named.first, named.then.as_slice()), (None, &[Next::Resume][..]));
    take(&mut walk, &named);
    assert!(wants(&walk.state).contains(&Want::Person(Person::MintByHand)));
    assert!(Next::HandMint.is_possible(&walk.state));
}

#[test]
fn a_wait_without_a_way_to_roll_back_cannot_be_rolled_back() {
    for row in Row::ALL {
        let walk = reached(*row).unwrap();
        let ways = way(&walk.state).unwrap();
        let mut aborted = walk.clone();
        let abort = catch_unwind(AssertUnwindSafe(|| {
            aborted.another_driver();
            aborted.say(Fact::AbortAsked);
        }));
        let rolls_back = walk.state.phase() == Phase::RollingBack;
        assert_eq!(ways.back.is_empty(), rolls_back || abort.is_err(), "{row:?}");
    }
}

/// A process that was seen to use the version that goes can be ended, and the issuer and the store work again one day. A program
/// or a file may be gone for good.
#[test]
fn what_never_works_again_holds_nothing_up_for_ever() {
    let ends = |row: Row| {
        let mut walk = reached(row).unwrap();
        walk.world.last_for_good();
        let ways = way(&walk.state).unwrap();
        let forward = ways.forward.iter().any(|step| fault(&walk, row, step, false).is_none());
        forward || ways.back.iter().any(|step| fault(&walk, row, step, true).is_none())
    };
    let endless: Vec<Row> = Row::ALL.iter().copied().filter(|row| !ends(*row)).collect();
    assert_eq!(endless, [] as [Row; 0]);
}

#[test]
fn only_the_operator_ends_what_waits_for_the_operator() {
    for row in Row::ALL {
        let mut walk = reached(*row).unwrap();
        let ways = way(&walk.state).unwrap();
        let held = walk.state.hold().is_some() || walk.state.ended();
        assert_eq!(ways.until == Until::Person && held, held, "{row:?}");
        if held {
            walk.wait(10 * 61_000);
            assert_eq!(row_of(&walk.state), Some(*row), "it is left by itself");
        }
    }
}

/// Answers everything that is wanted after the old key was ended. This process of a consumer has both values, and proves nothing.
fn go_on_with_both(walk: &mut Walk, consumer: ConsumerId, who: Incarnation) {
    walk.each_wanted(|walk, want| match want {
        Want::Do(op) => {
            let intent = walk.begin(&op);
            walk.end(intent, Outcome::Done(None));
        }
        Want::Ask(Query::Enumerate) => {
            let mut seen = walk.look();
            for it in seen.instances.iter_mut().filter(|it| it.consumer == Some(consumer)) {
                (it.who, it.old, it.new) = (who, Visibility::Yes, Visibility::Yes);
            }
            walk.say(Fact::Enumerated(seen));
        }
        Want::Ask(Query::Prove(of, ..)) if of == consumer => {
            walk.say(Fact::Proved { consumer, proofs: Vec::new(), trouble: false });
        }
        Want::Ask(query) => {
            let seen = walk.see(&query);
            walk.say(seen);
        }
        Want::Wait(ms) => walk.wait(ms),
        Want::Decide(_) | Want::Person(_) => unreachable!("the old key was ended"),
    });
}

/// It was waived, and loaded the old value again that an operator had put back into its file. Only the end of the writers was named.
#[test]
fn a_process_that_keeps_both_values_and_proves_nothing_is_named_where_the_rotation_drifts() {
    let (second, who) = (ConsumerId(1), walk::who_of(ConsumerId(1), 7));
    // The mint ended the old key: nothing waits in Quiesce.
    let mut plan = walk::plan();
    plan.capabilities.overlap = Overlap::None;
    let mut walk = Walk::of(plan);
    walk.until(|state| state.phase() == Phase::Roll);
    walk.say(Fact::Waived(Waived::NotVisible(second)));
    walk.until(|state| state.phase() == Phase::Sweep);
    for _ in 0..PASSES_MAX {
        if walk.state.ended() || walk.state.hold().is_some() {
            break;
        }
        go_on_with_both(&mut walk, second, who);
        walk.wait(PASS_MS);
    }
    assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Drifting)));
    let restart = Step { first: Some(Outside::Restart(who)), then: vec![Next::Resume] };
    let named = way(&walk.state).unwrap().forward;
    assert_eq!(named.get(1), Some(&restart), "{named:?}");
    take(&mut walk, &restart);
    walk.until(|state| state.ended() || state.hold().is_some());
    assert_eq!((walk.state.phase(), walk.state.hold(), walk.state.debt()), (Phase::Done, None, None));
}

/// An idle session is ended by keyroll or its client. One at work is nobody's to end, and may last for days.
#[test]
fn a_session_at_work_is_waived_and_an_idle_one_is_not() {
    let waives = |row: Row| {
        let ways = way(&reached(row).unwrap().state).unwrap();
        ways.forward.iter().any(|step| step.then.contains(&Next::Waive(Waived::BusySessions)))
    };
    for busy in [Row::Session, Row::SessionAhead, Row::SessionBack] {
        assert!(waives(busy), "{busy:?}");
    }
    for idle in [Row::SessionUnknown, Row::SessionUnknownAhead, Row::SessionUnknownBack] {
        assert!(!waives(idle), "{idle:?}");
    }
}

/// The place of a command in the list of all of them.
fn kind(next: Next) -> usize {
    match next {
        Next::Resume => 0,
        Next::Retry => 1,
        Next::Confirm => 2,
        Next::Abort => 3,
        Next::Accept => 4,
        Next::Waive(_) => 5,
        Next::Adopt(_) => 6,
        Next::Correct(_) => 7,
        Next::HandMint => 8,
        Next::HandRevoked => 9,
        Next::AnotherKey => 10,
        Next::PayDebt => 11,
        Next::Declare(_) => 12,
    }
}
const KINDS: usize = 13;

/// The same for what is done outside.
fn place(outside: Outside) -> usize {
    match outside {
        Outside::EndProcess(_) => 0,
        Outside::DeleteCopy(_) => 1,
        Outside::MendFile(_) => 2,
        Outside::LetRead(_) => 3,
        Outside::GiveOut => 4,
        Outside::SearchMore(_) => 5,
        Outside::BringUp(_) => 6,
        Outside::MendConsumer(_) => 7,
        Outside::LookAtConsole => 8,
        Outside::EndUsers => 9,
        Outside::EndWriters => 10,
        Outside::MakeKey => 11,
        Outside::EndOldKey => 12,
        Outside::AcceptNewKey => 13,
        Outside::MendIssuer => 14,
        Outside::Restart(_) => 15,
        Outside::Start(_) => 16,
        Outside::ShowProof(..) => 17,
        Outside::FixCommands(_) => 18,
        Outside::FindOut(_) => 19,
    }
}
const PLACES: usize = 20;

#[test]
fn every_command_and_everything_outside_is_a_way_of_some_wait() {
    let (mut commands, mut outside) = ([false; KINDS], [false; PLACES]);
    for row in Row::ALL {
        let ways = way(&reached(*row).unwrap().state).unwrap();
        for step in ways.forward.iter().chain(&ways.back) {
            step.then.iter().for_each(|next| commands[kind(*next)] = true);
            step.first.into_iter().for_each(|first| outside[place(first)] = true);
        }
    }
    assert_eq!((commands, outside), ([true; KINDS], [true; PLACES]));
}

/// Why a word of the operator is refused in an ended rotation, and in one in which nothing is moved forward; and why a consumer is not
/// let go.
const ENDED: &str = "the rotation has ended";
const NOT_FORWARD: &str = "nothing is being moved forward";
const RUNS: &str = "an instance of it is running: waive or end that";

/// Why this may not be recorded now, if it may not.
fn refused(walk: &Walk, fact: &Fact) -> Option<&'static str> {
    let event = Event { at: walk.at, fact: fact.clone() };
    step(&walk.state, &event).err().map(|illegal| illegal.why)
}

fn corrected(consumer: ConsumerId) -> Fact {
    Fact::Corrected { consumers: vec![consumer], names: "".into() }
}

/// The consumers of a rotation.
fn consumers(walk: &Walk) -> Vec<ConsumerId> {
    (0..).map(ConsumerId).take(walk.state.plan().consumers.len()).collect()
}

/// The row, taken over by the command of an operator.
fn taken_over(row: Row) -> Walk {
    let mut walk = reached(row).unwrap();
    walk.another_driver();
    walk
}

/// What may be said at any time about a consumer, a file or a process, with the reason of the design page why it is refused here.
fn said_at_any_time(walk: &Walk) -> Vec<(Fact, Option<&'static str>)> {
    let ended = walk.state.ended().then_some(ENDED);
    let forward = !walk.state.ended() && walk.state.phase() != Phase::RollingBack;
    let adopted = (!forward || !walk.state.plan().aim.makes_new()).then_some(NOT_FORWARD);
    let mut all: Vec<(Fact, Option<&'static str>)> = Vec::new();
    all.extend(brought(walk, Next::Adopt(Adoptee::Holder(STRAY))).into_iter().map(|fact| (fact, adopted)));
    for consumer in consumers(walk) {
        all.push((corrected(consumer), ended));
        all.push((Fact::Waived(Waived::NotVisible(consumer)), ended));
    }
    for file in (0..).map(FileId).take(walk.state.plan().files.len()) {
        all.push((Fact::Waived(Waived::File(file)), ended));
    }
    all
}

/// A word was recorded: what is held stays held or is released, each wait has a way forward, and the same again changes nothing.
fn check_recorded(walk: &Walk, row: Row, fact: &Fact) {
    let mut walk = walk.clone();
    let hold = walk.state.hold();
    walk.say(fact.clone());
    if let Fact::Corrected { .. } = fact {
        assert_eq!(walk.state.hold(), hold, "{row:?}: a correction releases nothing");
    }
    if let Some(ways) = way(&walk.state) {
        assert!(!ways.forward.is_empty(), "{row:?}, {fact:?}: no way forward");
        for step in ways.forward.iter().chain(&ways.back) {
            assert!(step.then[0].is_possible(&walk.state), "{row:?}, {fact:?}: {step:?} is refused");
        }
    }
    if let Fact::Waived(_) = fact {
        let (waived, hold) = (walk.state.waived().to_vec(), walk.state.hold());
        walk.say(fact.clone());
        assert_eq!((walk.state.waived(), walk.state.hold()), (waived.as_slice(), hold), "{row:?}, {fact:?}");
    }
}

#[test]
fn corrections_adoptions_waivers_and_accepted_files_are_possible_in_every_wait() {
    let (mut recorded, mut wrong) = (0, Vec::new());
    for row in Row::ALL {
        let walk = taken_over(*row);
        for (fact, because) in said_at_any_time(&walk) {
            let why = refused(&walk, &fact);
            if why != because {
                wrong.push(format!("{row:?}, {fact:?}: {why:?} instead of {because:?}"));
            } else if why.is_none() {
                check_recorded(&walk, *row, &fact);
                recorded += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(recorded > 5 * Row::ALL.len(), "{recorded}");
}

/// The last look shows a process of it.
fn is_seen(walk: &Walk, consumer: ConsumerId) -> bool {
    let look = |fact: &Fact| {
        let Fact::Enumerated(seen) = fact else { return None };
        Some(seen.instances.iter().any(|it| it.consumer == Some(consumer) && it.who.life.runs()))
    };
    walk.said.iter().rev().find_map(|event| look(&event.fact)) == Some(true)
}

#[test]
fn a_consumer_is_let_go_in_every_wait_unless_a_process_of_it_is_seen() {
    let (mut taken, mut seen) = (0, 0);
    for row in Row::ALL {
        let walk = taken_over(*row);
        for consumer in consumers(&walk) {
            let gone = Fact::Waived(Waived::Gone(consumer));
            match refused(&walk, &gone) {
                None => {
                    check_recorded(&walk, *row, &gone);
                    taken += 1;
                }
                Some(RUNS) => {
                    assert!(is_seen(&walk, consumer), "{row:?}");
                    seen += 1;
                    // It is not there any more.
                    let mut walk = walk.clone();
                    walk.world.strike(Trouble::Absent(consumer));
                    walk.say(Fact::Enumerated(walk.look()));
                    assert_eq!(refused(&walk, &gone), None, "{row:?}");
                    check_recorded(&walk, *row, &gone);
                }
                why => assert_eq!((why, walk.state.ended()), (Some(ENDED), true), "{row:?}"),
            }
        }
    }
    assert!(taken > 20 && seen > 20, "{taken} {seen}");
}

/// Takes the first way of each wait until the rotation has ended; where the same wait is there again, its next way.
fn take_first_ways(walk: &mut Walk) {
    let mut taken: Vec<Row> = Vec::new();
    for _ in 0..2 * WORDS_MAX {
        let Some(row) = row_of(&walk.state) else { return };
        drive(walk, row);
        let Some(ways) = way(&walk.state) else { return };
        let before = taken.iter().filter(|it| **it == row).count();
        take(walk, &ways.forward[before % ways.forward.len()]);
        taken.push(row);
    }
    panic!("it is not ended: {:?} {:?}", row_of(&walk.state), walk.state.hold());
}

/// Whoever says the right thing at the wrong time is not stuck for it.
#[test]
fn a_rotation_in_which_a_consumer_was_corrected_or_waived_in_any_wait_still_ends() {
    let mut faults = Vec::new();
    for row in Row::ALL {
        let walk = taken_over(*row);
        let about = |consumer| [Next::Correct(consumer), Next::Waive(Waived::NotVisible(consumer))];
        let open = consumers(&walk).into_iter().filter(|_| !walk.state.ended());
        for next in open.flat_map(about) {
            let mut walk = walk.clone();
            let result = catch_unwind(AssertUnwindSafe(|| {
                let facts = next.facts(&walk.state).unwrap_or_else(|| brought(&walk, next));
                walk.world.told(next);
                facts.into_iter().for_each(|fact| walk.say(fact));
                take_first_ways(&mut walk);
                assert!(walk.state.ended() && walk.state.debt().is_none(), "{:?}", walk.state.phase());
            }));
            faults.extend(result.err().map(|why| format!("{row:?}: {next:?}: {}", said(&*why))));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
