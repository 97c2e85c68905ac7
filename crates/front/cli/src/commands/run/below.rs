//! What is below keyroll and has the values: the program, and what it left behind.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use keyroll_observe::{ProcessId, descendants, process, processes};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, set_child_subreaper,
    waitid,
};

use crate::relay::Relay;

/// The exit codes of a program that could not be executed, and of one that does not exist, as in shells.
pub(super) const EXEC_FAILED: u8 = 126;
pub(super) const NOT_FOUND: u8 = 127;

/// How long a killed process may take to end.
const KILLED: Duration = Duration::from_secs(2);
/// The time between two looks at what is left.
const LOOK: Duration = Duration::from_millis(50);
/// How long a listing of processes may take.
const LISTING_MAX: Duration = Duration::from_secs(5);
/// How many processes are named.
const NAMED_MAX: usize = 5;

/// Every process below keyroll is its child in the end, because the kernel gives it those whose parents have ended.
pub(super) struct Below {
    own: Option<ProcessId>,
    /// Those that were there before: keyroll was executed in a process that had children. They have no value.
    before: Vec<ProcessId>,
    grace: Duration,
}

impl Below {
    /// Adopts what is left behind from now on.
    pub(super) fn adopt(grace: Duration) -> io::Result<Self> {
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let own = process(std::process::id()).ok().map(|own| own.id);
        let mut below = Self { own, before: Vec::new(), grace };
        if !below.is_alone() {
            below.before = below.left();
        }
        Ok(below)
    }

    /// Reaps what has ended, and says whether nothing is left. The program itself must have been reaped before. If this
    /// cannot be seen, something is left.
    pub(super) fn is_alone(&self) -> bool {
        loop {
            let one = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match waitid(WaitId::All, one) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                // The kernel's own word: no child is left.
                Err(Errno::CHILD) => return true,
                Err(_) => return false,
                Ok(None) => break,
            }
        }
        let known = |pid: &Pid| self.before.iter().any(|one| Pid::from_raw(pid_of(one)) == Some(*pid));
        !self.before.is_empty() && {
            // A list that changes while it is read may lack one (proc(5)).
            let first = children();
            thread::sleep(LOOK);
            !first.is_empty() && first == children() && first.iter().all(known)
        }
    }

    /// Whether nothing is left, at the latest after this time.
    pub(super) fn is_alone_within(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while !self.is_alone() {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    /// Ends what is left: TERM, and KILL when the time is over. `false`: something is still there.
    pub(super) fn end(&self) -> bool {
        let kills = Instant::now() + self.grace;
        let mut asked = false;
        loop {
            if self.is_alone() {
                return true;
            }
            let now = Instant::now();
            if now >= kills + KILLED {
                return false;
            }
            if now >= kills {
                self.signal(Signal::KILL);
            } else if !std::mem::replace(&mut asked, true) {
                self.signal(Signal::TERM);
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until nothing is left, or keyroll is asked to end; then ends it.
    pub(super) fn stay(&self, relay: &Relay) {
        while !self.is_alone() && !relay.is_asked() {
            thread::sleep(LOOK);
        }
        self.end();
    }

    fn left(&self) -> Vec<ProcessId> {
        let all = self.own.map(listed).unwrap_or_default();
        all.into_iter().filter(|one| !self.before.contains(one)).collect()
    }

    fn signal(&self, signal: Signal) {
        for one in self.left() {
            // Opened first and compared then: the number may have been given to another process since it was listed.
            let Some(Ok(fd)) = Pid::from_raw(pid_of(&one)).map(|pid| pidfd_open(pid, PidfdFlags::empty()))
            else {
                continue;
            };
            if process(one.pid).is_ok_and(|now| now.id == one) {
                // One that has ended, or may not be ended, is looked for again.
                let _ = pidfd_send_signal(&fd, signal);
            }
        }
    }

    /// Those that are left, for a person.
    pub(super) fn named(&self) -> String {
        let left = self.left();
        let mut named: Vec<String> = left.iter().take(NAMED_MAX).map(|one| one.pid.to_string()).collect();
        if left.len() > NAMED_MAX {
            named.push(format!("{} more", left.len() - NAMED_MAX));
        }
        match named.is_empty() {
            true => "a process that is not visible".to_owned(),
            false => format!("process {}", named.join(", ")),
        }
    }
}

fn pid_of(one: &ProcessId) -> i32 {
    i32::try_from(one.pid).unwrap_or(0)
}

fn listed(own: ProcessId) -> Vec<ProcessId> {
    let listing = processes(LISTING_MAX);
    listing
        .map(|listing| descendants(&listing, own).into_iter().map(|one| one.id).collect())
        .unwrap_or_default()
}

/// The children of this process, of each of its threads (proc(5)); none where the kernel does not list them.
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let listed: Vec<String> = listed.collect();
    let pids = listed.iter().flat_map(|line| line.split_whitespace());
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Reaps the children that have ended, but not the program.
pub(super) fn reap(program: Pid) {
    for one in children().into_iter().filter(|one| *one != program) {
        let _ = waitid(WaitId::Pid(one), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}
