//! An alert becomes a dead key: by real curl, from each source, and at a terminal; and what only looks like an alert
//! changes nothing.

mod by_hand;
mod forged;
mod sent;
mod sources;

use std::fs;
use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::{Ask, Moment, ResponseFault};
use rustix::process::Signal;
use serde_json::json;
use zeroize::Zeroizing;

use sent::{Sent, incidents, now_s, only};

/// The whole way: the stored value in an alert, nobody at a terminal, and the key is dead; no call of a consumer failed.
#[test]
fn an_alert_with_the_stored_value_becomes_a_dead_key() {
    let sent = Sent::start(3, "emergency_revoke = true");
    let scene = &sent.served.scene;
    let old = scene.held("api/api.env");
    let alert =
        json!({"type": "acme key", "value": old.as_str(), "url": "https://git.example/leak", "id": "1"});
    let answer = sent.generic(&alert);
    assert_eq!(answer.code, 202, "{answer:?}");
    let entry = &answer.body["incidents"][0];
    assert_eq!((&entry["state"], &entry["new"]), (&json!("acts"), &json!(true)), "{answer:?}");
    assert!(!answer.body.to_string().contains("ring"), "no names for the sender: {answer:?}");
    let id = entry["incident"].as_str().unwrap().to_owned();
    sent.dead();
    let row = only(scene);
    for (key, value) in [("id", json!(id)), ("state", json!("contained")), ("version", json!(1))] {
        assert_eq!(row[key], value, "{row}");
    }
    assert!(row["dead"].as_str().is_some_and(|at| at.ends_with('Z')), "{row}");
    assert_eq!(row["places"], json!(["https://git.example/leak"]));
    for name in sent.served.consumers() {
        assert_ne!(scene.holds(&format!("{name}/api.env")).as_deref(), Some(scene.old.as_str()), "{name}");
    }
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "calls that failed");
    // The same alert again, and another one of the same key, change nothing.
    for again in ["1", "2"] {
        let alert = json!({"type": "acme key", "value": old.as_str(), "id": again});
        let answer = sent.generic(&alert);
        assert_eq!((answer.code, &answer.body["incidents"][0]["incident"]), (202, &json!(id)), "{answer:?}");
        assert_ne!(answer.body["incidents"][0]["state"], "acts");
    }
    assert_eq!(scene.issuer.asked(Ask::Mint), 1);
    let report = scene.run(&["incident", "report", &id]);
    let report = report.exits(0).of("report")[0];
    let clock = report["clock"].as_array().unwrap();
    assert_eq!(clock.len(), 5);
    assert!(
        clock.iter().all(|step| step["after_s"].is_number() && step["runbook_min"].is_number()),
        "{report}"
    );
    assert_eq!(report["exposure"]["dead"], row["dead"]);
    sent.served.nothing_leaked(&[&old]);
}

/// A flood of alerts moves a secret once: the next stored value that leaks within the day waits for a person.
#[test]
fn alerts_begin_no_more_emergencies_than_the_secret_allows() {
    let sent = Sent::start(1, "emergency_revoke = true");
    let scene = &sent.served.scene;
    for (number, state) in [(1, "acts"), (2, "open"), (3, "open")] {
        let value = scene.held("api/api.env");
        let answer = sent.generic(&json!({"type": "acme key", "value": value.as_str(), "id": number}));
        assert_eq!(answer.body["incidents"][0]["state"], state, "{number}: {answer:?}");
        wait("the first leaked key is dead", || scene.issuer.deletions().len() == 1);
        wait("the driver has ended", || sent.served.drivers().is_empty());
    }
    assert_eq!((scene.issuer.asked(Ask::Mint), scene.issuer.deletions().len()), (1, 1));
    let row = &incidents(scene, &[])[0];
    assert_eq!(sent.served.status()["incidents"][0]["id"], row["id"], "also for who has only curl");
    assert!(row["why"].as_str().unwrap().contains("emergencies_per_day"), "{row}");
    // A person goes on with the command that it names.
    let assess = row["next"].as_str().unwrap().to_owned();
    assert_eq!(assess, format!("keyroll incident assess {}", row["id"].as_str().unwrap()));
    let id = row["id"].as_str().unwrap();
    scene.run(&["incident", "contain", id, "--roll-first"]).exits(0).ended("done");
    assert_eq!(scene.issuer.deletions().len(), 2);
    assert!(incidents(scene, &[]).is_empty(), "{:?}", incidents(scene, &[]));
}

/// The server is killed after it has answered, in the moment in which the issuer has made the new key and not said so: the
/// next one goes on, and no key is left over.
#[test]
fn a_server_that_is_killed_after_the_answer_goes_on() {
    let mut sent = Sent::start(2, "emergency_revoke = true");
    let old = sent.served.scene.held("api/api.env");
    let (made, is_made) = mpsc::channel();
    let tell = move || made.send(()).unwrap();
    sent.served.scene.issuer.trap(Ask::Mint, Moment::After, |_| true, tell);
    let answer = sent.generic(&json!({"type": "acme key", "value": old.as_str()}));
    assert_eq!(answer.body["incidents"][0]["state"], "acts", "{answer:?}");
    is_made.recv_timeout(Duration::from_secs(100)).expect("a new key is made");
    let drivers = sent.served.drivers();
    sent.served.end(Signal::KILL);
    drivers.iter().for_each(|pid| sent.served.kill(*pid));
    wait("the driver has ended", || drivers.iter().all(|pid| !crate::emergency::served::runs(*pid)));
    sent.served.serve();
    let scene = &sent.served.scene;
    wait("the leaked key is dead", || scene.issuer.keys().iter().all(|key| key.id != scene.old));
    wait("the driver has ended", || sent.served.drivers().is_empty());
    assert_eq!(only(scene)["state"], "contained");
    // Nobody got the first new key: it was ended, or it is the one that is used.
    let used = scene.issuer.whose(scene.held("api/api.env").as_bytes()).expect("a key of the issuer");
    assert_eq!(scene.issuer.keys().into_iter().map(|key| key.id).collect::<Vec<_>>(), [used]);
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "calls that failed");
}

/// The alert was answered and counted, and the server ended before anything began: the next one begins it, once.
#[test]
fn an_emergency_that_was_answered_and_not_begun_begins_at_the_next_start() {
    let mut sent = Sent::start(1, "emergency_revoke = true");
    sent.served.end(Signal::KILL);
    let old = sent.served.scene.held("api/api.env");
    // As the server's own process for an alert does it.
    let alert = Zeroizing::new(json!({"type": "acme key", "value": old.as_str(), "id": "1"}).to_string());
    let words = ["incident", "open", "--from", "generic", "--reserve"];
    let ran = sent.served.scene.fed(&words, &alert);
    assert_eq!(ran.exits(0).of("incident")[0]["acts"], true, "{}", ran.text());
    assert!(sent.served.scene.run(&["status"]).of("status").is_empty());
    sent.served.serve();
    sent.contained_once();
}

/// The sender goes away while its alert is read, or the emergency fails at once: the same alert again begins it.
#[test]
fn a_counted_emergency_that_did_not_begin_is_begun_by_the_same_alert() {
    let sent = Sent::start(1, "emergency_revoke = true");
    let scene = &sent.served.scene;
    let old = scene.held("api/api.env");
    let restart = scene.path("restart.sh");
    fs::rename(&restart, scene.path("restart.away")).unwrap();
    let alert = json!({"type": "acme key", "value": old.as_str(), "id": "1"});
    assert_eq!(sent.generic(&alert).body["incidents"][0]["state"], "acts");
    wait("it says why", || only(scene)["why"].is_string());
    wait("the driver has ended", || sent.served.drivers().is_empty());
    let row = only(scene);
    assert_eq!(row["state"], "open", "{row}");
    assert!(row["why"].as_str().unwrap().contains("restart.sh"), "the person reads why: {row}");
    fs::rename(scene.path("restart.away"), &restart).unwrap();
    // The sender goes away as soon as a process reads its alert.
    let body = alert.to_string();
    let mut words = vec!["-X".to_owned(), "POST".to_owned(), "--data-binary".to_owned(), "@-".to_owned()];
    for header in sent.signed(now_s(), body.as_bytes(), "msg_2") {
        words.extend(["-H".to_owned(), header]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut curl = sent.served.begin("/alerts/generic", &words);
    curl.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    wait("a process reads the alert", || !sent.served.drivers().is_empty());
    curl.kill().unwrap();
    curl.wait().unwrap();
    sent.contained_once();
}

/// What an operator did since is not overruled by the next start, and neither is a limit that was lowered.
#[test]
fn an_emergency_that_was_not_begun_is_not_begun_against_an_operator() {
    let mut sent = Sent::start(1, "emergencies_per_day = 1");
    sent.served.end(Signal::KILL);
    let scene = &sent.served.scene;
    let old = scene.held("api/api.env");
    let alert = Zeroizing::new(json!({"type": "acme key", "value": old.as_str(), "id": "1"}).to_string());
    let reserved = || scene.fed(&["incident", "open", "--from", "generic", "--reserve"], &alert);
    assert_eq!(reserved().of("incident")[0]["acts"], true);
    let config = fs::read_to_string(scene.path("keyroll.toml")).unwrap();
    let with = |limit: &str| {
        let text = config.replace("emergencies_per_day = 1", &format!("emergencies_per_day = {limit}"));
        fs::write(scene.path("keyroll.toml"), text).unwrap();
    };
    with("0");
    assert_eq!(reserved().of("incident")[0].get("acts"), None, "the limit is nothing");
    let id = only(scene)["id"].as_str().unwrap().to_owned();
    let by_alert = ["incident", "contain", &id, "--roll-first", "--by-alert"];
    scene.run(&by_alert).exits(6).says(&["nothing was begun", "emergencies_per_day = 0"]);
    with("1");
    // A rotation that an operator took back since.
    scene.until("disable");
    scene.run(&["abort"]).exits(5);
    scene.run(&by_alert).exits(6).says(&["nothing was begun"]);
    sent.served.serve();
    // The server looks at once; an alert that comes behind it shows that it has looked.
    assert_eq!(sent.generic(&json!({"type": "other", "value": "some-value-of-another"})).code, 202);
    let scene = &sent.served.scene;
    assert!(sent.served.drivers().is_empty(), "{}", sent.served.log());
    assert!(!sent.served.log().contains("the emergency begins"), "{}", sent.served.log());
    scene.as_before();
    assert_eq!(scene.issuer.asked(Ask::Mint), 1, "the operator's own");
}

/// The issuer does not answer when the alert comes: the next start tries again.
#[test]
fn a_silent_issuer_does_not_lose_the_emergency() {
    let mut sent = Sent::start(1, "emergency_revoke = true");
    let old = sent.served.scene.held("api/api.env");
    sent.served.scene.issuer.mood(Ask::List, ResponseFault::Silence, 1_000);
    let answer = sent.generic(&json!({"type": "acme key", "value": old.as_str(), "id": "1"}));
    assert_eq!(answer.body["incidents"][0]["state"], "acts");
    wait("it says why", || only(&sent.served.scene)["why"].is_string());
    wait("the driver has ended", || sent.served.drivers().is_empty());
    assert_eq!(only(&sent.served.scene)["state"], "open");
    sent.served.end(Signal::TERM);
    sent.served.scene.issuer.calm();
    sent.served.serve();
    sent.contained_once();
}

/// A key that only a person can make: the alert waits for it, and the endpoint takes it.
#[test]
fn a_key_that_a_person_must_make_is_waited_for() {
    let sent = Sent::by_hand(1, "emergency_revoke = true");
    let scene = &sent.served.scene;
    let old = scene.held("api/api.env");
    let answer = sent.generic(&json!({"type": "acme key", "value": old.as_str()}));
    assert_eq!(answer.body["incidents"][0]["state"], "open", "{answer:?}");
    let row = only(scene);
    assert!(row["why"].as_str().unwrap().contains("a person must bring one"), "{row}");
    assert!(scene.issuer.deletions().is_empty());
    let (_, value) = scene.issuer.mint("made at the console");
    let answer = sent.served.rotate("ring", &value, &["-H", "Prefer: wait=90"]);
    assert_eq!((answer.code, answer.text("old_key")), (200, "dead"), "{answer:?}");
    assert_eq!(only(scene)["state"], "contained");
}

/// The configuration does not consent: everybody is moved, and the incident says what is left.
#[test]
fn without_consent_the_old_key_waits_and_the_incident_says_so() {
    let sent = Sent::start(1, "");
    let scene = &sent.served.scene;
    let old = scene.held("api/api.env");
    sent.generic(&json!({"type": "acme key", "value": old.as_str()}));
    wait("it waits for consent", || only(scene)["state"] == "waiting" && sent.served.drivers().is_empty());
    let row = only(scene);
    let rotation = row["rotation"].as_str().unwrap();
    assert_eq!(row["next"], format!("keyroll resume {rotation} --confirm=ring"), "{row}");
    assert!(scene.issuer.deletions().is_empty());
    scene.run(&["resume", rotation, "--confirm=ring"]).exits(0).ended("done");
    assert_eq!(only(scene)["state"], "contained");
}
