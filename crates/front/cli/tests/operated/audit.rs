//! Who asked for what stands in the journal before it is done, and what cannot be recorded there is not done.

use std::fs;
use std::process::Command;

use keyroll_testkit::issuer::Ask;
use serde_json::{Value, json};

use super::team::{Team, begun, refused};
use crate::hostile::scene::Scene;

/// The acts as a command or the API lists them, the oldest first, as `who what about`.
fn told(acts: &[Value]) -> Vec<String> {
    let text = |act: &Value, key: &str| act[key].as_str().unwrap_or("-").to_owned();
    let mut all: Vec<String> = acts
        .iter()
        .map(|act| format!("{} {} {}", text(act, "by"), text(act, "what"), text(act, "about")))
        .collect();
    all.reverse();
    all
}

/// What is recorded about something, or everything.
fn acts(scene: &Scene, about: &str) -> Vec<String> {
    let mut words = vec!["audit", "--all"];
    words.extend((!about.is_empty()).then_some(about));
    let all: Vec<Value> = scene.run(&words).exits(0).of("act").into_iter().cloned().collect();
    told(&all)
}

/// Changes the journal behind keyroll's back.
fn sql(scene: &Scene, text: &str) {
    let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=30); c.execute(sys.argv[2]); c.commit()";
    let journal = scene.state().join("journal.db");
    let done = Command::new("python3").args(["-c", program]).arg(journal).arg(text).status();
    assert!(done.unwrap().success(), "{text}");
}

fn lose_the_journal(scene: &Scene) {
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = fs::rename(scene.state().join(file), scene.path(&format!("log/{file}")));
    }
}

/// Each request and each command that changes something, and nothing that only reads.
#[test]
fn who_asked_for_what_is_in_the_journal() {
    let team = Team::start(2, |_| {});
    let scene = &team.served.scene;
    let id = team.plan("ring");
    team.apply(&id);
    team.waits_for_consent(&id);
    team.ask("vic", "GET", "/v1/history", "");
    scene.run(&["status"]);
    assert_eq!(team.approve("otto", &id).code, 403);
    begun(&team.approve("ann", &id), &id);
    team.ended(&id, "done");
    scene.run(&["incident", "open", "ring"]).exits(0);

    let of_command = scene.run(&["audit", "--all"]);
    let of_command: Vec<Value> = of_command.exits(0).of("act").into_iter().cloned().collect();
    let acts = told(&of_command);
    let at =
        |text: &str| acts.iter().position(|act| act == text).unwrap_or_else(|| panic!("{text}: {acts:?}"));
    let (applied, approved) = (at(&format!("token otto apply {id}")), at(&format!("token ann approve {id}")));
    let resumed = at(&format!("token ann resume {id}"));
    assert!(applied < approved && approved < resumed, "{acts:?}");
    let by_user =
        acts.iter().filter(|act| act.starts_with("user ") && act.contains(" incident open ")).count();
    assert_eq!(by_user, 1, "{acts:?}");
    // The processes of the server record nothing of their own, and reading is nothing that is recorded.
    let others = acts.iter().filter(|act| act.contains(" apply ") || act.contains(" resume ")).count();
    assert_eq!(
        (others, acts.iter().any(|act| act.contains("status") || act.contains("history"))),
        (2, false)
    );
    let consent = of_command.iter().find(|act| act["what"] == "resume").unwrap();
    assert_eq!((&consent["detail"], &consent["secret"]), (&json!("--confirm"), &json!("ring")));
    assert!(consent["id"].as_str().is_some_and(|id| !id.is_empty()), "{consent}");

    let of_api = team.ask("vic", "GET", &format!("/v1/audit?about={id}&all=true"), "");
    let about: Vec<String> = acts.iter().filter(|act| act.ends_with(&id)).cloned().collect();
    assert_eq!((of_api.code, told(of_api.body["acts"].as_array().unwrap())), (200, about));
    let card = scene.run(&["history", &id]);
    let asked = card.exits(0).of("past")[0]["asked"].as_array().unwrap().len();
    assert_eq!(asked, 4, "apply, begin, approve, resume");
    at(&format!("token otto begin {id}"));
    // Who may not approve is recorded as refused.
    let refused: Vec<&Value> = of_command.iter().filter(|act| act["refused"].is_string()).collect();
    assert!(refused.iter().all(|act| act["by"] == "token otto") && !refused.is_empty(), "{refused:?}");
    // Nor can the newest be taken out.
    scene.run(&["incident", "open", "ring"]).exits(0);
    sql(scene, "DROP TRIGGER entries_stay");
    sql(scene, "DELETE FROM entries WHERE entry = (SELECT max(entry) FROM entries)");
    scene.run(&["audit"]).refused(6, "K0604", &[]);
    team.nothing_leaked();
}

/// An emergency has no id when it is asked for, a command at a terminal names a beginning of one, and a waiver is of
/// something: each is found by its rotation and by its secret.
#[test]
fn what_came_of_it_is_found_by_the_rotation_and_by_the_secret() {
    let team = Team::start(1, |_| {});
    let scene = &team.served.scene;
    let plan = scene.plan();
    scene.run(&["apply", &plan[..20], "--until", "probe"]).exits(4);
    // A value in the wrong place has the form of an id.
    let pasted = "6b1d4f0a9c2e8d7735a1b2c3d4e5f607";
    scene.run(&["apply", pasted]).refused(1, "K0805", &[]);
    scene.run(&["resume", pasted]).refused(1, "K0805", &[]);
    let copy = scene.path("stray.env");
    scene.copy("api/api.env", "stray.env");
    scene
        .run(&["consumer", "waive", copy.to_str().unwrap(), "--reason", "a test", "--secret", "ring"])
        .exits(0);
    scene.run(&["abort"]).exits(5);
    let of_rotation = acts(scene, &plan);
    let user = of_rotation.first().unwrap().split(' ').take(2).collect::<Vec<_>>().join(" ");
    let expected: Vec<String> = ["apply", "begin", "consumer waive", "abort"]
        .iter()
        .map(|what| format!("{user} {what} {plan}"))
        .collect();
    assert_eq!(of_rotation, expected);
    let of_secret = acts(scene, "ring");
    assert!(expected.iter().all(|act| of_secret.contains(act)), "{of_secret:?}");
    let all = acts(scene, "").join("\n");
    assert!(!all.contains(&pasted[..8]), "{all}");
    let journal = fs::read(scene.state().join("journal.db")).unwrap();
    assert!(!journal.windows(pasted.len()).any(|part| part == pasted.as_bytes()));

    let answer = team.ask("rex", "POST", "/rotate-secret", r#"{"secret_name":"ring"}"#);
    assert!([200, 202].contains(&answer.code), "{answer:?}");
    let emergency = answer.text("rotation").to_owned();
    assert_eq!(acts(scene, &emergency), [format!("token rex begin {emergency}")]);
    team.is_quiet();
    // A name that nobody has is no secret that nobody touched, and a journal that is gone is not empty.
    scene.run(&["audit", "rung"]).refused(1, "K0805", &["did you mean"]);
    team.nothing_leaked();
    lose_the_journal(scene);
    for command in ["audit", "history", "status"] {
        scene.run(&[command]).refused(6, "K0604", &[]);
    }
}

/// Nothing works but what a person needs on a bad night.
#[test]
fn a_leaked_token_is_revoked_and_an_incident_opened_without_a_journal() {
    let team = Team::start(1, |_| {});
    let scene = &team.served.scene;
    scene.plan();
    lose_the_journal(scene);
    let revoked = scene.run(&["token", "revoke", "vic"]);
    revoked.exits(0).says(&["not recorded"]);
    assert_eq!(team.ask("vic", "GET", "/v1/secrets", "").code, 401);
    scene.run(&["incident", "open", "ring"]).exits(0);
    scene.run(&["emergency", "ring"]).refused(6, "K0604", &[]);
}

/// Acts cannot be written, and nothing else is wrong: nobody can begin, end or give up a rotation.
#[test]
fn what_cannot_be_recorded_is_not_done() {
    let team = Team::start(1, |_| {});
    let scene = &team.served.scene;
    let id = team.plan("ring");
    sql(
        scene,
        "CREATE TRIGGER no_acts BEFORE INSERT ON entries
         WHEN NEW.rotation = (SELECT number FROM rotations WHERE id = 'acts')
         BEGIN SELECT raise(ABORT, 'no acts'); END",
    );
    let before = team.served.scene.issuer.asked(Ask::Mint);
    let answer = team.ask("otto", "POST", "/v1/rotations", &json!({ "plan": id }).to_string());
    refused(&answer, &[503]);
    let emergency = team.ask("rex", "POST", "/rotate-secret", r#"{"secret_name":"ring"}"#);
    refused(&emergency, &[503]);
    let typed = scene.run(&["apply", &id]);
    typed.refused(1, "K0601", &["record in the journal"]);
    assert_eq!(scene.issuer.asked(Ask::Mint), before);
    assert!(scene.run(&["status"]).of("status").is_empty(), "nothing was begun");
    // It works again as soon as it can be recorded, by the same server.
    sql(scene, "DROP TRIGGER no_acts");
    let answer = team.ask("otto", "POST", "/v1/rotations", &json!({ "plan": id }).to_string());
    begun(&answer, &id);
    team.nothing_leaked();
}

/// Red where a waiver, or its withdrawal, is recorded before it is refused: it stands among the acts as if it had been given.
#[test]
fn a_waiver_that_is_refused_is_no_act() {
    let team = Team::start(1, |_| {});
    let scene = &team.served.scene;
    let waivers = || -> Vec<String> {
        acts(scene, "").into_iter().filter(|act| act.contains(" consumer waive")).collect()
    };
    scene.copy("api/api.env", "stray.env");
    let copy = scene.path("stray.env");
    let copy = copy.to_str().unwrap();
    let waive = ["consumer", "waive", "api", "--reason", "a test"];
    scene.run(&waive).refused(1, "K0811", &["no rotation of this secret is open"]);
    let withdraw = ["consumer", "waive", copy, "--withdraw"];
    scene.run(&withdraw).refused(1, "K0811", &["keyroll consumer waivers"]);
    assert_eq!(waivers(), [] as [String; 0]);
    scene.run(&["consumer", "waive", copy, "--reason", "a test"]).exits(0);
    scene.run(&withdraw).exits(0);
    assert_eq!(waivers().len(), 2, "what is done is recorded");
    team.nothing_leaked();
}
