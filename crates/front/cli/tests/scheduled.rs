//! `keyroll serve` begins what is due: in its window, once, and never in the way of an emergency; a server that is
//! stopped or killed in between goes on.

use std::fs;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::{Ask, ResponseFault};
use rustix::process::Signal;
use serde_json::json;

use crate::emergency::served::Served;
use crate::hostile::hand::human;

const STANDING: &str = "rotate_every = \"0s\"\nunattended = true";

/// A secret that is due as soon as it was added, with a standing consent; the server begins what is due.
fn served(schedule: &str) -> Served {
    Served::made(2, STANDING, |config, _| {
        *config = config
            .replace("[secrets.ring.revoke]\n", "[secrets.ring.revoke]\ndecide = \"standing\"\n")
            .replace("[server]\n", "[server]\nrotates_due = true\n");
        *config = format!("{config}\n[schedule]\n{schedule}\n");
    })
}

fn change(served: &Served, from: &str, to: &str) {
    let path = served.scene.path("keyroll.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// What has begun is not due again at once.
fn once(served: &Served) {
    wait("it begins", || served.log().contains("ring: it is due, and its rotation begins"));
    wait("the new key was made", || served.scene.issuer.asked(Ask::Mint) == 1);
    change(served, "rotate_every = \"0s\"", "rotate_every = \"90d\"");
}

#[track_caller]
fn rotated_once(served: &Served) {
    wait("it has ended", || {
        served.scene.issuer.deletions() == [served.scene.old.clone()] && served.drivers().is_empty()
    });
    served.scene.rotated();
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1);
    let past = served.scene.run(&["history", "ring"]);
    past.exits(0);
    let ended: Vec<_> = past.of("past").iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(ended, [json!("done")], "{}", past.text);
    assert_eq!(fs::read_to_string(served.scene.path("log/refused")).unwrap(), "", "calls that failed");
}

/// The days of the week in UTC that are neither yesterday, today nor tomorrow.
fn another_day() -> String {
    let mut date = std::process::Command::new("date");
    let output = date.args(["-u", "-d", "+3 days", "+%a"]).env("LC_ALL", "C").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_is_due_begins_by_itself_in_its_window() {
    let day = another_day();
    let mut served = served(&format!("window = \"{day} 00:00-24:00 UTC\""));
    served.serve();
    let held = "ring: it is due, and held back: its window opens";
    wait("it is held back", || served.log().contains(held));
    // At a terminal the same window holds.
    let due = served.scene.run(&["due"]);
    due.exits(3);
    assert!(due.of("due")[0]["shut"].as_str().unwrap().starts_with("its window opens"), "{}", due.text);
    served.scene.run(&["due", "--apply"]).exits(0).says(&["was not begun: its window opens"]);
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 0, "nothing was begun");
    // A zone that is unknown is never open.
    change(&served, " UTC\"", " Mars/Olympus\"");
    wait("the zone is unknown", || served.log().contains("does not know the time zone Mars/Olympus"));
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 0, "nothing was begun");
    change(&served, &format!("window = \"{day} 00:00-24:00 Mars/Olympus\""), "window = [\"any\"]");
    once(&served);
    rotated_once(&served);
    assert_eq!(served.log().matches(held).count(), 1, "said once");
}

#[test]
fn a_server_that_is_stopped_or_killed_goes_on_with_what_was_due() {
    for signal in [Signal::TERM, Signal::KILL] {
        let mut served = served("");
        // The new key is not accepted yet.
        served.scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 0);
        served.serve();
        once(&served);
        served.scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 9_999);
        // A key whose value did not arrive would be deleted and made anew.
        wait("the new key has arrived", || {
            let status = served.scene.run(&["status"]);
            status
                .of("status")
                .iter()
                .any(|row| ["stage", "probe"].iter().any(|phase| row["phase"] == *phase))
        });
        let drivers = served.drivers();
        served.end(signal);
        if signal == Signal::KILL {
            drivers.into_iter().for_each(|driver| served.kill(driver));
        }
        served.scene.issuer.calm();
        // What has begun goes on, whatever begins in future.
        change(&served, "rotates_due = true", "rotates_due = false");
        served.serve();
        rotated_once(&served);
        assert!(served.log().contains("ring: going on with rotation"), "{}", served.log());
    }
}

#[test]
fn an_emergency_takes_what_is_due_along() {
    let mut served = served("");
    served.serve();
    once(&served);
    served.scene.issuer.mood(Ask::Me, ResponseFault::TooMany, 9_999);
    let asked = served.post(br#"{"secret_name":"ring"}"#, &["-H", "Prefer: wait=1"]);
    assert!(matches!(asked.code, 200 | 202 | 503), "{asked:?}");
    served.scene.issuer.calm();
    rotated_once(&served);
    let past = served.scene.run(&["history", "ring"]);
    assert!(past.of("past")[0]["emergency"].is_object(), "{}", past.text);
    let log = served.log();
    assert!(!log.contains("could not"), "the driver of what was due has ended without a word: {log}");
}

/// A plan only reads: no emergency waits for it.
#[test]
fn an_emergency_does_not_wait_for_a_plan() {
    let mut served = Served::made(1, STANDING, |config, spec| {
        *config = config
            .replace("[secrets.ring.revoke]\n", "[secrets.ring.revoke]\ndecide = \"standing\"\n")
            .replace("[server]\n", "[server]\nrotates_due = true\n");
        let patient = spec.replace("\"1s\"", "\"2m\"");
        assert_ne!(patient, *spec, "its time limit");
        *spec = patient;
    });
    // One request is never answered.
    served.scene.issuer.mood(Ask::List, ResponseFault::Silence, 1);
    let asked = served.scene.issuer.asked(Ask::List);
    served.serve();
    wait("it is planned", || served.scene.issuer.asked(Ask::List) > asked);
    let planned = served.drivers();
    change(&served, "rotate_every = \"0s\"", "rotate_every = \"90d\"");
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| served.post(br#"{"secret_name":"ring"}"#, &["-H", "Prefer: wait=90"]));
        // While the plan of what was due would wait on.
        wait("the emergency is driven", || served.drivers().iter().any(|pid| !planned.contains(pid)));
        asked.join().unwrap()
    });
    assert_eq!((asked.code, asked.text("status")), (200, "rotated"), "{asked:?}");
    wait("its driver waits for consent, or has ended", || served.drivers().is_empty());
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1);
    // Making way is no failure.
    assert!(!served.scene.state().join("scheduled.json").exists());
}

/// A step at the issuer's console is no work for a driver.
#[test]
fn what_waits_for_the_console_is_not_driven_again() {
    let mut served = Served::made(1, STANDING, |config, spec| {
        human(spec);
        *config = config
            .replace("[secrets.ring.revoke]\n", "[secrets.ring.revoke]\ndecide = \"standing\"\n")
            .replace("[server]\n", "[server]\nrotates_due = true\n");
    });
    served.serve();
    wait("it waits for the new key", || {
        let due = served.scene.run(&["due"]);
        due.of("due")[0]["stands_still"].as_str().is_some_and(|why| why.contains("console"))
    });
    wait("its driver has ended", || served.drivers().is_empty());
    served.scene.run(&["due", "--apply"]).refused(6, "K0854", &["make the new key at the issuer's console"]);
    assert_eq!(served.log().matches("its rotation begins").count(), 1, "{}", served.log());
}

/// What was rolled back is not tried again at once, and what could not begin is tried again later; both say so.
#[test]
fn what_fails_is_not_tried_again_and_again() {
    let mut served = served("");
    // It cannot begin.
    let admin = fs::read_to_string(served.scene.path("admin.key")).unwrap();
    fs::remove_file(served.scene.path("admin.key")).unwrap();
    served.serve();
    wait("it could not begin", || served.log().contains("it could not begin, and is tried again at"));
    let due = served.scene.run(&["due"]);
    let row = &due.of("due")[0];
    assert!(row["failed"]["why"].as_str().unwrap().contains("admin.key"), "{}", due.text);
    assert!(row["failed"]["again"].as_str().unwrap() > row["failed"]["at"].as_str().unwrap(), "{}", due.text);
    assert_eq!(served.log().matches("its rotation begins").count(), 1, "{}", served.log());
    served.end(Signal::TERM);
    served.put("admin.key", &admin);
    // An operator takes it back while it is driven.
    fs::remove_file(served.scene.state().join("scheduled.json")).unwrap();
    served.serve();
    wait("the new key was made", || served.scene.issuer.asked(Ask::Mint) == 1);
    served.scene.run(&["abort"]).ended("rolled_back");
    wait("it is not begun again", || served.log().contains("was rolled back; another one begins after"));
    assert_eq!(served.log().matches("its rotation begins").count(), 1, "{}", served.log());
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1, "no second key");
    served.scene.as_before();
}

/// Without a standing consent nothing begins.
#[test]
fn what_needs_a_consent_waits_for_a_person() {
    let mut served = Served::made(1, "rotate_every = \"0s\"\nowner = \"team-payments\"", |config, _| {
        *config = config.replace("[server]\n", "[server]\nrotates_due = true\n");
        config.push_str("\n[server.notices.team]\nwebhook = \"file:./hook.url\"\n");
    });
    served.put("hook.url", "http://127.0.0.1:9/none\n");
    served.serve();
    wait("it is noticed", || served.log().contains("could not be sent to team"));
    assert!(!served.log().contains("its rotation begins"), "{}", served.log());
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 0, "nothing was begun");
    let due = served.scene.run(&["due", "ring"]);
    due.exits(3);
    assert_eq!(due.of("due")[0]["owner"], "team-payments");
    served.scene.run(&["due", "rin"]).refused(1, "K0805", &["ring"]);
}
