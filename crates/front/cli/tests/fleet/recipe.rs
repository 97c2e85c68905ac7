//! The recipe of careful operators: three hosts behind a load balancer fetch a key from a store. One host is moved first, its
//! log, a call and the error rate are looked at, then the others are moved; or the previous version is given out again. keyroll
//! runs on a host of its own, `desk`. Store and issuer run in this process, so they have the values.

mod balanced;

use std::fs;

use keyroll_testkit::command::Ran;
use keyroll_testkit::issuer::{Issuer, without};
use keyroll_testkit::{FakeVault, Prometheus, VaultUser, free_port};
use serde_json::Value;
use zeroize::Zeroizing;

use self::balanced::Balanced;
use super::scene::{Fleet, KEYROLL, table, wish};
use crate::hostile::scene::put;

/// The hosts that have an instance, in the order in which they are moved.
const HOSTS: [&str; 3] = ["web-1", "web-2", "web-3"];

/// Where `desk` keeps keyroll.toml; the commands run there.
const DESK: &str = "/srv/desk";

/// What ssh needs on `desk`.
const SSH: &str = "/srv/ssh";

/// The secret of the store that has the key.
const SECRET: &str = "kv/prod/app";

/// The files of a host, with the placeholders that differ.
const FILES: [(&str, &str, u32); 4] = [
    ("service.py", include_str!("recipe/service.py"), 0o755),
    ("fetch.py", include_str!("recipe/fetch.py"), 0o755),
    ("check.py", include_str!("recipe/check.py"), 0o755),
    ("api.service", include_str!("recipe/api.service"), 0o644),
];

/// What keyroll.toml has besides the hosts.
const CONFIG: &str = include_str!("recipe/keyroll.toml");

/// Prints the key of a host's file.
const HELD: &str = "sed -n 's/^ORDERS_KEY=//p' /srv/app/.env";

/// Prints the key with which a host's service runs.
const RUNS_WITH: &str = "tr '\\0' '\\n' </proc/$(systemctl show -P MainPID api)/environ | \
    sed -n 's/^ORDERS_KEY=//p'";

/// How many calls succeed at least before a rotation begins, and in each pause of it.
const CALLS_MIN: usize = 50;

struct Recipe {
    fleet: Fleet,
    issuer: Issuer,
    vault: FakeVault,
    prometheus: Prometheus,
    /// The ports of the instances.
    ports: [u16; 3],
    /// The id of the key that everything starts with.
    old: String,
}

impl Recipe {
    /// Three hosts with an instance each, and `desk`, which has the key.
    fn raise(left_out: &str) -> Option<Self> {
        let fleet = Fleet::raise(left_out, &["desk", HOSTS[0], HOSTS[1], HOSTS[2]].map(wish))?;
        let ports = [free_port().unwrap(), free_port().unwrap(), free_port().unwrap()];
        let targets = ports.map(|port| format!("\"127.0.0.1:{port}\"")).join(", ");
        let scraped = format!(
            "scrape_configs:\n  - job_name: app\n    static_configs:\n      - targets: [{targets}]\n"
        );
        let prometheus = Prometheus::configured_or_skip(left_out, &scraped)?;
        let (issuer, admin) = Issuer::start();
        let (old, value) = issuer.mint("by hand");
        let vault = FakeVault::start();
        let document = format!(r#"{{"ORDERS_KEY":"{}","POOL":"4"}}"#, value.as_str());
        vault.put(SECRET, &document);
        let recipe = Self { fleet, issuer, vault, prometheus, ports, old };
        recipe.furnish(&admin);
        for (host, port) in HOSTS.into_iter().zip(ports) {
            recipe.serve(host, port);
        }
        recipe.keyroll(&["hosts", "accept", "web"]).exits(0);
        recipe.keyroll(&["secret", "import", "orders"]).exits(0);
        Some(recipe)
    }

    /// A text with the ports of this scene.
    fn filled(&self, text: &str, host: &str, port: u16) -> String {
        text.replace("@PORT@", &port.to_string())
            .replace("@HOST@", host)
            .replace("@ISSUER@", &self.issuer.port().to_string())
            .replace("@VAULT@", &self.vault.port().to_string())
            .replace("@PROMETHEUS@", &self.prometheus.port().to_string())
    }

    /// Gives `desk` its configuration, its logins, and the ssh of this test.
    fn furnish(&self, admin: &Zeroizing<String>) {
        let folder = self.fleet.root().join("desk");
        fs::create_dir(&folder).unwrap();
        let place = |name: &str| folder.join(name);
        let more = "group = \"web\"\nfolder = \"/srv/app\"\n";
        let tables: String = HOSTS.iter().map(|host| table(host, host) + more).collect();
        put(&place("keyroll.toml"), &["version = 1\n", &tables, &self.filled(CONFIG, "", 0)], 0o644);
        let spec = self.issuer.spec("5s");
        put(&place("acme.toml"), &[&without(&without(&spec, "op.sessions"), "op.end_session")], 0o644);
        put(&place("admin.key"), &[admin, "\n"], 0o600);
        put(&place("vault.token"), &[&self.vault.token(VaultUser::Keyroll), "\n"], 0o600);
        let from = self.fleet.hosts.path().parent().unwrap().to_owned();
        let config = fs::read_to_string(from.join("ssh_config")).unwrap();
        put(&place("ssh_config"), &[&config.replace(from.to_str().unwrap(), SSH)], 0o600);
        for name in ["key", "known_hosts"] {
            fs::copy(from.join(name), place(name)).unwrap();
        }
        let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {SSH}/ssh_config \"$@\"\n");
        put(&place("ssh"), &[&ssh], 0o755);
        let take = format!(
            "mkdir -p {DESK} {SSH}/bin; cd {}; mv ssh {SSH}/bin/; mv key known_hosts ssh_config {SSH}/; mv * {DESK}/",
            folder.display()
        );
        self.fleet.run("desk", &take);
        // Every host sees the folder above it.
        fs::remove_dir(&folder).unwrap();
    }

    /// Gives a host its instance, which fetches the key and starts.
    fn serve(&self, host: &str, port: u16) {
        let folder = self.fleet.root().join("shared").join(host);
        fs::create_dir(&folder).unwrap();
        for (name, text, mode) in FILES {
            put(&folder.join(name), &[&self.filled(text, host, port)], mode);
        }
        put(&folder.join("vault-token"), &[&self.vault.token(VaultUser::Reader), "\n"], 0o600);
        let start = format!(
            "mkdir -p /srv/app /srv/seen; cd {}; mv api.service /etc/systemd/system/; mv vault-token /etc/; \
             mv * /srv/app/; cd /srv/app; ./fetch.py; systemctl daemon-reload; systemctl start api; \
             ./check.py .env",
            folder.display()
        );
        self.fleet.run(host, &start);
    }

    /// Runs a command of keyroll on `desk`.
    fn keyroll(&self, words: &[&str]) -> Ran {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = format!(
            "cd {DESK} && exec env -i HOME=/root PATH={SSH}/bin:/usr/bin:/bin {KEYROLL} {} --json --no-input \
             --state /srv/state",
            words.join(" ")
        );
        let output = self.fleet.hosts.run("desk", &line);
        Ran::read(output.status.code(), &output.stdout, &output.stderr)
    }

    /// The id of a rotation that has moved the first host, and asks the operator.
    #[track_caller]
    fn until_asked(&self, clients: &Balanced) -> String {
        clients.await_calls(CALLS_MIN);
        let id = self.keyroll(&["plan", "orders"]).exits(0).plan();
        self.keyroll(&["apply", &id]).exits(4).paused();
        clients.await_calls(CALLS_MIN);
        id
    }

    /// The only key besides the old one.
    #[track_caller]
    fn new_key(&self) -> String {
        let keys = self.issuer.keys();
        let made: Vec<&str> = keys.iter().map(|key| key.id.as_str()).filter(|id| *id != self.old).collect();
        assert_eq!(made.len(), 1, "{keys:?}");
        made[0].to_owned()
    }

    /// Which keys the hosts hold and run with, in the order of the hosts.
    fn keys(&self, script: &str) -> [Option<String>; 3] {
        HOSTS.map(|host| self.issuer.whose(Zeroizing::new(self.fleet.run(host, script)).as_bytes()))
    }

    /// The key that the store gives out.
    fn given(&self) -> Option<String> {
        let document: Value = serde_json::from_str(&self.vault.text(SECRET)).unwrap();
        assert_eq!(document["POOL"], "4", "another key of the document was changed");
        self.issuer.whose(document["ORDERS_KEY"].as_str().unwrap().as_bytes())
    }

    /// When the instances were started last, microseconds of the kernel that all hosts share.
    fn started(&self) -> [u64; 3] {
        let script = "systemctl show -P ExecMainStartTimestampMonotonic api";
        HOSTS.map(|host| self.fleet.run(host, script).parse().unwrap())
    }

    /// This key alone is alive, given out, held and used, and no call failed.
    #[track_caller]
    fn settled(&self, id: &str, clients: Balanced) {
        clients.await_calls(CALLS_MIN);
        let (succeeded, failed) = clients.stop();
        assert!(
            failed.is_empty(),
            "{} of {} calls failed: {failed:?}",
            failed.len(),
            succeeded + failed.len()
        );
        assert_eq!(self.issuer.refused_workers(), [] as [String; 0]);
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && keys[0].id == id && !keys[0].disabled, "{keys:?}");
        assert_eq!(self.given().as_deref(), Some(id));
        for script in [HELD, RUNS_WITH] {
            assert_eq!(self.keys(script), [id, id, id].map(|id| Some(id.to_owned())), "{script}");
        }
    }
}

#[test]
fn three_hosts_are_moved_after_the_first_one_was_watched_and_no_call_fails() {
    let Some(recipe) = Recipe::raise("the recipe over three hosts") else { return };
    let (clients, before) = (Balanced::start(recipe.ports), recipe.started());
    let id = recipe.until_asked(&clients);
    let (new, old) = (recipe.new_key(), recipe.old.clone());
    assert_eq!(recipe.given(), Some(new.clone()), "the store gives out the new key from the first host on");
    for script in [HELD, RUNS_WITH] {
        assert_eq!(recipe.keys(script), [&new, &old, &old].map(|id| Some(id.clone())), "{script}");
    }
    let asked = recipe.started();
    assert!(asked[0] > before[0] && asked[1..] == before[1..], "{before:?}, {asked:?}");

    let resumed = recipe.keyroll(&["resume", &id, "--confirm", "orders"]);
    resumed.exits(0).ended("done");
    assert_eq!(resumed.summary()["dead_confirmed"], true, "{}", resumed.text);
    let after = recipe.started();
    assert!(after[0] == asked[0] && after[0] < after[1] && after[1] < after[2], "{asked:?}, {after:?}");
    recipe.settled(&new, clients);
}

#[test]
fn a_host_that_was_moved_first_gets_the_previous_version_back() {
    let Some(recipe) = Recipe::raise("the recipe over three hosts, rolled back") else { return };
    let (clients, before) = (Balanced::start(recipe.ports), recipe.started());
    let id = recipe.until_asked(&clients);
    recipe.keyroll(&["abort", &id]).exits(5).ended("rolled_back");
    assert_eq!(recipe.started()[1..], before[1..], "a host was restarted that was not moved");
    assert_eq!(recipe.vault.version(SECRET), 3, "the new value, and the old one over it");
    recipe.settled(&recipe.old, clients);
}

#[test]
fn a_host_that_logs_a_refused_login_is_moved_back_and_named_as_the_cause() {
    let Some(recipe) = Recipe::raise("the recipe over three hosts, with a refused login") else { return };
    let (clients, before) = (Balanced::start(recipe.ports), recipe.started());
    clients.await_calls(CALLS_MIN);
    // Every key but the present one is written down as refused there.
    let refuse = format!("{HELD} | tr -d '\\n' | sha256sum | cut -d' ' -f1 >/srv/seen/refuses");
    recipe.fleet.run("web-1", &refuse);
    let id = recipe.keyroll(&["plan", "orders"]).exits(0).plan();
    recipe.keyroll(&["apply", &id]).exits(5).ended("rolled_back");
    let status = recipe.keyroll(&["status", &id]);
    status.says(&["`api@web-1` was given the new key, and failed: ", "its log shows refused calls"]);
    assert_eq!(recipe.started()[1..], before[1..], "a host was restarted after the first one had failed");
    recipe.settled(&recipe.old, clients);
}
