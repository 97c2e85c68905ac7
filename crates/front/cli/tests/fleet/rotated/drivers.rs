//! Two drivers of one rotation over hosts: one that stood still while another one went on, and one whose state folder is from
//! before what was done. Whichever is the older one is refused by every host, and changes nothing.

use keyroll_testkit::command::Ran;
use keyroll_testkit::issuer::Key;

use super::{HOSTS, Roll, STATE};

/// Time limits within which a rotation that is refused everywhere stands still.
const SHORT: &str = "unit_deadline = \"30s\"\nphase_deadline = \"60s\"\n";

/// Copies of the state folder: one that is of one driver before the last, and an older one.
const COPY: &str = "/srv/copy";
const OLDER: &str = "/srv/older";

/// How often somebody tries to go on with a copy.
const TRIES: usize = 3;

/// All that a driver could change: the hosts, their records of who may change them, and the keys.
#[derive(Debug, PartialEq)]
struct Everything {
    hosts: Vec<String>,
    fences: [String; 2],
    starts: [usize; 2],
    keys: Vec<Key>,
    made: usize,
    deletions: Vec<String>,
}

impl Roll {
    fn everything(&self) -> Everything {
        let (hosts, keys) = self.snapshot();
        let (fences, starts) = (self.fences(), self.starts());
        let (made, deletions) = (self.issuer.made(), self.issuer.deletions());
        Everything { hosts, fences, starts, keys, made, deletions }
    }

    /// Copies the state folder and that of its keys.
    fn copy_state(&self, to: &str) {
        self.fleet.run("desk", &format!("cp -a {STATE} {to}; cp -a {STATE}.keys {to}.keys"));
    }

    /// Goes on with a state folder, and again where it is stuck. What was said, together.
    fn tries(&self, state: &str, id: &str) -> Vec<Ran> {
        let mut said = vec![self.keyroll_of(state, &["resume", id, "--confirm", "orders"])];
        if said[0].code == Some(6) {
            said.push(self.keyroll_of(state, &["retry", id]));
        }
        said
    }
}

/// It ended neither forward nor back.
#[track_caller]
fn is_not_ended(ran: &Ran) {
    assert!(!matches!(ran.code, None | Some(0 | 5)), "it is not refused: {}", ran.text);
}

#[test]
fn a_driver_that_stood_still_while_another_one_went_on_is_refused_by_every_host() {
    let Some(roll) = Roll::raise("a driver that wakes up in a rotation over hosts", SHORT) else { return };
    let (id, first) = roll.in_a_restart();
    first.stop();
    // As a machine that is restored from a snapshot while the first one stands still: the lock is not seen there.
    roll.copy_state(COPY);
    roll.let_go();
    let second = roll.keyroll_of(COPY, &["resume", &id, "--confirm", "orders"]);
    second.exits(0).ended("done");
    assert_eq!(roll.starts(), [2, 2], "a service was restarted twice: {}", second.text);
    let new = roll.new_key_of("web-1");
    roll.rests_on(&new);

    let before = roll.everything();
    first.signal("CONT");
    let woken = first.ended();
    is_not_ended(&woken);
    woken.says(&["K0964", "a newer driver has taken over"]);
    assert!(HOSTS.iter().any(|host| woken.text.contains(host)), "no host is named: {}", woken.text);
    assert_eq!(roll.everything(), before, "{}", woken.text);
    roll.all_work();
}

/// The lock of a stopped driver was removed by hand: the journal of both is one.
#[test]
fn a_driver_whose_lock_was_removed_changes_no_host_when_it_wakes_up() {
    let Some(roll) = Roll::raise("a driver over hosts whose lock was removed", SHORT) else { return };
    let (id, first) = roll.in_a_restart();
    first.stop();
    roll.fleet.run("desk", &format!("rm {STATE}/lock"));
    roll.let_go();
    let second = roll.resume(&id);
    second.exits(0).ended("done");
    assert_eq!(roll.starts(), [2, 2], "a service was restarted twice: {}", second.text);
    roll.settled(&roll.new_key_of("web-1"));

    let before = roll.everything();
    first.signal("CONT");
    let woken = first.ended();
    woken.refused(7, "K0834", &["another driver took the rotation over"]);
    assert_eq!(roll.everything(), before, "{}", woken.text);
    roll.settled(&roll.new_key_of("web-1"));
}

/// However often it is tried: a copy does not become the newest one by that.
#[test]
fn a_state_folder_from_before_a_roll_is_refused_by_every_host_after_it() {
    let Some(roll) = Roll::raise("a restored state folder and hosts by ssh", SHORT) else { return };
    let id = roll.plan();
    roll.keyroll(&["apply", &id, "--confirm", "orders", "--until", "probe"]).exits(4).paused();
    roll.copy_state(OLDER);
    roll.keyroll(&["resume", &id, "--confirm", "orders", "--until", "roll"]).exits(4).paused();
    roll.copy_state(COPY);
    roll.resume(&id).exits(0).ended("done");
    let new = roll.new_key_of("web-1");
    roll.settled(&new);

    let before = roll.everything();
    for state in [OLDER, COPY] {
        for attempt in 1..=TRIES {
            let said = roll.tries(state, &id);
            said.iter().for_each(is_not_ended);
            let refused = said.iter().any(|ran| ran.text.contains("K0964"));
            let texts: Vec<&str> = said.iter().map(Ran::text).collect();
            assert!(refused, "attempt {attempt} of {state}: {texts:?}");
            assert_eq!(roll.everything(), before, "attempt {attempt} of {state}: {texts:?}");
        }
        // Nor does it roll back: the new key is in use.
        let aborted = roll.keyroll_of(state, &["abort", &id]);
        is_not_ended(&aborted);
        assert_eq!(roll.everything(), before, "{}", aborted.text);
    }
    roll.settled(&new);
}
