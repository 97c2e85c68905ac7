//! Hosts that answer wrongly, played by a program in the place of ssh; one of them is this machine. No host is reached.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use keyroll_testkit::command::Ran;
use keyroll_testkit::{TempDir, write_program};
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

#[test]
fn hosts_that_answer_wrongly_are_named_and_the_others_are_shown() {
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

    let mut scan = Command::new(KEYROLL);
    scan.args(["scan", "--host", "*", "--memory", "0", "--json", "--no-input", "--state", "state"]);
    scan.arg(path("srv")).current_dir(folder.path()).env_clear().env("HOME", path("home"));
    scan.env("PATH", format!("{}:/usr/bin:/bin", path("bin").display())).stdin(Stdio::null());
    let looked = Ran::run(&mut scan);
    looked.exits(1);
    let reasons = reasons(&looked);
    let codes: BTreeMap<&str, &str> =
        reasons.iter().map(|(host, why)| (host.as_str(), why.split(':').next().unwrap())).collect();
    assert_eq!(codes, BTreeMap::from(CODES), "{}", looked.text);
    // Other tests run beside this one, and their processes are found too.
    let place = path("srv/api.env").canonicalize().unwrap().display().to_string();
    let good = looked.of("found").into_iter().filter(|found| found["host"] == "good");
    assert!(good.map(Value::to_string).any(|found| found.contains(&place)), "{}", looked.text);
}
