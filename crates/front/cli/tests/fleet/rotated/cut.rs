//! The network, a host, its disk or its service fails once web-1 has the new key: no key is lost, web-2 is named, and the
//! rotation ends when the cause is gone.

use std::thread;

use keyroll_testkit::command::wait;

use super::{ASKS, HELD, PLAIN, RUNS_WITH, Roll, SSH};

/// Stands between keyroll and web-2.
const RELAY: &str = include_str!("cut.py");

/// Reaches web-2 through it, and the others as before.
const THROUGH: &str =
    "case \" $* \" in *\" -- web-2 \"*) exec /usr/bin/python3 /srv/ssh/cut.py REAL;; *) exec REAL;; esac";

/// As [`ASKS`], with little patience.
const SHORT: &str = "on_failure = \"pause\"\nunit_deadline = \"15s\"\nphase_deadline = \"30s\"\n\
    \n[secrets.orders.roll]\ncanary = \"host\"\nask = true\n";

/// As [`ASKS`], and every host gets the old key again where one fails.
const BACK: &str = "on_failure = \"rollback\"\nunit_deadline = \"30s\"\n\
    \n[secrets.orders.roll]\ncanary = \"host\"\nask = true\n";

/// Moves the consumer's folder to a small file system of its own.
const SMALL: &str = "mkdir /dev/shm/app; cp -a /srv/app/. /dev/shm/app; \
    mount -t tmpfs -o size=256k,mode=755 none /srv/app; cp -a /dev/shm/app/. /srv/app; rm -r /dev/shm/app";

/// Fills it.
const FILL: &str = "head -c 1000000 /dev/zero >/srv/app/filler 2>/dev/null || true";

impl Roll {
    /// Puts the relay between keyroll and web-2.
    fn relays(&self) {
        self.fleet.run("desk", &format!("cat >{SSH}/cut.py <<'.'\n{RELAY}.\n"));
        self.ssh(THROUGH);
    }

    /// How the relay cuts connections from now on; `lasts`: "once", or "stays".
    fn cuts(&self, how: &str, lasts: &str) {
        self.fleet.run("desk", &format!("echo {how} {lasts} >{SSH}/cut"));
    }
}

#[test]
fn garbage_in_the_middle_of_a_rotation_closes_the_link_and_no_step_is_carried_out_twice() {
    let Some(roll) = Roll::raise("garbage from a host by ssh", ASKS) else { return };
    let (id, new) = roll.web_1_first();
    roll.relays();
    roll.cuts("garbage", "once");
    let resumed = roll.resume(&id);
    // The host wrote the file, and keyroll did not hear of it. It asks again over another connection.
    resumed.says(&["could not write a version on web-2 (K0963)", "keyroll hosts check web-2"]);
    resumed.exits(0).ended("done");
    assert_eq!(roll.starts(), [2, 2]);
    roll.settled(&new);
}

#[test]
fn a_network_that_breaks_in_the_middle_of_a_step_and_stays_broken_loses_no_key() {
    let Some(roll) = Roll::raise("a broken network to a host by ssh", SHORT) else { return };
    let (id, new) = roll.web_1_first();
    roll.relays();
    for (how, code) in [("mute", "K0960"), ("garbage", "K0963"), ("large", "K0963"), ("half", "K0960")] {
        roll.cuts(how, "stays");
        let first = how == "mute";
        let cut = if first { roll.resume(&id) } else { roll.keyroll(&["retry", &id]) };
        assert!(matches!(cut.code, Some(1 | 4 | 6)), "{how}: {}", cut.text);
        cut.says(&[&format!("on web-2 ({code})")]);
        assert_eq!(roll.issuer.deletions(), [] as [String; 0], "{how}");
        roll.both_work();
        roll.has("web-1", &new);
        // The first order was carried out, and its answer was lost: nothing follows before that is known.
        assert_eq!(roll.key("web-2", HELD).as_deref(), Some(new.as_str()), "{how}");
        assert_eq!(roll.key("web-2", RUNS_WITH).as_deref(), Some(roll.old.as_str()), "{how}");
        assert_eq!(roll.starts()[1], 1, "{how}");
    }
    roll.ssh(PLAIN);
    roll.to_the_end(&id).exits(0).ended("done");
    assert_eq!(roll.starts(), [2, 2]);
    roll.settled(&new);
}

#[test]
fn a_host_that_freezes_in_a_restart_is_named_and_the_rotation_ends_once_it_goes_on() {
    let Some(roll) = Roll::raise("a frozen host by ssh", SHORT) else { return };
    let (id, new) = roll.web_1_first();
    roll.fleet.run("web-2", "touch /srv/seen/hold");
    let frozen = thread::scope(|scope| {
        let resuming = scope.spawn(|| roll.resume(&id));
        wait("the restart on web-2", || roll.starts()[1] == 2);
        roll.fleet.hosts.pause("web-2");
        resuming.join().unwrap()
    });
    assert!(matches!(frozen.code, Some(1 | 4 | 6)), "{}", frozen.text);
    frozen.says(&["web-2 (K0960)"]);
    // Nothing can be asked of web-2. The other host keeps what it has, and both keys are alive.
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    assert!(roll.is_alive(&roll.old) && roll.is_alive(&new));
    roll.has("web-1", &new);
    roll.fleet.run("web-1", "/srv/app/check.py /srv/app/api.env");

    roll.fleet.hosts.unpause("web-2");
    roll.fleet.run("web-2", "rm /srv/seen/hold");
    let ended = roll.to_the_end(&id);
    roll.settled(if ended.code == Some(0) { &new } else { &roll.old });
}

#[test]
fn a_host_without_space_for_its_copy_keeps_the_old_key_and_so_do_the_others() {
    let Some(roll) = Roll::raise("a full disk of a host by ssh", BACK) else { return };
    roll.fleet.run("web-2", SMALL);
    let (id, new) = roll.web_1_first();
    roll.fleet.run("web-2", FILL);
    assert_eq!(roll.fleet.run("web-2", "df --output=avail /srv/app | tail -n 1"), "0");
    roll.both_work();
    let full = roll.resume(&id);
    full.says(&["K0315", "No space left on device", "on web-2: free space"]);
    full.exits(5).ended("rolled_back");
    // web-2 was never given the new key: its service runs on. The old key is not ended, the new one is.
    assert_eq!(roll.starts(), [3, 1]);
    assert_eq!(roll.issuer.deletions(), [new]);
    roll.fleet.run("web-2", "rm /srv/app/filler");
    roll.settled(&roll.old);

    let (id, new) = roll.web_1_first();
    roll.both_work();
    roll.to_the_end(&id).exits(0).ended("done");
    roll.settled(&new);
}

#[test]
fn a_service_that_does_not_start_with_the_new_key_is_started_with_the_old_one() {
    let back = "on_failure = \"rollback\"\nunit_deadline = \"30s\"\n";
    let Some(roll) = Roll::raise("a service of a host by ssh that does not start", back) else { return };
    roll.fleet.run("web-2", "sha256sum /srv/app/api.env >/srv/seen/only");
    let id = roll.plan();
    let failed = roll.apply(&id);
    failed.says(&["on web-2 (K0407)"]);
    failed.exits(5).ended("rolled_back");
    let ended = roll.issuer.deletions();
    assert!(ended.len() == 1 && ended[0] != roll.old, "{ended:?}");
    // By the test, with the new key, and with the old one again.
    assert_eq!(roll.starts()[0], 3);
    roll.settled(&roll.old);

    // Where it is to pause, the other host keeps the new key.
    roll.fleet.run("desk", "sed -i 's/^on_failure = .*/on_failure = \"pause\"/' /srv/desk/keyroll.toml");
    let id = roll.plan();
    let failed = roll.apply(&id);
    failed.says(&["on web-2 (K0407)"]);
    failed.exits(4).paused();
    let new = roll.new_key();
    roll.has("web-1", &new);
    roll.has("web-2", &roll.old);
    roll.both_work();
    assert_eq!(roll.issuer.deletions(), ended, "a key was ended");
    roll.fleet.run("web-2", "rm /srv/seen/only");
    roll.to_the_end(&id).exits(0).ended("done");
    roll.settled(&new);
}
