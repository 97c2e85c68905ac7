//! Hosts that answer wrongly, played by a program in the place of ssh; one of them is this machine. No host is reached.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use keyroll_testkit::command::Ran;
use keyroll_testkit::{TempDir, free_port, write_program};
use serde_json::Value;

use super::scene::{KEYROLL, MAKE, reasons};

/// Stands for ssh: the last word is the command, and the word before it the host.
const SSH: &str = r#"#!/bin/sh
last=
for word; do host=$last; last=$word; done
state() { echo "KEYROLL-HOST 1 state=$1 machine=x86_64 sudo=no free=1000"; }
case $host in
good)   exec sh -c "$last" ;;
absent) echo 'ssh: connect to host absent port 22: Connection refused' >&2; exit 255 ;;
noise)  yes welcome | head -c 100000 ;;
noexec) state no-exec ;;
half)   state ready; printf '\000\000\000\144{"hello"' ;;
large)  state ready; printf '\377\377\377\377'; cat >/dev/null ;;
text)   state ready; echo 'welcome to this host'; cat >/dev/null ;;
newer)  state ready; printf 'NEWER'; cat >/dev/null ;;
esac
"#;

/// The first frame of a keyroll-host that speaks a version of the protocol that does not exist.
const NEWER: &str = r#"{"hello":{"host":{"version":99,"keyroll":"9.9.9","machine":null,"hardware":null,"boot":"0","now_unix_ms":0,"root":true,"user":"root"}}}"#;

/// The code with which each host is named.
const CODES: [(&str, &str); 7] = [
    ("absent", "K0960"),
    ("half", "K0960"),
    ("large", "K0963"),
    ("newer", "K0963"),
    ("noexec", "K0961"),
    ("noise", "K0963"),
    ("text", "K0963"),
];

/// A folder whose `bin/ssh` plays the hosts, and whose `srv/api.env` has a value.
fn played() -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    ["bin", "home", "srv"].iter().for_each(|name| fs::create_dir(path(name)).unwrap());
    let length = u8::try_from(NEWER.len()).unwrap();
    let newer = format!("\\000\\000\\000\\{length:03o}{NEWER}");
    write_program(&path("bin/ssh"), SSH.replace("NEWER", &newer));
    let names = CODES.iter().map(|(name, _)| *name).chain(["good"]);
    let hosts: String = names.map(|name| format!("[hosts.{name}]\nconnect = \"ssh://{name}\"\n")).collect();
    fs::write(path("keyroll.toml"), format!("version = 1\n{hosts}")).unwrap();
    let value = path("value").display().to_string();
    let write = "{ printf 'OPENAI_API_KEY='; cat @; echo; } >srv/api.env";
    let script = format!("{MAKE}; {write}").replace('@', &value);
    assert!(
        Command::new("sh").args(["-euc", &script]).current_dir(folder.path()).status().unwrap().success()
    );
    folder
}

fn keyroll(folder: &TempDir, words: &[&str]) -> Ran {
    let path = |name: &str| folder.path().join(name);
    let mut command = Command::new(KEYROLL);
    command.args(words).args(["--json", "--no-input", "--state", "state"]).arg(path("srv"));
    command.current_dir(folder.path()).env_clear().env("HOME", path("home"));
    command.env("PATH", format!("{}:/usr/bin:/bin", path("bin").display())).stdin(Stdio::null());
    Ran::run(&mut command)
}

/// The code with which each host is named that could not be used.
fn codes(ran: &Ran) -> BTreeMap<String, String> {
    let code = |why: &str| why.split(':').next().unwrap_or_default().to_owned();
    reasons(ran).into_iter().map(|(host, why)| (host, code(&why))).collect()
}

fn expected() -> BTreeMap<String, String> {
    CODES.iter().map(|(host, code)| ((*host).to_owned(), (*code).to_owned())).collect()
}

#[test]
fn hosts_that_answer_wrongly_are_named_and_the_others_are_shown() {
    let folder = played();
    let looked = keyroll(&folder, &["scan", "--host", "*", "--memory", "0"]);
    looked.exits(1);
    assert_eq!(codes(&looked), expected(), "{}", looked.text);
    // Other tests run beside this one, and their processes are found too.
    let place = folder.path().join("srv/api.env").canonicalize().unwrap().display().to_string();
    let good = looked.of("found").into_iter().filter(|found| found["host"] == "good");
    assert!(good.map(Value::to_string).any(|found| found.contains(&place)), "{}", looked.text);
}

#[test]
fn leaks_of_the_hosts_that_answer_are_shown_and_none_is_accepted() {
    let folder = played();
    let found =
        keyroll(&folder, &["leaks", "--host", "*", "--accept", "a test", "--baseline", "accepted.toml"]);
    found.exits(1);
    assert_eq!(codes(&found), expected(), "{}", found.text);
    assert!(!folder.path().join("accepted.toml").exists(), "{}", found.text);
    let found = keyroll(&folder, &["leaks", "--host", "*"]);
    found.exits(1);
    assert_eq!(codes(&found), expected(), "{}", found.text);
    let leaks: Vec<&str> = found.of("leak").into_iter().map(|leak| leak["host"].as_str().unwrap()).collect();
    assert_eq!(leaks, ["good"], "{}", found.text);
    let sum = found.of("leaks").pop().unwrap();
    assert_eq!((&sum["hosts"], &sum["whole"]), (&serde_json::json!(["good"]), &Value::Bool(false)));
    fs::write(folder.path().join("srv/api.env"), "PORT=80\n").unwrap();
    // A folder that only other hosts have is named.
    let some = keyroll(&folder, &["leaks", "/none", "--host", "good", "--host", "local"]);
    some.exits(0);
    let missed: Vec<&str> = some.of("not_visible").iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(missed, ["good › /none", "local › /none"], "{}", some.text);
    // Where nothing was found, it is said of which hosts.
    let clean = keyroll(&folder, &["leaks", "--host", "*"]);
    clean.exits(1);
    let sum = clean.of("leaks").pop().unwrap();
    assert_eq!((&sum["hosts"], &sum["open"]), (&serde_json::json!(["good"]), &serde_json::json!(0)));
}

/// A password that could be guessed, beside a comment that accepts it. A store has it as `acme`.
/// Letters alone might be a word, which no rule finds.
const WEAK: &str = "printf '7%s' \"$(tr -dc a-km-z2-9 </dev/urandom | head -c 13)\" >weak; \
    { printf 'ORDERS_DB_PASSWORD='; cat weak; echo '  # keyroll:allow of a test'; } >srv/api.env";

#[test]
fn a_stored_value_without_a_fingerprint_is_recognised_if_a_rule_finds_it() {
    let folder = played();
    let made = Command::new("sh").args(["-euc", WEAK]).current_dir(folder.path()).status().unwrap();
    assert!(made.success());
    let found = keyroll(&folder, &["leaks", "--host", "good"]);
    found.exits(0);
    assert!(found.of("leak")[0]["accepted"].is_object(), "{}", found.text);

    let spec =
        include_str!("../../../demo/scene/acme.toml").replace("@ISSUER@", &free_port().unwrap().to_string());
    fs::write(folder.path().join("acme.toml"), spec).unwrap();
    let mut add = Command::new(KEYROLL);
    add.args(["secret", "add", "acme", "--issuer", "file:./acme.toml", "--id", "key-1", "--anyway"]);
    add.args(["--json", "--no-input", "--state", "state"]).current_dir(folder.path()).env_clear();
    add.env("HOME", folder.path().join("home")).env("PATH", "/usr/bin:/bin");
    Ran::run(add.stdin(fs::File::open(folder.path().join("weak")).unwrap())).exits(0);
    // A value that works is not accepted by the comment, and has the identity that it has here.
    let found = keyroll(&folder, &["leaks", "--host", "good", "--host", "local"]);
    found.exits(3);
    let known = found.of("leak").into_iter().map(|leak| (&leak["rule"], &leak["state"], &leak["identity"]));
    let known: Vec<_> = known.collect();
    assert!(known.len() == 2 && known[0] == known[1] && known[0].0 == "acme", "{}", found.text);
    assert!(found.of("leak").iter().all(|leak| leak["accepted"].is_null()), "{}", found.text);
    let missed = found.of("not_visible").into_iter().map(|event| event["what"].as_str().unwrap());
    assert_eq!(missed.collect::<Vec<_>>(), ["acme v1 on hosts"], "{}", found.text);
}
