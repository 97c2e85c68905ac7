//! Nothing is left of a look that was interrupted.

use std::fs;
use std::path::Path;
use std::thread;

use keyroll_testkit::command::{Running, has_ended, wait};
use rustix::process::{Pid, Signal};

use super::scene::{Fleet, OWN, wish};

/// Says that it watches, stops the first process of this name and with these words, and prints its number. One that reads
/// nothing only tries whether sudo allows it.
const STOP: &str = "touch READY; timeout 60 sh -c 'while :; do for p in $(pgrep ^NAME); do \
    if tr \"\\0\" \" \" </proc/$p/cmdline | grep -q \"WORDS\" && i=$(readlink /proc/$p/fd/0) && \
    [ $i != /dev/null ]; then kill -STOP $p; echo $p; exit; fi; done; done' 2>/dev/null";

/// The processes that a process started and that have not ended.
fn children(of: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", of.as_raw_nonzero())).unwrap();
    let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
    let words: Vec<String> = lists
        .map_while(Result::ok)
        .flat_map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    words.iter().filter_map(|word| Pid::from_raw(word.trim().parse().ok()?)).collect()
}

/// Interrupts a look while a process of the host stands still, and lets that one go on afterwards.
fn interrupted(fleet: &Fleet, name: &str, words: &str) {
    let ready = fleet.shared(name);
    let stop = STOP.replace("NAME", name).replace("WORDS", words).replace("READY", &ready);
    let looked = thread::scope(|scope| {
        let stopped = scope.spawn(|| fleet.run("web-1", &stop));
        wait("a watch on the host", || Path::new(&ready).exists());
        let looks = Running::start({
            let mut command = fleet.command(&["scan", "/srv", "--host", "web-1"]);
            command.arg("--json");
            command
        });
        let pid = stopped.join().unwrap();
        let ours = children(looks.pid());
        assert!(!ours.is_empty(), "it has no ssh");
        looks.signal(Signal::INT);
        let ended = looks.end();
        // sudo stops itself as soon as it sees that its program is stopped, which may be after that one went on.
        let go_on = format!("kill -CONT {pid} 2>/dev/null || true; pkill -CONT -x sudo || true");
        for child in ours {
            wait("the end of ssh", || {
                fleet.run("web-1", &go_on);
                has_ended(child)
            });
        }
        ended
    });
    assert_ne!(looked.code, Some(0), "{}", looked.text);
    wait("the end of keyroll-host", || fleet.run("web-1", "pgrep ^keyroll-host || true").is_empty());
    wait("the end of what is unfinished", || {
        fleet.run("web-1", "ls /home/deploy/.cache/keyroll/new.* 2>/dev/null || true").is_empty()
    });
}

#[test]
fn ctrl_c_leaves_nothing_on_a_host() {
    let Some(fleet) = Fleet::raise("an interrupted look at a host by ssh", &[wish("web-1")]) else { return };
    fleet.worker("web-1", OWN);
    // While the program is sent, and while it looks.
    interrupted(&fleet, "head", "head -c");
    fleet.run("web-1", "! ls /home/deploy/.cache/keyroll/keyroll-host-* 2>/dev/null");
    fleet.keyroll(&["scan", "/srv", "--host", "web-1"]).exits(0);
    interrupted(&fleet, "keyroll-host", "serve");
    fleet.keyroll(&["scan", "/srv", "--host", "web-1"]).exits(0);
}
