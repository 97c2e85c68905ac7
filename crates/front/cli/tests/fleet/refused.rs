//! Hosts that cannot be used, or are not the machine that was accepted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use keyroll_testkit::command::Ran;
use keyroll_testkit::{SshHostWish, Sudoers, TempDir, copy_program, free_port};

use super::scene::{Fleet, KEYROLL, OWN, reasons, secrets, table, wish};

/// Makes another machine of a host, as far as a program can tell.
const OTHER_MACHINE: &str = "{ tr -dc 0-9a-f </dev/urandom | head -c 32; echo; } >/etc/machine-id";

#[test]
fn a_host_that_cannot_be_used_does_not_hide_the_others() {
    let wishes = [
        wish("web-1"),
        wish("changed"),
        SshHostWish { noexec_home: true, ..wish("noexec") },
        SshHostWish { home_kib: Some(256), ..wish("full") },
        SshHostWish { sudo: Sudoers::None, ..wish("plain") },
    ];
    let Some(fleet) = Fleet::raise("hosts by ssh that cannot be used", &wishes) else { return };
    let names = wishes.iter().map(|wish| table(wish.name, wish.name)).collect::<String>();
    let nobody = free_port().unwrap();
    fleet.configure(&format!("{names}{}", table("absent", &format!("127.0.0.1:{nobody}"))));
    fleet.worker("web-1", OWN);
    fleet.worker("plain", OWN);
    fleet.run("plain", "chmod 700 /srv/api");
    fleet.hosts.change_host_key("changed");

    let words: Vec<&str> = ["absent", "changed", "noexec", "full", "plain", "web-1"]
        .into_iter()
        .flat_map(|name| ["--host", name])
        .collect();
    let looked = fleet.keyroll(&[&["scan", "/srv"][..], &words].concat());
    looked.exits(1);
    let reasons = reasons(&looked);
    let codes: BTreeMap<&str, &str> =
        reasons.iter().map(|(host, why)| (host.as_str(), why.split(':').next().unwrap())).collect();
    let expected = [("absent", "K0960"), ("changed", "K0960"), ("full", "K0961"), ("noexec", "K0961")];
    assert_eq!(codes, BTreeMap::from(expected), "{}", looked.text);
    assert!(looked.of("error").pop().is_some_and(|error| error["help"].is_string()), "{}", looked.text);
    assert_eq!(secrets(&looked, "web-1").len(), 1, "{}", looked.text);
    // Without sudo it looks with the rights of the login, and says what is hidden from it.
    assert!(!reasons.contains_key("plain"));
    let hidden = looked.of("not_visible").into_iter().filter(|event| event["host"] == "plain");
    assert!(hidden.count() > 0, "{}", looked.text);
    assert_eq!(secrets(&looked, "plain"), Vec::<String>::new());

    let checked = fleet.keyroll(&["hosts", "check"]);
    checked.exits(3);
    let bad = |host: &str| {
        let checks = checked.of("check").into_iter().filter(|check| check["host"] == host);
        checks.filter(|check| check["finding"] == "bad").count()
    };
    for host in ["absent", "changed", "noexec", "full", "plain"] {
        assert!(bad(host) > 0, "{host}: {}", checked.text);
    }
    assert_eq!(bad("web-1"), 0, "{}", checked.text);
}

#[test]
fn without_a_program_for_a_host_it_is_told_which_one_is_needed() {
    let Some(fleet) = Fleet::raise("a host by ssh without a program for it", &[wish("web-1")]) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let keyroll = folder.path().join("keyroll");
    copy_program(Path::new(KEYROLL), &keyroll);
    let scan = ["scan", "/srv", "--host", "web-1", "--json"];
    let alone = Ran::run(&mut fleet.command_with(&keyroll, &scan, &fleet.hosts.path()));
    alone.refused(1, "K0961", &["keyroll-host"]);
    // The header of a program for another kind of machine: e_machine is at byte 18.
    let mut other = fs::read(env!("CARGO_BIN_EXE_keyroll-host")).unwrap();
    other[18..20].copy_from_slice(&183_u16.to_le_bytes());
    fs::write(folder.path().join("keyroll-host"), other).unwrap();
    let other = Ran::run(&mut fleet.command_with(&keyroll, &scan, &fleet.hosts.path()));
    other.refused(1, "K0961", &["x86_64"]);
    assert_eq!(fleet.run("web-1", "ls -A /home/deploy/.cache 2>/dev/null || true"), "");
}

#[test]
fn another_machine_under_an_accepted_name_is_not_looked_at() {
    let wishes = [wish("web-1"), wish("web-2")];
    let Some(fleet) = Fleet::raise("hosts by ssh that became others", &wishes) else { return };
    fleet.worker("web-1", OWN);
    fleet.worker("web-2", OWN);
    let both = ["scan", "/srv", "--host", "web-1", "--host", "web-2"];
    // Nobody is accepted yet: that is said, and everything is shown.
    fleet.keyroll(&both).exits(0);
    fleet.keyroll(&["hosts", "accept", "web-1", "web-2"]).exits(0);
    let listed = fleet.keyroll(&["hosts", "list"]);
    listed.exits(0);
    assert!(listed.of("host").iter().all(|host| host["accepted"].is_string()), "{}", listed.text);
    fleet.keyroll(&both).exits(0);

    fleet.run("web-1", OTHER_MACHINE);
    let looked = fleet.keyroll(&both);
    looked.refused(1, "K0962", &["web-1"]);
    let of_it = looked.events.iter().filter(|event| event["host"] == "web-1");
    let said: Vec<&str> = of_it.map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(said, ["not_visible"], "{}", looked.text);
    assert_eq!(secrets(&looked, "web-2").len(), 1, "{}", looked.text);

    fleet.keyroll(&["hosts", "accept", "web-1"]).refused(1, "K0962", &["--again"]);
    fleet.keyroll(&["hosts", "accept", "web-1", "--again"]).exits(0);
    fleet.keyroll(&both).exits(0);

    // One machine under two names would be counted twice, and changed twice.
    let id = fleet.shared("id");
    fleet.run("web-1", &format!("cp /etc/machine-id {id}"));
    fleet.run("web-2", &format!("cat {id} >/etc/machine-id"));
    fleet.keyroll(&["hosts", "accept", "web-2", "--again"]).refused(1, "K0962", &["web-1"]);
}
