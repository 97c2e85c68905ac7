//! A keyroll on `desk` that runs beside the test, and what the hosts show meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use keyroll_testkit::command::{Ran, wait};

use super::{HOSTS, Roll, STATE, line};

/// Starts a line in a session of its own, so that a signal to its group reaches its ssh too, as that of a terminal does.
/// Prints the process of the line, and the folder with what it says and how it ends.
const START: &str = "mkdir -p /srv/drives; d=$(mktemp -d -p /srv/drives)\ncat >$d/line <<'.'\n\
    echo $$ >${0%/*}/pid; LINE\n.\n\
    setsid -f sh -c 'trap : INT; setsid sh $1/line >$1/out 2>$1/err; echo $? >$1/code' sh $d </dev/null >/dev/null 2>&1\n\
    until [ -s $d/pid ]; do sleep 0.05; done; cat $d/pid; echo $d";

/// How long a driver may take to its end: it may wait for the end of a phase.
const END_MAX: Duration = Duration::from_secs(300);

/// A keyroll that runs; it ends with its host.
pub(super) struct Driver<'r> {
    roll: &'r Roll,
    pid: String,
    /// What it says, and how it ended.
    folder: String,
}

impl Driver<'_> {
    /// Sends a signal to it alone.
    pub(super) fn signal(&self, name: &str) {
        self.roll.fleet.run("desk", &format!("kill -{name} {}", self.pid));
    }

    /// Sends a signal to it and to every ssh that it started.
    pub(super) fn signal_all(&self, name: &str) {
        self.roll.fleet.run("desk", &format!("kill -{name} -{}", self.pid));
    }

    /// Lets it stand still.
    #[track_caller]
    pub(super) fn stop(&self) {
        self.signal("STOP");
        let state = format!("sed -n 's/^State:\\t\\(.\\).*/\\1/p' /proc/{}/status", self.pid);
        wait("a driver that stands still", || self.roll.fleet.run("desk", &state) == "T");
    }

    /// What it said so far.
    fn said(&self) -> Ran {
        let read = |name: &str| {
            self.roll.fleet.run("desk", &format!("cat {}/{name} 2>/dev/null || true", self.folder))
        };
        Ran::read(read("code").parse().ok(), read("out").as_bytes(), read("err").as_bytes())
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn ended(self) -> Ran {
        let end = Instant::now() + END_MAX;
        loop {
            let said = self.said();
            if said.code.is_some() {
                // What it wrote while the code was not there yet.
                return self.said();
            }
            assert!(Instant::now() < end, "it does not end: {}", said.text);
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Roll {
    /// Starts a command of keyroll on `desk`.
    pub(super) fn start(&self, state: &str, words: &[&str]) -> Driver<'_> {
        let started = self.fleet.run("desk", &START.replace("LINE", &line(state, words, "")));
        let (pid, folder) = started.split_once('\n').unwrap();
        Driver { roll: self, pid: pid.to_owned(), folder: folder.to_owned() }
    }

    /// Applies a new plan until web-1 restarts its service, whose start then waits: the step is in hand.
    #[track_caller]
    pub(super) fn in_a_restart(&self) -> (String, Driver<'_>) {
        let id = self.plan();
        assert_eq!(self.starts(), [1, 1], "each service was started by the test");
        self.fleet.run("web-1", "touch /srv/seen/hold");
        let driver = self.start(STATE, &["apply", &id, "--confirm", "orders"]);
        wait("a restart on web-1, or the end of keyroll", || {
            self.starts() == [2, 1] || driver.said().code.is_some()
        });
        let said = driver.said();
        assert_eq!(said.code, None, "it ended: {}", said.text);
        (id, driver)
    }

    /// Lets the start of the service on web-1 go on.
    pub(super) fn let_go(&self) {
        self.fleet.run("web-1", "rm /srv/seen/hold");
    }

    /// Waits until no keyroll-host runs any more: each finishes what it has in hand.
    #[track_caller]
    pub(super) fn await_idle(&self) {
        for host in HOSTS {
            let runs = || self.fleet.run(host, "pgrep ^keyroll-host || true");
            wait("the end of keyroll-host", || runs().is_empty());
        }
    }

    /// Who may change each host, by its own record.
    pub(super) fn fences(&self) -> [String; 2] {
        HOSTS.map(|host| self.fleet.run(host, "cat /var/lib/keyroll-host/*.json"))
    }
}
