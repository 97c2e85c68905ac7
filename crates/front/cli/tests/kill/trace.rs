//! A command under strace: its calls counted, or killed at the N-th of one of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_testkit::alphanumeric;

/// The places, by class, each with its system calls.
pub const CLASSES: [(&str, &[&str]); 5] = [
    ("write", &["write", "writev", "pwrite64"]),
    ("fsync", &["fsync", "fdatasync"]),
    ("rename", &["rename", "renameat", "renameat2"]),
    ("connect", &["connect"]),
    ("send", &["sendto", "sendmsg"]),
];

/// One kill that is to happen: at the N-th of a system call in any one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub class: &'static str,
    pub call: &'static str,
    pub nth: u64,
    /// Only calls on the store's log count.
    pub store: bool,
}

/// Per system call the most that one thread made.
pub type Counts = BTreeMap<&'static str, u64>;

/// How many writes before the journal's last one are the very end of a run: those of its last two entries.
const LATE: u64 = 8;

/// The number of the last write of the journal's log, among the counts; what follows empties that log.
const LAST_ENTRY: &str = "last entry";

/// One place of so many is a write of the store.
const STORE_EVERY: u64 = 4;

/// The number of the store's writes, among the counts.
const STORE: &str = "store";

/// Draws that can be repeated: splitmix64.
pub struct Draw(pub u64);

impl Draw {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }

    /// A place at the very end of a run: one of the journal's last writes.
    pub fn late(&mut self, counts: &Counts) -> Place {
        let last = counts.get(LAST_ENTRY).copied().unwrap_or(1);
        Place {
            class: "write",
            call: "pwrite64",
            nth: last.saturating_sub(self.below(LATE)).max(1),
            store: false,
        }
    }

    /// A place: a class, a call of it by its weight, and a number that is low more often than high.
    pub fn place(&mut self, counts: &Counts) -> Place {
        // The store writes less than the journal, so by its number alone a store write would never be hit first.
        if self.below(STORE_EVERY) == 0 {
            // Low more often than high: the first are those of a value that the issuer has just given.
            let most = 1 + self.below(counts.get(STORE).copied().unwrap_or(1));
            let nth = 1 + self.below(most);
            return Place { class: "write", call: "pwrite64", nth, store: true };
        }
        let seen = |calls: &[&'static str]| -> Vec<(&'static str, u64)> {
            calls.iter().filter_map(|call| Some((*call, *counts.get(call)?))).collect()
        };
        let classes: Vec<_> = CLASSES
            .iter()
            .map(|(class, calls)| (*class, seen(calls)))
            .filter(|(_, all)| !all.is_empty())
            .collect();
        let (class, calls) = &classes[self.below(classes.len() as u64) as usize];
        let mut at = self.below(calls.iter().map(|(_, count)| count).sum());
        let (call, most) = calls
            .iter()
            .find(|(_, count)| {
                let here = at < *count;
                at = at.saturating_sub(*count);
                here
            })
            .unwrap_or(&calls[0]);
        // As often between 1 and 10 as between 10 and 100: a resumed run is short, and its beginning counts.
        let exponent = f64::from(self.below(1 << 20) as u32) / f64::from(1u32 << 20);
        let nth = (*most as f64).powf(exponent).round() as u64;
        Place { class, call, nth: nth.clamp(1, *most), store: false }
    }
}

/// Whether strace can trace here.
pub fn works() -> bool {
    let ran = Command::new("strace").args(["-qq", "-b", "execve", "-o", "/dev/null", "true"]).output();
    ran.is_ok_and(|output| output.status.success())
}

/// `strace` in front of a program. Programs that it starts are not traced: `-b execve` detaches from them.
pub fn under(program: &Path, record: &Path, traced: &str, kill: Option<&Place>) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-b", "execve", "-qq", "-y", "-s", "0", "-o"]).arg(record);
    match kill {
        Some(place) => {
            if place.store {
                // The record lies in the state folder.
                command.arg("-P").arg(record.with_file_name("secrets.db-wal"));
            }
            command.args(["-e", &format!("trace={}", place.call)]);
            command.args(["-e", &format!("inject={}:signal=KILL:when={}", place.call, place.nth)]);
        }
        None => {
            command.args(["-e", &format!("trace={traced}")]);
        }
    }
    command.arg("--").arg(program);
    command
}

/// `strace` before a program, which it kills at the N-th of these calls on one path in any one thread.
pub fn killed_on(program: &Path, record: &Path, path: &Path, calls: &str, nth: u64) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-b", "execve", "-qq", "-y", "-s", "0", "-o"]).arg(record).arg("-P").arg(path);
    command.args(["-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:signal=KILL:when={nth}")]);
    command.arg("--").arg(program);
    command
}

/// Every call of the classes, for `trace=`.
pub fn all_calls() -> String {
    CLASSES.iter().flat_map(|(_, calls)| calls.iter().copied()).collect::<Vec<_>>().join(",")
}

/// Counts a record.
pub fn counts(record: &Path) -> Counts {
    let (mut last_entry, mut store) = (1, 0);
    let mut by_thread: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
    for line in fs::read_to_string(record).unwrap().lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let name = rest.trim_start().split('(').next().unwrap_or_default();
        let known = CLASSES.iter().flat_map(|(_, calls)| calls.iter()).find(|call| **call == name);
        if let Some(call) = known {
            let count = by_thread.entry((thread.to_owned(), call)).or_default();
            *count += 1;
            if *call == "pwrite64" && rest.contains("/journal.db-wal>") {
                last_entry = *count;
            }
            store += u64::from(*call == "pwrite64" && rest.contains("/secrets.db-wal>"));
        }
    }
    let mut most = Counts::from([(LAST_ENTRY, last_entry), (STORE, store.max(1))]);
    for ((_, call), count) in by_thread {
        let held = most.entry(call).or_default();
        *held = count.max(*held);
    }
    most
}

/// A name for a record that no other has.
pub fn name() -> String {
    format!("trace-{}", alphanumeric(8))
}
