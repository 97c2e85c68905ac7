//! A key is rotated on hosts by ssh. keyroll runs on a host of its own, `desk`: this machine sees the processes of every
//! container, and would find each consumer a second time. The issuer runs in this process, so it has the values.

mod beside;
mod bystander;
mod cannot_be_used;
mod clock;
mod cut;
mod drivers;
mod interrupted;
mod killed;

use std::collections::BTreeSet;
use std::fs;

use keyroll_testkit::command::Ran;
use keyroll_testkit::issuer::{Issuer, Key, without};
use zeroize::Zeroizing;

use super::scene::{Fleet, KEYROLL, table, wish};
use crate::hostile::scene::put;

/// The hosts that have a consumer, in the order in which they are moved.
const HOSTS: [&str; 2] = ["web-1", "web-2"];

/// Where `desk` keeps keyroll.toml; the commands run there.
const DESK: &str = "/srv/desk";
/// The state folder.
const STATE: &str = "/srv/state";
/// What ssh needs, and the old key.
const SSH: &str = "/srv/ssh";

/// The secret, up to its own further keys and tables.
const SECRET: &str = "\n[secrets.orders]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n";

/// The consumer on both hosts, and when the old key may be revoked.
const CONSUMER: &str = "\n[secrets.orders.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n\
    \n[[secrets.orders.consumers]]\nname = \"api\"\nhosts = [\"web\"]\nruns = { unit = \"api.service\" }\n\
    reads = { env_file = \"./api.env\", variable = \"ORDERS_KEY\" }\n\
    check = { exec = [\"./check.py\", \"{copy}\"] }\n";

/// The service of a host: it has the key in its environment.
const UNIT: &str = "[Service]\nType=exec\nEnvironmentFile=/srv/app/api.env\nExecStartPre=/srv/app/started.sh\n\
    ExecStart=/bin/sleep 100000\n";

/// Counts the starts of the service. One waits as long as `hold` is there, and fails with another file than `only` names.
const STARTED: &str = "#!/bin/sh\necho >>/srv/seen/starts\nwhile [ -e /srv/seen/hold ]; do sleep 0.1; done\n\
    [ ! -e /srv/seen/only ] || exec sha256sum -c --status /srv/seen/only\n";

const CHECK: &str = include_str!("rotated/check.py");

/// Prints the key of a host's file.
const HELD: &str = "sed -n 's/^ORDERS_KEY=//p' /srv/app/api.env";

/// Prints the key with which a host's service runs.
const RUNS_WITH: &str = "tr '\\0' '\\n' </proc/$(systemctl show -P MainPID api)/environ | \
    sed -n 's/^ORDERS_KEY=//p'";

/// Starts the real ssh.
const PLAIN: &str = "exec REAL";

/// The same, and writes down what it is given, and what it sends and gets.
const RECORD: &str = "mkdir -p /srv/tee; n=$(mktemp -p /srv/tee); printf '%s\\n' \"$@\" >\"$n.words\"\n\
    tee \"$n.up\" | REAL | tee \"$n.down\"";

/// Prints the files below `@` that have one of the values, a value on each line of FILE, in one of three encodings.
const LEAKS: &str = "umask 077; w=$(mktemp -d -p /dev/shm); cp FILE $w/values; [ \"$(wc -l <$w/values)\" = 3 ]; \
    while read -r v; do [ -n \"$v\" ]; printf '%s\\n' \"$v\"; printf %s \"$v\" | base64 -w0 | head -c 50; echo; \
    printf %s \"$v\" | od -An -v -tx1 | tr -d ' \\n'; echo; done <$w/values >$w/all; \
    grep -rlaF -f $w/all @ 2>/dev/null || true; rm -r $w";

/// Where a host keeps what keyroll-host leaves there, logs, homes, and what every process was started with.
const KEPT: &str = "/var/lib /var/log /run/log /var/tmp /root /home /srv/seen";

/// How often a rotation is resumed until it must have ended.
const RESUMES_MAX: usize = 4;

struct Roll {
    fleet: Fleet,
    issuer: Issuer,
    /// The id of the key that everything starts with, and its value.
    old: String,
    value: Zeroizing<String>,
    admin: Zeroizing<String>,
    /// Hosts of keyroll.toml without a consumer.
    others: &'static [&'static str],
}

impl Roll {
    /// Two hosts with a service each, and `desk`; further keys and tables of the secret.
    fn raise(left_out: &str, secret: &str) -> Option<Self> {
        Self::raise_beside(left_out, secret, &[])
    }

    /// The same beside hosts without a consumer.
    fn raise_beside(left_out: &str, secret: &str, others: &'static [&'static str]) -> Option<Self> {
        let names = ["desk", "web-1", "web-2"].iter().chain(others);
        let wishes: Vec<_> = names.map(|name| wish(name)).collect();
        let fleet = Fleet::raise(left_out, &wishes)?;
        let (issuer, admin) = Issuer::start();
        let (old, value) = issuer.mint("by hand");
        let roll = Self { fleet, issuer, old, value, admin, others };
        roll.furnish(secret);
        HOSTS.iter().for_each(|host| roll.serve(host));
        roll.begin(STATE);
        Some(roll)
    }

    /// Gives `desk` its configuration, the admin key, and the ssh of this test.
    fn furnish(&self, secret: &str) {
        let folder = self.fleet.root().join("desk");
        fs::create_dir(&folder).unwrap();
        let place = |name: &str| folder.join(name);
        let more = "folder = \"/srv/app\"\n";
        let own = HOSTS.iter().map(|host| table(host, host) + more + "group = \"web\"\n");
        let tables: String = own.chain(self.others.iter().map(|host| table(host, host) + more)).collect();
        put(&place("keyroll.toml"), &["version = 1\n", &tables, SECRET, secret, CONSUMER], 0o644);
        let spec = self.issuer.spec("5s");
        put(&place("acme.toml"), &[&without(&without(&spec, "op.sessions"), "op.end_session")], 0o644);
        put(&place("admin.key"), &[&self.admin, "\n"], 0o600);
        put(&place("old"), &[&self.value], 0o600);
        let from = self.fleet.hosts.path().parent().unwrap().to_owned();
        let config = fs::read_to_string(from.join("ssh_config")).unwrap();
        put(&place("ssh_config"), &[&config.replace(from.to_str().unwrap(), SSH)], 0o600);
        for name in ["key", "known_hosts"] {
            fs::copy(from.join(name), place(name)).unwrap();
        }
        let take = format!(
            "mkdir -p {DESK} {SSH}/bin; cd {}; mv key known_hosts old ssh_config {SSH}/; mv * {DESK}/",
            folder.display()
        );
        self.fleet.run("desk", &take);
        self.ssh(PLAIN);
        // Every host sees the folder above it.
        fs::remove_dir(&folder).unwrap();
    }

    /// From now on `desk` reaches hosts by this script.
    fn ssh(&self, script: &str) {
        let script = script.replace("REAL", &format!("/usr/bin/ssh -F {SSH}/ssh_config \"$@\""));
        let write = format!("cat >{SSH}/bin/ssh <<'.'\n#!/bin/sh\n{script}\n.\nchmod 755 {SSH}/bin/ssh");
        self.fleet.run("desk", &write);
    }

    /// Gives a host its service, which starts.
    fn serve(&self, host: &str) {
        let folder = self.fleet.root().join("shared").join(host);
        fs::create_dir(&folder).unwrap();
        let place = |name: &str| folder.join(name);
        put(&place("api.env"), &["# The API\nORDERS_KEY=", &self.value, "\nPOOL=4\n"], 0o600);
        let check = CHECK.replace("@PORT@", &self.issuer.port().to_string()).replace("@HOST@", host);
        put(&place("check.py"), &[&check], 0o755);
        put(&place("started.sh"), &[STARTED], 0o755);
        put(&place("api.service"), &[UNIT], 0o644);
        let start = format!(
            "mkdir -p /srv/app; install -d -m 777 /srv/seen; cd {}; mv api.service /etc/systemd/system/; \
             mv * /srv/app/; systemctl daemon-reload; systemctl start api; /srv/app/check.py /srv/app/api.env",
            folder.display()
        );
        self.fleet.run(host, &start);
    }

    /// Accepts the hosts and stores the old key, in a state folder.
    #[track_caller]
    fn begin(&self, state: &str) {
        let words = [&["hosts", "accept", "web-1", "web-2"][..], self.others].concat();
        self.keyroll_of(state, &words).exits(0);
        self.on_desk(state, &["secret", "add", "orders", "--id", &self.old], &format!("<{SSH}/old")).exits(0);
    }

    /// Runs a command of keyroll on `desk`.
    fn keyroll(&self, words: &[&str]) -> Ran {
        self.keyroll_of(STATE, words)
    }

    /// The same with another state folder.
    fn keyroll_of(&self, state: &str, words: &[&str]) -> Ran {
        self.on_desk(state, words, "")
    }

    /// The same with a redirection behind it.
    fn on_desk(&self, state: &str, words: &[&str], more: &str) -> Ran {
        let output = self.fleet.hosts.run("desk", &line(state, words, more));
        Ran::read(output.status.code(), &output.stdout, &output.stderr)
    }

    /// The id of a new plan.
    #[track_caller]
    fn plan(&self) -> String {
        self.keyroll(&["plan", "orders"]).exits(0).plan()
    }

    fn apply(&self, id: &str) -> Ran {
        self.keyroll(&["apply", id, "--confirm", "orders"])
    }

    fn resume(&self, id: &str) -> Ran {
        self.keyroll(&["resume", id, "--confirm", "orders"])
    }

    /// The key that a script prints inside of a host.
    #[track_caller]
    fn key(&self, host: &str, script: &str) -> Option<String> {
        self.issuer.whose(Zeroizing::new(self.fleet.run(host, script)).as_bytes())
    }

    /// The key with which a host's service runs.
    #[track_caller]
    fn new_key_of(&self, host: &str) -> String {
        self.key(host, RUNS_WITH).expect("a key of the issuer")
    }

    /// The only key beside the old one.
    #[track_caller]
    fn new_key(&self) -> String {
        let keys = self.issuer.keys();
        let made: Vec<&str> = keys.iter().map(|key| key.id.as_str()).filter(|id| *id != self.old).collect();
        assert_eq!(made.len(), 1, "{keys:?}");
        made[0].to_owned()
    }

    /// A host holds this key, and its service runs with it.
    #[track_caller]
    fn has(&self, host: &str, id: &str) {
        for script in [HELD, RUNS_WITH] {
            assert_eq!(self.key(host, script).as_deref(), Some(id), "{host}: {script}");
        }
    }

    /// Rotates until web-1 has the new key and the operator is asked, with [`ASKS`] or the like. The rotation, and the new key.
    #[track_caller]
    fn web_1_first(&self) -> (String, String) {
        let id = self.plan();
        self.apply(&id).exits(4).paused();
        let new = self.new_key();
        self.has("web-1", &new);
        self.has("web-2", &self.old);
        (id, new)
    }

    /// How often the service of each host was started.
    fn starts(&self) -> [usize; 2] {
        HOSTS.map(|host| self.fleet.run(host, "wc -l </srv/seen/starts").parse().unwrap())
    }

    fn is_alive(&self, id: &str) -> bool {
        self.issuer.keys().iter().any(|key| key.id == id && !key.disabled)
    }

    /// The old key is alive, and so is every key that a host holds or runs with.
    #[track_caller]
    fn both_work(&self) {
        assert!(self.is_alive(&self.old), "the old key is off");
        self.all_work();
    }

    /// Every key that a host holds or runs with is alive.
    #[track_caller]
    fn all_work(&self) {
        for host in HOSTS {
            self.fleet.run(host, "/srv/app/check.py /srv/app/api.env");
            let runs_with = self.key(host, RUNS_WITH);
            assert!(runs_with.as_deref().is_some_and(|id| self.is_alive(id)), "{host}: {runs_with:?}");
        }
    }

    /// Everything that is true once a rotation has ended: this key alone is alive, held and used, and nothing is open.
    #[track_caller]
    fn settled(&self, id: &str) {
        self.rests_on(id);
        let status = self.keyroll(&["status"]);
        status.exits(0);
        assert!(status.of("paused").is_empty(), "a rotation is open: {}", status.text);
    }

    /// This key alone is alive, held and used, and nothing was left beside it.
    #[track_caller]
    fn rests_on(&self, id: &str) {
        let keys = self.issuer.keys();
        assert!(keys.len() == 1 && self.is_alive(id), "{keys:?}");
        for host in HOSTS {
            self.has(host, id);
            let files = self.fleet.run(host, "ls -A /srv/app");
            assert_eq!(files, "api.env\ncheck.py\nstarted.sh", "{host} has another file now");
        }
    }

    /// Everything that a refusal leaves unchanged on the hosts and at the issuer.
    fn snapshot(&self) -> (Vec<String>, Vec<Key>) {
        let script = "cd /srv/app; ls -A; sha256sum *; systemctl show -P MainPID api; \
                      find /var/lib/keyroll-host -type f 2>/dev/null || true";
        (HOSTS.iter().map(|host| self.fleet.run(host, script)).collect(), self.issuer.keys())
    }

    /// When a host's service was started last, microseconds of the kernel that all hosts share.
    fn started(&self, host: &str) -> u64 {
        self.fleet.run(host, "systemctl show -P ExecMainStartTimestampMonotonic api").parse().unwrap()
    }

    /// When the check of a host succeeded with the key that the host holds now, by the same clock.
    fn checked(&self, host: &str) -> Vec<u64> {
        let script = format!(
            "h=$({HELD} | tr -d '\\n' | sha256sum | cut -d' ' -f1); sed -n \"s/ $h$//p\" /srv/seen/checked"
        );
        self.fleet.run(host, &script).lines().map(|line| line.parse().unwrap()).collect()
    }

    /// The files of a host below these folders that have a key or the admin key.
    fn leaks(&self, host: &str, folders: &str) -> String {
        let values = self.fleet.root().join("shared/values");
        let new = Zeroizing::new(self.fleet.run("web-1", HELD));
        put(&values, &[&self.value, "\n", &self.admin, "\n", &new, "\n"], 0o600);
        let script = LEAKS.replace("FILE", values.to_str().unwrap()).replace('@', folders);
        let found = self.fleet.run(host, &script);
        fs::remove_file(&values).unwrap();
        found
    }
}

/// The line of a shell on `desk` that becomes a command of keyroll, with a redirection behind it.
fn line(state: &str, words: &[&str], more: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    format!(
        "cd {DESK} && exec env -i HOME=/root PATH={SSH}/bin:/usr/bin:/bin {KEYROLL} {} --json --no-input \
         --state {state} {more}",
        words.join(" ")
    )
}

#[test]
fn a_key_is_rotated_over_two_hosts_one_after_the_other() {
    let Some(roll) = Roll::raise("a rotation over hosts by ssh", "") else { return };
    roll.ssh(RECORD);
    let planned = roll.keyroll(&["plan", "orders"]);
    let id = planned.exits(0).plan();
    let applied = roll.apply(&id);
    applied.exits(0).ended("done");
    assert_eq!(applied.summary()["dead_confirmed"], true, "{}", applied.text);
    let evidence = applied.of("evidence").into_iter().filter_map(|event| event["consumer"].as_str());
    let consumers: BTreeSet<&str> = evidence.collect();
    assert_eq!(consumers, BTreeSet::from(["api@web-1", "api@web-2"]), "{}", applied.text);
    roll.settled(&roll.new_key());

    let starts = roll.starts();
    assert_eq!(starts, [2, 2], "each service was started by the test and restarted once");
    let (first, second) = (roll.started("web-1"), roll.started("web-2"));
    let proven = roll.checked("web-1");
    assert!(
        proven.iter().any(|at| (first..second).contains(at)),
        "web-1 was restarted at {first}, web-2 at {second}; the check of web-1 succeeded at {proven:?}"
    );

    // The old key is dead for a host too, by the same check that the new one passes.
    let dead = roll.fleet.root().join("shared/dead.env");
    put(&dead, &["ORDERS_KEY=", &roll.value, "\n"], 0o600);
    let check = format!("/srv/app/check.py /srv/app/api.env; ! /srv/app/check.py {}", dead.display());
    roll.fleet.run("web-2", &check);
    fs::remove_file(&dead).unwrap();

    let new = Zeroizing::new(roll.fleet.run("web-1", HELD));
    let status = roll.keyroll(&["history", &id]);
    for ran in [&planned, &applied, &status] {
        for value in [&roll.value, &new, &roll.admin] {
            assert!(!ran.text.contains(value.as_str()), "keyroll printed a value");
        }
    }
    for host in HOSTS {
        assert_eq!(roll.leaks(host, KEPT), "", "{host} keeps a value");
        assert_eq!(roll.leaks(host, "/srv/app"), "/srv/app/api.env", "the same search finds it where it is");
        // The search was not in vain: keyroll-host ran there, and left what only root may change.
        assert_ne!(roll.fleet.run(host, "grep -ac keyroll-host /srv/seen/processes"), "0");
        assert_ne!(roll.fleet.run(host, "ls -A /var/lib/keyroll-host"), "", "{host} has no fence");
        let changeable = "find /var/lib/keyroll-host ! -user root -o -perm /022";
        assert_eq!(roll.fleet.run(host, changeable), "");
    }
    assert_eq!(roll.leaks("desk", "/srv/tee"), "", "a value went over ssh");
    assert_ne!(
        roll.fleet.run("desk", "cat /srv/tee/*.up | grep -ac api.env"),
        "0",
        "nothing was written down"
    );
}

#[test]
fn an_undeclared_process_on_a_host_holds_up_the_revocation_until_it_is_waived() {
    let Some(roll) = Roll::raise("an undeclared process on a host", "") else { return };
    let pid = roll.fleet.run(
        "web-2",
        "systemd-run -q --unit=forgotten -p Type=exec -p EnvironmentFile=/srv/app/api.env /bin/sleep 100000; \
         systemctl show -P MainPID forgotten; cp -p /srv/app/api.env /var/tmp/old.env",
    );
    let program = roll.fleet.run("web-2", &format!("cat /proc/{pid}/comm"));
    let id = roll.plan();
    let held_up = roll.apply(&id);
    held_up.exits(6).says(&[&format!("keyroll consumer waive web-2:{pid} --reason")]);
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    roll.both_work();
    // Another command than the one that inspected names the process.
    let named = format!("{program} on web-2");
    roll.keyroll(&["status", &id]).says(&[&named, &format!("keyroll consumer adopt web-2:{pid} --name")]);

    // The plan did not see this copy.
    let copy = "/srv/app/late.env";
    roll.fleet.run("web-2", &format!("cp -p /var/tmp/old.env {copy}"));
    roll.resume(&id).exits(6);
    roll.keyroll(&["status", &id]).says(&[&named, &format!("web-2:{copy}")]);
    roll.fleet.run("web-2", &format!("rm {copy} /var/tmp/old.env"));

    let place = format!("web-2:{pid}");
    let waived = roll.keyroll(&["consumer", "waive", &place, "--reason", "a test"]);
    waived.exits(0).says(&[&format!("process {pid} ({program}) on web-2")]);
    let resumed = roll.resume(&id);
    resumed.exits(0).ended("done");
    assert_eq!(resumed.of("decided")[0]["waivers"], 1, "{}", resumed.text);
    roll.settled(&roll.new_key());
    assert_eq!(roll.fleet.run("web-2", "systemctl show -P MainPID forgotten"), pid, "it was not touched");
}

#[test]
fn a_process_of_a_host_is_adopted_into_the_open_rotation_which_then_moves_it() {
    let Some(roll) = Roll::raise("an adoption on a host", "") else { return };
    let unit = UNIT.replace("ExecStartPre=/srv/app/started.sh\n", "");
    let pid = roll.fleet.run(
        "web-2",
        &format!(
            "cat >/etc/systemd/system/forgotten.service <<'.'\n{unit}.\nsystemctl daemon-reload; \
             systemctl start forgotten; systemctl show -P MainPID forgotten"
        ),
    );
    let id = roll.plan();
    let place = format!("web-2:{pid}");
    roll.apply(&id).exits(6).says(&[&format!("keyroll consumer adopt {place} --name")]);

    let adopt = |check: &str| {
        roll.keyroll(&[
            "consumer",
            "adopt",
            &place,
            "--name",
            "forgotten",
            "--unit",
            "forgotten.service",
            "--env-file",
            "/srv/app/api.env",
            "--variable",
            "ORDERS_KEY",
            "--check",
            check,
        ])
    };
    let config = || roll.fleet.run("desk", &format!("cat {DESK}/keyroll.toml"));
    let before = config();
    roll.fleet.run("web-2", "systemctl stop keyroll-sshd");
    adopt("./check.py {copy}").refused(1, "K0960", &["web-2"]);
    roll.fleet.run("web-2", "systemctl start keyroll-sshd");
    // Only the host knows that it has no such command.
    let missing = adopt("./no-such-check {copy}");
    assert_ne!(missing.code, Some(0), "{}", missing.text);
    assert_eq!(config(), before, "a refusal changed keyroll.toml");

    adopt("./check.py {copy}").exits(0);
    assert!(config().contains("host = \"web-2\""), "{}", config());
    let resumed = roll.resume(&id);
    resumed.exits(0).ended("done");
    let evidence = resumed.of("evidence");
    assert!(evidence.iter().any(|event| event["consumer"] == "forgotten"), "{}", resumed.text);
    let new = roll.new_key();
    let runs_with = RUNS_WITH.replace("MainPID api", "MainPID forgotten");
    assert_eq!(roll.key("web-2", &runs_with).as_deref(), Some(new.as_str()));
    roll.settled(&new);
}

#[test]
fn an_undeclared_copy_on_a_host_refuses_the_plan_until_it_is_waived() {
    let Some(roll) = Roll::raise("an undeclared copy on a host", "") else { return };
    let copy = "/srv/app/old.env";
    roll.fleet.run("web-2", &format!("cp -p /srv/app/api.env {copy}"));
    let place = format!("web-2:{copy}");
    let before = roll.snapshot();
    let waive = format!("keyroll consumer waive {place} --reason");
    roll.keyroll(&["plan", "orders"]).refused(6, "K0836", &[&waive]);
    assert_eq!(roll.snapshot(), before);
    roll.keyroll(&["consumer", "waive", &place, "--reason", "a test"]).exits(0);
    roll.keyroll(&["consumer", "waivers"]).exits(0).says(&["web-2", copy, "a test"]);
    roll.plan();
    // The waiver is of the copy on that host alone.
    roll.fleet.run("web-1", &format!("cp -p /srv/app/api.env {copy}"));
    roll.keyroll(&["plan", "orders"]).refused(6, "K0836", &[&format!("web-1:{copy}")]);
}

#[test]
fn a_host_that_goes_away_in_the_roll_loses_no_key() {
    let Some(roll) = Roll::raise("a host by ssh that goes away", ASKS) else { return };
    let (id, new) = roll.web_1_first();

    roll.fleet.run("web-2", "systemctl stop keyroll-sshd");
    let away = roll.resume(&id);
    // It fails, pauses or asks. It does not end, neither forward nor back: what web-2 uses is not visible.
    assert!(matches!(away.code, Some(1 | 4 | 6)), "{}", away.text);
    away.says(&["web-2"]);
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    roll.both_work();

    roll.fleet.run("web-2", "systemctl start keyroll-sshd");
    let mut ended = None;
    for _ in 0..RESUMES_MAX {
        let mut ran = roll.resume(&id);
        if ran.code == Some(6) {
            ran = roll.keyroll(&["retry", &id]);
        }
        if matches!(ran.code, Some(0 | 5)) {
            ended = Some(ran);
            break;
        }
        roll.both_work();
    }
    let ended = ended.expect("the rotation ends once web-2 is there again");
    roll.settled(if ended.code == Some(0) { &new } else { &roll.old });
}

/// A roll that asks after the first host, and pauses where one fails.
const ASKS: &str = "on_failure = \"pause\"\nunit_deadline = \"30s\"\n\
    \n[secrets.orders.roll]\ncanary = \"host\"\nask = true\n";

impl Roll {
    /// Rotates until web-1 has the new key and the operator is asked, and takes web-2 away.
    #[track_caller]
    fn until_web_2_is_gone(&self) -> String {
        let id = self.plan();
        self.apply(&id).exits(4).paused();
        self.fleet.run("web-2", "systemctl stop keyroll-sshd");
        id
    }

    #[track_caller]
    fn waive_web_2(&self) -> Ran {
        self.keyroll(&["hosts", "waive", "web-2", "--reason", "its disk is dead"])
    }

    /// Goes on until the rotation has ended.
    #[track_caller]
    fn to_the_end(&self, id: &str) -> Ran {
        for _ in 0..RESUMES_MAX {
            let mut ran = self.resume(id);
            if ran.code == Some(6) {
                ran = self.keyroll(&["retry", id]);
            }
            if matches!(ran.code, Some(0 | 5)) {
                return ran;
            }
        }
        panic!("the rotation does not end");
    }
}

#[test]
fn a_host_that_is_gone_is_waived_and_the_rotation_ends_without_it() {
    let Some(roll) = Roll::raise("a host by ssh that is gone", ASKS) else { return };
    roll.waive_web_2().refused(1, "K0846", &["web-2", "no open rotation"]);
    let id = roll.until_web_2_is_gone();
    let away = roll.resume(&id);
    assert!(matches!(away.code, Some(1 | 4 | 6)), "{}", away.text);
    away.says(&["keyroll hosts waive web-2 --reason"]);
    roll.both_work();
    roll.keyroll(&["hosts", "waive", "web-*", "--reason", "a test"]).refused(
        2,
        "K0846",
        &["web-1, web-2", "one host"],
    );
    roll.keyroll(&["hosts", "waive", "web-2", "--reason", " "]).exits(2);
    // One of the two words for it.
    let waived = roll.keyroll(&["host", "waive", "web-2", "--reason", "its disk is dead"]);
    waived.exits(0).says(&["api@web-2", "web-2:/srv/app/api.env", &format!("keyroll resume {id}")]);
    assert_eq!(waived.of("host_left")[0]["stays"], "new", "{}", waived.text);
    let status = roll.keyroll(&["status", &id]);
    status.says(&["the host web-2", "its disk is dead", "web-2 is waived, and away"]);

    let ended = roll.to_the_end(&id);
    ended.exits(0).ended("done");
    let new = roll.new_key_of("web-1");
    assert_eq!(roll.issuer.keys().len(), 1, "the old key is revoked");
    assert!(roll.is_alive(&new));
    for script in [HELD, RUNS_WITH] {
        assert_eq!(roll.key("web-1", script).as_deref(), Some(new.as_str()));
        assert_eq!(roll.key("web-2", script).as_deref(), Some(roll.old.as_str()), "it was not touched");
    }
    roll.keyroll(&["history", &id]).exits(0).says(&["the host web-2", "its disk is dead"]);
    let left = ended.of("host_left");
    assert_eq!(left.len(), 1, "{}", ended.text);
    assert_eq!(left[0]["ended"], true, "{}", ended.text);
    assert_eq!(left[0]["consumers"][0]["copies"][0], "web-2:/srv/app/api.env", "{}", ended.text);
    let value = Zeroizing::new(roll.fleet.run("web-1", HELD));
    for ran in [&away, &waived, &status, &ended] {
        for value in [&roll.value, &value, &roll.admin] {
            assert!(!ran.text.contains(value.as_str()), "keyroll printed a value");
        }
    }

    // It is back after the end: a plan names the copy until the current key is written there by hand.
    roll.fleet.run("web-2", "systemctl start keyroll-sshd");
    let refused = roll.keyroll(&["plan", "orders"]);
    assert_ne!(refused.code, Some(0), "{}", refused.text);
    refused.says(&["K0302", "/srv/app/api.env", "web-2"]);
    let copy = roll.fleet.shared("copy.env");
    roll.fleet.run("web-1", &format!("cp /srv/app/api.env {copy}"));
    roll.fleet.run("web-2", &format!("cat {copy} >/srv/app/api.env; systemctl restart api; rm {copy}"));
    roll.plan();
    roll.settled(&new);
}

#[test]
fn a_host_that_is_back_after_it_was_waived_is_moved_before_the_old_key_is_revoked() {
    let Some(roll) = Roll::raise("a host by ssh that comes back", ASKS) else { return };
    let id = roll.until_web_2_is_gone();
    roll.waive_web_2().exits(0);
    roll.fleet.run("web-2", "systemctl start keyroll-sshd");
    let ended = roll.to_the_end(&id);
    ended.exits(0).ended("done");
    assert!(ended.of("host_left").is_empty(), "{}", ended.text);
    roll.settled(&roll.new_key_of("web-1"));
    let status = roll.keyroll(&["status", &id]);
    assert_eq!(status.of("status")[0]["hosts_back"][0], "web-2", "{}", status.text);
}

#[test]
fn a_host_that_was_waived_holds_up_no_rollback() {
    let Some(roll) = Roll::raise("a rollback without a host by ssh", ASKS) else { return };
    let id = roll.until_web_2_is_gone();
    roll.waive_web_2().exits(0);
    let mut ended = roll.keyroll(&["abort", &id]);
    if ended.code != Some(5) {
        ended = roll.to_the_end(&id);
    }
    assert_eq!(ended.code, Some(5), "{}", ended.text);
    let left = ended.of("host_left");
    assert_eq!(left.len(), 1, "{}", ended.text);
    assert_eq!(left[0]["stays"], "old", "{}", ended.text);
    assert_eq!(left[0]["consumers"][0]["key"], "old", "it was never moved: {}", ended.text);
    let keys = roll.issuer.keys();
    assert!(keys.len() == 1 && roll.is_alive(&roll.old), "{keys:?}");
    for script in [HELD, RUNS_WITH] {
        assert_eq!(roll.key("web-1", script).as_deref(), Some(roll.old.as_str()));
    }
}

#[test]
fn a_host_that_cannot_be_reached_refuses_the_plan_by_name() {
    let Some(roll) = Roll::raise("a plan without one of its hosts", "") else { return };
    roll.fleet.run("web-2", "systemctl stop keyroll-sshd");
    let before = roll.snapshot();
    let planned = roll.keyroll(&["plan", "orders"]);
    planned.refused(1, "K0960", &["web-2"]);
    assert!(planned.of("plan").is_empty(), "{}", planned.text);
    assert_eq!(roll.snapshot(), before);

    // Also the hosts of a plan that was made before: no key is made for a roll that could not end.
    roll.fleet.run("web-2", "systemctl start keyroll-sshd");
    let id = roll.plan();
    roll.fleet.run("web-2", "systemctl stop keyroll-sshd");
    let applied = roll.apply(&id);
    assert!(applied.code != Some(0) && applied.text.contains("web-2"), "{}", applied.text);
    assert_eq!(roll.issuer.made(), 1, "{}", applied.text);
    roll.both_work();
}

#[test]
fn a_host_that_is_gone_is_left_out_of_a_plan_and_the_others_are_rotated() {
    let Some(roll) = Roll::raise("a plan without a host by ssh that is gone", "") else { return };
    roll.fleet.run("web-2", "systemctl stop keyroll-sshd");
    let refused = roll.keyroll(&["plan", "orders"]);
    refused.refused(1, "K0960", &["keyroll plan orders --without web-2 --reason"]);
    roll.keyroll(&["plan", "orders", "--without", "web-2"]).exits(2);
    let both = ["plan", "orders", "--without", "web-1", "--without", "web-2", "--reason", "a test"];
    assert_ne!(roll.keyroll(&both).code, Some(0));
    let planned = roll.keyroll(&["plan", "orders", "--without", "web-2", "--reason", "its disk is dead"]);
    let id = planned.exits(0).plan();
    planned.says(&["web-2 is left out (its disk is dead)", "api@web-2 keeps the old key"]);
    let applied = roll.apply(&id);
    applied.exits(0).ended("done");
    let left = applied.of("host_left");
    assert!(left.len() == 1 && left[0]["name"] == "web-2", "{}", applied.text);
    roll.keyroll(&["history", &id]).exits(0).says(&["the host web-2", "its disk is dead"]);
    let new = roll.new_key_of("web-1");
    assert_eq!(roll.issuer.keys().len(), 1, "the old key is revoked");
    assert!(roll.is_alive(&new));
    for script in [HELD, RUNS_WITH] {
        assert_eq!(roll.key("web-1", script).as_deref(), Some(new.as_str()));
        assert_eq!(roll.key("web-2", script).as_deref(), Some(roll.old.as_str()), "it was not touched");
    }
    let config = roll.fleet.run("desk", &format!("cat {DESK}/keyroll.toml"));
    assert!(config.contains("hosts = [\"web\"]"), "keyroll.toml was changed: {config}");
}

#[test]
fn a_host_that_was_left_out_and_answers_holds_up_the_revocation_until_what_it_has_is_waived() {
    let Some(roll) = Roll::raise("a host by ssh that was left out and is back", "") else { return };
    roll.fleet.run("web-2", "systemctl stop keyroll-sshd");
    let without = ["--without", "web-2", "--reason", "its disk is dead"];
    let planned = roll.keyroll(&[&["plan", "orders"][..], &without].concat());
    let id = planned.exits(0).plan();
    roll.keyroll(&["apply", &id, "--confirm", "orders", "--until", "roll"]).exits(4);
    let emergency = roll.keyroll(&[&["emergency", "orders", "--confirm", "orders"][..], &without].concat());
    assert!(emergency.code != Some(0) && emergency.text.contains("hosts waive web-2"), "{}", emergency.text);
    roll.fleet.run("web-2", "systemctl start keyroll-sshd");
    let pid = roll.fleet.run("web-2", "systemctl show -P MainPID api");
    let held_up = roll.resume(&id);
    held_up.exits(6).says(&[&format!("keyroll consumer waive web-2:{pid} --reason")]);
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    roll.both_work();
    let place = format!("web-2:{pid}");
    let adopted = roll.keyroll(&["consumer", "adopt", &place, "--name", "late", "--unit", "api.service"]);
    assert_ne!(adopted.code, Some(0), "{}", adopted.text);

    roll.keyroll(&["consumer", "waive", &place, "--reason", "a test"]).exits(0);
    // Its copy too, which no process has open: the service could be started from it again.
    let held_up = roll.resume(&id);
    held_up.exits(6).says(&["web-2:/srv/app/api.env"]);
    roll.keyroll(&["consumer", "waive", "web-2:/srv/app/api.env", "--reason", "a test"]).exits(0);
    roll.resume(&id).exits(0).ended("done");
    assert_eq!(roll.key("web-2", RUNS_WITH).as_deref(), Some(roll.old.as_str()), "it was not touched");
}

#[test]
fn another_keyroll_is_refused_by_the_hosts_of_the_first_one() {
    let Some(roll) = Roll::raise("two keyrolls for the same hosts", "") else { return };
    let id = roll.plan();
    roll.keyroll(&["apply", &id, "--confirm", "orders", "--until", "mint"]).exits(4);
    // Nothing was made yet.
    roll.keyroll(&["abort", &id]).exits(5);
    roll.both_work();

    let other = "/srv/other";
    roll.begin(other);
    // A plan changes nothing, and is not refused.
    let planned = roll.keyroll_of(other, &["plan", "orders"]);
    let id = planned.exits(0).plan();
    let applied = roll.keyroll_of(other, &["apply", &id, "--confirm", "orders"]);
    assert_ne!(applied.code, Some(0), "{}", applied.text);
    applied.says(&["K0964"]);
    for host in HOSTS {
        assert_eq!(roll.key(host, HELD).as_deref(), Some(roll.old.as_str()), "{host}");
    }
    let starts = roll.starts();
    assert_eq!(starts, [1, 1], "a service was restarted");
    roll.both_work();
}
