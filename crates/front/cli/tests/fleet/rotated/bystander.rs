//! A host of keyroll.toml without a consumer of the secret: it is searched all the same, and gets no value.

use super::{ASKS, KEPT, RECORD, RUNS_WITH, Roll};
use crate::hostile::scene::put;

/// The host without a consumer.
const OTHER: &[&str] = &["web-3"];

/// Starts a service that has the key of a file in its environment, and prints its process id. The file is removed.
const START: &str = "systemd-run -q --unit=NAME -p Type=exec -p EnvironmentFile=/var/tmp/NAME.env /bin/sleep 100000; \
    systemctl show -P MainPID NAME; rm /var/tmp/NAME.env";

/// Prints what was sent to a host over every connection of the recorder.
const SENT: &str = "for words in $(grep -lF HOST /srv/tee/*.words); do cat \"${words%words}up\"; done";

impl Roll {
    /// Starts a service on web-3 that nobody has declared, with the old key; its process id.
    #[track_caller]
    fn forgets(&self, name: &str) -> String {
        let shared = self.fleet.root().join("shared/forgotten.env");
        put(&shared, &["ORDERS_KEY=", &self.value, "\n"], 0o600);
        let take = format!("mv {} /var/tmp/{name}.env; ", shared.display());
        self.fleet.run("web-3", &(take + &START.replace("NAME", name)))
    }

    /// How many lines of what was sent to a host have this text.
    #[track_caller]
    fn sent(&self, host: &str, text: &str) -> String {
        let sent = SENT.replace("HOST", host);
        self.fleet.run("desk", &format!("{{ {sent}; }} | grep -acF '{text}' || true"))
    }
}

#[test]
fn a_forgotten_process_on_a_host_without_a_consumer_holds_up_the_revocation_and_the_host_gets_no_value() {
    let Some(roll) = Roll::raise_beside("a host without a consumer", "", OTHER) else { return };
    roll.ssh(RECORD);
    let (ends, stays) = (roll.forgets("ends"), roll.forgets("stays"));
    let planned = roll.keyroll(&["plan", "orders"]);
    let id = planned.exits(0).plan();
    let waive = |pid: &str| format!("keyroll consumer waive web-3:{pid} --reason");
    planned.says(&["also searched, by fingerprints: web-3", &waive(&ends), &waive(&stays)]);

    let held_up = roll.apply(&id);
    held_up.exits(6).says(&["keyroll consumer waive web-3:"]);
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    roll.both_work();
    roll.keyroll(&["status", &id]).says(&[&format!("web-3:{ends}"), &format!("web-3:{stays}")]);

    roll.fleet.run("web-3", "systemctl stop ends");
    roll.resume(&id).exits(6).says(&[&waive(&stays)]);
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    let place = format!("web-3:{stays}");
    roll.keyroll(&["consumer", "waive", &place, "--reason", "a test"]).exits(0).says(&["on web-3"]);
    let resumed = roll.resume(&id);
    resumed.exits(0).ended("done");
    assert_eq!(resumed.of("decided")[0]["waivers"], 1, "{}", resumed.text);
    let new = roll.new_key();
    roll.settled(&new);
    assert_eq!(roll.fleet.run("web-3", "systemctl show -P MainPID stays"), stays, "it was not touched");

    // The other hosts show that the same search finds what is there.
    assert_eq!(roll.sent("web-3", "\"enc\""), "0", "a sealed value was sent to web-3");
    assert_ne!(roll.sent("web-1", "\"enc\""), "0");
    let search = "\"prints\":\"keyroll-prints";
    assert_ne!(roll.sent("web-3", search), "0", "web-3 was not searched");
    assert_eq!(roll.sent("web-1", search), "0");
    assert_eq!(roll.leaks("desk", "/srv/tee"), "", "a value went over ssh");
    roll.fleet.run("web-3", "systemctl stop stays");
    assert_eq!(roll.leaks("web-3", KEPT), "", "web-3 has a value");
    let records = "find /var/lib/keyroll-host -name '*.json' 2>/dev/null | wc -l";
    assert_eq!(roll.fleet.run("web-3", records), "0", "web-3 has a fence");
    assert_ne!(roll.fleet.run("web-1", records), "0");
}

#[test]
fn a_copy_on_a_host_without_a_consumer_refuses_the_plan_until_it_is_gone() {
    let Some(roll) = Roll::raise_beside("a copy on a host without a consumer", "", OTHER) else { return };
    let shared = roll.fleet.root().join("shared/left.conf");
    put(&shared, &["[Service]\nEnvironment=ORDERS_KEY=", &roll.value, "\n"], 0o600);
    let copy = "/etc/systemd/system/left.service.d/key.conf";
    let take = format!("mkdir -p {}; mv {} {copy}", copy.rsplit_once('/').unwrap().0, shared.display());
    roll.fleet.run("web-3", &take);
    let waive = format!("keyroll consumer waive web-3:{copy} --reason");
    roll.keyroll(&["plan", "orders"]).refused(6, "K0836", &[&waive]);
    roll.fleet.run("web-3", &format!("rm {copy}"));
    roll.plan();
}

#[test]
fn a_host_without_a_consumer_that_is_away_refuses_the_plan_until_it_is_left_out() {
    let Some(roll) = Roll::raise_beside("a host without a consumer that is away", "", OTHER) else { return };
    roll.fleet.run("web-3", "systemctl stop keyroll-sshd");
    let before = roll.snapshot();
    let refused = roll.keyroll(&["plan", "orders"]);
    refused.refused(1, "K0960", &["web-3", "searched_hosts"]);
    assert_eq!(roll.snapshot(), before);

    let leave_out = format!("sed -i 's/^admin = .*/&\\nsearched_hosts = []/' {}/keyroll.toml", super::DESK);
    roll.fleet.run("desk", &leave_out);
    let planned = roll.keyroll(&["plan", "orders"]);
    let id = planned.exits(0).plan();
    planned.says(&["not looked at: web-3"]);
    let asked = roll.keyroll(&["apply", &id, "--confirm", "orders", "--until", "mint"]);
    asked.exits(4);
    roll.keyroll(&["status", &id]).says(&["web-3"]);
    roll.to_the_end(&id).exits(0).ended("done");
    roll.settled(&roll.new_key_of("web-1"));
}

#[test]
fn a_host_without_a_consumer_that_goes_away_holds_up_the_revocation_until_it_is_waived() {
    let secret = format!("phase_deadline = \"30s\"\n{ASKS}");
    let Some(roll) = Roll::raise_beside("a host without a consumer that goes", &secret, OTHER) else {
        return;
    };
    let id = roll.plan();
    roll.apply(&id).exits(4).paused();
    roll.fleet.run("web-3", "systemctl stop keyroll-sshd");
    let away = roll.resume(&id);
    assert!(matches!(away.code, Some(1 | 4 | 6)), "{}", away.text);
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    roll.both_work();
    let status = roll.keyroll(&["status", &id]);
    status.says(&["keyroll hosts waive web-3 --reason"]);
    roll.keyroll(&["hosts", "waive", "web-3", "--reason", "its disk is dead"]).exits(0).says(&["web-3"]);
    let ended = roll.to_the_end(&id);
    ended.exits(0).ended("done");
    assert_eq!(ended.of("host_left")[0]["name"], "web-3", "{}", ended.text);
    roll.settled(&roll.new_key_of("web-1"));
}

#[test]
fn a_process_on_a_host_without_a_consumer_is_adopted_and_moved() {
    let Some(roll) = Roll::raise_beside("an adoption on a host without a consumer", "", OTHER) else {
        return;
    };
    roll.serve("web-3");
    let id = roll.plan();
    roll.apply(&id).exits(6);
    let pid = roll.fleet.run("web-3", "systemctl show -P MainPID api");
    let place = format!("web-3:{pid}");
    let words = ["consumer", "adopt", &place, "--name", "forgotten", "--unit", "api.service"];
    let copy = ["--env-file", "/srv/app/api.env", "--variable", "ORDERS_KEY", "--check", "./check.py {copy}"];
    roll.keyroll(&[&words[..], &copy[..]].concat()).exits(0);
    let resumed = roll.resume(&id);
    resumed.exits(0).ended("done");
    let new = roll.new_key();
    assert_eq!(roll.key("web-3", RUNS_WITH).as_deref(), Some(new.as_str()), "{}", resumed.text);
    roll.settled(&new);
}
