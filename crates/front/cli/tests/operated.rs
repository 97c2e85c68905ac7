//! Operators and approvers work by the server: real curl, each with a token of its own role. Nobody revokes a key alone
//! who may not, and nothing is begun by a request that was refused.

mod audit;
mod bodies;
mod disturbed;
mod events;
mod openapi;
mod remote;
mod roles;
mod team;

use std::fs;
use std::thread;
use std::time::Duration;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::Ask;
use rustix::process::Signal;
use serde_json::{Value, json};

use team::{Team, begun, refused};

/// How long a request is under way at most before it asks a driver to pause.
const UNDER_WAY: Duration = Duration::from_millis(500);
/// Long enough for a server to look again at what it could go on with.
const LOOKS_AGAIN: Duration = Duration::from_millis(2_500);

/// The lists of the API, as the viewer reads them.
#[track_caller]
fn list(team: &Team, path: &str, key: &str) -> Vec<Value> {
    let answer = team.ask("vic", "GET", path, "");
    assert_eq!(answer.code, 200, "{path} {answer:?}");
    answer.body[key].as_array().unwrap_or_else(|| panic!("{path} has no {key}: {answer:?}")).clone()
}

/// From the plan to the dead key, without a failed call: the operator begins it and cannot end the key, the approver
/// ends it and could not begin.
#[test]
fn an_operator_rotates_and_an_approver_consents() {
    let team = Team::start(2, |_| {});
    let scene = &team.served.scene;
    assert_eq!(list(&team, "/v1/rotations", "rotations"), Vec::<Value>::new());
    let secrets = list(&team, "/v1/secrets", "secrets");
    assert_eq!((secrets.len(), &secrets[0]["name"]), (1, &json!("ring")), "{secrets:?}");
    let body = r#"{"secret":"ring"}"#;
    refused(&team.ask("ann", "POST", "/v1/plans", body), &[403]);
    let plan = team.ask("otto", "POST", "/v1/plans", body);
    assert_eq!(plan.code, 201, "{plan:?}");
    for key in ["steps", "downtimes"] {
        assert!(plan.body[key].as_array().is_some_and(|all| !all.is_empty()), "{key}: {plan:?}");
    }
    assert!(plan.body["least_s"].is_u64() && plan.body["away"].is_array(), "{plan:?}");
    assert_eq!(scene.issuer.asked(Ask::Mint), 0, "a plan changes nothing");
    let id = plan.text("id");
    team.apply(id);
    let row = team.waits_for_consent(id);
    assert_eq!(row["status"]["moved"], 2, "{row}");
    assert_eq!(row["approvals"], json!({"given": [], "of": 1}), "{row}");
    assert!(row["next"].as_str().is_some_and(|next| !next.is_empty()), "{row}");
    for name in team.served.consumers() {
        let its = scene.holds(&format!("{name}/api.env"));
        assert!(its.is_some_and(|key| key != scene.old), "{name} is on the new key");
    }
    // The beginning of an id is enough, as at the terminal.
    let short = team.ask("vic", "GET", &format!("/v1/rotations/{}", &id[..id.len() - 1]), "");
    assert_eq!((short.code, short.text("rotation")), (200, id), "{short:?}");
    assert_eq!(list(&team, "/v1/rotations", "rotations")[0]["rotation"], id);
    // Whoever began it cannot consent, and neither can one who only reads, nor the wrong name.
    for who in ["otto", "vic", "rex"] {
        let answer = team.approve(who, id);
        refused(&answer, &[403]);
        let why = answer.text("detail");
        assert!(why.contains(who) && why.contains("approver"), "{answer:?}");
    }
    let path = format!("/v1/rotations/{id}/approve");
    refused(&team.ask("ann", "POST", &path, r#"{"secret":"rung"}"#), &[422]);
    refused(&team.ask("ann", "POST", &path, r#"{"secret":"ring","force":true}"#), &[400]);
    refused(&team.ask("ann", "POST", &path, ""), &[400]);
    thread::sleep(UNDER_WAY);
    assert_eq!(scene.issuer.deletions(), Vec::<String>::new(), "nobody consented");
    assert_eq!(team.served.drivers(), Vec::<u32>::new(), "nobody consented");
    begun(&team.approve("ann", id), id);
    team.ended(id, "done");
    assert_eq!(scene.issuer.deletions(), [scene.old.as_str()]);
    scene.rotated();
    assert_eq!(scene.issuer.asked(Ask::Mint), 1);
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "calls that failed");
    assert_eq!(scene.issuer.refused_workers(), Vec::<String>::new(), "calls that failed");
    // What has ended is not gone on with, and stands in the history.
    refused(&team.approve("ann", id), &[409]);
    for what in ["resume", "retry", "pause", "abort"] {
        refused(&team.act("otto", id, what), &[409]);
    }
    let past = list(&team, "/v1/history?about=ring", "rotations");
    assert_eq!((past.len(), &past[0]["id"]), (1, &json!(id)), "{past:?}");
    assert_eq!(past[0]["outcome"], "done", "{past:?}");
    refused(&team.ask("vic", "GET", "/v1/history?about=nobody", ""), &[404]);
    refused(&team.ask("vic", "GET", "/v1/history?abuot=ring", ""), &[400]);
    assert_eq!(list(&team, "/v1/due", "secrets"), Vec::<Value>::new());
    assert_eq!(list(&team, "/v1/incidents", "incidents"), Vec::<Value>::new());
    // Who did what is in the log.
    let log = team.served.log();
    assert!(log.contains(&format!("ring: asked to apply the plan {id}, by the token otto")), "{log}");
    assert!(log.lines().any(|line| line.contains("ring") && line.contains("ann")), "{log}");
    team.nothing_leaked();
}

/// The operator pauses the rotation while its consumer is being restarted.
#[track_caller]
fn paused(team: &Team, id: &str) {
    let answer = thread::scope(|scope| {
        let pause = scope.spawn(|| team.act("otto", id, "pause"));
        thread::sleep(UNDER_WAY);
        team.go();
        pause.join().unwrap()
    });
    begun(&answer, id);
    team.until(id, "it is paused", |row| {
        row["state"] == "waiting" && row["why"].as_str().is_some_and(|why| why.contains("asked to pause"))
    });
}

/// With `approvals = 2` one token does not revoke, however often it is sent, and a waiver that nobody of them saw makes
/// them begin anew. Before that, a pause is kept until somebody resumes.
#[test]
fn two_persons_consent_and_a_pause_is_kept() {
    let two = |config: &mut String| *config = config.replace("[server]\n", "[server]\napprovals = 2\n");
    let mut team = Team::start(1, two);
    let id = team.held();
    paused(&team, &id);
    team.is_quiet();
    thread::sleep(LOOKS_AGAIN);
    assert_eq!(team.rotation(&id)["state"], "waiting", "nobody resumed it");
    // It waits for a person, and not for consent.
    refused(&team.approve("ann", &id), &[409]);
    begun(&team.act("otto", &id, "resume"), &id);
    team.waits_for_consent(&id);
    let given = |team: &Team, names: &[&str]| {
        team.is_quiet();
        assert_eq!(team.served.scene.issuer.deletions(), Vec::<String>::new(), "{names:?} are not enough");
        let row = team.rotation(&id);
        assert_eq!(row["approvals"], json!({"given": names, "of": 2}), "{row}");
        assert_eq!(row["state"], "waiting", "{row}");
    };
    given(&team, &[]);
    for _ in 0..2 {
        let answer = team.approve("ann", &id);
        begun(&answer, &id);
        assert_eq!(answer.body["approvals"]["given"], json!(["ann"]), "{answer:?}");
        given(&team, &["ann"]);
    }
    // What one approved was without this waiver.
    team.served.scene.sh("echo nothing > also/note.txt");
    team.served.scene.run(&["consumer", "waive", "also/note.txt", "--reason", "a decoy"]).exits(0);
    let answer = team.approve("bob", &id);
    begun(&answer, &id);
    assert_eq!(answer.body["approvals"]["given"], json!(["bob"]), "{answer:?}");
    given(&team, &["bob"]);
    // What was approved is not lost with the server.
    team.served.end(Signal::KILL);
    team.served.serve();
    given(&team, &["bob"]);
    begun(&team.approve("ann", &id), &id);
    team.ended(&id, "done");
    assert_eq!(team.served.scene.issuer.deletions(), [team.served.scene.old.as_str()]);
    team.served.scene.rotated();
    let log = team.served.log();
    let both = |line: &str| line.contains("ann") && line.contains("bob");
    assert!(log.lines().any(both), "both stand in the log: {log}");
    team.nothing_leaked();
}

/// What a command at the terminal records in the rotation that the server drives takes it from the server, as a pause does.
#[test]
fn a_waiver_at_the_terminal_ends_the_driver_of_the_server() {
    let team = Team::start(1, |_| {});
    let scene = &team.served.scene;
    let id = scene.until("quiesce");
    scene.end_api();
    begun(&team.within(1, "otto", "POST", &format!("/v1/rotations/{id}/resume"), ""), &id);
    let driver = || team.served.drivers().first().map(u32::to_string);
    wait("its driver has the lock", || driver() == Some(scene.lock_holder()));
    let ended = format!(
        "process {} drove rotation {id} and has ended for this; to continue: keyroll resume {id}; keyroll serve",
        scene.lock_holder()
    );
    scene.run(&["consumer", "waive", "api", "--reason", "its machine is gone"]).exits(0).says(&[&ended]);
    team.until(&id, "it is paused", |row| {
        row["state"] == "waiting" && row["why"].as_str().is_some_and(|why| why.contains("asked to pause"))
    });
    team.is_quiet();
    thread::sleep(LOOKS_AGAIN);
    assert_eq!(team.rotation(&id)["state"], "waiting", "nobody resumed it");
    begun(&team.act("otto", &id, "resume"), &id);
    team.waits_for_consent(&id);
    begun(&team.approve("ann", &id), &id);
    team.ended(&id, "done");
    assert_eq!(scene.issuer.deletions(), [scene.old.as_str()]);
    team.nothing_leaked();
}
