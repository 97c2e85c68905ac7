use super::*;
use crate::object::{Asked, Pods};
use crate::sample::{ID, at_rest, consent, held, holding, object, open, pods};
use crate::standing::{Accepted, Holds, Open, Standing, TakeOver};
use crate::status::status;

/// Tells each standing in its turn; the reasons of the news of each, with `!` behind a warning.
fn told(standings: &[Standing]) -> Vec<Vec<String>> {
    let mut before = Status::default();
    let mut told = Vec::new();
    for standing in standings {
        let after = status(&object(before.clone()), standing);
        let mark = |one: &News| format!("{}{}", one.reason, if one.warning { "!" } else { "" });
        told.push(news(&before, &after).iter().map(mark).collect());
        assert!(news(&after, &after).is_empty());
        before = after;
    }
    told
}

fn with(open: Open) -> Standing {
    Standing { open: Some(open), ..at_rest() }
}

/// A rotation whose consumers are so far.
fn rolls(agent: &str, worker: &str) -> Standing {
    let stages = [("agent", agent), ("worker", worker)];
    with(Open { stages: stages.map(|(name, stage)| (name.to_owned(), stage.to_owned())).into(), ..open() })
}

fn ended(outcome: &str) -> Standing {
    let last = Ended { id: ID.to_owned(), outcome: outcome.to_owned(), ..Ended::default() };
    Standing { last: Some(last), ..at_rest() }
}

fn stale(standing: Standing) -> Standing {
    let seen =
        [("deployment/agent".to_owned(), pods(1, 1, 0)), ("deployment/worker".to_owned(), Pods::default())];
    Standing { pods: Some(Ok(seen.into())), ..standing }
}

fn refused(why: &str) -> Standing {
    Standing { asked: Asked { refused: Some(why.to_owned()), ..Asked::default() }, ..at_rest() }
}

#[test]
fn what_happens_in_a_rotation_is_told_once_each() {
    let new_version = |mut standing: Standing| {
        standing.value.as_mut().unwrap().version = 5;
        standing
    };
    let (waits, moved) = ("waiting for the new key", "on the new key");
    let mut all_moved = consent();
    all_moved.stages =
        [("agent", moved), ("worker", moved)].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    let told = told(&[
        at_rest(),
        rolls(waits, waits),
        rolls("proving the new key", waits),
        rolls("watched with the new key", waits),
        rolls(moved, waits),
        stale(rolls(moved, "loading the new key")),
        new_version(rolls(moved, moved)),
        new_version(with(all_moved.clone())),
        new_version(with(all_moved)),
        new_version(rolls(moved, moved)),
        new_version(ended("done")),
        new_version(ended("done")),
    ]);
    let expected: [&[&str]; 12] = [
        &["SpecAccepted"],
        &["RotationBegan"],
        &[],
        &[],
        &["ConsumerMoved"],
        &[],
        &["ValueAdded", "ConsumerMoved"],
        &["NeedsConsent!"],
        &[],
        &[],
        &["RotationDone"],
        &[],
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_first_status_tells_of_the_spec_and_what_needs_a_person() {
    let no = Standing { accepted: Accepted::No("no issuer".to_owned()), ..at_rest() };
    let cases: [(Standing, &[&str]); 8] = [
        (at_rest(), &["SpecAccepted"]),
        (no, &["SpecRefused!"]),
        (rolls("on the new key", "on the new key"), &["SpecAccepted"]),
        (with(consent()), &["SpecAccepted", "NeedsConsent!"]),
        (with(held(true)), &["SpecAccepted", "Blocked!"]),
        (ended("done"), &["SpecAccepted"]),
        (ended("rolled back"), &["SpecAccepted"]),
        (ended("done with a debt"), &["SpecAccepted", "DebtLeft!"]),
    ];
    for (standing, expected) in cases {
        assert_eq!(told(&[standing]), [expected]);
    }
}

#[test]
fn each_other_change_is_told() {
    let former = Standing { accepted: Accepted::Former("no issuer".to_owned()), ..at_rest() };
    let lost = Standing { lost: Some(ID.to_owned()), ..at_rest() };
    let cases: [(Standing, Standing, &[&str]); 9] = [
        (at_rest(), former.clone(), &["SpecRefused!"]),
        (former, at_rest(), &["SpecAccepted"]),
        (with(open()), ended("rolled back"), &["RolledBack!"]),
        (with(open()), ended("done with a debt"), &["DebtLeft!"]),
        (with(held(false)), with(held(true)), &["Blocked!"]),
        (with(open()), lost, &["Blocked!"]),
        (refused("no plan"), refused("no issuer"), &["AskRefused!"]),
        (at_rest(), stale(at_rest()), &["PodsStale!"]),
        (stale(with(open())), stale(ended("done")), &["RotationDone", "PodsStale!"]),
    ];
    for (before, after, expected) in cases {
        assert_eq!(told(&[before, after]).pop().unwrap(), expected);
    }
}

/// Also not again while the server that was started anew has not looked yet.
#[test]
fn a_secret_that_holds_another_value_is_told_once_each_time() {
    let drifted = || holding(&[Holds::Other], TakeOver::Never);
    let another = || holding(&[Holds::Other, Holds::Absent], TakeOver::Never);
    let unseen = || Standing { held: None, ..at_rest() };
    let later = Standing { now: "2026-01-05T00:00:00Z".to_owned(), ..drifted() };
    let told = told(&[at_rest(), drifted(), drifted(), unseen(), drifted(), at_rest(), later, another()]);
    let drift: &[&str] = &["SecretDrifted!"];
    let none: &[&str] = &[];
    assert_eq!(told[1..], [drift, none, none, none, none, drift, drift]);
    assert_eq!(self::told(&[drifted()])[0], ["SpecAccepted", "SecretDrifted!"]);
}

#[test]
fn another_generation_that_counts_is_told() {
    let before = status(&object(Status::default()), &at_rest());
    let mut changed = object(before.clone());
    changed.generation = 4;
    let told = news(&before, &status(&changed, &at_rest()));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].reason, told[0].note.as_str()), ("SpecAccepted", "generation 4 of its spec counts"));
}

#[test]
fn of_another_rotation_the_consumers_are_told_again() {
    let moved = rolls("on the new key", "on the new key");
    let mut other = moved.clone();
    other.open.as_mut().unwrap().shown.id = "1b".to_owned();
    let told = told(&[at_rest(), moved, other]);
    assert_eq!(told[1], ["RotationBegan", "ConsumerMoved", "ConsumerMoved"]);
    assert_eq!(told[2], told[1]);
}

#[test]
fn of_many_news_the_consumers_are_left_out_and_no_note_is_too_long() {
    let names: Vec<String> = (0..90).map(|at| format!("agent-{at}")).collect();
    let mut many = consent();
    many.stages = names.iter().map(|name| (name.clone(), MOVED.to_owned())).collect();
    let consumers = names.iter().map(|name| (name.clone(), format!("deployment/{name}"))).collect();
    let asked = Asked { refused: Some("ü".repeat(2_000)), ..Asked::default() };
    let standing = Standing { consumers, asked, ..with(many) };
    let before = status(&object(Status::default()), &at_rest());
    let told = news(&before, &status(&object(before.clone()), &standing));
    assert_eq!(told.len(), NEWS_MAX);
    let reasons: Vec<&str> = told.iter().take(4).map(|one| one.reason).collect();
    assert_eq!(reasons, ["RotationBegan", "NeedsConsent", "AskRefused", "ConsumerMoved"]);
    assert!(told.iter().all(|one| one.note.len() <= NOTE_BYTES_MAX));
}
