//! What goes over ssh: no value, no name of a secret that a host does not hold, and the program only once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keyroll_testkit::command::Ran;
use keyroll_testkit::{alphanumeric, free_port, github_token};

use super::scene::{Fleet, KEYROLL, OWN, secrets, table, wish};

/// The most that goes up in a look whose program is there, bytes.
const ASKED_BYTES_MAX: u64 = 4 << 10;

/// Counts, inside of a host, the files of a folder that have the value in one of three encodings. `@` is the folder.
pub(super) const LEAKS: &str = "umask 077; w=$(mktemp -d); cp /var/tmp/value $w/plain; \
    base64 -w0 <$w/plain | head -c 60 >$w/base64; od -An -v -tx1 <$w/plain | tr -d ' \\n' >$w/hex; \
    for e in plain base64 hex; do grep -alF -f $w/$e @/* || true; done | wc -l; rm -r $w";

/// Looks at hosts by an ssh that writes everything down.
pub(super) fn recorded(fleet: &Fleet, words: &[&str]) -> Ran {
    let recorder = fleet.recorder();
    Ran::run(fleet.command_with(KEYROLL.as_ref(), words, &recorder).arg("--json"))
}

#[test]
fn no_value_goes_over_ssh_not_even_in_a_path_or_a_name() {
    let Some(fleet) = Fleet::raise("values in frames", &[wish("web-1")]) else { return };
    fleet.worker("web-1", OWN);
    // A folder and a key of a document have the value for a name.
    fleet.run(
        "web-1",
        "v=$(cat /var/tmp/value); mkdir /srv/of-$v; cp /srv/api/api.env /srv/of-$v/api.env; \
         printf '{\"%s\": {\"api_key\": \"%s\"}}' \"$v\" \"$v\" >/srv/api/keys.json",
    );
    fleet.keyroll(&["hosts", "check", "web-1"]).exits(0);
    let scan = recorded(&fleet, &["scan", "/srv", "--all", "--host", "web-1"]);
    scan.exits(0);
    let found = scan.of("found");
    let copies = found.iter().map(|one| one["copies"].as_array().unwrap().len()).sum::<usize>();
    assert!(copies >= 3, "not every copy was found: {}", scan.text);
    let secret = found[0]["secret"].as_str().unwrap().to_owned();
    for command in ["why", "trace"] {
        recorded(&fleet, &[command, &secret, "--in", "/srv", "--host", "web-1"]).exits(0);
    }
    fs::write(fleet.shared("scan.said"), &scan.text).unwrap();
    let shared = fleet.root().join("shared").display().to_string();
    // The frames are there, and they are read: they name the folder.
    let seen = fleet.run("web-1", &format!("grep -alF /srv/of- {shared}/*.down | wc -l"));
    assert_ne!(seen, "0", "{}", scan.text);
    assert_eq!(fleet.run("web-1", &LEAKS.replace('@', &shared)), "0");
    // The same search finds it where it is.
    assert_eq!(fleet.run("web-1", &LEAKS.replace('@', "/srv/api")), "2");
}

/// Makes the value of a secret that is stored later; no rule knows its form.
pub(super) const MAKE_STORED: &str =
    "umask 077; printf 'acme_sk_%s' \"$(tr -dc 0-9a-f </dev/urandom | head -c 40)\" >@";

/// A store of this machine that has the value of a file as `acme`; the issuer is nowhere.
pub(super) fn store(fleet: &Fleet, value: &str) {
    let spec =
        include_str!("../../../demo/scene/acme.toml").replace("@ISSUER@", &free_port().unwrap().to_string());
    fs::write(fleet.root().join("acme.toml"), spec).unwrap();
    let admin = fleet.root().join("admin.key");
    fs::write(&admin, alphanumeric(40)).unwrap();
    fs::set_permissions(&admin, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = "[secrets.acme]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
                  [[secrets.acme.consumers]]\nname = \"job\"\nruns = { at_rest = true }\n\
                  reads = { file = \"./job.key\" }\n";
    fleet.configure(&format!("{secret}{}{}", table("web-1", "web-1"), table("web-2", "web-2")));
    let mut add = fleet.command(&["secret", "add", "acme", "--id", "key-1", "--anyway"]);
    // The value goes from the file to keyroll without passing through this process.
    Ran::run(add.stdin(fs::File::open(value).unwrap())).exits(0);
}

#[test]
fn a_host_hears_the_names_of_the_secrets_that_it_holds_and_of_no_other() {
    let Some(fleet) = Fleet::raise("stored secrets on hosts", &[wish("web-1"), wish("web-2")]) else {
        return;
    };
    let value = fleet.shared("value");
    fleet.run("web-1", &MAKE_STORED.replace('@', &value));
    fleet.worker("web-1", &value);
    fleet.worker("web-2", OWN);
    store(&fleet, &value);
    fleet.run("web-1", &format!("rm {value}"));
    fleet.keyroll(&["hosts", "check"]).exits(0);
    let looked = recorded(&fleet, &["scan", "/srv", "--host", "web-1", "--host", "web-2"]);
    looked.exits(0);
    assert_eq!(secrets(&looked, "web-1"), ["acme"]);
    let found = looked.of("found").into_iter().find(|one| one["host"] == "web-1").unwrap();
    assert_eq!(found["managed"], true);
    assert_eq!(found["values"][0]["version"], 1);
    assert_eq!(found["values"][0]["state"], "current");
    // The digits of its label are those that this machine shows.
    let listed = fleet.keyroll(&["secret", "show", "acme"]);
    let fingerprint = listed.of("secret")[0]["versions"][0]["fingerprint"].as_str().unwrap().to_owned();
    let label = found["values"][0]["label"].as_str().unwrap();
    let digits = label.rsplit_once('·').unwrap().1;
    assert!(fingerprint.contains(digits), "{label} is not {fingerprint}");

    let has = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    let mut told = BTreeMap::new();
    for path in fleet.records("up") {
        let words = fs::read(path.with_extension("words")).unwrap();
        let host = if has(&words, "web-1") { "web-1" } else { "web-2" };
        told.insert(host, has(&fs::read(path).unwrap(), "acme"));
    }
    assert_eq!(told, BTreeMap::from([("web-1", true), ("web-2", false)]));
}

#[test]
fn the_program_is_sent_once_and_again_if_it_was_changed() {
    let Some(fleet) = Fleet::raise("the cache of a host", &[wish("web-1")]) else { return };
    let program = fs::metadata(env!("CARGO_BIN_EXE_keyroll-host")).unwrap().len();
    let sent = || {
        fleet.forget();
        recorded(&fleet, &["scan", "/srv", "--host", "web-1"]).exits(0);
        let sizes = fleet.records("up").into_iter().map(|path| fs::metadata(path).unwrap().len());
        sizes.sum::<u64>()
    };
    assert!(sent() > program);
    assert!(sent() < ASKED_BYTES_MAX);
    fleet.run("web-1", "for f in /home/deploy/.cache/keyroll/keyroll-host-*; do echo >>$f; done");
    assert!(sent() > program);
    assert!(sent() < ASKED_BYTES_MAX);
}

#[test]
fn words_that_are_values_are_not_sent() {
    let Some(fleet) = Fleet::raise("values among words", &[wish("web-1")]) else { return };
    fleet.configure(&table("web-1", "web-1"));
    // Its form is that of a key; nobody was given it.
    let typed = github_token();
    for command in ["why", "trace"] {
        fleet.forget();
        let ran = recorded(&fleet, &[command, typed.as_str(), "--host", "web-1"]);
        assert_ne!(ran.code, Some(0), "{}", ran.text);
        // It is refused for this reason, and not because a host or a file is wrong.
        assert!(ran.text.contains("K0802"), "{}", ran.text);
        assert!(!ran.text.contains(&typed));
        for path in ["words", "up", "down"].into_iter().flat_map(|end| fleet.records(end)) {
            let bytes = fs::read(&path).unwrap();
            let has = bytes.windows(typed.len()).any(|window| window == typed.as_bytes());
            assert!(!has, "{} has the word", path.display());
        }
    }
}
