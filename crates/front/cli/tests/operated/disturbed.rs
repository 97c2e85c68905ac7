//! An emergency, a dead server and a stopped one, in the middle of what an operator began.

use std::fs;
use std::thread;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::{Ask, ResponseFault};
use rustix::process::Signal;
use serde_json::json;

use super::team::{Team, Turn, begun, refused};
use super::{UNDER_WAY, list, paused};
use crate::emergency::served::Answer;

/// With `approvals = 2`.
fn two(config: &mut String) {
    *config = config.replace("[server]\n", "[server]\napprovals = 2\n");
}

/// Where these words stand in the log.
#[track_caller]
fn position(log: &str, words: &str) -> usize {
    log.find(words).unwrap_or_else(|| panic!("'{words}' is not in the log: {log}"))
}

/// The emergency of the same secret takes the operator's rotation over; one of another secret goes before it.
#[test]
fn an_emergency_goes_before_what_an_operator_began() {
    let team = Team::beside(1);
    let scene = &team.served.scene;
    let id = team.held();
    let leaked = thread::scope(|scope| {
        let body = r#"{"secret_name":"ring"}"#;
        let leaked = scope.spawn(|| team.within(90, "rex", "POST", "/rotate-secret", body));
        wait("the emergency is asked for", || {
            team.served.log().contains("ring: asked for the open rotation, which goes on as an emergency")
        });
        // What an operator may do with a rotation does not hold up an emergency.
        for what in ["resume", "abort"] {
            let answer = team.act("otto", &id, what);
            refused(&answer, &[409]);
            assert!(answer.text("detail").contains("emergency"), "{answer:?}");
        }
        refused(&team.approve("ann", &id), &[409]);
        team.go();
        leaked.join().unwrap()
    });
    assert_eq!((leaked.code, leaked.text("status")), (200, "rotated"), "{leaked:?}");
    assert_eq!(leaked.text("rotation"), id, "no second rotation");
    let row = team.waits_for_consent(&id);
    assert_eq!(row["status"]["emergency"], "roll-first", "{row}");
    assert_eq!(scene.issuer.asked(Ask::Mint), 1, "no second key");
    begun(&team.approve("ann", &id), &id);
    team.ended(&id, "done");
    assert_eq!(scene.issuer.deletions(), [scene.old.as_str()]);
    // Another secret's.
    let second = team.held();
    let asked = |log: &str| log.matches("ring: asked to pause").count();
    let before = asked(&team.served.log());
    let side = thread::scope(|scope| {
        let body = r#"{"secret_name":"side"}"#;
        let side = scope.spawn(|| team.within(90, "rex", "POST", "/rotate-secret", body));
        wait("it is asked to make way", || asked(&team.served.log()) > before);
        assert_eq!(scene.issuer.asked(Ask::Mint), 2, "the side has no key yet");
        team.go();
        side.join().unwrap()
    });
    assert_eq!((side.code, side.text("status")), (200, "rotated"), "{side:?}");
    assert_ne!(side.text("rotation"), second);
    // Nobody resumes it: it goes on by itself, after the emergency.
    team.waits_for_consent(&second);
    assert_eq!(scene.issuer.asked(Ask::Mint), 3, "one key each");
    let log = team.served.log();
    let of = |secret: &str, id: &str| position(&log, &format!("{secret}: rotation {id}: "));
    assert!(of("side", side.text("rotation")) < of("ring", &second), "the emergency was first: {log}");
    begun(&team.act("otto", &second, "abort"), &second);
    team.ended(&second, "rolled_back");
    let answer = team.ask("vic", "GET", &format!("/v1/rotations/{}", side.text("rotation")), "");
    assert_eq!((answer.code, answer.text("state")), (200, "waiting"), "{answer:?}");
    team.nothing_leaked();
}

/// Ends the server, by a crash of the machine or in order; in the latter case the step in hand may end.
fn ends(team: &mut Team, signal: Signal) {
    let drivers = team.served.drivers();
    assert_eq!(drivers.len(), 1, "it is driven");
    if signal == Signal::KILL {
        team.served.end(signal);
        drivers.into_iter().for_each(|driver| team.served.kill(driver));
        return;
    }
    let hold = team.served.scene.path("run/hold");
    let ends = thread::spawn(move || {
        thread::sleep(UNDER_WAY);
        let _ = fs::remove_file(hold);
    });
    assert_eq!(team.served.end(signal), Some(0));
    ends.join().unwrap();
}

/// In the middle of the move, and again after the point of no return: the next server goes on by itself, and no key is
/// made or ended twice.
fn goes_on_after(signal: Signal) {
    let mut team = Team::start(1, |_| {});
    let id = team.held();
    let row = team.rotation(&id);
    assert_eq!(row["state"], "driven", "{row}");
    ends(&mut team, signal);
    team.served.serve();
    if signal == Signal::KILL {
        wait("it is driven again", || team.served.drivers().len() == 1);
        team.go();
    }
    team.waits_for_consent(&id);
    let log = team.served.log();
    assert!(log.contains(&format!("ring: going on with rotation {id}")), "{log}");
    assert_eq!(team.served.scene.issuer.asked(Ask::Mint), 1, "no second key");
    assert_eq!(team.served.scene.issuer.deletions(), Vec::<String>::new(), "nobody consented");
    // A server that starts while it waits for consent does not consent either.
    team.served.end(signal);
    team.served.serve();
    thread::sleep(UNDER_WAY);
    team.waits_for_consent(&id);
    // The issuer is asked to end the old key, and has not done it.
    team.served.scene.issuer.mood(Ask::Delete, ResponseFault::TooMany, 9_999);
    let path = format!("/v1/rotations/{id}/approve");
    begun(&team.within(1, "ann", "POST", &path, r#"{"secret":"ring"}"#), &id);
    wait("the old key is being ended", || !team.served.scene.issuer.deletions().is_empty());
    ends(&mut team, signal);
    team.served.scene.issuer.calm();
    team.served.serve();
    team.ended(&id, "done");
    let scene = &team.served.scene;
    scene.rotated();
    assert_eq!(scene.issuer.asked(Ask::Mint), 1, "no second key");
    assert!(scene.issuer.deletions().iter().all(|key| *key == scene.old), "only the old key was ended");
    let past = list(&team, "/v1/history", "rotations");
    assert_eq!((past.len(), &past[0]["id"]), (1, &json!(id)), "one rotation: {past:?}");
    team.nothing_leaked();
}

#[test]
fn a_server_that_is_killed_goes_on_with_an_operators_rotation() {
    goes_on_after(Signal::KILL);
}

#[test]
fn a_server_that_is_stopped_goes_on_with_an_operators_rotation() {
    goes_on_after(Signal::TERM);
}

/// What was approved is looked at again once the driver has the turn: it was approved without this waiver.
#[test]
fn an_approval_that_became_void_before_the_turn_ends_no_key() {
    let team = Team::beside(1);
    let scene = &team.served.scene;
    let id = team.ready();
    let turn = team.occupied();
    let answer = team.approve_within(0, "ann", &id);
    begun(&answer, &id);
    assert_eq!(answer.text("state"), "queued", "{answer:?}");
    scene.sh("echo nothing > also/note.txt");
    scene.run(&["consumer", "waive", "also/note.txt", "--secret", "ring", "--reason", "a decoy"]).exits(0);
    drop(turn);
    let row = team.until(&id, "it says why the key was not ended", |row| {
        let why = row["why"].as_str().unwrap_or_default();
        row["state"] == "waiting" && why.contains("do not count any more")
    });
    // What the rotation waits for is still said.
    assert!(row["why"].as_str().is_some_and(|why| why.contains("consent")), "{row}");
    assert!(row["next"].as_str().is_some_and(|next| next.contains("--confirm")), "{row}");
    assert_eq!(row["approvals"], json!({"given": [], "of": 1}), "{row}");
    team.is_quiet();
    assert_eq!(scene.issuer.deletions(), Vec::<String>::new(), "nobody approved what stands now");
    begun(&team.approve("ann", &id), &id);
    team.ended(&id, "done");
    assert_eq!(scene.issuer.deletions(), [scene.old.as_str()]);
    team.nothing_leaked();
}

/// A rotation that rolls back once it has the turn is not turned round by an approval, nor by a resume.
#[test]
fn a_queued_way_back_is_not_replaced() {
    let team = Team::beside(1);
    let id = team.ready();
    let turn = team.occupied();
    let answer = team.within(0, "otto", "POST", &format!("/v1/rotations/{id}/abort"), "");
    begun(&answer, &id);
    assert_eq!(answer.text("state"), "queued", "{answer:?}");
    let resumed = ["resume", "retry"].map(|what| team.act("otto", &id, what));
    for answer in resumed.into_iter().chain([team.approve("ann", &id)]) {
        refused(&answer, &[409]);
        assert!(answer.text("detail").contains("rolled back"), "{answer:?}");
    }
    // The same again is the same.
    begun(&team.within(0, "otto", "POST", &format!("/v1/rotations/{id}/abort"), ""), &id);
    drop(turn);
    team.ended(&id, "rolled_back");
    let scene = &team.served.scene;
    assert!(scene.issuer.deletions().iter().all(|key| *key != scene.old), "the old key was ended");
    assert_eq!(scene.holds("api/api.env").as_deref(), Some(scene.old.as_str()));
    team.nothing_leaked();
}

/// The server is stopped while a driver that stands still has the turn.
fn stopped_while(team: &mut Team, turn: Turn) {
    let goes = thread::spawn(move || {
        thread::sleep(UNDER_WAY);
        drop(turn);
    });
    assert_eq!(team.served.end(Signal::TERM), Some(0));
    goes.join().unwrap();
}

/// The next server needs no approval again, and uses them up.
#[test]
fn approvals_outlive_the_server_until_they_are_used() {
    let mut team = Team::beside_with(1, two);
    let id = team.ready();
    let turn = team.occupied();
    for who in ["ann", "bob"] {
        begun(&team.approve_within(0, who, &id), &id);
    }
    let row = team.rotation(&id);
    assert_eq!(row["state"], "queued", "{row}");
    assert_eq!(row["approvals"], json!({"given": ["ann", "bob"], "of": 2}), "{row}");
    stopped_while(&mut team, turn);
    let scene = &team.served.scene;
    assert_eq!(scene.issuer.deletions(), Vec::<String>::new(), "it had no turn");
    let ledger = scene.state().join("approvals.json");
    assert_ne!(fs::read_to_string(&ledger).unwrap(), "{}");
    team.served.serve();
    team.ended(&id, "done");
    let scene = &team.served.scene;
    assert_eq!(scene.issuer.deletions(), [scene.old.as_str()]);
    wait("they are used up", || fs::read_to_string(&ledger).unwrap() == "{}");
    team.nothing_leaked();
}

/// It is in no journal, so only the next server can say what became of it.
#[test]
fn a_plan_that_waited_while_the_server_ended_says_so() {
    let mut team = Team::beside(1);
    let plan = team.plan("ring");
    let turn = team.occupied();
    let answer = team.apply(&plan);
    assert_eq!(answer.text("state"), "queued", "{answer:?}");
    stopped_while(&mut team, turn);
    team.served.serve();
    let path = format!("/v1/rotations/{plan}");
    wait("it says what became of the plan", || team.ask("vic", "GET", &path, "").text("state") == "refused");
    let answer = team.ask("vic", "GET", &path, "");
    assert!(answer.text("why").contains("the server ended before it began"), "{answer:?}");
    assert_eq!(answer.text("next"), format!("keyroll apply {plan}"), "{answer:?}");
    team.apply(&plan);
    team.waits_for_consent(&plan);
    team.nothing_leaked();
}

/// Two approvals are of two tokens, also where an operator wrote them into the file and their lines have moved.
#[test]
fn a_token_that_moved_to_another_line_approves_once() {
    let team = Team::start(1, two);
    let scene = &team.served.scene;
    for who in ["amy", "bea"] {
        scene.sh(&format!(
            "(printf keyroll_approver_; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'; echo) > {who}.token"
        ));
        team.served.header(who);
    }
    scene.sh("(printf '# by hand\\n'; cat amy.token bea.token) >> admin-token");
    let id = team.held();
    refused(&team.act("otto", &id, "retry"), &[409]);
    paused(&team, &id);
    begun(&team.act("otto", &id, "retry"), &id);
    team.waits_for_consent(&id);
    let given = |answer: &Answer| answer.body["approvals"]["given"].as_array().map(Vec::len);
    let first = team.approve("amy", &id);
    assert_eq!(given(&first), Some(1), "{first:?}");
    // Without the comment, bea has the line and the name that amy had.
    team.served.scene.run(&["token", "new", "cy", "--role", "viewer", "--out", "cy.token"]).exits(0);
    let again = team.approve("amy", &id);
    assert_eq!(given(&again), Some(1), "{again:?}");
    assert_ne!(first.body["approvals"]["given"], again.body["approvals"]["given"], "its line has moved");
    team.is_quiet();
    assert_eq!(team.served.scene.issuer.deletions(), Vec::<String>::new(), "one token approved");
    begun(&team.approve("bea", &id), &id);
    team.ended(&id, "done");
    assert_eq!(team.served.scene.issuer.deletions(), [team.served.scene.old.as_str()]);
    team.nothing_leaked();
}
