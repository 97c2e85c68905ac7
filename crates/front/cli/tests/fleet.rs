//! Many hosts, looked at by ssh: what is shown of each is what keyroll says that runs inside of it, no value leaves a
//! host, and a host that cannot be used does not hide the others.

mod answers;
mod desk;
mod ended;
mod imported;
mod init;
mod leaking;
mod recipe;
mod refused;
mod rotated;
mod scene;
mod secrecy;
mod six;

use keyroll_testkit::command::Ran;
use serde_json::Value;

use scene::{Fleet, OWN, SRV, facts, secrets, wish};

/// The hosts of an event about a value that several of them have.
fn sharing(event: &Value) -> Vec<&str> {
    let all = event["secrets"].as_array().unwrap();
    let mut hosts: Vec<&str> = all.iter().map(|pair| pair[0].as_str().unwrap()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

#[track_caller]
fn same_as_inside(fleet: &Fleet, by_ssh: &Ran, host: &str, words: &[&str]) {
    let inside = fleet.inside(host, words);
    inside.exits(0);
    let facts_inside = facts(&inside, None);
    assert!(!facts_inside.is_empty(), "nothing was found inside of {host}: {}", inside.text);
    assert_eq!(facts(by_ssh, Some(host)), facts_inside, "{host}");
}

/// web-1 and web-2 share a value, of which web-2 has only a process left; web-3 has one of its own.
fn three(left_out: &str) -> Option<Fleet> {
    let fleet = Fleet::raise(left_out, &[wish("web-1"), wish("web-2"), wish("web-3")])?;
    let shared = fleet.shared("value");
    fleet.worker("web-1", &shared);
    fleet.worker("web-2", &shared);
    fleet.worker("web-3", OWN);
    fleet.edit("web-2");
    Some(fleet)
}

#[test]
fn three_hosts_are_shown_as_keyroll_says_that_runs_inside_of_them() {
    let Some(fleet) = three("three hosts by ssh") else { return };
    let hosts = ["web-1", "web-2", "web-3"];
    let looked = fleet.keyroll(&["scan", "/srv", "--all", "--host", "web-*"]);
    looked.exits(0);
    for host in hosts {
        same_as_inside(&fleet, &looked, host, &["scan", "/srv", "--all"]);
    }
    let stale = looked.of("instance").into_iter().filter(|one| one["verdict"] == "stale");
    assert_eq!(stale.map(|one| one["host"].as_str().unwrap()).collect::<Vec<_>>(), ["web-2"]);

    let same = looked.of("same_value");
    assert_eq!(same.iter().map(|event| sharing(event)).collect::<Vec<_>>(), [["web-1", "web-2"]]);

    // A word that only begins a name is not taken for a file in the home of the login.
    fleet.run("web-2", "touch /home/deploy/OPENAI_API_KEY");
    fleet.told(&["why", "OPENAI_API_KEY", SRV[0], SRV[1], "--host", "web-2"]).exits(0).says(&["STALE"]);

    let secret = secrets(&looked, "web-2").pop().unwrap();
    for command in ["why", "trace"] {
        let words = [command, secret.as_str(), SRV[0], SRV[1]];
        let by_ssh = fleet.keyroll(&[&words[..], &["--host", "web-2"]].concat());
        by_ssh.exits(0);
        same_as_inside(&fleet, &by_ssh, "web-2", &words);
    }
}

#[test]
fn an_operator_sees_which_host_is_meant_and_how_to_ask_on() {
    let Some(fleet) = three("what an operator sees of three hosts") else { return };
    let told = fleet.told(&["scan", "/srv", "--host", "web-1", "--host", "web-2"]);
    told.exits(0).says(&[
        "on web-1:",
        "on web-2:",
        "web-2: searched ",
        "the same value on several hosts:",
        " on web-1, web-2",
        "uses a STALE value",
    ]);
    assert!(!told.text.contains("web-3"), "it was not named: {}", told.text);
    let asked = told.text.lines().filter_map(|line| line.split_once(": keyroll why "));
    let commands: Vec<&str> = asked.map(|(_, command)| command).collect();
    assert_eq!(commands.len(), 2, "{}", told.text);
    for (command, host) in commands.into_iter().zip(["web-1", "web-2"]) {
        let words: Vec<&str> = ["why"].into_iter().chain(command.split(' ')).collect();
        assert!(command.ends_with(&format!(" --in /srv --host {host}")), "{command}");
        fleet.told(&words).exits(0).says(&[&format!("on {host}:"), "in order of precedence"]);
    }
    let secret = secrets(&fleet.keyroll(&["scan", "/srv", "--host", "web-3"]), "web-3").pop().unwrap();
    fleet.run(
        "web-3",
        "systemctl stop api; rm -r /srv/api /etc/systemd/system/api.service; systemctl daemon-reload",
    );
    let words = ["trace", secret.as_str(), SRV[0], SRV[1], "--host", "web-1", "--host", "web-3"];
    fleet.told(&words).exits(0).says(&["on web-1:", "on web-3:", "no secret here has this name"]);
}
