//! Leaks on hosts: what is found there, and what is decided here.

use std::collections::BTreeSet;
use std::fs;

use keyroll_testkit::command::Ran;
use serde_json::Value;

use super::scene::{Fleet, OWN, wish};
use super::secrecy::{LEAKS, MAKE_STORED, recorded, store};

/// Puts the value of a file where it does not belong: a log, a document, an archive, the journal.
const SPREAD: &str = "mkdir -p /srv/app; printf 'login with %s failed\\n' \"$(cat @)\" >/srv/app/app.log; \
    printf 'token: %s\\n' \"$(base64 -w0 <@)\" >/srv/app/job.yaml; cp /srv/app/app.log /srv/app/in.log; \
    tar -C /srv/app -czf /srv/app/backup.tar.gz in.log; rm /srv/app/in.log; \
    { cat @; echo; } | systemd-cat -t app";

/// A finding: the host, the secret or the kind, the state, the place, and the encoding.
fn leaks(ran: &Ran) -> BTreeSet<(String, String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |leak: &Value| {
        assert_eq!(leak["host"], leak["place"]["host"], "{leak}");
        let inside = leak["place"]["inside"].as_array().map(|all| format!(" {}", text(&all[0])));
        let place =
            text(&leak["place"]["path"]) + &text(&leak["place"]["source"]) + &inside.unwrap_or_default();
        (text(&leak["host"]), text(&leak["rule"]), text(&leak["state"]), place, text(&leak["form"]))
    };
    ran.of("leak").into_iter().map(row).collect()
}

fn row(host: &str, rule: &str, place: &str, form: &str) -> (String, String, String, String, String) {
    let state = if rule == "acme" { "live" } else { "unknown" };
    (host.to_owned(), rule.to_owned(), state.to_owned(), place.to_owned(), form.to_owned())
}

fn scanned(ran: &Ran) -> Value {
    ran.of("leaks").pop().unwrap_or_else(|| panic!("no sum: {}", ran.text))["hosts"].clone()
}

#[test]
fn leaks_of_each_host_are_shown_and_no_value_and_no_name_goes_over_ssh() {
    let Some(fleet) = Fleet::raise("leaks on hosts", &[wish("web-1"), wish("web-2")]) else { return };
    let value = fleet.shared("value");
    fleet.run("web-1", &MAKE_STORED.replace('@', &value));
    fleet.run("web-1", &SPREAD.replace('@', &value));
    // What the kernel shows is not read.
    fleet.run("web-1", "mkdir /srv/app/proc; mount --bind /proc /srv/app/proc");
    fleet.worker("web-2", OWN);
    store(&fleet, &value);
    fleet.run("web-1", &format!("mv {value} {OWN}"));
    fleet.keyroll(&["hosts", "check"]).exits(0);

    let found = recorded(&fleet, &["leaks", "/srv", "--host", "web-*"]);
    found.exits(3);
    let openai = found.of("leak").into_iter().find(|leak| leak["host"] == "web-2").unwrap()["rule"].clone();
    let expected = BTreeSet::from([
        row("web-1", "acme", "/srv/app/app.log", ""),
        row("web-1", "acme", "/srv/app/job.yaml", "base64"),
        row("web-1", "acme", "/srv/app/backup.tar.gz in.log", ""),
        row("web-2", openai.as_str().unwrap(), "/srv/api/api.env", ""),
    ]);
    assert_eq!(leaks(&found), expected, "{}", found.text);
    assert!(found.of("leak").iter().all(|leak| leak["rule"] != "acme" || leak["version"] == 1));
    assert_eq!(scanned(&found), serde_json::json!(["web-1", "web-2"]));
    assert_eq!(found.of("leaks")[0]["passed_over"]["kernel"], 1);
    // A keyroll inside of the host finds the same kinds in the same places.
    let inside = fleet.inside("web-2", &["leaks", "/srv"]);
    let of = |ran: &Ran, key: &str| -> Vec<Value> {
        let here = ran.of("leak").into_iter().filter(|leak| leak["host"] != "web-1");
        here.map(|leak| leak[key].clone()).collect()
    };
    for key in ["rule", "title", "variable", "provider"] {
        assert_eq!(of(&found, key), of(&inside, key));
    }

    let journal = recorded(&fleet, &["leaks", "--journal=-1hours", "--known", "--host", "web-1"]);
    journal.exits(3);
    let places: Vec<_> = leaks(&journal).into_iter().map(|one| (one.0, one.1)).collect();
    assert_eq!(places, [("web-1".to_owned(), "acme".to_owned())], "{}", journal.text);
    // The worker gets the stored value.
    fleet.worker("web-1", OWN);
    let pid = fleet.run("web-1", "systemctl show -p MainPID --value api");
    let memory = recorded(&fleet, &["leaks", "--pid", &pid, "--known", "--host", "web-1"]);
    memory.exits(3);
    let places: BTreeSet<_> = leaks(&memory).into_iter().map(|one| (one.0, one.1)).collect();
    assert_eq!(places, BTreeSet::from([("web-1".to_owned(), "acme".to_owned())]), "{}", memory.text);

    let shared = fleet.root().join("shared").display().to_string();
    let seen = fleet.run("web-1", &format!("grep -alF /srv/app/job.yaml {shared}/*.down | wc -l"));
    assert_ne!(seen, "0", "the frames are not read");
    assert_eq!(fleet.run("web-1", &LEAKS.replace('@', &shared)), "0");
    assert_eq!(fleet.run("web-1", &LEAKS.replace('@', "/srv/app")), "2");
    for path in fleet.records("up") {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"acme"), "{} names the secret", path.display());
    }
}

#[test]
fn what_is_accepted_here_is_accepted_on_hosts_and_a_value_that_works_never_is() {
    let Some(fleet) = Fleet::raise("accepted leaks of hosts", &[wish("web-1")]) else { return };
    let value = fleet.shared("value");
    fleet.run("web-1", &MAKE_STORED.replace('@', &value));
    // A folder that both machines have.
    fleet.run("web-1", &SPREAD.replace("/srv/app", &fleet.shared("app")).replace('@', &value));
    fleet.worker("web-1", OWN);
    let app = fleet.shared("app");
    fleet.run("web-1", &format!("cp /srv/api/api.env {app}/api.env; chmod -R a+rX {app}"));
    store(&fleet, &value);
    let both = ["leaks", app.as_str(), "--host", "local", "--host", "web-1"];
    let all = fleet.keyroll(&both);
    all.exits(3);
    assert_eq!(scanned(&all), serde_json::json!(["local", "web-1"]));
    let of = |ran: &Ran, host: &str| -> Vec<(Value, Value, Value)> {
        let here = ran.of("leak").into_iter().filter(|leak| leak["host"] == host);
        here.map(|leak| (leak["identity"].clone(), leak["place"]["path"].clone(), leak["label"].clone()))
            .collect()
    };
    assert_eq!(of(&all, "local").len(), 4, "{}", all.text);
    assert_eq!(of(&all, "local"), of(&all, "web-1"));

    let accept = [&both[..3], &["local", "--accept", "a test"]].concat();
    fleet.keyroll(&accept).refused(1, "K0935", &["acme"]);
    let other = all.of("leak").into_iter().find(|leak| leak["rule"] != "acme").unwrap();
    let other = other["identity"].as_str().unwrap();
    fleet.keyroll(&[&accept[..], &["--only", other]].concat()).exits(0);
    let after = fleet.keyroll(&both);
    after.exits(3);
    for leak in after.of("leak") {
        let (stored, accepted) = (leak["rule"] == "acme", leak["accepted"].is_object());
        assert_ne!(stored, accepted, "{leak}");
    }
    // The file is kept by this machine, and has what only the host has if it was accepted there.
    fleet.run("web-1", &format!("rm {OWN}"));
    fleet.worker("web-1", OWN);
    let srv = ["leaks", "/srv/api", "--host", "web-1"];
    fleet.keyroll(&srv).exits(3);
    fleet.keyroll(&[&srv[..], &["--accept", "another test"]].concat()).exits(0);
    fleet.keyroll(&srv).exits(0);
}
